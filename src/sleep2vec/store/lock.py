"""One writer at a time: who writes nights into a store holds its lock."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from sleep2vec.store.atomic import remove_leftovers
from sleep2vec.vocabulary.errors import StoreError, UsageError

_LOCK = ".ingest.lock"


@contextmanager
def sole_writer(store: Path) -> Iterator[None]:
    """Hold a store while nights are written into it, cleared of what killed writers left behind.

    Two writers would take each other's unfinished nights for leftovers. The lock dies with its process; where the file
    system has no locks of the kernel, `filelock` marks the store with a file instead.

    Raises:
        UsageError: another process holds it.
        StoreError: it cannot be locked.
    """
    lock = FileLock(store / _LOCK, timeout=0)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "flock not supported")  # nothing that a user could do about
            lock.acquire()
    except Timeout:
        raise UsageError(f"another command is writing to {store}; wait for it, or use another store.") from None
    except (OSError, NotImplementedError) as error:
        raise StoreError(
            f"{store} cannot be locked ({error}), and two writers at once would lose nights; put the store on another "
            "file system or disk."
        ) from None
    try:
        for place in (store, store / "nights"):
            remove_leftovers(place)
        yield
    finally:
        lock.release()
