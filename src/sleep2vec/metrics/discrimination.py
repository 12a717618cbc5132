"""How well a score tells those who have a label from those who have not.

Letters: N people (or nights, or tokens), C labels, which do not exclude each other. A label is 1 or 0, and NaN where
nobody knows it; where the label or the score is NaN, the pair counts nowhere. Only the order of the scores matters, so
probabilities, logits and log hazards serve alike. A label that has not both kinds of people cannot be judged: None.

References:
    Hanley & McNeil (1982), Radiology 143:29-36 (the area as the chance that a pair is in the right order).
    Saito & Rehmsmeier (2015), PLOS ONE 10:e0118432 (precision and recall where the label is rare).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sleep2vec.vocabulary.errors import UsageError

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Discrimination:
    """How well each of several labels is told, and all together.

    Attributes:
        auroc_per_label, auprc_per_label: (C,), None for a label that cannot be judged.
        n_known_per_label: (C,) pairs that were counted.
        n_positive_per_label: (C,) of them with the label; their share is the AUPRC of a score that knows nothing.
        macro_auroc, macro_auprc: Mean of the labels that can be judged, each as much as any other; None without one.
        n_judged: How many labels that mean is of.
    """

    auroc_per_label: tuple[float | None, ...]
    auprc_per_label: tuple[float | None, ...]
    n_known_per_label: tuple[int, ...]
    n_positive_per_label: tuple[int, ...]
    macro_auroc: float | None
    macro_auprc: float | None
    n_judged: int


def auroc(labels_N: ArrayLike, scores_N: ArrayLike) -> float | None:
    """Chance that a random person with the label scores above a random one without; a tie is half a success.

    Args:
        labels_N: (N,) 1, 0 or NaN.
        scores_N: (N,) higher where the label is likelier; NaN where nothing was said.

    Returns:
        0 to 1, 0.5 for a score that knows nothing; None unless both kinds are there.

    Raises:
        UsageError: the lengths differ, or a label is neither 0, 1 nor NaN.
    """
    positive_K, negative_K = _counts_by_score(labels_N, scores_N)
    n_positive, n_negative = int(positive_K.sum()), int(negative_K.sum())
    if n_positive == 0 or n_negative == 0:
        return None
    negatives_above_K = np.cumsum(negative_K) - negative_K
    # Twice the pairs in the right order, in whole numbers: the score's own tie counts once.
    twice = int((positive_K * (2 * (n_negative - negatives_above_K) - negative_K)).sum())
    return twice / (2 * n_positive * n_negative)


def auprc(labels_N: ArrayLike, scores_N: ArrayLike) -> float | None:
    """Average precision: the precision at each score, weighted by the recall gained there.

    No line is drawn between the points of the curve, which would flatter. Equal scores are one point.

    Args, errors as in `auroc`.

    Returns:
        0 to 1, about the share of people with the label for a score that knows nothing; None unless both kinds are
        there (with positives alone it is 1 whatever was said).
    """
    positive_K, negative_K = _counts_by_score(labels_N, scores_N)
    if not positive_K.any() or not negative_K.any():
        return None
    found_K = np.cumsum(positive_K)
    precision_K = found_K / (found_K + np.cumsum(negative_K))
    return float((precision_K * positive_K).sum() / found_K[-1])


def discrimination(labels_NC: ArrayLike, scores_NC: ArrayLike) -> Discrimination:
    """All of `Discrimination` at once; each label by itself, so that one unknown label costs no other.

    Args:
        labels_NC, scores_NC: (N, C); see `auroc`.

    Raises:
        UsageError: the shapes are not the same (N, C), or a label is neither 0, 1 nor NaN.
    """
    labels, scores = np.asarray(labels_NC, dtype=float), np.asarray(scores_NC, dtype=float)
    if labels.ndim != 2 or labels.shape != scores.shape:
        raise UsageError(
            f"several labels need labels and scores of one shape (people, labels), got {labels.shape} and "
            f"{scores.shape}; for a single label call auroc and auprc."
        )
    columns = list(zip(labels.T, scores.T, strict=True))
    counts = [_counts_by_score(*column) for column in columns]
    areas = tuple(auroc(*column) for column in columns)
    precisions = tuple(auprc(*column) for column in columns)
    return Discrimination(
        auroc_per_label=areas,
        auprc_per_label=precisions,
        n_known_per_label=tuple(int(positive_K.sum() + negative_K.sum()) for positive_K, negative_K in counts),
        n_positive_per_label=tuple(int(positive_K.sum()) for positive_K, _ in counts),
        macro_auroc=_mean(areas),
        macro_auprc=_mean(precisions),
        n_judged=sum(area is not None for area in areas),
    )


def _counts_by_score(labels_N: ArrayLike, scores_N: ArrayLike) -> tuple[Counts, Counts]:
    """People with and without the label at each score that occurs, the highest first."""
    labels, scores = np.asarray(labels_N, dtype=float), np.asarray(scores_N, dtype=float)
    if labels.ndim != 1 or labels.shape != scores.shape:
        raise UsageError(
            f"discrimination needs one label and one score for each person, got shapes {labels.shape} and "
            f"{scores.shape}; for several labels call discrimination."
        )
    known = ~np.isnan(labels) & ~np.isnan(scores)
    wrong = ~np.isnan(labels) & (labels != 0) & (labels != 1)
    if wrong.any():
        raise UsageError(f"{labels[wrong][0]:g} is no label: give 1 or 0, and NaN where it is unknown.")
    values, place_N = np.unique(-scores[known], return_inverse=True)
    positive_K = np.bincount(place_N[labels[known] == 1], minlength=len(values))
    negative_K = np.bincount(place_N[labels[known] == 0], minlength=len(values))
    return positive_K.astype(np.int64), negative_K.astype(np.int64)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
