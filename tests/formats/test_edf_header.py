"""Headers as clinics break them: what still opens, what is said about it, and what cannot open."""

import re
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from edf_bytes import Channel, EdfFile, counting, time_stamps
from hypothesis import given, settings
from hypothesis import strategies as st

from sleep2vec.formats.edf import read_edf
from sleep2vec.formats.edf_header import read_header
from sleep2vec.vocabulary.errors import UnreadableFileError
from sleep2vec.vocabulary.recording import Recording
from sleep2vec.vocabulary.units import volts_per_unit


def opened(tmp_path: Path, edf: EdfFile, cut: int | None = None, more: bytes = b"") -> Recording:
    path = tmp_path / "night.edf"
    path.write_bytes(edf.to_bytes()[:cut] + more)
    return read_edf(path)


def one(**faults: object) -> EdfFile:
    return EdfFile([Channel(counting(4, 5), physical=("-32768", "32767"))], **faults)


def said(recording: Recording, words: str) -> bool:
    return any(words in repair for repair in recording.repairs)


def test_a_sound_header_needs_no_repair(tmp_path: Path):
    assert opened(tmp_path, one()).repairs == ()


def test_decimal_commas(tmp_path: Path):
    """Arithmetic: digital 0..200 is physical -12.5..187.5, so digital 100 is 87.5; a record of 0.5 s has 5 samples."""
    channel = Channel(np.array([[0, 100, 200, 50, 25]]), physical=("-12,5", "187,5"), digital=("0", "200"))
    recording = opened(tmp_path, EdfFile([channel], record_s="0,5"))
    signal = recording.signals[0]
    np.testing.assert_array_equal(signal.samples, [-12.5, 87.5, 187.5, 37.5, 12.5])
    assert signal.physical_range == (-12.5, 187.5)
    assert signal.rate_hz == 10.0
    assert said(recording, "physical minimum of 'EEG C4-M1' is written with a decimal comma ('-12,5')")
    assert said(recording, "length of a data record is written with a decimal comma ('0,5'); it was read as 0.5")


@pytest.mark.parametrize(
    ("label", "unit", "expected", "encoding"),
    [
        ("Débit".encode(), "µV".encode(), ("Débit", "µV"), "UTF-8"),
        ("Débit".encode("latin-1"), "µV".encode("latin-1"), ("Débit", "µV"), "Latin-1"),
        ("Abdomen Müdigke".encode(), b"\xc2", ("Abdomen Müdigke", ""), "UTF-8"),  # "µ" cut in two by the field
        (b"Pouls\x00\x01", b"bpm\x00", ("Pouls", "bpm"), None),
    ],
)
def test_foreign_letters(tmp_path: Path, label: bytes, unit: bytes, expected: tuple[str, str], encoding: str | None):
    signal_file = EdfFile([Channel(counting(1, 5), label, unit)])
    recording = opened(tmp_path, signal_file)
    assert (recording.signals[0].label, recording.signals[0].unit) == expected
    assert said(recording, f"not ASCII were read as {encoding}") == (encoding is not None)
    if expected[1] == "µV":
        assert volts_per_unit(recording.signals[0].unit) == 1e-6


@pytest.mark.parametrize(
    ("physical", "digital", "words", "physical_range"),
    [
        (("0", "0"), ("-2048", "2047"), "physical minimum and maximum are both 0", (-2048.0, 2047.0)),
        (("-100", "100"), ("7", "7"), "digital minimum and maximum are both 7", None),
        (("low", "100"), ("-2048", "2047"), "physical minimum and maximum cannot be read", (-2048.0, 2047.0)),
        (("", ""), ("", ""), "digital minimum and maximum cannot be read", None),
    ],
)
def test_without_calibration_the_converters_numbers_have_no_unit(
    tmp_path: Path, physical: tuple[str, str], digital: tuple[str, str], words: str, physical_range: object
):
    """A straight line through one point has no slope: microvolts cannot be claimed."""
    recording = opened(tmp_path, EdfFile([Channel(counting(2, 5), physical=physical, digital=digital)]))
    signal = recording.signals[0]
    np.testing.assert_array_equal(signal.samples, range(10))
    assert (signal.unit, signal.physical_range) == ("", physical_range)
    assert said(recording, words)


def test_an_inverted_range_inverts_the_signal(tmp_path: Path):
    """NSRR files have physical 1..-1: the standard's line, with a negative slope."""
    channel = Channel(np.array([[-128, 127]]), physical=("1", "-1"), digital=("-128", "127"))
    signal = opened(tmp_path, EdfFile([channel])).signals[0]
    np.testing.assert_allclose(signal.samples, [1.0, -1.0], rtol=1e-6)
    assert signal.physical_range == (-1.0, 1.0)


@pytest.mark.parametrize(
    ("declared", "cut", "more", "n_records", "words"),
    [
        ("-1", None, b"", 4, "leaves the number of data records open ('-1'); the file holds 4"),
        ("many", None, b"", 4, "leaves the number of data records open ('many'); the file holds 4"),
        ("9", None, b"", 4, "cut off: its header promises 9 data records, it holds 4"),
        ("4", -13, b"", 2, "cut off: its header promises 4 data records, it holds 2"),
        ("2", None, b"", 4, "counts 2 data records, but the file holds 4"),
        ("4", None, b"abc", 4, "3 bytes at the end of the file are no whole data record"),
    ],
)
def test_wrong_number_of_records(
    tmp_path: Path, declared: str, cut: int | None, more: bytes, n_records: int, words: str
):
    recording = opened(tmp_path, one(n_records=declared), cut, more)
    np.testing.assert_array_equal(recording.signals[0].samples, range(5 * n_records))
    assert recording.duration_s == n_records
    assert said(recording, words)


def test_numbers_padded_with_nul_and_a_wrong_header_length(tmp_path: Path):
    recording = opened(tmp_path, one(padding=b"\0", header_bytes="999"))
    np.testing.assert_array_equal(recording.signals[0].samples, range(20))
    assert recording.start == datetime(2021, 3, 2, 22, 30, 5)
    assert said(recording, "The header calls itself '999' bytes long; 1 signals make it 512")


@pytest.mark.parametrize(
    ("faults", "start", "words"),
    [
        ({}, datetime(2021, 3, 2, 22, 30, 5), None),
        ({"recording": b"", "date": b"24.04.89"}, datetime(1989, 4, 24, 22, 30, 5), None),
        ({"recording": b"", "date": b"24.04.84"}, datetime(2084, 4, 24, 22, 30, 5), None),
        ({"recording": b"", "date": b" 1/ 2-20", "time": b" 7:08:09"}, datetime(2020, 2, 1, 7, 8, 9), None),
        ({"recording": b"", "date": b"31.02.20"}, None, "start '31.02.20' '22.30.05' is no date and time"),
        ({"time": b"25.00.00"}, None, "'25.00.00' is no date and time"),
        ({"recording": b"", "date": b"", "time": b""}, None, "start '' '' is no date and time"),
        ({"date": b"xx.xx.xx"}, datetime(2021, 3, 2, 22, 30, 5), None),  # the EDF+ field knows
        ({"date": b"03.03.21"}, datetime(2021, 3, 2, 22, 30, 5), "two start dates, 2021-03-03 and 2021-03-02"),
        ({"recording": b"Startdate X X X X", "date": b"01.01.85", "time": b"00.00.00"}, None, None),
        (
            {"recording": b"Startdate X X X X", "date": b"01.01.85"},
            datetime(1985, 1, 1, 22, 30, 5),
            "only the time of day (22:30:05) means something",
        ),
    ],
)
def test_start(tmp_path: Path, faults: dict[str, bytes], start: datetime | None, words: str | None):
    recording = opened(tmp_path, one(**faults))
    assert recording.start == start
    assert len(recording.repairs) == (words is not None)
    assert words is None or said(recording, words)


@pytest.mark.parametrize(
    ("patient", "subject_id", "sex", "age_years"),
    [
        (b"MCH-0234567 F 02-MAR-1951 Haagse_Harry", "MCH-0234567", "female", 70.0),  # the example of EDF+, older
        (b"X M 03-MAR-1951 X", None, "male", 69 + 364 / 365),
        (b"X X X X", None, None, None),
        (b"A7 M X X", "A7", "male", None),
        (b"M X X", None, "male", None),
        (b"Jane Doe, ward 7", None, None, None),  # plain EDF: a name is no code
        (b"", None, None, None),
        (b"A7 F 29-FEB-2000 X", "A7", "female", 21 + 1 / 365),
        (b"A7 F 31-FEB-2000 X", None, None, None),
    ],
)
def test_subject(tmp_path: Path, patient: bytes, subject_id: str | None, sex: str | None, age_years: float | None):
    subject = opened(tmp_path, one(patient=patient)).subject
    assert (subject.subject_id, subject.sex) == (subject_id, sex)
    assert subject.age_years == (None if age_years is None else pytest.approx(age_years))


def test_an_impossible_age_is_unknown(tmp_path: Path):
    recording = opened(tmp_path, one(patient=b"A7 F 02-MAR-2031 X"))
    assert recording.subject.age_years is None
    assert said(recording, "Birth and start date make an age of -10 years")


def test_a_channel_without_samples_is_left_out(tmp_path: Path):
    empty = Channel(np.zeros((2, 0), int), "Nothing")
    recording = opened(tmp_path, EdfFile([empty, Channel(counting(2, 3), physical=("-32768", "32767"))]))
    assert [signal.label for signal in recording.signals] == ["EEG C4-M1"]
    np.testing.assert_array_equal(recording.signals[0].samples, range(6))
    assert said(recording, "'Nothing' has no samples and was left out")


def unreadable(tmp_path: Path, content: bytes) -> str:
    path = tmp_path / "night.edf"
    path.write_bytes(content)
    with pytest.raises(UnreadableFileError) as caught:
        read_edf(path)
    sentence = str(caught.value)
    assert sentence.startswith(str(path))
    assert re.fullmatch(r".*[^.]\.", sentence.removeprefix(str(path)))
    assert "\n" not in sentence
    return sentence


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty (0 bytes)"),
        (b"Dear colleague, the night of Mr X", "is not an EDF or BDF file: it begins with 'Dear col'"),
        (b"0       short", "ends inside its header (13 bytes, 256 and more were expected)"),
        (one().to_bytes()[:300], "ends inside its header (300 bytes, but 1 signals need a header of 512)"),
        (one(n_signals="none").to_bytes(), "says that it holds 'none' signals"),
        (one(n_signals="0").to_bytes(), "says that it holds '0' signals"),
        (one().to_bytes()[:512], "not one whole data record (0 bytes follow the header, a record has 10)"),
        (one().to_bytes()[:520], "not one whole data record (8 bytes follow the header, a record has 10)"),
        (one(record_s="0").to_bytes(), "says that a data record lasts '0' s"),
        (one(record_s="?").to_bytes(), "says that a data record lasts '?' s"),
        (EdfFile([Channel(counting(1, 5), samples="five")]).to_bytes(), "'EEG C4-M1' has 'five' samples in a data"),
        (EdfFile([Channel(counting(1, 5), samples="-5")]).to_bytes(), "'EEG C4-M1' has '-5' samples in a data"),
    ],
)
def test_what_cannot_open_says_why(tmp_path: Path, content: bytes, words: str):
    assert words in unreadable(tmp_path, content)


def test_real_file_without_data_records(shared: Path):
    with pytest.raises(UnreadableFileError, match=r"not one whole data record .* copy or export it again\."):
        read_edf(shared / "real_data/edf_edge_cases/edfize_zero-data-records.edf")


def test_missing_file_and_folder(tmp_path: Path):
    with pytest.raises(UnreadableFileError, match=r"gone\.edf does not exist; check the spelling and the folder\."):
        read_edf(tmp_path / "gone.edf")
    with pytest.raises(UnreadableFileError, match="is a folder, but one recording was expected; name a file in it"):
        read_edf(tmp_path)


def test_the_annotation_channel_may_stand_anywhere(tmp_path: Path):
    """Nox writes it first; samples behind it must not shift."""
    channels = [time_stamps(["+0", "+1"]), Channel(counting(2, 3), physical=("-32768", "32767"))]
    recording = opened(tmp_path, EdfFile(channels, "EDF+C"))
    np.testing.assert_array_equal(recording.signals[0].samples, range(6))
    assert [channel.is_annotation for channel in read_header(tmp_path / "night.edf").channels] == [True, False]


SOUND = EdfFile([Channel(counting(3, 4)), time_stamps(["+0", "+1", "+2"]), Channel(counting(3, 2))], "EDF+D").to_bytes()


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(SOUND) - 1), st.binary(min_size=1, max_size=8)), max_size=4),
    st.integers(200, len(SOUND)),
)
def test_no_damage_whatever_gives_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, damages: list[tuple[int, bytes]], length: int
):
    """Any bytes anywhere: a recording whose signals have the length they claim, or one sentence."""
    content = bytearray(SOUND)
    for at, damage in damages:
        content[at : at + len(damage)] = damage
    path = tmp_path_factory.mktemp("damage") / "night.edf"
    path.write_bytes(content[:length])
    try:
        recording = read_edf(path)
    except UnreadableFileError:
        return
    for signal in recording.signals:
        assert signal.samples.shape == (signal.n_samples,)
