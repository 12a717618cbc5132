"""What looks at a fused token's neighbours before a head answers: attention, or convolutions.

Dimension letters: B windows, L tokens, H features of fused tokens.
"""

from typing import Literal

from torch import Tensor, nn

from sleep2vec.model.backbone import TransformerLayer
from sleep2vec.model.dilated_block import DilatedBlock

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
        self.blocks = nn.ModuleList(DilatedBlock(width, _KERNEL, dilation, dropout) for dilation in DILATIONS)

    def forward(self, tokens_BLH: Tensor, readable_BL: Tensor) -> Tensor:
        for block in self.blocks:
            tokens_BLH = block(tokens_BLH, readable_BL[..., None])
        return tokens_BLH
