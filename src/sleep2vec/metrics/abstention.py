"""What is gained by staying silent where one is not sure.

Letters: N people (or nights, or tokens), K distinct confidences. The model answers where its confidence is at or above
a threshold. Coverage is the share that is answered, risk the mean loss of what is answered (the share of wrong answers
where the loss is 1 for wrong and 0 for right). Where loss or confidence is NaN, the row counts nowhere.

References:
    El-Yaniv & Wiener (2010), Journal of Machine Learning Research 11:1605-1641 (risk and coverage).
    Geifman & El-Yaniv (2017), Selective classification for deep neural networks, arXiv:1705.08500.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sleep2vec.vocabulary.errors import UsageError


@dataclass(frozen=True)
class RiskCoverage:
    """Risk at every coverage that can be chosen; all equal confidences are answered, or none.

    Attributes:
        threshold_K: Confidences that occur, falling.
        coverage_K: Share with at least that confidence, rising to 1.
        risk_K: Mean loss of that share.
        area: Mean over the rows of the risk at their own confidence, the area under the curve; None without a row.
    """

    threshold_K: NDArray[np.float64]
    coverage_K: NDArray[np.float64]
    risk_K: NDArray[np.float64]
    area: float | None


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold that was chosen, and what it costs and gives on the people it was chosen on."""

    threshold: float
    coverage: float
    risk: float


def risk_coverage(losses_N: ArrayLike, confidence_N: ArrayLike) -> RiskCoverage:
    """The curve of risk over coverage.

    Args:
        losses_N: (N,) what each answer costs, at least 0; NaN where the truth is unknown.
        confidence_N: (N,) higher where the model is surer; NaN where it said nothing.

    Raises:
        UsageError: the lengths differ, or a loss is negative or infinite.
    """
    losses, confidence = np.asarray(losses_N, dtype=float), np.asarray(confidence_N, dtype=float)
    if losses.ndim != 1 or losses.shape != confidence.shape:
        raise UsageError(
            f"abstention needs one loss and one confidence for each answer, got shapes {losses.shape} and "
            f"{confidence.shape}."
        )
    wrong = (losses < 0) | np.isinf(losses)
    if wrong.any():
        raise UsageError(f"a loss is {losses[wrong][0]:g}; give finite losses of at least 0, and NaN where unknown.")
    known = ~np.isnan(losses) & ~np.isnan(confidence)
    negated_K, place_N = np.unique(-confidence[known], return_inverse=True)
    count_K = np.bincount(place_N, minlength=len(negated_K))
    answered_K = np.cumsum(count_K)
    risk_K = np.cumsum(np.bincount(place_N, weights=losses[known], minlength=len(negated_K))) / answered_K
    n = int(known.sum())
    return RiskCoverage(
        threshold_K=-negated_K,
        coverage_K=answered_K / max(n, 1),
        risk_K=risk_K,
        area=float((risk_K * count_K).sum() / n) if n else None,
    )


def operating_point(curve: RiskCoverage, risk: float) -> OperatingPoint | None:
    """The threshold that answers the most at no more than `risk`; None where even the surest answers cost more.

    Choose it on people kept for that: on the people it was chosen on, the risk is flattered.

    Raises:
        UsageError: the risk asked for is negative or NaN.
    """
    if not risk >= 0:
        raise UsageError(f"a risk is a number of at least 0, got {risk:g}.")
    places = np.flatnonzero(curve.risk_K <= risk)
    if not len(places):
        return None
    last = places[-1]
    return OperatingPoint(float(curve.threshold_K[last]), float(curve.coverage_K[last]), float(curve.risk_K[last]))
