import numpy as np
import pytest
from scipy.signal import freqz_sos

from sleep2vec.harmonization.filters import BANDS, _sections, apply_band, mains_of, remove_mains


@pytest.mark.parametrize(
    ("modality", "rate_hz", "width_s"), [("eeg", 128, 0.05), ("ecg", 128, 0.02), ("belt", 4, 0.8), ("resp", 4, 0.8)]
)
def test_a_pulse_stays_where_it_is(modality, rate_hz, width_s):
    time_s = np.arange(rate_hz * 120) / rate_hz
    pulse = np.exp(-0.5 * ((time_s - 60.0) / width_s) ** 2)

    filtered = apply_band(pulse, rate_hz, BANDS[modality])

    # A symmetric pulse stays symmetric around its place only when every frequency keeps its phase.
    middle, reach = 60 * rate_hz, 20 * rate_hz
    assert np.abs(filtered).argmax() == middle
    left, right = filtered[middle - reach : middle][::-1], filtered[middle + 1 : middle + reach + 1]
    np.testing.assert_allclose(left, right, atol=1e-3 * filtered.max())


@pytest.mark.parametrize(
    ("modality", "rate_hz", "kept_hz", "removed_hz"),
    [
        ("eeg", 128, (0.8, 2.0, 13.0, 25.0), (0.05, 58.0)),
        ("emg", 128, (15.0, 30.0, 50.0), (1.0, 4.0)),
        ("ecg", 128, (1.5, 10.0, 30.0), (0.1, 60.0)),
        ("airflow", 4, (0.1, 0.3, 1.0), (0.005,)),
        ("resp", 4, (0.1, 0.3, 0.5), (0.01, 1.5)),
    ],
)
def test_tones_pass_or_stop(modality, rate_hz, kept_hz, removed_hz):
    time_s = np.arange(rate_hz * 600) / rate_hz
    inner = slice(rate_hz * 100, rate_hz * 500)
    for hz in kept_hz + removed_hz:
        tone = np.sin(2 * np.pi * hz * time_s)
        gain = np.std(apply_band(tone, rate_hz, BANDS[modality])[inner]) / np.std(tone[inner])
        # Forward and backward is the square of the one-way response, by definition.
        expected = np.abs(freqz_sos(_sections(BANDS[modality], float(rate_hz)), worN=[hz], fs=rate_hz)[1][0]) ** 2
        assert gain == pytest.approx(expected, abs=0.01)
        assert gain > 0.85 if hz in kept_hz else gain < 0.1


def test_a_night_that_begins_far_from_zero_does_not_ring():
    offset = np.full(128 * 60, 3000.0)

    assert np.abs(apply_band(offset, 128, BANDS["eeg"])).max() < 1e-6


def test_a_drifting_beginning_does_not_swing():
    """An electrode that warms up: 2 mV over a minute under a wave of 20 uV, which must be there from the start."""
    time_s = np.arange(128 * 60) / 128
    wave = 20 * np.sin(2 * np.pi * 2.0 * time_s)
    drift = -2000 * np.exp(-time_s / 20)

    filtered = apply_band(wave + drift, 128, BANDS["eeg"])

    assert np.abs(filtered - wave)[: 128 * 5].max() < 10


@pytest.mark.parametrize("mains_hz", [50.0, 60.0])
def test_mains_is_found_and_removed_and_muscle_stays(mains_hz):
    rng = np.random.default_rng(0)
    muscle = rng.standard_normal(128 * 300)
    hum = 5.0 * np.sin(2 * np.pi * mains_hz * np.arange(len(muscle)) / 128)

    assert mains_of(muscle, 128.0) == ()
    assert mains_of(muscle + hum, 128.0) == (mains_hz,)
    left = remove_mains(muscle + hum, 128.0, mains_hz)[1000:-1000]
    assert np.corrcoef(left, muscle[1000:-1000])[0, 1] > 0.95


@pytest.mark.parametrize("tones_hz", [(50.0, 60.0), (50.4,), (49.6, 60.3), (59.5,)])
def test_both_mains_and_those_off_their_frequency_are_found_and_removed(tones_hz):
    """Judge: the height of each tone before and after, by correlation with it; 40 dB must go."""
    rng = np.random.default_rng(0)
    clock_s = np.arange(128 * 600) / 128
    muscle = rng.standard_normal(len(clock_s))
    mixed = muscle + sum(30 * np.sin(2 * np.pi * hz * clock_s) for hz in tones_hz)

    found = mains_of(mixed, 128.0)
    np.testing.assert_allclose(found, tones_hz, atol=0.05)
    for hz in found:
        mixed = remove_mains(mixed, 128.0, hz)
    for hz in tones_hz:
        inner = slice(1280, -1280)
        left = 2 * np.abs(np.mean(mixed[inner] * np.exp(-2j * np.pi * hz * clock_s[inner])))
        assert left < 0.3
    assert np.corrcoef(mixed[1280:-1280], muscle[1280:-1280])[0, 1] > 0.9
