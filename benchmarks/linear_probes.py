"""Linear readers of frozen features, one penalty for all, so that what they find compares.

Dimension letters: N samples, D features, C classes.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from frozen_features import Floats, FrozenNight
from sleep2vec.metrics.agreement import Confusion, confusion_matrix
from sleep2vec.vocabulary.stages import FIVE

PENALTY = 0.01
"""Of squared weights beside the mean loss, on standardised features."""
MOST_ITERATIONS = 200
Reader = Callable[[Floats], Floats]
"""(N, D) -> (N, C) probabilities."""


def logistic(
    x_ND: Floats, y_N: NDArray[np.int64], n_classes: int, *, penalty: float = PENALTY, balanced: bool = False
) -> Reader:
    """Multinomial logistic regression: the least mean cross-entropy plus `penalty` times the squared weights.

    Classes that nobody taught have probability 0. `balanced` lets every class weigh the same.
    """
    known = np.unique(y_N)
    if len(known) == 1:
        return lambda asked_ND: np.eye(n_classes, dtype=np.float32)[np.full(len(asked_ND), known[0])]
    model = LogisticRegression(
        C=1 / (2 * penalty * len(y_N)),
        class_weight="balanced" if balanced else None,
        max_iter=MOST_ITERATIONS,
        tol=1e-3,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the bound on the cost is meant
        model.fit(x_ND, y_N)

    def read(asked_ND: Floats) -> Floats:
        told_NC = np.zeros((len(asked_ND), n_classes), dtype=np.float32)
        told_NC[:, known] = model.predict_proba(asked_ND)
        return told_NC

    return read


class Standard:
    """Modalities side by side, each standardised by its valid samples; 0, the mean, where one is not there.

    Args:
        parts: by modality, (N, D) and which rows are valid.
    """

    def __init__(
        self, parts: Sequence[Mapping[str, tuple[Floats, NDArray[np.bool_]]]], modalities: Sequence[str]
    ) -> None:
        self._constants: dict[str, tuple[Floats, Floats]] = {}
        for name in modalities:
            held = [part[name][0][part[name][1]] for part in parts if name in part]
            x_ND = np.concatenate(held) if held else np.zeros((0, 0), dtype=np.float32)
            if len(x_ND):
                spread_D = x_ND.std(axis=0)
                # A constant tells nothing.
                self._constants[name] = x_ND.mean(axis=0), np.where(spread_D > 1e-6, spread_D, np.inf).astype("f4")

    def __call__(self, part: Mapping[str, tuple[Floats, NDArray[np.bool_]]], n: int) -> Floats:
        """(n, D) of a night's (or anybody's) `n` samples."""
        blocks = []
        for name, (centre_D, spread_D) in self._constants.items():
            block_ND = np.zeros((n, len(centre_D)), dtype=np.float32)
            if name in part:
                x_ND, valid_N = part[name]
                block_ND[valid_N] = (x_ND[valid_N] - centre_D) / spread_D
            blocks.append(block_ND)
        return np.concatenate(blocks, axis=1)


def stage_reader(
    taught: Sequence[FrozenNight], modalities: Sequence[str], penalty: float = PENALTY
) -> Callable[[FrozenNight], Floats]:
    """A linear reader of five stages, taught on all scored tokens of some nights that can be read: night -> (N, C)."""
    standard = Standard([_parts(night, modalities) for night in taught], modalities)
    told = [_counted(night, modalities) for night in taught]
    x_ND = np.concatenate(
        [
            standard(_parts(night, modalities), len(night.index_N))[rows_N]
            for night, rows_N in zip(taught, told, strict=True)
        ]
    )
    y_N = np.concatenate([night.stages_N[rows_N] for night, rows_N in zip(taught, told, strict=True)])
    read = logistic(x_ND, y_N.astype(np.int64), len(FIVE), penalty=penalty)
    return lambda night: read(standard(_parts(night, modalities), len(night.index_N)))


def stage_counts(night: FrozenNight, told_NC: Floats, modalities: Sequence[str]) -> Confusion:
    """(C, C) counts over the tokens of a night that are scored and readable from the modalities; rows are the truth."""
    counted_N = _counted(night, modalities)
    return confusion_matrix(night.stages_N, told_NC.argmax(axis=1).astype(float), len(FIVE), counted_N)


def _parts(night: FrozenNight, modalities: Sequence[str]) -> dict[str, tuple[Floats, NDArray[np.bool_]]]:
    return {name: (night.tokens[name], night.valid[name]) for name in modalities if name in night.tokens}


def _counted(night: FrozenNight, modalities: Sequence[str]) -> NDArray[np.bool_]:
    readable = [night.valid[name] for name in modalities if name in night.valid]
    return np.isfinite(night.stages_N) & np.any(readable or [np.zeros(len(night.stages_N), dtype=bool)], axis=0)


def auroc(truth_N: NDArray[np.bool_], score_N: NDArray[np.floating]) -> float | None:
    """How often a case scores above a control, ties counting half (Mann & Whitney 1947); None without either."""
    n_cases, n_controls = int(truth_N.sum()), int((~truth_N).sum())
    if n_cases == 0 or n_controls == 0:
        return None
    return float((rankdata(score_N)[truth_N].sum() - n_cases * (n_cases + 1) / 2) / (n_cases * n_controls))


def balanced_accuracy(truth_N: NDArray[np.int64], told_N: NDArray[np.int64]) -> float:
    """Mean over the classes that occur of the share that was recognised."""
    return float(np.mean([(told_N[truth_N == code] == code).mean() for code in np.unique(truth_N)]))
