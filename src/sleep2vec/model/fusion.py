"""Gated fusion: the present sensors decide together, token by token.

Dimension letters: B windows, M modalities, L tokens, D features.
"""

import torch
from torch import Tensor, nn


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


class GatedFusion(nn.Module):
    """A weighted mean of the valid modalities of each token; the weights depend on what each of them says.

    A modality that is invalid at a token has weight exactly 0 there and its features are not read, so any subset of
    the modalities, or none, may be present, and the subset may change during the night.

    Shape:
        features_BMLD, valid_BML -> fused_BLD, weights_BML. Weights of a token sum to 1, or to 0 where nothing is
        valid; there the fused features are 0.
    """

    def __init__(self, n_modalities: int, width: int) -> None:
        super().__init__()
        self.maps = ModalityMaps(n_modalities, width)
        self.modality_MD = nn.Parameter(torch.zeros(n_modalities, width))
        self.norm = nn.LayerNorm(width)
        self.value = nn.Linear(width, width)
        self.gate = nn.Sequential(nn.Linear(width, width // 2), nn.Tanh(), nn.Linear(width // 2, 1))
        self.preference_M = nn.Parameter(torch.zeros(n_modalities))

    def forward(self, features_BMLD: Tensor, valid_BML: Tensor) -> tuple[Tensor, Tensor]:
        features_BMLD = torch.where(valid_BML[..., None], features_BMLD, 0.0)
        named_BMLD = self.norm(self.maps(features_BMLD)) + self.modality_MD[None, :, None, :]
        score_BML = self.gate(named_BMLD)[..., 0] + self.preference_M[None, :, None]
        score_BML = score_BML.to(torch.promote_types(score_BML.dtype, torch.float32))  # no softmax in 16 bits
        # A very negative score, not -inf: a token without any modality must not become NaN.
        score_BML = score_BML.masked_fill(~valid_BML, torch.finfo(score_BML.dtype).min)
        weights_BML = torch.where(valid_BML, score_BML.softmax(dim=1), 0.0).to(named_BMLD.dtype)
        fused_BLD = torch.einsum("bml,bmld->bld", weights_BML, self.value(named_BMLD))
        return fused_BLD, weights_BML
