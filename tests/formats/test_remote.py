"""Files in object stores, held to what fsspec's own file systems were given."""

import sys
import tempfile
from pathlib import Path

import fsspec
import pytest
from edf_bytes import Channel, EdfFile, counting

from sleep2vec.formats.recordings import read_recording
from sleep2vec.formats.remote import is_remote, list_files, local_copy
from sleep2vec.vocabulary.errors import UnreadableFileError, UsageError

NIGHT = EdfFile([Channel(counting(3, 100))]).to_bytes()


@pytest.fixture(params=["memory", "file"])
def bucket(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a folder with two files at two depths."""
    url = f"{request.param}://{tmp_path}/cohort"
    files, root = fsspec.core.url_to_fs(url)
    files.makedirs(f"{root}/deep")
    files.pipe({f"{root}/b.edf": NIGHT, f"{root}/deep/a.xml": b"<x/>"})
    return url


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_files_at_every_depth_are_listed(bucket: str):
    assert list_files(bucket) == [f"{bucket}/b.edf", f"{bucket}/deep/a.xml"]
    assert all(map(is_remote, list_files(bucket)))
    assert not is_remote("nights/b.edf")
    assert not is_remote(Path("b.edf"))


def test_a_copy_is_the_file_and_goes_afterwards(bucket: str, scratch: Path):
    with local_copy(f"{bucket}/b.edf", [f"{bucket}/deep/a.xml"]) as path:
        assert path.read_bytes() == NIGHT
        assert (path.parent / "a.xml").read_bytes() == b"<x/>"
        assert read_recording(path).duration_s == 3
    assert not list(scratch.iterdir())


def test_a_copy_goes_when_reading_fails(bucket: str, scratch: Path):
    with pytest.raises(UnreadableFileError), local_copy(f"{bucket}/deep/a.xml") as path:
        read_recording(path)
    assert not list(scratch.iterdir())


def test_what_is_not_there_says_so(bucket: str, scratch: Path):
    with (
        pytest.raises(UnreadableFileError, match=r"nothing\.edf cannot be fetched"),
        local_copy(f"{bucket}/nothing.edf"),
    ):
        pass
    with pytest.raises(UnreadableFileError, match="holds no files"):
        list_files(f"{bucket}/nothing")
    assert not list(scratch.iterdir())


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)  # as if it were not installed
    with pytest.raises(UsageError, match=r"s3:// that is not installed: .*s3fs"):
        list_files("s3://bucket/cohort")
    with pytest.raises(UsageError, match="fsspec does not know"):
        list_files("floppy://a/night.edf")
