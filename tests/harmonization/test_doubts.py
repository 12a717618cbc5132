"""What a night says of wrong units, hum, clocks and uncertain labels; judges are the tones and numbers written."""

import numpy as np
import pytest
from eeg_like import eeg_like
from hypothesis import given, settings
from hypothesis import strategies as st

from sleep2vec.harmonization.pipeline import harmonize
from sleep2vec.harmonization.units import conversion_of
from sleep2vec.vocabulary.recording import Recording, Signal

RATE_HZ, SECONDS = 128.0, 300


def eeg(sd: float = 30.0, seed: int = 0) -> np.ndarray:
    return eeg_like(np.random.default_rng(seed), int(RATE_HZ * SECONDS), sd)


def night_of(*signals: Signal):
    return harmonize(Recording(signals, float(SECONDS)))


@pytest.mark.parametrize("reach", [125.0, 500.0, 3276.7])
def test_a_header_that_says_mv_for_microvolts_is_overruled_and_told(reach: float):
    night = night_of(Signal.from_array("C4-M1", eeg(), RATE_HZ, "mV", (-reach, reach)))
    assert np.std(night.samples["eeg"]) == pytest.approx(30, rel=0.35)
    assert any("header says mV, which the amplitude rules out: taken as uV" in note for note in night.notes)


@settings(max_examples=60, deadline=None)
@given(sd=st.floats(2.0, 300.0), unit=st.sampled_from([("uV", 1.0), ("mV", 1e-3), ("V", 1e-6)]), gain=st.floats(5, 50))
def test_a_true_header_is_never_overruled(sd: float, unit: tuple[str, float], gain: float):
    """Any EEG from 2 to 300 uV in a range 5 to 50 times as wide."""
    name, factor = unit
    samples = (eeg(sd) * factor).astype(np.float32)
    reach = max(gain * sd, 100.0) * factor
    conversion = conversion_of(Signal.from_array("C4-M1", samples, RATE_HZ, name, (-reach, reach)), samples, "eeg")
    assert conversion.doubt is None
    assert conversion.factor == pytest.approx(1 / factor)


@pytest.mark.parametrize("mains_hz", [50, 60])
@pytest.mark.parametrize(("label", "modality"), [("C4-M1", "eeg"), ("Chin1-Chin2", "emg"), ("E1-M2", "eog")])
def test_hum_is_found_at_its_frequency_and_taken_out(mains_hz: int, label: str, modality: str):
    rate_hz = 256.0
    clock_s = np.arange(int(rate_hz * SECONDS)) / rate_hz
    clean = eeg_like(np.random.default_rng(1), len(clock_s), 30.0)
    if modality == "emg":
        clean = np.random.default_rng(1).normal(0, 20, len(clock_s))
    hum = 200 * np.sin(2 * np.pi * mains_hz * clock_s)
    humming = night_of(Signal.from_array(label, clean + hum, rate_hz, "uV", (-1000, 1000)))
    quiet = night_of(Signal.from_array(label, clean, rate_hz, "uV", (-1000, 1000)))
    # The resampler ends at 58 Hz and the bands of EEG and EOG at 35 Hz: little of 60 Hz is left to be found.
    if mains_hz == 50 or modality == "emg":
        assert f"mains of {mains_hz} Hz removed" in humming.provenance[modality].steps
    assert not any("mains" in step for step in quiet.provenance[modality].steps)
    inner = humming.samples[modality][2000:-2000]
    at_mains = np.abs(np.mean(inner * np.exp(-2j * np.pi * mains_hz * np.arange(len(inner)) / 128))) * 2
    assert at_mains < 2.0


def test_a_channel_whose_clock_is_off_is_told_with_its_drift():
    long = Signal.from_array("SpO2", np.full(SECONDS + 3, 96.0), 1.0, "%")
    night = harmonize(Recording((Signal.from_array("C4-M1", eeg(), RATE_HZ, "uV", (-500, 500)), long), float(SECONDS)))
    assert any("SpO2 lasts 303.0 s at 1 Hz and the recording 300.0 s (+10000 ppm)" in note for note in night.notes)
    assert not any("C4-M1 lasts" in note for note in night.notes)


@pytest.mark.parametrize("sd_uv", [0.5, 0.9, 5.0, 30.0])
@pytest.mark.parametrize("reach", [(-500.0, 500.0), (-3276.8, 3276.7), None])
def test_a_chin_in_microvolts_whose_header_says_mv_is_overruled_and_told(sd_uv: float, reach):
    chin = np.random.default_rng(0).normal(0, sd_uv, int(RATE_HZ * SECONDS))
    night = night_of(Signal.from_array("Chin1-Chin2", chin, RATE_HZ, "mV", reach))
    assert np.std(night.samples["emg"]) == pytest.approx(sd_uv, rel=0.2)
    assert any("header says mV, which the amplitude rules out: taken as uV" in note for note in night.notes)


@pytest.mark.parametrize("sd_uv", [1.5, 3.0])
def test_a_small_eeg_whose_header_says_mv_is_overruled_and_not_refused(sd_uv: float):
    night = night_of(Signal.from_array("C4-M1", eeg(sd_uv), RATE_HZ, "mV", (-500, 500)))
    assert np.std(night.samples["eeg"]) == pytest.approx(sd_uv, rel=0.4)


@settings(max_examples=60, deadline=None)
@given(sd_uv=st.floats(0.5, 100.0), gain=st.floats(5, 100), hum_uv=st.sampled_from([0.0, 500.0]))
def test_a_true_header_of_a_chin_is_never_overruled(sd_uv: float, gain: float, hum_uv: float):
    """Any chin of 0.5 to 100 uV in mV, also under half a millivolt of hum."""
    clock_s = np.arange(int(RATE_HZ * SECONDS)) / RATE_HZ
    chin = np.random.default_rng(0).normal(0, sd_uv, len(clock_s)) + hum_uv * np.sin(2 * np.pi * 50 * clock_s)
    samples = (chin / 1000).astype(np.float32)
    reach = max(gain * (sd_uv + hum_uv), 100.0) / 1000
    conversion = conversion_of(
        Signal.from_array("Chin1-Chin2", samples, RATE_HZ, "mV", (-reach, reach)), samples, "chin"
    )
    assert conversion.doubt is None
    assert conversion.factor == pytest.approx(1000.0)


def test_shares_of_faults_are_in_the_provenance():
    samples = eeg()
    samples[: int(60 * RATE_HZ)] = 0.0
    night = night_of(Signal.from_array("C4-M1", samples, RATE_HZ, "uV", (-500, 500)))
    assert night.provenance["eeg"].faults["flat"] == pytest.approx(0.2)
    assert night.valid["eeg"].mean() == pytest.approx(0.8)
