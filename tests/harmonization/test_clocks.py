"""Where an event stands: judged by the phase of a known sine and the place of a known pulse."""

import numpy as np
import pytest
from eeg_like import eeg_like

from sleep2vec.harmonization.clocks import on_one_clock
from sleep2vec.harmonization.pipeline import harmonize
from sleep2vec.vocabulary.recording import Recording, Signal
from sleep2vec.vocabulary.stages import StageSpan

SECONDS = 600.0


def delay_ms(night, modality: str, hz: float) -> float:
    """By how much a sine of phase 0 at the recording's start stands late."""
    stored = night.samples[modality]
    inner = slice(240, -240)
    clock_s = night.grid_start_s + np.arange(len(stored)) / 4
    phase = np.angle(np.mean(stored[inner] * np.exp(-2j * np.pi * hz * clock_s[inner])))
    return -1000 * (phase + np.pi / 2) / (2 * np.pi * hz)


@pytest.mark.parametrize("rate_hz", [4.0, 5.0, 8.0, 10.0, 25.0, 33.3, 256.0])
@pytest.mark.parametrize("onset_s", [0.25, 4.5, 7.25, 12.37])
def test_a_slow_channel_stands_at_its_time_whatever_the_grids_phase(rate_hz: float, onset_s: float):
    clock_s = np.arange(int(SECONDS * rate_hz)) / rate_hz
    breath = np.sin(2 * np.pi * 0.25 * clock_s) + np.random.default_rng(0).normal(0, 0.01, len(clock_s))
    signals = tuple(Signal.from_array(label, breath, rate_hz, "") for label in ("Abdomen", "Nasal Pressure"))
    scored = tuple(StageSpan(onset_s + 30 * i, 30.0, 2) for i in range(10))
    night = harmonize(Recording(signals, SECONDS, stages=scored))
    for modality in ("belt", "airflow", "resp"):
        assert abs(delay_ms(night, modality, 0.25)) <= 5.0


def drifting_eeg(ppm: float, hours: float, event_s: float) -> Signal:
    """A device whose clock runs `ppm` slow writes fewer samples: an event of true time stands early by its count."""
    true_hz = 128.0 * (1 - ppm * 1e-6)
    samples = eeg_like(np.random.default_rng(0), round(hours * 3600 * true_hz), 5.0)
    clock_s = np.arange(len(samples)) / true_hz
    samples += 300 * np.exp(-0.5 * ((clock_s - event_s) / 0.05) ** 2)
    return Signal.from_array("C4-M1", samples, 128.0, "uV", (-3000, 3000))


@pytest.mark.parametrize("ppm", [200.0, -350.0])
def test_a_drifting_clock_is_stretched_to_the_recordings(ppm: float):
    hours, event_s = 2.0, 6900.0
    oximeter = Signal.from_array("SpO2", 96.0 + (np.arange(7200) % 7 == 0), 1.0, "%")
    night = harmonize(Recording((drifting_eeg(ppm, hours, event_s), oximeter), 3600 * hours))
    assert night.samples["eeg"].argmax() / 128 == pytest.approx(event_s, abs=0.02)
    assert night.valid["eeg"].all()
    assert any("stretched to the recording's" in note for note in night.notes)


def lasting(label: str, seconds: float) -> Signal:
    return Signal.from_array(label, np.zeros(round(100 * seconds)), 100.0, "uV")


@pytest.mark.parametrize(
    ("whole_s", "lengths_s", "stretched"),
    [
        (7200.0, (7200, 7198), [1]),  # -278 ppm
        (7200.0, (7200, 7199.5), []),  # within a second
        (7200.0, (7200, 7100), []),  # no clock is off by 1.4 %
        (1200.0, (1200, 1198.5), []),  # too short to tell
        (7202.0, (7202, 7200, 7200), []),  # one long channel made the recording's length
    ],
)
def test_what_is_a_drift_and_what_is_not(whole_s: float, lengths_s: tuple[float, ...], stretched: list[int]):
    signals = tuple(lasting(f"C{i}", seconds) for i, seconds in enumerate(lengths_s))
    clocks = on_one_clock(Recording(signals, whole_s))
    moved = [i for i, signal in enumerate(clocks.recording.signals) if signal.rate_hz != 100.0]
    assert moved == stretched
    assert set(clocks.notes) == {i for i, seconds in enumerate(lengths_s) if abs(seconds - whole_s) > 1.0}
    for i in stretched:
        own = clocks.recording.signals[i]
        assert own.n_samples / own.rate_hz == pytest.approx(whole_s)
