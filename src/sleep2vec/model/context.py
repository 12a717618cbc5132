"""What looks at a fused token's neighbours before a head answers: attention, or convolutions.

Dimension letters: B windows, L tokens, H features of fused tokens.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from sleep2vec.model.backbone import TransformerLayer
from sleep2vec.model.dropout import Dropout

ContextName = Literal["attention", "convolutions"]
DILATIONS = (1, 2, 4, 8, 16)
_KERNEL = 3
_HEAD_WIDTH = 32


def context_of(name: ContextName, width: int, dropout: float) -> nn.Module:
    """(B, L, H), readable (B, L) -> (B, L, H)"""
    if name == "convolutions":
        return TokenConvolutions(width, dropout)
    return TransformerLayer(width, max(1, width // _HEAD_WIDTH), dropout)


class TokenConvolutions(nn.Module):
    """Dilated convolutions of three tokens beside a skip, one after the other: a quarter of an hour to either side.

    Attention has to learn from labels how far apart two tokens lie and what that means; a convolution begins by knowing
    it, which is worth more than an endless view where there are a few dozen nights.
    """

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in DILATIONS)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(width, width, _KERNEL, padding=_KERNEL // 2 * dilation, dilation=dilation)
            for dilation in DILATIONS
        )
        self.mixes = nn.ModuleList(nn.Linear(width, width) for _ in DILATIONS)
        self.dropout = Dropout(dropout)

    def forward(self, tokens_BLH: Tensor, readable_BL: Tensor) -> Tensor:
        for norm, convolution, mix in zip(self.norms, self.convolutions, self.mixes, strict=True):
            # What lies beyond the window is 0 to a convolution, so what cannot be read must be too.
            heard_BLH = torch.where(readable_BL[..., None], norm(tokens_BLH), 0.0)
            around_BLH = convolution(heard_BLH.transpose(1, 2)).transpose(1, 2)
            tokens_BLH = tokens_BLH + self.dropout(mix(nn.functional.gelu(around_BLH)))
        return tokens_BLH
