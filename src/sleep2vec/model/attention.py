"""Self-attention with rotary positions.

Dimension letters: B windows, L tokens, H heads, K features of a head, D features.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class RotaryAttention(nn.Module):
    """Multi-head self-attention that sees the distance of tokens, not their position.

    Dropout hides tokens from a head: one draw a head and token, before the softmax, in place of one for every pair of
    tokens after it. No matrix of pairs has to be kept, and the weights that are left still sum to 1.

    References:
        Su et al. (2021), RoFormer, arXiv:2104.09864.
        Li et al. (2022), DropKey, arXiv:2208.02646 (there drawn for each pair).
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
        heard_BHL = readable_BL[:, None]
        if self.training and self.dropout > 0:
            heard_BHL = some_heard(readable_BL, self.heads, self.dropout)
        mixed_BHLK = attended(rotated(query_BHLK), rotated(key_BHLK), value_BHLK, heard_BHL)
        return self.output(mixed_BHLK.transpose(1, 2).reshape(B, L, D))


def some_heard(readable_BL: Tensor, heads: int, share: float) -> Tensor:
    """(B, H, L) the readable tokens that each head hears when about `share` of them are hidden from it; never none."""
    lot_BHL = torch.rand(len(readable_BL), heads, readable_BL.shape[1], device=readable_BL.device)
    kept_BHL = (lot_BHL >= share) & readable_BL[:, None]
    return torch.where(kept_BHL.any(dim=-1, keepdim=True), kept_BHL, readable_BL[:, None])


def attended(query_BHLK: Tensor, key_BHLK: Tensor, value_BHLK: Tensor, heard_BHL: Tensor) -> Tensor:
    """Values averaged by the softmax of query-key products over the tokens that are heard, the quickest way.

    H of `heard_BHL` may be 1. torch's fused kernel is quickest, except on a CPU with 16-bit numbers: see
    `docs/decisions.md`.
    """
    if query_BHLK.device.type == "cpu" and query_BHLK.dtype in (torch.bfloat16, torch.float16):
        return _plainly_attended(query_BHLK, key_BHLK, value_BHLK, heard_BHL)
    return F.scaled_dot_product_attention(query_BHLK, key_BHLK, value_BHLK, attn_mask=heard_BHL[:, :, None])


def _plainly_attended(query_BHLK: Tensor, key_BHLK: Tensor, value_BHLK: Tensor, heard_BHL: Tensor) -> Tensor:
    scores_BHLL = (query_BHLK * query_BHLK.shape[-1] ** -0.5) @ key_BHLK.mT
    # Added, not filled in: that is one vectorised pass, and nothing to do on the way back.
    hidden_BHL = torch.zeros_like(heard_BHL, dtype=scores_BHLL.dtype).masked_fill_(~heard_BHL, -torch.inf)
    return (scores_BHLL + hidden_BHL[:, :, None]).softmax(dim=-1) @ value_BHLK


def rotated(x_BHLK: Tensor, base: float = 10_000.0) -> Tensor:
    """Turn each pair of features (k, k + K/2) by an angle proportional to the token's position."""
    L, K = x_BHLK.shape[-2:]
    # Angles in float64: at position 1,536 half precision would lose the fast ones.
    frequency_K = base ** (-torch.arange(0, K, 2, dtype=torch.float64, device=x_BHLK.device) / K)
    angle_LK = torch.arange(L, dtype=torch.float64, device=x_BHLK.device)[:, None] * frequency_K
    cosine_LK, sine_LK = angle_LK.cos().to(x_BHLK.dtype), angle_LK.sin().to(x_BHLK.dtype)
    low, high = x_BHLK.chunk(2, dim=-1)
    return torch.cat((low * cosine_LK - high * sine_LK, low * sine_LK + high * cosine_LK), dim=-1)
