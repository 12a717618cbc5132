"""What the loop is given: how to run, and what to do."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Generic, Literal, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from sleep2vec.training.precision import PrecisionName
from sleep2vec.training.strategy import StrategyName
from sleep2vec.training.trackers import TrackerName

Batch = TypeVar("Batch")

HOW_NOT_WHAT = frozenset(
    {
        "device",
        "strategy",
        "compile",
        "checkpoint_activations",
        "prefetch",
        "loader_threads",
        "trackers",
        "validate_every",
        "save_every",
        "log_every",
    }
)
"""Fields of `RunConfig` that may change before a run goes on: where and how it computes, not what."""


class RunConfig(BaseModel):
    """How long, how often, and on what."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    steps: Annotated[int, Field(ge=1)]
    seed: Annotated[int, Field(ge=0)] = 0
    accumulate: Annotated[int, Field(ge=1, description="batches a step; each is contrasted by itself")] = 1
    ema_decay: Annotated[float, Field(ge=0, le=1, description="at the first step; it rises to 1")] = 0.996
    validate_every: Annotated[int, Field(ge=1, description="steps")] = 500
    save_every: Annotated[int, Field(ge=1, description="steps between states to resume from")] = 500
    log_every: Annotated[int, Field(ge=1, description="steps")] = 10
    precision: Annotated[PrecisionName, Field(description="auto: bfloat16 where the device computes in it")] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    strategy: Annotated[
        StrategyName, Field(description="of the processes that torchrun started; fsdp shards the model")
    ] = "auto"
    prefetch: Annotated[int, Field(ge=0, description="batches prepared in the background; 0: none")] = 4
    loader_threads: Annotated[int, Field(ge=1, description="that prepare them")] = 1
    checkpoint_activations: Annotated[
        bool, Field(description="compute the layers' activations twice in place of keeping them")
    ] = False
    compile: Annotated[bool, Field(description="torch.compile: slower to start, faster afterwards")] = False
    trackers: Annotated[
        tuple[TrackerName, ...], Field(description="log to these too, into the run's folder, without an account")
    ] = ()


def no_windows(batch: object) -> int:
    """For work that does not count in windows."""
    return 0


@dataclass(frozen=True)
class Work(Generic[Batch]):
    """What a task gives the loop.

    Attributes:
        module: what learns.
        batch: the n-th batch, or this process's share of it, on no particular device; a function of n alone that
            background threads call. A step takes `accumulate` of them.
        to_device: moves a batch.
        loss: (module, batch, generator) -> loss and numbers to log, called once a batch. The generator (on the CPU)
            is seeded by n and alike in all processes: draw from it for the whole batch and take the own rows.
            torch's global one is seeded by n and by the process: it serves dropout. The mean of the processes'
            losses, and of their gradients, must be that of the whole batch.
        validate: module -> numbers to log. Called in every process, each with the whole module; the main process's
            numbers are logged.
        rates: factors on the learning rate by prefix of parameter names.
        windows: how many windows the whole batch has, over all processes.
    """

    module: nn.Module
    batch: Callable[[int], Batch]
    to_device: Callable[[Batch, torch.device], Batch]
    loss: Callable[[nn.Module, Batch, torch.Generator], tuple[Tensor, dict[str, float]]]
    validate: Callable[[nn.Module], dict[str, float]]
    rates: dict[str, float]
    windows: Callable[[Batch], int] = no_windows
