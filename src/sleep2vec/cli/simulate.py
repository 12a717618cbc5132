"""`sleep2vec simulate`: nights whose truth is known."""

import os
from pathlib import Path
from typing import Annotated

import typer

from sleep2vec.cli.progress import progress_bar

NAME = "simulate"


def command(
    out: Annotated[Path, typer.Argument(help="Folder for the recordings, one subfolder a site.")],
    nights: Annotated[int, typer.Option(min=1, help="How many.")] = 8,
    hours: Annotated[float, typer.Option(help="Length of a night.")] = 8.0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Nights at a time.")] = os.cpu_count() or 1,
) -> None:
    """Write simulated nights as EDF+ with hypnograms, as several sites would, and participants.csv."""
    from sleep2vec.simulation.cohort import simulate_cohort

    with progress_bar("simulate", "nights") as update:
        rows = simulate_cohort(
            out, nights, seed, hours, workers=workers, progress=lambda done, total: update(done, total, "")
        )
    typer.echo(f"{len(rows)} nights of {len({row.subject_id for row in rows})} people in {out}")
