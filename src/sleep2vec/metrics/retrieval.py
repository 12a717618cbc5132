"""Whether simultaneous signals find each other.

Dimension letters: B windows, L tokens, D features.
"""

import numpy as np
from numpy.typing import NDArray


def top1_accuracy(
    first_BLD: NDArray[np.floating], second_BLD: NDArray[np.floating], valid_BL: NDArray[np.bool_]
) -> float:
    """Share of tokens whose most similar candidate, among the same moment of all windows, is their own window.

    Averaged over both directions. Chance is one over the number of windows valid at that moment. Cosine similarity;
    invalid tokens are neither asked nor offered.

    Returns:
        NaN when no token is valid.
    """
    if not valid_BL.any():
        return float("nan")
    first_BLD, second_BLD = (
        x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12) for x in (first_BLD, second_BLD)
    )
    similarity_LBB = np.einsum("itd,jtd->tij", first_BLD, second_BLD)
    similarity_LBB = np.where(valid_BL.T[:, :, None] & valid_BL.T[:, None, :], similarity_LBB, -np.inf)
    own_B = np.arange(len(first_BLD))
    hits = [similarity_LBB.argmax(axis=axis) == own_B for axis in (1, 2)]
    return float(np.mean([hit_LB[valid_BL.T] for hit_LB in hits]))


def chance_of_top1(valid_BL: NDArray[np.bool_]) -> float:
    """What `top1_accuracy` is on average for a blind guess: one over the windows valid at a token's moment."""
    n_L = valid_BL.sum(axis=0)
    return float((n_L > 0).sum() / n_L.sum()) if n_L.any() else float("nan")
