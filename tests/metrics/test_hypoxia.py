"""Hypoxic burden and time below 90 %, judged by triangles, whose area is known."""

import numpy as np
import pytest

from sleep2vec.metrics.hypoxia import hypoxic_burden, time_below
from sleep2vec.vocabulary.errors import UsageError
from sleep2vec.vocabulary.events import Event

HZ = 4
ASLEEP = np.full(120, 2.0)  # one hour


def dips(ends_s, depth=6.0, level=96.0, seconds=3600):
    """A triangle after the end of every event: down from the end for 20 s, up for 20 s."""
    t = np.arange(seconds * HZ) / HZ
    return level - depth * np.sum([np.clip(1 - np.abs(t - end_s - 20) / 20, 0, None) for end_s in [*ends_s, -99]], 0)


def apneas(ends_s):
    return [Event("apnea", end_s - 20.0, 20.0) for end_s in ends_s]


@pytest.mark.parametrize("every_s", [300, 90])
@pytest.mark.parametrize("depth", [4.0, 12.0])
def test_triangles_have_half_base_times_height(every_s, depth):
    """40 s and 6 % are 120 % s, 2 % min, each; so many of them in an hour of sleep."""
    ends_s = np.arange(150, 3400, every_s, dtype=float)
    burden = hypoxic_burden(apneas(ends_s), dips(ends_s, depth), ASLEEP)
    assert burden.percent_min_per_hour == pytest.approx(len(ends_s) * 20 * depth / 60, rel=0.03)
    assert burden.window_s == pytest.approx((0, 40), abs=10)
    assert burden.n_events == burden.n_measured == len(ends_s)
    # Half of the hour awake, the events in the other half: twice as much an hour.
    half = np.where(np.arange(120) < 60, 2.0, 0.0)
    asleep_s = [end_s for end_s in ends_s if end_s - 20 < 1800]
    again = hypoxic_burden(apneas(ends_s), dips(ends_s, depth), half)
    assert again.n_events == len(asleep_s)
    assert again.percent_min_per_hour == pytest.approx(len(asleep_s) * 20 * depth / 60 * 2, rel=0.03)


def test_in_trains_of_events_the_window_is_one_cycle():
    """Eight events, one every 35 s: the saturation is highest before and after the train, and peaks between events."""
    ends_s = np.concatenate([start + 35.0 * np.arange(8) for start in range(150, 3000, 400)])
    burden = hypoxic_burden(apneas(ends_s), dips(ends_s), ASLEEP)
    assert np.diff(burden.window_s) == pytest.approx(35, abs=3)


def test_each_person_has_a_window_of_his_own():
    """Blood that arrives 15 s later moves the window by 15 s, and the burden not at all."""
    ends_s = np.arange(150, 3400, 120, dtype=float)
    usual, late = (hypoxic_burden(apneas(ends_s), dips(ends_s + delay), ASLEEP) for delay in (0, 15))
    assert np.subtract(late.window_s, usual.window_s) == pytest.approx((15, 15), abs=0.5)
    assert late.percent_min_per_hour == pytest.approx(usual.percent_min_per_hour, rel=0.01)


def test_the_baseline_is_each_events_own_and_the_clock_does_not_matter():
    """A level that sinks by 3 % an hour is not part of the burden; 100 s of it are 0.08 %."""
    ends_s = np.arange(150, 3400, 120, dtype=float)
    sinking = dips(ends_s) - np.linspace(0, 3, 3600 * HZ)
    usual = hypoxic_burden(apneas(ends_s), dips(ends_s), ASLEEP).percent_min_per_hour
    assert hypoxic_burden(apneas(ends_s), sinking, ASLEEP).percent_min_per_hour == pytest.approx(usual, rel=0.08)
    moved = hypoxic_burden(apneas(ends_s + 77), dips(ends_s), ASLEEP, grid_start_s=77.0)
    assert moved.percent_min_per_hour == pytest.approx(usual)


def test_what_cannot_be_read_is_taken_to_be_like_the_rest():
    ends_s = np.arange(150, 3400, 120, dtype=float)
    valid = np.repeat(np.arange(120) < 60, 30 * HZ)
    whole, half = (hypoxic_burden(apneas(ends_s), dips(ends_s), ASLEEP, v) for v in (None, valid))
    assert half.n_measured < half.n_events == whole.n_measured
    assert half.percent_min_per_hour == pytest.approx(whole.percent_min_per_hour, rel=0.03)
    blind = hypoxic_burden(apneas(ends_s), dips(ends_s), ASLEEP, np.zeros(3600 * HZ, dtype=bool))
    assert (blind.percent_min_per_hour, blind.n_measured) == (None, 0)


def test_nobody_asleep_has_none_and_no_event_no_burden():
    assert hypoxic_burden(apneas([150.0]), dips([150.0]), np.zeros(120)).percent_min_per_hour is None
    assert hypoxic_burden([], dips([]), ASLEEP).percent_min_per_hour == 0.0


def test_t90_counts_readable_sleep_below_ninety():
    """A quarter at 89 %, and just 90 % is not below."""
    spo2 = np.repeat([89.0, 90.0, 95.0, 95.0], 900 * HZ)
    assert time_below(spo2, ASLEEP) == 25.0
    assert time_below(spo2, np.repeat([2.0, 0.0], 60)) == 50.0
    assert time_below(spo2, ASLEEP, np.repeat([True, True, False, False], 900 * HZ)) == 50.0
    assert time_below(spo2, ASLEEP, below_percent=96.0) == 100.0
    assert time_below(spo2, np.full(120, np.nan)) is None
    with pytest.raises(UsageError, match="14400 samples of saturation do not fit"):
        time_below(spo2, ASLEEP[:-1])
