"""Self-attention with rotary positions.

Dimension letters: B windows, L tokens, H heads, K features of a head, D features.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sleep2vec.model.dropout import dropped


class RotaryAttention(nn.Module):
    """Multi-head self-attention that sees the distance of tokens, not their position.

    References:
        Su et al. (2021), RoFormer, arXiv:2104.09864.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        if width % (2 * heads) != 0:
            raise ValueError(f"width {width} must be divisible by twice the {heads} heads")
        self.heads, self.dropout = heads, dropout
        self.query_key_value = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, tokens_BLD: Tensor, readable_BL: Tensor) -> Tensor:
        """Mix tokens; those that are not `readable_BL` are never looked at. Each row needs a readable one."""
        B, L, D = tokens_BLD.shape
        projected = self.query_key_value(tokens_BLD).reshape(B, L, 3, self.heads, D // self.heads)
        query_BHLK, key_BHLK, value_BHLK = projected.permute(2, 0, 3, 1, 4)
        mixed_BHLK = attended(
            rotated(query_BHLK), rotated(key_BHLK), value_BHLK, readable_BL, self.dropout if self.training else 0.0
        )
        return self.output(mixed_BHLK.transpose(1, 2).reshape(B, L, D))


def attended(
    query_BHLK: Tensor, key_BHLK: Tensor, value_BHLK: Tensor, readable_BL: Tensor, dropout: float = 0.0
) -> Tensor:
    """Values averaged by the softmax of query-key products over the readable tokens, by whichever way is quickest.

    torch's fused kernel is that, except on a CPU with 16-bit numbers or with dropout: see `docs/decisions.md`.
    """
    on_cpu = query_BHLK.device.type == "cpu"
    if on_cpu and (dropout > 0 or query_BHLK.dtype in (torch.bfloat16, torch.float16)):
        return _plainly_attended(query_BHLK, key_BHLK, value_BHLK, readable_BL, dropout)
    mask_B11L = readable_BL[:, None, None, :]
    return F.scaled_dot_product_attention(query_BHLK, key_BHLK, value_BHLK, attn_mask=mask_B11L, dropout_p=dropout)


def _plainly_attended(
    query_BHLK: Tensor, key_BHLK: Tensor, value_BHLK: Tensor, readable_BL: Tensor, dropout: float
) -> Tensor:
    scores_BHLL = (query_BHLK * query_BHLK.shape[-1] ** -0.5) @ key_BHLK.mT
    # Added, not filled in: that is one vectorised pass, and nothing to do on the way back.
    hidden_B11L = torch.zeros_like(readable_BL, dtype=scores_BHLL.dtype).masked_fill_(~readable_BL, -torch.inf)
    weights_BHLL = (scores_BHLL + hidden_B11L[:, None, None, :]).softmax(dim=-1)
    return dropped(weights_BHLL, dropout) @ value_BHLK


def rotated(x_BHLK: Tensor, base: float = 10_000.0) -> Tensor:
    """Turn each pair of features (k, k + K/2) by an angle proportional to the token's position."""
    L, K = x_BHLK.shape[-2:]
    # Angles in float64: at position 1,536 half precision would lose the fast ones.
    frequency_K = base ** (-torch.arange(0, K, 2, dtype=torch.float64, device=x_BHLK.device) / K)
    angle_LK = torch.arange(L, dtype=torch.float64, device=x_BHLK.device)[:, None] * frequency_K
    cosine_LK, sine_LK = angle_LK.cos().to(x_BHLK.dtype), angle_LK.sin().to(x_BHLK.dtype)
    low, high = x_BHLK.chunk(2, dim=-1)
    return torch.cat((low * cosine_LK - high * sine_LK, low * sine_LK + high * cosine_LK), dim=-1)
