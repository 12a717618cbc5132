"""Classification where a label may leave several classes open.

Dimension letters: N what is asked about, C classes.
"""

import torch
from torch import Tensor


def open_cross_entropy(logits_NC: Tensor, allowed_NC: Tensor) -> Tensor:
    """Mean of minus the log of the summed probability of the classes that a label leaves open.

    With one class open this is the cross-entropy. Rows that leave all classes open teach nothing and do not count.

    Args:
        logits_NC: (N, C).
        allowed_NC: (N, C) bool, at least one True in each row.

    Returns:
        Scalar, at least float32; 0 (with a gradient of 0) where no row counts.

    References:
        Jin & Ghahramani (2002), Learning with multiple labels, NIPS 15.
    """
    counted_N = ~allowed_NC.all(dim=-1)
    if not counted_N.any():
        return logits_NC.sum() * 0.0
    logits_NC = logits_NC[counted_N]
    logits_NC = logits_NC.to(torch.promote_types(logits_NC.dtype, torch.float32))
    open_NC = logits_NC.masked_fill(~allowed_NC[counted_N], float("-inf"))
    return (logits_NC.logsumexp(dim=-1) - open_NC.logsumexp(dim=-1)).mean()
