"""Time to an event, from the embeddings of whole nights: proportional hazards, fitted on all training nights at once.

Three models of each outcome stand side by side, on the same people: age and sex, which need no night and are what is to
be beaten; the embedding; and both. How hard the embedding's weights are pulled to 0 is chosen on people left out; those
of age and sex are hardly pulled. Age is linear in the log hazard (Gompertz's law).

Embeddings are centred and scaled, turned into their principal components, and scaled together so that all components
have a variance of 1 in sum. A penalty is then one over the variance of the log hazard between people that is believed
in before looking, however many dimensions an embedding has; small components, which are mostly noise, are pulled
hardest. With as many dimensions as people the fit is as well determined as with few.

An unknown age or sex counts as the training people's mean, without a sign that it was unknown: who lacks an age is told
by the cohort, and a model that reads the cohort has learnt a shortcut. A night without an embedding (NaN) teaches
nothing and is told nothing by the models that read it.

Dimension letters: N nights, P people, D features of an embedding, C columns (components, age, sex).
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from sleep2vec.objectives import breslow_baseline
from sleep2vec.store.manifest import ManifestRow
from sleep2vec.tasks.follow_up import FollowUp, age_and_sex, follow_up, outcomes_of
from sleep2vec.tasks.ridge_cox import Choice, choose_penalty, person_folds, ridge_cox
from sleep2vec.tasks.survival_model import (
    WHICH,
    Hazard,
    OutcomeModel,
    SurvivalConfig,
    SurvivalModel,
    Which,
    checked_embeddings,
    demography,
    finite_rows,
)
from sleep2vec.vocabulary.errors import UsageError

__all__ = ["WHICH", "SurvivalConfig", "SurvivalModel", "Which", "fit_survival"]

Floats = NDArray[np.float64]

_SEEN_SHARE = 0.1


def fit_survival(
    embeddings_ND: ArrayLike, rows: Sequence[ManifestRow], config: SurvivalConfig | None = None
) -> SurvivalModel:
    """Fit the models of all outcomes, each on the people that have it; one night a person (`follow_up.follow_up`).

    Args:
        embeddings_ND: (N, D) of the training nights.
        rows: (N,) whose they are.
        config: how.

    Raises:
        UsageError: the lengths differ. An outcome with too few events, or with events that are no events, is refused
            with the reason in `SurvivalModel.refused`.
    """
    config = SurvivalConfig() if config is None else config
    embeddings_ND = checked_embeddings(embeddings_ND)
    if len(embeddings_ND) != len(rows):
        raise UsageError(f"{len(embeddings_ND)} embeddings came with {len(rows)} nights.")
    usable_N = finite_rows(embeddings_ND)
    fitted, refused = {}, {}
    for outcome in outcomes_of(rows) if config.outcomes is None else dict.fromkeys(config.outcomes):
        try:
            followed = follow_up(rows, outcome, usable_N)
        except UsageError as error:
            refused[outcome] = str(error)
            continue
        if followed.n_events < config.min_events:
            refused[outcome] = (
                f"{followed.n_events} of {followed.n_people} people with a night, an event.{outcome} and a "
                f"time_years.{outcome} had it; at least {config.min_events} are needed."
            )
            continue
        own = [rows[place] for place in followed.place_P]
        fitted[outcome] = _fit_outcome(embeddings_ND[followed.place_P], own, followed, config)
    return SurvivalModel(config, embeddings_ND.shape[1], fitted, refused)


def _fit_outcome(
    embeddings_PD: Floats, rows: Sequence[ManifestRow], followed: FollowUp, config: SurvivalConfig
) -> OutcomeModel:
    components_PC, turn_DC, centre_D = _components(embeddings_PD, config.components)
    scaled_P2, demography_centre_2, demography_scale_2 = _scaled(demography(*age_and_sex(rows)))
    years_P, event_P = followed.years_P, followed.event_P
    fold_P = person_folds(followed.people, followed.families, event_P, config.folds, config.seed)
    n = components_PC.shape[1]
    hazards: dict[Which, Hazard] = {}
    for which in WHICH:
        reads_night, reads_age = which != "age_sex", which != "embedding"
        x_PC = np.concatenate([components_PC[:, : n * reads_night], scaled_P2[:, : 2 * reads_age]], axis=1)
        fixed_C = np.full(x_PC.shape[1], np.nan)
        fixed_C[n * reads_night :] = config.demography_penalty
        penalties = config.penalties if reads_night else (config.demography_penalty,)
        choice = choose_penalty(x_PC, years_P, event_P, fold_P, penalties, fixed_C)
        weights_C = ridge_cox(x_PC, years_P, event_P, np.where(np.isnan(fixed_C), choice.penalty, fixed_C))
        weights_D = turn_DC @ weights_C[:n] if reads_night else np.zeros(0)
        weights_2 = weights_C[-2:] / demography_scale_2 if reads_age else np.zeros(2)
        hazards[which] = _hazard(x_PC @ weights_C, weights_D, weights_2, followed, choice, reads_night)
    seen_until = float(np.quantile(years_P, 1 - _SEEN_SHARE, method="lower"))
    horizon = seen_until if config.horizon_years is None else min(config.horizon_years, float(years_P.max()))
    return OutcomeModel(
        torch.from_numpy(centre_D),
        torch.from_numpy(demography_centre_2),
        hazards,
        followed.n_people,
        followed.n_events,
        horizon,
    )


def _hazard(
    told_P: Floats, weights_D: Floats, weights_2: Floats, followed: FollowUp, choice: Choice, reads_night: bool
) -> Hazard:
    years, event = torch.from_numpy(followed.years_P), torch.from_numpy(followed.event_P)
    return Hazard(
        torch.from_numpy(weights_D),
        torch.from_numpy(weights_2),
        breslow_baseline(torch.from_numpy(told_P), years, event),
        torch.from_numpy(np.quantile(told_P, [1 / 3, 2 / 3])),
        choice.penalty if reads_night else None,
        choice.gains,
    )


def _components(embeddings_PD: Floats, most: int) -> tuple[Floats, Floats, Floats]:
    """Principal components (P, C) of variance 1 in sum, the (D, C) that makes them of centred features, the centre."""
    scaled_PD, centre_D, scale_D = _scaled(embeddings_PD)
    together = np.sqrt(max(int(np.isfinite(scale_D).sum()), 1))
    scaled_PD = scaled_PD / together
    variance_C, turn_DC = np.linalg.eigh(scaled_PD.T @ scaled_PD / len(scaled_PD))
    kept_C = np.flatnonzero(variance_C > 1e-10 * variance_C.max(initial=0.0))[::-1][:most]
    turn_DC = turn_DC[:, kept_C]
    return scaled_PD @ turn_DC, turn_DC / (together * scale_D[:, None]), centre_D


def _scaled(values_PC: Floats) -> tuple[Floats, Floats, Floats]:
    """Columns of mean 0 and sd 1 (0 where unknown, and all of a column that is constant), centre, scale (or inf)."""
    known_PC = ~np.isnan(values_PC)
    n_C = np.maximum(known_PC.sum(axis=0), 1)
    centre_C = np.where(known_PC, values_PC, 0.0).sum(axis=0) / n_C
    centred_PC = np.where(known_PC, values_PC - centre_C, 0.0)
    scale_C = np.sqrt((centred_PC**2).sum(axis=0) / n_C)
    scale_C = np.where(scale_C > 1e-6 * np.abs(centre_C) + 1e-12, scale_C, np.inf)
    return centred_PC / scale_C, centre_C, scale_C
