"""The judge by real people must itself be fair: nobody in both halves, and figures that mean what they say."""

from pathlib import Path

import numpy as np
import pytest

from heart_features import apnea_features, intervals_on_grid, variability
from real_people import apnea_records, in_half, real_folder, staged_beats, watch_nights
from simulation_real import overlap


@pytest.fixture(scope="module")
def folder() -> Path:
    found = real_folder()
    if found is None:
        pytest.skip("the real recordings are not here; set S2V_SHARED to the folder that holds real_data")
    return found


def test_nobody_is_in_both_halves_and_nobody_in_none(folder: Path):
    for load, n in ((apnea_records, 34), (staged_beats, 11), (watch_nights, 21)):
        mine, others = ({night.person for night in load(folder, half)} for half in ("calibration", "test"))
        assert not mine & others
        assert len(mine | others) == n
        assert abs(len(mine) - len(others)) <= 1
    assert in_half("test", "abcdef") == in_half("test", "fedcba")


def test_c05_and_c06_have_the_same_beats_and_stay_together(folder: Path):
    """Shifted against each other by some seconds, four hours of intervals agree: one person, so one half."""
    (c05, c06) = (
        next(n for half in ("calibration", "test") for n in apnea_records(folder, half) if n.name == name)
        for name in ("c05", "c06")
    )
    assert c05.person == c06.person
    first, second = (intervals_on_grid(night.times_s, 4 * 3600 * 4) for night in (c05, c06))
    alike = [np.corrcoef(first[800 + k : 40000 + k], second[800:40000])[0, 1] for k in range(-400, 401, 2)]
    assert max(alike) > 0.9


def test_overlap_of_two_normal_distributions_is_the_closed_form():
    """2 Phi(-d / 2) for unit variances and means d apart."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(200_000)
    assert overlap(x, rng.standard_normal(200_000)) == pytest.approx(1.0, abs=0.02)
    assert overlap(x, 2 + rng.standard_normal(200_000)) == pytest.approx(0.3173, abs=0.03)


def test_features_of_intervals_that_are_known():
    """Rate swings of one frequency: each band sees its own, and the rhythm its period."""
    whole = np.arange(0, 3600, 1 / 16)

    def beats(hz: float, depth: float) -> np.ndarray:
        phase = whole + depth / (2 * np.pi * hz) * np.sin(2 * np.pi * hz * whole)
        return np.interp(np.arange(1, 3599), phase, whole)

    fast, slow = (variability(beats(hz, 0.05), 120, 30) for hz in (0.25, 0.1))
    # The amplitude 0.05 s has the rms 35 ms; interpolation between beats takes a little of the fast one.
    assert np.exp(np.median(slow["log LF"])) == pytest.approx(36, rel=0.1)
    assert np.exp(np.median(fast["log HF"])) == pytest.approx(36, rel=0.3)
    assert np.median(fast["log LF"]) < 1.5 > np.median(slow["log HF"]) - 0.5
    cyclic = apnea_features(beats(1 / 45, 0.1), 60)
    assert np.median(cyclic["lag 5"]) == pytest.approx(45, abs=2)
    assert np.median(cyclic["cyclic share 3"]) > -0.05
