"""Calibration from sums over nights: what `metrics.calibration.reliability` bins, added up and resampled.

Letters: N answers, K bins, S rows. Three numbers a bin: how many answers, the sum of their confidences, and how many
came true.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sleep2vec.evaluation.resampling import ratio
from sleep2vec.metrics.calibration import N_BINS
from sleep2vec.report.evaluation_plots import ReliabilityPlot

Floats = NDArray[np.float64]

_EDGES = np.linspace(0.0, 1.0, N_BINS + 1)


def bins_of(confidence_N: ArrayLike) -> NDArray[np.int64]:
    """(N,) which bin; one holds its upper edge and not its lower one, the first both."""
    return np.asarray(np.searchsorted(_EDGES[1:-1], np.asarray(confidence_N, dtype=float), side="left"))


def binned_sums(confidence_N: ArrayLike, came_true_N: ArrayLike) -> Floats:
    """(3 K,) the bins' answers, then their confidences, then what came true."""
    confidence, bins_N = np.asarray(confidence_N, dtype=float), bins_of(confidence_N)
    columns = (None, confidence, np.asarray(came_true_N, dtype=float))
    return np.concatenate([np.bincount(bins_N, weights=column, minlength=N_BINS) for column in columns]).astype(float)


def calibration_errors(sums_SK: Floats) -> Floats:
    """(S,) expected calibration error from rows of `binned_sums`; NaN without an answer."""
    count_SK, confidence_SK, true_SK = np.split(sums_SK, 3, axis=1)
    return ratio(np.abs(true_SK - confidence_SK).sum(axis=1), count_SK.sum(axis=1))


def reliability_plot(title: str, sums_K: Floats) -> ReliabilityPlot:
    """The picture of one row."""
    count_K, confidence_K, true_K = np.split(sums_K, 3)
    error = float(calibration_errors(sums_K[None])[0])
    return ReliabilityPlot(
        title,
        ratio(confidence_K, count_K),
        ratio(true_K, count_K),
        count_K.round().astype(np.int64),
        None if np.isnan(error) else error,
    )
