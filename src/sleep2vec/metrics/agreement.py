"""Agreement of two scorings of the same epochs.

Letters: L epochs, C classes. Codes are 0 .. C-1; an epoch that either scorer left open (NaN), or that a mask
leaves out, counts nowhere. What is undefined (kappa of a constant scoring, F1 of a class nobody used) is None.

References:
    Cohen (1960), Educational and Psychological Measurement 20:37-46 (kappa).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sleep2vec.vocabulary.errors import UsageError

Confusion = NDArray[np.int64]


@dataclass(frozen=True)
class Agreement:
    """How far a prediction follows the truth.

    Attributes:
        n_epochs: Epochs that both scored; nothing else was counted.
        accuracy: Share of them on which both agree, None without any.
        kappa: Cohen's kappa, None where chance alone already explains everything.
        macro_f1: Mean F1 of the classes that either scorer used, None without any.
        f1_per_class: (C,), None for a class that neither scorer used.
        confusion_CC: Counts; rows are the truth, columns the prediction.
    """

    n_epochs: int
    accuracy: float | None
    kappa: float | None
    macro_f1: float | None
    f1_per_class: tuple[float | None, ...]
    confusion_CC: Confusion


def confusion_matrix(
    truth_L: ArrayLike, predicted_L: ArrayLike, n_classes: int, mask_L: ArrayLike | None = None
) -> Confusion:
    """Count the epochs of each pair of classes.

    Args:
        truth_L, predicted_L: codes (L,), NaN where unscored.
        n_classes: C.
        mask_L: (L,) bool, True for the epochs to count; None counts all.

    Returns:
        (C, C) counts; rows are the truth, columns the prediction.

    Raises:
        UsageError: the lengths differ, or a code is no whole number in 0 .. C-1.
    """
    truth, predicted = np.asarray(truth_L, dtype=float), np.asarray(predicted_L, dtype=float)
    counted = np.ones(truth.shape, dtype=bool) if mask_L is None else np.asarray(mask_L, dtype=bool)
    if truth.ndim != 1 or truth.shape != predicted.shape or truth.shape != counted.shape:
        raise UsageError(
            f"agreement needs two scorings (and a mask) of the same epochs, got shapes {truth.shape}, "
            f"{predicted.shape} and {counted.shape}; cut both to the epochs they share."
        )
    counted = counted & ~np.isnan(truth) & ~np.isnan(predicted)
    pairs = _codes(truth[counted], n_classes) * n_classes + _codes(predicted[counted], n_classes)
    counts = np.bincount(pairs, minlength=n_classes * n_classes)
    return counts.reshape(n_classes, n_classes).astype(np.int64)


def agreement(truth_L: ArrayLike, predicted_L: ArrayLike, n_classes: int, mask_L: ArrayLike | None = None) -> Agreement:
    """All of `Agreement` at once; arguments and errors as in `confusion_matrix`."""
    return agreement_of(confusion_matrix(truth_L, predicted_L, n_classes, mask_L))


def agreement_of(confusion_CC: Confusion) -> Agreement:
    """`Agreement` from counts (C, C), for example the sum of several nights'."""
    per_class = _f1_per_class(confusion_CC)
    return Agreement(
        n_epochs=int(confusion_CC.sum()),
        accuracy=_accuracy(confusion_CC),
        kappa=_kappa(confusion_CC),
        macro_f1=_mean(per_class),
        f1_per_class=per_class,
        confusion_CC=confusion_CC,
    )


def accuracy(
    truth_L: ArrayLike, predicted_L: ArrayLike, n_classes: int, mask_L: ArrayLike | None = None
) -> float | None:
    """Share of epochs on which both agree, or None without any; arguments as in `confusion_matrix`."""
    return _accuracy(confusion_matrix(truth_L, predicted_L, n_classes, mask_L))


def cohen_kappa(
    truth_L: ArrayLike, predicted_L: ArrayLike, n_classes: int, mask_L: ArrayLike | None = None
) -> float | None:
    """Agreement beyond chance, or None where chance explains everything; arguments as in `confusion_matrix`."""
    return _kappa(confusion_matrix(truth_L, predicted_L, n_classes, mask_L))


def f1_per_class(
    truth_L: ArrayLike, predicted_L: ArrayLike, n_classes: int, mask_L: ArrayLike | None = None
) -> tuple[float | None, ...]:
    """F1 of each class, None for a class that neither scorer used; arguments as in `confusion_matrix`."""
    return _f1_per_class(confusion_matrix(truth_L, predicted_L, n_classes, mask_L))


def macro_f1(
    truth_L: ArrayLike, predicted_L: ArrayLike, n_classes: int, mask_L: ArrayLike | None = None
) -> float | None:
    """Mean F1 of the classes that either scorer used; arguments as in `confusion_matrix`."""
    return _mean(f1_per_class(truth_L, predicted_L, n_classes, mask_L))


def _codes(values: NDArray[np.float64], n_classes: int) -> NDArray[np.int64]:
    wrong = (values < 0) | (values >= n_classes) | (values != np.floor(values))
    if wrong.any():
        raise UsageError(
            f"{values[wrong][0]:g} is no class of {n_classes}: codes are whole numbers from 0 to {n_classes - 1}, "
            "and NaN where nobody scored."
        )
    return values.astype(np.int64)


def _accuracy(confusion_CC: Confusion) -> float | None:
    total = int(confusion_CC.sum())
    return None if total == 0 else int(np.trace(confusion_CC)) / total


def _kappa(confusion_CC: Confusion) -> float | None:
    total = int(confusion_CC.sum())
    # Whole numbers until the last division, so that "chance explains everything" is an exact comparison.
    by_chance = sum(
        int(row) * int(column) for row, column in zip(confusion_CC.sum(1), confusion_CC.sum(0), strict=True)
    )
    if total == 0 or by_chance == total * total:
        return None
    return (int(np.trace(confusion_CC)) * total - by_chance) / (total * total - by_chance)


def _f1_per_class(confusion_CC: Confusion) -> tuple[float | None, ...]:
    used = confusion_CC.sum(axis=1) + confusion_CC.sum(axis=0)
    return tuple(
        None if uses == 0 else 2 * int(both) / int(uses) for both, uses in zip(np.diag(confusion_CC), used, strict=True)
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
