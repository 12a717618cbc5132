"""How large a model is."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

SizeName = Literal["tiny", "small", "base", "large"]


@dataclass(frozen=True)
class Size:
    """Width D, number of layers and heads of the backbone; the feed-forward layer is 4 D wide."""

    width: int
    layers: int
    heads: int


SIZES: MappingProxyType[SizeName, Size] = MappingProxyType(
    {
        "tiny": Size(128, 4, 4),
        "small": Size(256, 6, 8),
        "base": Size(768, 12, 12),
        "large": Size(1024, 16, 16),
    }
)
