"""Fusion: the present sensors decide together, token by token.

What each modality says (its value and its score) does not depend on which others are there. So it is computed once by
`tell`, and `combine` may be asked for any number of subsets of it.

Dimension letters: B windows, M modalities, L tokens (or seconds), D features, H features of what is fused.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor, nn

FusionName = Literal["gated", "scalar", "mean", "concat"]


class ModalityMaps(nn.Module):
    """An affine map of its own for the features of each modality: (x - centre) @ map.

    The backbone does not know which modality it reads, so what a feature says of sleep differs between them; and what
    a pretrained encoder tells of a token lies in few directions, beside which the others, which may hold the stage,
    are too small to be heard. `calibrate` makes all directions alike.

    Shape:
        (B, M, L, D) -> (B, M, L, D)
    """

    LEAST_SHARE = 0.01
    """Directions that hold less than this share of the largest variance are not enlarged to the size of the others."""

    def __init__(self, n_modalities: int, width: int) -> None:
        super().__init__()
        self.centre_MD = nn.Parameter(torch.zeros(n_modalities, width))
        self.map_MDD = nn.Parameter(torch.eye(width).repeat(n_modalities, 1, 1))

    @torch.no_grad()
    def calibrate(self, place: int, features_ND: Tensor) -> None:
        """Whiten the features of the modality at `place`, as far as `LEAST_SHARE` lets it.

        Left alone is a modality of which there are no more tokens than features: most directions would be judged by
        none, and enlarged without end.
        """
        if len(features_ND) <= features_ND.shape[1]:
            return
        features_ND = features_ND.double()
        centre_D = features_ND.mean(dim=0)
        away_ND = features_ND - centre_D
        variance_D, axes_DD = torch.linalg.eigh(away_ND.T @ away_ND / len(away_ND))
        largest = variance_D[-1]
        if largest <= 0:  # always the same: nothing can be made of it
            return
        gain_D = (variance_D.clamp(min=0) + self.LEAST_SHARE * largest).rsqrt()
        self.centre_MD[place] = centre_D.to(self.centre_MD)
        self.map_MDD[place] = (axes_DD * gain_D @ axes_DD.T).to(self.map_MDD)

    def forward(self, features_BMLD: Tensor) -> Tensor:
        # The centre first: a small difference of large numbers would be lost in 16 bits.
        away_BMLD = features_BMLD - self.centre_MD[None, :, None]
        return torch.einsum("bmld,mde->bmle", away_BMLD, self.map_MDD)


@dataclass(frozen=True)
class Told:
    """What every modality says, whoever else is there.

    Attributes:
        value_BMLH: What goes into the fused features.
        score_BML: How much it wants to be heard; at least float32, no softmax is taken in 16 bits.
    """

    value_BMLH: Tensor
    score_BML: Tensor

    def expanded(self, n_windows: int) -> "Told":
        """The one window of a batch as many, without copying it."""
        return Told(self.value_BMLH.expand(n_windows, -1, -1, -1), self.score_BML.expand(n_windows, -1, -1))


class Fusion(nn.Module, ABC):
    """A weighted mean of the valid modalities of each token.

    A modality that is invalid at a token has weight exactly 0 there and its features are not read, so any subset of
    the modalities, or none, may be present, and the subset may change during the night. The kinds differ in where the
    weights come from: `GatedFusion`, `ScalarFusion` (the paper's), `MeanFusion`.

    Shape:
        features_BMLD, valid_BML -> fused_BLH, weights_BML. Weights of a token sum to 1, or to 0 where nothing is
        valid; there the fused features are 0.
    """

    def __init__(self, n_modalities: int, width: int, fused_width: int | None = None) -> None:
        super().__init__()
        self.maps = ModalityMaps(n_modalities, width)
        self.modality_MD = nn.Parameter(torch.zeros(n_modalities, width))
        self.norm = nn.LayerNorm(width)
        self.value = self.values(n_modalities, width, fused_width or width)

    @staticmethod
    def values(n_modalities: int, width: int, fused_width: int) -> nn.Module:
        """What makes of a modality's features what goes into the fused ones: (B, M, L, D) -> (B, M, L, H)."""
        return nn.Linear(width, fused_width)

    def forward(self, features_BMLD: Tensor, valid_BML: Tensor) -> tuple[Tensor, Tensor]:
        return self.combine(self.tell(torch.where(valid_BML[..., None], features_BMLD, 0.0)), valid_BML)

    def tell(self, features_BMLD: Tensor, beside_BMLD: Tensor | None = None) -> Told:
        """What each modality says; where it is invalid its features must be finite, and are not heard.

        Args:
            features_BMLD: of the encoder.
            beside_BMLD: what else is known of the modality at the token, of the size of normalised features; it speaks
                and asks to be heard with them.
        """
        named_BMLD = self.norm(self.maps(features_BMLD)) + self.modality_MD[None, :, None, :]
        if beside_BMLD is not None:
            named_BMLD = named_BMLD + beside_BMLD
        score_BML = self.score(named_BMLD)
        return Told(self.value(named_BMLD), _fine(score_BML))

    @abstractmethod
    def score(self, named_BMLD: Tensor) -> Tensor:
        """How much each modality wants to be heard, (B, M, L)."""

    def combine(self, told: Told, valid_BML: Tensor) -> tuple[Tensor, Tensor]:
        """The fused features of those that are valid, and their weights."""
        # A very negative score, not -inf: a token without any modality must not become NaN.
        score_BML = told.score_BML.masked_fill(~valid_BML, torch.finfo(told.score_BML.dtype).min)
        weights_BML = torch.where(valid_BML, score_BML.softmax(dim=1), 0.0).to(told.value_BMLH.dtype)
        return torch.einsum("bml,bmlh->blh", weights_BML, told.value_BMLH), weights_BML


class GatedFusion(Fusion):
    """The weights depend on what each modality says at the token."""

    def __init__(self, n_modalities: int, width: int, fused_width: int | None = None) -> None:
        super().__init__(n_modalities, width, fused_width)
        self.gate = nn.Sequential(nn.Linear(width, width // 2), nn.Tanh(), nn.Linear(width // 2, 1))
        self.preference_M = nn.Parameter(torch.zeros(n_modalities))

    def score(self, named_BMLD: Tensor) -> Tensor:
        gate_BML: Tensor = self.gate(named_BMLD)[..., 0]
        return gate_BML + self.preference_M[None, :, None]


class ScalarFusion(Fusion):
    """The paper's: one learned number a modality, whatever it says."""

    def __init__(self, n_modalities: int, width: int, fused_width: int | None = None) -> None:
        super().__init__(n_modalities, width, fused_width)
        self.preference_M = nn.Parameter(torch.zeros(n_modalities))

    def score(self, named_BMLD: Tensor) -> Tensor:
        return self.preference_M[None, :, None].expand(named_BMLD.shape[:3])


class MeanFusion(Fusion):
    """All present modalities weigh alike."""

    def score(self, named_BMLD: Tensor) -> Tensor:
        return named_BMLD.new_zeros(named_BMLD.shape[:3])


class ConcatFusion(MeanFusion):
    """A linear map of all modalities side by side, 0 in the place of those that are not there.

    Every modality has a map of its own, which is what a linear map of all side by side comes to. The weights it
    returns are each present modality's share of one, as it has none.
    """

    def __init__(self, n_modalities: int, width: int, fused_width: int | None = None) -> None:
        super().__init__(n_modalities, width, fused_width)
        self.bias_H = nn.Parameter(torch.zeros(fused_width or width))

    @staticmethod
    def values(n_modalities: int, width: int, fused_width: int) -> nn.Module:
        return SideMaps(n_modalities, width, fused_width)

    def combine(self, told: Told, valid_BML: Tensor) -> tuple[Tensor, Tensor]:
        n_modalities = told.value_BMLH.shape[1]
        share_BML = valid_BML.to(told.score_BML) / valid_BML.sum(dim=1, keepdim=True).clamp(min=1)
        heard_BML = valid_BML.to(told.value_BMLH) / n_modalities**0.5
        fused_BLH = torch.einsum("bml,bmlh->blh", heard_BML, told.value_BMLH)
        bias_H = self.bias_H.to(fused_BLH)
        return torch.where(valid_BML.any(dim=1)[..., None], fused_BLH + bias_H, 0.0), share_BML.to(fused_BLH)


class SideMaps(nn.Module):
    """A linear map of its own for each modality: (B, M, L, D) -> (B, M, L, H)."""

    def __init__(self, n_modalities: int, width: int, fused_width: int) -> None:
        super().__init__()
        self.map_MDH = nn.Parameter(torch.randn(n_modalities, width, fused_width) * width**-0.5)

    def forward(self, named_BMLD: Tensor) -> Tensor:
        return torch.einsum("bmld,mdh->bmlh", named_BMLD, self.map_MDH)


def _fine(score_BML: Tensor) -> Tensor:
    return score_BML.to(torch.promote_types(score_BML.dtype, torch.float32))


FUSIONS: MappingProxyType[FusionName, Callable[[int, int, int | None], Fusion]] = MappingProxyType(
    {"gated": GatedFusion, "scalar": ScalarFusion, "mean": MeanFusion, "concat": ConcatFusion}
)
