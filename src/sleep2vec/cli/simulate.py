"""`sleep2vec simulate`: nights whose truth is known."""

import os
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from sleep2vec.cli.progress import progress_bar
from sleep2vec.vocabulary.errors import UsageError

NAME = "simulate"


class Mishaps(StrEnum):
    """How much goes wrong."""

    none = "none"
    realistic = "realistic"


class Bedtime(StrEnum):
    """What kind of sleep."""

    usual = "usual"
    first_night = "first-night"
    nap = "nap"


def command(
    out: Annotated[
        Path | None, typer.Argument(help="Folder for the recordings; with --to-store, the store.", show_default=False)
    ] = None,
    nights: Annotated[int, typer.Option(min=1, help="How many.")] = 8,
    hours: Annotated[float, typer.Option(help="Length of a night.")] = 8.0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Nights at a time.")] = os.cpu_count() or 1,
    cohort: Annotated[
        str | None, typer.Option(help="Write them as this cohort of the catalog ships its own (shhs1, mesa ...).")
    ] = None,
    missing: Annotated[
        Mishaps, typer.Option(help="Leave channels out as often as recordings of the cohort lack them.")
    ] = Mishaps.none,
    faults: Annotated[
        Mishaps, typer.Option(help="Let sensors fall off, run into their rails and be swapped in the night.")
    ] = Mishaps.none,
    shortcut: Annotated[
        float, typer.Option(min=0, max=1, help="How far sites differ in diagnoses for no reason of the body.")
    ] = 0.0,
    watch: Annotated[
        bool, typer.Option("--watch", help="Everybody wears a watch: PPG and actigraphy at every site.")
    ] = False,
    to_store: Annotated[bool, typer.Option("--to-store", help="Straight into a store, without recordings.")] = False,
    report: Annotated[
        Path | None, typer.Option(help="Draw one night (--seed, --hours, --cohort, --sleep) as an HTML page instead.")
    ] = None,
    sleep: Annotated[Bedtime, typer.Option(help="Of the night of --report.")] = Bedtime.usual,
) -> None:
    """Write simulated nights as EDF+ with hypnograms, as several sites would, and participants.csv.

    With --cohort they have the file names, channels, scorings and tables of a public cohort, which
    `sleep2vec ingest OUT STORE --cohort NAME` reads; SIMULATED.json says that they are none of its nights.
    """
    if report is not None:
        if out is not None or to_store or watch or shortcut or Mishaps.realistic in (missing, faults):
            raise UsageError("--report draws one night by --seed, --hours, --cohort and --sleep; leave the rest out.")
        _write_report(report, seed, hours, cohort, sleep)
        return
    if out is None:
        raise UsageError("simulate needs a folder for its recordings (OUT), or --report PAGE.html for one night.")
    if sleep is not Bedtime.usual:
        raise UsageError("--sleep is of the night that --report draws; from Python, simulate_night takes an occasion.")
    lacking, failing = missing is Mishaps.realistic, faults is Mishaps.realistic
    if cohort is None and (lacking or failing):
        raise UsageError("what is missing or fails is drawn by a cohort's own habits; name one with --cohort.")
    if cohort is not None and watch:
        raise UsageError("--watch is for the simulator's own sites; a cohort's recordings hold what its files hold.")
    with progress_bar("simulate", "nights") as update:
        told = _simulated(
            out, nights, seed, hours, cohort, to_store, lacking, failing, shortcut, watch, workers,
            lambda done, total: update(done, total, ""),
        )  # fmt: skip
    typer.echo(told)


def _simulated(
    out: Path,
    nights: int,
    seed: int,
    hours: float,
    cohort: str | None,
    to_store: bool,
    lacking: bool,
    failing: bool,
    shortcut: float,
    watch: bool,
    workers: int,
    progress: Callable[[int, int], None],
) -> str:
    """Simulate as asked; returns what was done, for a person."""
    if to_store:
        from sleep2vec.simulation.cohort_store import simulate_to_store

        n_held = simulate_to_store(
            out, nights, seed, hours, cohort=cohort, workers=workers, missing=lacking, faults=failing,
            shortcut=shortcut, watch=watch, progress=progress,
        )  # fmt: skip
        return f"{nights} nights simulated; {out} holds {n_held}."
    if cohort is not None:
        from sleep2vec.simulation.public_cohort import simulate_public_cohort

        planned = simulate_public_cohort(
            out, cohort, nights, seed, hours, workers=workers, missing=lacking, faults=failing, shortcut=shortcut,
            progress=progress,
        )  # fmt: skip
        n_people = len({night.number for night in planned})
        return f"{len(planned)} nights of {n_people} people in {out}, as {cohort.lower()} writes its own"
    from sleep2vec.simulation.cohort import simulate_cohort

    rows = simulate_cohort(out, nights, seed, hours, workers=workers, shortcut=shortcut, watch=watch, progress=progress)
    return f"{len(rows)} nights of {len({row.subject_id for row in rows})} people in {out}"


def _write_report(page: Path, seed: int, hours: float, cohort: str | None, sleep: Bedtime) -> None:
    from sleep2vec.report.calibration import simulation_calibration
    from sleep2vec.report.simulated_night import simulated_night_html
    from sleep2vec.simulation.cohort_plan import plan_nights
    from sleep2vec.simulation.hypnogram import Occasion
    from sleep2vec.simulation.simulated_night import simulate_night
    from sleep2vec.store.atomic import write_atomically

    occasion = Occasion(first_night=sleep is Bedtime.first_night, nap=sleep is Bedtime.nap)
    if cohort is None:
        night = simulate_night(seed, hours=hours, occasion=occasion)
    else:
        planned = plan_nights(cohort, 1, seed, hours)[0]
        night = simulate_night(planned.seed, person=planned.person, site=planned.place, hours=hours, occasion=occasion)
    html = simulated_night_html(night, f"Simulated night {seed}", simulation_calibration())
    write_atomically(page, html.encode("utf-8"))
    typer.echo(f"page: {page}")
