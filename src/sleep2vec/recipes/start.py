"""What a run writes down before its first step, so that it can be told about while it goes on."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel

from sleep2vec.recipes.card import training_data
from sleep2vec.recipes.loading import recipe_text
from sleep2vec.report.run_folder import DATA, RECIPE
from sleep2vec.store.atomic import write_atomically
from sleep2vec.store.manifest import ManifestRow


def note_start(out: Path, recipe: BaseModel, sides: Mapping[str, Sequence[ManifestRow]]) -> None:
    """Write ``recipe.yaml`` (complete; the same command with it goes on with the run) and ``data.json``.

    Args:
        out: folder of the run.
        recipe: what was asked for.
        sides: nights by what they are used for, for example ``training`` and ``validation``.
    """
    out.mkdir(parents=True, exist_ok=True)
    data = {side: training_data(rows).as_dict() for side, rows in sides.items()}
    write_atomically(out / DATA, json.dumps(data, indent=1).encode())
    write_atomically(out / RECIPE, recipe_text(recipe).encode())
