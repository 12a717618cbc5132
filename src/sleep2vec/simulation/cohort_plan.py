"""Who sleeps in a simulated cohort of the catalog: people, visits, families, montages, and what goes wrong.

Everything follows from the seed and the cohort's name. The people of cohorts that share theirs (SHHS 1 and 2) follow
from the seed alone: the same seed gives the same people, some years older.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import numpy as np

from sleep2vec.cohorts.catalog import Cohort, cohort_of, known_cohorts
from sleep2vec.simulation.faults import Fault
from sleep2vec.simulation.layouts import LAYOUTS, MONTAGE_COUNTS, Layout, layout_of
from sleep2vec.simulation.missing import draw_failures, draw_lacks
from sleep2vec.simulation.montages import catalog_site
from sleep2vec.simulation.noise import Rng
from sleep2vec.simulation.outcomes import draw_outcomes, site_shift
from sleep2vec.simulation.person import Person
from sleep2vec.simulation.populations import population_of
from sleep2vec.simulation.sites import Site
from sleep2vec.vocabulary.errors import UsageError


@dataclass(frozen=True)
class PlannedNight:
    """One night of one person, before it is simulated.

    Attributes:
        recording: Path below the cohort's folder, with ``/``.
        scorings: Dialect and path of each file of its scoring.
        number: Of the person, from 0.
        subject_id, visit, site: As the cohort's own rules read them from `recording`; a table's site comes before.
        family_id: None where the cohort has no families.
        seed: Of `simulate_night`.
        place: The laboratory, with the clocks of that night.
    """

    recording: str
    scorings: tuple[tuple[str, str], ...]
    number: int
    person: Person
    subject_id: str
    visit: str | None
    site: str | None
    family_id: str | None
    seed: int
    place: Site
    faults: tuple[Fault, ...]
    layout: Layout

    @property
    def age_written_years(self) -> float:
        """The age as the cohort's tables write it."""
        return round(min(self.person.age_years, self.layout.oldest_written), self.layout.age_digits)


def plan_nights(
    cohort: str,
    n_nights: int,
    seed: int,
    hours: float,
    *,
    missing: bool = False,
    faults: bool = False,
    shortcut: float = 0.0,
) -> list[PlannedNight]:
    """The first `n_nights` of a cohort, person by person; the last person may lack their later visits.

    Args:
        missing: draw which channels recordings lack, by `missing.LACKS`.
        faults: draw what fails in the night, by `missing.FRAILTIES`.
        shortcut: how far diagnoses and deaths differ between the cohort's sites for no reason of the body, 0 to 1.

    Raises:
        UsageError: no such cohort, fewer than one night, or more people than the cohort's file names have room for.
    """
    if n_nights < 1:
        raise UsageError(f"{n_nights} nights were asked for; give 1 or more.")
    rules = known_cohort(cohort)
    if shortcut and len(_sites(rules)) < 2:
        raise UsageError(f"{rules.name} has one site, and a shortcut needs two; give another cohort or no --shortcut.")
    planned: list[PlannedNight] = []
    families = _families(LAYOUTS[rules.name][0].family_mean, seed)
    for number, family_id in enumerate(families):
        planned += _nights_of(number, family_id, rules, seed, hours, missing=missing, faults=faults, shortcut=shortcut)
        if len(planned) >= n_nights:
            return planned[:n_nights]
    raise AssertionError("families have no end")


def known_cohort(cohort: str) -> Cohort:
    """The rules of a cohort that can be simulated.

    Raises:
        UsageError: there is no such cohort in the catalog.
    """
    if cohort.lower() not in LAYOUTS:
        names = ", ".join(sorted(known_cohorts() & set(LAYOUTS)))
        raise UsageError(f"cohort {cohort!r} cannot be simulated; choose from {names}.")
    return cohort_of(cohort.lower())


def _nights_of(
    number: int,
    family_id: str | None,
    rules: Cohort,
    seed: int,
    hours: float,
    *,
    missing: bool,
    faults: bool,
    shortcut: float,
) -> Iterator[PlannedNight]:
    people = rules.people or rules.name
    who = np.random.SeedSequence([seed, zlib.crc32(people.encode()), number])
    habits, *night_seeds = np.random.SeedSequence([seed, zlib.crc32(rules.name.encode()), number]).spawn(9)
    rng = np.random.default_rng(habits)
    montage = _montage(rng, rules)
    layout = layout_of(rules.name, montage)
    if number >= layout.most_people:
        raise UsageError(
            f"file names of {rules.name} have room for {layout.most_people} people; ask for fewer nights, "
            "or for another seed in another folder."
        )
    n_visits = 1 + int(np.cumprod(rng.random(len(layout.visits) - 1) < layout.more_share).sum())
    sites = _sites(rules)
    for visit in range(n_visits):
        sensors, wrong, night = night_seeds[visit].spawn(3)
        place = catalog_site(rules.name, montage, np.random.default_rng(sensors))
        broken = np.random.default_rng(wrong)
        # Both are drawn, so that asking for one leaves the other as it is.
        lacking = draw_lacks(broken, rules.name, place)
        failing = draw_failures(broken, rules.name, place, hours * 3600)
        fields = layout.fields(number, rules.name, visit)
        recording = layout.recording.format(**fields)
        identity = rules.identity_of(PurePosixPath(recording))
        subject_id = str(number + 1) if _table_names_people(rules) else identity.subject or str(number)
        years = layout.first_gap_years + visit * layout.gap_years
        site = names[number % len(names)] if (names := _site_codes(rules)) else identity.site or rules.file.site
        person = _person(who, rules.name, years, subject_id, site_shift(site or "", sites, shortcut))
        if person is None:  # died before this visit
            return
        yield PlannedNight(
            recording=recording,
            scorings=tuple((dialect, path.format(**fields)) for dialect, path in layout.scorings),
            number=number,
            person=person,
            subject_id=subject_id,
            visit=identity.visit or identity.night,
            site=site,
            family_id=family_id,
            seed=int(night.generate_state(1)[0]),
            place=place,
            faults=(lacking if missing else ()) + (failing if faults else ()),
            layout=layout,
        )


def _person(who: np.random.SeedSequence, cohort: str, years: float, subject_id: str, shift: float) -> Person | None:
    """Somebody of the cohort's people, `years` after they were first seen; None where they have died by then.

    The same draws whatever the years. Diagnoses and what will happen are drawn once, when they were first seen.
    """
    at_first, now = (_aged(who, cohort, more, subject_id) for more in (0.0, years))
    told = draw_outcomes(np.random.default_rng(who.spawn(1)[0]), at_first, shift)
    if told.measures["event.death"] and told.measures["time_years.death"] <= years:
        return None
    measures = dict(told.measures)
    for name, time_years in told.measures.items():
        if name.startswith("time_years."):
            # What happened, or who was lost, before this visit: its time is not one from this night.
            measures[name] = round(time_years - years, 4)
            if time_years <= years:
                del measures[name], measures[name.replace("time_years.", "event.")]
    return replace(now, measures={**now.measures, **measures}, atrial_fibrillation=told.atrial_fibrillation)


def _aged(who: np.random.SeedSequence, cohort: str, years: float, subject_id: str) -> Person:
    rng, people = np.random.default_rng(who), population_of(cohort)
    age_years = people.draw_age_years(rng) + years
    person = Person.draw(
        rng,
        age_mean_years=age_years,
        age_sd_years=0.0,
        female_share=people.female_share,
        apnea_median_per_hour=people.apnea_median_per_hour,
        subject_id=subject_id,
        age_range_years=(age_years, age_years),
    )
    return replace(person, age_years=age_years)


def _montage(rng: Rng, rules: Cohort) -> int:
    n = len(rules.file.montages)
    counts = np.array(MONTAGE_COUNTS.get(rules.name, (1,) * n), dtype=float)
    return int(rng.choice(n, p=counts / counts.sum()))


def _families(mean: float, seed: int) -> Iterator[str | None]:
    """The family of person 0, 1, 2 ...: relatives stand side by side."""
    if mean <= 1:
        while True:
            yield None
    rng, number = np.random.default_rng([seed, zlib.crc32(b"families")]), 0
    while True:
        number += 1
        for _ in range(1 + rng.poisson(mean - 1)):
            yield str(10000 + number)


def _sites(rules: Cohort) -> list[str]:
    """All sites that the cohort's nights can be of: by a table's codes, else by the names of its files."""
    codes = _site_codes(rules)
    if codes:
        return codes
    names = [layout.recording.format(**layout.fields(0, rules.name, 0)) for layout in LAYOUTS[rules.name]]
    found = {rules.identity_of(PurePosixPath(name)).site or rules.file.site or "" for name in names}
    return sorted(found)


def _site_codes(rules: Cohort) -> list[str]:
    columns = [table.columns["site"] for table in rules.file.metadata if "site" in table.columns]
    return [str(name) for column in columns for name in column.codes.values()]


def _table_names_people(rules: Cohort) -> bool:
    """Whether file names number recordings, and only a table tells whose they are."""
    return any("subject_id" in table.columns for table in rules.file.metadata)
