"""Intervals by resampling people.

Epochs of a night and nights of a person are alike; resampling them one by one would make every interval too
narrow. So the person (or, where the person is unknown, the night) is what is drawn.

References:
    Efron & Tibshirani (1993), An Introduction to the Bootstrap, chapter 13 (percentile interval).
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from sleep2vec.vocabulary.errors import UsageError

Item = TypeVar("Item")


@dataclass(frozen=True)
class Interval:
    """An estimate with its percentile interval.

    Attributes:
        estimate: The statistic of all items, None where undefined.
        low, high: Ends of the interval; None with fewer than two people, or when no resample had a value.
        level: Share of resamples inside, for example 0.95.
        n_people: How many were resampled.
        n_resamples: How many resamples gave a value (a kappa can be undefined in an unlucky one).
    """

    estimate: float | None
    low: float | None
    high: float | None
    level: float
    n_people: int
    n_resamples: int


def bootstrap_interval(
    statistic: Callable[[Sequence[Item]], float | None],
    items: Sequence[Item],
    *,
    people: Sequence[Hashable] | None = None,
    n_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile interval of `statistic` when people are drawn with replacement.

    Args:
        statistic: of a list of items; None or NaN where undefined, such resamples are left out and counted.
        items: one per night, for example its confusion matrix.
        people: whose night each item is; None: every item is its own person.
        n_resamples: how often to draw.
        level: between 0 and 1.
        seed: the same seed gives the same interval.

    Raises:
        UsageError: nothing to resample, `people` of another length, or a level outside (0, 1).
    """
    owners = list(range(len(items))) if people is None else list(people)
    if len(items) == 0 or len(owners) != len(items) or n_resamples < 1 or not 0 < level < 1:
        raise UsageError(
            f"an interval needs at least one item, a person for each, a resample and a level between 0 and 1; got "
            f"{len(items)} items, {len(owners)} people, {n_resamples} resamples and level {level:g}."
        )
    items_of: dict[Hashable, list[Item]] = {}
    for owner, item in zip(owners, items, strict=True):
        items_of.setdefault(owner, []).append(item)
    groups = list(items_of.values())

    values: list[float] = []
    if len(groups) > 1:
        generator = np.random.default_rng(seed)
        for drawn in generator.integers(len(groups), size=(n_resamples, len(groups))):
            value = statistic([item for group in drawn for item in groups[group]])
            if value is not None and not np.isnan(value):
                values.append(value)
    return interval_of(statistic(items), values, n_people=len(groups), level=level)


def resampled_counts(n_people: int, n_resamples: int = 1000, seed: int = 0) -> NDArray[np.int64]:
    """How often each person is drawn, (n_resamples, n_people): the draws of `bootstrap_interval` with the same seed.

    For statistics that can be had of all resamples at once. Several of the same counts are paired.
    """
    drawn = np.random.default_rng(seed).integers(n_people, size=(n_resamples, n_people))
    return np.stack([np.zeros(n_people, int), *(np.bincount(people, minlength=n_people) for people in drawn)])[1:]


def interval_of(
    estimate: float | None, values: Sequence[float] | NDArray[np.floating], *, n_people: int, level: float = 0.95
) -> Interval:
    """The percentile interval of values of resamples, NaN where undefined."""
    known = np.asarray(values, dtype=float)
    known = known[~np.isnan(known)]
    ends = np.quantile(known, [(1 - level) / 2, (1 + level) / 2]).tolist() if len(known) else (None, None)
    return Interval(
        estimate=None if estimate is None or np.isnan(estimate) else float(estimate),
        low=ends[0],
        high=ends[1],
        level=level,
        n_people=n_people,
        n_resamples=len(known),
    )
