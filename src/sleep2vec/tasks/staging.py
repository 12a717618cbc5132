"""Sleep staging from any subset of sensors.

Dimension letters: B windows, M modalities, L tokens, D features, C stages.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from sleep2vec.data.augment import DropoutConfig, drop_modalities
from sleep2vec.data.nights import NightBatch, NightSource
from sleep2vec.data.window import View
from sleep2vec.metrics.agreement import agreement
from sleep2vec.model.encoder import Encoder, ModelConfig
from sleep2vec.model.fusion import GatedFusion
from sleep2vec.model.heads import TokenClassifier
from sleep2vec.model.sizes import SIZES
from sleep2vec.objectives import masked_cross_entropy
from sleep2vec.training.runner import Work
from sleep2vec.vocabulary.stages import FIVE


class StagingConfig(BaseModel):
    """How staging is fine-tuned."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    train: Literal["head", "full"] = "full"
    encoder_rate: Annotated[float, Field(gt=0, le=1, description="factor on the learning rate of the encoder")] = 0.3
    dropout: DropoutConfig = DropoutConfig()


@dataclass(frozen=True)
class StagedTokens:
    """What a staging model says of a batch.

    Attributes:
        logits_BLC: Five stages.
        weights_BML: How much each modality decided; a token's weights sum to 1, or to 0 where none was valid.
        readable_BL: Tokens with at least one valid modality; the others are abstained from.
        fused_BLD: The fused features.
        windows_BD: [CLS] embeddings, averaged over the modalities a window has.
    """

    logits_BLC: Tensor
    weights_BML: Tensor
    readable_BL: Tensor
    fused_BLD: Tensor
    windows_BD: Tensor


class Stager(nn.Module):
    """Encoder, gated fusion and a classifier of tokens: one model for every subset of its modalities."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        size = SIZES[config.size]
        self.fusion = GatedFusion(len(config.modalities), size.width)
        self.head = TokenClassifier(size.width, size.heads, len(FIVE), config.dropout)

    def forward(self, views: Mapping[str, View]) -> StagedTokens:
        """Stage a batch. Modalities that are not in `views`, or nowhere valid, cost nothing."""
        given = [name for name in self.config.modalities if name in views]
        # With nothing valid at all one view still gives the shapes; no token of it is readable.
        present = [name for name in given if bool(views[name].valid_BL.any())] or given[:1]
        holders = [_holders(views[name]) for name in present]
        encoded = self.encoder([(name, views[name].rows(rows)) for name, rows in zip(present, holders, strict=True)])
        B, L = views[present[0]].valid_BL.shape
        M, D = len(self.config.modalities), self.encoder.width
        features_BMLD = encoded[0].tokens_BLD.new_zeros(B, M, L, D)
        windows_BMD = encoded[0].window_BD.new_zeros(B, M, D)
        valid_BML = torch.zeros(B, M, L, dtype=torch.bool, device=features_BMLD.device)
        for name, rows, part in zip(present, holders, encoded, strict=True):
            m = self.config.modalities.index(name)
            features_BMLD[rows, m] = part.tokens_BLD
            windows_BMD[rows, m] = part.window_BD
            valid_BML[:, m] = views[name].valid_BL
        fused_BLD, weights_BML = self.fusion(features_BMLD, valid_BML)
        readable_BL = valid_BML.any(dim=1)
        windows_BD = _mean_of_present(windows_BMD, valid_BML.any(dim=2))
        return StagedTokens(self.head(fused_BLD, readable_BL), weights_BML, readable_BL, fused_BLD, windows_BD)


def _holders(view: View) -> Tensor:
    """Indices of the windows that have the modality: the others need not be encoded. At least one."""
    rows = torch.nonzero(view.valid_BL.any(dim=1))[:, 0]
    return rows if len(rows) else torch.zeros(1, dtype=torch.long, device=rows.device)


def _mean_of_present(windows_BMD: Tensor, present_BM: Tensor) -> Tensor:
    share_BM = present_BM / present_BM.sum(dim=1, keepdim=True).clamp(min=1)
    return torch.einsum("bm,bmd->bd", share_BM.to(windows_BMD), windows_BMD)


def staging_work(
    module: Stager, source: NightSource, validation: Sequence[NightBatch], config: StagingConfig
) -> Work[NightBatch]:
    """What `training.runner.train` needs to fine-tune `module`."""
    if config.train == "head":
        module.encoder.requires_grad_(False)

    def loss(stager: nn.Module, batch: NightBatch, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        staged = stager(with_dropout(batch, config.dropout, generator))
        return masked_cross_entropy(staged.logits_BLC, batch.stages_BL, staged.readable_BL), {}

    return Work(
        module=module,
        batch=source.batch,
        to_device=NightBatch.to,
        loss=loss,
        validate=lambda averaged: staging_scores(averaged, validation),
        rates={"encoder.": config.encoder_rate},
        windows=lambda batch: len(batch.night_ids),
    )


def with_dropout(batch: NightBatch, config: DropoutConfig, generator: torch.Generator) -> dict[str, View]:
    """The batch's views with modalities and stretches of sensors hidden at random."""
    valid_BML = torch.stack([view.valid_BL for view in batch.views.values()], dim=1)
    kept_BML = drop_modalities(valid_BML.cpu(), batch.sensors_BM, config, generator).to(valid_BML.device)
    return {name: view.restricted(kept_BML[:, m]) for m, (name, view) in enumerate(batch.views.items())}


@torch.no_grad()
def staged_nights(module: nn.Module, batches: Sequence[NightBatch]) -> list[tuple[NDArray, NDArray]]:
    """(scored, predicted) float codes of each batch, flat, NaN where unscored or abstained."""
    module.eval()
    device = next(module.parameters()).device
    result = []
    for batch in batches:
        staged = module(batch.to(device).views)
        predicted_BL = staged.logits_BLC.argmax(dim=-1).float().masked_fill(~staged.readable_BL, float("nan"))
        result.append((batch.stages_BL.numpy().ravel(), predicted_BL.cpu().numpy().ravel()))
    return result


def staging_scores(module: nn.Module, batches: Sequence[NightBatch]) -> dict[str, float]:
    """Accuracy, kappa and macro-F1 over all tokens of unseen people, all modalities present."""
    if not batches:
        return {}
    pairs = staged_nights(module, batches)
    scored, predicted = (np.concatenate(side) for side in zip(*pairs, strict=True))
    judged = agreement(scored, predicted, len(FIVE))
    numbers = {"accuracy": judged.accuracy, "kappa": judged.kappa, "macro_f1": judged.macro_f1}
    return {f"validation/{name}": value for name, value in numbers.items() if value is not None}
