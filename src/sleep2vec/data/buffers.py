"""Memory for batches, used again once nobody holds the batch.

Fresh memory has to be cleared page by page: batches of 320 windows took five times as long to load as batches of 8,
nearly all of it in the kernel.
"""

import math
import weakref
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

_SMALLEST_BYTES = 1 << 20
_MOST_KEPT = 16


class Buffers:
    """Arrays whose memory comes back by itself, when the last array or tensor that shares it is gone.

    Nobody else may get it before, so whoever keeps a batch keeps its numbers. Several threads may ask at once.
    """

    def __init__(self) -> None:
        # Changed by single operations of a dict only: what comes back may do so in the middle of anything.
        self._free: dict[int, NDArray[np.uint8]] = {}

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """An array of anything."""
        n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
        if n_bytes < _SMALLEST_BYTES:
            return np.empty(shape, dtype)
        memory = self._taken(n_bytes)
        # Arrays and tensors made of this one hold it, as numpy sees no array behind it that they could hold instead.
        array = np.frombuffer(memory[:n_bytes].data, dtype)
        weakref.finalize(array, self._put, memory).atexit = False
        return array.reshape(shape)

    def _taken(self, n_bytes: int) -> NDArray[np.uint8]:
        fitting = [
            (memory.size, key) for key, memory in list(self._free.items()) if n_bytes <= memory.size <= 2 * n_bytes
        ]
        for _, key in sorted(fitting):
            memory = self._free.pop(key, None)
            if memory is not None:  # else another thread was faster
                return memory
        return np.empty(n_bytes, dtype=np.uint8)

    def _put(self, memory: NDArray[np.uint8]) -> None:
        self._free[id(memory)] = memory
        while len(self._free) > _MOST_KEPT:
            self._free.pop(next(iter(list(self._free)), 0), None)
