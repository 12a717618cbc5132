"""How far a predicted number (an age, an index) is from the measured one.

Letters: N people (or nights), R raters of each. Figures are in the unit of the numbers given. The difference is always
predicted minus true. A person of whom a number is missing (NaN) counts nowhere. What is undefined is None.

References:
    Bland & Altman (1999), Statistical Methods in Medical Research 8:135-160 (limits of agreement, section 2).
    McGraw & Wong (1996), Psychological Methods 1:30-46; Shrout & Fleiss (1979), Psychological Bulletin 86:420-428.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, stdtrit

from sleep2vec.vocabulary.errors import UsageError

Floats = NDArray[np.float64]
Ends = tuple[float, float]


@dataclass(frozen=True)
class Regression:
    """All single figures at once; see the function of each name.

    Attributes:
        n: People of whom both numbers are known; nobody else was counted.
    """

    n: int
    mean_absolute_error: float | None
    bias: float | None
    root_mean_squared_error: float | None
    pearson_r: float | None
    icc: float | None


@dataclass(frozen=True)
class BlandAltman:
    """Within which limits a prediction lies of the truth.

    Attributes:
        n: People of whom both numbers are known.
        bias: Mean difference, predicted minus true.
        bias_interval: Its confidence interval.
        spread: Standard deviation of the differences (n - 1).
        lower_limit, upper_limit: Limits of agreement: bias -+ 1.96 standard deviations (at a level of 0.95).
        lower_interval, upper_interval: Confidence interval of each limit.
        level: Share of differences between the limits, were they normal; of the intervals too.
    """

    n: int
    bias: float
    bias_interval: Ends
    spread: float
    lower_limit: float
    lower_interval: Ends
    upper_limit: float
    upper_interval: Ends
    level: float


def regression(truth_N: ArrayLike, predicted_N: ArrayLike) -> Regression:
    """All of `Regression` at once.

    Args:
        truth_N, predicted_N: (N,) numbers in one unit, NaN where unknown.

    Raises:
        UsageError: the lengths differ, or a number is infinite.
    """
    truth, predicted = _known(truth_N, predicted_N)
    return Regression(
        n=len(truth),
        mean_absolute_error=mean_absolute_error(truth, predicted),
        bias=bias(truth, predicted),
        root_mean_squared_error=root_mean_squared_error(truth, predicted),
        pearson_r=pearson_r(truth, predicted),
        icc=icc(np.stack([truth, predicted], axis=1)),
    )


def mean_absolute_error(truth_N: ArrayLike, predicted_N: ArrayLike) -> float | None:
    """Mean size of the difference, None without any; arguments and errors as in `regression`."""
    truth, predicted = _known(truth_N, predicted_N)
    return float(np.abs(predicted - truth).mean()) if len(truth) else None


def bias(truth_N: ArrayLike, predicted_N: ArrayLike) -> float | None:
    """Mean of predicted minus true, None without any; arguments and errors as in `regression`."""
    truth, predicted = _known(truth_N, predicted_N)
    return float((predicted - truth).mean()) if len(truth) else None


def root_mean_squared_error(truth_N: ArrayLike, predicted_N: ArrayLike) -> float | None:
    """Root of the mean squared difference, None without any; arguments and errors as in `regression`."""
    truth, predicted = _known(truth_N, predicted_N)
    return float(np.sqrt(np.square(predicted - truth).mean())) if len(truth) else None


def pearson_r(truth_N: ArrayLike, predicted_N: ArrayLike) -> float | None:
    """Product-moment correlation, -1 to 1; None where one of both does not vary. It does not see a bias or a scale.

    Arguments and errors as in `regression`.
    """
    truth, predicted = _known(truth_N, predicted_N)
    if len(truth) < 2 or np.ptp(truth) == 0 or np.ptp(predicted) == 0:
        return None
    directions = [_direction(truth), _direction(predicted)]
    return float(np.clip(directions[0] @ directions[1], -1.0, 1.0))


def icc(ratings_NR: ArrayLike) -> float | None:
    """Intraclass correlation of single ratings, absolute agreement, people and raters both drawn at random.

    The share of the variance that is between people: ``(MS_people - MS_rest) / (MS_people + (R - 1) MS_rest +
    R / N (MS_raters - MS_rest))``. McGraw & Wong call it ICC(A,1) (their case 2), Shrout & Fleiss ICC(2,1). Unlike
    Pearson's r it pays for a bias and for a wrong scale.

    Args:
        ratings_NR: (N, R), for example truth and prediction as two columns. A person with a NaN is left out.

    Returns:
        At most 1; below 0 where raters agree less than strangers. None with fewer than two people, or without variance.

    Raises:
        UsageError: not (N, R) with at least two raters, or an infinite number.
    """
    ratings = np.asarray(ratings_NR, dtype=float)
    if ratings.ndim != 2 or ratings.shape[1] < 2 or np.isinf(ratings).any():
        raise UsageError(
            f"an intraclass correlation needs finite numbers (people, raters) of two raters or more, got shape "
            f"{ratings.shape}."
        )
    ratings = ratings[~np.isnan(ratings).any(axis=1)]
    n, n_raters = ratings.shape
    if n < 2 or np.ptp(ratings) == 0:
        return None
    centred = ratings - ratings.mean()
    people, raters = centred.mean(axis=1, keepdims=True), centred.mean(axis=0, keepdims=True)
    of_people = n_raters * float(np.square(people).sum()) / (n - 1)
    of_raters = n * float(np.square(raters).sum()) / (n_raters - 1)
    of_rest = float(np.square(centred - people - raters).sum()) / ((n - 1) * (n_raters - 1))
    total = of_people + (n_raters - 1) * of_rest + n_raters / n * (of_raters - of_rest)
    # The total of two people who swap their numbers is 0; rounding may leave a trace of the parts.
    if total <= 1e-12 * (of_people + of_raters + of_rest):
        return None
    return float((of_people - of_rest) / total)


def bland_altman(truth_N: ArrayLike, predicted_N: ArrayLike, level: float = 0.95) -> BlandAltman | None:
    """Bias and limits of agreement, each with its interval.

    The variance of a limit is ``s^2 (1 / n + z^2 / (2 (n - 1)))``, the intervals are of Student's t with n - 1 degrees
    of freedom: for differences that are nearly normal and whose size does not change with the number measured.

    Args:
        truth_N, predicted_N: (N,) numbers in one unit, NaN where unknown.
        level: between 0 and 1, of the limits and of the intervals.

    Returns:
        None with fewer than two people.

    Raises:
        UsageError: the lengths differ, a number is infinite, or a level outside (0, 1).
    """
    if not 0 < level < 1:
        raise UsageError(f"a level lies between 0 and 1, got {level:g}.")
    truth, predicted = _known(truth_N, predicted_N)
    n = len(truth)
    if n < 2:
        return None
    difference = predicted - truth
    mean, spread = float(difference.mean()), float(difference.std(ddof=1))
    z, t = float(ndtri((1 + level) / 2)), float(stdtrit(n - 1, (1 + level) / 2))
    of_mean = t * spread / np.sqrt(n)
    of_limit = t * spread * np.sqrt(1 / n + z**2 / (2 * (n - 1)))
    return BlandAltman(
        n=n,
        bias=mean,
        bias_interval=_around(mean, of_mean),
        spread=spread,
        lower_limit=mean - z * spread,
        lower_interval=_around(mean - z * spread, of_limit),
        upper_limit=mean + z * spread,
        upper_interval=_around(mean + z * spread, of_limit),
        level=level,
    )


def _known(truth_N: ArrayLike, predicted_N: ArrayLike) -> tuple[Floats, Floats]:
    truth, predicted = np.asarray(truth_N, dtype=float), np.asarray(predicted_N, dtype=float)
    if truth.ndim != 1 or truth.shape != predicted.shape:
        raise UsageError(
            f"regression needs a true and a predicted number for each person, got shapes {truth.shape} and "
            f"{predicted.shape}."
        )
    if np.isinf(truth).any() or np.isinf(predicted).any():
        raise UsageError("a number is infinite; give finite numbers, and NaN where unknown.")
    known = ~np.isnan(truth) & ~np.isnan(predicted)
    return truth[known], predicted[known]


def _direction(values: Floats) -> Floats:
    """Deviations from the mean, of length 1; scaled first, so that no square is too small or too large."""
    deviations = values - values.mean()
    deviations = deviations / np.abs(deviations).max()
    return np.asarray(deviations / np.linalg.norm(deviations))


def _around(middle: float, half_width: float) -> Ends:
    return float(middle - half_width), float(middle + half_width)
