"""Judge: the sampling theorem. What is below the new Nyquist frequency stays, what is above goes."""

import numpy as np
import pytest

from sleep2vec.harmonization.resample import hold, resample


def _tone(hz, rate_hz, seconds=60):
    return np.sin(2 * np.pi * hz * np.arange(int(seconds * rate_hz)) / rate_hz).astype(np.float32)


@pytest.mark.parametrize("rate_hz", [200.0, 256.0, 512.0, 199.98])
def test_keeps_13_hz_and_removes_70_hz(rate_hz):
    spindle = resample(_tone(13.0, rate_hz), rate_hz, 128.0)
    above = resample(_tone(70.0, rate_hz), rate_hz, 128.0)

    inner = slice(256, 128 * 59)
    time_s = np.arange(len(spindle)) / 128.0
    np.testing.assert_allclose(spindle[inner], np.sin(2 * np.pi * 13.0 * time_s)[inner], atol=1e-3)
    assert np.abs(above[inner]).max() < 1e-3  # 60 dB down


@pytest.mark.parametrize(("from_hz", "to_hz"), [(256.0, 128.0), (100.0, 128.0), (512.0, 4.0), (33.3, 4.0)])
def test_a_slow_pulse_does_not_move(from_hz, to_hz):
    time_s = np.arange(int(60 * from_hz)) / from_hz
    pulse = np.exp(-0.5 * ((time_s - 30.0) / 0.8) ** 2).astype(np.float32)

    moved = resample(pulse, from_hz, to_hz)

    place_s = (moved * np.arange(len(moved)) / to_hz).sum() / moved.sum()
    assert abs(place_s - 30.0) < 0.002


def test_held_values_are_the_last_reading_and_nothing_else():
    readings = np.array([97, 96, 90, 91], dtype=np.float32)

    held = hold(readings, 1.0, np.arange(20) / 4.0)

    np.testing.assert_array_equal(held[:16], np.repeat(readings, 4))
    assert np.isnan(held[16:]).all()


def test_a_held_desaturation_is_as_deep_as_it_was_and_does_not_ring():
    readings = np.full(300, 97.0, dtype=np.float32)
    readings[100:110] = 80.0

    held = hold(readings, 3.0, np.arange(400) / 4.0)

    assert set(np.unique(held)) == {80.0, 97.0}
