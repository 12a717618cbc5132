"""`sleep2vec pretrain`: align the signals of a store's nights."""

from typing import Annotated

import typer

from sleep2vec.cli.training_options import IKnow, Settings

NAME = "pretrain"


def command(
    recipe: Annotated[str, typer.Option(help="A YAML file, or the name of a shipped recipe (tiny-demo, paper-base).")],
    settings: Settings = None,
    i_know: IKnow = False,
) -> None:
    """Pretrain a model without labels. Run it again to go on where it was stopped;
    start it with torchrun to use several devices."""
    from sleep2vec.cli.training_progress import one_voice, speaks, training_bar
    from sleep2vec.recipes.loading import load_recipe
    from sleep2vec.recipes.schema import PretrainRecipe

    with one_voice():
        checked = load_recipe(recipe, PretrainRecipe, settings or [])
    from sleep2vec.recipes.pretraining import run_pretraining

    with training_bar("pretrain") as watch:
        scores = run_pretraining(checked, watch, i_know=i_know)
    if not speaks():
        return
    typer.echo(", ".join(f"{name} {value:.3f}" for name, value in scores.items()) or "nobody was kept for validation")
    typer.echo(f"model: {checked.out}")
