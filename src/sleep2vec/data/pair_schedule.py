"""Which modalities a batch aligns: all pairs alike, or some of them more often in some part of the run."""

from collections.abc import Sequence
from itertools import combinations, pairwise
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from sleep2vec.vocabulary.errors import StoreError, UnknownModalityError
from sleep2vec.vocabulary.modalities import derived_together, parse_modalities


def _known(names: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return parse_modalities(names)
    except UnknownModalityError as error:
        raise ValueError(str(error)) from None


class PairStage(BaseModel):
    """A part of the run in which the pairs of some modalities are favoured.

    A curriculum that begins with what is easy, and adaptation to a new sensor (method, section 5: its pairs alone, then
    in 0.7 of the batches, then no more often than others), are said alike:

        pair_schedule:
          - {until: 0.3, favour: [ppg], share: 1.0}
          - {until: 0.6, favour: [ppg], share: 0.7}
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    until: Annotated[float, Field(gt=0, le=1, description="share of the run at which the stage ends")]
    favour: Annotated[tuple[str, ...], AfterValidator(_known)]
    share: Annotated[
        float,
        Field(
            ge=0, le=1, description="share of batches drawn among the pairs that hold one of these; the rest: any pair"
        ),
    ]


def in_order(stages: tuple[PairStage, ...]) -> tuple[PairStage, ...]:
    """The stages themselves; a `ValueError` where one ends before the one before it."""
    for before, after in pairwise(stages):
        if after.until <= before.until:
            raise ValueError(f"a stage until {after.until:g} comes after one until {before.until:g}; give later ends")
    return stages


def pair_weights(sets: Sequence[tuple[str, ...]], derived_weight: float) -> NDArray[np.float64]:
    """How often each set of modalities is drawn, relative to the others.

    `derived_weight` where it holds a signal and its own derivative, else 1; all alike where nothing else is left.
    """
    weights = np.array(
        [derived_weight if any(derived_together(a, b) for a, b in combinations(names, 2)) else 1.0 for names in sets]
    )
    return weights if weights.any() else np.ones(len(sets))


def stage_at(stages: Sequence[PairStage], progress: float) -> PairStage | None:
    """The stage of a moment of the run (0: its start, 1: its end); None once all are over."""
    return next((stage for stage in stages if progress < stage.until), None)


def set_probabilities(
    sets: Sequence[tuple[str, ...]], weights: NDArray[np.float64], stage: PairStage | None
) -> NDArray[np.float64]:
    """The probability that a batch of a stage aligns each of the sets.

    Raises:
        StoreError: the stage favours modalities of which there are no pairs.
    """
    probability = weights / weights.sum()
    if stage is None or stage.share == 0:
        return probability
    favoured = np.array([not set(stage.favour).isdisjoint(names) for names in sets])
    if not favoured.any():
        raise StoreError(
            f"pair_schedule favours {', '.join(stage.favour)}, and no two nights hold one of them together with "
            "another modality of the recipe."
        )
    chosen = np.where(favoured, weights, 0.0)
    if (
        not chosen.any()
    ):  # derivatives of themselves only, and derived_pair_weight is 0: asked for by name, they are drawn
        chosen = favoured.astype(np.float64)
    return stage.share * chosen / chosen.sum() + (1 - stage.share) * probability
