"""Whether a probability means what it says.

Letters: N people (or nights, or tokens), C classes, K bins. Two kinds of statement are understood by their shape:
``(N,)`` the probability that a label is 1, with labels 1 or 0; ``(N, C)`` the probabilities of classes that exclude
each other, with codes 0 .. C-1. Where the label or a probability is NaN, the row counts nowhere. Without a row: None.

References:
    Brier (1950), Monthly Weather Review 78:1-3.
    Naeini, Cooper & Hauskrecht (2015), AAAI 29 (expected calibration error).
    Guo et al. (2017), On calibration of modern neural networks, arXiv:1706.04599 (top-1, temperature).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit, logsumexp, softmax

from sleep2vec.vocabulary.errors import UsageError

Floats = NDArray[np.float64]

N_BINS = 15
"""As in Guo et al. The error grows with the number of bins; compare only figures of the same number."""
LEAST_TEMPERATURE, MOST_TEMPERATURE = 0.05, 20.0
"""Where `fitted_temperature` looks. A model that is never wrong on few people would ask for a temperature of 0."""
_SUM_TOLERANCE = 1e-2  # probabilities written with two or three digits, or in 16 bits


@dataclass(frozen=True)
class Reliability:
    """What was observed where a given confidence was stated.

    For ``(N,)`` the confidence is the probability of the label and the observed share is that of the label, so that
    both ends of the scale are seen. For ``(N, C)`` the confidence is the probability of the likeliest class (the first
    of equal ones) and the observed share is how often it was right.

    Attributes:
        edges: (K + 1,) from 0 to 1. A bin holds its upper edge and not its lower one; the first holds both.
        confidence_K: Mean confidence of the bin, NaN in an empty one.
        observed_K: Share that came true, NaN in an empty bin.
        count_K: Rows in the bin.
        error: Expected calibration error: mean of ``|observed - confidence|`` over rows; None without a row.
    """

    edges: Floats
    confidence_K: Floats
    observed_K: Floats
    count_K: NDArray[np.int64]
    error: float | None


def reliability(labels_N: ArrayLike, probabilities: ArrayLike, n_bins: int = N_BINS) -> Reliability:
    """Stated confidence and observed share in bins of equal width.

    Args:
        labels_N: (N,) labels or class codes, NaN where unknown.
        probabilities: (N,) or (N, C), 0 to 1; the classes of a row add up to 1.
        n_bins: K.

    Raises:
        UsageError: shapes that do not belong together, a label that is no class, what is no probability, or no bin.
    """
    labels, stated_NC = _known(labels_N, probabilities)
    _check_probabilities(stated_NC)
    if n_bins < 1:
        raise UsageError(f"a reliability table needs at least one bin, got {n_bins}.")
    if stated_NC.shape[1] == 1:
        confidence, came_true = stated_NC[:, 0], labels == 1
    else:
        confidence, came_true = stated_NC.max(axis=1), stated_NC.argmax(axis=1) == labels
    edges = np.linspace(0.0, 1.0, n_bins + 1)
    bins = np.searchsorted(edges[1:-1], confidence, side="left")
    count_K = np.bincount(bins, minlength=n_bins)
    filled_K = np.where(count_K > 0, count_K, np.nan)
    confidence_K = np.bincount(bins, weights=confidence, minlength=n_bins) / filled_K
    observed_K = np.bincount(bins, weights=came_true, minlength=n_bins) / filled_K
    gaps = float(np.nansum(np.abs(observed_K - confidence_K) * count_K))
    return Reliability(
        edges, confidence_K, observed_K, count_K.astype(np.int64), gaps / len(labels) if len(labels) else None
    )


def calibration_error(labels_N: ArrayLike, probabilities: ArrayLike, n_bins: int = N_BINS) -> float | None:
    """Expected calibration error in bins of equal width, 0 to 1; arguments and errors as in `reliability`."""
    return reliability(labels_N, probabilities, n_bins).error


def brier(labels_N: ArrayLike, probabilities: ArrayLike) -> float | None:
    """Mean squared distance of what was stated from what came true.

    Of ``(N,)`` the usual form, 0 to 1. Of ``(N, C)`` Brier's own, summed over the classes, 0 to 2: two classes give
    twice the figure of the same statement as ``(N,)``. Arguments and errors as in `reliability`.
    """
    labels, stated_NC = _known(labels_N, probabilities)
    _check_probabilities(stated_NC)
    if not len(labels):
        return None
    return float(np.square(stated_NC - _as_stated(labels, stated_NC)).sum(axis=1).mean())


def negative_log_likelihood(labels_N: ArrayLike, probabilities: ArrayLike) -> float | None:
    """Mean of ``-log`` of the probability that was given to what came true, in nats.

    Infinite where something came true that was said to be impossible. Arguments and errors as in `reliability`.
    """
    labels, stated_NC = _known(labels_N, probabilities)
    _check_probabilities(stated_NC)
    if not len(labels):
        return None
    if stated_NC.shape[1] == 1:
        stated_NC = np.concatenate([1 - stated_NC, stated_NC], axis=1)
    given = stated_NC[np.arange(len(labels)), labels.astype(int)]
    with np.errstate(divide="ignore"):
        return float(-np.log(given).mean())


def negative_log_likelihood_of_logits(labels_N: ArrayLike, logits: ArrayLike, temperature: float = 1.0) -> float | None:
    """`negative_log_likelihood` of ``logits / temperature``; finite however large the logits.

    Args:
        labels_N: (N,) labels or class codes, NaN where unknown.
        logits: (N,) log odds of the label, or (N, C); NaN where nothing was said.
        temperature: above 0.

    Raises:
        UsageError: shapes that do not belong together, a label that is no class, an infinite logit, or a temperature
            that is not above 0.
    """
    labels, logits_NC = _known(labels_N, logits)
    _check_temperature(temperature)
    return _of_logits(labels.astype(int), _two_sided(logits_NC), 1 / temperature) if len(labels) else None


def fitted_temperature(labels_N: ArrayLike, logits: ArrayLike) -> float | None:
    """The temperature whose ``logits / temperature`` make the labels likeliest; fit it on people kept for that.

    Above 1 the model was too sure, below 1 not sure enough. On what it is fitted on, the likelihood is never worse
    than at 1. The order of the classes, and so every decision, stays as it was.

    Args, errors as in `negative_log_likelihood_of_logits`.

    Returns:
        `LEAST_TEMPERATURE` to `MOST_TEMPERATURE`; None without a row.
    """
    labels, logits_NC = _known(labels_N, logits)
    if not len(labels):
        return None
    codes, both_NC = labels.astype(int), _two_sided(logits_NC)

    def loss(log_temperature: float) -> float:
        return _of_logits(codes, both_NC, float(np.exp(-log_temperature)))

    # Convex in 1 / temperature, so with a single valley in its logarithm too.
    ends = float(np.log(LEAST_TEMPERATURE)), float(np.log(MOST_TEMPERATURE))
    found = minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": 1e-8})
    # 1 comes first: where nothing is gained, nothing is changed.
    best = min((0.0, float(found.x), *ends), key=loss)
    return float(np.clip(np.exp(best), LEAST_TEMPERATURE, MOST_TEMPERATURE))


def tempered(logits: ArrayLike, temperature: float) -> Floats:
    """Probabilities of ``logits / temperature``: (N,) through the logistic function, (..., C) through the softmax.

    Raises:
        UsageError: a temperature that is not above 0.
    """
    _check_temperature(temperature)
    scaled = np.asarray(logits, dtype=float) / temperature
    return np.asarray(expit(scaled) if scaled.ndim == 1 else softmax(scaled, axis=-1))


def _of_logits(codes_N: NDArray[np.int64], logits_NC: Floats, sharpness: float) -> float:
    scaled_NC = logits_NC * sharpness
    return float((logsumexp(scaled_NC, axis=1) - scaled_NC[np.arange(len(codes_N)), codes_N]).mean())


def _two_sided(logits_NC: Floats) -> Floats:
    """A single column of log odds as two classes."""
    if np.isinf(logits_NC).any():
        raise UsageError("a logit is infinite; give finite logits, and NaN where nothing was said.")
    return logits_NC if logits_NC.shape[1] > 1 else np.concatenate([np.zeros_like(logits_NC), logits_NC], axis=1)


def _as_stated(labels_N: Floats, stated_NC: Floats) -> Floats:
    """What would have been right to state: 1 for what came true, else 0."""
    n_classes = stated_NC.shape[1]
    return labels_N[:, None] if n_classes == 1 else np.eye(n_classes)[labels_N.astype(int)]


def _known(labels_N: ArrayLike, statements: ArrayLike) -> tuple[Floats, Floats]:
    """The rows of which all is known; statements of a single label become one column."""
    labels, stated = np.asarray(labels_N, dtype=float), np.asarray(statements, dtype=float)
    if labels.ndim != 1 or stated.ndim not in (1, 2) or len(stated) != len(labels) or stated.shape[1:] in {(0,), (1,)}:
        raise UsageError(
            f"calibration needs labels (N,) and statements (N,) of one label or (N, C) of two or more classes, got "
            f"shapes {labels.shape} and {stated.shape}."
        )
    stated_NC = stated[:, None] if stated.ndim == 1 else stated
    n_codes = max(2, stated_NC.shape[1])
    known = ~np.isnan(labels)
    wrong = known & ~np.isin(labels, np.arange(n_codes))
    if wrong.any():
        raise UsageError(
            f"{labels[wrong][0]:g} is no class of {n_codes}: codes are whole numbers from 0 to {n_codes - 1}, and NaN "
            "where unknown."
        )
    known &= ~np.isnan(stated_NC).any(axis=1)
    return labels[known], stated_NC[known]


def _check_probabilities(stated_NC: Floats) -> None:
    wrong = (stated_NC < 0) | (stated_NC > 1)
    if wrong.any():
        raise UsageError(f"{stated_NC[wrong][0]:g} is no probability; give 0 to 1 (logits go through tempered first).")
    sums_N = stated_NC.sum(axis=1)
    off = np.abs(sums_N - 1) > _SUM_TOLERANCE
    if stated_NC.shape[1] > 1 and off.any():
        raise UsageError(
            f"the classes of a row add up to {sums_N[off][0]:g}, and should to 1; labels that do not exclude each "
            "other are judged one by one, as (N,)."
        )


def _check_temperature(temperature: float) -> None:
    if not (np.isfinite(temperature) and temperature > 0):
        raise UsageError(f"a temperature is a finite number above 0, got {temperature:g}.")
