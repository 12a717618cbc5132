"""A cohort on disk: EDF+ files of several sites and a table of participants, as a study would hand them over."""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed

from sleep2vec.formats.edf_writer import write_edf
from sleep2vec.simulation.outcomes import site_shift
from sleep2vec.simulation.person import Person
from sleep2vec.simulation.simulated_night import draw_person, simulate_night
from sleep2vec.simulation.sites import SITES, Site, site_named, with_watch
from sleep2vec.vocabulary.errors import UsageError
from sleep2vec.vocabulary.night import SIMULATED
from sleep2vec.vocabulary.subject import Sex

PARTICIPANTS = "participants.csv"


@dataclass(frozen=True)
class Participation:
    """One row of the table of participants: one night of one person. `file` is relative to the folder."""

    file: str
    night_id: str
    subject_id: str
    age_years: float
    sex: Sex
    site: str
    cohort: str = SIMULATED
    measures: Mapping[str, float] = field(default_factory=dict)


def simulate_cohort(
    folder: Path,
    n_nights: int,
    seed: int,
    hours: float = 8.0,
    *,
    sites: Sequence[str] = tuple(SITES),
    workers: int = 1,
    nights_per_person: float = 1.25,
    shortcut: float = 0.0,
    watch: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Participation, ...]:
    """Write `<folder>/<site>/<night_id>.edf` for each night, and `<folder>/participants.csv`.

    The same arguments (but for `workers`) give the same bytes.

    Args:
        folder: Made when it is not there; files of the same name are replaced.
        n_nights: Spread over the sites in turn.
        hours: Length of every night.
        sites: Names of `sites.SITES`.
        workers: Processes.
        progress: Called with (done, total) after every night.
        nights_per_person: From 1 to 2; with 1.25 every fourth person comes twice.
        shortcut: How far diagnoses and deaths differ between the sites for no reason of the body, 0 to 1 (see
            `outcomes.site_shift`).
        watch: Whether everybody wears one, see `sites.with_watch`; otherwise only site alpha records such channels.

    Returns:
        What the table holds, one entry a night.

    Raises:
        UsageError: a number out of reach, or an unknown site.
    """
    if n_nights < 1:
        raise UsageError(f"{n_nights} nights were asked for; give 1 or more.")
    if not 1 <= nights_per_person <= 2:
        raise UsageError(f"{nights_per_person:g} nights per person were asked for; give 1 to 2.")
    if not sites:
        raise UsageError(f"no site was named; choose from {', '.join(SITES)}.")
    planned = plan_participations(n_nights, seed, sites, nights_per_person, shortcut)
    for site in dict.fromkeys(sites):
        (folder / site).mkdir(parents=True, exist_ok=True)
    written = Parallel(n_jobs=min(workers, n_nights), return_as="generator_unordered")(
        delayed(_write_night)(folder / row.file, night_seed, person, place_of(row.site, watch), hours)
        for row, person, night_seed in planned
    )
    for done, _ in enumerate(written, start=1):
        if progress is not None:
            progress(done, n_nights)
    rows = tuple(row for row, _, _ in planned)
    with (folder / PARTICIPANTS).open("w", newline="", encoding="utf-8") as table:
        writer = csv.writer(table, lineterminator="\n")
        own = [field.name for field in fields(Participation) if field.name != "measures"]
        measured = sorted({name for row in rows for name in row.measures})
        writer.writerow([*own, *measured])
        for row in rows:
            told = [getattr(row, name) for name in own]
            writer.writerow([*told, *(f"{row.measures[name]:g}" if name in row.measures else "" for name in measured)])
    return rows


def plan_participations(
    n_nights: int, seed: int, sites: Sequence[str], nights_per_person: float, shortcut: float = 0.0
) -> list[tuple[Participation, Person, int]]:
    """Who sleeps where and from which seed. Second nights follow the first ones at once."""
    planned: list[tuple[Participation, Person, int]] = []
    share = nights_per_person - 1
    for number in range(n_nights):
        if len(planned) == n_nights:
            break
        # Sites in turn, shifted by one every round: or all who come twice would be of one site.
        site = site_named(sites[(number + number // len(sites)) % len(sites)])
        subject_id = f"{site.name}-{number:04d}"
        person_seed, *night_seeds = np.random.SeedSequence([seed, number]).spawn(3)
        shift = site_shift(site.name, sites, shortcut)
        person = draw_person(np.random.default_rng(person_seed), site, subject_id, shift)
        # Evenly spread, so that even a cohort of eight nights holds somebody who came twice.
        n_own = 1 + int(np.floor((number + 1) * share + 1e-9) > np.floor(number * share + 1e-9))
        for visit, night_seed in enumerate(night_seeds[: min(n_own, n_nights - len(planned))], start=1):
            night_id = f"{subject_id}-n{visit}"
            row = Participation(
                f"{site.name}/{night_id}.edf",
                night_id,
                subject_id,
                round(person.age_years, 1),
                person.sex,
                site.name,
                measures=person.subject.measures,
            )
            planned.append((row, person, int(night_seed.generate_state(1)[0])))
    return planned


def place_of(site: str, watch: bool) -> Site:
    """The site of that name, with a watch for everybody or as it is."""
    return with_watch(site_named(site)) if watch else site_named(site)


def _write_night(path: Path, seed: int, person: Person, site: Site, hours: float) -> None:
    write_edf(path, simulate_night(seed, person=person, site=site, hours=hours).recording)
