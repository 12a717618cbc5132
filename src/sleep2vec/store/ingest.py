"""A folder of recordings into a store, in parallel, with a reason for every file that failed."""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout

from sleep2vec.cohorts.catalog import cohort_of
from sleep2vec.formats.remote import local_copy
from sleep2vec.store.atomic import remove_leftovers, write_atomically
from sleep2vec.store.cohort_folder import Job, jobs_of
from sleep2vec.store.cohort_hum import doubts_of_hum
from sleep2vec.store.engines import run_jobs
from sleep2vec.store.manifest import read_description, write_manifest
from sleep2vec.store.remote_folder import CohortPlace, opened_place
from sleep2vec.store.schema import night_paths
from sleep2vec.store.writer import create_store, write_night
from sleep2vec.vocabulary.errors import Sleep2vecError, StoreError, UsageError
from sleep2vec.vocabulary.scoring import SLEEP_WAKE_ONLY

_LOCK = ".ingest.lock"


@dataclass(frozen=True)
class Failure:
    """A file that did not become a night.

    Attributes:
        file: Path below the cohort's folder.
        step: ``read``, ``harmonize``, ``write``, or ``process`` where the system killed the process.
        reason: One sentence.
    """

    file: str
    step: str
    reason: str


@dataclass(frozen=True)
class IngestReport:
    """What an ingest did."""

    n_written: int
    n_already_there: int
    failures: tuple[Failure, ...]
    n_nights: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What an ingest will do."""

    jobs: tuple[Job, ...]
    waiting: tuple[Job, ...]
    notes: tuple[str, ...]


def plan_ingest(
    folder: Path | str, store: Path, *, cohort: str | None = None, limit: int | None = None, only: Sequence[str] = ()
) -> Plan:
    """Which recordings there are, and which of them are not in `store` yet or have changed. Writes nothing.

    Raises:
        UsageError: see `cohort_folder.jobs_of`; or a night of the store came from another recording.
    """
    with opened_place(folder) as place:
        return _plan(place, store, cohort, limit, only)


def _plan(place: CohortPlace, store: Path, cohort: str | None, limit: int | None, only: Sequence[str]) -> Plan:
    jobs, notes = jobs_of(place, cohort=cohort, limit=limit, only=only)
    return Plan(tuple(jobs), tuple(job for job in jobs if not _is_there(store, job)), tuple(notes))


def ingest(
    folder: Path | str,
    store: Path,
    *,
    cohort: str | None = None,
    workers: int = 1,
    limit: int | None = None,
    only: Sequence[str] = (),
    engine: str = "joblib",
    scheduler: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> IngestReport:
    """Harmonise every recording below `folder` into `store`.

    Nights that are already there and whose recording, scoring and tables have not changed are kept, so a killed ingest
    goes on where it stopped, and ends with the bytes that an undisturbed one would have written; the night of a changed
    file leaves the store before it is made anew. People, ages, sites and scorings come from the cohort's own files (its
    YAML says where), before them from ``participants.csv`` in `folder` (see `read_participants`), else from the
    recordings. A recording that fails is listed in ``failures.csv``.

    Args:
        folder: the recordings; a URL (``s3://bucket/cohort``) is read recording by recording, through `fsspec`.
        store: a new or empty folder, or a store to add to.
        cohort: a cohort of the catalog, a YAML of one's own, or any name for the manifest.
        workers: processes; each holds one night at a time.
        limit: take only the first so many recordings.
        only: take only recordings whose path or night id fits one of these patterns.
        engine, scheduler: see `engines.run_jobs`.
        progress: called with (done, total) after every recording.

    Raises:
        UsageError: `folder` is none or holds no recording, a table cannot be read, two recordings would be the same
            night, or another ingest is writing to `store`.
        StoreError: `store` is something else than a store of this version.
    """
    with opened_place(folder) as place:
        plan = _plan(place, store, cohort, limit, only)
        create_store(store)
        with _locked(store):
            return _carried_out(plan, store, workers, engine, scheduler, progress)


def _carried_out(
    plan: Plan,
    store: Path,
    workers: int,
    engine: str,
    scheduler: str | None,
    progress: Callable[[int, int], None] | None,
) -> IngestReport:
    for place in (store, store / "nights"):
        remove_leftovers(place)
    _forget(store, plan.waiting)
    failures, n_there = [], len(plan.jobs) - len(plan.waiting)
    outcomes = run_jobs(partial(_ingest_one, store), plan.waiting, engine=engine, workers=workers, scheduler=scheduler)
    for done, (job, failure) in enumerate(outcomes, start=n_there + 1):
        if failure is None:
            failure = _killed(job)
        if failure.reason:
            failures.append(failure)
        if progress is not None:
            progress(done, len(plan.jobs))
    failures.sort(key=lambda failure: failure.file)
    _write_failures(store, failures)
    n_nights = write_manifest(store)
    return IngestReport(len(plan.waiting) - len(failures), n_there, tuple(failures), n_nights, plan.notes)


def _ingest_one(store: Path, job: Job) -> Failure:
    """One recording into the store; a failure without a reason is a success, as None is a killed process."""
    # Here, so that two workers load them at once and the process that only hands out work never does.
    from sleep2vec.formats.reader import read
    from sleep2vec.harmonization.pipeline import harmonize
    from sleep2vec.harmonization.sleep_wake import without_unknown_stages

    cohort = cohort_of(job.rules)
    step = "read"
    try:
        with _here(job) as path:
            recording = read(path, cohort=job.rules, companions=job.companions)
            subject = job.participant.completed(recording.subject)
            recording, notes = without_unknown_stages(
                replace(recording, subject=subject),
                is_flagged=subject.measures.get(SLEEP_WAKE_ONLY) == 1,
                shorthand=cohort.file.scoring.sleep_shorthand,
            )
            step = "harmonize"
            night = harmonize(
                recording,
                night_id=job.night_id,
                cohort=job.rules,
                site=job.participant.site,
            )
        notes = (*night.notes, *notes, *doubts_of_hum(night, cohort))
        step = "write"
        write_night(store, replace(night, cohort=job.cohort, notes=notes), job.origin)
    except (Sleep2vecError, OSError) as error:
        return Failure(job.relative, step, " ".join(str(error).split()))
    except Exception as error:  # one bad night in ten thousand is listed, never fatal
        reason = f"unexpected {type(error).__name__}: {' '.join(str(error).split())}; please report this file"
        return Failure(job.relative, step, reason)
    return Failure(job.relative, step, "")


@contextmanager
def _here(job: Job) -> Iterator[Path]:
    """The recording on this machine: samples are read while it is harmonised."""
    if job.remote is None:
        yield job.path
        return
    with local_copy(job.remote.url, beside=job.remote.beside) as path:
        yield path


def _killed(job: Job) -> Failure:
    reason = "its process was killed by the system, most often for want of memory; try fewer --workers"
    return Failure(job.relative, "process", reason)


@contextmanager
def _locked(store: Path) -> Iterator[None]:
    """Two ingests into one store would take each other's nights for leftovers. A lock dies with its process."""
    lock = FileLock(store / _LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise UsageError(f"another ingest is writing to {store}; wait for it, or use another store.") from None
    except (OSError, NotImplementedError):  # a file system without locks
        yield
        return
    try:
        yield
    finally:
        lock.release()


def _is_there(store: Path, job: Job) -> bool:
    signals_path, description_path = night_paths(store, job.night_id)
    if not (signals_path.exists() and description_path.exists()):
        return False
    try:
        description = read_description(description_path)
    except StoreError:
        return False
    origin = job.origin
    if description["row"]["source_fingerprint"] == origin.fingerprint:
        return True
    if (description["file"], description["folder"]) != (origin.file, origin.folder):
        where = "" if description["folder"] == origin.folder else " of another folder"
        raise UsageError(
            f"night {job.night_id!r} of {store} came from {description['file']}{where}; {job.path} would take its "
            "place. Name the new night otherwise (column night_id of participants.csv), ingest it into another store, "
            f"or, if it is the same recording, delete {description_path} first."
        )
    return False


def _forget(store: Path, jobs: Sequence[Job]) -> None:
    """Take nights that will be made anew out of the manifest: a kill must not leave it with their old constants."""
    stale = [path for _, path in (night_paths(store, job.night_id) for job in jobs) if path.exists()]
    for path in stale:
        path.unlink()
    if stale and (store / "manifest.parquet").exists():
        write_manifest(store)


def _write_failures(store: Path, failures: Sequence[Failure]) -> None:
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(["file", "step", "reason"])
    table.writerows([failure.file, failure.step, failure.reason] for failure in failures)
    write_atomically(store / "failures.csv", text.getvalue().encode("utf-8", "backslashreplace"))
