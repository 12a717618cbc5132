"""A night's file, open for reading."""

import os
import threading
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sleep2vec.vocabulary.errors import StoreError


class NightFile:
    """Stretches of a night's file, for several threads at once; closed when nobody holds it any more.

    Read, not mapped: from a cold disk a map brought in 5 MB for a window of 0.9 MB and took two to seven times as long,
    and what it mapped counts as the process's memory.

    Args:
        path: of the file.
        size: in bytes, as the manifest says.

    Raises:
        StoreError: it is missing or has another size.
    """

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        try:
            self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except OSError:
            self._descriptor = -1
            raise StoreError(f"{path} is missing or empty; run `sleep2vec ingest` again.") from None
        found = os.fstat(self._descriptor).st_size
        if found == 0:
            raise StoreError(f"{path} is missing or empty; run `sleep2vec ingest` again.")
        if found != size:
            raise StoreError(f"{path} has {found} bytes where the manifest says {size}.")
        self._turn = threading.Lock()

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def read(self, start: int, n_bytes: int) -> NDArray[np.uint8]:
        """`n_bytes` from byte `start` on."""
        buffer = np.empty(n_bytes, dtype=np.uint8)
        done = 0
        while done < n_bytes:  # one read in all but strange file systems
            got = self._read_into(memoryview(buffer.data)[done:], start + done)
            if got == 0:
                raise StoreError(f"{self._path} became shorter while it was read; run `sleep2vec ingest` again.")
            done += got
        return buffer

    def expect(self, start: int, n_bytes: int) -> None:
        """Tell the system that a stretch will be read soon, so that the disk works on many at a time."""
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._descriptor, start, n_bytes, os.POSIX_FADV_WILLNEED)

    def _read_into(self, buffer: memoryview, start: int) -> int:
        if hasattr(os, "preadv"):
            return os.preadv(self._descriptor, [buffer], start)
        with self._turn:  # Windows knows one place of a file at a time
            os.lseek(self._descriptor, start, os.SEEK_SET)
            content = os.read(self._descriptor, len(buffer))
        buffer[: len(content)] = content
        return len(content)
