"""How well a whole night tells something of a person: a diagnosis, a sex, an age. Figures and pictures over nights.

Where the truth or the answer is NaN, that outcome of that night counts nowhere, and no other is lost with it.
Intervals are by resampling people.

Letters: N nights, K labels that do not exclude each other, C classes that do, S rows (all nights, then resamples).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sleep2vec.evaluation.calibration_sums import binned_sums, calibration_errors, reliability_plot
from sleep2vec.evaluation.counted_agreement import agreements
from sleep2vec.evaluation.paired_numbers import BIAS, ICC, LOWER, MAE, PEARSON, RMSE, SLOPE, UPPER, paired_figures
from sleep2vec.evaluation.resampling import N_RESAMPLES, figure, ratio, resampled_sums
from sleep2vec.evaluation.score_ranks import areas, roc_curve
from sleep2vec.metrics.agreement import confusion_matrix
from sleep2vec.metrics.calibration import N_BINS
from sleep2vec.metrics.figure import Figure
from sleep2vec.report.evaluation_plots import BlandAltmanPlot, ConfusionPlot, Plot, RocPlot
from sleep2vec.vocabulary.errors import UsageError

Floats = NDArray[np.floating]

MOST_POINTS = 200
HALF = 0.5


@dataclass(frozen=True, eq=False)
class LabelledNight:
    """A night with labels that do not exclude each other.

    Attributes:
        person: Who slept; people are what is resampled.
        labels_K: 1, 0, or NaN where nobody knows.
        probabilities_K: Of each label, NaN where the model abstained.
    """

    person: str
    labels_K: Floats
    probabilities_K: Floats


@dataclass(frozen=True, eq=False)
class ClassifiedNight:
    """A night of one of several classes.

    Attributes:
        scored: Code of the class, NaN where nobody knows.
        probabilities_C: Of each class, NaN where the model abstained.
    """

    person: str
    scored: float
    probabilities_C: Floats


@dataclass(frozen=True)
class MeasuredNight:
    """A night with a number; NaN where unknown."""

    person: str
    truth: float
    predicted: float


def label_figures(
    nights: Sequence[LabelledNight],
    names: Sequence[str],
    thresholds_K: Sequence[float | None] | None = None,
    *,
    task: str = "diagnosis",
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> list[Figure]:
    """Figures of each label by itself.

    AUROC; AUPRC and beside it the prevalence, which is the AUPRC of a score that knows nothing; Brier's score (0 to 1)
    and calibration error of the label's probability; at the stored threshold sensitivity, specificity and their mean
    (balanced accuracy). Without a stored threshold the balanced accuracy is at a half.

    Args:
        names: (K,) of the labels.
        thresholds_K: (K,) as stored with the model; a probability of just the threshold is a yes. None, whole or one:
            none was stored.
        task: is written in each line.

    Raises:
        UsageError: other than K labels, probabilities and thresholds, or what is no label and no probability.
    """
    thresholds = [None] * len(names) if thresholds_K is None else list(thresholds_K)
    if len(thresholds) != len(names):
        raise UsageError(f"{len(names)} labels need as many thresholds, got {len(thresholds)}.")
    lines = []
    for k, (name, threshold) in enumerate(zip(names, thresholds, strict=True)):
        labels_N, stated_N, people = _known_labels(nights, k, len(names))
        auroc_S, auprc_S, sample = areas(labels_N, stated_N, people, n_resamples=n_resamples, seed=seed)
        bins_NK = [binned_sums([stated], [label]) for stated, label in zip(stated_N, labels_N, strict=True)]
        parts_NK = np.concatenate(
            [
                np.array(bins_NK, dtype=float).reshape(-1, 3 * N_BINS),
                np.square(stated_N - labels_N)[:, None],
                _answers(labels_N, stated_N >= (HALF if threshold is None else threshold)),
            ],
            axis=1,
        )
        rows_SK = resampled_sums(parts_NK, people, n_resamples=n_resamples, seed=seed).rows_SK
        squares_S, hit_S, missed_S, alarm_S, clear_S = rows_SK[:, 3 * N_BINS :].T
        n_S = hit_S + missed_S + alarm_S + clear_S
        sensitivity_S, specificity_S = ratio(hit_S, hit_S + missed_S), ratio(clear_S, alarm_S + clear_S)
        at = f"at {HALF if threshold is None else threshold:g}"
        values = {
            "AUROC": auroc_S,
            "AUPRC": auprc_S,
            "prevalence": ratio(hit_S + missed_S, n_S),
            "Brier": ratio(squares_S, n_S),
            f"ECE, {N_BINS} bins": calibration_errors(rows_SK[:, : 3 * N_BINS]),
            f"balanced accuracy {at}": (sensitivity_S + specificity_S) / 2,
        }
        if threshold is not None:
            values |= {f"sensitivity {at}": sensitivity_S, f"specificity {at}": specificity_S}
        lines += [figure(what, values_S, sample, task=task, outcome=name) for what, values_S in values.items()]
    return lines


def label_plots(nights: Sequence[LabelledNight], names: Sequence[str]) -> list[Plot]:
    """One picture with the ROC of each label that can be judged, and the reliability of each that is known."""
    curves: list[tuple[str, Floats, Floats]] = []
    plots: list[Plot] = []
    for k, name in enumerate(names):
        labels_N, stated_N, _ = _known_labels(nights, k, len(names))
        if 0 < labels_N.sum() < len(labels_N):
            rates = roc_curve(labels_N, stated_N)
            kept = np.unique(np.linspace(0, len(rates[0]) - 1, MOST_POINTS).round().astype(int))
            curves.append((name, rates[0][kept], rates[1][kept]))
        if len(labels_N):
            plots.append(reliability_plot(f"{name}: probability, and how often true", binned_sums(stated_N, labels_N)))
    return [RocPlot("Receiver operating characteristics", tuple(curves)), *plots] if curves else plots


def class_figures(
    nights: Sequence[ClassifiedNight],
    names: Sequence[str],
    *,
    task: str,
    outcome: str = "",
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> list[Figure]:
    """Accuracy, kappa and macro-F1 of the likeliest class.

    Args:
        names: (C,) of the classes.
        task, outcome: are written in each line.

    Raises:
        UsageError: other than C probabilities, or a code that is no class.
    """
    counts_NCC, people = _class_counts(nights, len(names))
    parts_NK = counts_NCC.reshape(len(people), -1)
    sums = resampled_sums(parts_NK, people, n_resamples=n_resamples, seed=seed)
    counts_SCC = sums.rows_SK.reshape(-1, len(names), len(names))
    return [
        figure(what, values_S, sums.sample, task=task, outcome=outcome)
        for what, values_S in agreements(counts_SCC).items()
    ]


def class_plots(nights: Sequence[ClassifiedNight], names: Sequence[str], title: str) -> list[Plot]:
    """How often each class was called which; nothing without a night."""
    counts_NCC, people = _class_counts(nights, len(names))
    return [ConfusionPlot(title, tuple(names), counts_NCC.sum(axis=0).astype(np.int64))] if people else []


def number_figures(
    nights: Sequence[MeasuredNight],
    *,
    task: str = "age",
    outcome: str = "",
    unit: str = "years",
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> list[Figure]:
    """MAE, bias, RMSE, limits of agreement, Pearson's r, ICC, and the slope of the predicted number on the true one.

    The slope is what is left of a year: regression to the mean makes it less than 1, and then the error of a person is
    a matter of the age as much as of the person. Errors as in `paired_figures`.
    """
    return paired_figures(
        [night.truth for night in nights],
        [night.predicted for night in nights],
        [night.person for night in nights],
        (MAE, BIAS, RMSE, LOWER, UPPER, PEARSON, ICC, SLOPE),
        task=task,
        outcome=outcome,
        unit=unit,
        n_resamples=n_resamples,
        seed=seed,
    )


def number_plots(nights: Sequence[MeasuredNight], title: str = "Age", unit: str = "years") -> list[Plot]:
    """Predicted minus true against their mean; nothing without a night of which both are known."""
    pairs_N2 = np.array([(night.truth, night.predicted) for night in nights], dtype=float).reshape(-1, 2)
    pairs_N2 = pairs_N2[~np.isnan(pairs_N2).any(axis=1)]
    return [BlandAltmanPlot(title, unit, pairs_N2[:, 0], pairs_N2[:, 1])] if len(pairs_N2) else []


def _known_labels(
    nights: Sequence[LabelledNight], k: int, n_labels: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[str]]:
    """Labels, probabilities and people of the nights of which both are known."""
    for night in nights:
        shapes = {np.shape(night.labels_K), np.shape(night.probabilities_K)}
        if shapes != {(n_labels,)}:
            raise UsageError(f"a night needs {n_labels} labels and probabilities, got shapes {sorted(shapes)}.")
    labels_N = np.array([night.labels_K[k] for night in nights], dtype=float)
    stated_N = np.array([night.probabilities_K[k] for night in nights], dtype=float)
    wrong = ~(np.isnan(labels_N) | np.isin(labels_N, (0, 1))), (stated_N < 0) | (stated_N > 1)
    for values_N, wrong_N, what in zip((labels_N, stated_N), wrong, ("label", "probability"), strict=True):
        if wrong_N.any():
            raise UsageError(f"{values_N[wrong_N][0]:g} is no {what}: labels are 1 or 0, probabilities 0 to 1, or NaN.")
    known_N = ~np.isnan(labels_N) & ~np.isnan(stated_N)
    people = [night.person for night, known in zip(nights, known_N, strict=True) if known]
    return labels_N[known_N], stated_N[known_N], people


def _answers(labels_N: ArrayLike, yes_N: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(N, 4) of each night whether it was found, missed, a false alarm, or rightly left out."""
    ill_N = np.asarray(labels_N) == 1
    return np.stack([ill_N & yes_N, ill_N & ~yes_N, ~ill_N & yes_N, ~ill_N & ~yes_N], axis=1).astype(float)


def _class_counts(nights: Sequence[ClassifiedNight], n_classes: int) -> tuple[NDArray[np.float64], list[str]]:
    """(N, C, C) with one count for each night of which both are known, and whose nights they are."""
    wrong = {night.probabilities_C.shape for night in nights} - {(n_classes,)}
    if wrong:
        raise UsageError(f"{n_classes} classes need as many probabilities a night, got shapes {sorted(wrong)}.")
    known = [n for n in nights if not np.isnan(n.scored) and not np.isnan(n.probabilities_C).any()]
    counts = [confusion_matrix([n.scored], [n.probabilities_C.argmax()], n_classes) for n in known]
    return np.array(counts, dtype=float).reshape(-1, n_classes, n_classes), [n.person for n in known]
