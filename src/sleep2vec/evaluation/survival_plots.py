"""Survival of people apart by what was foretold of them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from sleep2vec.metrics.survival import kaplan_meier
from sleep2vec.report.evaluation_plots import KaplanMeierPlot, SurvivalStep
from sleep2vec.store.manifest import ManifestRow
from sleep2vec.tasks.survival_figures import told_people
from sleep2vec.tasks.survival_model import WHICH, SurvivalModel, Which

THIRDS = ("low risk", "middle risk", "high risk")


def survival_plots(
    model: SurvivalModel,
    embeddings_ND: ArrayLike,
    rows: Sequence[ManifestRow],
    models: Sequence[Which] = tuple(WHICH),
) -> list[KaplanMeierPlot]:
    """Kaplan-Meier curves of each outcome by thirds of each model's risk.

    Where the thirds end is known from the training people (`survival_model.Hazard.bounds_2`), so that a third may hold
    more of these people than another; one without any is left out. A curve begins at 0 years with all.

    Args:
        model: fitted on others.
        embeddings_ND, rows: nights to judge on; of a person the first counts.
        models: of which to draw.

    Raises:
        UsageError: as `survival_figures`.
    """
    plots = []
    for outcome in model.outcomes:
        told = told_people(model, outcome, embeddings_ND, rows)
        years_P, event_P = told.followed.years_P, told.followed.event_P
        for which in models:
            bounds_2 = model.of(outcome).hazards[which].bounds_2.numpy()
            third_P = np.searchsorted(bounds_2, told.log_hazards[which], side="left")
            groups = [
                _step(name, years_P[third_P == third], event_P[third_P == third])
                for third, name in enumerate(THIRDS)
                if (third_P == third).any()
            ]
            plots.append(KaplanMeierPlot(f"{outcome} by risk from {WHICH[which]}", tuple(groups)))
    return plots


def _step(name: str, years_P: np.ndarray, event_P: np.ndarray) -> SurvivalStep:
    curve = kaplan_meier(years_P, event_P)
    columns = (curve.survival_K, curve.low_K, curve.high_K)
    began = () if curve.time_K[0] == 0 else (0.0,)
    return SurvivalStep(
        name,
        len(years_P),
        int(event_P.sum()),
        np.append(began, curve.time_K),
        *(np.append(np.ones(len(began)), column) for column in columns),
    )
