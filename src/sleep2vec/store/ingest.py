"""A folder of recordings into a store, in parallel, with a reason for every file that failed."""

import csv
import errno
import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from sleep2vec.cohorts.catalog import cohort_of
from sleep2vec.formats.remote import local_copy
from sleep2vec.store.atomic import write_atomically
from sleep2vec.store.cohort_folder import Job, jobs_of
from sleep2vec.store.engines import run_jobs
from sleep2vec.store.lock import sole_writer
from sleep2vec.store.manifest import description_of, write_manifest
from sleep2vec.store.remote_folder import CohortPlace, opened_place
from sleep2vec.store.schema import night_paths
from sleep2vec.store.writer import check_place, create_store, write_night
from sleep2vec.vocabulary.errors import Sleep2vecError, StoreError, UsageError
from sleep2vec.vocabulary.recording import Recording
from sleep2vec.vocabulary.scoring import SLEEP_WAKE_ONLY

_FAILURE_COLUMNS = ["file", "step", "reason", "folder"]  # the last a hash: nothing of the machine is in a store
_HOPELESS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


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
    """What an ingest did.

    Attributes:
        cut_off: Recordings that hold less than their header promises, with how much; what they hold was kept.
        notes: On the cohort's tables and folders.
    """

    n_written: int
    n_already_there: int
    failures: tuple[Failure, ...]
    n_nights: int
    cut_off: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Outcome:
    """What became of one recording: `failure`, or a night. `is_hopeless` where all others would fail alike."""

    failure: Failure | None = None
    cut_off: str | None = None
    is_hopeless: bool = False


@dataclass(frozen=True)
class Plan:
    """What an ingest will do."""

    jobs: tuple[Job, ...]
    waiting: tuple[Job, ...]
    notes: tuple[str, ...]
    is_whole: bool = True
    """Whether it takes every recording of the folder."""


def plan_ingest(
    folder: Path | str, store: Path, *, cohort: str | None = None, limit: int | None = None, only: Sequence[str] = ()
) -> Plan:
    """Which recordings there are, and which of them are not in `store` yet or have changed. Writes nothing.

    Raises:
        UsageError: see `cohort_folder.jobs_of`; or a night of the store came from another recording.
    """
    with opened_place(folder) as place:
        return _plan(place, _on_this_machine(store), cohort, limit, only)


def _on_this_machine(store: Path) -> Path:
    """Workers have working directories of their own, so the path is made absolute."""
    if re.match(r"[a-z][a-z0-9+]+:/", str(store)):
        raise UsageError(f"{store} is a URL, and a store is mapped into memory; name a folder of this machine.")
    return Path(store).absolute()


def _plan(place: CohortPlace, store: Path, cohort: str | None, limit: int | None, only: Sequence[str]) -> Plan:
    jobs, notes = jobs_of(place, cohort=cohort, limit=limit, only=only)
    check_place(store)
    waiting = tuple(job for job in jobs if not _is_there(store, job))
    return Plan(tuple(jobs), waiting, tuple(notes), limit is None and not only)


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
            night, or another command is writing to `store`.
        StoreError: `store` is something else than a store of this version, cannot be locked, or its disk is full.
    """
    store = _on_this_machine(store)
    with opened_place(folder) as place:
        plan = _plan(place, store, cohort, limit, only)
        create_store(store)
        with sole_writer(store):
            return _carried_out(plan, store, workers, engine, scheduler, progress)


def _carried_out(
    plan: Plan,
    store: Path,
    workers: int,
    engine: str,
    scheduler: str | None,
    progress: Callable[[int, int], None] | None,
) -> IngestReport:
    _forget(store, plan.waiting)
    n_there = len(plan.jobs) - len(plan.waiting)
    outcomes: list[_Outcome] = []
    done = run_jobs(partial(_ingest_one, store), plan.waiting, engine=engine, workers=workers, scheduler=scheduler)
    for job, outcome in done:
        outcomes.append(_seen(store, job, outcome))
        if progress is not None:
            progress(n_there + len(outcomes), len(plan.jobs))
        if outcomes[-1].is_hopeless:
            break
    failures = sorted((o.failure for o in outcomes if o.failure is not None), key=lambda failure: failure.file)
    if outcomes and outcomes[-1].is_hopeless:
        raise StoreError(
            f"{store} cannot be written to any more: {failures[-1].reason} {len(outcomes) - len(failures)} nights were "
            "written and are kept; make room and run the same command again."
        )
    _write_failures(store, failures, plan)
    n_nights = write_manifest(store)
    cut_off = sorted(o.cut_off for o in outcomes if o.cut_off is not None)
    n_written = len(outcomes) - len(failures)
    return IngestReport(n_written, n_there, tuple(failures), n_nights, tuple(cut_off), plan.notes)


def _seen(store: Path, job: Job, outcome: _Outcome | None) -> _Outcome:
    """What is really there of what a worker says that it did; None is a killed process."""
    if outcome is None:
        reason = "its process was killed by the system, most often for want of memory; try fewer --workers"
        return _Outcome(Failure(job.relative, "process", reason))
    if outcome.failure is None and not night_paths(store, job.night_id)[1].exists():
        reason = "its worker wrote it where this machine cannot see it; give a STORE that all workers share"
        return _Outcome(Failure(job.relative, "write", reason))
    return outcome


def _ingest_one(store: Path, job: Job) -> _Outcome:
    """One recording into the store."""
    # Here, so that two workers load them at once and the process that only hands out work never does.
    from sleep2vec.formats.reader import read
    from sleep2vec.harmonization.pipeline import harmonize
    from sleep2vec.harmonization.sleep_wake import without_unknown_stages

    cohort = cohort_of(job.rules)
    step, cut_off = "read", None
    try:
        with _here(job) as path:
            recording = read(path, cohort=job.rules, companions=job.companions)
            cut_off = _cut_off(job, recording)
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
        step = "write"
        write_night(store, replace(night, cohort=job.cohort, notes=(*night.notes, *notes)), job.origin)
    except (Sleep2vecError, OSError) as error:
        is_hopeless = step == "write" and getattr(error, "errno", None) in _HOPELESS
        return _Outcome(Failure(job.relative, step, " ".join(str(error).split())), None, is_hopeless)
    except Exception as error:  # one bad night in ten thousand is listed, never fatal
        reason = f"unexpected {type(error).__name__}: {' '.join(str(error).split())}; please report this file"
        return _Outcome(Failure(job.relative, step, reason))
    return _Outcome(None, cut_off)


def _cut_off(job: Job, recording: Recording) -> str | None:
    if recording.declared_s is None:
        return None
    held_h, promised_h = recording.duration_s / 3600, recording.declared_s / 3600
    return f"{job.relative} holds {held_h:.2f} h of the {promised_h:.2f} h that its header promises"


@contextmanager
def _here(job: Job) -> Iterator[Path]:
    """The recording on this machine: samples are read while it is harmonised."""
    if job.remote is None:
        yield job.path
        return
    with local_copy(job.remote.url, beside=job.remote.beside) as path:
        yield path


def _is_there(store: Path, job: Job) -> bool:
    description = description_of(store, job.night_id)
    if description is None:
        return False
    origin = job.origin
    if description["row"]["source_fingerprint"] == origin.fingerprint:
        return True
    if (description["file"], description["folder"]) != (origin.file, origin.folder):
        where = "" if description["folder"] == origin.folder else " of another folder"
        raise UsageError(
            f"night {job.night_id!r} of {store} came from {description['file']}{where}; {job.path} would take its "
            "place. Name the new night otherwise (column night_id of participants.csv), ingest it into another store, "
            f"or, if it is the same recording, delete {night_paths(store, job.night_id)[1]} first."
        )
    return False


def _forget(store: Path, jobs: Sequence[Job]) -> None:
    """Take nights that will be made anew out of the manifest: a kill must not leave it with their old constants."""
    stale = [path for _, path in (night_paths(store, job.night_id) for job in jobs) if path.exists()]
    for path in stale:
        path.unlink()
    if stale and (store / "manifest.parquet").exists():
        write_manifest(store)


def _write_failures(store: Path, failures: Sequence[Failure], plan: Plan) -> None:
    """One reason a line. What an earlier run said of recordings that this one did not look at stays."""
    folder = plan.jobs[0].origin.folder or ""
    looked_at = {_one_line(job.relative) for job in plan.jobs}
    kept = [row for row in _earlier_failures(store) if row[3] != folder or not (plan.is_whole or row[0] in looked_at)]
    rows = [[_one_line(f.file), f.step, f.reason, folder] for f in failures]
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(_FAILURE_COLUMNS)
    table.writerows(sorted([*kept, *rows]))
    write_atomically(store / "failures.csv", text.getvalue().encode("utf-8", "backslashreplace"))


def _earlier_failures(store: Path) -> list[list[str]]:
    try:
        with (store / "failures.csv").open(newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
    except (OSError, ValueError, csv.Error):  # none yet, or somebody edited it
        return []
    return [row for row in rows if len(row) == len(_FAILURE_COLUMNS)] if header == _FAILURE_COLUMNS else []


def _one_line(name: str) -> str:
    """Names of files may hold line breaks."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in name)
