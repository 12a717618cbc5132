"""How well survival is foretold of people who taught nothing, with intervals by resampling people.

Dimension letters: N nights, P people, R resamples, T times.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sleep2vec.metrics.bootstrap import interval_of, resampled_counts
from sleep2vec.metrics.figure import Figure, figure_of
from sleep2vec.metrics.survival import harrell_c, integrated_brier, uno_c
from sleep2vec.metrics.survival_resamples import Resamples
from sleep2vec.store.manifest import ManifestRow
from sleep2vec.tasks.follow_up import FollowUp, age_and_sex, follow_up
from sleep2vec.tasks.survival_model import WHICH, SurvivalModel, Which, checked_embeddings, finite_rows
from sleep2vec.vocabulary.errors import UsageError

Floats = NDArray[np.float64]

TASK = "survival"
_SEEN_SHARE = 0.1
_BRIER_TIMES = 41
BASELINE: Which = "age_sex"


@dataclass(frozen=True)
class Told:
    """What a model says of the people that an outcome is known of.

    Attributes:
        followed: Who they are, one night each, all with an embedding: all models are judged on the same.
        log_hazards: By model, (P,).
    """

    followed: FollowUp
    log_hazards: Mapping[Which, Floats]


def told_people(model: SurvivalModel, outcome: str, embeddings_ND: ArrayLike, rows: Sequence[ManifestRow]) -> Told:
    """Ask all models of one outcome. Raises `UsageError` as `SurvivalModel.log_hazard` and `follow_up` do."""
    embeddings = checked_embeddings(embeddings_ND, model.width)
    if len(embeddings) != len(rows):
        raise UsageError(f"{len(embeddings)} embeddings came with {len(rows)} nights.")
    followed = follow_up(rows, outcome, finite_rows(embeddings))
    age_P, sex_P = age_and_sex([rows[place] for place in followed.place_P])
    own_PD = embeddings[followed.place_P]
    return Told(followed, {which: model.log_hazard(outcome, own_PD, age_P, sex_P, which) for which in WHICH})


def survival_figures(
    model: SurvivalModel,
    embeddings_ND: ArrayLike,
    rows: Sequence[ManifestRow],
    n_resamples: int = 1000,
    seed: int = 0,
) -> list[Figure]:
    """Of each outcome: people with the event; Harrell's and Uno's C and the integrated Brier score of the three models;
    and how far those with the embedding differ from age and sex, by the same resamples.

    C is 0.5 for who knows nothing, 1 at best; a Brier score is 0 at best, so that a difference below 0 is better. Uno's
    C and the Brier score reach to the model's horizon, or, where it comes first, to the time until which a tenth of
    these people are looked at; the censoring is that of these people, and of each resample.

    Args:
        model: fitted on others.
        embeddings_ND, rows: nights to judge on; of a person the first counts.
        n_resamples, seed: as in `bootstrap_interval`; the interval is 95 %.

    Raises:
        UsageError: the shapes do not fit the model, or an event is none.
    """
    found: list[Figure] = []
    for outcome in model.outcomes:
        told = told_people(model, outcome, embeddings_ND, rows)
        found += _figures(model, outcome, told, n_resamples, seed)
    return found


def _figures(model: SurvivalModel, outcome: str, told: Told, n_resamples: int, seed: int) -> list[Figure]:
    followed = told.followed
    n = followed.n_people
    found = [Figure("people with the event", followed.n_events, None, None, n, n, task=TASK, outcome=outcome)]
    if n == 0:
        return found
    horizon = _horizon(model, outcome, followed)
    # One person alone cannot be resampled: no resample says anything then.
    counts_RP = resampled_counts(n, n_resamples if n > 1 else 0, seed)
    resamples = Resamples(followed.years_P, followed.event_P, counts_RP)
    judged: dict[Which, dict[str, tuple[float | None, Floats]]] = {}
    for which in WHICH:
        judged[which] = _judged(model, outcome, which, told, resamples, horizon)
        found += [
            figure_of(
                f"{what}, {WHICH[which]}", interval_of(value, values_R, n_people=n), n, task=TASK, outcome=outcome
            )
            for what, (value, values_R) in judged[which].items()
        ]
    for which in WHICH:
        if which == BASELINE:
            continue
        for what, (value, values_R) in judged[which].items():
            least, least_R = judged[BASELINE][what]
            difference = None if value is None or least is None else value - least
            name = f"{what}, {WHICH[which]} minus {WHICH[BASELINE]} alone"
            interval = interval_of(difference, values_R - least_R, n_people=n)
            found.append(figure_of(name, interval, n, task=TASK, outcome=outcome))
    return found


def _judged(
    model: SurvivalModel, outcome: str, which: Which, told: Told, resamples: Resamples, horizon: float
) -> dict[str, tuple[float | None, Floats]]:
    """By name of the metric: its value, and that of each resample."""
    risk_P, years_P, event_P = told.log_hazards[which], resamples.time_N, resamples.event_N
    harrell_R, uno_R = resamples.concordances(risk_P, horizon)
    until = f" to {horizon:.1f} years"
    found = {
        "Harrell's C": (harrell_c(years_P, event_P, risk_P), harrell_R),
        f"Uno's C{until}": (uno_c(years_P, event_P, risk_P, tau=horizon), uno_R),
    }
    brier, brier_R = None, np.full(len(resamples.counts_RN), np.nan)
    if horizon > 0:
        times_T = np.linspace(0, horizon, _BRIER_TIMES)
        survival_PT = model.survival_of(outcome, risk_P, times_T, which)
        brier = integrated_brier(years_P, event_P, survival_PT, times_T)
        brier_R = resamples.integrated_brier(survival_PT, times_T)
    return {**found, f"integrated Brier score{until}": (brier, brier_R)}


def _horizon(model: SurvivalModel, outcome: str, followed: FollowUp) -> float:
    """Until when these people can be judged, in years; each time up to it is known to the model, too."""
    fitted = model.of(outcome)
    seen = float(np.quantile(followed.years_P, 1 - _SEEN_SHARE, method="lower"))
    return min(fitted.horizon_years, seen, *(hazard.baseline.last_time for hazard in fitted.hazards.values()))
