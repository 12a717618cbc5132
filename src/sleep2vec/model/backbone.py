"""The shared backbone: context for the tokens of one modality, whichever it is.

Dimension letters: B windows, L tokens, D features.
"""

from collections.abc import Callable
from types import MappingProxyType
from typing import Literal

from torch import Tensor, nn

from sleep2vec.model.attention import RotaryAttention
from sleep2vec.model.recurrent import Recurrent
from sleep2vec.model.sizes import Size

BackboneName = Literal["transformer", "recurrent"]


class TransformerLayer(nn.Module):
    """Pre-norm attention and feed-forward layer."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = RotaryAttention(width, heads, dropout)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 4 * width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(4 * width, width),
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens_BLD: Tensor, readable_BL: Tensor) -> Tensor:
        attended_BLD = self.attention(self.attention_norm(tokens_BLD), readable_BL)
        tokens_BLD = tokens_BLD + self.dropout(attended_BLD)
        return tokens_BLD + self.dropout(self.feed_forward(tokens_BLD))


class Transformer(nn.Module):
    """A stack of `TransformerLayer`, normalised at the end."""

    def __init__(self, size: Size, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TransformerLayer(size.width, size.heads, dropout) for _ in range(size.layers))
        self.norm = nn.LayerNorm(size.width)

    def forward(self, tokens_BLD: Tensor, readable_BL: Tensor) -> Tensor:
        for layer in self.layers:
            tokens_BLD = layer(tokens_BLD, readable_BL)
        return self.norm(tokens_BLD)


BACKBONES: MappingProxyType[BackboneName, Callable[[Size, float], nn.Module]] = MappingProxyType(
    {"transformer": Transformer, "recurrent": Recurrent}
)
