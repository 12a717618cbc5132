"""Areas under the curves of a score, in all resamples of people at once.

A resample does not change the order of the scores, only how often each night is there: one sort serves all. Letters: N
nights, P people, S rows (all nights, then resamples), D distinct scores, the highest first.

References: see `metrics.discrimination`.
"""

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from sleep2vec.evaluation.resampling import N_RESAMPLES, Sample, drawn_counts, ratio, sample_of

Floats = NDArray[np.float64]


def areas(
    labels_N: Floats, scores_N: Floats, people: Sequence[Hashable], *, n_resamples: int = N_RESAMPLES, seed: int = 0
) -> tuple[Floats, Floats, Sample]:
    """AUROC (S,) and average precision (S,), NaN unless both kinds of nights are there.

    Args:
        labels_N: (N,) 1 or 0.
        scores_N: (N,) finite, higher where the label is likelier.
        people: (N,) whose night each is.
    """
    sample = sample_of(people)
    order = np.argsort(-scores_N, kind="stable")
    ordered = scores_N[order]
    starts_D = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if len(order) else np.zeros(0, int)
    parts = [
        _areas(counts[:, sample.place_N[order]], labels_N[order], starts_D)
        for counts in drawn_counts(sample, n_resamples, seed)
    ]
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts]), sample


def roc_curve(labels_N: Floats, scores_N: Floats) -> tuple[Floats, Floats]:
    """False and true positive rates from (0, 0) to (1, 1), a point for each distinct score.

    Args:
        labels_N, scores_N: as in `areas`, with both kinds of nights.
    """
    values, place_N = np.unique(-scores_N, return_inverse=True)
    rates = []
    for label in (0, 1):
        found_D = np.cumsum(np.bincount(place_N[labels_N == label], minlength=len(values)))
        rates.append(np.concatenate([[0.0], found_D / found_D[-1]]))
    return rates[0], rates[1]


def _areas(weights_SN: Floats, labels_N: Floats, starts_D: NDArray[np.int64]) -> tuple[Floats, Floats]:
    if not len(starts_D):
        return np.full(len(weights_SN), np.nan), np.full(len(weights_SN), np.nan)
    positive_SD = np.add.reduceat(weights_SN * labels_N, starts_D, axis=1)
    negative_SD = np.add.reduceat(weights_SN * (1 - labels_N), starts_D, axis=1)
    n_positive_S, n_negative_S = positive_SD.sum(axis=1), negative_SD.sum(axis=1)
    false_SD, found_SD = np.cumsum(negative_SD, axis=1), np.cumsum(positive_SD, axis=1)
    # Pairs in the right order: negatives below each positive, and half of those at its score.
    below_SD = n_negative_S[:, None] - false_SD + negative_SD / 2
    auroc_S = ratio((positive_SD * below_SD).sum(axis=1), n_positive_S * n_negative_S)
    precision_SD = np.nan_to_num(ratio(found_SD, found_SD + false_SD))
    auprc_S = ratio((positive_SD * precision_SD).sum(axis=1), n_positive_S)
    return auroc_S, np.where(n_negative_S > 0, auprc_S, np.nan)
