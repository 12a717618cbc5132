"""Intervals by resampling people, judged by distributions that are known in closed form."""

import numpy as np
import pytest
from scipy import stats

from sleep2vec.metrics.bootstrap import bootstrap_interval
from sleep2vec.vocabulary.errors import UsageError


def test_a_share_of_people_has_the_binomial_interval():
    """n people of whom a share p is 1: the resampled sum is Binomial(n, p), exactly."""
    answers = [1.0] * 12 + [0.0] * 28
    interval = bootstrap_interval(np.mean, answers, n_resamples=20_000, level=0.9, seed=3)
    assert interval.estimate == pytest.approx(0.3)
    assert interval.low == pytest.approx(stats.binom.ppf(0.05, 40, 0.3) / 40, abs=1e-9)
    assert interval.high == pytest.approx(stats.binom.ppf(0.95, 40, 0.3) / 40, abs=1e-9)


def test_a_mean_of_many_agrees_with_scipy():
    values = np.random.default_rng(0).exponential(size=200)
    theirs = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=9999, rng=1).confidence_interval
    ours = bootstrap_interval(np.mean, values.tolist(), n_resamples=5000)
    width = theirs.high - theirs.low
    assert ours.low == pytest.approx(theirs.low, abs=0.05 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.05 * width)


def test_more_nights_of_the_same_people_do_not_narrow_the_interval():
    """Ten copies of each person's night hold no more than one: the interval must not move at all."""
    values = np.random.default_rng(1).normal(size=15)
    single = bootstrap_interval(np.mean, values.tolist())
    people = [person for person in range(15) for _ in range(10)]
    tenfold = bootstrap_interval(np.mean, np.repeat(values, 10).tolist(), people=people)
    by_night = bootstrap_interval(np.mean, np.repeat(values, 10).tolist())
    assert (tenfold.low, tenfold.high) == pytest.approx((single.low, single.high))
    assert tenfold.n_people == 15
    # The mistake this guards against: taking nights for people shrinks the width by about sqrt(10).
    assert (tenfold.high - tenfold.low) / (by_night.high - by_night.low) == pytest.approx(np.sqrt(10), rel=0.15)


def test_undefined_resamples_are_left_out_and_counted():
    """Of two items, both draws hit the first with chance 1/4: there the statistic is undefined."""
    interval = bootstrap_interval(lambda drawn: None if sum(drawn) == 0 else 1.0, [0, 1], n_resamples=4000, seed=2)
    assert interval.n_resamples / 4000 == pytest.approx(0.75, abs=0.03)
    assert (interval.low, interval.high) == (1.0, 1.0)


def test_one_person_gives_an_estimate_and_no_interval():
    interval = bootstrap_interval(np.mean, [0.5, 0.7], people=["a", "a"])
    assert interval.estimate == pytest.approx(0.6)
    assert (interval.low, interval.high, interval.n_people) == (None, None, 1)


def test_the_seed_decides():
    values = np.random.default_rng(5).normal(size=20).tolist()
    assert bootstrap_interval(np.mean, values, seed=1) == bootstrap_interval(np.mean, values, seed=1)
    assert bootstrap_interval(np.mean, values, seed=1) != bootstrap_interval(np.mean, values, seed=2)


@pytest.mark.parametrize(
    ("items", "settings"),
    [([], {}), ([1.0], {"people": ["a", "b"]}), ([1.0, 2.0], {"level": 1.0}), ([1.0, 2.0], {"n_resamples": 0})],
)
def test_says_what_an_interval_needs(items, settings):
    with pytest.raises(UsageError, match="an interval needs"):
        bootstrap_interval(np.mean, items, **settings)
