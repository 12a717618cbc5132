"""Three models of how soon an event comes, as they are kept and asked.

Dimension letters: N nights, D features of an embedding, T times, K steps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from sleep2vec.objectives import Baseline, survival_probability
from sleep2vec.vocabulary.errors import ModelError, UsageError

Floats = NDArray[np.float64]
Which = Literal["age_sex", "embedding", "embedding_age_sex"]
WHICH: Mapping[Which, str] = {
    "age_sex": "age and sex",
    "embedding": "embedding",
    "embedding_age_sex": "embedding, age and sex",
}
"""The three models, as they are named to people; the first is to be beaten."""

_TENSORS = ("weights", "demography_weights", "time", "log_hazard", "bounds")
Positive = Annotated[float, Field(gt=0)]


class SurvivalConfig(BaseModel):
    """How survival is fitted.

    Attributes:
        outcomes: X of ``event.X`` and ``time_years.X``; None: all that the training nights have.
        penalties: On the embedding's weights, from which one is chosen; see the head of this file.
        horizon_years: Until when it is judged; None: as long as a tenth of the training people are looked at.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    outcomes: tuple[str, ...] | None = None
    penalties: Annotated[tuple[Positive, ...], Field(min_length=1)] = tuple(
        factor * 10.0**decade for decade in range(-3, 4) for factor in (1.0, 3.0)
    )
    demography_penalty: Annotated[float, Field(gt=0, description="on the weights of age and sex, per sd")] = 0.01
    components: Annotated[int, Field(ge=1, description="principal components of the embedding, at most")] = 128
    folds: Annotated[int, Field(ge=2, description="of people, to choose the penalty")] = 5
    seed: Annotated[int, Field(ge=0)] = 0
    min_events: Annotated[int, Field(ge=2, description="people with the event, below which an outcome is refused")] = 10
    horizon_years: Positive | None = None


@dataclass(frozen=True)
class Hazard:
    """One model of one outcome: ``(embedding - centre) @ weights + (age and sex - centre) @ demography_weights``.

    Attributes:
        weights_D: Empty for the model that reads no embedding.
        demography_weights_2: Log hazard ratio of a year of age, and of men to women; 0 where they are not read.
        baseline: Of a person of log hazard 0; Breslow's, on the training people. Times are in years.
        bounds_2: Where the training people's log hazards part into thirds.
        penalty: On the embedding's weights; None without.
        gains: Cross-validated log partial likelihood of each penalty of the config (without an embedding: of the one
            penalty on age and sex), above that of telling nothing.
    """

    weights_D: Tensor
    demography_weights_2: Tensor
    baseline: Baseline
    bounds_2: Tensor
    penalty: float | None
    gains: tuple[float, ...]


@dataclass(frozen=True)
class OutcomeModel:
    """The models of one outcome, and whom they were fitted on."""

    centre_D: Tensor
    demography_centre_2: Tensor
    hazards: Mapping[Which, Hazard]
    n_people: int
    n_events: int
    horizon_years: float


class SurvivalModel:
    """What was fitted.

    Attributes:
        config: How.
        width: D, the embeddings it reads.
        outcomes: By name.
        refused: Why an outcome was not fitted, by name.
    """

    def __init__(
        self, config: SurvivalConfig, width: int, outcomes: Mapping[str, OutcomeModel], refused: Mapping[str, str]
    ) -> None:
        self.config, self.width, self.outcomes, self.refused = config, width, dict(outcomes), dict(refused)

    def of(self, outcome: str) -> OutcomeModel:
        """The models of an outcome. Raises `UsageError` with the reason where there are none."""
        if outcome in self.refused:
            raise UsageError(f"{outcome} was not fitted: {self.refused[outcome]}")
        if outcome not in self.outcomes:
            raise UsageError(f"{outcome} was not fitted; this model has {', '.join(self.outcomes) or 'no outcomes'}.")
        return self.outcomes[outcome]

    def log_hazard(
        self,
        outcome: str,
        embeddings_ND: ArrayLike,
        age_N: ArrayLike,
        sex_N: Sequence[str | None],
        which: Which = "embedding_age_sex",
    ) -> Floats:
        """Log hazard of each night against that of the mean training person.

        Args:
            outcome: X of ``event.X``.
            embeddings_ND: (N, D).
            age_N: (N,) years, NaN or None where unknown.
            sex_N: (N,) ``female``, ``male``, or None where unknown.
            which: of the three models.

        Returns:
            (N,), NaN where the model reads an embedding that is not finite.

        Raises:
            UsageError: an outcome or model that there is not, lengths that differ, or a word that is no sex.
        """
        fitted, hazard = self._hazard(outcome, which)
        embeddings_ND = checked_embeddings(embeddings_ND, self.width)
        demography_N2 = demography(age_N, sex_N)
        if len(demography_N2) != len(embeddings_ND):
            raise UsageError(f"{len(embeddings_ND)} embeddings came with {len(demography_N2)} ages and sexes.")
        centred_N2 = demography_N2 - fitted.demography_centre_2.numpy()
        told_N: Floats = np.nan_to_num(centred_N2, nan=0.0) @ hazard.demography_weights_2.numpy()
        if len(hazard.weights_D):
            usable_N = finite_rows(embeddings_ND)
            centred_ND = np.where(usable_N[:, None], embeddings_ND, np.nan) - fitted.centre_D.numpy()
            told_N = told_N + centred_ND @ hazard.weights_D.numpy()
        return told_N

    def survival(
        self,
        outcome: str,
        embeddings_ND: ArrayLike,
        age_N: ArrayLike,
        sex_N: Sequence[str | None],
        years_T: ArrayLike,
        which: Which = "embedding_age_sex",
    ) -> Floats:
        """Chance of being free of the event beyond each time, (N, T).

        NaN where the log hazard is, and after the last look at a training person. Arguments and errors as in
        `log_hazard`.
        """
        told_N = self.log_hazard(outcome, embeddings_ND, age_N, sex_N, which)
        return self.survival_of(outcome, told_N, years_T, which)

    def survival_of(self, outcome: str, log_hazard_N: ArrayLike, years_T: ArrayLike, which: Which) -> Floats:
        """As `survival`, from log hazards of the same outcome and model."""
        baseline = self._hazard(outcome, which)[1].baseline
        told_N, years = (torch.from_numpy(np.asarray(column, dtype=float)) for column in (log_hazard_N, years_T))
        return survival_probability(told_N, baseline, years).numpy()

    def _hazard(self, outcome: str, which: Which) -> tuple[OutcomeModel, Hazard]:
        fitted = self.of(outcome)
        if which not in WHICH:
            raise UsageError(f"{which!r} is no model of survival; there are {', '.join(WHICH)}.")
        return fitted, fitted.hazards[which]

    def tensors(self) -> dict[str, Tensor]:
        """All that is a vector, in float64, for a checkpoint's safetensors; vectors stay whole there."""
        found = {}
        for outcome, fitted in self.outcomes.items():
            found[f"{outcome}/centre"] = fitted.centre_D
            found[f"{outcome}/demography_centre"] = fitted.demography_centre_2
            for which, hazard in fitted.hazards.items():
                vectors = (
                    hazard.weights_D, hazard.demography_weights_2, hazard.baseline.time_K,
                    hazard.baseline.log_hazard_K, hazard.bounds_2,
                )  # fmt: skip
                found |= {f"{outcome}/{which}/{name}": x for name, x in zip(_TENSORS, vectors, strict=True)}
        return found

    def as_dict(self) -> dict[str, Any]:
        """All else, for JSON."""
        return {
            "config": self.config.model_dump(mode="json"),
            "width": self.width,
            "refused": self.refused,
            "outcomes": {
                outcome: {
                    "n_people": fitted.n_people,
                    "n_events": fitted.n_events,
                    "horizon_years": fitted.horizon_years,
                    "hazards": {
                        which: {
                            "penalty": hazard.penalty,
                            "gains": list(hazard.gains),
                            "last_time": hazard.baseline.last_time,
                        }
                        for which, hazard in fitted.hazards.items()
                    },
                }
                for outcome, fitted in self.outcomes.items()
            },
        }

    @classmethod
    def from_parts(cls, tensors: Mapping[str, Tensor], described: Mapping[str, Any]) -> "SurvivalModel":
        """The model of which `tensors` and `as_dict` are given.

        Raises:
            ModelError: one of them is not whole.
        """
        try:
            outcomes = {
                outcome: _outcome_model(tensors, outcome, told) for outcome, told in described["outcomes"].items()
            }
            config = SurvivalConfig.model_validate(described["config"])
            return cls(config, int(described["width"]), outcomes, dict(described["refused"]))
        except (KeyError, TypeError, ValueError, AttributeError, ValidationError) as error:
            raise ModelError(
                f"the survival part of this model is damaged ({type(error).__name__}: {error}); copy the model again."
            ) from None


def _outcome_model(tensors: Mapping[str, Tensor], outcome: str, told: Mapping[str, Any]) -> OutcomeModel:
    hazards: dict[Which, Hazard] = {}
    for which in get_args(Which):
        own = told["hazards"][which]
        vectors = (tensors[f"{outcome}/{which}/{name}"] for name in _TENSORS)
        weights_D, weights_2, time_K, log_hazard_K, bounds_2 = vectors
        baseline = Baseline(time_K, log_hazard_K, float(own["last_time"]))
        penalty = None if own["penalty"] is None else float(own["penalty"])
        hazards[which] = Hazard(weights_D, weights_2, baseline, bounds_2, penalty, tuple(own["gains"]))
    centres = (tensors[f"{outcome}/centre"], tensors[f"{outcome}/demography_centre"])
    return OutcomeModel(*centres, hazards, int(told["n_people"]), int(told["n_events"]), float(told["horizon_years"]))


def demography(age_N: ArrayLike, sex_N: Sequence[str | None]) -> Floats:
    """(N, 2) age in years and 1 for men, NaN where unknown."""
    age = np.asarray(age_N, dtype=float)
    wrong = next((sex for sex in sex_N if sex not in ("female", "male", None)), None)
    if wrong is not None:
        raise UsageError(f"a sex is {wrong!r}; give female, male, or None where it is unknown.")
    male = np.array([np.nan if sex is None else float(sex == "male") for sex in sex_N], dtype=float)
    if age.shape != male.shape:
        raise UsageError(f"ages of shape {age.shape} came with {len(male)} sexes; give one of each a night.")
    return np.stack([np.where(np.isfinite(age), age, np.nan), male], axis=1)


def checked_embeddings(embeddings_ND: ArrayLike, width: int | None = None) -> Floats:
    """(N, D) float64. Raises `UsageError` for another shape."""
    embeddings = np.asarray(embeddings_ND, dtype=float)
    if embeddings.ndim != 2 or (width is not None and embeddings.shape[1] != width):
        wanted = "(nights, features)" if width is None else f"(nights, {width})"
        raise UsageError(f"survival reads embeddings of shape {wanted}, got {embeddings.shape}.")
    return embeddings


def finite_rows(embeddings_ND: Floats) -> NDArray[np.bool_]:
    """(N,) nights that have an embedding."""
    return np.asarray(np.isfinite(embeddings_ND).all(axis=1))
