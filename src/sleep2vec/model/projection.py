"""The way into the alignment space, used in pretraining only."""

from torch import Tensor, nn


class Projection(nn.Sequential):
    """Three linear layers, D -> D -> D -> `out`; LayerNorm keeps it independent of the batch and of padding."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__(
            nn.Linear(width, width),
            nn.LayerNorm(width),
            nn.GELU(),
            nn.Linear(width, width),
            nn.LayerNorm(width),
            nn.GELU(),
            nn.Linear(width, out),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(..., D) -> (..., out); not normalised, the objective does that."""
        return super().forward(features)
