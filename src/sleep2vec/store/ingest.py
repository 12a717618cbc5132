"""A folder of recordings into a store, in parallel, with a reason for every file that failed."""

import csv
import hashlib
import io
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sleep2vec.formats.reader import read
from sleep2vec.harmonization.pipeline import harmonize
from sleep2vec.store.atomic import remove_leftovers, write_atomically
from sleep2vec.store.manifest import read_description, write_manifest
from sleep2vec.store.participants import Participant, read_participants
from sleep2vec.store.schema import night_paths
from sleep2vec.store.writer import create_store, write_night
from sleep2vec.vocabulary.errors import Sleep2vecError, StoreError, UsageError

RECORDING_SUFFIXES = (".edf", ".bdf", ".rec")


@dataclass(frozen=True)
class Failure:
    """A file that did not become a night."""

    file: str
    reason: str


@dataclass(frozen=True)
class IngestReport:
    """What an ingest did."""

    n_written: int
    n_already_there: int
    failures: tuple[Failure, ...]
    n_nights: int


@dataclass(frozen=True)
class _Job:
    path: Path
    night_id: str
    participant: Participant
    cohort: str | None


def find_recordings(folder: Path) -> list[Path]:
    """Recordings below `folder`, sorted; files that hold only a hypnogram are left to their recording."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder; name the folder that holds the recordings.")
    files = (path for path in folder.rglob("*") if path.suffix.lower() in RECORDING_SUFFIXES and path.is_file())
    found = sorted(path for path in files if "hypnogram" not in path.stem.lower())
    if not found:
        raise UsageError(f"{folder} holds no recording ({', '.join(RECORDING_SUFFIXES)}); name another folder.")
    return found


def ingest(
    folder: Path,
    store: Path,
    *,
    cohort: str | None = None,
    workers: int = 1,
    limit: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> IngestReport:
    """Harmonise every recording below `folder` into `store`.

    Nights that are already there and whose file has not changed are kept, so a killed ingest goes on where it
    stopped; the night of a changed file leaves the store before it is made anew. Ages, sexes, people and sites come
    from ``participants.csv`` in `folder` where there is one (see `read_participants`), else from the files. A
    recording that fails is listed in ``failures.csv``.

    Args:
        folder: the recordings.
        store: a new or empty folder, or a store to add to.
        cohort: name written into the manifest.
        workers: processes; each holds one night at a time.
        limit: take only the first so many recordings.
        progress: called with (done, total) after every recording.

    Raises:
        UsageError: `folder` is none or holds no recording, its table cannot be read, or two recordings would be the
            same night.
        StoreError: `store` is something else than a store of this version.
    """
    paths = find_recordings(folder)[:limit]
    participants = read_participants(folder)
    jobs = [_job(path, folder, participants, cohort) for path in paths]
    _check_unique(jobs)
    create_store(store)
    for place in (store, store / "nights"):
        remove_leftovers(place)
    waiting = [job for job in jobs if not _is_there(store, job)]
    _forget(store, waiting)
    failures = []
    for done, failure in enumerate(_outcomes(store, waiting, workers), start=1):
        if failure is not None:
            failures.append(failure)
        if progress is not None:
            progress(len(jobs) - len(waiting) + done, len(jobs))
    failures.sort(key=lambda failure: failure.file)
    _write_failures(store, failures)
    n_nights = write_manifest(store)
    return IngestReport(len(waiting) - len(failures), len(jobs) - len(waiting), tuple(failures), n_nights)


def _outcomes(store: Path, jobs: Sequence[_Job], workers: int) -> Iterator[Failure | None]:
    if workers <= 1 or len(jobs) <= 1:
        yield from (_ingest_one(store, job) for job in jobs)
        return
    from joblib import Parallel, delayed

    tasks = (delayed(_ingest_one)(store, job) for job in jobs)
    yield from Parallel(n_jobs=workers, return_as="generator_unordered")(tasks)


def _ingest_one(store: Path, job: _Job) -> Failure | None:
    try:
        night = harmonize(read(job.path), night_id=job.night_id, cohort=job.cohort, site=job.participant.site)
        night = replace(night, subject=job.participant.completed(night.subject))
        write_night(store, night, _fingerprint(job), str(job.path.resolve()))
    except (Sleep2vecError, OSError) as error:
        return Failure(str(job.path), str(error))
    except Exception as error:  # one bad night in ten thousand is listed, never fatal
        return Failure(str(job.path), f"unexpected {type(error).__name__}: {error}; please report this file")
    return None


def _job(path: Path, folder: Path, participants: dict[str, Participant], cohort: str | None) -> _Job:
    relative = path.relative_to(folder)
    parts = "__".join(relative.with_suffix("").parts)
    participant = participants.get(relative.as_posix()) or participants.get(relative.name) or Participant()
    night_id = participant.night_id or re.sub(r"[^A-Za-z0-9._-]+", "-", parts).lstrip("._-") or "night"
    return _Job(path, night_id, participant, cohort or participant.cohort)


def _check_unique(jobs: Sequence[_Job]) -> None:
    first_of: dict[str, Path] = {}
    for job in jobs:
        other = first_of.setdefault(job.night_id, job.path)
        if other != job.path:
            raise UsageError(f"{other} and {job.path} would both be night {job.night_id!r}; rename one of them.")


def _is_there(store: Path, job: _Job) -> bool:
    signals_path, description_path = night_paths(store, job.night_id)
    if not (signals_path.exists() and description_path.exists()):
        return False
    try:
        description = read_description(description_path)
    except StoreError:
        return False
    if description["row"]["source_fingerprint"] == _fingerprint(job):
        return True
    other = Path(description["file"] or job.path)
    if other.exists() and not other.samefile(job.path):
        raise UsageError(
            f"night {job.night_id!r} of {store} came from {other}; {job.path} would take its place. Name the new night "
            "otherwise (column night_id of participants.csv), or ingest it into another store."
        )
    return False


def _forget(store: Path, jobs: Sequence[_Job]) -> None:
    """Take nights that will be made anew out of the manifest: a kill must not leave it with their old constants."""
    stale = [path for _, path in (night_paths(store, job.night_id) for job in jobs) if path.exists()]
    for path in stale:
        path.unlink()
    if stale and (store / "manifest.parquet").exists():
        write_manifest(store)


def _fingerprint(job: _Job) -> str:
    """Changes when the file, or what the participants' table says of it, changes."""
    status = job.path.stat()
    metadata = hashlib.blake2b(repr((job.participant, job.cohort)).encode(), digest_size=8).hexdigest()
    name = os.fsencode(job.path.name).decode("utf-8", "backslashreplace")  # names of files need not be text
    return f"{name}|{status.st_size}|{status.st_mtime_ns}|{metadata}"


def _write_failures(store: Path, failures: Sequence[Failure]) -> None:
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(["file", "reason"])
    table.writerows([failure.file, failure.reason] for failure in failures)
    write_atomically(store / "failures.csv", text.getvalue().encode("utf-8", "backslashreplace"))
