"""How fast a run goes, and how long the rest of it takes."""

from collections import deque
from dataclasses import dataclass
from statistics import median

_RECENT_STEPS = 50
_RECENT_PAUSES = 5


@dataclass(frozen=True)
class StepTime:
    """What a step cost: seconds in all, those of them spent waiting for data, and the windows of all processes."""

    seconds: float
    waited_s: float
    n_windows: int


class Pace:
    """Times of the recent past, and what they promise.

    Args:
        n_steps: of the whole run.
        pause_every: steps between two pauses of a kind (validating, saving); each kind also pauses after the last.
    """

    def __init__(self, n_steps: int, pause_every: dict[str, int]) -> None:
        self._n_steps, self._pause_every = n_steps, dict(pause_every)
        self._steps: deque[StepTime] = deque(maxlen=_RECENT_STEPS)
        self._pauses: dict[str, deque[float]] = {kind: deque(maxlen=_RECENT_PAUSES) for kind in pause_every}

    def add_step(self, time: StepTime) -> None:
        self._steps.append(time)

    def add_pause(self, kind: str, seconds: float) -> None:
        self._pauses[kind].append(seconds)

    @property
    def seconds_per_step(self) -> float:
        """The median of the recent steps, NaN before the first."""
        return median(time.seconds for time in self._steps) if self._steps else float("nan")

    @property
    def windows_per_second(self) -> float:
        """Over the recent steps, pauses aside; NaN before the first."""
        seconds = sum(time.seconds for time in self._steps)
        return sum(time.n_windows for time in self._steps) / seconds if seconds > 0 else float("nan")

    @property
    def waiting_share(self) -> float:
        """The share of the recent steps' time in which nothing was there to learn from; NaN before the first."""
        seconds = sum(time.seconds for time in self._steps)
        return sum(time.waited_s for time in self._steps) / seconds if seconds > 0 else float("nan")

    def seconds_left(self, done: int) -> tuple[float, bool]:
        """The time from step `done` to the end, and whether a pause whose length nobody knows yet comes on top."""
        seconds = (self._n_steps - done) * self.seconds_per_step
        unknown = False
        for kind, every in self._pause_every.items():
            n_pauses = self._n_steps // every - done // every + (self._n_steps % every > 0 and done < self._n_steps)
            known = self._pauses[kind]
            seconds += n_pauses * median(known) if known else 0.0
            unknown |= n_pauses > 0 and not known
        return seconds, unknown
