"""In which sleep an event lies.

An event counts when any part of it lies in an epoch of sleep (AASM Manual, respiratory events: an event that begins or
ends in an epoch scored as sleep is counted). Letters: E events, L tokens of 30 s. Times count from the start of the
recording, tokens from `grid_start_s`.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sleep2vec.vocabulary.errors import UsageError
from sleep2vec.vocabulary.modalities import TOKEN_SECONDS
from sleep2vec.vocabulary.stages import FIVE

_SAME_S = 1e-6  # sums of decimals: an event that ends where an epoch begins has no part in it


class Timed(Protocol):
    """Anything with a beginning and an end."""

    @property
    def onset_s(self) -> float: ...

    @property
    def end_s(self) -> float: ...


TimedItem = TypeVar("TimedItem", bound=Timed)


def asleep(stages_L: ArrayLike) -> NDArray[np.bool_]:
    """(L,) which tokens are scored as sleep; an unscored token (NaN) is not known to be.

    Raises:
        UsageError: no list of stage codes.
    """
    stages = np.asarray(stages_L, dtype=float)
    wrong = ~np.isnan(stages) & ~np.isin(stages, np.arange(len(FIVE)))
    if stages.ndim != 1 or wrong.any():
        raise UsageError(
            f"a hypnogram is one code from 0 to {len(FIVE) - 1} a token, NaN where unscored; got an array of shape "
            f"{stages.shape}" + (f" with a {stages[wrong][0]:g}." if wrong.any() else ".")
        )
    slept: NDArray[np.bool_] = stages > 0
    return slept


def sleep_hours(stages_L: ArrayLike) -> float:
    """Hours scored as sleep."""
    return int(np.count_nonzero(asleep(stages_L))) * TOKEN_SECONDS / 3600


def per_hour(n: int, where_L: NDArray[np.bool_]) -> float | None:
    """`n` events per hour of the tokens that are True; None without any.

    Divided once, so that 23 events in 184 tokens are 15 an hour, a cut-off of severity, and not a little less.
    """
    seconds = int(np.count_nonzero(where_L)) * TOKEN_SECONDS
    return n * 3600 / seconds if seconds else None


def event_tokens(events: Sequence[Timed], stages_L: ArrayLike, grid_start_s: float = 0.0) -> NDArray[np.int64]:
    """(E,) the first token of sleep that each event has a part in, -1 where none.

    This token's stage is the event's (REM or NREM, on the back or not), so that the parts of an index add up to it.
    """
    slept_L = asleep(stages_L)
    n = len(slept_L)
    next_L1 = np.append(np.where(slept_L, np.arange(n), n), n)
    next_L1 = np.minimum.accumulate(next_L1[::-1])[::-1]
    onsets_E = np.array([event.onset_s for event in events], dtype=float) - grid_start_s
    ends_E = np.array([event.end_s for event in events], dtype=float) - grid_start_s
    first_E = np.floor((onsets_E + _SAME_S) / TOKEN_SECONDS).astype(int)
    last_E = np.maximum(np.ceil((ends_E - _SAME_S) / TOKEN_SECONDS).astype(int) - 1, first_E)
    token_E = next_L1[np.clip(first_E, 0, n)]
    return np.where((token_E <= last_E) & (token_E < n), token_E, -1)


def in_sleep(events: Iterable[TimedItem], stages_L: ArrayLike, grid_start_s: float = 0.0) -> tuple[TimedItem, ...]:
    """Those of the events of which any part lies in sleep, in their order."""
    given = tuple(events)
    tokens_E = event_tokens(given, stages_L, grid_start_s)
    return tuple(event for event, token in zip(given, tokens_E, strict=True) if token >= 0)
