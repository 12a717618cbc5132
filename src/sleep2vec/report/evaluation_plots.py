"""What an evaluation shows as pictures: plain numbers, drawn by `report.evaluation`.

Letters: L tokens, C classes, N nights or people, K bins or steps.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class ConfusionPlot:
    """How often each class (rows: scored) was called which (columns: predicted). `counts_CC` are numbers of epochs or
    nights; drawn as shares of each row, with the counts."""

    title: str
    names: tuple[str, ...]
    counts_CC: NDArray[np.int64]


@dataclass(frozen=True)
class HypnodensityPlot:
    """Probabilities of the stages over one night, below them the scored and the predicted hypnogram; NaN unknown."""

    title: str
    probabilities_LC: Floats
    scored_L: Floats
    predicted_L: Floats


@dataclass(frozen=True)
class BlandAltmanPlot:
    """Predicted minus true against their mean, with bias and limits of agreement."""

    title: str
    unit: str
    truth_N: Floats
    predicted_N: Floats


@dataclass(frozen=True)
class ReliabilityPlot:
    """How often what was said with a confidence was right. NaN in empty bins."""

    title: str
    confidence_K: Floats
    accuracy_K: Floats
    counts_K: NDArray[np.int64]
    calibration_error: float | None


@dataclass(frozen=True)
class CoveragePlot:
    """Error rate (`risk_K`) of what is answered when the least confident is abstained from; `chosen` is (coverage,
    risk) at the model's operating point, None where none was fitted."""

    title: str
    coverage_K: Floats
    risk_K: Floats
    chosen: tuple[float, float] | None


@dataclass(frozen=True)
class SurvivalStep:
    """A Kaplan-Meier curve of one risk group; times in years, an interval around the survival."""

    name: str
    n_people: int
    n_events: int
    years_K: Floats
    survival_K: Floats
    low_K: Floats
    high_K: Floats


@dataclass(frozen=True)
class KaplanMeierPlot:
    """Survival by group of predicted risk."""

    title: str
    groups: tuple[SurvivalStep, ...]


@dataclass(frozen=True)
class RocPlot:
    """Receiver operating characteristics, one curve an outcome: (name, false positive rate, true positive rate)."""

    title: str
    curves: tuple[tuple[str, Floats, Floats], ...]


@dataclass(frozen=True)
class SubsetPlot:
    """A figure of every subset of modalities against how many it has; `subsets` are their names with ``+``.
    `more_is_better` is None where the picture shall say lowest and highest instead of worst and best."""

    title: str
    what: str
    subsets: tuple[str, ...]
    values_N: Floats
    more_is_better: bool | None = None


Plot = (
    ConfusionPlot
    | HypnodensityPlot
    | BlandAltmanPlot
    | ReliabilityPlot
    | CoveragePlot
    | KaplanMeierPlot
    | RocPlot
    | SubsetPlot
)
