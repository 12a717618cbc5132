"""The encoder: one modality of a window to embeddings of its tokens and of the whole window.

Dimension letters: B windows, L tokens, S samples of a token, D features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, cast

import torch
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from torch import Tensor, nn

from sleep2vec.data.window import View
from sleep2vec.model.backbone import BACKBONES, BackboneName
from sleep2vec.model.sizes import SIZES, SizeName
from sleep2vec.model.tokenizers import TOKENIZERS, Tokenizer, TokenizerName
from sleep2vec.vocabulary.errors import UnknownModalityError
from sleep2vec.vocabulary.modalities import CORE, MODALITIES, parse_modalities

MAX_TOKENS = 1536
"""The longest window the model sees at once, 12.8 h; longer nights are stitched."""


def _known(names: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return parse_modalities(names)
    except UnknownModalityError as error:
        raise ValueError(str(error)) from None


KnownModalities = Annotated[tuple[str, ...], AfterValidator(_known)]
"""Names of modalities in a configuration, in the table's order."""


class ModelConfig(BaseModel):
    """What an encoder is made of."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    size: SizeName = "tiny"
    tokenizer: TokenizerName = "spectral"
    backbone: BackboneName = "transformer"
    modalities: KnownModalities = CORE
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    jitter: Annotated[
        float,
        Field(
            ge=0,
            description="training displaces each window's features by so many standard deviations (mlp: the log of its "
            "gain), so that electrodes, amplifiers and anatomy cannot be recognised",
        ),
    ] = 0.0
    projection: Annotated[int, Field(ge=1, description="width of the alignment space")] = 128
    mix_layers: Annotated[bool, Field(description="give a learned mean of the backbone's layers, not the last")] = False


@dataclass(frozen=True)
class Encoded:
    """Embeddings of one modality of a batch.

    Attributes:
        tokens_BLD: 0 where invalid.
        window_BD: [CLS], the whole window at once.
    """

    tokens_BLD: Tensor
    window_BD: Tensor


class Encoder(nn.Module):
    """Tokenizers, one a modality, and a backbone they share, which does not know which of them it reads."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        size = SIZES[config.size]
        self.width = size.width
        build = TOKENIZERS[config.tokenizer]
        self.tokenizers = nn.ModuleDict(
            {name: build(MODALITIES[name], size.width, config.dropout) for name in config.modalities}
        )
        for tokenizer in self.tokenizers.values():
            cast(Tokenizer, tokenizer).jitter = config.jitter
        self.cls_D = nn.Parameter(torch.randn(size.width) * 0.02)
        self.mask_D = nn.Parameter(torch.randn(size.width) * 0.02)
        self.backbone = BACKBONES[config.backbone](size, config.dropout, config.mix_layers)

    def forward(
        self, views: Sequence[tuple[str, View]], hidden: Sequence[Tensor | None] | None = None
    ) -> list[Encoded]:
        """Encode views of equal L, each alone, in one pass of the backbone.

        Args:
            views: (modality, view) each.
            hidden: for each view the (B, L) tokens to replace by the mask embedding, or None.
        """
        hidden = hidden or [None] * len(views)
        tokens = [self._embed(name, view, mask_BL) for (name, view), mask_BL in zip(views, hidden, strict=True)]
        readable_BL = torch.cat([view.valid_BL for _, view in views])
        tokens_BLD = torch.cat(tokens)
        cls_BLD = self.cls_D.to(tokens_BLD.dtype).expand(len(tokens_BLD), 1, -1)
        # [CLS] is always readable, so a window without a single valid token still has something to attend to.
        always_BL = torch.ones_like(readable_BL[:, :1])
        output_BLD = self.backbone(torch.cat((cls_BLD, tokens_BLD), 1), torch.cat((always_BL, readable_BL), 1))
        features_BLD = torch.where(readable_BL[..., None], output_BLD[:, 1:], 0.0)
        sizes = [len(view.valid_BL) for _, view in views]
        parts = zip(features_BLD.split(sizes), output_BLD[:, 0].split(sizes), strict=True)
        return [Encoded(tokens_BLD, window_BD) for tokens_BLD, window_BD in parts]

    def tokenizer(self, name: str) -> Tokenizer:
        """The tokenizer of a modality."""
        return cast(Tokenizer, self.tokenizers[name])

    def front_end(self, name: str, samples: Tensor) -> Tensor:
        """What the tokenizer of a modality computes before anything learned: (..., S) -> (..., F)."""
        return self.tokenizer(name).front_end(samples)

    def _embed(self, name: str, view: View, mask_BL: Tensor | None) -> Tensor:
        values_BLS = torch.where(view.valid_BL[..., None], view.values_BLS, 0.0)
        features_BLF = values_BLS if view.are_features else self.front_end(name, values_BLS)
        tokens_BLD = self.tokenizers[name](features_BLF)
        if mask_BL is not None:
            tokens_BLD = torch.where(mask_BL[..., None], self.mask_D.to(tokens_BLD.dtype), tokens_BLD)
        return torch.where(view.valid_BL[..., None], tokens_BLD, 0.0)
