"""Ingest: what fails is told, what is good is kept, and a kill at any moment changes nothing in the end."""

import csv
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
from store_nights import made_recording

from sleep2vec.formats.edf_writer import write_edf
from sleep2vec.store.atomic import remove_leftovers
from sleep2vec.store.cohort_folder import jobs_of
from sleep2vec.store.ingest import ingest
from sleep2vec.store.manifest import read_manifest
from sleep2vec.store.reader import Store
from sleep2vec.store.remote_folder import CohortPlace
from sleep2vec.store.verify import damaged_nights
from sleep2vec.vocabulary.errors import StoreError, UsageError
from sleep2vec.vocabulary.recording import Recording, Signal


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> Path:
    """Two good nights, one file that is none, one that is too short."""
    folder = tmp_path_factory.mktemp("recordings")
    made_recording(folder / "alpha" / "first.edf", 1)
    made_recording(folder / "beta" / "second.edf", 2)
    (folder / "broken.edf").write_text("not an EDF")
    made_recording(folder / "short.edf", 3, minutes=0.4)
    return folder


@pytest.fixture(scope="module")
def undisturbed(recordings: Path, tmp_path_factory) -> dict[str, bytes]:
    """What two workers write; every test that compares with it ingests with one."""
    store = tmp_path_factory.mktemp("undisturbed")
    ingest(recordings, store, workers=2)
    return files_of(store)


def test_good_nights_are_kept_and_failures_listed_with_their_reasons(recordings: Path, tmp_path: Path):
    told = []
    report = ingest(recordings, tmp_path, cohort="study", progress=lambda done, total: told.append((done, total)))
    assert (report.n_written, report.n_already_there, report.n_nights) == (2, 0, 2)
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [(row.night_id, row.cohort, row.n_tokens, row.n_scored_tokens) for row in read_manifest(tmp_path)] == [
        ("alpha__first", "study", 6, 6), ("beta__second", "study", 6, 6),
    ]  # fmt: skip
    with (tmp_path / "failures.csv").open(newline="") as file:
        failures = list(csv.DictReader(file))
    assert [Path(row["file"]).name for row in failures] == ["broken.edf", "short.edf"]
    assert [(f.file, f.reason) for f in report.failures] == [(row["file"], row["reason"]) for row in failures]
    assert "unexpected" not in str(failures)
    assert "30 s" in failures[1]["reason"]
    again = ingest(recordings, tmp_path, cohort="study")
    assert (again.n_written, again.n_already_there, again.n_nights, len(again.failures)) == (0, 2, 2, 2)


def test_what_is_stored_is_what_was_recorded(tmp_path: Path):
    """Physics: a 5 Hz tone of 40 uV keeps its height through filter, quantisation and all."""
    time_s = np.arange(300 * 256) / 256
    tone = 40 * np.sin(2 * np.pi * 5 * time_s) + np.random.default_rng(0).normal(0, 3, len(time_s))
    signals = (Signal.from_array("C3-M2", tone, 256.0, "uV", (-200, 200)),)
    write_edf(
        tmp_path / "in" / "tone.edf" if (tmp_path / "in").mkdir() is None else tmp_path, Recording(signals, 300.0)
    )
    ingest(tmp_path / "in", tmp_path / "store")
    stored_T = Store(tmp_path / "store").samples("tone", "eeg", 2, 6).ravel()
    time_s = np.arange(len(stored_T)) / 128
    height = 2 * np.abs(np.mean(stored_T * np.exp(-2j * np.pi * 5 * time_s)))
    assert height == pytest.approx(40, rel=0.02)


def test_one_worker_writes_the_same_bytes_as_two(recordings: Path, undisturbed: dict[str, bytes], tmp_path: Path):
    ingest(recordings, tmp_path)
    assert files_of(tmp_path) == undisturbed


def killed_at(recordings: Path, store: Path, moment: int) -> bool:
    """Ingest in a process that kills itself (SIGKILL) around its `moment`-th write; whether it got that far."""
    child = os.fork()
    if child == 0:
        try:
            passed = [0]

            def deadly(call):
                def wrapped(*arguments):
                    passed[0] += 1
                    if passed[0] == moment:
                        os.kill(os.getpid(), signal.SIGKILL)
                    return call(*arguments)

                return wrapped

            os.fsync, os.replace, os.unlink = deadly(os.fsync), deadly(os.replace), deadly(os.unlink)
            ingest(recordings, store)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def test_a_kill_at_any_write_and_a_second_run_give_the_undisturbed_store(
    recordings: Path, undisturbed: dict[str, bytes], tmp_path: Path
):
    """The kill comes before each flush, each rename and each removal in turn: half-written temporary files included."""
    n_leftovers, moment = 0, 1
    while killed_at(recordings, store := tmp_path / str(moment), moment):
        left = files_of(store)
        n_leftovers += sum(name.endswith(".part") for name in left)
        if "manifest.parquet" in left:
            assert [row.night_id for row in read_manifest(store)] == ["alpha__first", "beta__second"]
            assert list(damaged_nights(store)) == []
        elif "store.json" in left:
            with pytest.raises(StoreError, match="its ingest did not finish"):
                read_manifest(store)
        kept = {name for name in left if name.endswith(".json")}
        seen = {name: (store / name).stat().st_mtime_ns for name in kept}
        ingest(recordings, store)
        assert files_of(store) == undisturbed
        assert {name: (store / name).stat().st_mtime_ns for name in kept} == seen, "a finished night was made again"
        moment += 1
    assert moment - 1 >= 2 * 7, "store.json, two nights of two files, failures and manifest: flushed and renamed"
    assert n_leftovers >= 7


def killed_at_size(recordings: Path, store: Path, n_bytes: int) -> bool:
    """Ingest in a process that the kernel ends (SIGXFSZ) in the middle of its first file of more than `n_bytes`."""
    child = os.fork()
    if child == 0:
        try:
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))
            ingest(recordings, store)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXFSZ


@pytest.mark.parametrize("cut", ["store.json", "nights/alpha__first.json", "nights/alpha__first.s2v"])
def test_a_half_written_file_never_bears_its_name(
    recordings: Path, undisturbed: dict[str, bytes], tmp_path: Path, cut: str
):
    """Whatever file is cut, all that is there under its own name is whole."""
    assert killed_at_size(recordings, tmp_path / "store", len(undisturbed[cut]) - 1)
    left = files_of(tmp_path / "store")
    halves = {name for name in left if name.endswith(".part")}
    assert len(halves) == 1
    assert all(left[name] == undisturbed[name] for name in left.keys() - halves)
    ingest(recordings, tmp_path / "store")
    assert files_of(tmp_path / "store") == undisturbed


def test_a_kill_while_a_changed_recording_is_taken_in_never_mixes_old_and_new(tmp_path: Path):
    """The manifest holds the constants of the integers: with new integers under it every value would be wrong."""
    folder, moment = tmp_path / "recordings", 1
    made_recording(folder / "a.edf", 1)
    made_recording(folder / "b.edf", 2)
    ingest(folder, tmp_path / "old")
    made_recording(folder / "a.edf", 7)
    ingest(folder, tmp_path / "new")
    right = [Store(tmp_path / which).samples("a", "eeg") for which in ("old", "new")]
    assert not np.array_equal(*right)
    while True:
        store = shutil.copytree(tmp_path / "old", tmp_path / str(moment))
        killed = killed_at(folder, store, moment)
        opened = Store(store)
        assert {row.night_id for row in opened.rows} >= {"b"}
        if len(opened) == 2:
            assert any(np.array_equal(opened.samples("a", "eeg"), samples_LS) for samples_LS in right)
        ingest(folder, store)
        assert files_of(store) == files_of(tmp_path / "new")
        if not killed:
            break
        moment += 1
    assert moment > 8


@pytest.mark.slow
def test_kill_minus_9_of_the_command_and_a_second_run(tmp_path: Path):
    """The real program in a process of its own, killed as soon as the first night appears."""
    folder, store = tmp_path / "recordings", tmp_path / "store"
    for i in range(8):
        made_recording(folder / f"n{i}.edf", i, minutes=6)
    command = [sys.executable, "-m", "sleep2vec.cli", "ingest", str(folder), str(store), "--workers", "1"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not list((store / "nights").glob("*.json")) and time.monotonic() < deadline:
        time.sleep(0.002)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    n_done = len(list((store / "nights").glob("*.json")))
    assert 1 <= n_done < 8
    report = ingest(folder, store)
    assert (report.n_already_there, report.n_written) == (n_done, 8 - n_done)
    ingest(folder, tmp_path / "undisturbed")
    assert files_of(store) == files_of(tmp_path / "undisturbed")


def test_leftovers_of_the_dead_are_removed_and_those_of_the_living_kept(recordings: Path, tmp_path: Path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    ingest(recordings, tmp_path, limit=1)
    for place in (tmp_path, tmp_path / "nights"):
        (place / f".x.s2v.{dead.pid}.part").touch()
        (place / f".x.s2v.{os.getpid()}.part").touch()
    ingest(recordings, tmp_path, limit=1)
    assert sorted(path.name for path in tmp_path.rglob("*.part")) == [f".x.s2v.{os.getpid()}.part"] * 2


def test_leftovers_of_the_killed_whom_nobody_has_buried_are_removed(tmp_path: Path):
    """A worker that dies with its parent is listed until init takes note; the system's own word for it is the judge."""
    killed = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    killed.kill()
    while psutil.Process(killed.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    (tmp_path / f".x.s2v.{killed.pid}.part").touch()
    remove_leftovers(tmp_path)
    killed.wait()
    assert list(tmp_path.iterdir()) == []


def test_a_changed_recording_and_a_changed_table_are_taken_in_again(tmp_path: Path):
    folder, store = tmp_path / "recordings", tmp_path / "store"
    made_recording(folder / "a.edf", 1)
    made_recording(folder / "b.edf", 2)
    ingest(folder, store)
    before = Store(store).samples("a", "eeg")
    made_recording(folder / "a.edf", 5)
    report = ingest(folder, store)
    assert (report.n_written, report.n_already_there) == (1, 1)
    assert not np.array_equal(Store(store).samples("a", "eeg"), before)
    (folder / "participants.csv").write_text("file,age_years,sex,site\nb.edf,44,F,basel\n")
    report = ingest(folder, store)
    assert (report.n_written, report.n_already_there) == (1, 1)
    row = Store(store).row("b")
    assert (row.age_years, row.sex, row.site, Store(store).row("a").age_years) == (44.0, "female", "basel", None)


def test_two_recordings_of_one_night_id_are_refused_before_anything_is_written(tmp_path: Path):
    for name in ("a/b.edf", "a__b.edf"):
        made_recording(tmp_path / "in" / name, 1)
    with pytest.raises(UsageError, match=r"a/b.edf and .*a__b.edf would both be night 'a__b'; rename one of them"):
        ingest(tmp_path / "in", tmp_path / "store")
    assert not (tmp_path / "store").exists()
    (tmp_path / "in" / "participants.csv").write_text("file,night_id\na/b.edf,other\n")
    assert ingest(tmp_path / "in", tmp_path / "store").n_nights == 2


def test_a_second_folder_cannot_take_the_place_of_a_night(tmp_path: Path):
    """Two clinics that both call a file night1.edf: the second ingest may not silently replace the first."""
    made_recording(tmp_path / "alpha" / "night1.edf", 1)
    made_recording(tmp_path / "beta" / "night1.edf", 2, minutes=4)
    store = tmp_path / "store"
    ingest(tmp_path / "alpha", store)
    before = files_of(store)
    with pytest.raises(
        UsageError, match=r"night 'night1' of .* came from night1.edf of another folder; .*beta/night1.edf would"
    ):
        ingest(tmp_path / "beta", store)
    assert files_of(store) == before
    (tmp_path / "beta" / "participants.csv").write_text("file,night_id\nnight1.edf,beta1\n")
    assert ingest(tmp_path / "beta", store).n_nights == 2
    shutil.move(tmp_path / "alpha", tmp_path / "moved")  # the same recordings elsewhere are the same recordings
    assert ingest(tmp_path / "moved", store).n_already_there == 1


def test_a_damaged_description_is_made_again(recordings: Path, undisturbed: dict[str, bytes], tmp_path: Path):
    ingest(recordings, tmp_path)
    path = tmp_path / "nights" / "beta__second.json"
    path.write_bytes(path.read_bytes().replace(b'"n_tokens"', b'"n_tokenz"'))
    assert ingest(recordings, tmp_path).n_written == 1
    assert files_of(tmp_path) == undisturbed


def test_names_that_are_no_text_are_listed_and_harm_nobody(recordings: Path, tmp_path: Path):
    folder = shutil.copytree(recordings, tmp_path / "in")
    odd = os.fsdecode(bytes(folder) + b"/caf\xe9")
    shutil.copy(folder / "alpha" / "first.edf", odd + ".edf")
    Path(odd + "2.edf").write_text("no EDF")
    report = ingest(folder, tmp_path / "store")
    assert report.n_nights == 3
    assert [Path(f.file).name.encode("utf-8", "surrogateescape") for f in report.failures] == [
        b"broken.edf", b"caf\xe92.edf", b"short.edf",
    ]  # fmt: skip
    assert "caf\\udce92.edf" in (tmp_path / "store" / "failures.csv").read_text()
    assert not any(failure.reason.startswith("unexpected") for failure in report.failures)
    assert ingest(folder, tmp_path / "store").n_already_there == 3


def test_folders_without_recordings_are_refused(tmp_path: Path):
    (tmp_path / "SC4001EC-Hypnogram.edf").touch()
    with pytest.raises(UsageError, match=r"holds no recording \(.edf, .bdf, .rec.*\); name another folder"):
        jobs_of(CohortPlace(tmp_path, "here", {}))
    with pytest.raises(UsageError, match="is not a folder; name the folder that holds the recordings"):
        jobs_of(CohortPlace(tmp_path / "none", "here", {}))


def test_the_start_and_the_grid_are_kept(recordings: Path, tmp_path: Path):
    ingest(recordings, tmp_path, limit=1)
    row = pq.read_table(tmp_path / "manifest.parquet").to_pylist()[0]
    assert (row["start"], row["grid_start_s"]) == (datetime(2024, 3, 1, 22, 30), 0.0)
