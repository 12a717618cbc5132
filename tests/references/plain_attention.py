"""Rotary attention restated with complex numbers and loops (Su et al. 2021, equations 12 to 16)."""

import cmath
import math

import numpy as np


def plain_rotated(x_LK: np.ndarray, base: float = 10_000.0) -> np.ndarray:
    """Feature pair (k, k + K/2) as one complex number, times exp(i position base^(-2k/K))."""
    n_tokens, width = x_LK.shape
    half = width // 2
    result = np.empty_like(x_LK)
    for position in range(n_tokens):
        for k in range(half):
            turned = complex(x_LK[position, k], x_LK[position, k + half]) * cmath.exp(
                1j * position * base ** (-2 * k / width)
            )
            result[position, k], result[position, k + half] = turned.real, turned.imag
    return result


def plain_attention(query_LK: np.ndarray, key_LK: np.ndarray, value_LK: np.ndarray, readable_L: np.ndarray):
    """One head: softmax over the readable keys of the dot products over sqrt(K)."""
    query_LK, key_LK = plain_rotated(query_LK), plain_rotated(key_LK)
    mixed = np.zeros_like(value_LK)
    for q in range(len(query_LK)):
        scores = {
            k: float(query_LK[q] @ key_LK[k]) / math.sqrt(query_LK.shape[1])
            for k in range(len(key_LK))
            if readable_L[k]
        }
        total = sum(math.exp(score) for score in scores.values())
        for k, score in scores.items():
            mixed[q] += math.exp(score) / total * value_LK[k]
    return mixed
