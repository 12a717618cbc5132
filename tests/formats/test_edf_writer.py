"""write_edf and write_annotations, read back by pyedflib, mne and this project."""

import errno
import time
import warnings
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pyedflib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sleep2vec.formats.annotation_words import EVENT_WORDS
from sleep2vec.formats.edf import read_edf
from sleep2vec.formats.edf_annotations import read_hypnogram
from sleep2vec.formats.edf_writer import write_annotations, write_edf
from sleep2vec.vocabulary.errors import UsageError
from sleep2vec.vocabulary.events import Event
from sleep2vec.vocabulary.recording import Recording, Signal
from sleep2vec.vocabulary.stages import StageSpan
from sleep2vec.vocabulary.subject import Subject

START = datetime(2021, 3, 2, 22, 30, 5)
STAGES = (StageSpan(0.0, 30.0, 0), StageSpan(30.0, 30.0, 4), StageSpan(60.0, 30.0, None))
EVENTS = (
    Event("lights_off", 2.0, 0.0, "Lights off"),
    Event("obstructive_apnea", 33.25, 17.5, "Åndestans"),
    Event("hypopnea", 50.1, 12.0, ""),
    Event(None, 61.0, 0.0, "éveil\ncalme"),
)


def night(seconds: float = 90.0) -> Recording:
    generator = np.random.default_rng(1)

    def noise(label: str, rate_hz: float, unit: str, scale: float, **more: object) -> Signal:
        samples = generator.normal(scale=scale, size=round(seconds * rate_hz))
        return replace(Signal.from_array(label, samples, rate_hz, unit), **more)

    return Recording(
        signals=(
            noise("EEG C4-M1", 256, "uV", 40.0, physical_range=(-3000.0, 3000.0), prefilter="HP:0.3Hz"),
            noise("ECG", 200, "mV", 0.5, transducer="AgAgCl"),
            noise("Flow", 12.5, "", 1e-2),
            noise("SaO2", 1, "%", 3.0),
        ),
        duration_s=seconds,
        start=START,
        stages=STAGES,
        events=EVENTS,
        subject=Subject("A-7 b", None, "female"),
    )


def test_pyedflib_reads_what_was_written(tmp_path: Path):
    recording = night()
    path = tmp_path / "night.edf"
    write_edf(path, recording, birthdate=date(1951, 3, 2))
    with pyedflib.EdfReader(str(path)) as judge:
        assert judge.filetype == pyedflib.FILETYPE_EDFPLUS
        assert judge.getSignalLabels() == ["EEG C4-M1", "ECG", "Flow", "SaO2"]
        assert judge.getStartdatetime() == START
        assert (judge.getPatientCode(), judge.getSex()) == ("A-7 b", "Female")
        assert judge.getBirthdate() == "02 mar 1951"
        assert judge.getFileDuration() == 90
        for i, signal in enumerate(recording.signals):
            assert judge.getSampleFrequency(i) == signal.rate_hz
            assert judge.getPhysicalDimension(i) == signal.unit
            assert judge.getPrefilter(i) == signal.prefilter
            assert judge.getTransducer(i) == signal.transducer
            step = (judge.getPhysicalMaximum(i) - judge.getPhysicalMinimum(i)) / 65535
            np.testing.assert_allclose(judge.readSignal(i), signal.samples, atol=0.501 * step, rtol=0)
        assert (judge.getPhysicalMinimum(0), judge.getPhysicalMaximum(0)) == (-3000, 3000)
        onsets, durations, texts = judge.readAnnotations()
    assert list(zip(onsets, [max(d, 0) for d in map(float, durations)], texts, strict=True)) == [
        (0.0, 30.0, "Sleep stage W"),
        (2.0, 0.0, "Lights off"),
        (30.0, 30.0, "Sleep stage R"),
        (33.25, 17.5, "Obstructive apnea: Åndestans"),
        (50.1, 12.0, "Hypopnea"),
        (60.0, 30.0, "Sleep stage ?"),
        (61.0, 0.0, "éveil calme"),
    ]


def test_mne_reads_what_was_written(tmp_path: Path):
    import mne

    path = tmp_path / "night.edf"
    write_edf(path, night())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        raw = mne.io.read_raw_edf(path, include=["EEG C4-M1"], verbose="error")
    step = 6000 / 65535
    np.testing.assert_allclose(raw.get_data()[0] * 1e6, night().signals[0].samples, atol=0.501 * step, rtol=0)
    assert raw.info["sfreq"] == 256
    assert raw.info["meas_date"].replace(tzinfo=None) == START
    assert [text for text in raw.annotations.description if text.startswith("Sleep")] == [
        "Sleep stage W",
        "Sleep stage R",
        "Sleep stage ?",
    ]


def test_round_trip_keeps_the_scoring_and_the_person(tmp_path: Path):
    path = tmp_path / "night.edf"
    write_edf(path, night(), birthdate=date(1951, 3, 2))
    back = read_edf(path)
    assert back.repairs == ()
    assert (back.start, back.duration_s, back.stages) == (START, 90.0, STAGES)
    assert [(e.kind, e.onset_s, e.duration_s) for e in back.events] == [
        (e.kind, e.onset_s, e.duration_s) for e in EVENTS
    ]
    assert back.subject == Subject("A-7_b", 70.0, "female")


numbers = st.floats(-1e6, 1e6, width=32).filter(lambda x: x == 0 or abs(x) > 1e-2)


@settings(max_examples=60, deadline=None)
@given(
    samples=arrays(np.float32, st.integers(1, 12).map(lambda n: n * 7), elements=numbers),
    rate_hz=st.sampled_from([1.0, 3.5, 7.0, 8.75, 14.0, 17.5]),
    physical_range=st.none() | st.tuples(st.integers(-5000, -1), st.integers(1, 5000)),
)
def test_round_trip_to_the_quantisation_step(
    tmp_path_factory: pytest.TempPathFactory, samples: np.ndarray, rate_hz: float, physical_range: object
):
    """For all samples: no value moves by more than half a step of the range that the file states."""
    path = tmp_path_factory.mktemp("round") / "night.edf"
    signal = Signal.from_array("x", samples, rate_hz, "uV", physical_range)  # type: ignore[arg-type]
    write_edf(path, Recording((signal,), len(samples) / rate_hz))
    back = read_edf(path).signals[0]
    low, high = back.physical_range
    assert low <= samples.min()
    assert samples.max() <= high
    assert back.rate_hz == pytest.approx(rate_hz, rel=1e-9)
    np.testing.assert_allclose(
        back.samples[: len(samples)], samples, rtol=2e-7, atol=0.5001 * (high - low) / 65535 + 1e-7
    )
    if physical_range is None:  # the range follows the data, outwards by what 8 characters can hold
        assert high - low <= 1.03 * np.ptp(samples) + 2.0 if np.ptp(samples) else True


@pytest.mark.parametrize(
    ("low", "high"),
    [(-3.2e-6, 4.1e-6), (-1e-12, 1.23456789e-12), (-1.5e9, 2.25e12), (-0.00327, 0.003276), (1e6, 1e6 + 1)],
)
def test_any_magnitude_keeps_its_resolution(tmp_path: Path, low: float, high: float):
    """EEG in V, magnetometers in T, counts in millions: pyedflib reads the exponents, and 12 bits or more are left."""
    path = tmp_path / "night.edf"
    samples = np.linspace(low, high, 500).astype(np.float32)
    write_edf(path, Recording((Signal.from_array("x", samples, 100, "V"),), 5.0))
    with pyedflib.EdfReader(str(path)) as judge:
        np.testing.assert_allclose(judge.readSignal(0), samples, rtol=0, atol=(high - low) / 4096)
        assert judge.getPhysicalMinimum(0) <= samples.min()
        assert judge.getPhysicalMaximum(0) >= samples.max()


@pytest.mark.parametrize(("seconds", "rates"), [(29.5, (256, 2)), (7.37, (100,)), (28.8, (62.5, 5)), (10.0, (0.1, 1))])
def test_lengths_and_rates_come_back_exactly(tmp_path: Path, seconds: float, rates: tuple[float, ...]):
    path = tmp_path / "night.edf"
    signals = tuple(Signal.from_array(f"{r}", np.arange(round(r * seconds)), r, "") for r in rates)
    write_edf(path, Recording(signals, seconds))
    back = read_edf(path)
    assert back.duration_s == pytest.approx(seconds, rel=1e-12)
    assert [s.rate_hz for s in back.signals] == pytest.approx(list(rates), rel=1e-12)
    assert [s.n_samples for s in back.signals] == [s.n_samples for s in signals]


def test_signals_of_unlike_length_are_filled_up_with_their_last_value(tmp_path: Path):
    path = tmp_path / "night.edf"
    signals = (Signal.from_array("a", np.arange(25), 10, ""), Signal.from_array("b", [4, 5, 6, 8, 7], 1, ""))
    write_edf(path, Recording(signals, 5.0))
    a, b = read_edf(path).signals
    np.testing.assert_allclose(a.samples, [*range(25), *[24] * 25], atol=1e-3)
    np.testing.assert_allclose(b.samples, [4, 5, 6, 8, 7], atol=1e-3)


def test_missing_samples_are_marked(tmp_path: Path):
    path = tmp_path / "night.edf"
    samples = np.full(100, 50.0)
    samples[30:50] = np.nan
    samples[90:] = np.nan
    write_edf(path, Recording((Signal.from_array("SpO2", samples, 1, "%"),), 100.0))
    back = read_edf(path)
    assert [(e.text, e.onset_s, e.duration_s) for e in back.events] == [
        ("No signal: SpO2", 30.0, 20.0),
        ("No signal: SpO2", 90.0, 10.0),
    ]
    np.testing.assert_allclose(back.signals[0].samples[:30], 50.0, atol=1e-3)


def test_same_recording_same_bytes_and_a_second_pass_changes_nothing(tmp_path: Path):
    first, second, third = (tmp_path / f"{i}.edf" for i in range(3))
    write_edf(first, night())
    time.sleep(1.1)  # the clock must not be in the file
    write_edf(second, night())
    write_edf(third, read_edf(first))
    assert first.read_bytes() == second.read_bytes()
    again, once = read_edf(third), read_edf(first)
    for a, b in zip(again.signals, once.signals, strict=True):
        np.testing.assert_array_equal(a.samples, b.samples)
    assert again.events == once.events


def test_a_real_file_survives_rewriting(shared: Path, tmp_path: Path):
    """89 channels in V, H, °, %; the step of the new file bounds the change."""
    recording = read_edf(shared / "real_data/nox_a1_psg_120s/subject1.edf")
    path = tmp_path / "nox.edf"
    write_edf(path, recording)
    for old, new in zip(recording.signals, read_edf(path).signals, strict=True):
        low, high = new.physical_range
        assert new.rate_hz == old.rate_hz
        np.testing.assert_allclose(new.samples, old.samples, rtol=2e-7, atol=0.5001 * (high - low) / 65535)
    units = {signal.label: signal.unit for signal in read_edf(path).signals}
    assert units["PosAngle"] == "deg"
    assert "C3 Impedance" in units


def test_a_failed_write_leaves_the_old_file_and_no_debris(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "night.edf"
    path.write_bytes(b"old")

    def fail() -> np.ndarray:
        raise KeyboardInterrupt

    broken = replace(night().signals[0], load=fail)
    with pytest.raises(KeyboardInterrupt):
        write_edf(path, replace(night(), signals=(broken,)))
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device")))
        with pytest.raises(UsageError, match=r"cannot be written \(No space left on device\)"):
            write_edf(path, night())
    with pytest.raises(UsageError, match=r"cannot be written \(No such file or directory\); check the folder"):
        write_edf(tmp_path / "no" / "night.edf", night())
    assert [file.name for file in tmp_path.iterdir()] == ["night.edf"]
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"signals": ()}, "a recording without signals has no EDF; use write_annotations"),
        ({"start": datetime(2150, 1, 1)}, "EDF holds start dates from 1985 to 2084, not 2150-01-01; shift the date"),
        (
            {"signals": (Signal.from_array("x", np.zeros(9999), 99.99 / 1.0001, ""), night().signals[0])},
            "have no common data record of at most 60 s",
        ),
    ],
)
def test_what_edf_cannot_hold_says_so(tmp_path: Path, change: dict[str, object], words: str):
    with pytest.raises(UsageError, match=words):
        write_edf(tmp_path / "night.edf", replace(night(), **change))
    assert list(tmp_path.iterdir()) == []


def test_annotations_alone(tmp_path: Path):
    """pyedflib and this project read an exported scoring; a fraction of a second of the start survives."""
    path = tmp_path / "scored.edf"
    events = tuple(Event(kind, 10.0 * i, 1.5, words) for i, (kind, words) in enumerate(EVENT_WORDS.items()))
    start = datetime(2021, 3, 2, 22, 30, 5, 500_000)
    write_annotations(path, STAGES, events, start, duration_s=120.0, subject=Subject("A7", 30.0, "male"))
    scoring = read_hypnogram(path)
    stages, back, began = list(scoring.stages), list(scoring.events), scoring.start
    assert (tuple(stages), began) == (STAGES, start)
    assert back == [*events, Event(None, 120.0, 0.0, "Recording ends")]
    recording = read_edf(path)
    assert (recording.signals, recording.stages) == ((), STAGES)
    assert recording.subject == Subject("A7", None, "male")

    whole_second = tmp_path / "whole.edf"
    write_annotations(whole_second, STAGES, (), START)
    with pyedflib.EdfReader(str(whole_second)) as judge:
        assert judge.getStartdatetime() == START
        onsets, durations, texts = judge.readAnnotations()
    assert (list(onsets), list(map(float, durations))) == ([0, 30, 60], [30, 30, 30])
    assert list(texts) == ["Sleep stage W", "Sleep stage R", "Sleep stage ?"]


def test_an_empty_scoring_is_still_a_file(tmp_path: Path):
    write_annotations(tmp_path / "none.edf", (), (), None)
    nothing = read_hypnogram(tmp_path / "none.edf")
    assert (nothing.stages, nothing.events, nothing.start) == ((), (), None)


@given(st.lists(st.tuples(st.floats(0, 1e5), st.floats(0, 1e4), st.text(max_size=20)), max_size=8))
@settings(max_examples=40, deadline=None)
def test_any_text_and_time_survives(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[float, float, str]]):
    """All of Unicode but the characters that cannot be printed, which separate annotations."""
    path = tmp_path_factory.mktemp("texts") / "scored.edf"
    events = [Event(None, round(onset, 3), round(duration, 3), f"note {text}") for onset, duration, text in rows]
    write_annotations(path, (), events, START)
    back = list(read_hypnogram(path).events)
    assert [e.onset_s for e in back] == sorted(e.onset_s for e in events)
    assert sorted(e.duration_s for e in back) == sorted(e.duration_s for e in events)

    def letters(text: str) -> str:
        return "".join(c for c in text if c.isprintable() and c != " ")

    assert sorted(letters(e.text) for e in back) == sorted(letters(e.text) for e in events)
