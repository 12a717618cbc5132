"""Beats, intervals and breathing against a drawn truth in noise, with ectopic beats and bursts of motion.

The drawing is that of `benchmarks/heartbeats_and_breathing.py`, which has the whole table; the bounds are the project's
promise.
"""

import numpy as np
import pytest

import heartbeats_and_breathing
from heartbeats_and_breathing import (
    PULSE_DELAY_S,
    Truth,
    beat_scores,
    breath_error_per_min,
    drawn_ecg,
    interval_rms_ms,
    noise,
    recorded,
)
from sleep2vec.harmonization.beat_shape import Beats
from sleep2vec.harmonization.heartbeats import beats_of_ecg
from sleep2vec.harmonization.intervals import intervals_of
from sleep2vec.harmonization.pipeline import harmonize
from sleep2vec.vocabulary.recording import Recording, Signal


@pytest.mark.parametrize("rate_hz", [128.0, 256.0])
def test_at_10_db_with_ectopic_beats_and_motion(rate_hz: float):
    truth = Truth(seed=2, minutes=15)
    recording, ecg = recorded(truth, rate_hz, snr_db=10, seed=2)
    beats = beats_of_ecg(ecg.astype(np.float32), np.zeros(len(ecg), dtype=bool), rate_hz)
    scores = beat_scores(beats.times_s, truth)
    assert scores["sensitivity"] >= 0.99
    assert scores["ppv"] >= 0.99
    night = harmonize(recording)
    assert night.valid["ibi"].mean() >= 0.9
    assert interval_rms_ms(truth, night.samples["ibi"].astype(float), night.valid["ibi"]) <= 10
    median, worst = breath_error_per_min(truth, night.samples["resp"].astype(float), night.valid["resp"])
    assert night.valid["resp"].mean() >= 0.9
    assert worst <= 1.0
    assert median <= 0.5


@pytest.mark.parametrize("source", ["ecg", "ppg"])
def test_breathing_from_beats_alone(source: str):
    truth = Truth(seed=4, minutes=10)
    rate_hz = 128.0
    rng = np.random.default_rng(4)
    clean = drawn_ecg(truth, rate_hz)
    if source == "ppg":
        clock = np.arange(len(clean)) / rate_hz
        clean = sum(np.exp(-0.5 * ((clock - beat - 0.25) / 0.09) ** 2) for beat in truth.beats_s)
    truth.bursts_s = []
    samples = clean + noise(rng, clean, rate_hz, 20, truth)
    label, unit = ("ECG", "mV") if source == "ecg" else ("Pleth", "")
    night = harmonize(Recording((Signal.from_array(label, samples, rate_hz, unit, (-50, 50)),), truth.seconds))
    assert night.provenance["resp"].source == source
    median, worst = breath_error_per_min(truth, night.samples["resp"].astype(float), night.valid["resp"])
    assert (median <= 0.5, worst <= 1.0) == (True, True)


def test_beats_without_a_breath_give_no_breathing():
    """A pacemaker: nothing of breathing in the intervals, nothing in the heights."""
    rng = np.random.default_rng(0)
    truth = Truth(seed=0, minutes=10)
    truth.beats_s = np.arange(1, truth.seconds - 1, 0.85)
    truth.is_ectopic = np.zeros(len(truth.beats_s), dtype=bool)
    truth.phase, truth.bursts_s = np.zeros(len(truth.phase)), []
    clean = drawn_ecg(truth, 256.0)
    ecg = clean + noise(rng, clean, 256.0, 20, truth)
    night = harmonize(Recording((Signal.from_array("ECG", ecg, 256.0, "mV", (-50, 50)),), truth.seconds))
    assert "ibi" in night.samples
    assert "no token is good" in night.absent["resp"]


def test_fibrillation_is_kept_and_an_ectopic_beat_is_not():
    """Atrial fibrillation: every interval is irregular and right (uniform, 0.5 to 1.1 s)."""
    rng = np.random.default_rng(1)
    fibrillating = np.cumsum(rng.uniform(0.5, 1.1, 600))
    sound = np.ones(600, dtype=bool)
    _, kept = intervals_of(Beats(fibrillating, np.ones(600), sound))
    assert len(kept) > 0.9 * 599
    steady = np.arange(600) * 0.8 + rng.normal(0, 0.01, 600)
    steady[300] -= 0.25
    middles, kept = intervals_of(Beats(steady, np.ones(600), sound))
    assert len(kept) == 599 - 2
    assert np.abs(middles - steady[300]).min() > 0.8


def test_an_upside_down_ecg_is_told():
    truth = Truth(seed=3, minutes=5)
    truth.bursts_s = []
    ecg = -drawn_ecg(truth, 200.0) + np.random.default_rng(3).normal(0, 0.02, int(truth.seconds * 200))
    night = harmonize(Recording((Signal.from_array("ECG", ecg, 200.0, "mV", (-5, 5)),), truth.seconds))
    assert any("upside down" in step for step in night.provenance["ibi"].steps)
    assert interval_rms_ms(truth, night.samples["ibi"].astype(float), night.valid["ibi"]) <= 10


@pytest.mark.parametrize(("seed", "rate_hz", "snr_db"), [(31, 128.0, 20), (0, 256.0, 5), (3, 64.0, 10)])
def test_a_misleading_beginning_does_not_mislead_for_minutes(seed: int, rate_hz: float, snr_db: float):
    """Seeds whose bursts or early beats fall where the detector learns: it then marked T waves for up to 5 minutes."""
    truth = Truth(seed=seed, minutes=15)
    _, ecg = recorded(truth, rate_hz, snr_db, seed)
    scores = beat_scores(beats_of_ecg(ecg.astype(np.float32), np.zeros(len(ecg), dtype=bool), rate_hz).times_s, truth)
    assert (scores["sensitivity"] >= 0.99, scores["ppv"] >= 0.99) == (True, True), scores


_SHAPES = {
    # Wave -> (height mV, delay s, width s).
    "equal R and S": ((0.1, -0.18, 0.025), (0.55, -0.012, 0.01), (-0.6, 0.02, 0.012), (0.2, 0.28, 0.045)),
    "bundle branch block": ((0.1, -0.18, 0.025), (0.6, 0.0, 0.03), (0.5, 0.06, 0.03), (-0.3, 0.3, 0.06)),
    "T twice as high as R": (
        (0.1, -0.18, 0.025),
        (-0.05, -0.03, 0.009),
        (0.4, 0.0, 0.011),
        (-0.1, 0.03, 0.01),
        (0.8, 0.28, 0.045),
    ),
}


@pytest.mark.parametrize("rate_hz", [128.0, 256.0])
@pytest.mark.parametrize("shape", list(_SHAPES))
def test_other_shapes_of_beats(shape: str, rate_hz: float, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(heartbeats_and_breathing, "NORMAL", _SHAPES[shape])
    truth = Truth(seed=5, minutes=10)
    truth.is_ectopic[:] = False
    truth.bursts_s = []
    recording, ecg = recorded(truth, rate_hz, 20, 5)
    found_s = beats_of_ecg(ecg.astype(np.float32), np.zeros(len(ecg), dtype=bool), rate_hz).times_s
    # The middle of a broad complex is 30 ms behind its first summit.
    scores = beat_scores(found_s - (0.03 if "bundle" in shape else 0.0), truth)
    assert (scores["sensitivity"] >= 0.99, scores["ppv"] >= 0.99) == (True, True), scores
    night = harmonize(Recording(recording.signals[:1], truth.seconds))
    assert night.valid["ibi"].mean() >= 0.9


@pytest.mark.parametrize("rate_hz", [32.0, 64.0, 100.0, 256.0])
def test_a_pulse_wave_at_10_db(rate_hz: float):
    truth = Truth(seed=1, minutes=15)
    recording, _ = recorded(truth, rate_hz, 10, 1, source="ppg")
    night = harmonize(recording)
    assert night.provenance["ibi"].source == "ppg"
    assert night.valid["ibi"].mean() >= 0.75
    rms_ms = interval_rms_ms(truth, night.samples["ibi"].astype(float), night.valid["ibi"], PULSE_DELAY_S)
    assert rms_ms <= 15


@pytest.mark.parametrize("down", [True, False])
def test_the_stored_ecg_is_upright_and_says_so(down: bool):
    truth = Truth(seed=3, minutes=5)
    truth.bursts_s = []
    ecg = drawn_ecg(truth, 200.0) + np.random.default_rng(3).normal(0, 0.02, int(truth.seconds * 200))
    night = harmonize(
        Recording((Signal.from_array("ECG", -ecg if down else ecg, 200.0, "mV", (-5, 5)),), truth.seconds)
    )
    at_beats = night.samples["ecg"][np.round(truth.beats_s[1:-1] * 128).astype(int)]
    assert np.median(at_beats) > 0.5
    assert any(("turned over" if down else "as recorded") in step for step in night.provenance["ecg"].steps)
    assert any("upside down" in step for step in night.provenance["ibi"].steps) == down
