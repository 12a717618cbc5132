"""A fine-tuned model with all that was fitted after it had learned: what a checkpoint of kind ``finetuned`` holds."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor

from sleep2vec.model.checkpoint import CONFIG, load_config, load_weights
from sleep2vec.model.sleep_model import SleepModel, SleepModelConfig
from sleep2vec.tasks.familiarity import Familiarity
from sleep2vec.tasks.registry import as_told, from_told
from sleep2vec.tasks.survival import SurvivalModel
from sleep2vec.tasks.task import Task
from sleep2vec.vocabulary.errors import ModelError

KIND = "finetuned"
_SURVIVAL = "survival."
_BESIDE = (_SURVIVAL, "familiarity.")


@dataclass(frozen=True)
class Finetuned:
    """The parts.

    Attributes:
        module: Encoder, fusion, heads.
        tasks: By name, with what was fitted on validation people.
        familiarity: What nights usually look like.
        survival: None where it was not asked for.
    """

    module: SleepModel
    tasks: Mapping[str, Task]
    familiarity: Familiarity
    survival: SurvivalModel | None = None

    def tensors(self) -> dict[str, Tensor]:
        """All of a checkpoint's tensors."""
        parts = {**self.module.state_dict(), **self.familiarity.tensors()}
        if self.survival is not None:
            parts |= {f"{_SURVIVAL}{name}": value for name, value in self.survival.tensors().items()}
        return parts

    def told(self) -> dict[str, Any]:
        """The part of a checkpoint's configuration that says what it is."""
        return {
            "kind": KIND,
            "model": self.module.config.encoder.model_dump(mode="json"),
            "heads": self.module.config.model_dump(mode="json", exclude={"encoder"}),
            "tasks": as_told(self.tasks),
            "survival": None if self.survival is None else self.survival.as_dict(),
        }


def load_finetuned(folder: Path) -> tuple[Finetuned, dict[str, Any]]:
    """A model from its folder, and its configuration.

    Raises:
        ModelError: the folder is no complete model, is damaged, or holds a pretrained model without a task.
    """
    config = load_config(folder)
    if config.get("kind") != KIND:
        raise ModelError(
            f"{folder} holds a model of kind {config.get('kind')!r}, which answers no question here; "
            "fine-tune it first with `sleep2vec finetune` (again, where an earlier sleep2vec did)."
        )
    tensors = load_weights(folder)
    weights = {name: value for name, value in tensors.items() if not name.startswith(_BESIDE)}
    try:
        config["training_data"].values()
        made_of = SleepModelConfig.model_validate({"encoder": config["model"], **config["heads"]})
        tasks = from_told(config["tasks"])
        if {name: task.head for name, task in tasks.items()} != made_of.heads:
            raise KeyError("heads")
        told = config.get("survival")
        survival = None
        if told is not None:
            parts = {n.removeprefix(_SURVIVAL): value for n, value in tensors.items() if n.startswith(_SURVIVAL)}
            survival = SurvivalModel.from_parts(parts, told)
    except (KeyError, AttributeError, TypeError, ValidationError):
        raise ModelError(f"{folder / CONFIG} is damaged; copy the model again.") from None
    module = SleepModel(made_of)
    try:
        module.load_state_dict(weights)
        usual = Familiarity.from_tensors(tensors)
    except (RuntimeError, ValueError):
        raise ModelError(
            f"the weights in {folder} do not fit its config; copy the model again or, if an earlier sleep2vec made it, "
            "fine-tune again into another folder."
        ) from None
    return Finetuned(module.eval(), tasks, usual, survival), config
