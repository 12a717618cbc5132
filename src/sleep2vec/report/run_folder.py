"""What the folder of a training run holds, finished or not: its log, its recipe, its data, its model."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from sleep2vec.report.run_history import RunHistory
from sleep2vec.training.logging import read_log
from sleep2vec.vocabulary.errors import UsageError

RECIPE, DATA = "recipe.yaml", "data.json"
_CONFIG, _WEIGHTS = "config.json", "model.safetensors"


@dataclass(frozen=True)
class RunFolder:
    """A run as its folder tells it.

    Attributes:
        name: Of the folder.
        path: As it was given.
        history: Of ``log.csv``.
        recipe: Complete, with every default; empty where no recipe was found.
        data: By use (``training``, ``validation``): nights, people, hours, cohorts.
        finished: Whether its model is there.
        saved_step: The last state to go on from; None where there is none.
        written: When the log was last written to.
    """

    name: str
    path: Path
    history: RunHistory
    recipe: Mapping[str, Any]
    data: Mapping[str, Mapping[str, Any]]
    finished: bool
    saved_step: int | None
    written: datetime


def read_run(folder: Path) -> RunFolder:
    """Read a run's folder.

    Raises:
        UsageError: the folder holds no log of a run, or a file in it is damaged.
    """
    log = folder / "log.csv"
    if not log.is_file():
        raise UsageError(
            f"{folder} is no folder of a run: it has no log.csv; name the `out` of a `pretrain` or `finetune` recipe."
        )
    try:
        history = RunHistory(read_log(folder))
        config = json.loads((folder / _CONFIG).read_text(encoding="utf-8")) if (folder / _CONFIG).is_file() else {}
        recipe = yaml.safe_load((folder / RECIPE).read_text(encoding="utf-8")) if (folder / RECIPE).is_file() else {}
        data = json.loads((folder / DATA).read_text(encoding="utf-8")) if (folder / DATA).is_file() else {}
        recipe, data = recipe or config.get("recipe", {}), data or config.get("training_data", {})
        if not all(isinstance(part, dict) for part in (config, recipe, data)):
            raise TypeError("not a mapping")
    except (ValueError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise UsageError(f"{folder} holds a damaged file of its run ({error}); train again, or mend it.") from None
    states = sorted(marker.parent.name for marker in folder.glob("state-*/complete"))
    return RunFolder(
        name=folder.resolve().name,
        path=folder,
        history=history,
        recipe=recipe,
        data=data,
        finished=(folder / _WEIGHTS).is_file() and bool(config),
        saved_step=int(states[-1].removeprefix("state-")) if states else None,
        written=datetime.fromtimestamp(log.stat().st_mtime),
    )
