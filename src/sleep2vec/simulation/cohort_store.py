"""A simulated cohort straight into a store: the same nights, harmonised in memory and written by the store's writer."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from joblib import Parallel, delayed

from sleep2vec.cohorts.catalog import cohort_of
from sleep2vec.harmonization.pipeline import harmonize
from sleep2vec.simulation.cohort import place_of, plan_participations
from sleep2vec.simulation.cohort_plan import PlannedNight, plan_nights
from sleep2vec.simulation.faults import Fault
from sleep2vec.simulation.night_measures import measures_of
from sleep2vec.simulation.person import Person
from sleep2vec.simulation.simulated_night import simulate_night
from sleep2vec.simulation.sites import SITES, Site
from sleep2vec.store.cohort_folder import night_id_of
from sleep2vec.store.lock import sole_writer
from sleep2vec.store.manifest import description_of, write_manifest
from sleep2vec.store.writer import Origin, create_store, write_night
from sleep2vec.vocabulary.night import simulated_as
from sleep2vec.vocabulary.subject import Subject


@dataclass(frozen=True)
class _StoreNight:
    """One night on its way to a store; `rules` is the cohort whose rules read its labels, or None."""

    night_id: str
    seed: int
    person: Person
    place: Site
    faults: tuple[Fault, ...]
    subject: Subject
    site: str | None
    visit: str | None
    rules: str | None


def simulate_to_store(
    store: Path,
    n_nights: int,
    seed: int,
    hours: float = 8.0,
    *,
    cohort: str | None = None,
    workers: int = 1,
    missing: bool = False,
    faults: bool = False,
    shortcut: float = 0.0,
    watch: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Simulate nights into a store; returns how many it holds then.

    Nights that are already there, from the same arguments, are kept: a stopped run goes on where it was. The samples
    are those of `simulate_cohort` (with `cohort`: of `simulate_public_cohort`) before a file rounds them.

    Args:
        store: A new or empty folder, or a store to add to.
        cohort: In whose manner; None: the four sites of `sites.SITES` in turn. The manifest says ``simulated-COHORT``.
        missing, faults, shortcut: See `cohort_plan.plan_nights`; the first two with a cohort only.
        watch: Whether everybody wears one, see `sites.with_watch`; without a cohort only.
        workers, progress: As in `simulate_cohort`.

    Raises:
        UsageError: an unknown cohort, a number out of reach, or another command is writing to `store`.
        StoreError: `store` is something else than a store of this version, or cannot be locked.
    """
    if cohort is None:
        planned = _of_sites(n_nights, seed, shortcut, watch)
    else:
        told = plan_nights(cohort, n_nights, seed, hours, missing=missing, faults=faults, shortcut=shortcut)
        planned = _of_cohort(cohort, told)
    create_store(store)
    with sole_writer(store):
        waiting = [night for night in planned if not _is_there(store, night, hours)]
        written = Parallel(n_jobs=max(1, min(workers, len(waiting))), return_as="generator_unordered")(
            delayed(_write)(store, night, hours) for night in waiting
        )
        for done, _ in enumerate(written, start=1 + n_nights - len(waiting)):
            if progress is not None:
                progress(done, n_nights)
        return write_manifest(store)


def _of_sites(n_nights: int, seed: int, shortcut: float, watch: bool) -> list[_StoreNight]:
    return [
        _StoreNight(
            night_id=row.night_id,
            seed=night_seed,
            person=person,
            place=place_of(row.site, watch),
            faults=(),
            subject=replace(person.subject, subject_id=row.subject_id),
            site=row.site,
            visit=None,
            rules=None,
        )
        for row, person, night_seed in plan_participations(n_nights, seed, tuple(SITES), 1.25, shortcut)
    ]


def _of_cohort(cohort: str, planned: Sequence[PlannedNight]) -> list[_StoreNight]:
    return [
        _StoreNight(
            night_id=night_id_of(PurePosixPath(night.recording)),
            seed=night.seed,
            person=night.person,
            place=night.place,
            faults=night.faults,
            subject=replace(
                night.person.subject,
                subject_id=night.subject_id,
                age_years=night.age_written_years,
                family_id=night.family_id,
            ),
            site=night.site,
            visit=night.visit,
            rules=cohort.lower(),
        )
        for night in planned
    ]


def _write(store: Path, night: _StoreNight, hours: float) -> None:
    simulated = simulate_night(night.seed, person=night.person, site=night.place, hours=hours, faults=night.faults)
    subject = replace(night.subject, measures=measures_of(simulated.truth))
    recording = replace(simulated.recording, subject=subject)
    harmonised = harmonize(recording, night_id=night.night_id, cohort=night.rules, site=night.site)
    people = None if night.rules is None else cohort_of(night.rules).people
    origin = Origin(_fingerprint(night, hours), people=people, visit=night.visit)
    write_night(store, replace(harmonised, cohort=simulated_as(night.rules)), origin)


def _fingerprint(night: _StoreNight, hours: float) -> str:
    told = repr((night, hours)).encode()
    return f"{night.night_id}|simulated|{hashlib.blake2b(told, digest_size=8).hexdigest()}"


def _is_there(store: Path, night: _StoreNight, hours: float) -> bool:
    description = description_of(store, night.night_id)
    return description is not None and description["row"]["source_fingerprint"] == _fingerprint(night, hours)
