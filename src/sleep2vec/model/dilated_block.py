"""A dilated convolution over what can be read of a line of tokens, or of seconds.

Dimension letters: B windows, L steps of the line, H features.
"""

import torch
from torch import Tensor, nn

from sleep2vec.model.dropout import Dropout


class DilatedBlock(nn.Module):
    """Pre-norm dilated convolution over the readable steps, beside a skip.

    Shape:
        told_BLH, readable_BL1 -> (B, L, H)
    """

    def __init__(self, width: int, kernel: int, dilation: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.convolution = nn.Conv1d(width, width, kernel, padding=kernel // 2 * dilation, dilation=dilation)
        self.mix = nn.Linear(width, width)
        self.dropout = Dropout(dropout)

    def forward(self, told_BLH: Tensor, readable_BL1: Tensor) -> Tensor:
        # What lies beyond the window is 0 to a convolution, so what cannot be read must be too.
        heard_BLH = torch.where(readable_BL1, self.norm(told_BLH), 0.0)
        around_BHL = self.convolution(heard_BLH.transpose(1, 2))
        said_BLH: Tensor = self.dropout(self.mix(nn.functional.gelu(around_BHL.transpose(1, 2))))
        return told_BLH + said_BLH
