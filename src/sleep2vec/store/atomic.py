"""Writing a file whole or not at all."""

import os
import re
from pathlib import Path

import psutil


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
