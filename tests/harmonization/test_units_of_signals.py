import numpy as np
import pytest
from eeg_like import eeg_like
from hypothesis import given, settings
from hypothesis import strategies as st

from sleep2vec.harmonization.pipeline import harmonize
from sleep2vec.harmonization.units import conversion_of
from sleep2vec.vocabulary.recording import Recording, Signal

# Volts of one unit, by the SI; spellings as seen in headers.
_SPELLINGS = {
    1.0: ("V", "volt", " V ", "Volts"),
    1e-3: ("mV", "MV", "millivolt", "[mV]"),
    1e-6: ("uV", "\u00b5V", "\u03bcV", "\ufffdV", "Microvolt", "UV", "uV."),
}
_MODALITIES = {"C4-M1": ("eeg", 30e-6), "E1-M2": ("eog", 60e-6), "Chin": ("emg", 10e-6), "ECG": ("ecg", 300e-6)}
_RATE_HZ = 200.0


def _volts(sd_volt, seconds=60, seed=0):
    rng = np.random.default_rng(seed)
    return eeg_like(rng, int(seconds * _RATE_HZ), sd_volt)


def _stored(label, samples, unit, physical_range=None):
    signal = Signal.from_array(label, samples, _RATE_HZ, unit, physical_range)
    name = _MODALITIES[label][0]
    night = harmonize(Recording((signal,), 60.0), modalities=[name])
    return night.samples[name], night


_REFERENCE = {label: _stored(label, 1e6 * _volts(sd), "uV")[0] for label, (_, sd) in _MODALITIES.items()}


@settings(deadline=None, max_examples=60)
@given(
    label=st.sampled_from(sorted(_MODALITIES)),
    unit=st.sampled_from([(scale, word) for scale, words in _SPELLINGS.items() for word in words]),
    with_range=st.booleans(),
)
def test_every_spelling_of_a_voltage_stores_the_same_samples(label, unit, with_range):
    scale, word = unit
    volts = _volts(_MODALITIES[label][1])
    reach = (-0.003276 / scale, 0.003276 / scale) if with_range else None

    stored, night = _stored(label, volts / scale, word, reach)

    np.testing.assert_allclose(stored, _REFERENCE[label], rtol=1e-3, atol=1e-4 * np.std(_REFERENCE[label]))
    assert night.notes == ()


@pytest.mark.parametrize("label", sorted(_MODALITIES))
@pytest.mark.parametrize(("scale", "word"), [(1e-6, ""), (1e-3, ""), (1.0, ""), (1e-3, "unknown"), (1.0, "adu")])
def test_a_missing_unit_is_decided_by_plausibility_and_said(label, scale, word):
    stored, night = _stored(label, _volts(_MODALITIES[label][1]) / scale, word)

    np.testing.assert_allclose(stored, _REFERENCE[label], rtol=1e-3, atol=1e-4 * np.std(_REFERENCE[label]))
    assert any(label in note and "because the amplitude fits" in note for note in night.notes)


@pytest.mark.parametrize(("scale", "word"), [(1e-6, "V"), (1e-6, "mV"), (1.0, "uV"), (1e-3, "uV")])
def test_a_swapped_unit_is_set_right_and_said(scale, word):
    """The header's unit makes the converter's range, or the EEG, impossible; the samples are 30 uV."""
    stored, night = _stored("C4-M1", _volts(30e-6) / scale, word, (-0.003276 / scale, 0.003276 / scale))

    np.testing.assert_allclose(stored, _REFERENCE["C4-M1"], rtol=1e-3, atol=0.01)
    assert any(f"header says {word}" in note for note in night.notes)


def test_a_quiet_channel_is_not_blown_up_to_look_like_an_eeg():
    quiet = 1e6 * _volts(0.05e-6)

    conversion = conversion_of(
        Signal.from_array("C4-M1", quiet, _RATE_HZ, "uV", (-3276, 3276)), quiet.astype(np.float32), "eeg"
    )

    assert conversion.factor == 1.0


def test_spo2_as_a_fraction_is_a_percentage_and_is_said():
    fraction = np.full(120, 0.95)
    fraction[50] = 0.0

    night = harmonize(Recording((Signal.from_array("SpO2", fraction, 1.0, ""),), 120.0))

    np.testing.assert_allclose(night.samples["spo2"], 95.0, atol=1e-4)
    assert any("multiplied by 100" in note for note in night.notes)


def test_belts_in_any_unit_store_the_same_shape():
    breaths = np.sin(2 * np.pi * 0.25 * np.arange(120 * 25) / 25)
    stored = [
        harmonize(Recording((Signal.from_array("Abdomen", breaths * gain, 25.0, unit),), 120.0)).samples["belt"]
        for gain, unit in ((1.0, ""), (1e-5, "V"), (300.0, "mV"))
    ]

    np.testing.assert_allclose(stored[1], stored[0], atol=1e-3)
    np.testing.assert_allclose(stored[2], stored[0], atol=1e-3)
