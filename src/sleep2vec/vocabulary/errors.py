"""What can go wrong, said to a person.

Every message names what was given, what was expected and what to do. The command line prints the
message alone and exits with `exit_code`: 1 when the work failed, 2 when the request was wrong.
"""


class Sleep2vecError(Exception):
    """Base of all errors that are the input's fault rather than the program's."""

    exit_code = 1


class UnreadableFileError(Sleep2vecError):
    """The file is not what its name or header says it is."""


class RecordingTooShortError(Sleep2vecError):
    """The recording holds less than one 30 s token."""


class NoUsableChannelError(Sleep2vecError):
    """Not one channel of the recording can serve as a modality."""


class StoreError(Sleep2vecError):
    """A store is missing, incomplete, of another version, or damaged."""


class ModelError(Sleep2vecError):
    """A model directory is missing, incomplete, or does not fit what is asked of it."""


class UsageError(Sleep2vecError):
    """The request itself cannot be carried out, whatever the data."""

    exit_code = 2


class UnknownModalityError(UsageError):
    """A modality was named that the vocabulary does not know."""


class RecipeError(UsageError):
    """A recipe that cannot be run. The message lists every mistake in it."""
