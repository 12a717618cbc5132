"""Judge: faults put into known tokens of a good recording must be found there, and nowhere far away."""

from functools import cache

import numpy as np
import pytest

from sleep2vec.harmonization.contact import evenness
from sleep2vec.harmonization.pipeline import harmonize
from sleep2vec.harmonization.quality import THRESHOLDS, bridge, threshold
from sleep2vec.vocabulary.recording import Recording, Signal

_TOKENS = 12
_BAD = 5
_RATES = {"eeg": 256.0, "eog": 200.0, "emg": 256.0, "ecg": 250.0, "airflow": 32.0, "belt": 25.0, "spo2": 1.0}
_LABELS = {
    "eeg": "C4-M1",
    "eog": "E1-M2",
    "emg": "Chin1-Chin2",
    "ecg": "ECG",
    "airflow": "Nasal Pressure",
    "belt": "Abdomen",
    "spo2": "SpO2",
}
_UNITS = {"eeg": "uV", "eog": "uV", "emg": "uV", "ecg": "mV", "airflow": "cmH2O", "belt": "", "spo2": "%"}
_RANGES = {
    "eeg": (-800, 800),
    "eog": (-800, 800),
    "emg": (-800, 800),
    "ecg": (-5, 5),
    "airflow": (-3, 3),
    "belt": (-3, 3),
    "spo2": (0, 127),
}


def _good(modality):
    return _drawn(modality).copy()


@cache
def _drawn(modality):
    rng = np.random.default_rng(0)
    rate_hz = _RATES[modality]
    time_s = np.arange(int(_TOKENS * 30 * rate_hz)) / rate_hz
    noise = rng.standard_normal(len(time_s))
    if modality in ("eeg", "eog"):
        return 30 * np.sin(2 * np.pi * 2.1 * time_s) + 10 * noise
    if modality == "emg":
        return 8 * noise
    if modality == "ecg":
        beats = np.arange(0.5, _TOKENS * 30, 0.85)
        return sum(np.exp(-0.5 * ((time_s - beat) / 0.012) ** 2) for beat in beats) + 0.02 * noise
    if modality == "spo2":
        return np.round(96 + np.sin(2 * np.pi * time_s / 60))
    return np.sin(2 * np.pi * 0.25 * time_s) + 0.02 * noise


def _token(modality, token=_BAD):
    rate_hz = _RATES[modality]
    return slice(int(token * 30 * rate_hz), int((token + 1) * 30 * rate_hz))


def _night(samples, modality):
    samples = np.clip(samples, *_RANGES[modality])
    signal = Signal.from_array(_LABELS[modality], samples, _RATES[modality], _UNITS[modality], _RANGES[modality])
    return harmonize(Recording((signal,), _TOKENS * 30.0), modalities=[modality])


def _flat(samples, modality):
    samples[_token(modality)] = samples[_token(modality)][0]


def _gap(samples, modality):
    samples[_token(modality)] = np.nan


def _clipped(samples, modality):
    samples[_token(modality)] *= 100.0


def _fallen_off(samples, modality):
    samples[_token(modality)] += 60 * np.std(samples) * np.sign(np.sin(np.arange(len(samples[_token(modality)])) / 9))


def _open_input(samples, modality):
    """No electrode: what is left is hum and the amplifier's white noise, in the range of an EEG."""
    token = _token(modality)
    n = len(samples[token])
    hum = np.sin(2 * np.pi * 50 * np.arange(n) / _RATES[modality])
    samples[token] = 20 * hum + 20 * np.random.default_rng(1).standard_normal(n)


def _dropout_code(samples, modality):
    samples[_token(modality)] = 127.0


def _zero_code(samples, modality):
    samples[_token(modality)] = 0.0


_WAVEFORMS = ("eeg", "eog", "emg", "ecg", "airflow", "belt")
_FAULTS = [
    *((modality, fault) for modality in _WAVEFORMS for fault in (_flat, _gap, _clipped)),
    ("eeg", _fallen_off),
    ("eeg", _open_input),
    ("eog", _open_input),
    ("eog", _fallen_off),
    ("spo2", _gap),
    ("spo2", _dropout_code),
    ("spo2", _zero_code),
]


@pytest.mark.parametrize(("modality", "fault"), _FAULTS)
def test_a_fault_is_found_at_its_token_and_nowhere_else(modality, fault):
    samples = _good(modality)
    assert _night(samples.copy(), modality).valid[modality].all()

    fault(samples, modality)
    night = _night(samples, modality)

    assert np.flatnonzero(~night.valid[modality]).tolist() == [_BAD]
    stored = night.samples[modality].reshape(_TOKENS, -1)
    assert not stored[_BAD].any()
    assert np.isfinite(stored).all()


def test_real_sleep_is_not_taken_for_an_open_input(shared):
    """UCDDB night 018: 822 scored epochs, restless wake with muscle included."""
    with np.load(shared / "real_data" / "ucddb_eeg" / "ucddb018_eeg_epochs.npz") as file:
        epochs_LS = next(file[name] for name in file.files if file[name].ndim == 2)
    n_tokens, per_token = epochs_LS.shape
    even_L = evenness(epochs_LS.astype(np.float32).ravel(), np.arange(n_tokens + 1) * per_token, 128.0)
    assert (even_L > threshold("even_spectrum", "eeg")).mean() < 0.005


@pytest.mark.parametrize("modality", _WAVEFORMS)
def test_what_stood_in_a_bad_token_does_not_reach_its_neighbours(modality):
    quiet, loud = _good(modality), _good(modality)
    _flat(quiet, modality)
    _clipped(loud, modality)

    quiet_night, loud_night = _night(quiet, modality), _night(loud, modality)

    # Not even a filter's edge: the bad token is replaced before anything is filtered.
    np.testing.assert_allclose(quiet_night.samples[modality], loud_night.samples[modality], atol=1e-4)


@pytest.mark.parametrize("modality", ["eeg", "emg", "belt"])
def test_neighbours_of_a_bad_token_differ_from_the_undisturbed_night_at_the_edge_only(modality):
    undisturbed, disturbed = _good(modality), _good(modality)
    _gap(disturbed, modality)

    first, second = _night(undisturbed, modality), _night(disturbed, modality)

    spread = np.std(first.samples[modality])
    difference = np.abs(first.samples[modality] - second.samples[modality]).reshape(_TOKENS, -1)
    # A high-pass of corner f forgets as exp(-2 pi f t / sqrt 2): 1 % is left after 1.04 / f.
    low_hz = {"eeg": 0.3, "emg": 10.0, "belt": 0.03}[modality]
    edge = int(difference.shape[1] * min(0.8, 1.04 / low_hz / 30) + 2)
    assert difference[_BAD + 1, edge:].max() < 0.1 * spread
    assert difference[_BAD - 1, :-edge].max() < 0.1 * spread
    assert np.delete(difference, [_BAD - 1, _BAD, _BAD + 1], axis=0).max() < 0.05 * spread


def test_a_lost_ecg_takes_its_intervals_with_it_and_leaves_the_rest():
    ecg = _good("ecg")
    _flat(ecg, "ecg")
    signal = Signal.from_array("ECG", ecg, _RATES["ecg"], "mV")

    night = harmonize(Recording((signal,), _TOKENS * 30.0))

    assert np.flatnonzero(~night.valid["ibi"]).tolist() == [_BAD]
    kept = night.samples["ibi"].reshape(_TOKENS, -1)[night.valid["ibi"]]
    np.testing.assert_allclose(kept, 0.85, atol=0.006)


def test_a_dead_preferred_derivation_gives_way_to_the_next_and_says_so():
    eeg = _good("eeg")
    dead = Signal.from_array("C4-M1", np.zeros_like(eeg), 256.0, "uV")
    alive = Signal.from_array("C3-M2", eeg, 256.0, "uV")

    night = harmonize(Recording((dead, alive), _TOKENS * 30.0), modalities=["eeg"])

    assert night.provenance["eeg"].channels == ("C3-M2",)
    assert "flat 100%" in night.decisions[0].reason


def test_bridge_leaves_good_samples_and_draws_between_levels():
    samples = np.concatenate([np.full(100, 1.0), np.full(50, 1e9), np.full(100, 3.0)]).astype(np.float32)
    hole = np.zeros(250, dtype=bool)
    hole[100:150] = True

    bridged = bridge(samples, hole, 20.0)

    np.testing.assert_array_equal(bridged[~hole], samples[~hole])
    np.testing.assert_allclose(bridged[hole], np.linspace(1.0, 3.0, 50), rtol=1e-6)


def test_every_threshold_says_where_it_comes_from():
    assert all(len(entry.source) > 10 for entry in THRESHOLDS.values())
