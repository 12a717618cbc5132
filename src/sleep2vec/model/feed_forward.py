"""The part of a backbone's layer that looks at each token alone."""

from torch import nn

from sleep2vec.model.dropout import Dropout


def feed_forward(width: int, dropout: float) -> nn.Sequential:
    """Normalised, D -> 4 D -> D, with GELU between; every backbone's layers end with it."""
    return nn.Sequential(
        nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), Dropout(dropout), nn.Linear(4 * width, width)
    )
