"""Which files are recordings, and what is said of those that cannot be read."""

import bz2
import gzip
import lzma
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from edf_bytes import Channel, EdfFile, counting

from sleep2vec.formats.recordings import is_recording, read_recording
from sleep2vec.vocabulary.errors import UnreadableFileError

NIGHT = EdfFile([Channel(counting(3, 100), physical=("-32768", "32767"))]).to_bytes()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("shhs1-200001.edf", True),
        ("SC4001E0-PSG.edf", True),
        ("night.EDF.GZ", True),
        ("night.bdf", True),
        ("tr03-0005.hea", True),
        ("tr03-0005.hea.gz", False),
        ("SC4001EC-Hypnogram.edf", False),
        ("sub_expert_annotations.edf", False),
        ("night.xml", False),
    ],
)
def test_recordings_by_name(name: str, expected: bool):
    assert is_recording(Path(name)) is expected


@pytest.mark.parametrize("pack", [(".gz", gzip.compress), (".xz", lzma.compress), (".bz2", bz2.compress)])
@pytest.mark.parametrize("damage", ["cut", "flipped", "garbled", "empty"])
def test_a_damaged_pack_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, pack, damage: str, monkeypatch: pytest.MonkeyPatch
):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    ending, compress = pack
    content = bytearray(compress(NIGHT))
    content[len(content) // 2] ^= 0xFF
    garbled = compress(NIGHT)[:10] + b"\xff" * 40  # for gzip a block of a type that does not exist
    given = {"cut": compress(NIGHT)[:-20], "flipped": bytes(content), "garbled": garbled, "empty": b""}[damage]
    path = tmp_path / f"night.edf{ending}"
    path.write_bytes(given)
    with pytest.raises(UnreadableFileError, match=r"night\.edf"):
        read_recording(path)
    assert not list(scratch.iterdir())


def test_a_locked_file_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "night.edf"
    path.write_bytes(NIGHT)

    def locked(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", locked)
    with pytest.raises(UnreadableFileError, match=r"cannot be opened \(Permission denied\); check its permissions"):
        read_recording(path)


def test_a_disk_that_fails_while_reading_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "night.edf"
    path.write_bytes(NIGHT)

    class Failing:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def read(self, *_):
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "open", lambda *_, **__: Failing())
    with pytest.raises(UnreadableFileError, match="cannot be read \\(Input/output error\\)"):
        read_recording(path)


def test_a_pipe_is_refused_and_does_not_hang(tmp_path: Path):
    os.mkfifo(tmp_path / "night.edf")
    with pytest.raises(UnreadableFileError, match="a device or a pipe"):
        read_recording(tmp_path / "night.edf")


def test_a_packed_header_says_to_unpack(tmp_path: Path):
    path = tmp_path / "r1.hea.gz"
    path.write_bytes(gzip.compress(b"r1 1 100 10\nr1.dat 16\n"))
    with pytest.raises(UnreadableFileError, match="unpack the record"):
        read_recording(path)


def test_real_edge_cases_are_read_or_refused(shared: Path):
    folder = shared / "real_data" / "edf_edge_cases"
    assert len(read_recording(folder / "edfio_mne_test.edf").signals) == 139
    assert all(np.isfinite(s.samples).all() for s in read_recording(folder / "edfize_simulated-01.edf").signals)
    with pytest.raises(UnreadableFileError, match="not one whole data record"):
        read_recording(folder / "edfize_zero-data-records.edf")
