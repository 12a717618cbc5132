"""`sleep2vec finetune`: teach a model a task."""

from typing import Annotated

import typer

NAME = "finetune"


def command(
    recipe: Annotated[str, typer.Option(help="A YAML file, or the name of a shipped recipe (tiny-demo-staging).")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting; may be repeated.")
    ] = None,
    i_know: Annotated[
        bool, typer.Option("--i-know", help="Allow a split that puts one person or family on two sides.")
    ] = False,
) -> None:
    """Fine-tune a model for staging from any subset of sensors. Run it again to go on where it was stopped;
    start it with torchrun to use several devices."""
    from sleep2vec.cli.training_progress import one_voice, speaks, training_bar
    from sleep2vec.recipes.loading import load_recipe
    from sleep2vec.recipes.schema import FinetuneRecipe

    with one_voice():
        checked = load_recipe(recipe, FinetuneRecipe, settings or [])
    from sleep2vec.recipes.finetuning import run_finetuning

    with training_bar("finetune") as watch:
        scores = run_finetuning(checked, watch, i_know=i_know)
    if not speaks():
        return
    typer.echo(", ".join(f"{name} {value:.3f}" for name, value in scores.items()) or "nobody was kept for validation")
    typer.echo(f"model: {checked.out}")
