"""One model for every subset of its sensors and all of its tasks.

Encoder (each modality alone), gated fusion, a layer of context over the fused tokens, and a head for each task: of
tokens, of seconds or of the night.

Dimension letters: B windows, M modalities, L tokens, S = 30 L seconds, D features of the encoder, H of fused tokens,
E of seconds, K answers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from sleep2vec.data.window import View
from sleep2vec.model.context import ContextName, context_of
from sleep2vec.model.encoder import Encoder, ModelConfig
from sleep2vec.model.fusion import FUSIONS, FusionName, Told
from sleep2vec.model.heads import Clock, HeadShape, NightPool, answering
from sleep2vec.model.rhythms import RhythmPath
from sleep2vec.model.seconds import WIDTH as SECOND_WIDTH
from sleep2vec.model.seconds import SecondPath
from sleep2vec.model.sizes import SIZES
from sleep2vec.vocabulary.modalities import TOKEN_SECONDS

MOST_FUSED = 256
"""Widest fused token. The heads need no more, and all 511 subsets of the sensors go through them."""


class SleepModelConfig(BaseModel):
    """What a fine-tuned model is made of.

    `linear` leaves out the layer of context and what heads have beside a linear map: a probe of the encoder. `rhythms`
    tells tokens what is slow around them (see `model.rhythms`). `dropout` is that of everything but the encoder; the
    encoder's own where it is None.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    encoder: ModelConfig
    heads: Annotated[dict[str, HeadShape], Field(min_length=1)]
    fusion: FusionName = "gated"
    linear: bool = False
    rhythms: bool = False
    context: ContextName = "attention"
    dropout: float | None = None

    @property
    def fused_width(self) -> int:
        return min(SIZES[self.encoder.size].width, MOST_FUSED)

    def reads(self, *resolutions: str) -> bool:
        """Whether any head answers about these."""
        return any(head.resolution in resolutions for head in self.heads.values())


@dataclass(frozen=True)
class Features:
    """What the sensors say one by one, whoever else is there: computed once, answered from for any subset.

    Attributes:
        tokens: Of tokens.
        seconds: Of seconds, None where no head asks.
        cls_BMD: [CLS] of each modality, 0 where it has nothing valid.
        valid_BML: Which tokens can be read.
        hours_BL: Since the start of the night.
    """

    tokens: Told
    seconds: Told | None
    cls_BMD: Tensor
    valid_BML: Tensor
    hours_BL: Tensor

    def only(self, kept_BML: Tensor) -> "Features":
        """The same with fewer valid tokens."""
        return replace(self, valid_BML=self.valid_BML & kept_BML)

    def expanded(self, n_windows: int) -> "Features":
        """The one window of a batch as many, without copying it."""
        return Features(
            self.tokens.expanded(n_windows),
            None if self.seconds is None else self.seconds.expanded(n_windows),
            self.cls_BMD.expand(n_windows, -1, -1),
            self.valid_BML.expand(n_windows, -1, -1),
            self.hours_BL.expand(n_windows, -1),
        )


@dataclass(frozen=True)
class Answers:
    """What the model says of a batch.

    Attributes:
        outputs: By task, before any softmax: (B, L, K), (B, S, K) or (B, K).
        weights_BML: How much each modality decided; a token's weights sum to 1, or to 0 where none was valid.
        readable_BL: Tokens with at least one valid modality; the others are abstained from.
        fused_BLH: The fused features.
        windows_BD: [CLS] embeddings, averaged over the modalities a window has.
        nights_BH: Embeddings of the nights that the heads of nights read; None where no such head was asked.
    """

    outputs: dict[str, Tensor]
    weights_BML: Tensor
    readable_BL: Tensor
    fused_BLH: Tensor
    windows_BD: Tensor
    nights_BH: Tensor | None


class SleepModel(nn.Module):
    """Encoder, fusion, context and heads."""

    def __init__(self, config: SleepModelConfig) -> None:
        super().__init__()
        self.config = config
        names, width = config.encoder.modalities, config.fused_width
        self.encoder = Encoder(config.encoder)
        self.fusion = FUSIONS[config.fusion](len(names), self.encoder.width, width)
        dropout = config.encoder.dropout if config.dropout is None else config.dropout
        self.clock = Clock(width)
        self.context = None if config.linear else context_of(config.context, width, dropout)
        self.rhythms = RhythmPath(names, self.encoder.width, dropout, config.encoder.jitter) if config.rhythms else None
        self.seconds = SecondPath(names, width) if config.reads("second") else None
        second_width = None if self.seconds is None else SECOND_WIDTH
        self.pool = NightPool(width, self.encoder.width, second_width) if config.reads("night") else None
        widths = {"token": width, "second": SECOND_WIDTH, "night": width}
        self.heads = nn.ModuleDict(
            {
                name: answering(widths[head.resolution], head.n_outputs, dropout, config.linear)
                for name, head in config.heads.items()
            }
        )

    @property
    def modalities(self) -> tuple[str, ...]:
        return self.config.encoder.modalities

    @property
    def heard_by_seconds(self) -> tuple[str, ...]:
        """The modalities that are read in finer steps than tokens, too: by heads of seconds, or for their rhythms."""
        if self.seconds is not None:
            return self.modalities
        return () if self.rhythms is None else self.rhythms.names

    def forward(
        self,
        views: Mapping[str, View],
        seconds: Mapping[str, View] | None = None,
        first_B: Tensor | None = None,
    ) -> Answers:
        """Answer a batch. Modalities that are not in `views`, or nowhere valid, cost nothing.

        Args:
            views: by modality.
            seconds: those of `heard_by_seconds` as `second_features` has them; None where `views` hold samples.
            first_B: where in its night each window begins, in tokens; at its start by default.
        """
        return self.answer(self.features(views, seconds, first_B))

    def features(
        self,
        views: Mapping[str, View],
        seconds: Mapping[str, View] | None = None,
        first_B: Tensor | None = None,
    ) -> Features:
        """What each modality says alone; arguments as of `forward`."""
        given = [name for name in self.modalities if name in views]
        # With nothing valid at all one view still gives the shapes; no token of it is readable.
        present = [name for name in given if bool(views[name].valid_BL.any())] or given[:1]
        holders = [_holders(views[name]) for name in present]
        encoded = self.encoder([(name, views[name].rows(rows)) for name, rows in zip(present, holders, strict=True)])
        B, L = views[present[0]].valid_BL.shape
        M, D = len(self.modalities), self.encoder.width
        features_BMLD = encoded[0].tokens_BLD.new_zeros(B, M, L, D)
        cls_BMD = encoded[0].window_BD.new_zeros(B, M, D)
        valid_BML = torch.zeros(B, M, L, dtype=torch.bool, device=features_BMLD.device)
        for name, rows, part in zip(present, holders, encoded, strict=True):
            m = self.modalities.index(name)
            features_BMLD[rows, m] = part.tokens_BLD
            cls_BMD[rows, m] = part.window_BD
            valid_BML[:, m] = views[name].valid_BL
        fine = views if seconds is None else seconds
        told = None if self.seconds is None else self.seconds.tell(self.seconds.read(fine, B, L))
        rhythms_BMLD = None if self.rhythms is None else self.rhythms(fine, features_BMLD)
        first_B = torch.zeros(B) if first_B is None else first_B
        hours_BL = (first_B.to(features_BMLD)[:, None] + torch.arange(L).to(features_BMLD)) * (TOKEN_SECONDS / 3600)
        return Features(self.fusion.tell(features_BMLD, rhythms_BMLD), told, cls_BMD, valid_BML, hours_BL)

    def answer(self, features: Features, tasks: Sequence[str] | None = None) -> Answers:
        """Answers from the valid tokens of `features`, which may be fewer than they were computed of.

        Args:
            features: of all sensors there are.
            tasks: whose heads to ask, None for all; what only others read is not computed.
        """
        asked = {name: head.resolution for name, head in self.config.heads.items() if tasks is None or name in tasks}
        fused_BLH, weights_BML = self.fusion.combine(features.tokens, features.valid_BML)
        readable_BL = features.valid_BML.any(dim=1)
        tokens_BLH = fused_BLH + torch.where(readable_BL[..., None], self.clock(features.hours_BL), 0.0)
        if self.context is not None:
            # A window in which no sensor was ever valid would leave attention nothing to look at; its tokens are
            # abstained from afterwards, so what it looks at instead does not matter.
            tokens_BLH = self.context(tokens_BLH, readable_BL | ~readable_BL.any(dim=1, keepdim=True))
        seconds_BSE = None
        fine = not {"second", "night"}.isdisjoint(asked.values())
        if fine and self.seconds is not None and features.seconds is not None:
            seconds_BSE = self.seconds(features.seconds, features.valid_BML, tokens_BLH)
        windows_BD = _mean_of_present(features.cls_BMD, features.valid_BML.any(dim=2))
        nights_BH = None
        if self.pool is not None and "night" in asked.values():
            nights_BH = self.pool(tokens_BLH, readable_BL, windows_BD, seconds_BSE)
        source = {"token": tokens_BLH, "second": seconds_BSE, "night": nights_BH}
        outputs = {name: self.heads[name](source[resolution]) for name, resolution in asked.items()}
        return Answers(outputs, weights_BML, readable_BL, fused_BLH, windows_BD, nights_BH)


def _holders(view: View) -> Tensor:
    """Indices of the windows that have the modality: the others need not be encoded. At least one."""
    rows = torch.nonzero(view.valid_BL.any(dim=1))[:, 0]
    return rows if len(rows) else torch.zeros(1, dtype=torch.long, device=rows.device)


def _mean_of_present(windows_BMD: Tensor, present_BM: Tensor) -> Tensor:
    share_BM = present_BM / present_BM.sum(dim=1, keepdim=True).clamp(min=1)
    return torch.einsum("bm,bmd->bd", share_BM.to(windows_BMD), windows_BMD)
