"""A model on disk: a folder with ``model.safetensors``, ``config.json`` and ``card.md``; nothing is ever unpickled."""

import hashlib
import json
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sleep2vec.model.encoder import ModelConfig
from sleep2vec.store.atomic import write_atomically
from sleep2vec.vocabulary.errors import ModelError

FORMAT = 1
WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "card.md"


Precision = Literal["float32", "bfloat16"]


def save_checkpoint(
    folder: Path,
    weights: Mapping[str, Tensor],
    config: Mapping[str, Any],
    card: str,
    precision: Precision = "float32",
) -> None:
    """Write a checkpoint into `folder`, each file whole or not at all, the weights last.

    With ``"bfloat16"`` the matrices are rounded to 16 bits, which halves the file; vectors (biases, norms, a
    tokenizer's centre and spread of features) are few and stay as they are.
    """
    if precision == "bfloat16":
        weights = {name: x.bfloat16() if x.dim() > 1 and x.is_floating_point() else x for name, x in weights.items()}
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / CONFIG, json.dumps({"format": FORMAT, **config}, indent=2).encode())
    write_atomically(folder / CARD, card.encode())
    save_tensors(folder / WEIGHTS, weights)


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors as safetensors, whole or not at all, also when the power fails."""
    temporary = path.with_name(f".{path.name}.part")
    temporary.touch()
    usual = stat.S_IMODE(temporary.stat().st_mode)
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, temporary)
    temporary.chmod(usual)  # safetensors lets nobody else read what it writes
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    os.replace(temporary, path)


def load_config(folder: Path) -> dict[str, Any]:
    """The ``config.json`` of a checkpoint.

    Raises:
        ModelError: the folder is no checkpoint, lacks its weights, or was written by a later sleep2vec.
    """
    if not folder.is_dir():
        raise ModelError(f"{folder} is not a folder; a model is a folder with {WEIGHTS} and {CONFIG}.")
    missing = [name for name in (WEIGHTS, CONFIG) if not (folder / name).is_file()]
    if missing:
        raise ModelError(
            f"{folder} is no model: it lacks {' and '.join(missing)}; name the folder that "
            "`sleep2vec pretrain` or `sleep2vec finetune` wrote (the same command resumes an unfinished run)."
        )
    try:
        config = json.loads((folder / CONFIG).read_text())
        version = config["format"]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError):
        raise ModelError(f"{folder / CONFIG} is damaged; copy the model again.") from None
    if version != FORMAT:
        raise ModelError(f"{folder} has model format {version}, this sleep2vec reads format {FORMAT}.")
    return dict(config)


def model_config(folder: Path, config: Mapping[str, Any]) -> ModelConfig:
    """What the model in `folder` is made of, by its config. Raises `ModelError` when it does not say."""
    try:
        config["training_data"].values()
        return ModelConfig.model_validate(config["model"])
    except (KeyError, AttributeError, ValidationError):
        raise ModelError(f"{folder / CONFIG} is damaged; copy the model again.") from None


def load_weights(folder: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint. Raises `ModelError` when the file is damaged."""
    try:
        return load_file(folder / WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{folder / WEIGHTS} is damaged ({error}); copy the model again.") from None


def weights_digest(folder: Path) -> str:
    """A short text that differs when the weights of a checkpoint do."""
    try:
        with (folder / WEIGHTS).open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=12)).hexdigest()
    except OSError as error:
        raise ModelError(f"{folder / WEIGHTS} cannot be read ({error}); copy the model again.") from None


def structure_of(build: Callable[[], nn.Module]) -> str:
    """Names and shapes of what a module would hold; nothing is allocated."""
    with torch.device("meta"):
        held = build().state_dict()
    return json.dumps({name: list(tensor.shape) for name, tensor in held.items()})
