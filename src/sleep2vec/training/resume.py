"""The state of an unfinished run on disk, without pickle, so that going on equals never having stopped.

The tensors are whole, whatever the number of processes: a run goes on with any other number.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from sleep2vec.model.checkpoint import save_tensors
from sleep2vec.store.atomic import write_atomically
from sleep2vec.training.strategy import sharded_like
from sleep2vec.vocabulary.errors import ModelError


@dataclass(frozen=True)
class State:
    """A run after some step.

    Attributes:
        model, average: Tensors by name.
        optimizer: Tensors by ``<index of the parameter>.<name>``.
        facts: JSON values, `step` among them.
    """

    model: Mapping[str, Tensor]
    average: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]
    facts: Mapping[str, Any]


def save_state(folder: Path, state: State) -> None:
    """Write the state into ``state-<step>``; the former state goes only once the new one is complete."""
    new = folder / f"state-{state.facts['step']:08d}"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    save_tensors(new / "model.safetensors", state.model)
    save_tensors(new / "average.safetensors", state.average)
    save_tensors(new / "optimizer.safetensors", state.optimizer)
    write_atomically(new / "progress.json", json.dumps(dict(state.facts)).encode())
    write_atomically(new / "complete", b"")
    for old in folder.glob("state-*"):
        if old != new:
            shutil.rmtree(old, ignore_errors=True)


def newest_state(folder: Path) -> Path | None:
    """The folder of the newest complete state, None where there is none."""
    complete = sorted(marker.parent for marker in folder.glob("state-*/complete"))
    return complete[-1] if complete else None


def load_facts(place: Path) -> dict[str, Any]:
    """The facts of a state. Raises `ModelError` when they are damaged."""
    with _readable(place):
        facts = json.loads((place / "progress.json").read_text())
    if not isinstance(facts, dict) or not {"fingerprint", "step"} <= facts.keys():
        raise ModelError(
            f"{place} is damaged (progress.json does not tell its run); delete it, and the run starts afresh."
        )
    return facts


def load_state(place: Path) -> State:
    """Read a state. Raises `ModelError` when it is damaged."""
    with _readable(place):
        model, average, optimizer = (
            load_file(place / f"{name}.safetensors") for name in ("model", "average", "optimizer")
        )
    return State(model, average, optimizer, load_facts(place))


@contextmanager
def _readable(place: Path) -> Iterator[None]:
    try:
        yield
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise ModelError(f"{place} is damaged ({error}); delete it, and the run starts afresh.") from None


@contextmanager
def fitting(place: Path | None) -> Iterator[None]:
    """What is restored in here comes from `place`; raises `ModelError` when it does not fit."""
    try:
        yield
    except (RuntimeError, KeyError, IndexError, ValueError):
        if place is None:
            raise
        raise ModelError(
            f"{place} belongs to another model than the recipe describes; "
            "use the recipe it was started with, or another output folder."
        ) from None


def discard_state(folder: Path) -> None:
    """Delete the state of a finished run."""
    for state in folder.glob("state-*"):
        shutil.rmtree(state, ignore_errors=True)


def flat_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's tensors as `State` names them; sharded ones stay so."""
    return {
        f"{index}.{name}": torch.as_tensor(value)
        for index, entries in optimizer.state_dict()["state"].items()
        for name, value in entries.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, flat: Mapping[str, Tensor]) -> None:
    """Put whole tensors back, each sharded as its parameter is."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in flat.items():
        index, name = key.split(".")
        parameter = parameters[int(index)]
        if value.dim() > 0:
            if value.shape != parameter.shape:
                raise ValueError(f"{key} has shape {tuple(value.shape)}, its parameter {tuple(parameter.shape)}")
            value = sharded_like(value, parameter)
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
