"""A backbone of another family: gated recurrent layers that read the tokens of a night in both directions.

Time and memory grow with the length of a night, not with its square. It takes the place of the transformer without
anything else knowing, which is what it is here to show.

Dimension letters: B windows, L tokens, R readable tokens of the window that has most, D features.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils.checkpoint import checkpoint

from sleep2vec.model.dropout import Dropout
from sleep2vec.model.feed_forward import feed_forward
from sleep2vec.model.layer_mixture import LayerMixture
from sleep2vec.model.sizes import Size


class RecurrentLayer(nn.Module):
    """Pre-norm gated recurrence in both directions, and a feed-forward layer.

    Tokens that may not be read are left out before the recurrence and come back untouched by it, so two tokens around
    a gap are neighbours. A recurrence forgets what lies some tens of tokens back: the first token, [CLS], is also
    given the mean of what was read, or it would know the first quarter of an hour only.

    References:
        Cho et al. (2014), arXiv:1406.1078.
    """

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.recurrence_norm = nn.LayerNorm(width)
        self.recurrence = nn.GRU(width, width // 2, batch_first=True, bidirectional=True)
        self.feed_forward = feed_forward(width, dropout)
        self.dropout = Dropout(dropout)

    def forward(self, tokens_BLD: Tensor, readable_BL: Tensor) -> Tensor:
        read_BLD = self._read(self.recurrence_norm(tokens_BLD), readable_BL)
        mean_B1D = read_BLD.sum(dim=1, keepdim=True) / readable_BL.sum(dim=1)[:, None, None]
        read_BLD = torch.cat((read_BLD[:, :1] + mean_B1D, read_BLD[:, 1:]), dim=1)
        tokens_BLD = tokens_BLD + self.dropout(read_BLD)
        return tokens_BLD + self.dropout(self.feed_forward(tokens_BLD))

    def _read(self, tokens_BLD: Tensor, readable_BL: Tensor) -> Tensor:
        """The recurrence over the readable tokens of each window; 0 at the others."""
        # A tensor of the meta device, with which `cost` counts, has no values to look at; all tokens count.
        if readable_BL.is_meta or bool(readable_BL.all()):
            return self.recurrence(tokens_BLD)[0]
        n_readable_B = readable_BL.sum(dim=1)
        order_BL = (~readable_BL).to(torch.int8).argsort(dim=1, stable=True)
        order_BLD = order_BL[..., None].expand_as(tokens_BLD)
        packed = pack_padded_sequence(
            tokens_BLD.gather(1, order_BLD), n_readable_B.cpu(), batch_first=True, enforce_sorted=False
        )
        read_BLD, _ = pad_packed_sequence(
            self.recurrence(packed)[0], batch_first=True, total_length=readable_BL.shape[1]
        )
        return torch.zeros_like(read_BLD).scatter(1, order_BLD, read_BLD)


class Recurrent(nn.Module):
    """A stack of `RecurrentLayer`, normalised at the end. Each window needs a readable token.

    Args:
        mix_layers: as the transformer's.

    Attributes:
        checkpointing: as the transformer's: keep only the input of each layer for the way back.
    """

    checkpointing: bool = False

    def __init__(self, size: Size, dropout: float, mix_layers: bool = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList(RecurrentLayer(size.width, dropout) for _ in range(size.layers))
        self.norm = nn.LayerNorm(size.width)
        self.mixture = LayerMixture(size.layers) if mix_layers else None

    def forward(self, tokens_BLD: Tensor, readable_BL: Tensor) -> Tensor:
        heights = []
        for layer in self.layers:
            if self.checkpointing and torch.is_grad_enabled():
                tokens_BLD = cast(Tensor, checkpoint(layer, tokens_BLD, readable_BL, use_reentrant=False))
            else:
                tokens_BLD = layer(tokens_BLD, readable_BL)
            if self.mixture is not None:
                heights.append(tokens_BLD)
        return self.norm(tokens_BLD if self.mixture is None else self.mixture(heights))
