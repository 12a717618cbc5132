"""A cohort in an object store: its small files fetched once, its recordings one at a time while they are harmonised."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sleep2vec.formats.recordings import is_recording
from sleep2vec.formats.remote import is_remote, list_files, local_copy, path_below, stamp_of

SIGNAL_SUFFIXES = (".dat", ".mat")  # of WFDB records, fetched with their header


@dataclass(frozen=True)
class RemoteRecording:
    """Where a recording really is.

    Attributes:
        url: The recording.
        beside: Files it needs next to it.
        stamp: Changes when the recording does.
    """

    url: str
    beside: tuple[str, ...]
    stamp: str


@dataclass(frozen=True)
class CohortPlace:
    """A cohort's folder as this machine sees it.

    Attributes:
        path: A local folder. Of a remote cohort it holds annotations and tables, and empty stand-ins for recordings.
        name: The folder or URL that was asked for.
        remote: By path below the folder, the recordings that have only a stand-in.
    """

    path: Path
    name: str
    remote: Mapping[str, RemoteRecording]


@contextmanager
def opened_place(folder: Path | str) -> Iterator[CohortPlace]:
    """`folder`, or a local image of it where it is a URL (``s3://bucket/cohort``), removed at the end of the block.

    Raises:
        UsageError: nothing installed can open this kind of URL.
        UnreadableFileError: the place does not answer, or is empty.
    """
    if not is_remote(folder):
        yield CohortPlace(Path(folder), str(Path(folder).resolve()), {})
        return
    with tempfile.TemporaryDirectory(prefix="sleep2vec-") as image:
        yield CohortPlace(Path(image), str(folder), _imaged(str(folder), Path(image)))


def _imaged(root: str, image: Path) -> dict[str, RemoteRecording]:
    urls = list_files(root)
    remote = {}
    for url in urls:
        relative = path_below(url, root)
        place = image / relative
        if place.suffix.lower() in SIGNAL_SUFFIXES:
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        is_header = place.suffix.lower() == ".hea"
        if is_header or not is_recording(place):
            with local_copy(url) as copy:
                copy.replace(place)
        else:
            place.touch()
        if is_header or is_recording(place):
            remote[relative] = RemoteRecording(url, _signals_of(url, urls) if is_header else (), stamp_of(url))
    return remote


def _signals_of(header: str, urls: list[str]) -> tuple[str, ...]:
    """Files of the header's folder that begin with its name: signals, segments and their headers."""
    folder, stem = header.rpartition("/")[0], PurePosixPath(header).stem
    return tuple(
        url
        for url in urls
        if url != header and url.rpartition("/")[0] == folder and PurePosixPath(url).stem.startswith(stem)
    )
