"""Yes or no, of seconds or of nights, where not everything is known.

Dimension letters: N what is asked about, in any shape.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def masked_binary_cross_entropy(logits_N: Tensor, target_N: Tensor, counted_N: Tensor | None = None) -> Tensor:
    """Mean cross-entropy over what is known.

    Args:
        logits_N: log odds, any shape.
        target_N: 0 or 1, NaN where unknown.
        counted_N: bool, False where there is nothing to learn from; None: all that is known counts.

    Returns:
        Scalar, at least float32; 0 (with a gradient of 0) where nothing counts.
    """
    known_N = torch.isfinite(target_N)
    if counted_N is not None:
        known_N = known_N & counted_N
    if not known_N.any():
        return logits_N.sum() * 0.0
    dtype = torch.promote_types(logits_N.dtype, torch.float32)
    return F.binary_cross_entropy_with_logits(logits_N[known_N].to(dtype), target_N[known_N].to(dtype))
