"""`sleep2vec ingest`: a folder of recordings to a store."""

import os
from pathlib import Path
from typing import Annotated

import typer

from sleep2vec.cli.progress import progress_bar

NAME = "ingest"


def command(
    cohort_dir: Annotated[Path, typer.Argument(help="Folder with the recordings, searched to any depth.")],
    store: Annotated[Path, typer.Argument(help="Folder of the store; made when it is not there.")],
    cohort: Annotated[str | None, typer.Option(help="Name of the cohort, for the manifest.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Nights at a time.")] = os.cpu_count() or 1,
    limit: Annotated[int | None, typer.Option(min=1, help="Take only the first so many recordings.")] = None,
) -> None:
    """Harmonise recordings into a store. Run it again to go on where it was stopped.

    Ages, sexes, people and sites are read from participants.csv in COHORT_DIR (columns file, subject_id, age_years,
    sex, site, cohort) where there is one.
    """
    from sleep2vec.store.ingest import ingest

    with progress_bar("ingest", "nights") as update:
        report = ingest(
            cohort_dir,
            store,
            cohort=cohort,
            workers=workers,
            limit=limit,
            progress=lambda done, total: update(done, total, ""),
        )
    typer.echo(
        f"{report.n_written} nights written, {report.n_already_there} were there, "
        f"{len(report.failures)} failed; {store} holds {report.n_nights}."
    )
    for failure in report.failures[:10]:
        typer.echo(f"  {failure.file}: {failure.reason}", err=True)
    if len(report.failures) > 10:
        typer.echo(f"  ... and {len(report.failures) - 10} more", err=True)
    if report.failures:
        typer.echo(f"all reasons: {store / 'failures.csv'}", err=True)
    if report.n_nights == 0:
        raise typer.Exit(1)
