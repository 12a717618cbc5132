"""Judge: electrodes drawn as brain, eye, muscle or heart plus one common reference, which a derivation must cancel."""

import numpy as np
import pytest
from eeg_like import eeg_like

from sleep2vec.harmonization.pipeline import harmonize
from sleep2vec.vocabulary.recording import Recording, Signal

_RATE_HZ = 200.0
_SECONDS = 120
_TIME_S = np.arange(int(_RATE_HZ * _SECONDS)) / _RATE_HZ
_RNG = np.random.default_rng(0)
# The common reference is ten times what is to be seen, in the pass band of every modality.
_COMMON = 300 * np.sin(2 * np.pi * 11.5 * _TIME_S)


def _signal(label, uv, unit="uV", rate_hz=_RATE_HZ):
    return Signal.from_array(label, uv * {"uV": 1.0, "mV": 1e-3, "V": 1e-6}.get(unit, 1.0), rate_hz, unit)


def _night(signals, modality):
    return harmonize(Recording(tuple(signals), _SECONDS), modalities=[modality])


def _amplitude(samples, hz, rate_hz=128):
    clock = np.arange(len(samples)) / rate_hz
    return 2 * abs(np.mean(samples * np.exp(-2j * np.pi * hz * clock)))


@pytest.mark.parametrize(
    ("plus", "minus", "modality"),
    [
        ("C4", "M1", "eeg"),
        ("EEG C3", "A2", "eeg"),
        ("E1", "M2", "eog"),
        ("EOG EOG1", "EOG EOG2", "eog"),
        ("LOC", "A2", "eog"),
        ("Chin1", "Chin2", "emg"),
        ("EMG EMG1", "EMG EMG2", "emg"),
        ("L Chin", "R Chin", "emg"),
        ("ECG L", "ECG R", "ecg"),
        ("ECG1", "ECG2", "ecg"),
    ],
)
@pytest.mark.parametrize("units", [("uV", "uV"), ("mV", "V")])
def test_a_derivation_cancels_the_common_reference(plus, minus, modality, units):
    wave = 20 * np.sin(2 * np.pi * 17.0 * _TIME_S)
    scalp = [_signal("EEG F3", _COMMON + _RNG.normal(0, 20, len(_TIME_S)))] if modality == "eog" else []
    signals = [*scalp, _signal(plus, wave + _COMMON, units[0]), _signal(minus, _COMMON, units[1])]

    night = _night(signals, modality)

    assert night.provenance[modality].channels == (plus, minus)
    to_uv = 1000.0 if modality == "ecg" else 1.0
    assert to_uv * _amplitude(night.samples[modality], 11.5) < 0.05
    assert to_uv * _amplitude(night.samples[modality], 17.0) == pytest.approx(20.0, rel=0.05)
    used = {decision.label for decision in night.decisions if modality in decision.used_for}
    assert used == {plus, minus}


def test_channels_of_different_rates_are_not_subtracted():
    half = _signal("M1", _COMMON[::2], rate_hz=_RATE_HZ / 2)

    night = _night([_signal("C4", _COMMON / 10), half], "eeg")

    assert night.provenance["eeg"].channels == ("C4",)
    assert "recording's own reference" in night.provenance["eeg"].reason


def test_a_voltage_and_a_channel_without_unit_are_not_subtracted():
    night = _night([_signal("C4", _COMMON / 10), _signal("M1", _COMMON, "")], "eeg")

    assert night.provenance["eeg"].channels == ("C4",)


def test_a_referenced_channel_is_not_referenced_again():
    night = _night([_signal("C4-M1", _COMMON / 10), _signal("M1", _COMMON)], "eeg")

    assert night.provenance["eeg"].channels == ("C4-M1",)


def test_an_eye_channel_of_a_recording_of_derivations_is_used_as_it_is():
    """APPLES: C3_M2 and LOC; LOC was referenced by the device, and E1-E2 would be another derivation."""
    wave = 40 * np.sin(2 * np.pi * 1.0 * _TIME_S)
    signals = [_signal("C3_M2", wave), _signal("LOC", wave), _signal("ROC", -wave)]

    assert _night(signals, "eog").provenance["eog"].channels == ("LOC",)


@pytest.mark.parametrize(
    ("labels", "chosen"),
    [
        (("O1-M2", "F4-M1", "C3-M2", "C4-M1"), ("C4-M1",)),
        (("O1-M2", "F4-M1", "C3-A2"), ("C3-A2",)),
        (("EEG Pz-Oz", "EEG Fpz-Cz"), ("EEG Fpz-Cz",)),
        (("EEG(sec)", "EEG"), ("EEG",)),
        (("O2", "C3", "M2"), ("C3", "M2")),
    ],
)
def test_the_preferred_eeg_derivation_is_taken(labels, chosen):
    signals = [_signal(label, eeg_like(_RNG, len(_TIME_S), 30.0)) for label in labels]

    assert _night(signals, "eeg").provenance["eeg"].channels == chosen


def test_sensors_are_preferred_in_order():
    def breath(label):
        return Signal.from_array(label, np.sin(2 * np.pi * 0.25 * _TIME_S), _RATE_HZ, "")

    night = harmonize(Recording(tuple(map(breath, ("Therm", "Flow", "Nasal Pressure", "Thorax", "Abdomen"))), _SECONDS))

    assert night.provenance["airflow"].channels == ("Nasal Pressure",)
    assert night.provenance["belt"].channels == ("Abdomen",)
