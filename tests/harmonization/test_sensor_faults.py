"""Faults a recording can have while every sample looks sound; the judge is what was put in.

Each test holds one finding of a review of this folder: what was drawn is known, and so is what must come out.
"""

from dataclasses import replace

import numpy as np
import pytest
from eeg_like import eeg_like
from scipy.signal import lfilter

from heartbeats_and_breathing import Truth, breath_error_per_min, drawn_ecg
from sleep2vec.harmonization.pipeline import harmonize
from sleep2vec.simulation.person import Person
from sleep2vec.simulation.simulated_night import simulate_night
from sleep2vec.vocabulary.recording import Recording, Signal

MINUTES = 20
SECONDS = 60.0 * MINUTES
BELT_HZ, ECG_HZ = 32.0, 200.0


def night_of(*signals: Signal, seconds: float = SECONDS, modalities=None):
    return harmonize(Recording(signals, seconds), modalities=modalities)


@pytest.fixture(scope="module")
def truth() -> Truth:
    drawn = Truth(seed=3, minutes=MINUTES)
    drawn.bursts_s = []
    return drawn


@pytest.fixture(scope="module")
def ecg(truth: Truth) -> np.ndarray:
    clean = drawn_ecg(truth, ECG_HZ)
    return clean + np.random.default_rng(3).normal(0, 0.02, len(clean))


def breaths(truth: Truth) -> np.ndarray:
    clock_s = np.arange(int(SECONDS * BELT_HZ)) / BELT_HZ
    wave = np.sin(2 * np.pi * np.interp(clock_s, truth.clock_s, truth.phase))
    return wave + np.random.default_rng(1).normal(0, 0.05, len(wave))


def dead_belt(how: str, breathing: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(0).normal(size=len(breathing))
    if how == "white noise":
        return noise
    if how == "quiet noise":
        return 0.01 * noise
    if how == "drift":
        return np.cumsum(noise)
    if how == "slow drift":
        return lfilter([1.0], [1.0, -0.97], noise)
    if how == "heart beats":
        return np.exp(-0.5 * (((np.arange(len(noise)) / BELT_HZ) % 0.9 - 0.4) / 0.05) ** 2) + 1e-3 * noise
    return np.where(np.arange(len(breathing)) < 30 * BELT_HZ, breathing, 0.01 * noise)


@pytest.mark.parametrize(
    "how", ["white noise", "quiet noise", "drift", "slow drift", "heart beats", "fallen off after 30 s"]
)
def test_a_belt_without_breathing_is_none_and_the_flow_serves(how: str, truth: Truth):
    flow = breaths(truth)
    night = night_of(
        Signal.from_array("Abdomen", dead_belt(how, flow), BELT_HZ, "", (-500, 500)),
        Signal.from_array("Nasal Pressure", flow, BELT_HZ, "", (-5, 5)),
    )
    assert "no breathing" in night.absent["belt"]
    assert night.provenance["resp"].source == "airflow"
    assert "the only breathing sensor" in night.provenance["resp"].reason
    median, _ = breath_error_per_min(truth, night.samples["resp"].astype(float), night.valid["resp"])
    assert median < 0.3


def test_noise_alone_is_no_flow_and_no_respiration():
    noise = np.random.default_rng(5).normal(size=int(SECONDS * BELT_HZ))
    pulse = 60 + np.arange(MINUTES * 60) % 3
    night = night_of(
        Signal.from_array("Nasal Pressure", noise, BELT_HZ, "", (-9, 9)), Signal.from_array("Pulse", pulse, 1.0, "bpm")
    )
    assert "no breathing 100%" in night.absent["airflow"]
    assert "no breathing 100%" in night.absent["resp"]


@pytest.mark.parametrize("per_hour", [35.0, 90.0])
def test_the_breathing_of_apneas_is_kept(per_hour: float):
    """Two events in five central: every token of belt and flow is breathing or its absence."""
    drawn = Person.draw(np.random.default_rng(4), subject_id="test")
    person = replace(drawn, apnea_per_hour=per_hour, central_share=0.4)
    recording = simulate_night(14, person=person, site="alpha", hours=2).recording
    night = harmonize(recording, modalities=["belt", "airflow", "resp"])
    for name in ("belt", "airflow", "resp"):
        assert "no breathing" not in night.provenance[name].faults


def test_respiration_comes_from_the_sensor_that_breathes_more(truth: Truth):
    flow = breaths(truth)
    drowned = flow + np.random.default_rng(2).normal(0, 5, len(flow))
    flow_or_belt = [
        Signal.from_array("Abdomen", drowned, BELT_HZ, ""),
        Signal.from_array("Nasal Pressure", flow, BELT_HZ, ""),
    ]
    night = night_of(*flow_or_belt)
    assert night.provenance["resp"].source == "airflow"
    swapped = night_of(
        Signal.from_array("Abdomen", flow, BELT_HZ, ""), Signal.from_array("Nasal Pressure", drowned, BELT_HZ, "")
    )
    assert swapped.provenance["resp"].source == "belt"
    both = night_of(
        Signal.from_array("Abdomen", flow, BELT_HZ, ""), Signal.from_array("Nasal Pressure", flow, BELT_HZ, "")
    )
    assert both.provenance["resp"].source == "belt"
    assert "the effort belt (100% of tokens good" in both.provenance["resp"].reason
    assert "is preferred to the airflow" in both.provenance["resp"].reason


@pytest.mark.parametrize("rate_hz", [100.0, 128.0, 256.0, 500.0])
@pytest.mark.parametrize("offset_uv", [300.0, 3000.0, 40000.0])
def test_an_electrodes_offset_leaves_no_ringing_at_the_ends(rate_hz: float, offset_uv: float):
    wave = eeg_like(np.random.default_rng(0), int(300 * rate_hz), 20.0)
    centred, offset = (
        night_of(Signal.from_array("C4-M1", wave + level, rate_hz, "uV", (-187500, 187500)), seconds=300.0)
        for level in (0.0, offset_uv)
    )
    assert offset.valid["eeg"].all()
    assert np.abs(offset.samples["eeg"] - centred.samples["eeg"]).max() < 1.0


def test_a_wave_on_an_offset_stands_from_the_first_sample():
    """Judge: the closed form of the wave, right to both ends."""
    for rate_hz in (256.0, 500.0):
        clock_s = np.arange(int(120 * rate_hz)) / rate_hz
        wave = 50 * np.sin(2 * np.pi * 2.0 * clock_s)
        floor = eeg_like(np.random.default_rng(0), len(clock_s), 0.3)
        night = night_of(Signal.from_array("C4-M1", wave + floor + 3000, rate_hz, "uV"), seconds=120.0)
        expected = 50 * np.sin(2 * np.pi * 2.0 * np.arange(120 * 128) / 128)
        error = np.abs(night.samples["eeg"] - expected)
        assert max(error[:128].max(), error[-128:].max()) < 5.0


def test_clipping_inside_the_headers_range_is_found():
    wave = np.clip(10 * eeg_like(np.random.default_rng(0), 256 * 300, 20.0), -25, 25)
    clipped, sound = (
        Signal.from_array(label, samples, 256.0, "uV", (-500, 500))
        for label, samples in (("C4-M1", wave), ("E1-M2", eeg_like(np.random.default_rng(1), 256 * 300, 20.0)))
    )
    night = night_of(clipped, sound, seconds=300.0)
    assert "clipped 100%" in night.absent["eeg"]


def test_clipping_of_an_electrode_is_found_in_its_difference():
    rng = np.random.default_rng(0)
    scalp = np.clip(10 * eeg_like(rng, 256 * 300, 20.0), -60, 60)
    ear = eeg_like(rng, 256 * 300, 5.0)
    signals = [Signal.from_array(name, wave, 256.0, "uV", (-500, 500)) for name, wave in (("C4", scalp), ("M1", ear))]
    with pytest.raises(Exception, match="C4 and M1: bad tokens: clipped 100%"):
        night_of(*signals, seconds=300.0, modalities=["eeg"])


@pytest.mark.parametrize("step_uv", [0.1, 1.0, 4.0])
def test_a_coarse_converter_is_not_clipping(step_uv: float):
    eeg = step_uv * np.round(eeg_like(np.random.default_rng(0), 256 * 300, 8.0) / step_uv)
    chin = step_uv * np.round(np.random.default_rng(1).normal(0, 4.0, 256 * 300) / step_uv)
    night = night_of(
        Signal.from_array("C4-M1", eeg, 256.0, "uV", (-500, 500)),
        Signal.from_array("Chin1-Chin2", chin, 256.0, "uV", (-500, 500)),
        seconds=300.0,
    )
    assert night.valid["eeg"].all()
    assert night.valid["emg"].all()


def test_a_digital_ecg_that_rests_between_beats_is_not_clipping(truth: Truth):
    clean = np.maximum(np.round(drawn_ecg(truth, ECG_HZ), 1), 0.0)
    night = night_of(Signal.from_array("ECG", clean, ECG_HZ, "mV", (-5, 5)), modalities=["ecg"])
    assert "clipped" not in night.provenance["ecg"].faults


def test_a_flow_without_its_expirations_is_still_breathing(truth: Truth):
    flow = Signal.from_array("Nasal Pressure", np.maximum(breaths(truth), -0.2), BELT_HZ, "", (-5, 5))
    assert night_of(flow, modalities=["airflow"]).valid["airflow"].all()


@pytest.mark.parametrize("noise", ["white", "hum", "swelling"])
@pytest.mark.parametrize("labels", [("ECG I", "ECG II"), ("ECG II", "ECG I")])
def test_a_lead_without_a_heart_gives_way_to_the_next(noise: str, labels: tuple[str, str], ecg: np.ndarray):
    clock_s = np.arange(len(ecg)) / ECG_HZ
    dead = np.random.default_rng(1).normal(0, 0.3, len(ecg))
    if noise == "hum":
        dead += 2 * np.sin(2 * np.pi * 50 * clock_s)
    if noise == "swelling":
        dead *= 1 + np.sin(2 * np.pi * 0.01 * clock_s)
    night = night_of(
        Signal.from_array(labels[0], dead, ECG_HZ, "mV", (-5, 5)),
        Signal.from_array(labels[1], ecg, ECG_HZ, "mV", (-5, 5)),
    )
    assert night.provenance["ecg"].channels == (labels[1],)
    alone = night_of(Signal.from_array(labels[1], ecg, ECG_HZ, "mV", (-5, 5)))
    assert night.valid["ibi"].mean() == alone.valid["ibi"].mean() >= 0.9


@pytest.mark.parametrize(("width_s", "apart_s"), [(0.012, 0.9), (0.03, 0.5), (0.045, 0.8), (0.045, 0.4)])
def test_broad_and_fast_beats_are_a_heart(width_s: float, apart_s: float):
    clock_s = np.arange(int(300 * ECG_HZ)) / ECG_HZ
    phase_s = clock_s % apart_s - apart_s / 2
    wave = np.exp(-0.5 * (phase_s / width_s) ** 2) - 0.4 * np.exp(-0.5 * ((phase_s - 0.06) / (1.3 * width_s)) ** 2)
    wave += np.random.default_rng(0).normal(0, 0.05, len(wave))
    assert night_of(Signal.from_array("ECG", wave, ECG_HZ, "mV"), seconds=300.0, modalities=["ecg"]).valid["ecg"].all()


def half_lost(wave: np.ndarray, share: float = 0.45) -> np.ndarray:
    return np.where(np.arange(len(wave)) < share * len(wave), 0.0, wave)


def test_a_sensor_lost_for_half_the_night_gives_way_to_one_that_is_not(truth: Truth, ecg: np.ndarray):
    wave = breaths(truth)
    clock_s = np.arange(int(SECONDS * 100)) / 100
    pulse = sum(np.exp(-0.5 * ((clock_s - beat - 0.28) / 0.09) ** 2) for beat in truth.beats_s)
    night = night_of(
        Signal.from_array("Abdomen", half_lost(wave), BELT_HZ, ""),
        Signal.from_array("Thorax", wave, BELT_HZ, ""),
        Signal.from_array("ECG", half_lost(ecg), ECG_HZ, "mV"),
        Signal.from_array("Pleth", pulse, 100.0, ""),
    )
    assert night.provenance["belt"].channels == ("Thorax",)
    assert "100% of its tokens are good, of those preferred before it Abdomen 55%" in night.provenance["belt"].reason
    assert night.provenance["ibi"].source == "ppg"
    assert "ECG 5" in night.provenance["ibi"].reason


def test_a_sensor_that_loses_a_tenth_is_kept(truth: Truth):
    wave = breaths(truth)
    night = night_of(
        Signal.from_array("Abdomen", half_lost(wave, 0.1), BELT_HZ, ""), Signal.from_array("Thorax", wave, BELT_HZ, "")
    )
    assert night.provenance["belt"].channels == ("Abdomen",)


def test_a_lead_is_judged_by_itself_and_not_by_its_difference(ecg: np.ndarray):
    night = night_of(
        Signal.from_array("ECG1", half_lost(ecg), ECG_HZ, "mV", (-5, 5)),
        Signal.from_array("ECG2", ecg, ECG_HZ, "mV", (-5, 5)),
    )
    assert night.provenance["ecg"].channels == ("ECG2",)
    first = next(decision for decision in night.decisions if decision.label == "ECG1")
    assert "tried and not taken, bad tokens: flat 45%" in first.reason


@pytest.mark.parametrize("dead", [0.0, 60.0])
def test_every_heart_rate_channel_is_tried(dead: float):
    """One that shows nothing, or one number all night."""
    moving = 60.0 + np.arange(MINUTES * 60) % 3
    night = night_of(
        Signal.from_array("HR", np.full(MINUTES * 60, dead), 1.0, "bpm"),
        Signal.from_array("Pulse", moving, 1.0, "bpm"),
    )
    assert night.provenance["ibi"].channels == ("Pulse",)
    assert night.valid["ibi"].all()


def test_respiration_names_what_its_own_sensor_lacks(truth: Truth, ecg: np.ndarray):
    flat = Signal.from_array("Abdomen", half_lost(breaths(truth)), BELT_HZ, "")
    assert set(night_of(flat).provenance["resp"].faults) == {"flat"}
    steady = np.arange(1, SECONDS - 1, 0.85)
    clock_s = np.arange(int(SECONDS * ECG_HZ)) / ECG_HZ
    paced = np.random.default_rng(0).normal(0, 0.02, len(clock_s))
    for beat in steady:
        near = slice(int((beat - 0.1) * ECG_HZ), int((beat + 0.1) * ECG_HZ))
        paced[near] += np.exp(-0.5 * ((clock_s[near] - beat) / 0.012) ** 2)
    night = night_of(Signal.from_array("ECG", paced, ECG_HZ, "mV"))
    assert "no breathing in the beats" in night.absent["resp"]
    assert "too few beats" not in night.absent["resp"]


def test_simulated_nights_have_no_fault_they_were_not_given():
    for site in ("alpha", "beta"):
        night = harmonize(simulate_night(7, site=site, hours=1).recording)
        found = {name: story.faults for name, story in night.provenance.items()}
        assert not any({"clipped", "no contact", "no breathing", "frozen"} & set(faults) for faults in found.values())
