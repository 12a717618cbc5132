"""Pretraining: align the simultaneous signals of a night.

Dimension letters: B windows, L tokens, D features.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from sleep2vec.data.pairs import PairBatch, PairSource
from sleep2vec.data.window import View
from sleep2vec.model.encoder import Encoder, ModelConfig
from sleep2vec.model.projection import Projection
from sleep2vec.objectives import SameNight, TemporalNegatives, dash_infonce, infonce, negative_weights, same_person
from sleep2vec.tasks.pretraining_validation import retrieval_by_pair
from sleep2vec.training.runner import RunConfig, Work


class TemporalConfig(BaseModel):
    """Negatives from other moments of the same window; see `TemporalNegatives`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    drawn: Annotated[int, Field(ge=0, description="0 switches them off")] = 32
    exclusion_tokens: Annotated[int, Field(ge=0)] = 10
    share: Annotated[float, Field(gt=0)] = 1.0


class AlignmentConfig(BaseModel):
    """The contrast and its constants; the paper's by default, but for the temporal negatives and `window_weight`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    objective: Literal["dash_infonce", "infonce"] = "dash_infonce"
    temperature: Annotated[float, Field(gt=0)] = 0.2
    margin: Annotated[float, Field(ge=0)] = 0.10
    positive_margin: Annotated[float, Field(ge=0)] = 0.0
    same_night: SameNight = "margin"
    age_scale_years: Annotated[float, Field(gt=0)] = 20.0
    other_sex: Annotated[float, Field(gt=0, le=1)] = 0.8
    same_site: Annotated[float, Field(gt=0)] = 1.3
    other_site: Annotated[float, Field(gt=0)] = 0.8
    temporal: TemporalConfig = TemporalConfig()
    masked_share: Annotated[float, Field(ge=0, lt=1, description="tokens replaced by the mask embedding")] = 0.15
    window_weight: Annotated[float, Field(ge=0, description="of the contrast of whole windows ([CLS])")] = 0.1


class Aligner(nn.Module):
    """An encoder and the projection into the space where modalities meet."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.encoder = Encoder(config)
        self.projection = Projection(self.encoder.width, config.projection)

    def forward(self, batch: PairBatch, hidden: Sequence[Tensor | None] | None = None) -> list[tuple[Tensor, Tensor]]:
        """Projections of tokens (B, L, D) and of windows (B, D), for the batch's first and second modality."""
        views = list(zip(batch.pair, (batch.first, batch.second), strict=True))
        encoded = self.encoder(views, hidden)
        return [(self.projection(view.tokens_BLD), self.projection(view.window_BD)) for view in encoded]


def alignment_work(
    module: Aligner,
    source: PairSource,
    validation: PairSource | None,
    config: AlignmentConfig,
    run: RunConfig,
    rates: Mapping[str, float],
) -> Work[PairBatch]:
    """What `training.runner.train` needs to pretrain `module`."""

    def validate(averaged: nn.Module) -> dict[str, float]:
        return {} if validation is None else retrieval_by_pair(averaged, validation, config.temperature)

    return Work(
        module=module,
        batch=source.batch,
        to_device=PairBatch.to,
        loss=lambda aligner, batch, generator: alignment_loss(aligner, batch, config, generator),
        validate=validate,
        rates=dict(rates),
        windows=lambda batch: len(batch.metadata.night),
    )


def alignment_loss(
    module: nn.Module, batch: PairBatch, config: AlignmentConfig, generator: torch.Generator
) -> tuple[Tensor, dict[str, float]]:
    """Mask tokens of both views independently, encode, contrast."""
    hidden = [_masked(view, config.masked_share, generator) for view in (batch.first, batch.second)]
    (first_BLD, first_BD), (second_BLD, second_BD) = module(batch, hidden)
    valid_BL = batch.first.valid_BL & batch.second.valid_BL
    loss = _contrast(first_BLD, second_BLD, valid_BL, batch, config, generator)
    if config.window_weight > 0:
        whole_B = valid_BL.any(dim=1)
        loss = loss + config.window_weight * _contrast(first_BD, second_BD, whole_B, batch, config, None)
    return loss, {f"train/loss_{'_'.join(batch.pair)}": float(loss.detach())}


def _contrast(
    first: Tensor,
    second: Tensor,
    valid: Tensor,
    batch: PairBatch,
    config: AlignmentConfig,
    generator: torch.Generator | None,
) -> Tensor:
    if config.objective == "infonce":
        return infonce(first, second, config.temperature, positive_margin=config.positive_margin, valid=valid)
    known = batch.metadata
    weights = negative_weights(
        known.age,
        known.sex,
        known.site,
        known.night,
        subject=known.subject,
        same_night=config.same_night,
        age_scale_years=config.age_scale_years,
        other_sex=config.other_sex,
        same_site=config.same_site,
        other_site=config.other_site,
    )
    temporal = None
    if generator is not None and config.temporal.drawn > 0:
        temporal = TemporalNegatives(config.temporal.drawn, config.temporal.exclusion_tokens, config.temporal.share)
    return dash_infonce(
        first,
        second,
        weights=weights,
        same_night=same_person(known.night, known.subject),
        temperature=config.temperature,
        margin=config.margin,
        positive_margin=config.positive_margin,
        valid=valid,
        temporal=temporal,
        generator=generator,
    )


def _masked(view: View, share: float, generator: torch.Generator) -> Tensor:
    lottery_BL = torch.rand(view.valid_BL.shape, generator=generator)
    return (lottery_BL < share).to(view.valid_BL.device) & view.valid_BL
