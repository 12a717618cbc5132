"""A predicted number beside the true one, over many nights: `metrics.regression` in all resamples at once.

Letters: N nights, S rows (all nights, then resamples). The difference is predicted minus true.

References:
    Bland & Altman (1999), Statistical Methods in Medical Research 8:135-160. Nights of one person are taken for
        independent within the limits, not within the intervals.
    McGraw & Wong (1996), Psychological Methods 1:30-46 (ICC(A,1)).
"""

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from sleep2vec.evaluation.resampling import LEVEL, N_RESAMPLES, figure, ratio, resampled_sums
from sleep2vec.metrics.figure import Figure
from sleep2vec.vocabulary.errors import UsageError

Floats = NDArray[np.float64]

BIAS, MAE, RMSE = "bias", "MAE", "RMSE"
LOWER, UPPER = "lower limit of agreement", "upper limit of agreement"
PEARSON, ICC, SLOPE = "Pearson r", "ICC(A,1)", "slope of predicted on true"
_IN_UNIT = frozenset((BIAS, MAE, RMSE, LOWER, UPPER))
_NOTHING = 1e-12  # of the sum of squares: a spread that is rounding


def paired_figures(
    truth_N: ArrayLike,
    predicted_N: ArrayLike,
    people: Sequence[Hashable],
    measures: Sequence[str],
    *,
    task: str,
    outcome: str,
    unit: str,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> list[Figure]:
    """Figures of the nights of which both numbers are known.

    Args:
        truth_N, predicted_N: (N,) in one unit, NaN where unknown.
        people: (N,) whose night each is.
        measures: names of this module: `BIAS`, `MAE`, `RMSE`, `LOWER`, `UPPER`, `PEARSON`, `ICC`, `SLOPE`. The slope
            is below 1 where predictions are drawn to the mean (an age of the old guessed too low, of the young too
            high).
        unit: is written behind those that have one.

    Raises:
        UsageError: the lengths differ, or a number is infinite.
    """
    truth, predicted = np.asarray(truth_N, dtype=float), np.asarray(predicted_N, dtype=float)
    if truth.shape != (len(people),) or predicted.shape != truth.shape:
        raise UsageError(
            f"pairs need a true and a predicted number and a person for each night, got shapes {truth.shape} and "
            f"{predicted.shape} and {len(people)} people."
        )
    if np.isinf(truth).any() or np.isinf(predicted).any():
        raise UsageError("a number is infinite; give finite numbers, and NaN where unknown.")
    known = ~np.isnan(truth) & ~np.isnan(predicted)
    truth, predicted = truth[known], predicted[known]
    whose = [person for person, kept in zip(people, known, strict=True) if kept]
    # Sums of squares far from 0 would drown the spread in rounding: everything is counted from the mean.
    middle = float(np.concatenate([truth, predicted]).mean()) if len(truth) else 0.0
    shift = float((predicted - truth).mean()) if len(truth) else 0.0
    x, y, difference = truth - middle, predicted - middle, predicted - truth
    apart = difference - shift
    parts_NK = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y, np.abs(difference), apart, apart * apart], axis=1)
    sums = resampled_sums(parts_NK, whose, n_resamples=n_resamples, seed=seed)
    values = _statistics(sums.rows_SK, shift)
    return [
        figure(
            f"{name}, {unit}" if name in _IN_UNIT and unit else name,
            values[name],
            sums.sample,
            task=task,
            outcome=outcome,
        )
        for name in measures
    ]


def _statistics(rows_SK: Floats, shift: float) -> Mapping[str, Floats]:
    n, x, y, xx, yy, xy, size, apart, apart2 = rows_SK.T
    spread_x = _about_mean(xx, x, n)
    spread_y = _about_mean(yy, y, n)
    spread_apart = _about_mean(apart2, apart, n)
    together = _no_rounding(xy - ratio(x * y, n), np.sqrt(xx * yy))
    bias = _no_rounding(shift + ratio(apart, n), np.full_like(n, abs(shift)))
    deviation = np.sqrt(ratio(spread_apart, n - 1))
    deviation = np.where(n > 1, deviation, np.nan)
    z = float(ndtri((1 + LEVEL) / 2))
    squares = ratio(apart2, n) + 2 * shift * ratio(apart, n) + shift**2
    return {
        BIAS: bias,
        MAE: ratio(size, n),
        RMSE: np.sqrt(np.clip(squares, 0, None)),
        LOWER: bias - z * deviation,
        UPPER: bias + z * deviation,
        PEARSON: np.clip(ratio(together, np.sqrt(spread_x) * np.sqrt(spread_y)), -1, 1),
        ICC: _icc(n, spread_x, spread_y, together, spread_apart, bias),
        SLOPE: ratio(together, spread_x),
    }


def _about_mean(squares_S: Floats, sums_S: Floats, n_S: Floats) -> Floats:
    """Sum of squares about the mean, 0 where it is only rounding."""
    return np.clip(_no_rounding(squares_S - ratio(sums_S * sums_S, n_S), squares_S), 0, None)


def _no_rounding(differences_S: Floats, of_S: Floats) -> Floats:
    """The differences between numbers as large as `of_S`, 0 where they are only rounding."""
    return np.where(np.abs(differences_S) <= _NOTHING * of_S, 0.0, differences_S)  # what is NaN stays it


def _icc(n: Floats, spread_x: Floats, spread_y: Floats, together: Floats, spread_apart: Floats, bias: Floats) -> Floats:
    """Two raters: the mean squares of `metrics.regression.icc`, written with variances and the covariance."""
    of_people = np.clip(ratio(spread_x + spread_y + 2 * together, 2 * (n - 1)), 0, None)
    of_raters = n * bias * bias / 2
    of_rest = ratio(spread_apart, 2 * (n - 1))
    total = of_people + of_rest + ratio(2 * (of_raters - of_rest), n)
    enough = (n > 1) & (total > _NOTHING * (of_people + of_raters + of_rest))
    return np.where(enough, ratio(of_people - of_rest, total), np.nan)
