"""Many resamples at once, judged by `metrics.survival` on each resample written out."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sleep2vec.metrics.bootstrap import bootstrap_interval, interval_of, resampled_counts
from sleep2vec.metrics.survival import harrell_c, integrated_brier, uno_c
from sleep2vec.metrics.survival_resamples import Resamples
from sleep2vec.vocabulary.errors import UsageError


def people(seed, n, n_times):
    """Times with ties of every kind, risks with ties."""
    draw = np.random.default_rng(seed)
    years = draw.integers(0, n_times, n).astype(float)
    return years, (draw.random(n) < 0.5).astype(float), np.round(draw.normal(size=n), 1), draw


def or_nan(value):
    return np.nan if value is None else value


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1_000_000), st.integers(1, 30), st.integers(1, 9), st.sampled_from([None, 3.0, 20.0]))
def test_each_resample_has_the_figure_of_its_people_written_out(seed, n, n_times, tau):
    years, event, risk, draw = people(seed, n, n_times)
    times, counts = np.array([0.0, 1.0, 2.5, 3.0]), draw.integers(0, 3, (6, n))
    counts = counts[counts.sum(axis=1) > 0]
    survival = np.sort(draw.random((n, 4)), axis=1)[:, ::-1]
    resamples = Resamples(years, event, counts)
    harrell, uno = resamples.concordances(risk, tau)
    brier = resamples.integrated_brier(survival, times)
    for own, *ours in zip(counts, harrell, uno, brier, strict=True):
        drawn = np.repeat(np.arange(n), own)
        columns = years[drawn], event[drawn]
        theirs = (
            harrell_c(*columns, risk[drawn]),
            uno_c(*columns, risk[drawn], tau=tau),
            integrated_brier(*columns, survival[drawn], times),
        )
        np.testing.assert_allclose(ours, [or_nan(value) for value in theirs], rtol=1e-12, atol=1e-12)


def test_the_interval_is_that_of_drawing_people_one_by_one():
    years, event, risk, _ = people(3, 60, 20)
    items = list(zip(years, event, risk, strict=True))
    theirs = bootstrap_interval(lambda drawn: harrell_c(*zip(*drawn, strict=True)), items, n_resamples=150, seed=4)
    values, _ = Resamples(years, event, resampled_counts(60, 150, 4)).concordances(risk)
    ours = interval_of(harrell_c(years, event, risk), values, n_people=60)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=1e-12)
    assert (ours.estimate, ours.n_people, ours.n_resamples) == (theirs.estimate, 60, 150)


def test_a_thousand_resamples_of_five_hundred_people_cost_less_than_fifty_one_by_one():
    years, event, risk, draw = people(5, 500, 4000)
    began = time.perf_counter()
    for _ in range(50):
        drawn = draw.integers(500, size=500)
        harrell_c(years[drawn], event[drawn], risk[drawn]), uno_c(years[drawn], event[drawn], risk[drawn])
    one_by_one = time.perf_counter() - began
    counts = resampled_counts(500, 1000)
    began = time.perf_counter()
    Resamples(years, event, counts).concordances(risk)
    assert time.perf_counter() - began < 2 * one_by_one  # 20 times as many; twice, for a busy machine


def test_unknown_people_are_no_part_of_a_resample():
    with pytest.raises(UsageError, match="leave out people of whom one is NaN"):
        Resamples(np.array([1.0, np.nan]), np.ones(2), np.ones((1, 2), int))
