"""A learned mean of what the layers of a backbone give.

Dimension letters: N layers, B windows, L tokens, D features.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class LayerMixture(nn.Module):
    """Shares of the layers, a softmax of one number each; at first the last is heard seven times as much as any other.

    Shape:
        N of (B, L, D) -> (B, L, D)
    """

    _LAST = 2.0

    def __init__(self, n_layers: int) -> None:
        super().__init__()
        preference_N = torch.zeros(n_layers)
        preference_N[-1] = self._LAST
        self.preference_N = nn.Parameter(preference_N)

    def forward(self, heights: Sequence[Tensor]) -> Tensor:
        share_N = self.preference_N.softmax(dim=0)
        # One after the other: all layers side by side would be as large as all of them.
        mixed_BLD = share_N[0] * heights[0]
        for share, height_BLD in zip(share_N[1:], heights[1:], strict=True):
            mixed_BLD = mixed_BLD + share * height_BLD
        return mixed_BLD
