"""Batches prepared ahead of the step that needs them."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Generic, NamedTuple, TypeVar

Batch = TypeVar("Batch")


class Fetched(NamedTuple, Generic[Batch]):
    """A step's batch, and how long the step had to wait for it."""

    step: int
    batch: Batch
    waited_s: float


class Prefetch(Generic[Batch]):
    """The batches of some steps in their order, prepared in background threads.

    What a step gets is what ``to_device(batch(step))`` would have given it. Reading and scaling leave the interpreter
    alone, so threads do; they share the store's open files and need no copies of it.

        with Prefetch(source.batch, range(first, last), lambda batch: batch.to(device)) as batches:
            for step, batch, waited_s in batches:
                ...

    Leaving the block, by its end, an error or Ctrl-C, ends the threads as soon as each is done with its batch.

    Args:
        batch: of a step; called from several threads at once, so it must change nothing.
        steps: which, in this order.
        to_device: called where the batches are used, so that a device sees one thread.
        depth: how many batches are ready or in the making beside the one in use; 0 makes each when it is asked for, in
            the same thread.
        threads: that make them.
        pin: put batches that can be (``pin_memory()``) into memory from which a CUDA device copies by itself.

    Raises:
        Whatever `batch` raises, at its step.
    """

    def __init__(
        self,
        batch: Callable[[int], Batch],
        steps: range,
        to_device: Callable[[Batch], Batch],
        depth: int = 4,
        threads: int = 1,
        pin: bool = False,
    ) -> None:
        self._batch, self._steps, self._to_device, self._pin = batch, steps, to_device, pin
        self._depth = depth
        self._pool = ThreadPoolExecutor(max(1, min(threads, depth)), thread_name_prefix="sleep2vec-loader")

    def __enter__(self) -> Iterator[Fetched[Batch]]:
        return self._ahead() if self._depth > 0 else self._at_once()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _ahead(self) -> Iterator[Fetched[Batch]]:
        waiting = deque(self._pool.submit(self._made, step) for step in self._steps[: self._depth])
        for place, step in enumerate(self._steps):
            began = time.perf_counter()
            fetched = Fetched(step, self._to_device(waiting.popleft().result()), time.perf_counter() - began)
            for later in self._steps[place + self._depth :][:1]:
                waiting.append(self._pool.submit(self._made, later))
            yield fetched
            del fetched  # while the next is waited for

    def _at_once(self) -> Iterator[Fetched[Batch]]:
        for step in self._steps:
            began = time.perf_counter()
            made = self._made(step)
            yield Fetched(step, self._to_device(made), time.perf_counter() - began)

    def _made(self, step: int) -> Batch:
        made = self._batch(step)
        pinned: Callable[[], Batch] | None = getattr(made, "pin_memory", None) if self._pin else None
        return made if pinned is None else pinned()
