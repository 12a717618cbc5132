"""All tasks of a fine-tuned model, by name. A new one is one new file and one line here."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

from torch import nn

from sleep2vec.tasks.age import Age
from sleep2vec.tasks.arousal import Arousal
from sleep2vec.tasks.custom import CustomClasses, CustomConfig, CustomNumber
from sleep2vec.tasks.desaturation import Desaturation
from sleep2vec.tasks.diagnosis import Diagnosis
from sleep2vec.tasks.respiratory import Respiratory
from sleep2vec.tasks.sex import Sex
from sleep2vec.tasks.staging import Staging
from sleep2vec.tasks.task import Task

TaskName = Literal["staging", "respiratory", "arousal", "desaturation", "age", "sex", "diagnosis"]

TASKS: MappingProxyType[str, type[Task]] = MappingProxyType(
    {
        "staging": Staging,
        "respiratory": Respiratory,
        "arousal": Arousal,
        "desaturation": Desaturation,
        "age": Age,
        "sex": Sex,
        "diagnosis": Diagnosis,
    }
)
CUSTOM: MappingProxyType[str, type[Task]] = MappingProxyType(
    {"regression": CustomNumber, "classification": CustomClasses}
)
"""Tasks of a recipe's own, by kind."""

RESERVED = frozenset((*TASKS, "survival", "embedding", "pooled", *dir(nn.ModuleDict())))
"""Names that no task of a recipe's own may have: of other tasks, of the embeddings of a night that stand beside what
tasks say (`inference.predictor`), and of what torch's keeper of the heads has for itself, such as ``type``."""


def tasks_of(names: Sequence[TaskName], custom: Sequence[CustomConfig] = ()) -> dict[str, Task]:
    """What a recipe asks for, before anything is known of its nights."""
    return {**{name: TASKS[name](name=name) for name in names}, **{config.name: config.task() for config in custom}}


def as_told(tasks: Mapping[str, Task]) -> dict[str, dict[str, Any]]:
    """For a checkpoint's JSON; `from_told` reads it."""
    kinds = {kind: name for table in (TASKS, CUSTOM) for name, kind in table.items()}
    return {name: {"task": kinds[type(task)], **task.model_dump(mode="json")} for name, task in tasks.items()}


def from_told(told: Mapping[str, Mapping[str, Any]]) -> dict[str, Task]:
    """Tasks of a checkpoint. Raises `KeyError` or pydantic's `ValidationError` where it is damaged."""
    kinds = {**TASKS, **CUSTOM}
    return {
        name: kinds[facts["task"]].model_validate({key: value for key, value in facts.items() if key != "task"})
        for name, facts in told.items()
    }
