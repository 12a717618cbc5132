"""Intervals of many figures at once, by resampling people.

Nearly every figure of a cohort is a function of sums over its nights: of confusion counts, of squared differences, of
events found and missed. So each night gives its parts once, people are drawn with replacement, and a matrix product
gives the sums of all resamples. The draws are those of `metrics.bootstrap.bootstrap_interval` with the same seed.

Letters: N nights, P people, R resamples, K parts of a night, S = 1 + R: all nights as they are, then the resamples.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sleep2vec.metrics.figure import Figure
from sleep2vec.vocabulary.errors import UsageError

Floats = NDArray[np.float64]

N_RESAMPLES = 1000
LEVEL = 0.95
MOST_CELLS = 4_000_000
"""So many counts of people are held at a time; a cohort of tens of thousands is drawn in blocks."""


@dataclass(frozen=True)
class Sample:
    """Nights and the people they are of.

    Attributes:
        place_N: Which of the P people each night is of, in the order they first come.
        n_people: P.
    """

    place_N: NDArray[np.int64]
    n_people: int

    @property
    def n_nights(self) -> int:
        return len(self.place_N)


@dataclass(frozen=True)
class Sums:
    """Sums of the parts of nights.

    Attributes:
        rows_SK: Of all nights (row 0) and of each resample. Fewer than two people have no resamples.
        sample: Whose.
    """

    rows_SK: Floats
    sample: Sample


def sample_of(people: Sequence[Hashable]) -> Sample:
    """Number the people; `people` names whose night each is."""
    numbers: dict[Hashable, int] = {}
    places = [numbers.setdefault(person, len(numbers)) for person in people]
    return Sample(np.array(places, dtype=np.int64), len(numbers))


def drawn_counts(sample: Sample, n_resamples: int, seed: int) -> Iterator[Floats]:
    """How often each person is in all nights (once) and in each resample: blocks of (rows, P), S rows together.

    Raises:
        UsageError: fewer than one resample is asked for.
    """
    if n_resamples < 1:
        raise UsageError(f"an interval needs at least one resample, got {n_resamples}.")
    n_people = sample.n_people
    yield np.ones((1, n_people))
    if n_people < 2:
        return
    generator = np.random.default_rng(seed)
    block = max(1, MOST_CELLS // n_people)
    for first in range(0, n_resamples, block):
        drawn = generator.integers(n_people, size=(min(block, n_resamples - first), n_people))
        places = drawn + n_people * np.arange(len(drawn))[:, None]
        counts = np.bincount(places.ravel(), minlength=drawn.size)
        yield counts.reshape(drawn.shape).astype(float)


def resampled_sums(
    parts_NK: ArrayLike, people: Sequence[Hashable], *, n_resamples: int = N_RESAMPLES, seed: int = 0
) -> Sums:
    """Sums of the nights' parts, in all of them and in each resample.

    Args:
        parts_NK: (N, K) finite numbers; leave out the nights of which a part is not known.
        people: (N,) whose night each is.

    Raises:
        UsageError: other than one row of finite parts a night, or fewer than one resample.
    """
    parts = np.asarray(parts_NK, dtype=float)
    if parts.ndim != 2 or len(parts) != len(people) or not np.isfinite(parts).all():
        raise UsageError(
            f"nights are summed from finite parts (nights, parts) with a person for each, got shape {parts.shape} and "
            f"{len(people)} people; leave out nights of which a part is not known."
        )
    sample = sample_of(people)
    of_people_PK = np.zeros((sample.n_people, parts.shape[1]))
    np.add.at(of_people_PK, sample.place_N, parts)
    rows = [counts @ of_people_PK for counts in drawn_counts(sample, n_resamples, seed)]
    return Sums(np.concatenate(rows), sample)


def ratio(numerator: ArrayLike, denominator: ArrayLike) -> Floats:
    """Their quotient, NaN where the denominator is 0."""
    above, below = np.broadcast_arrays(np.asarray(numerator, dtype=float), np.asarray(denominator, dtype=float))
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below != 0)


def figure(what: str, values_S: Floats, sample: Sample, *, task: str = "", outcome: str = "") -> Figure:
    """A line from the values of all nights and of each resample; NaN ones are undefined and left out."""
    values = np.asarray(values_S, dtype=float)
    drawn = values[1:][~np.isnan(values[1:])]
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]) if len(drawn) else (None, None)
    return Figure(
        what=what,
        estimate=None if np.isnan(values[0]) else float(values[0]),
        low=None if low is None else float(low),
        high=None if high is None else float(high),
        n_nights=sample.n_nights,
        n_people=sample.n_people,
        task=task,
        outcome=outcome,
    )
