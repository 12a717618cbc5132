"""Agreement from many confusion matrices at once: `metrics.agreement`, row by row of sums over nights.

Letters: S rows, C classes. Rows of a matrix are the truth, its columns the prediction. What is undefined is NaN.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from sleep2vec.evaluation.resampling import ratio

Floats = NDArray[np.float64]


def accuracies(counts_SCC: Floats) -> Floats:
    """(S,) share on which both agree; NaN without any."""
    return ratio(np.trace(counts_SCC, axis1=1, axis2=2), counts_SCC.sum(axis=(1, 2)))


def kappas(counts_SCC: Floats) -> Floats:
    """(S,) Cohen's kappa; NaN where chance explains everything."""
    total_S = counts_SCC.sum(axis=(1, 2))
    by_chance_S = (counts_SCC.sum(axis=2) * counts_SCC.sum(axis=1)).sum(axis=1)
    agreed_S = np.trace(counts_SCC, axis1=1, axis2=2)
    # Whole numbers, exact in 64-bit floats up to 9e15: the comparison with "everything" is one of equals.
    return ratio(agreed_S * total_S - by_chance_S, total_S * total_S - by_chance_S)


def f1_scores(counts_SCC: Floats) -> Floats:
    """(S, C) F1 of each class; NaN for one that neither side used."""
    used_SC = counts_SCC.sum(axis=1) + counts_SCC.sum(axis=2)
    return ratio(2 * np.diagonal(counts_SCC, axis1=1, axis2=2), used_SC)


def macro_f1_scores(counts_SCC: Floats) -> Floats:
    """(S,) mean F1 of the classes that either side used; NaN without any."""
    f1_SC = f1_scores(counts_SCC)
    return ratio(np.nansum(f1_SC, axis=1), np.count_nonzero(~np.isnan(f1_SC), axis=1))


def agreements(counts_SCC: Floats) -> Mapping[str, Floats]:
    """By name (S,) each: accuracy, kappa, macro-F1."""
    return {
        "accuracy": accuracies(counts_SCC),
        "kappa": kappas(counts_SCC),
        "macro-F1": macro_f1_scores(counts_SCC),
    }


def share_differences_percent(counts_SCC: Floats) -> Floats:
    """(S, C) predicted minus true share of each class, in percentage points."""
    total_S1 = counts_SCC.sum(axis=(1, 2))[:, None]
    return 100 * ratio(counts_SCC.sum(axis=1) - counts_SCC.sum(axis=2), np.broadcast_to(total_S1, counts_SCC.shape[:2]))
