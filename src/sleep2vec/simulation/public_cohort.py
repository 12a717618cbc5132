"""A simulated cohort on disk as a public cohort would ship it: recordings, scorings and tables under its own names."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from joblib import Parallel, delayed

from sleep2vec.formats.edf_writer import write_edf
from sleep2vec.formats.scoring_writers import DIALECTS
from sleep2vec.formats.wfdb_writer import write_wfdb
from sleep2vec.simulation.cohort_plan import PlannedNight, known_cohort, plan_nights
from sleep2vec.simulation.cohort_tables import ToldNight, write_cohort_tables
from sleep2vec.simulation.night_measures import measures_of
from sleep2vec.simulation.simulated_night import SimulatedNight, simulate_night
from sleep2vec.vocabulary.night import SIMULATED_MARK
from sleep2vec.vocabulary.recording import Recording
from sleep2vec.vocabulary.subject import Subject

_MADE_BY = "sleep2vec simulate"
_NEVER_UNSCORED = ("isruc_text",)


def simulate_public_cohort(
    folder: Path,
    cohort: str,
    n_nights: int,
    seed: int,
    hours: float = 8.0,
    *,
    workers: int = 1,
    missing: bool = False,
    faults: bool = False,
    shortcut: float = 0.0,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[PlannedNight, ...]:
    """Write nights as `cohort` would ship them, and `SIMULATED.json`, which says that they are none of its nights.

    The same arguments (but for `workers`) give the same bytes. Read by `sleep2vec ingest FOLDER STORE --cohort NAME`.

    Args:
        folder: Made when it is not there; files of the same name are replaced.
        cohort: A cohort of the catalog.
        n_nights: Some people have several, where the cohort has.
        hours: Length of every night.
        workers: Processes.
        missing, faults, shortcut: See `cohort_plan.plan_nights`.
        progress: Called with (done, total) after every night.

    Raises:
        UsageError: an unknown cohort, a number out of reach, or a folder that cannot be written.
    """
    planned = plan_nights(cohort, n_nights, seed, hours, missing=missing, faults=faults, shortcut=shortcut)
    rules = known_cohort(cohort)
    folder.mkdir(parents=True, exist_ok=True)
    measured: dict[int, dict[str, float]] = {}
    written = Parallel(n_jobs=min(workers, n_nights), return_as="generator_unordered")(
        delayed(_write_night)(folder, i, night, hours) for i, night in enumerate(planned)
    )
    for done, (i, measures) in enumerate(written, start=1):
        measured[i] = measures
        if progress is not None:
            progress(done, n_nights)
    write_cohort_tables(folder, rules, [ToldNight(night, measured[i]) for i, night in enumerate(planned)])
    _write_mark(folder, rules.name, seed, hours, planned)
    return tuple(planned)


def _write_night(folder: Path, i: int, night: PlannedNight, hours: float) -> tuple[int, dict[str, float]]:
    """One night's recording and scorings; returns its place in the plan and what was measured."""
    simulated = simulate_night(night.seed, person=night.person, site=night.place, hours=hours, faults=night.faults)
    start = dated(simulated.recording, night)
    path = folder / night.recording
    path.parent.mkdir(parents=True, exist_ok=True)
    # Shared recordings do not say who slept: that stands in tables, and scorings lie beside.
    plain = replace(simulated.recording, subject=Subject(), stages=(), events=(), start=start)
    if path.suffix == ".hea":
        write_wfdb(path, plain, comments=[_MADE_BY])
    else:
        write_edf(path, plain, equipment=_MADE_BY)
    stages = stages_written(simulated, night)
    for dialect, name in night.scorings:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        DIALECTS[dialect](folder / name, stages, simulated.recording.events, start)
    return i, measures_of(simulated.truth)


def stages_written(simulated: SimulatedNight, night: PlannedNight) -> list[int | None]:
    """What the cohort's scorer wrote; one whose list has no word for it leaves no epoch unscored."""
    stages = [span.stage for span in simulated.recording.stages]
    if any(dialect in _NEVER_UNSCORED for dialect, _ in night.scorings):
        true_L = simulated.truth.stages_L
        return [int(true) if stage is None else stage for stage, true in zip(stages, true_L, strict=True)]
    return stages


def dated(recording: Recording, night: PlannedNight) -> datetime:
    """When the recording says it began: the simulated evening, on the date that the cohort gives every recording."""
    assert recording.start is not None, "a simulated night has a start"
    return datetime.combine(night.layout.dated or recording.start.date(), recording.start.time())


def _write_mark(folder: Path, cohort: str, seed: int, hours: float, planned: Sequence[PlannedNight]) -> None:
    """Say what these files are, and the truth that the cohort's own files do not tell."""
    nights = [
        {
            "file": night.recording,
            "subject_id": night.subject_id,
            "age_years": round(night.person.age_years, 2),
            "sex": night.person.sex,
            "family_id": night.family_id,
            "visit": night.visit,
            "site": night.site,
            "seed": night.seed,
            "clock_ppm": dict(night.place.clock_ppm),
            "faults": [vars(fault) for fault in night.faults],
        }
        for night in planned
    ]
    told = {
        "what": f"Simulated nights in the manner of {cohort}. Nobody slept them; they say nothing about that cohort.",
        "made_by": _MADE_BY,
        "cohort": cohort,
        "seed": seed,
        "hours": hours,
        "nights": nights,
    }
    (folder / SIMULATED_MARK).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8", newline="\n")
