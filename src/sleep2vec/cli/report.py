"""`sleep2vec report`: a training run as a page."""

import json
from pathlib import Path
from typing import Annotated

import typer

NAME = "report"


def command(
    run: Annotated[Path, typer.Argument(help="The folder of a run (`out` of its recipe), finished or still going on.")],
    out: Annotated[Path | None, typer.Option(help="Where to write; the run's own folder by default.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a program to read; write nothing.")] = False,
) -> None:
    """Write a page about a training run: loss, retrieval, collapse, probes, speed, warnings, what next."""
    from sleep2vec.report.run import retrieval_file, run_facts, run_html
    from sleep2vec.report.run_folder import read_run
    from sleep2vec.store.atomic import write_atomically

    found = read_run(run)
    if as_json:
        typer.echo(json.dumps(run_facts(found), indent=1))
        return
    folder = run if out is None else out
    write_atomically(folder / "report.html", run_html(found).encode())
    picture = retrieval_file(found)
    if picture is not None:
        write_atomically(folder / "retrieval.svg", picture.encode())
    for warning in run_facts(found)["warnings"]:
        typer.echo(f"warning: {warning}")
    typer.echo(f"open {folder / 'report.html'} in a browser{'; retrieval.svg is its matrix' if picture else ''}.")
