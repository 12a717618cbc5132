"""Classification of tokens."""

import torch
from torch import Tensor
from torch.nn import functional as F


def masked_cross_entropy(logits_BLC: Tensor, target_BL: Tensor, readable_BL: Tensor) -> Tensor:
    """Mean cross-entropy over the tokens that are scored and readable.

    Args:
        logits_BLC: (B, L, C).
        target_BL: (B, L) float class codes, NaN where nobody scored.
        readable_BL: (B, L) bool, False where no sensor was valid: there is nothing to learn from.

    Returns:
        Scalar; 0 (with a gradient of 0) when no token counts.
    """
    counted_BL = readable_BL & torch.isfinite(target_BL)
    if not counted_BL.any():
        return logits_BLC.sum() * 0.0
    return F.cross_entropy(logits_BLC[counted_BL].float(), target_BL[counted_BL].long())
