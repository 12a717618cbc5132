"""Reconstruction of what was hidden.

Dimension letters: N hidden tokens of a modality, F features of a token (they differ between modalities).
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def reconstruction(predicted: Sequence[Tensor], target: Sequence[Tensor], n_tokens: Tensor | None = None) -> Tensor:
    """Mean squared error over the hidden tokens of all modalities; each token weighs the same, however wide it is.

    Args:
        predicted, target: (N, F) for each modality, of its hidden and valid tokens; targets standardised, so that
            always saying the mean costs 1.
        n_tokens: by how many to divide, where other processes hold more of the batch; None: those given.

    Returns:
        Scalar, at least float32. 0 (with a gradient of 0) without a token.

    References:
        He et al., masked autoencoders (2021), arXiv:2111.06377.
    """
    dtype = torch.promote_types(predicted[0].dtype, torch.float32)
    sums = [
        (guess_NF.to(dtype) - truth_NF.to(dtype)).square().sum() / truth_NF.shape[-1]
        for guess_NF, truth_NF in zip(predicted, target, strict=True)
    ]
    n = torch.as_tensor(sum(len(truth_NF) for truth_NF in target)) if n_tokens is None else n_tokens
    return torch.stack(sums).sum() / n.clamp(min=1).to(sums[0])
