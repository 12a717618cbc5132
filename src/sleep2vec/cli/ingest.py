"""`sleep2vec ingest`: a folder of recordings to a store."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sleep2vec.cli.cohort_hint import hint_at_cohort
from sleep2vec.cli.progress import progress_bar

if TYPE_CHECKING:
    from sleep2vec.store.ingest import Plan

NAME = "ingest"
_MOST_TOLD = 10


def command(
    cohort_dir: Annotated[
        str, typer.Argument(help="Folder with the recordings, searched to any depth; also s3:// and other URLs.")
    ],
    store: Annotated[Path, typer.Argument(help="Folder of the store; made when it is not there.")],
    cohort: Annotated[
        str | None, typer.Option(help="A cohort of the catalog (shhs1, mesa ...), a YAML of your own, or any name.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Nights at a time.")] = os.cpu_count() or 1,
    limit: Annotated[int | None, typer.Option(min=1, help="Take only the first so many recordings.")] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Take only recordings whose path or night fits; may be repeated.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and write nothing.")] = False,
    engine: Annotated[str, typer.Option(help="joblib: this machine; dask: a cluster.")] = "joblib",
    scheduler: Annotated[str | None, typer.Option(help="Address of a running Dask scheduler.")] = None,
) -> None:
    """Harmonise recordings into a store. Run it again to go on where it was stopped.

    Scorings, people, ages and sites are found by the cohort's own file names and tables. A table participants.csv in
    COHORT_DIR (columns file, subject_id, age_years, sex, site, cohort, family_id, visit) comes before them.
    What could not be read is listed with its reason in failures.csv of the store.
    """
    from sleep2vec.store.ingest import ingest, plan_ingest

    hint_at_cohort(cohort)
    chosen = tuple(only or ())
    if dry_run:
        typer.echo(_plan_words(plan_ingest(cohort_dir, store, cohort=cohort, limit=limit, only=chosen)))
        return
    with progress_bar("ingest", "nights") as update:
        report = ingest(
            cohort_dir,
            store,
            cohort=cohort,
            workers=workers,
            limit=limit,
            only=chosen,
            engine=engine,
            scheduler=scheduler,
            progress=lambda done, total: update(done, total, ""),
        )
    typer.echo(
        f"{report.n_written} nights written, {report.n_already_there} were there, "
        f"{len(report.failures)} failed; {store} holds {report.n_nights}."
    )
    for note in report.notes:
        typer.echo(f"  {note}")
    for told in report.cut_off[:_MOST_TOLD]:
        typer.echo(f"  cut off: {told}", err=True)
    if len(report.cut_off) > _MOST_TOLD:
        typer.echo(f"  ... and {len(report.cut_off) - _MOST_TOLD} more are cut off", err=True)
    for failure in report.failures[:_MOST_TOLD]:
        typer.echo(f"  {failure.file} ({failure.step}): {failure.reason}", err=True)
    if len(report.failures) > _MOST_TOLD:
        typer.echo(f"  ... and {len(report.failures) - _MOST_TOLD} more", err=True)
    if report.failures:
        typer.echo(f"all reasons: {store / 'failures.csv'}", err=True)
    if not report.n_written and not report.n_already_there:
        raise typer.Exit(1)


def _plan_words(plan: "Plan") -> str:
    waiting = {job.night_id for job in plan.waiting}
    lines = [f"{len(plan.waiting)} of {len(plan.jobs)} recordings would be made into nights; nothing was written."]
    lines += [f"  {note}" for note in plan.notes]
    for job in plan.jobs:
        state = "new" if job.night_id in waiting else "there"
        person = job.participant.subject_id or "unknown person"
        scorings = ", ".join(companion.path.name for companion in job.companions if companion.certain)
        lines.append(f"  {state:<6}{job.relative} -> {job.night_id}, {person}, {scorings or 'no scoring beside it'}")
    return "\n".join(lines)
