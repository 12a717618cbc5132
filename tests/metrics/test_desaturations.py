"""Desaturations, judged by traces drawn by hand and by a simulator that knows what every event took."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sleep2vec.metrics.desaturations import find_desaturations, oxygen_desaturation_index
from sleep2vec.simulation.person import Person
from sleep2vec.simulation.simulated_night import simulate_night
from sleep2vec.vocabulary.errors import UsageError

HZ = 4


def trace(*knots):
    """Straight lines through (second, percent), 4 Hz; the last knot is the end."""
    seconds, percents = zip(*knots, strict=True)
    return np.interp(np.arange(int(seconds[-1] * HZ)) / HZ, seconds, percents)


def depths(spo2, **options):
    return [round(fall.drop_percent, 2) for fall in find_desaturations(spo2, **options)]


def test_one_fall_is_found_where_it_was_drawn():
    """96 % until 60 s, 90 % at 80 s, 96 % at 100 s and on. Back within 1 % (95 %) is 5/6 of the rise: 96.67 s."""
    (fall,) = find_desaturations(trace((0, 96), (60, 96), (80, 90), (100, 96), (200, 96)), start_s=1000.0)
    assert fall.onset_s == pytest.approx(1060, abs=0.5 / 0.3 + 0.25)  # it falls 0.3 % a second: 0.5 % is left at 61.7 s
    assert fall.nadir_s == 1080.0
    assert fall.end_s == pytest.approx(1096.67, abs=0.25)
    assert (fall.baseline_percent, fall.nadir_percent, fall.recovered) == (96.0, 90.0, True)


@pytest.mark.parametrize(
    ("lowest", "is_3", "is_4"), [(93.1, 0, 0), (93.0, 1, 0), (92.1, 1, 0), (92.0, 1, 1), (80.0, 1, 1)]
)
def test_three_and_four_percent_are_at_least(lowest, is_3, is_4):
    spo2 = trace((0, 96), (60, 96), (80, lowest), (100, 96), (200, 96))
    assert len(find_desaturations(spo2)) == is_3
    assert len(find_desaturations(spo2, least_drop_percent=4.0)) == is_4
    # As a store holds it: 16-bit integers over a range of 50 %.
    stored = np.round(spo2 / (50 / 65535)) * (50 / 65535)
    assert len(find_desaturations(stored)) == is_3


def test_a_slow_drift_is_no_desaturation_and_a_ripple_no_second_one():
    assert depths(trace((0, 97), (600, 88), (700, 88))) == []  # 1.5 % in 100 s
    assert depths(trace((0, 96), (60, 96), (80, 90), (84, 91), (90, 89), (110, 96), (200, 96))) == [7.0]


def test_the_nadir_is_where_it_is_lowest_first():
    (fall,) = find_desaturations(trace((0, 96), (60, 96), (80, 90), (95, 90), (110, 96), (200, 96)))
    assert fall.nadir_s == 80.0


def test_a_second_fall_falls_from_where_the_first_had_risen_to():
    """96, 86, 92, 88, 95: the second, 4 % from 92, begins before the saturation is back."""
    first, second = find_desaturations(trace((0, 96), (60, 96), (80, 86), (95, 92), (110, 88), (140, 95), (200, 95)))
    assert (first.drop_percent, first.recovered, second.drop_percent) == (10.0, False, 4.0)
    assert (first.end_s, second.recovered) == (95.0, True)


def test_what_cannot_be_read_ends_a_desaturation_and_is_never_bridged():
    spo2 = trace((0, 96), (60, 96), (80, 90), (100, 96), (200, 96))
    valid = np.ones(len(spo2), dtype=bool)
    valid[72 * HZ : 75 * HZ] = False  # in the fall: 92.4 % before; 91.5 % after it, whose baseline nobody saw
    (before,) = find_desaturations(spo2, valid)
    assert before.end_s < 72
    assert not before.recovered
    assert before.nadir_percent == pytest.approx(92.4, abs=0.1)
    for code in (np.nan, 0.0, 127.0):
        artefact = spo2.copy()
        artefact[120 * HZ : 130 * HZ] = code
        assert depths(artefact) == [6.0]  # a dropout is no desaturation
    assert depths(spo2, valid_N=np.zeros(len(spo2), dtype=bool)) == []
    # Two halves of a fall, 2 % each, are none.
    half = np.concatenate([trace((0, 96), (60, 94)), np.full(40, np.nan), trace((0, 94), (60, 92))])
    assert depths(half) == []


def test_a_fall_that_stays_at_its_nadir_until_the_oximeter_is_lost_lasts_until_then():
    """As an oximeter of whole percents tells it."""
    spo2 = np.repeat([96.0, 92.0], [60 * HZ, 40 * HZ])
    (fall,) = find_desaturations(np.append(spo2, np.full(60 * HZ, np.nan)))
    assert (fall.nadir_s, fall.end_s, fall.recovered) == (60.0, 100.0 - 1 / HZ, False)


def test_low_saturation_that_stays_low_ends_after_three_minutes():
    (fall,) = find_desaturations(trace((0, 96), (60, 96), (80, 90), (900, 90)))
    assert not fall.recovered
    assert fall.end_s - fall.onset_s <= 180


@settings(max_examples=60)
@given(st.lists(st.integers(80, 99), min_size=2, max_size=40), st.integers(1, 12), st.floats(-3600, 3600))
def test_time_shift_level_and_rate_change_nothing_else(levels, held_s, shift_s):
    spo2 = np.repeat(np.array(levels, dtype=float), held_s * HZ)
    falls = find_desaturations(spo2)
    assert all(f.onset_s < f.nadir_s <= f.end_s and f.drop_percent >= 2.95 for f in falls)
    assert all(f.end_s <= g.onset_s for f, g in pairwise(falls))
    moved = find_desaturations(spo2, start_s=shift_s)
    assert [f.nadir_s - shift_s for f in moved] == pytest.approx([f.nadir_s for f in falls])
    lower = find_desaturations(spo2 - 25)
    assert [f.nadir_s for f in lower] == [f.nadir_s for f in falls]
    # Split where a minute cannot be read, both halves are found as they were alone.
    parted = np.concatenate([spo2, np.full(60 * HZ, np.nan), spo2])
    twice = find_desaturations(parted)
    assert [f.drop_percent for f in twice] == [f.drop_percent for f in falls] * 2
    seconds = find_desaturations(spo2[::HZ], rate_hz=1.0)
    assert [f.drop_percent for f in seconds] == [f.drop_percent for f in falls]


def test_index_counts_per_hour_of_readable_sleep():
    """Ten falls a minute apart in 10 minutes, of which 8 are sleep: 8 of 480 s are 60 an hour."""
    spo2 = np.tile(trace((0, 96), (20, 96), (35, 90), (45, 96), (60, 96)), 10)
    falls = find_desaturations(spo2)
    assert len(falls) == 10
    stages = np.repeat([0.0, 2.0, np.nan], [2, 16, 2])
    assert oxygen_desaturation_index(falls, stages, least_drop_percent=4.0) == pytest.approx(60.0)
    assert oxygen_desaturation_index(falls, stages, least_drop_percent=7.0) == 0.0
    valid = np.arange(20) < 10  # the oximeter falls off after 5 minutes, 4 of them sleep
    unseen = find_desaturations(spo2, np.repeat(valid, 30 * HZ))
    assert oxygen_desaturation_index(unseen, stages, least_drop_percent=3.0, valid_L=valid) == pytest.approx(60.0)
    assert oxygen_desaturation_index(falls, np.zeros(20), least_drop_percent=3.0) is None


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_simulator_knows_what_every_event_took(seed):
    """Of falls that an event brought 93 % are found within 5 s of their nadir, 90 % of those found are one of them."""
    person = replace(Person.draw(np.random.default_rng(seed), subject_id="p"), apnea_per_hour=(15.0, 30.0, 50.0)[seed])
    truth = simulate_night(40 + seed, person=person, hours=5).truth
    falls = find_desaturations(truth.spo2_G)
    brought = [event for event in truth.breathing_events if event.desaturation_percent >= 3]
    apart_s = np.abs(np.subtract.outer([e.nadir_s for e in brought], [f.nadir_s for f in falls]))
    assert np.mean(apart_s.min(axis=1) <= 5) >= 0.93
    assert np.mean(apart_s.min(axis=0) <= 5) >= 0.90
    near = apart_s.min(axis=1) <= 5
    depth = np.array([falls[place].drop_percent for place in apart_s.argmin(axis=1)])
    off = (depth - [event.desaturation_percent for event in brought])[near]
    assert np.median(np.abs(off)) < 0.3


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"valid_N": [True]}, r"shapes \(8,\) and \(1,\)"),
        ({"rate_hz": 0.0}, "at 0 Hz"),
        ({"least_drop_percent": 2.0}, "desaturations of 2 %"),
    ],
)
def test_says_what_is_wrong(arguments, sentence):
    with pytest.raises(UsageError, match=sentence):
        find_desaturations(np.full(8, 95.0), **arguments)
