"""Judge: rhythms written down as lists of intervals; what is to be kept of each follows from how it was written."""

import numpy as np
import pytest

from sleep2vec.harmonization.beat_shape import Beats
from sleep2vec.harmonization.intervals import intervals_of, intervals_on_grid


def _beats(intervals_s, sound=None):
    times_s = 1.0 + np.concatenate([[0.0], np.cumsum(intervals_s)])
    return Beats(times_s, np.ones(len(times_s)), np.ones(len(times_s), dtype=bool) if sound is None else sound)


@pytest.mark.parametrize(
    "pattern_s",
    [(0.55, 1.2), (0.9, 0.55, 1.25), (0.8, 0.8, 0.8, 1.6), (0.7, 1.4), (0.8, 0.8, 0.8, 0.8, 0.5, 1.1)],
    ids=["bigeminy", "trigeminy", "4:3 block", "3:2 block", "every fifth beat early"],
)
def test_a_pattern_that_returns_is_the_rhythm(pattern_s):
    rng = np.random.default_rng(0)
    intervals_s = np.tile(pattern_s, 100) + rng.normal(0, 0.005, 100 * len(pattern_s))

    _, kept_s = intervals_of(_beats(intervals_s))

    # Where it begins and ends it has not returned often enough.
    assert len(kept_s) >= len(intervals_s) - 4 * len(pattern_s)
    assert kept_s.mean() == pytest.approx(np.mean(pattern_s), abs=0.02)


def test_early_beats_here_and_there_are_no_rhythm():
    rng = np.random.default_rng(1)
    intervals_s = 0.9 + rng.normal(0, 0.01, 900)
    early = np.cumsum(rng.integers(9, 60, 20))
    intervals_s[early], intervals_s[early + 1] = 0.5, 1.3

    middles_s, kept_s = intervals_of(_beats(intervals_s))

    assert len(kept_s) == 900 - 2 * len(early)
    assert kept_s.min() > 0.85
    assert kept_s.max() < 0.95
    assert np.all(np.diff(middles_s) > 0)


def test_what_is_left_out_is_unknown_on_the_grid_and_nothing_else_is():
    intervals_s = np.full(60, 0.8)
    intervals_s[20], intervals_s[21] = 0.45, 1.15
    beats = _beats(intervals_s)
    early_s = beats.times_s[21]
    clock_N = np.arange(0, 50, 0.25)

    laid_N = intervals_on_grid(beats, clock_N)

    left_out_N = (clock_N > early_s - 0.45 + 1e-6) & (clock_N < early_s + 1.15 - 1e-6)
    outside_N = (clock_N < beats.times_s[0] - 1e-6) | (clock_N > beats.times_s[-1] + 1e-6)
    np.testing.assert_array_equal(np.isnan(laid_N), left_out_N | outside_N)
    np.testing.assert_allclose(laid_N[~np.isnan(laid_N)], 0.8, atol=1e-6)


def test_intervals_of_beats_that_look_like_none_are_unknown():
    """Ventricular bigeminy: every other beat has another shape, so that no interval is one of the sinus node's."""
    sound = np.arange(201) % 2 == 0
    laid_N = intervals_on_grid(_beats(np.tile((0.55, 1.2), 100), sound), np.arange(0, 170, 0.25))
    assert np.isnan(laid_N).all()
