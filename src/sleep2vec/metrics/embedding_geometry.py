"""How embeddings lie on the unit sphere: near their partners, spread out, in how many directions.

Letters: N embeddings, D features. Rows are brought to length 1 first; a row of zeros stays where it is. What is
undefined (too few embeddings) is NaN.

References:
    Wang & Isola (2020), Understanding contrastive representation learning through alignment and uniformity.
    Roy & Vetterli (2007), The effective rank; Garrido et al. (2023), RankMe, which applies it to embeddings.
"""

import math

import numpy as np
from numpy.typing import NDArray

from sleep2vec.vocabulary.errors import UsageError

Embeddings = NDArray[np.floating]

SHARPNESS = 2.0
"""The t of Wang & Isola's uniformity."""
_CHUNK = 512


def on_sphere(x_ND: Embeddings) -> Embeddings:
    """Rows divided by their length."""
    return np.asarray(x_ND / np.maximum(np.linalg.norm(x_ND, axis=-1, keepdims=True), 1e-12))


def alignment(first_ND: Embeddings, second_ND: Embeddings) -> float:
    """Mean squared distance of partners, 0 (the same place) to 4 (opposite); 2 where they have nothing in common.

    Args:
        first_ND, second_ND: row n of one is the partner of row n of the other.

    Raises:
        UsageError: the shapes differ.
    """
    if first_ND.shape != second_ND.shape:
        raise UsageError(f"partners are compared row by row; got {first_ND.shape} and {second_ND.shape}.")
    if len(first_ND) == 0:
        return float("nan")
    return float(np.square(on_sphere(first_ND) - on_sphere(second_ND)).sum(axis=1).mean())


def uniformity(x_ND: Embeddings, chunk: int = _CHUNK) -> float:
    """Log of the mean of ``exp(-2 |x - y|^2)`` over all pairs of different rows: 0 (one place) and below.

    Args:
        x_ND: at least two rows; the work grows with N squared, the memory with ``chunk * N``.
        chunk: rows compared with all others at once.
    """
    n = len(x_ND)
    if n < 2:
        return float("nan")
    x_ND = on_sphere(x_ND)
    total = 0.0
    for start in range(0, n, chunk):
        similarity = x_ND[start : start + chunk] @ x_ND.T
        closeness = np.exp(2 * SHARPNESS * (similarity - 1), dtype=np.float64)
        own = np.arange(len(closeness))
        closeness[own, start + own] = 0.0
        total += float(closeness.sum())
    return math.log(total / (n * (n - 1))) if total > 0 else -math.inf


def uniform_uniformity(n_dimensions: float) -> float:
    """The uniformity of points spread evenly over the sphere of so many dimensions: as low as it gets, on average.

    There the mean of ``exp(2 t u)`` over the cosine u to a fixed point is the confluent series 0F1(; D/2; t^2).
    """
    term, total, k = 1.0, 1.0, 0
    while term > 1e-16 * total:
        term *= SHARPNESS**2 / ((k + 1) * (n_dimensions / 2 + k))
        total, k = total + term, k + 1
    return math.log(total) - 2 * SHARPNESS


def spread(x_ND: Embeddings) -> float:
    """Variance on the sphere, summed over the features: 0 (all rows are one) to 1 (they balance around its centre)."""
    if len(x_ND) == 0:
        return float("nan")
    return float(max(0.0, 1.0 - np.square(on_sphere(x_ND).mean(axis=0, dtype=np.float64)).sum()))


def effective_rank(x_ND: Embeddings) -> float:
    """In how many directions the rows differ from their mean: exp of the entropy of the shares of singular values.

    Equal singular values in k directions give k; RankMe is the same without taking the mean away first, which here
    would count the direction that all embeddings share. What float32 rounds to is no direction: rows that are all one
    have rank 0.
    """
    n = len(x_ND)
    if n < 2:
        return float("nan")
    x_ND = on_sphere(x_ND).astype(np.float64)
    x_ND -= x_ND.mean(axis=0)
    return rank_of_spectrum(np.linalg.svd(x_ND, compute_uv=False), floor=1e-6 * math.sqrt(n))


def rank_of_spectrum(singular_values: NDArray[np.floating], floor: float = 0.0) -> float:
    """The effective rank of a matrix with these singular values; 0 where none is above `floor`."""
    values = singular_values[singular_values > floor]
    if len(values) == 0:
        return 0.0
    share = values / values.sum()
    return float(np.exp(-(share * np.log(share)).sum()))
