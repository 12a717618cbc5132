"""Draws: as random as promised, and of different people."""

from collections import Counter
from itertools import permutations
from math import comb

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from sleep2vec.data.lottery import Dice, nights_of_different_people, shuffled


def dice(seed=0):
    return Dice(np.random.default_rng(seed))


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 2**31), st.integers(0, 200))
def test_shuffled_is_a_permutation(seed, n):
    assert sorted(shuffled(np.arange(n) * 3, dice(seed))) == [3 * i for i in range(n)]


def test_every_order_is_as_likely_as_another():
    """All 24 orders of four items, 24,000 times."""
    die = dice()
    counts = Counter(tuple(shuffled(np.arange(4), die)) for _ in range(24_000))
    assert set(counts) == set(permutations(range(4)))
    assert chisquare(list(counts.values())).pvalue > 1e-3


def test_numbers_below_are_uniform_also_where_they_are_many():
    die = dice(1)
    found = np.array([die.below(42_249) for _ in range(40_000)])
    assert found.min() >= 0
    assert found.max() < 42_249
    assert chisquare(np.histogram(found, bins=100, range=(0, 42_249))[0]).pvalue > 1e-3


@settings(deadline=None, max_examples=100)
@given(
    st.integers(0, 2**31), st.lists(st.integers(0, 12), min_size=1, max_size=60), st.integers(1, 5), st.integers(1, 70)
)
def test_nobody_comes_twice_and_everybody_comes_where_there_is_room(seed, people, n_groups, n):
    person_of = np.array(people)
    nights = np.arange(len(people))
    groups = [nights[nights % n_groups == g] for g in range(n_groups)]
    chosen = nights_of_different_people(groups, person_of, n, dice(seed))
    assert len({people[night] for night in chosen}) == len(chosen) == min(n, len(set(people)))


def test_each_group_gives_the_next_person_with_equal_chance():
    """Three cohorts of 400, 40 and 10 people, none exhausted by 6 draws: counts as of a fair three-sided die."""
    person_of = np.arange(450)
    groups = [np.arange(0, 400), np.arange(400, 440), np.arange(440, 450)]
    die, counts = dice(2), np.zeros(3)
    for _ in range(2000):
        for night in nights_of_different_people(groups, person_of, 6, die):
            counts[0 if night < 400 else 1 if night < 440 else 2] += 1
    assert counts.sum() == 12_000
    assert chisquare(counts).pvalue > 1e-3


def test_a_group_without_people_left_leaves_its_turn_to_the_others():
    """Two people against fifty, eight draws: a fair coin tells how often the small group was asked at most once.

    The number of its people among the eight is the number of heads, cut at two: 0 and 1 by the binomial law.
    """
    person_of = np.arange(52)
    groups = [np.arange(2), np.arange(2, 52)]
    die, n = dice(3), 8
    counts = Counter(
        sum(night < 2 for night in nights_of_different_people(groups, person_of, n, die)) for _ in range(20_000)
    )
    few = [comb(n, k) / 2**n for k in (0, 1)]
    expected = [20_000 * p for p in (*few, 1 - sum(few))]
    assert chisquare([counts[k] for k in (0, 1, 2)], expected).pvalue > 1e-3


def test_within_a_group_every_night_is_as_likely():
    """Somebody with three nights comes three times as often as somebody with one, each night alike: one draw of 13."""
    person_of = np.array([0, 0, 0, *range(1, 11)])
    die = dice(4)
    counts = Counter(nights_of_different_people([np.arange(13)], person_of, 1, die)[0] for _ in range(13_000))
    assert len(counts) == 13
    assert chisquare(list(counts.values())).pvalue > 1e-3
