"""`sleep2vec simulate`: nights whose truth is known."""

import os
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


def command(
    out: Annotated[Path, typer.Argument(help="Folder for the recordings; with --to-store, the store.")],
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
    to_store: Annotated[bool, typer.Option("--to-store", help="Straight into a store, without recordings.")] = False,
) -> None:
    """Write simulated nights as EDF+ with hypnograms, as several sites would, and participants.csv.

    With --cohort they have the file names, channels, scorings and tables of a public cohort, which
    `sleep2vec ingest OUT STORE --cohort NAME` reads; SIMULATED.json says that they are none of its nights.
    """
    lacking, failing = missing is Mishaps.realistic, faults is Mishaps.realistic
    if cohort is None and (lacking or failing):
        raise UsageError("what is missing or fails is drawn by a cohort's own habits; name one with --cohort.")
    with progress_bar("simulate", "nights") as update:

        def progress(done: int, total: int) -> None:
            update(done, total, "")

        if to_store:
            from sleep2vec.simulation.cohort_store import simulate_to_store

            n_held = simulate_to_store(
                out,
                nights,
                seed,
                hours,
                cohort=cohort,
                workers=workers,
                missing=lacking,
                faults=failing,
                progress=progress,
            )
            told = f"{nights} nights simulated; {out} holds {n_held}."
        elif cohort is not None:
            from sleep2vec.simulation.public_cohort import simulate_public_cohort

            planned = simulate_public_cohort(
                out, cohort, nights, seed, hours, workers=workers, missing=lacking, faults=failing, progress=progress
            )
            n_people = len({night.number for night in planned})
            told = f"{len(planned)} nights of {n_people} people in {out}, as {cohort.lower()} writes its own"
        else:
            from sleep2vec.simulation.cohort import simulate_cohort

            rows = simulate_cohort(out, nights, seed, hours, workers=workers, progress=progress)
            told = f"{len(rows)} nights of {len({row.subject_id for row in rows})} people in {out}"
    typer.echo(told)
