"""The shared backbone: context for the tokens of one modality, whichever it is.

Dimension letters: B windows, L tokens, D features.
"""

from collections.abc import Callable
from types import MappingProxyType
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sleep2vec.model.attention import RotaryAttention
from sleep2vec.model.dropout import Dropout
from sleep2vec.model.feed_forward import feed_forward
from sleep2vec.model.layer_mixture import LayerMixture
from sleep2vec.model.recurrent import Recurrent
from sleep2vec.model.sizes import Size

BackboneName = Literal["transformer", "recurrent"]

CPU_CHUNK_TOKENS = 2048
"""A CPU takes whole windows of about so many tokens at once through the layers: enough to keep its matrix units busy,
and what a layer needs meanwhile stays small however many windows there are."""


class TransformerLayer(nn.Module):
    """Pre-norm attention and feed-forward layer."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = RotaryAttention(width, heads, dropout)
        self.feed_forward = feed_forward(width, dropout)
        self.dropout = Dropout(dropout)

    def forward(self, tokens_BLD: Tensor, readable_BL: Tensor) -> Tensor:
        attended_BLD = self.attention(self.attention_norm(tokens_BLD), readable_BL)
        tokens_BLD = tokens_BLD + self.dropout(attended_BLD)
        return tokens_BLD + self.dropout(self.feed_forward(tokens_BLD))


class Transformer(nn.Module):
    """A stack of `TransformerLayer`, normalised at the end.

    Args:
        mix_layers: normalise a learned mean of what all layers give in place of what the last one gives: what a task
            asks for may lie below what pretraining was rewarded for (Peters et al. 2018, arXiv:1802.05365).

    Attributes:
        checkpointing: Keep only the input of each layer for the way back and compute the rest again: about a third
            more work, a fraction of the memory. Results and gradients stay the same.
    """

    checkpointing: bool = False

    def __init__(self, size: Size, dropout: float, mix_layers: bool = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TransformerLayer(size.width, size.heads, dropout) for _ in range(size.layers))
        self.norm = nn.LayerNorm(size.width)
        self.mixture = LayerMixture(size.layers) if mix_layers else None

    def forward(self, tokens_BLD: Tensor, readable_BL: Tensor) -> Tensor:
        B, L, _ = tokens_BLD.shape
        # What a layer makes of a token is six times the token, and more where attention is spelled out.
        windows = max(1, CPU_CHUNK_TOKENS // L) if tokens_BLD.device.type == "cpu" else B
        parts = zip(tokens_BLD.split(windows), readable_BL.split(windows), strict=True)
        return self.norm(torch.cat([self._through_layers(*part) for part in parts]))

    def _through_layers(self, tokens_BLD: Tensor, readable_BL: Tensor) -> Tensor:
        again = self.checkpointing and torch.is_grad_enabled()
        heights = []
        for layer in self.layers:
            if again:
                tokens_BLD = cast(Tensor, checkpoint(layer, tokens_BLD, readable_BL, use_reentrant=False))
            else:
                tokens_BLD = layer(tokens_BLD, readable_BL)
            if self.mixture is not None:
                heights.append(tokens_BLD)
        return tokens_BLD if self.mixture is None else self.mixture(heights)


BACKBONES: MappingProxyType[BackboneName, Callable[[Size, float, bool], nn.Module]] = MappingProxyType(
    {"transformer": Transformer, "recurrent": Recurrent}
)
