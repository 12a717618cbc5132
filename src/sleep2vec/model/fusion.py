"""Gated fusion: the present sensors decide together, token by token.

Dimension letters: B windows, M modalities, L tokens, D features.
"""

import torch
from torch import Tensor, nn


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
        self.modality_MD = nn.Parameter(torch.zeros(n_modalities, width))
        self.norm = nn.LayerNorm(width)
        self.value = nn.Linear(width, width)
        self.gate = nn.Sequential(nn.Linear(width, width // 2), nn.Tanh(), nn.Linear(width // 2, 1))
        self.preference_M = nn.Parameter(torch.zeros(n_modalities))

    def forward(self, features_BMLD: Tensor, valid_BML: Tensor) -> tuple[Tensor, Tensor]:
        features_BMLD = torch.where(valid_BML[..., None], features_BMLD, 0.0)
        named_BMLD = self.norm(features_BMLD) + self.modality_MD[None, :, None, :]
        score_BML = self.gate(named_BMLD)[..., 0] + self.preference_M[None, :, None]
        score_BML = score_BML.to(torch.promote_types(score_BML.dtype, torch.float32))  # no softmax in 16 bits
        # A very negative score, not -inf: a token without any modality must not become NaN.
        score_BML = score_BML.masked_fill(~valid_BML, torch.finfo(score_BML.dtype).min)
        weights_BML = torch.where(valid_BML, score_BML.softmax(dim=1), 0.0).to(named_BMLD.dtype)
        fused_BLD = torch.einsum("bml,bmld->bld", weights_BML, self.value(named_BMLD))
        return fused_BLD, weights_BML
