"""The state of an unfinished run on disk, without pickle, so that going on equals never having stopped."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from sleep2vec.model.checkpoint import save_tensors
from sleep2vec.vocabulary.errors import ModelError


def save_state(
    folder: Path,
    step: int,
    module: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
    facts: dict[str, Any],
) -> None:
    """Write the state after `step` steps; the former state goes only once the new one is complete.

    Args:
        folder: of the run; the state lies in ``state-<step>``.
        facts: further JSON values to get back from `load_state`.
    """
    new = folder / f"state-{step:08d}"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    save_tensors(new / "model.safetensors", module.state_dict())
    save_tensors(new / "average.safetensors", average.state_dict())
    save_tensors(new / "optimizer.safetensors", _flat(optimizer))
    (new / "progress.json").write_text(json.dumps({"step": step, **facts}))
    (new / "complete").touch()
    for old in folder.glob("state-*"):
        if old != new:
            shutil.rmtree(old, ignore_errors=True)


def load_state(
    folder: Path, module: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer
) -> dict[str, Any] | None:
    """Restore the newest complete state into the three objects; None where there is none.

    Raises:
        ModelError: the state is damaged, or does not fit the model because the recipe was changed in between.
    """
    complete = sorted(marker.parent for marker in folder.glob("state-*/complete"))
    if not complete:
        return None
    state = complete[-1]
    try:
        module.load_state_dict(load_file(state / "model.safetensors"))
        average.load_state_dict(load_file(state / "average.safetensors"))
        _restore(optimizer, load_file(state / "optimizer.safetensors"))
        return dict(json.loads((state / "progress.json").read_text()))
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise ModelError(f"{state} is damaged ({error}); delete it, and the run starts afresh.") from None
    except (RuntimeError, KeyError):
        raise ModelError(
            f"{state} belongs to another model than the recipe describes; "
            "use the recipe it was started with, or another output folder."
        ) from None


def discard_state(folder: Path) -> None:
    """Delete the state of a finished run."""
    for state in folder.glob("state-*"):
        shutil.rmtree(state, ignore_errors=True)


def _flat(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"{index}.{name}": torch.as_tensor(value)
        for index, entries in optimizer.state_dict()["state"].items()
        for name, value in entries.items()
    }


def _restore(optimizer: torch.optim.Optimizer, flat: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in flat.items():
        index, name = key.split(".")
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
