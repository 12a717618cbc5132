"""A cohort in an object store gives the nights that the same files on disk give."""

from pathlib import Path

import fsspec
import numpy as np
import pytest
import wfdb
from store_nights import made_recording

from sleep2vec.store.ingest import ingest, plan_ingest
from sleep2vec.store.reader import Store
from sleep2vec.vocabulary.errors import UnreadableFileError


@pytest.fixture
def bucket(tmp_path: Path) -> str:
    """Two EDFs, one with its scoring in another folder, a table and a WFDB record, here and in memory."""
    folder = tmp_path / "here"
    made_recording(folder / "edf" / "a.edf", 1)
    made_recording(folder / "edf" / "b.edf", 2)
    (folder / "participants.csv").write_text("file,age_years,sex\nedf/a.edf,50,F\n")
    (folder / "wfdb").mkdir()
    walk = np.random.default_rng(0).normal(size=(128 * 180, 1)).cumsum(axis=0)
    walk -= np.convolve(walk[:, 0], np.ones(128) / 128, "same")[:, None]
    wfdb.wrsamp("r1", 128, ["uV"], ["C4-M1"], p_signal=10 * walk, fmt=["16"], write_dir=str(folder / "wfdb"))
    (folder / "wfdb" / "r1.txt").write_text("W\nN1\nN2\nN2\nN3\nR\n")
    files = fsspec.filesystem("memory")
    files.put(str(folder), "/bucket", recursive=True)
    yield "memory://bucket"
    files.rm("/bucket", recursive=True)


def test_the_same_nights_as_from_the_disk(bucket: str, tmp_path: Path):
    there, here = tmp_path / "there", tmp_path / "store"
    report = ingest(bucket, there)
    assert report.failures == ()
    ingest(tmp_path / "here", here)
    remote, local = Store(there), Store(here)
    assert (
        [row.night_id for row in remote.rows]
        == [row.night_id for row in local.rows]
        == ["edf__a", "edf__b", "wfdb__r1"]
    )
    for row in local.rows:
        assert remote.row(row.night_id).checksum == row.checksum
        assert remote.row(row.night_id).age_years == row.age_years
    np.testing.assert_array_equal(remote.stages("wfdb__r1"), [0, 1, 2, 2, 3, 4])
    assert plan_ingest(bucket, there).waiting == ()


def test_nothing_stays_on_this_machine(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    ingest(bucket, tmp_path / "store")
    assert list(scratch.iterdir()) == []


def test_a_place_that_is_not_there_says_so(tmp_path: Path):
    with pytest.raises(UnreadableFileError, match="memory://nowhere holds no files, or is not there"):
        ingest("memory://nowhere", tmp_path / "store")
