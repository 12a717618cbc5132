"""Judge: ECGs and pulse waves drawn around beats whose times are known to the microsecond."""

import numpy as np
import pytest

from sleep2vec.harmonization.beat_shape import Beats
from sleep2vec.harmonization.heartbeats import beats_of_ecg, beats_of_ppg
from sleep2vec.harmonization.intervals import intervals_of, on_grid

_SECONDS = 300


def _beat_times(seed=0, seconds=_SECONDS):
    """Beats of a heart whose rate breathes (0.25 Hz), wanders (0.1 Hz) and jitters."""
    rng = np.random.default_rng(seed)
    times, now = [], 0.6
    while now < seconds - 0.6:
        times.append(now)
        now += 0.9 + 0.05 * np.sin(2 * np.pi * 0.25 * now) + 0.04 * np.sin(2 * np.pi * 0.1 * now) + rng.normal(0, 0.01)
    return np.array(times)


# Wave of the ECG -> (height mV, delay s, width s), the shape of McSharry et al., IEEE TBME 50 (2003).
_WAVES = ((0.12, -0.18, 0.025), (-0.12, -0.03, 0.009), (1.0, 0.0, 0.011), (-0.2, 0.03, 0.01), (0.3, 0.28, 0.045))


def _ecg(times_s, rate_hz, noise_mv=0.03, seed=0, seconds=_SECONDS):
    clock_s = np.arange(int(seconds * rate_hz)) / rate_hz
    drawn = np.zeros(len(clock_s))
    for height, delay, width in _WAVES:
        for beat in times_s + delay:
            near = slice(max(0, int((beat - 0.3) * rate_hz)), int((beat + 0.3) * rate_hz))
            drawn[near] += height * np.exp(-0.5 * ((clock_s[near] - beat) / width) ** 2)
    rng = np.random.default_rng(seed)
    drawn += rng.normal(0, noise_mv, len(drawn)) + 0.2 * np.sin(2 * np.pi * 0.2 * clock_s)
    return drawn.astype(np.float32)


def _true_intervals(times_s, clock_N):
    """The mean of the interval is reached at its middle; linear between, written without the code under test."""
    return np.interp(clock_N, (times_s[:-1] + times_s[1:]) / 2, np.diff(times_s))


@pytest.mark.parametrize("polarity", [1.0, -1.0])
@pytest.mark.parametrize("rate_hz", [64.0, 70.0, 100.0, 128.0, 200.0, 256.0, 500.0])
def test_intervals_of_an_ecg_are_within_8_ms(rate_hz, polarity):
    times_s = _beat_times()
    ecg = polarity * _ecg(times_s, rate_hz)

    beats = beats_of_ecg(ecg, np.zeros(len(ecg), dtype=bool), rate_hz)

    assert abs(len(beats.times_s) - len(times_s)) <= 1
    clock_N = np.arange(_SECONDS * 4) / 4.0
    found_N = on_grid(*intervals_of(beats), clock_N)
    inner = slice(16, -16)
    error_s = found_N[inner] - _true_intervals(times_s, clock_N)[inner]
    rms_s = float(np.sqrt(np.mean(error_s**2)))
    print(f"{rate_hz:g} Hz polarity {polarity:+g}: {rms_s * 1e3:.2f} ms")
    assert rms_s < 0.008


@pytest.mark.parametrize("polarity", [1.0, -1.0])
def test_beats_stand_where_the_r_peaks_are(polarity):
    times_s = _beat_times()
    ecg = polarity * _ecg(times_s, 128.0)

    found_s = beats_of_ecg(ecg, np.zeros(len(ecg), dtype=bool), 128.0).times_s

    distance_s = found_s - times_s[np.abs(found_s[:, None] - times_s).argmin(axis=1)]
    assert abs(np.median(distance_s)) < 0.004
    assert np.std(distance_s) < 0.004


@pytest.mark.parametrize("place_s", [1, 100])
def test_one_huge_artefact_costs_no_more_than_its_neighbourhood(place_s):
    times_s = _beat_times()
    ecg = _ecg(times_s, 200.0)
    ecg[place_s * 200 : place_s * 200 + 60] = 300.0

    found_s = beats_of_ecg(ecg, np.zeros(len(ecg), dtype=bool), 200.0).times_s

    far = times_s[np.abs(times_s - place_s) > 3.0]
    missed = [beat for beat in far if np.abs(found_s - beat).min() > 0.03]
    assert len(missed) == 0


def test_an_ectopic_pair_and_a_missed_beat_leave_no_trace_and_a_long_gap_is_unknown():
    times_s = np.arange(1, 200) * 0.9
    ectopic = times_s.copy()
    ectopic[50] -= 0.35  # early beat, then a pause
    ectopic = np.delete(ectopic, 100)  # a missed beat
    ectopic = np.insert(ectopic, 20, ectopic[19] + 0.3)  # a T wave taken for a beat
    ectopic = ectopic[(ectopic < 130.0) | (ectopic > 140.0)]

    middles_s, intervals_s = intervals_of(Beats(ectopic, np.ones(len(ectopic)), np.ones(len(ectopic), dtype=bool)))
    clock_N = np.arange(2, 4 * 175) / 4.0
    laid_N = on_grid(middles_s, intervals_s, clock_N)

    np.testing.assert_allclose(laid_N[np.isfinite(laid_N)], 0.9, atol=1e-6)
    unknown_s = clock_N[np.isnan(laid_N)]
    assert unknown_s.min() > 128.0
    assert unknown_s.max() < 142.0
    assert len(unknown_s) > 4 * 9


def test_a_pulse_wave_gives_the_same_intervals():
    times_s = _beat_times(seed=3)
    clock_s = np.arange(_SECONDS * 75) / 75.0
    pulse = sum(np.exp(-0.5 * ((clock_s - beat - 0.25) / 0.09) ** 2) for beat in times_s)
    pulse = pulse + sum(0.3 * np.exp(-0.5 * ((clock_s - beat - 0.55) / 0.08) ** 2) for beat in times_s)
    pulse = (pulse + np.random.default_rng(0).normal(0, 0.02, len(pulse))).astype(np.float32)

    beats = beats_of_ppg(pulse, np.zeros(len(pulse), dtype=bool), 75.0)

    assert abs(len(beats.times_s) - len(times_s)) <= 1
    clock_N = np.arange(_SECONDS * 4) / 4.0
    found_N = on_grid(*intervals_of(beats), clock_N)[16:-16]
    # The pulse arrives 0.25 s after the R peak.
    true_N = _true_intervals(times_s + 0.25, clock_N)[16:-16]
    assert np.sqrt(np.mean((found_N - true_N) ** 2)) < 0.015
