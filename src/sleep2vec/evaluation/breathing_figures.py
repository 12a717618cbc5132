"""How well respiratory events, arousals and desaturations are found: figures and pictures over nights.

Events are matched night by night, one to one, and pooled: each event counts the same. Indices are compared night by
night. Which hypnogram gave the sleep and which rule counted hypopneas stands in every line, see
`evaluation.breathing_nights`. Intervals are by resampling people.

Letters: N nights, S rows (all nights, then resamples).
"""

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from sleep2vec.evaluation.breathing_nights import KINDS, LEAST_IOUS, RULES, BreathingNight, Index, Sleep
from sleep2vec.evaluation.counted_agreement import accuracies, kappas
from sleep2vec.evaluation.paired_numbers import BIAS, ICC, LOWER, MAE, UPPER, paired_figures
from sleep2vec.evaluation.resampling import N_RESAMPLES, figure, ratio, resampled_sums
from sleep2vec.metrics.agreement import Confusion
from sleep2vec.metrics.figure import Figure
from sleep2vec.metrics.severity import SEVERITIES, severity_agreement
from sleep2vec.report.evaluation_plots import BlandAltmanPlot, ConfusionPlot, Plot

SLEEPS: tuple[Sleep, ...] = ("scored sleep", "each its own sleep", "predicted sleep")
_TASK_OF_INDEX = {"arousal index": "arousal", "ODI": "desaturation", "ODI3": "desaturation", "ODI4": "desaturation"}
_RESPIRATORY = "respiratory"


def breathing_figures(nights: Sequence[BreathingNight], n_resamples: int = N_RESAMPLES, seed: int = 0) -> list[Figure]:
    """All figures of events and of the indices that they make.

    Precision, recall and F1 of each group of `KINDS`, by any overlap and by an IoU of 0.3; bias, MAE, limits and ICC of
    the AHI by each rule, the hypoxic burden, the arousal index and the oxygen desaturation indices; kappa and accuracy
    of the four classes of severity. What no night can tell has no line.
    """
    return [
        *_event_figures(nights, n_resamples, seed),
        *_index_figures(nights, n_resamples, seed),
        *_severity_figures(nights, n_resamples, seed),
    ]


def breathing_plots(nights: Sequence[BreathingNight]) -> list[Plot]:
    """Predicted and scored AHI, and the classes of severity, by each rule and each hypnogram that nights have."""
    plots: list[Plot] = []
    for index in _indices(nights):
        truth_N, predicted_N, _ = _pairs(nights, index)
        known_N = ~np.isnan(truth_N) & ~np.isnan(predicted_N)
        if index.name == "AHI" and known_N.any():
            plots.append(BlandAltmanPlot(str(index), index.unit, truth_N[known_N], predicted_N[known_N]))
            confusions = [_severity_counts(night, index) for night in nights if index in night.indices]
            plots.append(
                ConfusionPlot(f"Severity of sleep apnea by {index}", tuple(SEVERITIES), np.sum(confusions, axis=0))
            )
    return plots


def _event_figures(nights: Sequence[BreathingNight], n_resamples: int, seed: int) -> list[Figure]:
    lines = []
    for name, (question, _) in KINDS.items():
        for sleep in SLEEPS:
            for least_iou in LEAST_IOUS:
                place = (name, sleep, least_iou)
                judged = [night for night in nights if place in night.event_scores]
                if not judged:
                    continue
                scores = [night.event_scores[place] for night in judged]
                parts_N3 = [(score.n_true, score.n_predicted, score.n_matched) for score in scores]
                people = [night.person for night in judged]
                sums = resampled_sums(parts_N3, people, n_resamples=n_resamples, seed=seed)
                n_true_S, n_predicted_S, n_matched_S = sums.rows_SK.T
                values = {
                    "precision": ratio(n_matched_S, n_predicted_S),
                    "recall": ratio(n_matched_S, n_true_S),
                    "F1": ratio(2 * n_matched_S, n_true_S + n_predicted_S),
                }
                by = f"IoU >= {least_iou:g}" if least_iou else "any overlap"
                lines += [
                    figure(f"{what} ({by})", values_S, sums.sample, task=question, outcome=f"{name} ({sleep})")
                    for what, values_S in values.items()
                ]
    return lines


def _index_figures(nights: Sequence[BreathingNight], n_resamples: int, seed: int) -> list[Figure]:
    lines = []
    for index in _indices(nights):
        truth_N, predicted_N, people = _pairs(nights, index)
        lines += paired_figures(
            truth_N,
            predicted_N,
            people,
            (BIAS, MAE, LOWER, UPPER, ICC),
            task=_TASK_OF_INDEX.get(index.name, _RESPIRATORY),
            outcome=str(index),
            unit=index.unit,
            n_resamples=n_resamples,
            seed=seed,
        )
    return lines


def _severity_figures(nights: Sequence[BreathingNight], n_resamples: int, seed: int) -> list[Figure]:
    lines = []
    for index in (index for index in _indices(nights) if index.name == "AHI"):
        known = [night for night in nights if index in night.indices and not np.isnan(night.indices[index]).any()]
        counts = [_severity_counts(night, index).ravel() for night in known]
        parts_NK = np.array(counts, dtype=float).reshape(-1, len(SEVERITIES) ** 2)
        people = [night.person for night in known]
        sums = resampled_sums(parts_NK, people, n_resamples=n_resamples, seed=seed)
        counts_SCC = sums.rows_SK.reshape(-1, len(SEVERITIES), len(SEVERITIES))
        lines += [
            figure(what, values_S, sums.sample, task=_RESPIRATORY, outcome=f"severity by {index}")
            for what, values_S in (("kappa", kappas(counts_SCC)), ("accuracy", accuracies(counts_SCC)))
        ]
    return lines


def _severity_counts(night: BreathingNight, index: Index) -> Confusion:
    """(4, 4) with one night, by the cut-offs of its own population; none where an index is not known."""
    truth, predicted = (None if np.isnan(value) else value for value in night.indices[index])
    return severity_agreement([truth], [predicted], night.population).confusion_CC


def _indices(nights: Sequence[BreathingNight]) -> list[Index]:
    """All indices that any night has, in one order whatever that of the nights."""
    found = {index for night in nights for index in night.indices}
    names = ("AHI", "hypoxic burden", "arousal index", "ODI", "ODI3", "ODI4")
    rules = (*RULES, "")

    def rank(index: Index) -> tuple[int, int, int]:
        rule = rules.index(index.rule) if index.rule in rules else len(rules)
        return names.index(index.name), rule, SLEEPS.index(index.sleep)

    return sorted(found, key=rank)


def _pairs(
    nights: Sequence[BreathingNight], index: Index
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[Hashable]]:
    """Scored and predicted of the nights that have the index, and whose nights they are."""
    having = [night for night in nights if index in night.indices]
    pairs_N2 = np.array([night.indices[index] for night in having], dtype=float).reshape(-1, 2)
    return pairs_N2[:, 0], pairs_N2[:, 1], [night.person for night in having]
