"""`sleep2vec adapt`: teach a pretrained model new sensors."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from sleep2vec.cli.training_options import IKnow, Settings

if TYPE_CHECKING:  # importing the loop imports torch
    from sleep2vec.training.runner import Progress

NAME = "adapt"


def command(
    recipe: Annotated[str, typer.Option(help="A YAML file, or the name of a shipped recipe (adapt-wearable).")],
    settings: Settings = None,
    i_know: IKnow = False,
) -> None:
    """Teach a pretrained model sensors it has never seen (PPG, actigraphy), in two stages: the new tokenizers alone,
    then everything. Run it again to go on where it was stopped; start it with torchrun to use several devices."""
    from contextlib import ExitStack

    from sleep2vec.cli.training_progress import one_voice, speaks, training_bar
    from sleep2vec.recipes.loading import load_recipe
    from sleep2vec.recipes.schema import AdaptRecipe

    with one_voice():
        checked = load_recipe(recipe, AdaptRecipe, settings or [])
    from sleep2vec.recipes.adaptation import STAGE_1, run_adaptation

    with ExitStack() as bars:

        def watcher(stage: int) -> Callable[["Progress"], None]:
            bars.close()  # a terminal has room for one
            return bars.enter_context(training_bar(f"adapt, stage {stage}"))

        scores = run_adaptation(checked, watcher, i_know=i_know)
    if not speaks():
        return
    typer.echo(", ".join(f"{name} {value:.3f}" for name, value in scores.items()) or "nobody was kept for validation")
    typer.echo(f"model: {checked.out} (of the first stage: {checked.out / STAGE_1})")
