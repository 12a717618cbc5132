"""Figures of a study with their intervals, and its results on disk, one file a run, so that a stopped one goes on.

Dimension letters: S seeds, C classes.
"""

import json
import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from sleep2vec.metrics.agreement import agreement_of
from sleep2vec.metrics.bootstrap import bootstrap_interval

N_RESAMPLES = 500


@dataclass(frozen=True)
class Figure:
    """A mean over seeds, its 95 % interval, and each seed's own value."""

    mean: float
    low: float
    high: float
    seeds: tuple[float, ...]

    @property
    def tells(self) -> bool:
        """Of a difference: whether 0 lies outside of its interval and all seeds, two at least, agree about the sign."""
        agreed = len(self.seeds) > 1 and len({value > 0 for value in self.seeds}) == 1
        return agreed and (self.low > 0 or self.high < 0)

    def __str__(self) -> str:
        """Mean, interval, and standard deviation over seeds."""
        return self.of_seeds + (f" ±{np.std(self.seeds, ddof=1):.3f}" if len(self.seeds) > 1 else "")

    @property
    def of_seeds(self) -> str:
        """Mean and interval, where that is already of seeds."""
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"

    @property
    def signed(self) -> str:
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}]" + ("" if self.tells else " ?")


def as_json(found: Any) -> str:
    """Nested figures; what is not finite (the interval of one seed) is null."""

    def plain(value: Any) -> Any:
        if isinstance(value, Figure):
            return plain(value.__dict__)
        if isinstance(value, Mapping):
            return {name: plain(part) for name, part in value.items()}
        if isinstance(value, tuple | list):
            return [plain(part) for part in value]
        return None if isinstance(value, float) and not np.isfinite(value) else value

    return json.dumps(plain(found), indent=1, allow_nan=False)


def over_seeds(values: Sequence[float]) -> Figure:
    """Mean and Student's interval of a figure that every seed gives once; without end for a single seed."""
    values_S = np.asarray(values, dtype=float)
    mean, n = float(values_S.mean()), len(values_S)
    half = float(student.ppf(0.975, n - 1) * values_S.std(ddof=1) / np.sqrt(n)) if n > 1 else float("inf")
    return Figure(mean, mean - half, mean + half, tuple(values_S.tolist()))


def over_people(
    statistic: Callable[[Sequence[Any]], float | None],
    items_by_seed: Sequence[Sequence[Any]],
    people: Sequence[Hashable],
) -> Figure:
    """Mean over seeds of a statistic of all nights, its interval by drawing people (and with them all their seeds).

    Args:
        statistic: of some nights of one seed.
        items_by_seed: for each seed what `statistic` takes, one a night, in the order of `people`.
        people: whose night it is.
    """

    def mean(nights: Sequence[Sequence[Any]]) -> float | None:
        values = [statistic(seed) for seed in zip(*nights, strict=True)]
        return None if any(value is None for value in values) else float(np.mean([v for v in values if v is not None]))

    nights = list(zip(*items_by_seed, strict=True))
    found = bootstrap_interval(mean, nights, people=people, n_resamples=N_RESAMPLES)
    seeds = tuple(float("nan") if (value := statistic(items)) is None else value for items in items_by_seed)
    low, high, estimate = (float("nan") if v is None else v for v in (found.low, found.high, found.estimate))
    return Figure(estimate, low, high, seeds)


def kappa_of(counts: Sequence[NDArray[np.int64]]) -> float | None:
    """Cohen's kappa of the summed counts (C, C)."""
    return agreement_of(np.sum(counts, axis=0)).kappa


def difference_of(statistic: Callable[[Sequence[Any]], float | None]) -> Callable[[Sequence[Any]], float | None]:
    """The statistic of the first of a pair of items minus that of the second."""

    def difference(pairs: Sequence[Any]) -> float | None:
        one, other = (statistic(side) for side in zip(*pairs, strict=True))
        return None if one is None or other is None else one - other

    return difference


class Results:
    """A folder with one JSON file a result, and what all of them were made with.

    Args:
        folder: made where it is not there.
        made_with: settings on which the results depend.

    Raises:
        SystemExit: the folder's results were made with others.
    """

    def __init__(self, folder: Path, made_with: Mapping[str, Any]) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        told, path = json.loads(json.dumps(made_with, default=str)), folder / "settings.json"
        if path.exists() and (earlier := json.loads(path.read_text())) != told:
            unlike = sorted(name for name in {*told, *earlier} if told.get(name) != earlier.get(name))
            raise SystemExit(
                f"{folder} holds results made with another {', '.join(unlike)}; give the same, or another --folder."
            )
        _write(path, told)

    def get(self, name: str) -> Any:
        """A result, or None where it is not there yet."""
        path = self._path(name)
        return json.loads(path.read_text()) if path.exists() else None

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """The result of that name, made where it is not there yet."""
        if self.get(name) is None:
            _write(self._path(name), make())
        return self.get(name)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.json"


def _write(path: Path, content: Any) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    temporary.write_text(json.dumps(content))
    os.replace(temporary, path)
