"""Pretraining: align the simultaneous signals of a night, or learn by another objective on the same footing."""

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from sleep2vec.data.pairs import PairBatch, PairSource
from sleep2vec.tasks.alignment import Aligner, AlignmentConfig
from sleep2vec.tasks.alignment_objectives import OBJECTIVES
from sleep2vec.tasks.pretraining_validation import retrieval_by_pair
from sleep2vec.training.runner import RunConfig, Work

__all__ = ["Aligner", "AlignmentConfig", "alignment_loss", "alignment_work"]


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
    """The objective that the recipe names, of one batch or of this process's share of it."""
    parts = OBJECTIVES[config.objective].loss(cast(Aligner, module), batch, config, generator)
    loss = torch.stack(tuple(parts.values())).sum()
    numbers = {f"train/loss_{'_'.join(batch.modalities)}": float(loss.detach())}
    if len(parts) > 1:  # validation judges by the contrast: who compares has to know which part is which
        numbers |= {f"train/{name}": float(part.detach()) for name, part in parts.items()}
    return loss, numbers
