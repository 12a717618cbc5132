"""`sleep2vec evaluate`: judge a fine-tuned model by nights whose truth is known."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sleep2vec.metrics.figure import Figure

NAME = "evaluate"
# What a terminal shows; the page has all. (task, beginning of the outcome, beginning of the metric), None: any.
_HEADLINES = (
    ("staging", "5 classes", "kappa"),
    ("staging", "5 classes", "macro-F1"),
    ("respiratory", "apneas and hypopneas", "F1 (any"),
    ("respiratory", "AHI (as scored, each", "ICC"),
    ("respiratory", "severity by AHI (as scored, each", "kappa"),
    (None, "arousals", "F1 (any"),
    ("age", None, "MAE"),
    (None, None, "AUROC"),
    ("survival", None, "Harrell"),
)


def command(
    store: Annotated[Path, typer.Argument(help="A store of nights with scorings, from `sleep2vec ingest`.")],
    model: Annotated[
        Path | None, typer.Option(help="Folder of a fine-tuned model. Default: the one that comes with sleep2vec.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results. Default: STORE's name with -evaluation, beside it.")
    ] = None,
    modalities: Annotated[
        str | None, typer.Option(help="Give the model only these, with commas: for example ibi,resp.")
    ] = None,
    subsets: Annotated[
        bool, typer.Option("--subsets", help="Stage sleep from every subset of the sensors too (511 of nine).")
    ] = False,
    nights: Annotated[int | None, typer.Option(min=1, help="Only so many nights, evenly drawn.")] = None,
    resamples: Annotated[int, typer.Option(min=1, help="Of people, for the intervals.")] = 1000,
    keep_features: Annotated[
        bool, typer.Option("--keep-features", help="Keep what is computed of each night in the store, for next time.")
    ] = False,
    i_know: Annotated[bool, typer.Option("--i-know", help="Judge by people who taught the model.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print evaluation.json instead of a summary.")] = False,
) -> None:
    """Judge a fine-tuned model by the people of a store whom it has never seen.

    Writes evaluation.json, figures.csv and evaluation.html: every task's metrics with intervals by resampling people,
    subgroups, and pictures.
    """
    from sleep2vec.vocabulary.modalities import parse_modalities

    wanted = None if modalities is None else parse_modalities(modalities.split(","))
    from sleep2vec.cli.progress import progress_bar
    from sleep2vec.evaluation.run import evaluate, save_evaluation, unseen_nights
    from sleep2vec.inference.predictor import load
    from sleep2vec.store.reader import Store
    from sleep2vec.vocabulary.errors import UsageError

    loaded = load() if model is None else load(model)
    if wanted is not None and not set(wanted) & set(loaded.modalities):
        raise UsageError(f"the model reads none of {', '.join(wanted)}; it reads {', '.join(loaded.modalities)}.")
    opened = Store(store)
    night_ids, warnings = unseen_nights(opened, loaded.config, i_know=i_know)
    if nights is not None and nights < len(night_ids):
        night_ids = [night_ids[place * len(night_ids) // nights] for place in range(nights)]
    with progress_bar("evaluate", "nights") as bar:
        found = evaluate(
            loaded.finetuned,
            opened,
            night_ids,
            modalities=wanted,
            subsets=subsets,
            keep_features=keep_features,
            n_resamples=resamples,
            warnings=warnings,
            watch=lambda what, done, total: bar(done, total, what),
        )
    paths = save_evaluation(
        found,
        out or store.parent / f"{store.name}-evaluation",
        model_name=loaded.name,
        store=store,
        simulated_weights=loaded.simulated_only,
        facts={"sensors": ", ".join(wanted or loaded.modalities)},
    )
    if as_json:
        typer.echo(paths[0].read_text(encoding="utf-8"))
        return
    typer.echo(f"{loaded.name}, {found.n_nights} nights of {found.n_people} people (95 % intervals draw people)")
    for line in headlines(found.figures):
        typer.echo(f"  {line}")
    for warning in found.warnings:
        typer.echo(f"  ! {warning}")
    typer.echo(f"written: {', '.join(path.name for path in paths)} in {paths[0].parent}")


def headlines(figures: "Sequence[Figure]") -> list[str]:
    """The figures that a person asks for first, a line each."""

    def told(value: float | None) -> str:
        return "-" if value is None else f"{value:.3f}"

    chosen = [
        figure
        for figure in figures
        if not figure.group
        and any(
            task in (None, figure.task) and figure.outcome.startswith(outcome or "") and figure.what.startswith(what)
            for task, outcome, what in _HEADLINES
        )
    ]
    return [
        f"{f.task} {f.outcome}: {f.what} {told(f.estimate)} [{told(f.low)}, {told(f.high)}]"
        + (f" from {f.sensors}" if f.sensors else "")
        for f in chosen
    ]
