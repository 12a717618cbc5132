"""How well sleep is staged: figures and pictures over nights.

Only tokens that were both scored and answered count, in every figure but the coverage; a night without one counts
nowhere. Sleep statistics too are of these tokens, on both sides: what is compared is the stages, and a stretch that the
model abstained from or nobody scored is missing from both. (Time in bed, below the efficiency, holds it on both sides.)

Probabilities of four and three classes are sums of the five, and the class is the likeliest of those sums: a token of
30 % N2, 30 % N3 and 40 % wake is wake of five classes and sleep of three. Nights are pooled: each token counts the
same. Intervals are by resampling people.

Letters: N nights, L tokens, C classes, K parts, S rows (all nights, then resamples).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sleep2vec.evaluation.calibration_sums import binned_sums, calibration_errors, reliability_plot
from sleep2vec.evaluation.counted_agreement import agreements, f1_scores, share_differences_percent
from sleep2vec.evaluation.paired_numbers import BIAS, ICC, LOWER, UPPER, paired_figures
from sleep2vec.evaluation.resampling import N_RESAMPLES, figure, ratio, resampled_sums
from sleep2vec.metrics.abstention import RiskCoverage, risk_coverage
from sleep2vec.metrics.agreement import Confusion, agreement_of, confusion_matrix
from sleep2vec.metrics.calibration import N_BINS, brier
from sleep2vec.metrics.event_stages import asleep
from sleep2vec.metrics.figure import Figure
from sleep2vec.metrics.sleep_statistics import SleepStatistics, sleep_statistics
from sleep2vec.report.evaluation_plots import BlandAltmanPlot, ConfusionPlot, CoveragePlot, HypnodensityPlot, Plot
from sleep2vec.vocabulary.errors import UsageError
from sleep2vec.vocabulary.stages import FIVE, SCHEMES, STAGE_NAMES, Scheme, regroup_hypnogram, regroup_probabilities

Floats = NDArray[np.floating]

TASK = "staging"
COUNTED = "Only epochs that were both scored and answered count."
LEAST_PROBABILITY = 1e-7
"""What is said to be impossible costs this much in the likelihood: a probability of 32 bits may have rounded to 0."""
MOST_POINTS = 200
SLEEP_MEASURES: dict[str, tuple[str, str]] = {
    "TST": ("total_sleep_min", "min"),
    "SE": ("sleep_efficiency_percent", "percentage points"),
    "WASO": ("waso_min", "min"),
    "SOL": ("sleep_latency_min", "min"),
    "REM latency": ("rem_latency_min", "min"),
    "N1": ("n1_min", "min"),
    "N2": ("n2_min", "min"),
    "N3": ("n3_min", "min"),
    "R": ("rem_min", "min"),
}
"""By name as the field writes it: the attribute of `SleepStatistics`, and its unit."""
_PLOTTED = ("TST", "SE", "WASO")


@dataclass(frozen=True, eq=False)
class StagedNight:
    """A night with the truth and with what the model said.

    Attributes:
        person: Who slept; people are what is resampled.
        scored_L: (L,) codes of `FIVE`, NaN where nobody scored.
        probabilities_LC: (L, 5), rows with a NaN where the model abstained.
        name: Of the night, for the pictures.
        lights_off_s, lights_on_s, grid_start_s: As in `sleep_statistics`.

    Raises:
        UsageError: not five probabilities for each token, or a code that is no stage.
    """

    person: str
    scored_L: Floats
    probabilities_LC: Floats
    name: str = ""
    lights_off_s: float | None = None
    lights_on_s: float | None = None
    grid_start_s: float = 0.0

    def __post_init__(self) -> None:
        if self.scored_L.ndim != 1 or self.probabilities_LC.shape != (len(self.scored_L), len(FIVE)):
            raise UsageError(
                f"a staged night has one code and {len(FIVE)} probabilities a token, got shapes {self.scored_L.shape} "
                f"and {self.probabilities_LC.shape}."
            )
        asleep(self.scored_L)  # refuses what is no stage

    @cached_property
    def counted_L(self) -> NDArray[np.bool_]:
        """Tokens both scored and answered."""
        return ~np.isnan(self.scored_L) & ~np.isnan(self.probabilities_LC).any(axis=1)

    @cached_property
    def confusions(self) -> dict[Scheme, Confusion]:
        """Counts (C, C) of each scheme."""
        return {
            scheme: confusion_matrix(regroup_hypnogram(self.scored_L, scheme), self.predicted(scheme), scheme)
            for scheme in SCHEMES
        }

    @cached_property
    def calibration_K(self) -> NDArray[np.float64]:
        """Sums over the counted tokens: (3 bins,) of the confidence, then Brier's squares, then nats, then tokens."""
        stated_LC = self.probabilities_LC[self.counted_L].astype(float)
        codes_L = self.scored_L[self.counted_L].astype(int)
        squares = (brier(codes_L, stated_LC) or 0.0) * len(codes_L)
        given_L = np.clip(stated_LC[np.arange(len(codes_L)), codes_L], LEAST_PROBABILITY, None)
        bins_K = binned_sums(stated_LC.max(axis=1), stated_LC.argmax(axis=1) == codes_L)
        return np.concatenate([bins_K, [squares, -np.log(given_L).sum(), len(codes_L)]])

    @cached_property
    def coverage(self) -> tuple[int, int]:
        """How many tokens were scored, and how many of them answered."""
        return int(np.count_nonzero(~np.isnan(self.scored_L))), int(np.count_nonzero(self.counted_L))

    @cached_property
    def sleep_measures(self) -> dict[str, tuple[float, float]]:
        """Scored and predicted, of the counted tokens; NaN where not defined."""
        if not self.counted_L.any():
            return dict.fromkeys(SLEEP_MEASURES, (np.nan, np.nan))
        sides = [self._statistics(stages_L) for stages_L in (self.scored_L, self.predicted(5))]
        return {
            name: (_number(sides[0], attribute), _number(sides[1], attribute))
            for name, (attribute, _) in SLEEP_MEASURES.items()
        }

    def predicted(self, scheme: Scheme = 5) -> Floats:
        """(L,) the likeliest class, NaN where the model abstained."""
        answered_L = ~np.isnan(self.probabilities_LC).any(axis=1)
        codes_L = regroup_probabilities(np.nan_to_num(self.probabilities_LC), scheme).argmax(axis=1)
        return np.where(answered_L, codes_L, np.nan)

    def _statistics(self, stages_L: Floats) -> SleepStatistics:
        return sleep_statistics(
            np.where(self.counted_L, stages_L, np.nan),
            lights_off_s=self.lights_off_s,
            lights_on_s=self.lights_on_s,
            grid_start_s=self.grid_start_s,
        )


def staging_figures(nights: Sequence[StagedNight], n_resamples: int = N_RESAMPLES, seed: int = 0) -> list[Figure]:
    """All figures of staging.

    Accuracy, kappa and macro-F1 of five, four and three classes; F1 and share (predicted minus scored, percentage
    points) of each stage; calibration of five classes (error in `N_BINS` bins of the largest probability, Brier's score
    summed over the classes, likelihood); coverage; bias, limits of agreement and ICC of the sleep statistics.

    Raises:
        UsageError: what a night states is no probability, or its lights go on before they go off.
    """
    counted = [night for night in nights if night.counted_L.any()]
    people = [night.person for night in counted]
    lines: list[Figure] = []
    for scheme in SCHEMES:
        parts_NK = [night.confusions[scheme].ravel() for night in counted]
        sums = resampled_sums(_table(parts_NK, scheme**2), people, n_resamples=n_resamples, seed=seed)
        counts_SCC = sums.rows_SK.reshape(-1, scheme, scheme)
        lines += [
            figure(what, values_S, sums.sample, task=TASK, outcome=_classes(scheme))
            for what, values_S in agreements(counts_SCC).items()
        ]
        if scheme == len(FIVE):
            by_stage = (
                ("F1", f1_scores(counts_SCC)),
                ("share, predicted minus scored, percentage points", share_differences_percent(counts_SCC)),
            )
            lines += [
                figure(what, values_SC[:, code], sums.sample, task=TASK, outcome=stage)
                for what, values_SC in by_stage
                for code, stage in enumerate(FIVE)
            ]
    lines += _calibration_figures(counted, n_resamples, seed)
    lines.append(_coverage_figure(nights, n_resamples, seed))
    for name, (_, unit) in SLEEP_MEASURES.items():
        pairs_N2 = np.array([night.sleep_measures[name] for night in counted], dtype=float).reshape(-1, 2)
        lines += paired_figures(
            pairs_N2[:, 0],
            pairs_N2[:, 1],
            people,
            (BIAS, LOWER, UPPER, ICC),
            task=TASK,
            outcome=name,
            unit=unit,
            n_resamples=n_resamples,
            seed=seed,
        )
    return lines


def staging_plots(nights: Sequence[StagedNight], least_confidence: float | None = None) -> list[Plot]:
    """Pictures of staging; none without a counted token.

    Args:
        least_confidence: the model's operating point: it abstains where its largest probability is below. What that
            costs and gives on these nights is marked in the curve of risk and coverage. None: no point was fitted.
    """
    counted = [night for night in nights if night.counted_L.any()]
    if not counted:
        return []
    plots: list[Plot] = [
        ConfusionPlot(
            f"Sleep stages, {_classes(scheme)}",
            STAGE_NAMES[scheme],
            np.sum([night.confusions[scheme] for night in counted], axis=0),
        )
        for scheme in SCHEMES
    ]
    plots += _examples(counted)
    for name in _PLOTTED:
        pairs_N2 = np.array([night.sleep_measures[name] for night in counted])
        pairs_N2 = pairs_N2[~np.isnan(pairs_N2).any(axis=1)]
        if len(pairs_N2):
            plots.append(BlandAltmanPlot(name, SLEEP_MEASURES[name][1], pairs_N2[:, 0], pairs_N2[:, 1]))
    bins_K = np.sum([night.calibration_K for night in counted], axis=0)[: 3 * N_BINS]
    plots.append(reliability_plot("Sleep stages: how sure, and how often right", bins_K))
    plots.append(_coverage_plot(counted, least_confidence))
    return plots


def _calibration_figures(counted: Sequence[StagedNight], n_resamples: int, seed: int) -> list[Figure]:
    parts_NK = _table([night.calibration_K for night in counted], 3 * N_BINS + 3)
    sums = resampled_sums(parts_NK, [night.person for night in counted], n_resamples=n_resamples, seed=seed)
    squares_S, nats_S, n_S = sums.rows_SK[:, -3:].T
    values = {
        f"ECE, {N_BINS} bins": calibration_errors(sums.rows_SK[:, : 3 * N_BINS]),
        "Brier, sum over classes": ratio(squares_S, n_S),
        "NLL, nats": ratio(nats_S, n_S),
    }
    return [figure(what, values_S, sums.sample, task=TASK, outcome=_classes(5)) for what, values_S in values.items()]


def _coverage_figure(nights: Sequence[StagedNight], n_resamples: int, seed: int) -> Figure:
    scored = [night for night in nights if night.coverage[0]]
    parts_NK = _table([np.array(night.coverage) for night in scored], 2)
    sums = resampled_sums(parts_NK, [night.person for night in scored], n_resamples=n_resamples, seed=seed)
    share_S = ratio(sums.rows_SK[:, 1], sums.rows_SK[:, 0])
    return figure("coverage, share of scored epochs answered", share_S, sums.sample, task=TASK)


def _examples(counted: Sequence[StagedNight]) -> list[Plot]:
    """The nights of the worst, the median and the best kappa; fewer where there are fewer nights."""
    known = [(agreement_of(night.confusions[5]).kappa, night) for night in counted]
    ranked = sorted(((kappa, night) for kappa, night in known if kappa is not None), key=lambda pair: pair[0])
    places: dict[int, str] = {}
    if ranked:
        for place, rank in ((0, "Worst"), ((len(ranked) - 1) // 2, "Median"), (len(ranked) - 1, "Best")):
            places.setdefault(place, rank)
    plots: list[Plot] = []
    for place, rank in places.items():
        kappa, night = ranked[place]
        title = f"{rank} of {len(ranked)} nights, kappa {kappa:.2f}: {night.name or night.person}"
        plots.append(HypnodensityPlot(title, night.probabilities_LC, night.scored_L, night.predicted(5)))
    return plots


def _coverage_plot(counted: Sequence[StagedNight], least_confidence: float | None) -> CoveragePlot:
    stated_LC = np.concatenate([night.probabilities_LC[night.counted_L] for night in counted])
    codes_L = np.concatenate([night.scored_L[night.counted_L] for night in counted])
    curve = risk_coverage(stated_LC.argmax(axis=1) != codes_L, stated_LC.max(axis=1))
    last = len(curve.threshold_K) - 1
    kept = np.unique(np.linspace(0, last, MOST_POINTS).round().astype(int))
    return CoveragePlot(
        "Sleep stages: errors when the least sure epochs are left open",
        curve.coverage_K[kept],
        curve.risk_K[kept],
        None if least_confidence is None else _chosen(curve, least_confidence),
    )


def _chosen(curve: RiskCoverage, least_confidence: float) -> tuple[float, float] | None:
    """Coverage and risk where the confidence is at least so much; None where nothing is."""
    place = int(np.count_nonzero(curve.threshold_K >= least_confidence)) - 1
    return None if place < 0 else (float(curve.coverage_K[place]), float(curve.risk_K[place]))


def _table(rows: Sequence[NDArray[np.generic]], width: int) -> NDArray[np.float64]:
    """Rows stacked; of none, a table of no rows."""
    return np.array(rows, dtype=float).reshape(-1, width)


def _classes(scheme: Scheme) -> str:
    return f"{scheme} classes"


def _number(statistics: SleepStatistics, attribute: str) -> float:
    value = getattr(statistics, attribute)
    return float("nan") if value is None else float(value)
