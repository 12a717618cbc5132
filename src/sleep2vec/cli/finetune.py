"""`sleep2vec finetune`: teach a model a task."""

from typing import Annotated

import typer

from sleep2vec.cli.training_options import IKnow, Settings

NAME = "finetune"


def command(
    recipe: Annotated[str, typer.Option(help="A YAML file, or the name of a shipped recipe (tiny-tasks, age ...).")],
    settings: Settings = None,
    i_know: IKnow = False,
) -> None:
    """Fine-tune a model for one or several tasks from any subset of sensors. Run it again to go on where it was
    stopped; start it with torchrun to use several devices."""
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
