"""Adaptation: a pretrained encoder learns to read sensors that it has never seen.

In two stages (method.md, section 5). First the new tokenizers alone, against everything that is there, which does not
move: whoever had embeddings of the old sensors has them still. Then all together, the old parts slowly, with pairs of
the new sensors first.
"""

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from sleep2vec.data.pair_schedule import PairStage
from sleep2vec.data.pairs import PairConfig
from sleep2vec.model.encoder import ModelConfig
from sleep2vec.tasks.alignment import Aligner, AlignmentConfig
from sleep2vec.vocabulary.modalities import parse_modalities

# What all sensors share beside the backbone.
_SHARED = ("projection.", "encoder.mask_D", "encoder.cls_D")


class AdaptationConfig(BaseModel):
    """How far the second stage may move what was there, and which pairs it draws; method.md's by default."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    encoder_rate: Annotated[float, Field(ge=0, description="of the learning rate: backbone and old tokenizers")] = 0.1
    shared_rate: Annotated[float, Field(ge=0, description="of the learning rate: projection, mask and [CLS]")] = 0.5
    new_rate: Annotated[float, Field(ge=0, description="of the learning rate: the new tokenizers")] = 1.0
    new_pairs: Annotated[
        tuple[Annotated[float, Field(ge=0, le=1)], ...],
        Field(
            min_length=1,
            description="share of batches with a new sensor, in equal parts of the second stage; the rest: any pair",
        ),
    ] = (1.0, 0.7, 0.0)


def widened(old: Aligner, new: Sequence[str], objective: AlignmentConfig) -> Aligner:
    """A module of the same objective that reads `new` modalities too: theirs is random, all else as in `old`."""
    module = Aligner(widened_config(old.encoder.config, new), objective)
    module.load_state_dict({**module.state_dict(), **old.state_dict()})
    return module


def widened_config(config: ModelConfig, new: Sequence[str]) -> ModelConfig:
    """The same model with `new` modalities."""
    return config.model_copy(update={"modalities": parse_modalities((*config.modalities, *new))})


def let_learn(module: Aligner, new: Sequence[str] | None) -> None:
    """Let what belongs to the `new` modalities learn and nothing else; None: everything."""
    prefixes = None if new is None else _of_its_own(new)
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(prefixes is None or name.startswith(prefixes))


def rates_of(new: Sequence[str], config: AdaptationConfig) -> dict[str, float]:
    """Factors on the learning rate by prefix of parameter names, as `training.optimizer` takes them."""
    return {
        "": config.encoder_rate,
        **dict.fromkeys(_SHARED, config.shared_rate),
        **dict.fromkeys(_of_its_own(new), config.new_rate),
    }


def _of_its_own(modalities: Sequence[str]) -> tuple[str, ...]:
    """Prefixes of the parameters that serve one modality alone: its tokenizer, and its decoder where there is one."""
    return tuple(f"{part}.{name}." for name in modalities for part in ("encoder.tokenizers", "decoders"))


def new_pairs_first(batches: PairConfig, new: Sequence[str], shares: Sequence[float]) -> PairConfig:
    """Batches of which so large `shares`, in equal parts of a run, are of pairs with a new modality."""
    stages = tuple(
        PairStage(until=(place + 1) / len(shares), favour=tuple(new), share=share) for place, share in enumerate(shares)
    )
    return batches.model_copy(update={"pair_schedule": stages})
