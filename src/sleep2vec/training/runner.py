"""The training loop."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from sleep2vec.training.averaging import Average
from sleep2vec.training.logging import RunLog
from sleep2vec.training.optimizer import OptimizerConfig, build_optimizer, learning_rate, set_learning_rate
from sleep2vec.training.resume import load_state, save_state
from sleep2vec.vocabulary.errors import ModelError

Batch = TypeVar("Batch")


class RunConfig(BaseModel):
    """How long and how often."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: Annotated[int, Field(ge=1)]
    seed: int = 0
    ema_decay: Annotated[float, Field(ge=0, le=1, description="at the first step; it rises to 1")] = 0.996
    validate_every: Annotated[int, Field(ge=1, description="steps")] = 500
    save_every: Annotated[int, Field(ge=1, description="steps between states to resume from")] = 500
    log_every: Annotated[int, Field(ge=1, description="steps")] = 10
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"


@dataclass(frozen=True)
class Progress:
    """What a watcher is told after every step."""

    step: int
    n_steps: int
    loss: float
    seconds_per_step: float


@dataclass(frozen=True)
class Work(Generic[Batch]):
    """What a task gives the loop.

    Attributes:
        module: what learns.
        batch: the batch of a step, already on no particular device; a function of the step alone.
        to_device: moves a batch.
        loss: (module, batch, generator) -> loss and numbers to log; whatever is random in it comes from the
            generator (on the CPU) or from torch's global one, both seeded by the step.
        validate: module -> numbers to log.
        rates: factors on the learning rate by prefix of parameter names.
    """

    module: nn.Module
    batch: Callable[[int], Batch]
    to_device: Callable[[Batch, torch.device], Batch]
    loss: Callable[[nn.Module, Batch, torch.Generator], tuple[Tensor, dict[str, float]]]
    validate: Callable[[nn.Module], dict[str, float]]
    rates: dict[str, float]


def train(
    work: Work[Batch],
    run: RunConfig,
    optimizer_config: OptimizerConfig,
    folder: Path,
    fingerprint: str,
    watch: Callable[[Progress], None] | None = None,
) -> nn.Module:
    """Train, and return the averaged module in evaluation mode.

    A run that was killed goes on from its last saved state and ends with the same parameters, bit for bit on one
    device, because batches, masks and dropout depend on the seed and the step alone.

    Args:
        work: see `Work`.
        run, optimizer_config: how long, how fast.
        folder: gets ``log.csv``, TensorBoard files and the state to resume from, which the caller discards once
            it has saved what it wanted of the result.
        fingerprint: of everything that must be equal for a resume to make sense.
        watch: told after every step.

    Raises:
        ModelError: the folder holds the state of a different run, or the loss became NaN.
    """
    device = pick_device(run.device)
    module = work.module.to(device)
    average = Average(module, run.ema_decay, run.steps)
    optimizer = build_optimizer(module, optimizer_config, work.rates)
    folder.mkdir(parents=True, exist_ok=True)
    state = load_state(folder, module, average.module, optimizer)
    if state is not None and state["fingerprint"] != fingerprint:
        raise ModelError(
            f"{folder} holds an unfinished run with another recipe or store; "
            "finish it with the recipe it was started with, delete the folder, or name another."
        )
    first_step = 0 if state is None else int(state["step"])
    facts = {"fingerprint": fingerprint}
    with RunLog(folder, first_step) as log:
        for step in range(first_step, run.steps):
            started = time.perf_counter()
            set_learning_rate(optimizer, learning_rate(step, run.steps, optimizer_config))
            loss, numbers = _step(work, module, optimizer, step, run, optimizer_config.clip_norm, device)
            average.update(module, step)
            done = step + 1
            seconds = time.perf_counter() - started
            if done % run.log_every == 0 or done == run.steps:
                log.write(done, {"train/loss": loss, **numbers, "train/seconds_per_step": seconds})
            if done % run.validate_every == 0 or done == run.steps:
                log.write(done, work.validate(average.module))
            if done % run.save_every == 0 or done == run.steps:
                save_state(folder, done, module, average.module, optimizer, facts)
            if watch is not None:
                watch(Progress(done, run.steps, loss, seconds))
    return average.module


def pick_device(name: str) -> torch.device:
    """``auto`` is the first CUDA device, else the CPU."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ModelError("the recipe asks for device cuda, but torch sees no CUDA device; use device: auto or cpu.")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def _step(
    work: Work[Batch],
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    step: int,
    run: RunConfig,
    clip_norm: float,
    device: torch.device,
) -> tuple[float, dict[str, float]]:
    torch.manual_seed(_seed_of(run.seed, step))
    generator = torch.Generator().manual_seed(_seed_of(run.seed, step) + 1)
    module.train()
    with torch.autocast(device.type, torch.bfloat16, enabled=_use_bfloat16(run.precision, device)):
        loss, numbers = work.loss(module, work.to_device(work.batch(step), device), generator)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = nn.utils.clip_grad_norm_([p for p in module.parameters() if p.grad is not None], clip_norm)
    value = float(loss.detach())
    if not torch.isfinite(norm) or value != value:
        raise ModelError(f"training broke down at step {step}: loss {value}, gradient norm {float(norm)}.")
    optimizer.step()
    return value, {**numbers, "train/gradient_norm": float(norm)}


def _seed_of(seed: int, step: int) -> int:
    return (seed * 1_000_003 + step) * 2


def _use_bfloat16(precision: str, device: torch.device) -> bool:
    if precision == "auto":
        return device.type == "cuda" and torch.cuda.is_bf16_supported()
    return precision == "bfloat16"


def fingerprint_of(*parts: Any) -> str:
    """A short text that differs when any of the parts does."""

    return hashlib.blake2b("|".join(map(str, parts)).encode(), digest_size=12).hexdigest()
