"""People against textbooks: what differs with age, sex and weight, from five years on."""

from functools import cache

import numpy as np
import pytest

from sleep2vec.simulation.person import Person
from sleep2vec.simulation.simulated_night import simulate_night


@cache
def aged(years: float, n: int = 250) -> dict[str, np.ndarray]:
    people = [
        Person.draw(np.random.default_rng([seed, 8]), age_mean_years=years, age_sd_years=0.3) for seed in range(n)
    ]
    columns = {name: np.array([getattr(p, name) for p in people]) for name in vars(people[0]) if name != "measures"}
    assert np.abs(columns["age_years"] - years).max() < 2
    return columns


@pytest.mark.parametrize(
    ("trait", "years", "low", "high"),
    [
        # Fleming et al. 2011 (Lancet 377:1011): median rates of waking children of five are 98 and 23 a minute; asleep
        # they are a fifth lower.
        ("heart_rate_bpm", 6, 72, 98),
        ("heart_rate_bpm", 40, 54, 72),
        ("breath_hz", 6, 0.29, 0.38),
        ("breath_hz", 40, 0.20, 0.29),
        # Marcus et al. 2012: more than one or two events an hour is abnormal in a child.
        ("apnea_per_hour", 6, 0.3, 2.0),
        ("apnea_per_hour", 50, 4.0, 12.0),
        # The posterior rhythm is 8 Hz at six and 10 Hz in adults (Eeg-Olofsson 1971; Niedermeyer).
        ("alpha_hz", 6, 7.5, 9.0),
        ("alpha_hz", 30, 9.5, 10.8),
        # WHO growth reference: 15.3 kg/m2 at six.
        ("bmi", 6, 14.3, 17.5),
        ("bmi", 50, 24.0, 29.0),
    ],
)
def test_medians_by_age(trait: str, years: float, low: float, high: float):
    assert low < np.median(aged(years)[trait]) < high


def test_traits_fade_or_grow_over_a_life():
    young, grown, old = aged(6), aged(30), aged(80)
    for trait in ("slow_gain", "theta_gain", "eeg_gain"):
        assert np.median(young[trait]) > 1.15 * np.median(grown[trait])
    for trait in ("slow_gain", "rsa_gain", "spindle_per_min"):
        assert np.median(grown[trait]) > 1.3 * np.median(old[trait])


def test_weight_drives_apnea_as_far_as_was_measured():
    """Peppard et al. 2000: 10 % more weight goes with 32 % more events (95 % interval 20 to 45 %)."""
    people = aged(50, 2500)
    inside = (people["apnea_per_hour"] > 0.31) & (people["apnea_per_hour"] < 69)
    slope = np.polyfit(np.log(people["bmi"][inside]), np.log(people["apnea_per_hour"][inside]), 1)[0]
    assert 1.20 < 1.1**slope < 1.45


def test_a_child_of_five_and_somebody_of_ninety_sleep_and_are_recorded():
    for seed, years, beats in ((1, 5.0, (60, 115)), (2, 90.0, (42, 95))):
        person = Person.draw(np.random.default_rng(seed), age_mean_years=years, age_sd_years=0.01)
        night = simulate_night(seed, person=person, hours=0.5)
        assert beats[0] < 2 * len(night.truth.beat_times_s) / 60 < beats[1]
        assert all(np.isfinite(signal.samples).all() for signal in night.recording.signals)
