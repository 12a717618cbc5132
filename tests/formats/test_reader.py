"""One door: what is read, with which companion, and what is said."""

import shutil
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from edf_bytes import Channel, EdfFile, counting, time_stamps

from sleep2vec.formats.companions import FileIndex, companions_of
from sleep2vec.formats.edf_writer import write_annotations
from sleep2vec.formats.reader import read
from sleep2vec.vocabulary.errors import UnreadableFileError
from sleep2vec.vocabulary.events import Event
from sleep2vec.vocabulary.stages import StageSpan, hypnogram_of

START = datetime(2021, 3, 2, 22, 30, 5)


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """Three minutes without any scoring, from `START`."""
    path = tmp_path / "night.edf"
    path.write_bytes(EdfFile([Channel(counting(180, 4))]).to_bytes())
    return path


@pytest.mark.parametrize(
    ("recording", "hypnogram", "belongs"),
    [
        ("SC4001E0-PSG.edf", "SC4001EC-Hypnogram.edf", True),  # names of Sleep-EDF's own list of files
        ("SC4402E0-PSG.edf", "SC4402EW-Hypnogram.edf", True),
        ("ST7011J0-PSG.edf", "ST7011JP-Hypnogram.edf", True),
        ("SC4001E0-PSG.edf", "SC4002EC-Hypnogram.edf", False),
        ("SC4001E0-PSG.edf", "SC4001E-Hypnogram.edf", False),
        ("night.edf", "night.hypnogram.edf", True),
        ("night.EDF", "Night-Hypnogram.EDF", True),
        ("night.edf", "night2-hypnogram.edf", False),
        ("night.edf", "night-hypnogram.txt", False),
        ("nigh[t].edf", "nigh[t]-hypnogram.edf", True),
        ("SC4001EC-Hypnogram.edf", "SC4001E0-PSG.edf", False),
    ],
)
def test_companions(tmp_path: Path, recording: str, hypnogram: str, belongs: bool):
    (tmp_path / hypnogram).write_bytes(b"")
    found = [companion.path for companion in companions_of(tmp_path / recording)]
    assert found == ([tmp_path / hypnogram] if belongs else [])


def test_a_companion_of_nothing(tmp_path: Path):
    assert companions_of(tmp_path / "no" / "night.edf") == ()


def test_sleep_edf_gets_its_hypnogram(shared: Path, tmp_path: Path):
    """The folder's README: all of the first 300 s is wake."""
    folder = shared / "real_data/sleep_edf"
    shutil.copy(folder / "SC4001E0-PSG_first300s.edf", tmp_path / "SC4001E0-PSG.edf")
    shutil.copy(folder / "SC4001EC-Hypnogram.edf", tmp_path)
    recording = read(str(tmp_path / "SC4001E0-PSG.edf"))
    np.testing.assert_array_equal(hypnogram_of(list(recording.stages), 0.0, 10), 0)
    assert recording.repairs == (
        "Stages were taken from SC4001EC-Hypnogram.edf (EDF+ annotations, found by its name), shifted by 0 s.",
    )


def test_a_hypnogram_that_starts_later_is_shifted(plain: Path):
    """Scored from 60 s on: the clock says where its first epoch belongs."""
    scored = datetime(2021, 3, 2, 22, 31, 5)
    write_annotations(
        plain.with_name("night.hypnogram.edf"), [StageSpan(0, 30, 2)], [Event("hypopnea", 5, 10, "Hypopnea")], scored
    )
    recording = read(plain)
    assert recording.stages == (StageSpan(60.0, 30.0, 2),)
    assert recording.events == (Event("hypopnea", 65.0, 10.0, "Hypopnea"),)
    assert recording.repairs == (
        "Stages and events were taken from night.hypnogram.edf (EDF+ annotations, found by its name), shifted by 60 s.",
    )


def test_a_hypnogram_without_a_start_is_not_shifted(plain: Path):
    write_annotations(plain.with_name("night-hypnogram.edf"), [StageSpan(0, 30, 2)], [], None)
    recording = read(plain)
    assert recording.stages == (StageSpan(0.0, 30.0, 2),)
    assert recording.repairs[-1].endswith("counted from the recording's first sample.")


def test_the_recordings_own_stages_come_first(tmp_path: Path):
    path = tmp_path / "night.edf"
    own = time_stamps(["+0", "+1"], {0: b"+0\x1530\x14Sleep stage R\x14\0"})
    path.write_bytes(EdfFile([Channel(counting(2, 2)), own], "EDF+C").to_bytes())
    write_annotations(tmp_path / "night-hypnogram.edf", [StageSpan(0, 30, 2)], [], START)
    assert read(path).stages == (StageSpan(0.0, 30.0, 4),)


def test_own_events_stay_and_are_not_doubled(tmp_path: Path):
    path = tmp_path / "night.edf"
    own = time_stamps(["+0", "+1"], {0: b"+0.5\x14Lights off\x14\0+1\x14Bathroom\x14\0"})
    path.write_bytes(EdfFile([Channel(counting(2, 2)), own], "EDF+C").to_bytes())
    theirs = [Event("lights_off", 0.5, 0, "Lights off"), Event("arousal", 0.75, 3, "EEG arousal")]
    write_annotations(tmp_path / "night-hypnogram.edf", [StageSpan(0, 30, 2)], theirs, START)
    assert [event.text for event in read(path).events] == ["Lights off", "EEG arousal", "Bathroom"]


def test_a_hypnogram_of_another_night_is_refused(plain: Path):
    write_annotations(plain.with_name("night-hypnogram.edf"), [StageSpan(0, 30, 2)], [], datetime(2021, 3, 9, 22, 30))
    recording = read(plain)
    assert recording.stages == ()
    assert "its stages (from 2021-03-09 22:30:00) lie outside the recording" in recording.repairs[-1]


def test_a_broken_hypnogram_does_not_cost_the_night(plain: Path):
    plain.with_name("night-hypnogram.edf").write_bytes(b"")
    recording = read(plain)
    assert len(recording.signals) == 1
    assert "night-hypnogram.edf, found by its name, was not used" in recording.repairs[-1]
    assert "is empty (0 bytes)" in recording.repairs[-1]


def test_edf_under_another_name(plain: Path):
    assert read(plain.rename(plain.with_suffix(".dat"))).source == "night.dat"


def test_unknown_formats_name_the_known_ones(tmp_path: Path):
    (tmp_path / "night.mat").write_bytes(b"MATLAB 5.0 MAT-file")
    known = r"has the suffix '\.mat' and does not begin like EDF; formats that are read: EDF, EDF\+ and BDF"
    with pytest.raises(UnreadableFileError, match=known):
        read(tmp_path / "night.mat")
    with pytest.raises(UnreadableFileError, match=r"night\.xyz does not exist; check the spelling and the folder"):
        read(tmp_path / "night.xyz")
    with pytest.raises(UnreadableFileError, match="is a folder, but one recording was expected"):
        read(tmp_path)


def test_companions_in_another_folder_and_the_nearest_of_two(tmp_path: Path):
    """As the NSRR lays them out; of two files of one name the one that shares more of the path is taken."""
    recording = tmp_path / "edfs" / "a" / "x1.edf"
    for name in ("xml/a/x1-nsrr.xml", "xml/b/x1-nsrr.xml", "edfs/a/x1.edf", "edfs/a/x10.csv"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    found = companions_of(recording, index=FileIndex.of(tmp_path))
    assert [companion.path.relative_to(tmp_path).as_posix() for companion in found] == ["xml/a/x1-nsrr.xml"]
    (tmp_path / "edfs" / "x1-nsrr.xml").write_bytes(b"")
    found = companions_of(recording, index=FileIndex.of(tmp_path))
    assert found[0].path == tmp_path / "edfs" / "x1-nsrr.xml"


def scored(plain: Path, name: str, text: str):
    plain.with_name(name).write_text(text)
    return read(plain)


def test_a_list_of_stages_is_stretched_over_the_recording(plain: Path):
    """Three minutes hold 12 epochs of 15 s, 9 of 20 s, 6 of 30 s."""
    for n, epoch_s in ((12, 15), (9, 20), (6, 30)):
        recording = scored(plain, "night.txt", "\n".join(["W", "N2", "R"] * (n // 3)) + "\n")
        assert len(recording.stages) == n
        assert {span.duration_s for span in recording.stages} == {epoch_s}
        assert any(f"epochs of {epoch_s} s" in repair for repair in recording.repairs) == (epoch_s != 30)


def test_times_of_day_are_laid_on_the_recordings_clock(plain: Path):
    """The recording begins at 22:30:05; the first epoch is scored at 22:31:05, or half a minute too early."""
    recording = scored(plain, "night.csv", "Start Time,Duration,Stage\n22:31:05,30,N2\n22:31:35,30,R\n")
    assert [(span.onset_s, span.stage) for span in recording.stages] == [(60, 2), (90, 4)]
    recording = scored(plain, "night.csv", "Start Time,Duration,Stage\n22:29:35,30,W\n22:30:05,30,R\n")
    assert [(span.onset_s, span.stage) for span in recording.stages] == [(-30, 0), (0, 4)]


def test_elapsed_times_that_look_like_a_clock_count_from_the_start(plain: Path):
    recording = scored(plain, "night.csv", "Start Time,Duration,Stage\n00:00:30,30,N2\n00:01:00,30,R\n")
    assert [(span.onset_s, span.stage) for span in recording.stages] == [(30, 2), (60, 4)]


def test_a_table_that_is_no_scoring_is_left_alone(plain: Path):
    recording = scored(plain, "night.csv", "item,price\nbed,300\n")
    assert recording.stages == ()
    assert recording.repairs == read(plain).repairs
