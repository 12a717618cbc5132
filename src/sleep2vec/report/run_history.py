"""The numbers that a run logged, as series."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_SUMMARIES = frozenset({"low", "high", "chance"})


@dataclass(frozen=True)
class Series:
    """A number over the steps; both (P,), steps rising."""

    steps_P: NDArray[np.int64]
    values_P: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.steps_P)

    @property
    def last(self) -> float:
        """NaN where there is none."""
        return float(self.values_P[-1]) if len(self) else float("nan")


class RunHistory:
    """Rows of a log by name; of a step that was logged twice (a run killed in between) the later counts."""

    def __init__(self, rows: Iterable[tuple[int, str, float]]) -> None:
        self._values: dict[str, dict[int, float]] = {}
        for step, name, value in rows:
            self._values.setdefault(name, {})[step] = value

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._values)

    @property
    def last_step(self) -> int:
        return max((step for values in self._values.values() for step in values), default=0)

    def series(self, name: str) -> Series:
        """Empty where nothing of that name was logged."""
        points = sorted(self._values.get(name, {}).items())
        return Series(np.array([p[0] for p in points], dtype=np.int64), np.array([p[1] for p in points], dtype=float))

    def last(self, name: str) -> float | None:
        """The newest value, None where nothing was logged or it is no number."""
        value = self.series(name).last
        return None if np.isnan(value) else value

    def by_modality(self, prefix: str) -> dict[str, Series]:
        """``<prefix>_eeg`` and its like, by modality."""
        return {
            rest: self.series(name)
            for name in self._values
            if name.startswith(f"{prefix}_")
            and "_" not in (rest := name.removeprefix(f"{prefix}_"))
            and rest not in _SUMMARIES
        }

    def by_pair(self, prefix: str) -> dict[tuple[str, str], Series]:
        """``<prefix>_eeg_ecg`` and its like, by pair."""
        found = {}
        for name in self._values:
            words = name.removeprefix(f"{prefix}_").split("_")
            if name.startswith(f"{prefix}_") and len(words) == 2 and not _SUMMARIES & set(words):
                found[words[0], words[1]] = self.series(name)
        return found

    def band(self, series: Iterable[Series], shares: tuple[float, float]) -> tuple[Series, Series]:
        """Two quantiles over several series at every step that any of them has."""
        values: dict[int, list[float]] = {}
        for one in series:
            for step, value in zip(one.steps_P.tolist(), one.values_P.tolist(), strict=True):
                if not np.isnan(value):
                    values.setdefault(step, []).append(value)
        steps_P = np.array(sorted(values), dtype=np.int64)
        low, high = (np.array([np.quantile(values[step], share) for step in steps_P.tolist()]) for share in shares)
        return Series(steps_P, low), Series(steps_P, high)
