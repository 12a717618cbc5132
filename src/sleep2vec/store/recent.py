"""What is costly to make and was used last, for several threads."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from threading import Lock
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """Keeps the `most` values that were asked for last, by name.

    An ordered dictionary that two threads change at once can lose its order, and looking for its oldest entry then
    never ends (seen on a busy machine): every change is made under a lock. Values are made outside of it, so that a
    slow one stops nobody; two threads may make the same one, and the first that is ready is kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: OrderedDict[str, Value] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[str]:
        """Names, the longest unused first."""
        with self._lock:
            return iter(tuple(self._held))

    def get(self, name: str, make: Callable[[], Value]) -> Value:
        """The value of a name, made where it is not there."""
        with self._lock:
            if name in self._held:
                self._held.move_to_end(name)
                return self._held[name]
        made = make()
        with self._lock:
            kept = self._held.setdefault(name, made)
            self._held.move_to_end(name)
            while len(self._held) > self._most:
                self._held.popitem(last=False)
        return kept
