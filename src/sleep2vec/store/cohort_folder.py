"""A folder of recordings, and what will be done with each of them."""

import fnmatch
import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from sleep2vec.cohorts.catalog import Cohort, cohort_of
from sleep2vec.formats.companions import Companion, FileIndex, companions_of
from sleep2vec.formats.recordings import RECORDING_READERS, is_recording
from sleep2vec.formats.stage_codes import sidecars_of
from sleep2vec.store.cohort_tables import CohortTables
from sleep2vec.store.participants import Participant, read_participants
from sleep2vec.store.remote_folder import SIGNAL_SUFFIXES, CohortPlace, RemoteRecording
from sleep2vec.store.schema import check_night_id
from sleep2vec.store.writer import Origin
from sleep2vec.vocabulary.errors import StoreError, UsageError
from sleep2vec.vocabulary.night import SIMULATED_MARK, simulated_as

_MOST_TOLD = 3


@dataclass(frozen=True)
class Job:
    """One recording on its way to a night.

    Attributes:
        path: The recording.
        relative: Its path below the folder, with ``/``.
        night_id: Name of the night.
        participant: What tables and the path say of the person.
        cohort: As the manifest keeps it, or None.
        rules: Name or YAML of the cohort whose rules read the recording; None: the generic ones.
        companions: Its annotation files.
        origin: What the store keeps of where the night came from.
        remote: Where the recording really is, if `path` is only its stand-in.
    """

    path: Path
    relative: str
    night_id: str
    participant: Participant
    cohort: str | None
    rules: str | None
    companions: tuple[Companion, ...]
    origin: Origin
    remote: RemoteRecording | None = None


def jobs_of(
    place: CohortPlace, *, cohort: str | None = None, limit: int | None = None, only: Sequence[str] = ()
) -> tuple[list[Job], list[str]]:
    """What an ingest of a folder will do, in the order of the recordings' paths, and notes on the cohort's tables.

    Args:
        place: the folder, searched to any depth, in one walk.
        cohort: a name of the catalog, any other name, or a YAML.
        limit: take only the first so many recordings.
        only: take only recordings whose path below `folder` or night fits one of these (``*`` and ``?`` as in a shell).

    Raises:
        UsageError: there is no such folder or no recording in it, a table cannot be read, or two recordings would be
            the same night.
    """
    folder = place.path
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder; name the folder that holds the recordings.")
    rules = cohort_of(cohort)
    index = FileIndex.of(folder)
    found = find_recordings(folder, rules, index)
    participants = read_participants(folder)
    notes = _checked_rows(participants, [path.relative_to(folder) for path in found], folder)
    notes += [f"{path} could not be looked into ({reason})." for path, reason in index.unreadable]
    tables = CohortTables(rules, folder, index)
    jobs = [_job(path, place, cohort, rules, index, participants, tables) for path in found]
    _check_unique(jobs)
    chosen = [job for job in jobs if not only or _is_wanted(job, only)]
    if not chosen:
        raise UsageError(
            f"none of the {len(jobs)} recordings of {folder} fits {' or '.join(map(repr, only))}; "
            "patterns are compared with the path below the folder and with the night id."
        )
    return chosen[:limit], [*tables.notes, *notes]


def _checked_rows(participants: dict[str, Participant], found: Sequence[PurePath], folder: Path) -> list[str]:
    """What rows of ``participants.csv`` are good for nothing.

    Raises:
        UsageError: a row that gives a bare name fits several recordings.
    """
    by_name: dict[str, list[str]] = {}
    for relative in found:
        by_name.setdefault(relative.name, []).append(relative.as_posix())
    known = {relative.as_posix() for relative in found}
    for relative in found:
        if relative.name in participants and relative.as_posix() in participants and len(relative.parts) > 1:
            raise UsageError(
                f"participants.csv of {folder} has two rows for {relative.as_posix()}, one by its name; keep one."
            )
    unused = []
    for file in participants:
        fitting = by_name.get(file, [])
        if file not in known and len(fitting) > 1:
            raise UsageError(
                f"participants.csv of {folder} has a row for {file}, and there are {len(fitting)} of that name "
                f"({', '.join(fitting[:2])} ...); write the path below the folder."
            )
        if file not in known and not fitting:
            unused.append(file)
    if not unused:
        return []
    told = ", ".join(unused[:_MOST_TOLD]) + (" ..." if len(unused) > _MOST_TOLD else "")
    return [f"participants.csv: {len(unused)} row(s) fit no recording ({told})."]


def find_recordings(folder: Path, rules: Cohort, index: FileIndex) -> list[Path]:
    """Recordings below `folder`, sorted; hypnograms and other annotation files are left to their recording."""
    globs = [pattern.lower() for pattern in rules.file.recordings]
    found = [path for path in index.paths if is_recording(path)]
    fitting = [path for path in found if not globs or any(fnmatch.fnmatch(path.name.lower(), glob) for glob in globs)]
    if found and not fitting:
        raise UsageError(
            f"{folder} holds {len(found)} recordings, but none is named like one of {rules.name} ({', '.join(globs)}); "
            "name another folder or another cohort."
        )
    if not fitting:
        raise UsageError(f"{folder} holds no recording ({', '.join(RECORDING_READERS)}); name another folder.")
    return sorted(fitting)


def _job(
    path: Path,
    place: CohortPlace,
    cohort: str | None,
    rules: Cohort,
    index: FileIndex,
    participants: dict[str, Participant],
    tables: CohortTables,
) -> Job:
    relative = path.relative_to(place.path)
    remote = place.remote.get(relative.as_posix())
    own = participants.get(relative.as_posix()) or participants.get(relative.name) or Participant()
    participant = own.before(tables.participant_of(relative))
    companions = companions_of(path, cohort=rules, index=index, identity=rules.identity_of(relative))
    name = rules.name if cohort else participant.cohort
    if cohort and (place.path / SIMULATED_MARK).exists():
        name = simulated_as(name)
    night_id = participant.night_id or night_id_of(relative)
    try:
        check_night_id(night_id)
    except StoreError as error:
        raise UsageError(f"{relative.as_posix()}: {error}") from None
    reading = rules if cohort else cohort_of(participant.cohort)
    stamp = remote.stamp if remote else "|".join([_stamp(path), *_signal_stamps(path, index)])
    fingerprint = _fingerprint(path, stamp, participant, name, rules, companions, is_image=bool(place.remote))
    # Names of files need not be text.
    told = os.fsencode(relative.as_posix()).decode("utf-8", "backslashreplace")
    origin = Origin(fingerprint, told, _hash(place.name), reading.people, participant.visit)
    rules_name = cohort or participant.cohort
    return Job(path, relative.as_posix(), night_id, participant, name, rules_name, companions, origin, remote)


def night_id_of(relative: PurePath) -> str:
    """Name of the night of a recording, by its path below the cohort's folder."""
    plain = re.sub(r"(\.(edf|bdf|rec|hea))?(\.(gz|xz|bz2))?$", "", "__".join(relative.parts), flags=re.IGNORECASE)
    named = re.sub(r"[^A-Za-z0-9._-]+", "-", plain).lstrip("._-") or "night"
    # Letters that a file name of the store cannot have may be all that tells two names apart.
    return named if plain.isascii() else f"{named.rstrip('-')}-{_hash(plain)[:8]}"


def _stamp(path: Path) -> str:
    """Size and time of a file, and whether it may be read: once it may, its night is made anew."""
    try:
        status = path.stat()
    except OSError:  # a link to nowhere, a folder that is closed: reading it will tell
        return "unreadable"
    return f"{status.st_size}|{status.st_mtime_ns}" + ("" if os.access(path, os.R_OK) else "|closed")


def _signal_stamps(path: Path, index: FileIndex) -> list[str]:
    """Of the files that hold the samples of a WFDB header."""
    if path.suffix.lower() != ".hea":
        return []
    found = [file for file in index.named(f"{path.stem}*", path) if file.parent == path.parent]
    return [_stamp(file) for file in found if file.suffix.lower() in SIGNAL_SUFFIXES]


def _fingerprint(
    path: Path,
    stamp: str,
    participant: Participant,
    cohort: str | None,
    rules: Cohort,
    companions: Sequence[Companion],
    *,
    is_image: bool,
) -> str:
    """Changes when the recording, its scoring, or what tables and the cohort's YAML say of it changes."""
    # Copies have the time of their copying: of an image, sizes must do.
    scorings = [
        (file.name, c.dialect, file.stat().st_size if is_image else _stamp(file))
        for c in companions
        for file in (c.path, *sidecars_of(c.path))
    ]
    told = _hash(repr((participant, cohort, scorings)) + rules.file.model_dump_json())
    name = os.fsencode(path.name).decode("utf-8", "backslashreplace")
    return f"{name}|{stamp}|{told}"


def _hash(text: str) -> str:
    return hashlib.blake2b(os.fsencode(text), digest_size=8).hexdigest()


def _is_wanted(job: Job, only: Sequence[str]) -> bool:
    names = (job.relative, PurePath(job.relative).name, job.night_id)
    return any(fnmatch.fnmatchcase(name, pattern) for name in names for pattern in only)


def _check_unique(jobs: Sequence[Job]) -> None:
    first_of: dict[str, Path] = {}
    for job in jobs:
        other = first_of.setdefault(
            job.night_id.lower(), job.path
        )  # some file systems do not tell letters' cases apart
        if other != job.path:
            raise UsageError(f"{other} and {job.path} would both be night {job.night_id!r}; rename one of them.")
