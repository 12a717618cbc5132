"""Actigraphy: judged by physics (gravity, rotation, energy) and by the real recording of a chest-worn sensor."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from sleep2vec.formats.reader import read
from sleep2vec.harmonization.movement import rms_of_bins
from sleep2vec.harmonization.pipeline import harmonize
from sleep2vec.vocabulary.recording import Recording, Signal

RATE_HZ, MINUTES = 32.0, 6
LABELS = ("X Axis", "Y Axis", "Z Axis")


def recorded(*channels: tuple[str, np.ndarray, float, str], minutes: float = MINUTES) -> Recording:
    signals = [Signal.from_array(label, samples, rate_hz, unit) for label, samples, rate_hz, unit in channels]
    # Something else to make a night of: a belt.
    breath = np.sin(2 * np.pi * 0.25 * np.arange(round(10 * 60 * minutes)) / 10)
    return Recording((Signal.from_array("Abdomen", breath, 10.0, ""), *signals), 60.0 * minutes)


def shaken(rate_hz: float = RATE_HZ, amplitude_g: float = 0.2, hz: float = 2.0, minutes: float = MINUTES):
    """(T, 3) in g: gravity along z, and along it a sine in the second minute; a noise of 2 mg."""
    time_s = np.arange(round(rate_hz * 60 * minutes)) / rate_hz
    axes_TC = 0.002 * np.random.default_rng(1).standard_normal((len(time_s), 3))
    axes_TC[:, 2] += 1.0 + np.where((time_s >= 60) & (time_s < 120), amplitude_g * np.sin(2 * np.pi * hz * time_s), 0)
    return axes_TC


def axes(axes_TC, rate_hz=RATE_HZ, unit="g", scale=1.0):
    return [(label, scale * axes_TC[:, c], rate_hz, unit) for c, label in enumerate(LABELS)]


def actigraphy(*channels, minutes: float = MINUTES):
    night = harmonize(recorded(*channels, minutes=minutes), modalities=("belt", "actigraphy"))
    return night.samples["actigraphy"], night


@pytest.mark.parametrize("rate_hz", [20.0, 32.0, 50.0, 100.0])
def test_a_sine_gives_its_root_mean_square_at_any_rate(rate_hz):
    """Closed form: amplitude / sqrt(2), in all of the minute in which it stands and nowhere else."""
    found_N, _ = actigraphy(*axes(shaken(rate_hz), rate_hz))
    inside_N = found_N[60 * 4 + 8 : 120 * 4 - 8]
    # A quarter of a second is half a period of 2 Hz: over each whole one the mean square is exact.
    assert np.sqrt((inside_N**2).mean()) == pytest.approx(0.2 / np.sqrt(2), rel=0.02)
    outside_N = np.concatenate([found_N[: 55 * 4], found_N[130 * 4 :]])
    assert outside_N.max() < 0.01


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31))
def test_however_the_sensor_is_worn_it_says_the_same(seed):
    turned_TC = Rotation.random(random_state=seed).apply(shaken())
    as_worn_N, _ = actigraphy(*axes(shaken()))
    turned_N, _ = actigraphy(*axes(turned_TC))
    np.testing.assert_allclose(turned_N, as_worn_N, atol=2e-6)


def test_three_axes_and_their_magnitude_are_the_same():
    alone = ("Actigraphy", np.linalg.norm(shaken(), axis=1), RATE_HZ, "g")
    np.testing.assert_allclose(actigraphy(alone)[0], actigraphy(*axes(shaken()))[0], atol=2e-6)


@pytest.mark.parametrize(("unit", "scale"), [("mg", 1e3), ("m/s2", 9.80665), ("m/s^2", 9.80665), ("", 1e3), ("", 9.81)])
def test_units_are_brought_to_g_and_gravity_tells_one_that_is_not_written(unit, scale):
    found_N, night = actigraphy(*axes(shaken(), unit=unit, scale=scale))
    np.testing.assert_allclose(found_N, actigraphy(*axes(shaken()))[0], atol=2e-4)
    assert any("gravity" in step for step in night.provenance["actigraphy"].steps)


@pytest.mark.parametrize(
    ("channel", "reason"),
    [
        (("Actigraphy", np.arange(1920.0) % 40, 32.0, "counts"), "in counts, which is no acceleration: what a device"),
        (("Activity", np.abs(np.sin(np.arange(1920.0))), 32.0, "g/s"), "in g/s, which is no acceleration"),
        (("Actigraphy", 40 * np.random.default_rng(0).random(1920), 32.0, ""), "no gravity: counts of a device cannot"),
        (("Actigraphy", np.full(1920, 0.5), 32.0, "g"), "0.5 g at rest is neither gravity nor none"),
        (("Actigraphy", np.ones(60), 1.0, "g"), "sampled at 1 Hz, too slow: movements of a wrist reach 4 Hz"),
        (("X Axis", np.ones(1920), 32.0, "g"), "no channel known to be actigraphy"),
    ],
)
def test_what_is_no_acceleration_is_refused_with_the_reason(channel, reason):
    night = harmonize(recorded(channel, minutes=1))
    assert reason in night.absent["actigraphy"]
    assert "actigraphy" not in night.samples


def test_a_watch_on_the_table_is_not_worn_and_a_still_sleeper_wears_it():
    """An hour in which nothing moves by a thousandth of g: van Hees et al. 2011."""
    worn_TC = shaken(minutes=150)
    first, last = (round(minute * 60 * RATE_HZ) for minute in (30, 100))
    table_TC = worn_TC.copy()
    table_TC[first:last] = (0.0, 0.6, 0.8)
    shorter_TC = worn_TC.copy()
    shorter_TC[first : last - round(15 * 60 * RATE_HZ)] = (0.0, 0.6, 0.8)
    minutes = 150
    valid_L = actigraphy(*axes(table_TC), minutes=minutes)[1].valid["actigraphy"]
    assert not valid_L[60:200].any()
    assert valid_L[:60].all()
    assert valid_L[200:].all()
    assert actigraphy(*axes(shorter_TC), minutes=minutes)[1].valid["actigraphy"].all()


def test_a_sensor_without_gravity_is_off_and_gaps_are_gaps():
    off_TC = shaken()
    off_TC[round(180 * RATE_HZ) : round(240 * RATE_HZ)] = 0.001
    off_TC[round(270 * RATE_HZ) : round(300 * RATE_HZ), 1] = np.nan
    found_N, night = actigraphy(*axes(off_TC))
    valid_L = night.valid["actigraphy"]
    assert valid_L.tolist() == [True] * 6 + [False] * 2 + [True] + [False] + [True] * 2
    assert set(night.provenance["actigraphy"].faults) == {"gap", "no gravity"}
    assert found_N[180 * 4 : 240 * 4].max() == 0.0
    assert found_N[160 * 4 : 180 * 4].max() < 0.02  # the step into nothing rings in nobody


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 400), st.floats(1.0, 40.0), st.floats(-0.5, 0.5), st.integers(0, 99))
def test_bins_keep_the_energy_and_agree_with_counting_fine_steps(n, width, late, seed):
    """The judge cuts every sample into 64 equal pieces and counts those whose middle lies in a bin."""
    values = np.random.default_rng(seed).normal(size=n)
    n_bins = max(1, int((n - 1) / width))
    found = rms_of_bins(values, width, n_bins, late)
    fine = 64
    places = (np.arange(n * fine) + 0.5) / fine - 0.5
    pieces = np.repeat(values, fine) ** 2
    for k, (start, end) in enumerate(pairwise(late + width * np.arange(n_bins + 1))):
        inside = (places >= start) & (places < end)
        if inside.any():
            error = 3 * (values**2).max() / (inside.sum())
            assert found[k] ** 2 == pytest.approx(pieces[inside].mean(), abs=error + 1e-9)


def test_the_real_sensor_of_nox_is_read_by_its_axes(shared):
    """A sleeper of two minutes: gravity within 2 %, hardly a movement, and its `Activity` (g/s) refused."""
    night = harmonize(read(shared / "real_data" / "nox_a1_psg_120s" / "subject1.edf"))
    story = night.provenance["actigraphy"]
    assert story.channels == LABELS
    assert night.valid["actigraphy"].all()
    assert any("0.99 g at rest is gravity" in step for step in story.steps)
    assert 1e-4 < np.median(night.samples["actigraphy"]) < 3e-3
    assert "X Axis, Y Axis and Z Axis" in night.explain()
    assert night.valid["ppg"].all()
    assert night.provenance["ppg"].channels == ("Pulse Waveform",)
