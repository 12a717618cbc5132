"""Writing a file whole or not at all, and several files together or none."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from sleep2vec.vocabulary.errors import UsageError


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` under a temporary name, flush it to the disk, then rename it to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def written_together(folder: Path, what: str) -> Iterator[Path]:
    """A hidden folder inside `folder` to make files in; they are moved into `folder` together at the end.

    (Beside it may be another disk.) A failure leaves nothing half-written, and no folder that was not there.

    Args:
        folder: where they belong.
        what: they are, for the sentence: ``"the results"``.

    Raises:
        UsageError: `folder` is a file or cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; name a folder for {what}.")
    made_folders = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        workshop = Path(tempfile.mkdtemp(prefix=".sleep2vec-", dir=folder))
    except OSError as error:
        raise UsageError(f"{folder} cannot be written ({error.strerror}); name another folder.") from None
    try:
        yield workshop
        for made in sorted(workshop.iterdir()):
            os.replace(made, folder / made.name)
    finally:
        shutil.rmtree(workshop, ignore_errors=True)
        with suppress(OSError):  # not empty: the files are in it
            for path in made_folders:
                path.rmdir()


def remove_leftovers(folder: Path) -> None:
    """Remove what writers that were killed left in `folder`; temporary files of processes that live are kept."""
    for path in folder.glob(".*.part"):
        writer = re.search(r"\.(\d+)\.part$", path.name)
        if writer and not _lives(int(writer[1])):
            path.unlink(missing_ok=True)


def _lives(pid: int) -> bool:
    """A killed process that its parent has not yet buried is still listed, and writes no more."""
    try:
        return psutil.Process(pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False
