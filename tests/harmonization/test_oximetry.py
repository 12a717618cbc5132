"""Readings of oximeters; the judge is what was drawn."""

import numpy as np
import pytest

from sleep2vec.harmonization.pipeline import harmonize
from sleep2vec.vocabulary.recording import Recording, Signal

HOURS = 2
SECONDS = 3600 * HOURS


def saturation() -> np.ndarray:
    """Around 96 %, changing every few seconds, with an apnea's fall of 1 % a second to 80 % every 10 minutes."""
    rng = np.random.default_rng(0)
    readings = np.round(96 + rng.normal(0, 0.6, SECONDS // 5).repeat(5))
    fall = np.concatenate([np.arange(0, 16), np.arange(16, 0, -2)])
    for start in range(300, SECONDS - 60, 600):
        readings[start : start + len(fall)] = 96 - fall
    return readings


def pulse() -> np.ndarray:
    return 60 + np.random.default_rng(1).integers(0, 4, SECONDS).astype(float)


def night_of(readings, rates=None, rate_hz: float = 1.0):
    signals = [Signal.from_array("SpO2", np.repeat(readings, round(rate_hz)), rate_hz, "%")]
    if rates is not None:
        signals.append(Signal.from_array("Pulse", rates, 1.0, "bpm"))
    return harmonize(Recording(tuple(signals), float(SECONDS)))


@pytest.mark.parametrize("rate_hz", [1.0, 4.0, 16.0])
@pytest.mark.parametrize("dropout", [(88, 70, 20, 0, 55, 80), (90, 60, 0, 0, 0, 60, 90), (127, 127, 60, 85)])
def test_the_ramps_of_a_dropout_are_no_desaturation(dropout, rate_hz: float):
    readings = saturation()
    readings[1000:1010] = 96
    readings[1002 : 1002 + len(dropout)] = dropout
    night = night_of(readings, rate_hz=rate_hz)
    # A token that loses more than a fifth is invalid, and nothing of it is read.
    stored = np.where(np.repeat(night.valid["spo2"], 120), night.samples["spo2"], 96)
    assert stored[4 * 1001 : 4 * 1010].min() == 96


def test_desaturations_beside_a_dropout_stay():
    """A fall of 1 % a second that ends in a lost signal is true down to where it was lost."""
    readings = saturation()
    readings[1000:1030] = 96
    readings[1004:1018] = 96 - np.arange(14)
    readings[1018:1021] = 0
    stored = night_of(readings).samples["spo2"]
    assert stored[4 * 1004 : 4 * 1025].min() == 83


def test_every_desaturation_is_as_deep_as_it_was():
    readings = saturation()
    night = night_of(readings, pulse())
    assert night.valid["spo2"].all()
    np.testing.assert_array_equal(night.samples["spo2"][::4], readings)


@pytest.mark.parametrize(
    ("minutes", "step", "with_pulse", "invalid"),
    [
        (45, 1.0, False, True),
        (15, 1.0, False, False),  # a healthy sleeper
        (15, 0.1, False, True),
        (15, 1.0, True, True),
    ],
)
def test_a_frozen_reading_is_invalid_and_named(minutes: int, step: float, with_pulse: bool, invalid: bool):
    readings, rates = saturation(), pulse()
    if step < 1:
        readings = readings - 0.1 * np.random.default_rng(2).integers(0, 5, SECONDS // 2).repeat(2)
    frozen = slice(3000, 3000 + 60 * minutes)
    readings[frozen] = 96.0
    if with_pulse:
        rates[frozen] = 61.0
    night = night_of(readings, rates)
    inside = np.arange(HOURS * 120) * 30
    inside = (inside >= 3000) & (inside + 30 <= frozen.stop)
    assert (not night.valid["spo2"][inside].any()) == invalid
    assert night.valid["spo2"][~inside].mean() > 0.98
    assert ("frozen" in night.provenance["spo2"].faults) == invalid


def test_a_frozen_pulse_is_no_interval():
    rates = pulse()
    rates[3600:5400] = 61.0
    night = night_of(saturation(), rates)
    assert not night.valid["ibi"][120:180].any()
    assert night.valid["ibi"][:120].all()
    assert night.provenance["ibi"].faults == {"frozen": pytest.approx(0.25)}
    stuck = night_of(saturation(), np.full(SECONDS, 61.0))
    assert "frozen 100%" in stuck.absent["ibi"]
