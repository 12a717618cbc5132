"""`sleep2vec demo`: the whole story on simulated nights."""

import json
from pathlib import Path
from typing import Annotated

import typer

NAME = "demo"


def command(
    out: Annotated[Path, typer.Option(help="Folder for everything it makes; emptied of an earlier demo first.")] = Path(
        "demo"
    ),
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other people.")] = 0,
) -> None:
    """Stage a person no model has seen, then come to a model of your own: simulate, ingest, pretrain, fine-tune.

    A few minutes on two cores. Ends with a table against the known truth; writes results.json and night.html.
    """
    from sleep2vec.studies.demo import run_demo, table

    results = run_demo(out, seed, say=lambda line: typer.echo(line, err=True))
    typer.echo(table(results))
    typer.echo(f"\n{json.dumps(str(out / 'results.json'))} holds the numbers; open {out / 'night.html'} in a browser.")
