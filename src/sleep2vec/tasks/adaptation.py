"""Adaptation: a pretrained encoder learns to read sensors that it has never seen.

In two stages (method.md, section 5). First the new tokenizers alone, against everything that is there, which does not
move: whoever had embeddings of the old sensors has them still. Then all together, the old parts slowly, with pairs of
the new sensors first.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from sleep2vec.data.pairs import PairBatch
from sleep2vec.tasks.pretraining import Aligner
from sleep2vec.training.runner import Work
from sleep2vec.vocabulary.modalities import derived_together, parse_modalities

Pair = tuple[str, str]
BatchOfPair = Callable[[int, Pair | None], PairBatch]
# What all sensors share beside the backbone.
_SHARED = ("projection.", "encoder.mask_D", "encoder.cls_D")


class AdaptationConfig(BaseModel):
    """How far the second stage may move what was there, and which pairs it draws; method.md's by default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    encoder_rate: Annotated[float, Field(ge=0, description="of the learning rate: backbone and old tokenizers")] = 0.1
    shared_rate: Annotated[float, Field(ge=0, description="of the learning rate: projection, mask and [CLS]")] = 0.5
    new_rate: Annotated[float, Field(ge=0, description="of the learning rate: the new tokenizers")] = 1.0
    new_pairs: Annotated[
        tuple[Annotated[float, Field(ge=0, le=1)], ...],
        Field(
            min_length=1,
            description="probability that a batch is of a pair with a new sensor, by equal parts of the second stage; "
            "otherwise it is of any pair",
        ),
    ] = (1.0, 0.7, 0.0)


def widened(old: Aligner, new: Sequence[str]) -> Aligner:
    """An aligner that reads `new` modalities too: their tokenizers at random, all else as in `old`."""
    config = old.encoder.config
    modalities = parse_modalities((*config.modalities, *new))
    module = Aligner(config.model_copy(update={"modalities": modalities}))
    learned = old.state_dict()
    module.load_state_dict({**module.state_dict(), **learned})
    return module


def let_learn(module: Aligner, new: Sequence[str] | None) -> None:
    """Let the tokenizers of the `new` modalities learn and nothing else; None: everything."""
    prefixes = None if new is None else tuple(map(_tokenizer, new))
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(prefixes is None or name.startswith(prefixes))


def rates_of(new: Sequence[str], config: AdaptationConfig) -> dict[str, float]:
    """Factors on the learning rate by prefix of parameter names, as `training.optimizer` takes them."""
    return {
        "encoder.": config.encoder_rate,
        **dict.fromkeys(_SHARED, config.shared_rate),
        **dict.fromkeys(map(_tokenizer, new), config.new_rate),
    }


def _tokenizer(modality: str) -> str:
    return f"encoder.tokenizers.{modality}."


class PairSchedule:
    """Which pair each batch is of, a function of (seed, step).

    Args:
        pairs: all that can be drawn.
        new: the new modalities.
        new_pairs: see `AdaptationConfig`.
        n_steps: of the stage.
        derived_weight: how often a pair of a signal and its derivative is drawn against any other pair.
        seed: with the step, decides.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        new: Sequence[str],
        new_pairs: Sequence[float],
        n_steps: int,
        derived_weight: float,
        seed: int,
    ) -> None:
        self.pairs, self._new_pairs, self._n_steps, self._seed = tuple(pairs), tuple(new_pairs), n_steps, seed
        weights = np.array([derived_weight if derived_together(*pair) else 1.0 for pair in self.pairs])
        is_new = np.array([bool(set(pair) & set(new)) for pair in self.pairs])
        self._any, self._of_new = _shares(weights), _shares(np.where(is_new, weights, 0.0), is_new)

    def probabilities(self, step: int) -> NDArray[np.float64]:
        """(pairs,) of being drawn at a step."""
        part = min(step * len(self._new_pairs) // self._n_steps, len(self._new_pairs) - 1)
        preference = self._new_pairs[part]
        return preference * self._of_new + (1 - preference) * self._any

    def pair(self, step: int) -> Pair:
        """The pair of a step."""
        draw = np.random.default_rng([self._seed, 0xADA, step])
        return self.pairs[draw.choice(len(self.pairs), p=self.probabilities(step))]


def _shares(weights: NDArray[np.float64], chosen: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """Weights that sum up to 1; where they are all 0, the chosen ones are equal."""
    if weights.sum() == 0:
        weights = np.ones_like(weights) if chosen is None else chosen.astype(np.float64)
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


def anchored(pairs: Sequence[Pair], new: Sequence[str]) -> tuple[Pair, ...]:
    """Pairs of a new modality with an old one: in the first stage only the old ones know where to go."""
    return tuple(pair for pair in pairs if len(set(pair) & set(new)) == 1)


def scheduled(work: Work[PairBatch], schedule: PairSchedule, batch_of: BatchOfPair) -> Work[PairBatch]:
    """The same work with its pairs drawn by a schedule."""
    return replace(work, batch=lambda step: batch_of(step, schedule.pair(step)))
