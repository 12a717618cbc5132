"""Many nights: killed and resumed, with faulty files among them, with processes that die, on another engine."""

import csv
import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import wfdb
from scipy.signal import lfilter
from store_nights import made_recording

from sleep2vec.simulation.cohort_store import simulate_to_store
from sleep2vec.store import ingest as ingest_module
from sleep2vec.store.cohort_folder import jobs_of
from sleep2vec.store.engines import run_jobs
from sleep2vec.store.ingest import ingest, plan_ingest
from sleep2vec.store.lock import sole_writer
from sleep2vec.store.reader import Store
from sleep2vec.store.remote_folder import CohortPlace
from sleep2vec.store.verify import damaged_nights
from sleep2vec.store.writer import create_store
from sleep2vec.vocabulary.errors import StoreError, UsageError

N_NIGHTS, N_KILLS = 40, 5


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("three")
    for i in range(3):
        made_recording(folder / "in" / f"n{i}.edf", i)
    ingest(folder / "in", folder / "undisturbed")
    return folder


@pytest.mark.slow
def test_forty_nights_killed_five_times_end_in_the_undisturbed_store(tmp_path: Path):
    """kill -9 of the whole process group, workers included, at random moments; each time the same command again."""
    for i in range(N_NIGHTS):
        made_recording(tmp_path / "in" / f"site{i % 4}" / f"n{i:02d}.edf", i, minutes=3 + i % 3)
    started = time.monotonic()
    ingest(tmp_path / "in", tmp_path / "undisturbed")
    night_s = (time.monotonic() - started) / N_NIGHTS
    store = tmp_path / "store"
    command = [sys.executable, "-m", "sleep2vec.cli", "ingest", str(tmp_path / "in"), str(store), "--workers", "2"]
    draw = random.Random(5)
    n_killed = 0
    for kill in range(N_KILLS):
        least = len(list((store / "nights").glob("*.json"))) + draw.randint(1, N_NIGHTS // (2 * N_KILLS))
        process = subprocess.Popen(
            command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
        )
        deadline = time.monotonic() + 120
        while len(list((store / "nights").glob("*.json"))) < least and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        time.sleep(draw.uniform(0, night_s))  # anywhere in the next night, however fast the machine is
        os.killpg(process.pid, signal.SIGKILL)
        n_killed += process.wait() == -signal.SIGKILL
        assert len(list((store / "nights").glob("*.json"))) < N_NIGHTS, f"kill {kill} came too late"
    assert n_killed == N_KILLS
    subprocess.run(command, check=True, capture_output=True)
    assert files_of(store) == files_of(tmp_path / "undisturbed")
    assert list(damaged_nights(store)) == []


def test_faulty_files_are_listed_with_step_and_reason_and_stop_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "in"
    made_recording(folder / "good.edf", 1)
    good = (folder / "good.edf").read_bytes()
    (folder / "corrupt.edf").write_bytes(b"\xff" * 4000)
    (folder / "empty.edf").write_bytes(b"")
    (folder / "truncated.edf").write_bytes(good[:300])
    made_recording(folder / "locked.edf", 2)
    real_open = Path.open

    def locked(path: Path, *arguments, **options):
        if path.name == "locked.edf":
            raise PermissionError(13, "Permission denied", str(path))
        return real_open(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", locked)
    report = ingest(folder, tmp_path / "store")
    assert [row.night_id for row in Store(tmp_path / "store").rows] == ["good"]
    with real_open(tmp_path / "store" / "failures.csv", newline="") as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    assert sorted(rows) == ["corrupt.edf", "empty.edf", "locked.edf", "truncated.edf"]
    assert {row["step"] for row in rows.values()} == {"read"}
    assert "0 bytes" in rows["empty.edf"]["reason"]
    assert all("\n" not in row["reason"] and "unexpected" not in row["reason"] for row in rows.values()), rows
    assert len(report.failures) == 4


def dies(job: int) -> int:
    if job == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return 10 * job


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["joblib", "dask"])
def test_a_killed_process_costs_its_job_alone(engine: str):
    """As the kernel does it when memory runs out."""
    done = dict(run_jobs(dies, list(range(12)), engine=engine, workers=2))
    assert done == {job: None if job == 5 else 10 * job for job in range(12)}


def test_a_killed_night_is_told(three: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def killed(work, jobs, **_):
        for job in jobs:
            yield job, None if job.night_id == "n1" else work(job)

    monkeypatch.setattr(ingest_module, "run_jobs", killed)
    report = ingest(three / "in", tmp_path / "store")
    assert [(f.file, f.step) for f in report.failures] == [("n1.edf", "process")]
    assert "killed by the system, most often for want of memory; try fewer --workers" in report.failures[0].reason
    assert report.n_nights == 2


@pytest.mark.slow
def test_dask_writes_the_same_bytes(three: Path, tmp_path: Path):
    report = ingest(three / "in", tmp_path / "store", engine="dask", workers=2)
    assert report.n_written == 3
    assert files_of(tmp_path / "store") == files_of(three / "undisturbed")


def test_engines_that_are_none_say_so(three: Path, tmp_path: Path):
    with pytest.raises(UsageError, match="unknown engine 'spark'; choose from joblib, dask"):
        ingest(three / "in", tmp_path / "store", engine="spark")
    with pytest.raises(UsageError, match="--scheduler is for --engine dask"):
        ingest(three / "in", tmp_path / "store2", scheduler="tcp://localhost:1")


def test_a_plan_writes_nothing_and_tells_what_is_there(three: Path, tmp_path: Path):
    store = tmp_path / "store"
    plan = plan_ingest(three / "in", store)
    assert [job.night_id for job in plan.waiting] == ["n0", "n1", "n2"]
    assert not store.exists()
    ingest(three / "in", store, only=["n1*"])
    assert [job.night_id for job in plan_ingest(three / "in", store).waiting] == ["n0", "n2"]


def test_only_some(three: Path):
    folder = CohortPlace(three / "in", "here", {})
    assert [job.night_id for job in jobs_of(folder, only=["n[02].edf"])[0]] == ["n0", "n2"]
    assert [job.night_id for job in jobs_of(folder, only=["n1", "n2"], limit=1)[0]] == ["n1"]
    with pytest.raises(UsageError, match=r"none of the 3 recordings of .* fits 'x'"):
        jobs_of(folder, only=["x"])


def test_two_ingests_into_one_store_do_not_meet(three: Path, tmp_path: Path):
    from filelock import FileLock

    store = tmp_path / "store"
    ingest(three / "in", store, limit=1)
    with FileLock(store / ".ingest.lock"), pytest.raises(UsageError, match="another command is writing to"):
        ingest(three / "in", store)
    with FileLock(store / ".ingest.lock"), pytest.raises(UsageError, match="another command is writing to"):
        simulate_to_store(store, 1, seed=0, hours=0.25)
    assert ingest(three / "in", store).n_nights == 3


@pytest.mark.parametrize(
    ("code", "wrong", "told"),
    [(errno.ENOSYS, UsageError, "another command is writing"), (errno.ENOLCK, StoreError, "cannot be locked")],
)
def test_no_two_ingests_where_the_file_system_has_no_locks(
    code: int, wrong: type[Exception], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """flock(2): a mount of Lustre without the option `flock` answers ENOSYS, NFS without its lock server ENOLCK."""
    fcntl = pytest.importorskip("fcntl")

    def refuse(fd: int, operation: int) -> None:
        raise OSError(code, os.strerror(code))

    create_store(tmp_path)
    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(wrong, match=told), sole_writer(tmp_path), sole_writer(tmp_path):
        pass


def test_nothing_of_the_machine_is_in_the_store(three: Path):
    for name, data in files_of(three / "undisturbed").items():
        assert str(three).encode() not in data, name


def test_a_night_id_that_is_a_path_is_refused_before_anything_is_touched(three: Path, tmp_path: Path):
    """`night_id` of a table once named files outside of the store, and `ingest` removed them."""
    (tmp_path / "in").mkdir()
    shutil.copy(three / "in" / "n0.edf", tmp_path / "in" / "n0.edf")
    sidecar = tmp_path / "keep.json"
    sidecar.write_text("{}")
    for night_id in (str(tmp_path / "keep"), "../../keep"):
        (tmp_path / "in" / "participants.csv").write_text(f"file,night_id\nn0.edf,{night_id}\n")
        with pytest.raises(UsageError, match=r"n0\.edf: .*night"):
            ingest(tmp_path / "in", tmp_path / "store")
    assert sidecar.exists()
    assert not (tmp_path / "store").exists()


def test_a_link_to_nowhere_is_listed_and_stops_nobody(three: Path, tmp_path: Path):
    shutil.copytree(three / "in", tmp_path / "in")
    (tmp_path / "in" / "gone.edf").symlink_to(tmp_path / "nowhere.edf")
    (tmp_path / "in" / "loop.edf").symlink_to(tmp_path / "in" / "loop.edf")
    report = ingest(tmp_path / "in", tmp_path / "store")
    assert report.n_nights == 3
    assert [failure.file for failure in report.failures] == ["gone.edf", "loop.edf"]


def test_folders_behind_links_are_looked_into_once(three: Path, tmp_path: Path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "site").symlink_to(three / "in", target_is_directory=True)
    (tmp_path / "in" / "back").symlink_to(tmp_path / "in", target_is_directory=True)
    assert ingest(tmp_path / "in", tmp_path / "store").n_nights == 3


def test_failures_of_recordings_that_were_not_looked_at_stay(three: Path, tmp_path: Path):
    shutil.copytree(three / "in", tmp_path / "in")
    (tmp_path / "in" / "bad.edf").write_bytes(b"")
    (tmp_path / "in" / "two\nlines.edf").write_bytes(b"")
    store = tmp_path / "store"

    def listed() -> list[str]:
        lines = (store / "failures.csv").read_text().splitlines()
        return [line.partition(",")[0] for line in lines[1:]]

    ingest(tmp_path / "in", store)
    assert listed() == ["bad.edf", "two\\nlines.edf"]
    ingest(tmp_path / "in", store, only=["n0*"])
    assert listed() == ["bad.edf", "two\\nlines.edf"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "worse.edf").write_bytes(b"")
    ingest(tmp_path / "other", store)
    assert listed() == ["bad.edf", "two\\nlines.edf", "worse.edf"]
    (tmp_path / "in" / "bad.edf").unlink()
    ingest(tmp_path / "in", store)
    assert listed() == ["two\\nlines.edf", "worse.edf"]


def test_a_recording_that_is_cut_off_becomes_a_night_and_is_told(three: Path, tmp_path: Path):
    (tmp_path / "in").mkdir()
    data = (three / "in" / "n0.edf").read_bytes()
    (tmp_path / "in" / "cut.edf").write_bytes(data[: int(0.6 * len(data))])
    report = ingest(tmp_path / "in", tmp_path / "store")
    assert report.n_nights == 1
    assert "cut.edf holds 0.0" in report.cut_off[0]
    assert "that its header promises" in report.cut_off[0]


def test_a_full_disk_stops_the_ingest_and_keeps_what_is_there(three: Path, tmp_path: Path, monkeypatch):
    real, written = ingest_module.write_night, []

    def until_full(store, night, origin):
        if written:
            raise OSError(28, "No space left on device")
        written.append(night.night_id)
        return real(store, night, origin)

    monkeypatch.setattr(ingest_module, "write_night", until_full)
    with pytest.raises(StoreError, match=r"cannot be written to any more: .*No space left.* 1 nights were written"):
        ingest(three / "in", tmp_path / "store")
    monkeypatch.setattr(ingest_module, "write_night", real)
    assert ingest(three / "in", tmp_path / "store").n_nights == 3
    assert files_of(tmp_path / "store") == files_of(three / "undisturbed")


def test_a_store_is_no_url(three: Path, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="is a URL, and a store is mapped into memory"):
        ingest(three / "in", Path("memory://bucket/store"))
    assert list(tmp_path.iterdir()) == []


def test_names_that_differ_in_letters_a_file_cannot_have_stay_apart(three: Path, tmp_path: Path):
    (tmp_path / "in").mkdir()
    for name in ("\u5f20\u4e09.edf", "\u674e\u56db.edf"):
        shutil.copy(three / "in" / "n0.edf", tmp_path / "in" / name)
    assert ingest(tmp_path / "in", tmp_path / "store").n_nights == 2


def test_a_damaged_night_does_not_hide_the_others(three: Path, tmp_path: Path):
    shutil.copytree(three / "undisturbed", tmp_path / "store")
    (tmp_path / "store" / "nights" / "n1.json").write_text("{")
    with pytest.raises(StoreError, match=r"1 night\(s\) are not in the manifest: .*n1\.json is damaged"):
        ingest(three / "in", tmp_path / "store", only=["n0*"])
    assert [row.night_id for row in Store(tmp_path / "store").rows] == ["n0", "n2"]


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ("file,subject_id\nnight.edf,S1\n", "has a row for night.edf, and there are 2 of that name"),
        ("file,age\nn0.edf,3\n", "has a column 'age', which is not read; did you mean 'age_years'"),
        ("file,sex,sex\nn0.edf,F,F\n", "has the column sex more than once"),
    ],
)
def test_a_table_of_participants_that_says_less_than_it_seems(three: Path, tmp_path: Path, table: str, sentence: str):
    for folder in ("p1", "p2"):
        (tmp_path / "in" / folder).mkdir(parents=True)
        shutil.copy(three / "in" / "n0.edf", tmp_path / "in" / folder / "night.edf")
    (tmp_path / "in" / "participants.csv").write_text(table)
    with pytest.raises(UsageError, match=sentence):
        ingest(tmp_path / "in", tmp_path / "store")


def test_rows_that_fit_no_recording_are_told(three: Path, tmp_path: Path):
    shutil.copytree(three / "in", tmp_path / "in")
    (tmp_path / "in" / "participants.csv").write_text("file,sex\nn0.edf,F\nm0.edf,F\n")
    assert "participants.csv: 1 row(s) fit no recording (m0.edf)." in ingest(tmp_path / "in", tmp_path / "store").notes


def test_one_person_in_two_cohorts_of_the_same_people(three: Path, tmp_path: Path):
    """SHHS 1 and 2 named in the table, as by --cohort."""
    shutil.copytree(three / "in", tmp_path / "in")
    table = "file,subject_id,cohort\nn0.edf,200001,shhs1\nn1.edf,200001,shhs2\nn2.edf,200002,shhs1\n"
    (tmp_path / "in" / "participants.csv").write_text(table)
    ingest(tmp_path / "in", tmp_path / "store")
    people = [row.person for row in Store(tmp_path / "store").rows]
    assert people[0] == people[1] != people[2]


def test_a_wfdb_record_whose_samples_were_completed_is_made_anew(tmp_path: Path):
    samples = 8 * lfilter([1.0], [1.0, -0.97], np.random.default_rng(0).standard_normal((256 * 120, 1)), axis=0)
    (tmp_path / "in").mkdir()
    wfdb.wrsamp("r1", 256, ["uV"], ["C4-M1"], p_signal=samples, fmt=["16"], write_dir=str(tmp_path / "in"))
    data = (tmp_path / "in" / "r1.dat").read_bytes()
    (tmp_path / "in" / "r1.dat").write_bytes(data[: len(data) // 2])
    ingest(tmp_path / "in", tmp_path / "store")
    (tmp_path / "in" / "r1.dat").write_bytes(data)
    assert ingest(tmp_path / "in", tmp_path / "store").n_written == 1
    assert ingest(tmp_path / "in", tmp_path / "store").n_already_there == 1
