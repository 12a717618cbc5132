"""Nights whose scorers told sleep from wake only: their one stage for all sleep is no stage of five."""

from dataclasses import replace

from sleep2vec.vocabulary.recording import Recording
from sleep2vec.vocabulary.stages import FIVE

# Sleep begins with N1 and turns to N3 or R within two hours in nearly everybody: an hour of sleep of one single stage
# is a scorer's shorthand.
_LEAST_SLEEP_S = 3600.0
_WAKE = FIVE.index("W")


def without_unknown_stages(
    recording: Recording, *, is_flagged: bool, shorthand: str | None
) -> tuple[Recording, tuple[str, ...]]:
    """The recording with sleep unscored where only sleep and wake were told apart, and what was done, for a person.

    Args:
        recording: with its scoring.
        is_flagged: whether a table of the cohort says that the night was scored so.
        shorthand: the stage that the cohort's scorers write for all sleep then; None where they do not.
    """
    asleep = [span for span in recording.stages if span.stage not in (None, _WAKE)]
    why = "the cohort's table says that this night was scored as sleep and wake only" if is_flagged else ""
    if not why and shorthand is not None:
        seconds_s = sum(span.duration_s for span in asleep)
        if seconds_s >= _LEAST_SLEEP_S and {span.stage for span in asleep} == {FIVE.index(shorthand)}:
            why = f"all {seconds_s / 3600:.1f} h of sleep are {shorthand}, as this cohort writes sleep and wake only"
    if not why or not asleep:
        return recording, ()
    stages = tuple(span if span.stage in (None, _WAKE) else replace(span, stage=None) for span in recording.stages)
    note = f"{len(asleep)} epochs of sleep were left unscored, stage unknown: {why}"
    return replace(recording, stages=stages), (note,)
