"""WFDB records, held to the wfdb package's own reading."""

from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import wfdb
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sleep2vec.formats.recordings import is_recording, read_recording
from sleep2vec.formats.wfdb_record import read_wfdb
from sleep2vec.vocabulary.errors import UnreadableFileError
from sleep2vec.vocabulary.recording import Recording


def written(folder: Path, name: str = "r1", n: int = 2000, fmt: str = "16", **more) -> np.ndarray:
    """Two channels of noise in mV and without a unit; (n, 2) as wfdb reads them back."""
    samples = np.random.default_rng(1).normal(size=(n, 2))
    wfdb.wrsamp(
        name, 200, ["mV", "NU"], ["ECG", "Chest"], p_signal=samples, fmt=[fmt] * 2, write_dir=str(folder), **more
    )
    return wfdb.rdrecord(str(folder / name)).p_signal


def equal(recording: Recording, judge: np.ndarray) -> None:
    for signal, expected in zip(recording.signals, judge.T, strict=True):
        np.testing.assert_allclose(signal.samples, expected, atol=1e-4)


@pytest.mark.parametrize("fmt", ["16", "24", "212", "80"])
def test_samples_units_and_rates_are_those_of_wfdb(tmp_path: Path, fmt: str):
    judge = written(tmp_path, fmt=fmt)
    recording = read_recording(tmp_path / "r1.hea")
    equal(recording, judge)
    assert [(s.label, s.rate_hz, s.unit, s.n_samples) for s in recording.signals] == [
        ("ECG", 200, "mV", 2000),
        ("Chest", 200, "", 2000),
    ]
    assert recording.duration_s == 10


def test_start_age_and_sex(tmp_path: Path):
    start = datetime(2003, 5, 6, 22, 15, 3)
    written(tmp_path, base_date=start.date(), base_time=start.time(), comments=["Age: 55  Sex: F"])
    recording = read_wfdb(tmp_path / "r1.hea")
    assert (recording.start, recording.subject.age_years, recording.subject.sex) == (start, 55, "female")


def test_missing_samples_are_nan(tmp_path: Path):
    digital = np.arange(400, dtype=np.int64).reshape(200, 2)
    digital[50:60, 1] = -32768  # 16-bit WFDB: a missing sample
    common = {"fmt": ["16", "16"], "adc_gain": [10.0, 10.0], "baseline": [0, 0]}
    wfdb.wrsamp("r1", 100, ["mV", "mV"], ["a", "b"], d_signal=digital, write_dir=str(tmp_path), **common)
    judge = wfdb.rdrecord(str(tmp_path / "r1")).p_signal
    assert np.isnan(judge[50:60, 1]).all()
    equal(read_wfdb(tmp_path / "r1.hea"), judge)


@pytest.mark.parametrize("name", ["03700181", "a103l", "v102s"])
def test_real_records_in_212_and_matlab_and_at_two_rates(shared: Path, name: str):
    path = shared / f"real_data/icu_not_sleep_wfdb/{name}.hea"
    judge = wfdb.rdrecord(str(path.with_suffix("")), smooth_frames=False)
    recording = read_wfdb(path)
    assert [signal.label for signal in recording.signals] == judge.sig_name
    for signal, samples, per_frame in zip(recording.signals, judge.e_p_signal, judge.samps_per_frame, strict=True):
        assert signal.rate_hz == judge.fs * per_frame
        np.testing.assert_allclose(signal.samples, samples, rtol=1e-5, atol=1e-6)


def test_segments_are_joined_and_a_pause_is_nan(tmp_path: Path):
    """Fixed layout: two segments of other lengths with a pause between; judge: the samples that were written."""
    first, second = written(tmp_path, "r_0001", 300), written(tmp_path, "r_0002", 500)
    (tmp_path / "r.hea").write_text("r/3 2 200 1000\nr_0001 300\n~ 200\nr_0002 500\n")
    recording = read_wfdb(tmp_path / "r.hea")
    equal(recording, np.concatenate([first, np.full((200, 2), np.nan), second]))
    assert [path.name for path in sorted(tmp_path.glob("*.hea")) if is_recording(path)] == ["r.hea"]


def test_segments_with_other_channels(tmp_path: Path):
    """Variable layout: what a segment lacks is NaN there; judge: wfdb."""
    for i, names in ((1, ["a", "b"]), (2, ["b"])):
        samples = np.random.default_rng(i).normal(size=(100, len(names)))
        units, fmt = ["mV"] * len(names), ["16"] * len(names)
        wfdb.wrsamp(f"v_000{i}", 50, units, names, p_signal=samples, fmt=fmt, write_dir=str(tmp_path))
    (tmp_path / "v_layout.hea").write_text("v_layout 2 50 0\n~ 0 200(0)/mV 0 0 0 0 0 a\n~ 0 200(0)/mV 0 0 0 0 0 b\n")
    (tmp_path / "v.hea").write_text("v/3 2 50 200\nv_layout 0\nv_0001 100\nv_0002 100\n")
    judge = wfdb.rdrecord(str(tmp_path / "v"))
    assert judge.sig_name == ["a", "b"]
    equal(read_wfdb(tmp_path / "v.hea"), judge.p_signal)


def test_a_header_without_its_samples_says_which_file_it_lacks(shared: Path):
    with pytest.raises(UnreadableFileError, match=r"names the signal file slp01a.dat, which is not beside it"):
        read_wfdb(shared / "real_data/mitbih_slpdb/slp01a.hea")


def test_what_is_no_record_says_so(tmp_path: Path):
    path = tmp_path / "x.hea"
    path.write_text("x 0 100 0\n")
    assert not is_recording(path)
    with pytest.raises(UnreadableFileError, match="describes no signals"):
        read_wfdb(path)
    written(tmp_path)
    (tmp_path / "r1.dat").write_bytes(b"\0" * 100)  # cut
    recording = read_wfdb(tmp_path / "r1.hea")
    assert np.isnan(recording.signals[0].samples[25:]).all()


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.text("x /1230.()mV#\n:-", max_size=120).map(str.encode)))
@example(b"0 1")  # counts a signal, describes none
def test_any_bytes_are_a_record_or_a_sentence(tmp_path_factory: pytest.TempPathFactory, data: bytes):
    path = tmp_path_factory.mktemp("any") / "x.hea"
    path.write_bytes(data)
    is_recording(path)
    with pytest.raises(UnreadableFileError):
        read_wfdb(path)


SOUND = (
    b"r1 2 100 50 22:10:00 01/02/2003\nr1.dat 16 10(0)/mV 16 0 0 0 0 ECG\n"
    b"r1.dat 16x2+24 10/uV 16 0 0 0 0 EEG\n# Age: 50 Sex: F\n"
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(SOUND) - 1), st.sampled_from(b"019-/ \nx:+(~.\xff\0")), max_size=4))
def test_no_damage_of_a_header_gives_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, damages: list[tuple[int, int]]
):
    """A record whose signals have the length they claim, or one sentence."""
    content = bytearray(SOUND)
    for at, damage in damages:
        content[at] = damage
    folder = tmp_path_factory.mktemp("damage")
    (folder / "r1.hea").write_bytes(content)
    (folder / "r1.dat").write_bytes(bytes(24) + np.arange(150, dtype="<i2").tobytes())
    try:
        for signal in read_wfdb(folder / "r1.hea").signals:
            assert signal.samples.shape == (signal.n_samples,)
    except UnreadableFileError:
        pass


@pytest.mark.parametrize("ending", ["gz", "xz", "bz2"])
def test_a_packed_edf_is_read_and_nothing_is_left_behind(tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch):
    import bz2
    import gc
    import gzip
    import lzma

    from edf_bytes import Channel, EdfFile, counting

    plain = EdfFile([Channel(counting(180, 4))]).to_bytes()
    (tmp_path / "n.edf").write_bytes(plain)
    packed = {"gz": gzip, "xz": lzma, "bz2": bz2}[ending].compress(plain)
    (tmp_path / f"p.edf.{ending}").write_bytes(packed)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    recording = read_recording(tmp_path / f"p.edf.{ending}")
    np.testing.assert_array_equal(recording.signals[0].samples, read_recording(tmp_path / "n.edf").signals[0].samples)
    assert list(scratch.iterdir())
    del recording
    gc.collect()
    (tmp_path / f"cut.edf.{ending}").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(UnreadableFileError, match=r"cannot be unpacked .*copy or pack it again"):
        read_recording(tmp_path / f"cut.edf.{ending}")
    gc.collect()
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("fmt", ["16", "212"])
def test_a_year_of_two_digits_is_read(tmp_path: Path, fmt: str):
    """Record slp32 of slpdb is dated 20/7/89, which wfdb refuses."""
    judge = written(
        tmp_path, fmt=fmt, base_date=datetime(1989, 7, 20).date(), base_time=datetime(1989, 7, 20, 23).time()
    )
    header = tmp_path / "r1.hea"
    header.write_text(header.read_text().replace("20/07/1989", "20/7/89"))
    assert "20/7/89" in header.read_text()
    recording = read_wfdb(header)
    assert recording.start == datetime(1989, 7, 20, 23)
    equal(recording, judge)


def test_every_header_of_slpdb_says_which_file_it_lacks(shared: Path):
    headers = sorted((shared / "real_data" / "mitbih_slpdb").glob("*.hea"))
    assert len(headers) == 13
    for header in headers:
        with pytest.raises(UnreadableFileError, match=rf"{header.stem}\.dat, which is not beside it"):
            read_wfdb(header)


def test_a_cut_file_is_read_to_its_end_and_told(tmp_path: Path):
    judge = written(tmp_path)
    signals = tmp_path / "r1.dat"
    signals.write_bytes(signals.read_bytes()[: 4 * 500 + 1])
    recording = read_wfdb(tmp_path / "r1.hea")
    assert recording.repairs == ("r1.dat is cut off: 2000 frames are promised, it holds 500; NaN follows.",)
    judge[500:] = np.nan
    equal(recording, judge)
    signals.write_bytes(b"")
    with pytest.raises(UnreadableFileError, match=r"r1\.dat holds no whole sample, but 2000 were expected"):
        read_wfdb(tmp_path / "r1.hea")


def test_channels_of_the_same_name_are_both_kept(tmp_path: Path):
    judge = written(tmp_path)
    header = tmp_path / "r1.hea"
    header.write_text(header.read_text().replace(" Chest", " ECG"))
    recording = read_wfdb(header)
    assert [signal.label for signal in recording.signals] == ["ECG", "ECG"]
    equal(recording, judge)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"r1/2 1 100 200\nr1 100\nr1 100\n", "which has segments itself"),
        (b"r1/2 1 100 200\ngone_0001 100\n~ 100\n", r"gone_0001\.hea does not exist"),
    ],
)
def test_segments_that_cannot_be(tmp_path: Path, content: bytes, words: str):
    (tmp_path / "r1.hea").write_bytes(content)
    with pytest.raises(UnreadableFileError, match=words):
        read_wfdb(tmp_path / "r1.hea")
