"""Alignment, uniformity, spread, rank: closed forms, a numerical integral, and what no rotation may change."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from sleep2vec.metrics.embedding_geometry import (
    alignment,
    effective_rank,
    rank_of_spectrum,
    spread,
    uniform_uniformity,
    uniformity,
)
from sleep2vec.metrics.retrieval import chance_of_top1, top1_accuracy
from sleep2vec.vocabulary.errors import UsageError


def axes(copies):
    """Row pairs +e_i and -e_i, ``copies[i]`` of each: of length 1, balanced, and with known singular values."""
    plus = np.repeat(np.eye(len(copies)), copies, axis=0)
    return np.concatenate([plus, -plus])


def on_a_sphere(n, d, seed=0):
    x = np.random.default_rng(seed).standard_normal((n, d))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_alignment_of_equal_opposite_and_perpendicular_partners():
    x = on_a_sphere(50, 6)
    assert alignment(x, 3.0 * x) == pytest.approx(0.0, abs=1e-12)
    assert alignment(x, -x) == pytest.approx(4.0)
    assert alignment(np.eye(6)[:3], 0.5 * np.eye(6)[3:]) == pytest.approx(2.0)
    assert math.isnan(alignment(x[:0], x[:0]))
    with pytest.raises(UsageError, match=r"row by row; got \(50, 6\) and \(49, 6\)"):
        alignment(x, x[:49])


def test_uniformity_of_two_opposite_points_and_of_two_opposite_crowds():
    """The distance of opposite points is 2, so each pair of them counts exp(-8), each pair of equal ones 1."""
    assert uniformity(axes([1])) == pytest.approx(-8.0)
    n = 20
    opposite = n / (2 * n - 1)
    assert uniformity(axes([n])) == pytest.approx(math.log(1 - opposite + opposite * math.exp(-8)))
    assert uniformity(np.ones((30, 4))) == pytest.approx(0.0, abs=1e-9)
    assert math.isnan(uniformity(np.ones((1, 4))))


@pytest.mark.parametrize("d", [2, 3, 8, 128])
def test_the_least_uniformity_is_that_of_the_evenly_covered_sphere(d):
    """By the integral over the density of the cosine to a fixed point, (1 - u^2)^((d - 3) / 2); in 3 by hand,
    and by drawing."""

    def integral(f):  # u = cos(angle), where the density has no pole
        return quad(lambda angle: f(math.cos(angle)) * math.sin(angle) ** (d - 2), 0, math.pi)[0]

    expected = math.log(integral(lambda u: math.exp(4 * u)) / integral(lambda u: 1.0)) - 4
    assert uniform_uniformity(d) == pytest.approx(expected, abs=1e-9)
    if d == 3:
        assert expected == pytest.approx(math.log(math.sinh(4) / 4) - 4)
    assert uniformity(on_a_sphere(3000, d)) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("copies", [[1], [3, 3, 3], [1] * 20, [1, 4, 9, 16], [1, 100]])
def test_the_rank_of_known_spectra(copies):
    """Singular values are sqrt(2 n_i): equal ones give their number, others the exponential of the entropy."""
    share = np.sqrt(copies) / np.sqrt(copies).sum()
    expected = math.exp(-sum(p * math.log(p) for p in share))
    x = axes(copies) @ np.linalg.qr(np.random.default_rng(1).standard_normal((32, 32)))[0][: len(copies)]
    assert effective_rank(x.astype(np.float32)) == pytest.approx(expected, rel=1e-4)
    assert rank_of_spectrum(np.sqrt(copies)) == pytest.approx(expected)
    if len(set(copies)) == 1:
        assert expected == pytest.approx(len(copies))


def test_what_float32_rounds_to_is_no_direction():
    x = np.tile(np.random.default_rng(0).standard_normal(64).astype(np.float32), (500, 1))
    x *= 1 + np.random.default_rng(1).random((500, 1), dtype=np.float32)
    assert effective_rank(x) == 0.0
    assert spread(x) == pytest.approx(0.0, abs=1e-6)


def test_spread_of_one_place_of_an_orthant_and_of_a_balance():
    """Over the axes of D dimensions the mean has length 1 / sqrt(D)."""
    assert spread(np.ones((5, 3))) == pytest.approx(0.0, abs=1e-12)
    assert spread(np.eye(8)) == pytest.approx(1 - 1 / 8)
    assert spread(axes([2, 5])) == pytest.approx(1.0)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 40), st.integers(1, 8), st.integers(0, 2**32 - 1), st.integers(1, 50))
def test_rotation_order_lengths_and_chunks_change_nothing(n, d, seed, chunk):
    draw = np.random.default_rng(seed)
    x = draw.standard_normal((n, d)) + draw.standard_normal(d)
    rotation = np.linalg.qr(draw.standard_normal((d, d)))[0]
    other = draw.permutation(x * draw.uniform(0.1, 9, (n, 1))) @ rotation
    assert uniformity(other, chunk) == pytest.approx(uniformity(x), abs=1e-9)
    assert spread(other) == pytest.approx(spread(x), abs=1e-9)
    assert effective_rank(other) == pytest.approx(effective_rank(x), rel=1e-6)
    assert -8 - 1e-9 <= uniformity(x) <= 1e-9
    assert effective_rank(x) <= min(n - 1, d) + 1e-9


def test_a_blind_guess_finds_its_partner_as_often_as_chance_says():
    """Noise against noise, with holes: 4,000 tokens, 4 standard errors."""
    draw = np.random.default_rng(3)
    first, second = draw.standard_normal((2, 10, 400, 5))
    valid = draw.random((10, 400)) < 0.5
    chance = chance_of_top1(valid)
    assert chance > 1.5 / 10  # about five candidates, not ten
    error = (chance * (1 - chance) / (2 * valid.sum())) ** 0.5
    assert top1_accuracy(first, second, valid) == pytest.approx(chance, abs=4 * error)
    assert chance_of_top1(np.ones((8, 3), dtype=bool)) == 1 / 8
    assert math.isnan(chance_of_top1(np.zeros((8, 3), dtype=bool)))
