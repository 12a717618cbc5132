"""The horizontal axis that all figures of a night share."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sleep2vec.vocabulary.modalities import TOKEN_SECONDS

# In the unit of every figure's view box, so that the figures stand exactly below each other.
FIGURE_WIDTH = 1000.0
LEFT, RIGHT = 132.0, 956.0

_STEPS_S = (10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 14400, 21600)
_MOST_TICKS = 12
_DAY_S = 86400


@dataclass(frozen=True)
class Tick:
    """A mark on the axis; `midnight` where a new date begins."""

    x: float
    label: str
    midnight: bool


@dataclass(frozen=True)
class TimeAxis:
    """Where a token lies on the page, and what time that is.

    Attributes:
        n_tokens: L, at least 1.
        grid_start_s: When token 0 begins, from the start of the recording.
        start: Local time of the recording's first sample; None: the axis counts from there.
    """

    n_tokens: int
    grid_start_s: float = 0.0
    start: datetime | None = None

    @property
    def token_width(self) -> float:
        return (RIGHT - LEFT) / self.n_tokens

    def x(self, token: float) -> float:
        """Left edge of a token (`n_tokens` is the end of the night)."""
        return LEFT + token * self.token_width

    def x_of(self, time_s: float) -> float:
        """Of a time from the start of the recording, kept on the page."""
        token = (time_s - self.grid_start_s) / TOKEN_SECONDS
        return self.x(min(max(token, 0.0), self.n_tokens))

    def when(self, token: float) -> str:
        """Clock time at which a token begins, or hours since the start of the recording."""
        return _time_text(self._origin_s + token * TOKEN_SECONDS, self.start is not None, seconds=True)

    def ticks(self) -> Iterator[Tick]:
        """Round times, one to a dozen or so; the date at each midnight of a recording longer than a day."""
        duration_s = self.n_tokens * TOKEN_SECONDS
        step_s = next(
            (step for step in _STEPS_S if duration_s / step <= _MOST_TICKS),
            _STEPS_S[-1] * math.ceil(duration_s / _MOST_TICKS / _STEPS_S[-1]),
        )
        several_days = duration_s > _DAY_S
        for mark in range(math.ceil(self._origin_s / step_s), math.floor((self._origin_s + duration_s) / step_s) + 1):
            at_s = mark * step_s
            midnight = self.start is not None and at_s % _DAY_S == 0
            label = _time_text(at_s, self.start is not None, seconds=step_s < 60)
            if several_days and midnight and self.start is not None:
                day = self.start + timedelta(days=at_s // _DAY_S)
                label = f"{day.day} {day:%b}"
            yield Tick(self.x((at_s - self._origin_s) / TOKEN_SECONDS), label, midnight)

    @property
    def title(self) -> str:
        return "clock time" if self.start is not None else "hours since the recording began"

    @property
    def _origin_s(self) -> float:
        """When token 0 begins: from midnight before the recording where the clock is known, else from its start."""
        if self.start is None:
            return self.grid_start_s
        midnight = datetime.combine(self.start.date(), datetime.min.time())
        return (self.start.replace(tzinfo=None) - midnight) / timedelta(seconds=1) + self.grid_start_s


def _time_text(time_s: float, clock: bool, seconds: bool) -> str:
    whole_s = round(time_s)
    hours, minutes = whole_s // 3600, whole_s % 3600 // 60
    hours_text = f"{hours % 24:02d}" if clock else f"{hours}"
    return f"{hours_text}:{minutes:02d}:{whole_s % 60:02d}" if seconds else f"{hours_text}:{minutes:02d}"
