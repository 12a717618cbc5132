"""`sleep2vec adapt`: teach a pretrained model new sensors."""

from typing import Annotated

import typer

NAME = "adapt"


def command(
    recipe: Annotated[str, typer.Option(help="A YAML file, or the name of a shipped recipe (adapt-wearable).")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting; may be repeated.")
    ] = None,
    i_know: Annotated[
        bool, typer.Option("--i-know", help="Allow a split that puts one person or family on two sides.")
    ] = False,
) -> None:
    """Teach a pretrained model sensors it has never seen (PPG, actigraphy), in two stages: the new tokenizers alone,
    then everything. Run it again to go on where it was stopped."""
    from sleep2vec.cli.training_progress import training_bar
    from sleep2vec.recipes.loading import load_recipe
    from sleep2vec.recipes.schema import AdaptRecipe

    checked = load_recipe(recipe, AdaptRecipe, settings or [])
    from contextlib import ExitStack

    from sleep2vec.recipes.adaptation import STAGE_1, run_adaptation

    with ExitStack() as bars:
        scores = run_adaptation(
            checked,
            lambda stage: bars.enter_context(training_bar(f"adapt, stage {stage}", checked.batches.batch_windows)),
            i_know=i_know,
        )
    typer.echo(", ".join(f"{name} {value:.3f}" for name, value in scores.items()) or "nobody was kept for validation")
    typer.echo(f"model: {checked.out} (of the first stage: {checked.out / STAGE_1})")
