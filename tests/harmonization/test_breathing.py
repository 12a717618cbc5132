"""Judge: breathing whose rate is known because it was drawn."""

import numpy as np
import pytest
from scipy.signal import welch

from sleep2vec.harmonization.pipeline import harmonize
from sleep2vec.vocabulary.recording import Recording, Signal

_SECONDS = 600


def _rate_per_minute(resp):
    hz, power = welch(resp, 4.0, nperseg=4 * 120, nfft=2**14)
    return 60 * hz[power.argmax()]


def _breaths(per_minute, rate_hz, seed=0):
    time_s = np.arange(_SECONDS * rate_hz) / rate_hz
    wave = np.sin(2 * np.pi * per_minute / 60 * time_s)
    # Sharper than a sine, drifting and noisy, as belts are.
    rng = np.random.default_rng(seed)
    return wave + 0.3 * wave**2 + 2e-3 * time_s + 0.1 * rng.standard_normal(len(time_s))


@pytest.mark.parametrize("per_minute", [8.0, 14.0, 25.0])
@pytest.mark.parametrize(
    ("label", "rate_hz", "source"), [("Abdomen", 25, "belt"), ("Chest", 10, "belt"), ("Nasal Pressure", 200, "airflow")]
)
def test_the_rate_of_breathing_survives(label, rate_hz, source, per_minute):
    signal = Signal.from_array(label, _breaths(per_minute, rate_hz), rate_hz, "")

    night = harmonize(Recording((signal,), _SECONDS), modalities=["resp"])

    assert night.provenance["resp"].source == source
    assert _rate_per_minute(night.samples["resp"]) == pytest.approx(per_minute, abs=0.3)


@pytest.mark.parametrize("how", ["height", "interval"])
def test_breathing_comes_from_the_ecg_where_nothing_else_recorded_it(how):
    per_minute, rate_hz = 15.0, 200
    rng = np.random.default_rng(1)
    time_s = np.arange(_SECONDS * rate_hz) / rate_hz
    phase = 2 * np.pi * per_minute / 60
    ecg, now = rng.normal(0, 0.01, len(time_s)), 0.5
    while now < _SECONDS - 1:
        height = 1.0 + (0.15 * np.sin(phase * now) if how == "height" else 0.0)
        near = slice(int((now - 0.1) * rate_hz), int((now + 0.1) * rate_hz))
        ecg[near] += height * np.exp(-0.5 * ((time_s[near] - now) / 0.012) ** 2)
        now += 0.8 + (0.05 * np.sin(phase * now) if how == "interval" else rng.normal(0, 0.005))
    signal = Signal.from_array("ECG", ecg, rate_hz, "mV")

    night = harmonize(Recording((signal,), _SECONDS))

    assert night.provenance["resp"].source == "ecg"
    assert ("height" in " ".join(night.provenance["resp"].steps)) == (how == "height")
    assert _rate_per_minute(night.samples["resp"]) == pytest.approx(per_minute, abs=0.3)


def test_a_dead_belt_leaves_breathing_to_the_airflow():
    belt = Signal.from_array("Abdomen", np.zeros(_SECONDS * 25), 25, "")
    flow = Signal.from_array("Nasal Pressure", _breaths(14.0, 25), 25, "cmH2O")

    night = harmonize(Recording((belt, flow), _SECONDS))

    assert "belt" in night.absent
    assert night.provenance["resp"].source == "airflow"
    assert night.provenance["resp"].channels == ("Nasal Pressure",)


def _heart(beats_per_minute, breaths_per_minute, source, *, change=0.04, slow=0.02, depth=0.12, seed=0):
    """A night's only signal: beats (2 % jitter around `beats_per_minute`) that breathe and follow blood pressure."""
    rate_hz, rng = 128, np.random.default_rng(seed)
    time_s = np.arange(_SECONDS * rate_hz) / rate_hz
    phase, usual = 2 * np.pi * breaths_per_minute / 60, 60 / beats_per_minute
    samples, now = rng.normal(0, 0.02, len(time_s)), 0.5
    waves = ((1.0, 0.0, 0.012),) if source == "ecg" else ((1.0, 0.28, 0.09), (0.35, 0.55, 0.09))
    while now < _SECONDS - 1:
        height = 1.0 + depth * np.sin(phase * now)
        near = slice(max(0, int((now - 0.3) * rate_hz)), int((now + 1.0) * rate_hz))
        for size, delay, width in waves:
            samples[near] += height * size * np.exp(-0.5 * ((time_s[near] - now - delay) / width) ** 2)
        wave = change * np.sin(phase * now) + slow * np.sin(2 * np.pi * 0.1 * now)
        now += usual * (1 + wave + rng.normal(0, 0.01))
    label, unit = ("ECG", "mV") if source == "ecg" else ("Pleth", "")
    return harmonize(Recording((Signal.from_array(label, samples, rate_hz, unit, (-50, 50)),), _SECONDS))


@pytest.mark.parametrize("source", ["ecg", "ppg"])
@pytest.mark.parametrize(("beats", "breaths"), [(50, 28), (45, 24), (40, 22), (38, 18)])
def test_breaths_too_fast_for_the_beats_are_not_told(beats, breaths, source):
    """Sampled once a beat, f looks like (heart rate - f): 28 breaths at 50 beats look like 22."""
    assert "resp" not in _heart(beats, breaths, source).samples


@pytest.mark.parametrize("source", ["ecg", "ppg"])
@pytest.mark.parametrize(("beats", "breaths"), [(60, 15), (75, 20), (100, 28)])
def test_breaths_slow_enough_for_the_beats_are_told(beats, breaths, source):
    night = _heart(beats, breaths, source)
    assert night.valid["resp"].mean() >= 0.9
    assert _rate_per_minute(night.samples["resp"]) == pytest.approx(breaths, abs=0.3)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("source", ["ecg", "ppg"])
def test_waves_of_blood_pressure_are_no_breathing(source, seed):
    """0.1 Hz in the intervals, nothing of breathing anywhere."""
    night = _heart(60, 15, source, change=0.0, slow=0.08, depth=0.0, seed=seed)
    assert "ibi" in night.samples
    assert "resp" not in night.samples


def test_movements_in_a_belt_are_no_breaths_and_sighs_are():
    """A 15-a-minute sine with a jolt of six times its size for 4 s, and a sigh of two and a half breaths."""
    rate_hz, seconds = 16.0, 900
    clock_s = np.arange(int(seconds * rate_hz)) / rate_hz
    wave = np.sin(2 * np.pi * 0.25 * clock_s)
    sigh = (clock_s >= 600) & (clock_s < 604)
    wave[sigh] *= 2.5
    jolt = (clock_s >= 300) & (clock_s < 304)
    wave[jolt] += 6 * np.hanning(jolt.sum())
    night = harmonize(Recording((Signal.from_array("Abdomen", wave, rate_hz, "", (-50, 50)),), float(seconds)))
    assert np.flatnonzero(~night.valid["resp"]).tolist() == [10]
    assert night.valid["belt"].all()


@pytest.mark.parametrize(("apnea_s", "breaths_s"), [(30, 20), (25, 20), (40, 20), (60, 15)])
def test_breaths_between_apneas_are_no_movements(apnea_s: int, breaths_s: int):
    """Periodic breathing: trains of breaths that wax and wane, nothing between them."""
    rate_hz, seconds = 16.0, 1800
    clock_s = np.arange(int(seconds * rate_hz)) / rate_hz
    place = np.mod(clock_s, apnea_s + breaths_s) - apnea_s
    size = np.where(place > 0, np.sin(np.pi * np.clip(place, 0, None) / breaths_s), 0.02)
    wave = size * np.sin(2 * np.pi * 0.3 * clock_s) + np.random.default_rng(0).normal(0, 0.005, len(clock_s))
    night = harmonize(Recording((Signal.from_array("Abdomen", wave, rate_hz, "", (-5, 5)),), float(seconds)))
    assert night.valid["resp"].mean() == night.valid["belt"].mean()
