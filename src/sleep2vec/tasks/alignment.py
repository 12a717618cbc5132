"""What pretraining learns with: its constants, an encoder, and what is put on top of it while it learns.

Dimension letters: B windows, L tokens, S samples of a token, F features, D features of the encoder, N some tokens.
"""

from collections.abc import Sequence
from typing import Annotated, Literal, Self, cast

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from sleep2vec.data.pairs import PairBatch
from sleep2vec.model.encoder import Encoded, Encoder, ModelConfig
from sleep2vec.model.projection import Projection
from sleep2vec.objectives import SameNight
from sleep2vec.vocabulary.modalities import MODALITIES

ObjectiveName = Literal["dash_infonce", "infonce", "leave_one_out", "reconstruction"]


class TemporalConfig(BaseModel):
    """Negatives from other moments of the same window; see `TemporalNegatives`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    drawn: Annotated[int, Field(ge=0, description="0 switches them off")] = 32
    exclusion_tokens: Annotated[int, Field(ge=0)] = 10
    share: Annotated[float, Field(gt=0)] = 1.0


class AlignmentConfig(BaseModel):
    """The objective and its constants; the paper's by default, but for the temporal negatives and `window_weight`.

    An objective reads what concerns it: metadata and temporal negatives are `dash_infonce`'s, and `reconstruction`
    reads `masked_share` and `displaced_tokens` alone.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    objective: ObjectiveName = "dash_infonce"
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
    displaced_tokens: Annotated[
        int, Field(ge=0, description="each view begins at a moment of its own, up to so many tokens into the window")
    ] = 0
    window_weight: Annotated[float, Field(ge=0, description="of the contrast of whole windows ([CLS])")] = 0.1
    reconstruction_weight: Annotated[
        float,
        Field(
            ge=0,
            description="of the reconstruction of hidden tokens beside a contrast, which alone keeps only what sensors "
            "share; 0 switches it off",
        ),
    ] = 0.0

    @property
    def reconstructs(self) -> bool:
        """Whether hidden tokens are reconstructed, beside a contrast or in its place."""
        return self.objective == "reconstruction" or self.reconstruction_weight > 0

    @model_validator(mode="after")
    def _something_to_reconstruct(self) -> Self:
        if self.reconstructs and self.masked_share == 0:
            raise ValueError("reconstruction with masked_share 0 hides nothing; give a share, such as 0.15")
        return self


class Aligner(nn.Module):
    """An encoder with what it learns by: the projection into the space where modalities meet, a decoder for each.

    Without an objective that aligns, what stands for projections are the embeddings themselves; without one that
    reconstructs, there are no decoders.
    """

    def __init__(self, model: ModelConfig, objective: AlignmentConfig | None = None) -> None:
        super().__init__()
        objective = objective or AlignmentConfig()
        self.encoder = Encoder(model)
        aligns = objective.objective != "reconstruction"
        self.projection = Projection(self.encoder.width, model.projection) if aligns else nn.Identity()
        decoded = model.modalities if objective.reconstructs else ()
        self.decoders = nn.ModuleDict({name: self._decoder(name) for name in decoded})

    def forward(self, batch: PairBatch, hidden: Sequence[Tensor | None] | None = None) -> list[tuple[Tensor, Tensor]]:
        """Projections of tokens (B, L, D) and of windows (B, D), for each of the batch's modalities."""
        return [self.projected(view) for view in self.encoded(batch, hidden)]

    def encoded(self, batch: PairBatch, hidden: Sequence[Tensor | None] | None = None) -> list[Encoded]:
        """Embeddings of each of the batch's modalities."""
        seen: list[Encoded] = self.encoder(list(zip(batch.modalities, batch.views, strict=True)), hidden)
        return seen

    def projected(self, view: Encoded) -> tuple[Tensor, Tensor]:
        """Embeddings of tokens and of windows in the space where modalities meet."""
        return self.projection(view.tokens_BLD), self.projection(view.window_BD)

    def decoder(self, modality: str) -> "Decoder":
        return cast(Decoder, self.decoders[modality])

    def calibrate(self, modality: str, features_NF: Tensor) -> None:
        """Take what has to be known of a modality's features before learning, beside what its tokenizer takes."""
        if modality in self.decoders:
            self.decoder(modality).calibrate(features_NF)

    def _decoder(self, modality: str) -> "Decoder":
        silence_1S = torch.zeros(1, MODALITIES[modality].samples_per_token)
        return Decoder(self.encoder.width, self.encoder.front_end(modality, silence_1S).shape[-1])


class Decoder(nn.Module):
    """From the embedding of a token to what its tokenizer read: D -> 2D -> F, and the target's usual size."""

    FARTHEST = 10.0
    """Standard deviations from the mean that a target may lie: a few tokens of an artefact, of a feature that hardly
    varies elsewhere, lie a thousand away and would rule their batch."""

    centre_F: Tensor
    spread_F: Tensor

    def __init__(self, width: int, n_features: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, n_features))
        self.register_buffer("centre_F", torch.zeros(n_features))
        self.register_buffer("spread_F", torch.ones(n_features))

    def calibrate(self, features_NF: Tensor) -> None:
        """Take centre and spread of each feature from valid tokens of the training nights."""
        self.centre_F.copy_(features_NF.mean(dim=0))
        self.spread_F.copy_(features_NF.std(dim=0).clamp(min=1e-3))

    def standardised(self, features_NF: Tensor) -> Tensor:
        """The target: each feature with mean 0 and variance 1 over the training nights, within `FARTHEST`."""
        return ((features_NF - self.centre_F) / self.spread_F).clamp(-self.FARTHEST, self.FARTHEST)

    def forward(self, tokens_ND: Tensor) -> Tensor:
        """(N, D) -> (N, F), a guess at `standardised`."""
        guess_NF: Tensor = self.body(tokens_ND)
        return guess_NF
