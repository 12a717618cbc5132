"""The training loop."""

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil
import torch
from torch import nn

from sleep2vec.data.prefetch import Fetched, Prefetch
from sleep2vec.training.learner import Learner, StepResult, mean_by_name
from sleep2vec.training.logging import RunLog
from sleep2vec.training.optimizer import OptimizerConfig
from sleep2vec.training.pace import Pace
from sleep2vec.training.resume import load_facts, newest_state, save_state
from sleep2vec.training.stopping import RunStoppedError, StopRequest, stop_requests
from sleep2vec.training.work import RunConfig, Work
from sleep2vec.training.world import World, pick_device
from sleep2vec.vocabulary.errors import ModelError

__all__ = ["Progress", "RunConfig", "Work", "fingerprint_of", "pick_device", "train"]

Batch = TypeVar("Batch")

TIMINGS = frozenset(
    f"train/{name}" for name in ("seconds_per_step", "windows_per_second", "waiting_share", "memory_gb")
)
"""Logged numbers that tell about the machine: they differ between two runs that learn the same."""


@dataclass(frozen=True)
class Progress:
    """What a watcher is told after every step.

    Attributes:
        seconds_per_step: Median of the recent steps.
        windows_per_second: Of all processes together; 0 where the work does not count windows.
        seconds_left: At the recent pace, validating and saving included.
        at_least: Whether more comes on top, because the run has not yet validated or saved once.
    """

    step: int
    n_steps: int
    loss: float
    seconds_per_step: float
    windows_per_second: float
    seconds_left: float
    at_least: bool


def train(
    work: Work[Batch],
    run: RunConfig,
    optimizer_config: OptimizerConfig,
    folder: Path,
    fingerprint: str,
    watch: Callable[[Progress], None] | None = None,
    world: World | None = None,
) -> nn.Module:
    """Train, and return the averaged module, whole, in evaluation mode.

    A run that was killed goes on from its last saved state and ends with the same parameters, bit for bit on one
    device, because batches, masks and dropout depend on the seed and the step alone. Ctrl-C, SIGTERM and SIGUSR1 end
    the step at hand and save.

    Args:
        work: see `Work`.
        run, optimizer_config: how long, how fast.
        folder: gets ``log.csv``, TensorBoard files and the state to resume from, which the caller discards once
            it has saved what it wanted of the result. Several processes must all see it.
        fingerprint: of everything that must be equal for a resume to make sense.
        watch: told after every step, in the main process.
        world: the processes that train together, see `joined_world`; all call this. None: this one alone.

    Raises:
        ModelError: the folder holds the state of a different run, or the loss became NaN.
        RunStoppedError: a signal asked to stop; the state is saved.
    """
    world = world or World(device=pick_device(run.device))
    folder.mkdir(parents=True, exist_ok=True)
    state = newest_state(folder)
    facts = {"step": 0} if state is None else _facts_of(state, fingerprint)
    first_step = int(facts["step"])
    if len(set(world.gathered(first_step))) > 1:
        raise ModelError(f"the processes see different states in {folder}; it must lie on a disk that all of them see.")
    learner = Learner(work, run, optimizer_config, world, state)
    with (
        RunLog(folder, first_step, run.trackers) if world.main else nullcontext() as log,
        stop_requests(insisted=world.size == 1) as request,
    ):
        loop = _Loop(work, run, folder, fingerprint, watch, world, learner, log)
        if facts.get("owes_validation"):
            loop.validate(first_step)
        with _batches(work, run, first_step, world) as batches:
            for step in range(first_step, run.steps):
                loop.once(step, batches, request)
    return learner.average.gather()


@dataclass
class _Loop:
    """One step after the other, and what happens between them."""

    work: Work[Any]
    run: RunConfig
    folder: Path
    fingerprint: str
    watch: Callable[[Progress], None] | None
    world: World
    learner: Learner[Any]
    log: RunLog | None

    def __post_init__(self) -> None:
        self.pace = Pace(self.run.steps, {"validate": self.run.validate_every, "save": self.run.save_every})

    def once(self, step: int, batches: Iterator[Fetched[Any]], request: StopRequest) -> None:
        result = self.learner.step(step, batches, request)
        self.pace.add_step(result.time)
        done = step + 1
        if self._due(done, self.run.log_every):
            self._write(done, self._numbers(result))
        # Whoever is asked to stop may have seconds left: what there is to validate is done at the next start.
        stopping = result.stopping and done < self.run.steps
        validates = self._due(done, self.run.validate_every)
        if validates and not stopping:
            self.validate(done)
        if self._due(done, self.run.save_every) or stopping:
            self._save(done, owes_validation=validates and stopping)
        self._tell(done, result)
        if stopping:
            raise RunStoppedError(max(self.world.gathered(request.number)), done, self.run.steps)

    def _due(self, done: int, every: int) -> bool:
        return done % every == 0 or done == self.run.steps

    def _numbers(self, result: StepResult) -> dict[str, float]:
        shared = mean_by_name(self.world.gathered(dict(result.numbers)))
        speed = {
            "train/seconds_per_step": result.time.seconds,
            "train/windows_per_second": self.pace.windows_per_second,
            "train/waiting_share": max(self.world.gathered(self.pace.waiting_share)),
            "train/memory_gb": max(self.world.gathered(_memory_gb(self.world.device))),
        }
        return {"train/loss": result.loss, **shared, **speed}

    def validate(self, done: int) -> None:
        began = time.perf_counter()
        numbers = self.work.validate(self.learner.average.gather())
        self._write(done, numbers)
        self.pace.add_pause("validate", time.perf_counter() - began)

    def _save(self, done: int, owes_validation: bool) -> None:
        began = time.perf_counter()
        state = self.learner.state({"step": done, "fingerprint": self.fingerprint, "owes_validation": owes_validation})
        if state is not None:
            save_state(self.folder, state)
        self.pace.add_pause("save", time.perf_counter() - began)

    def _write(self, done: int, numbers: dict[str, float]) -> None:
        if self.log is not None:
            self.log.write(done, numbers)

    def _tell(self, done: int, result: StepResult) -> None:
        if self.watch is None or not self.world.main:
            return
        left_s, at_least = self.pace.seconds_left(done)
        pace = (self.pace.seconds_per_step, self.pace.windows_per_second, left_s, at_least)
        self.watch(Progress(done, self.run.steps, result.loss, *pace))


def _batches(work: Work[Batch], run: RunConfig, first_step: int, world: World) -> Prefetch[Batch]:
    places = range(first_step * run.accumulate, run.steps * run.accumulate)
    device = world.device
    pin = device.type == "cuda"
    return Prefetch(
        work.batch, places, lambda batch: work.to_device(batch, device), run.prefetch, run.loader_threads, pin
    )


def _facts_of(state: Path, fingerprint: str) -> dict[str, Any]:
    facts = load_facts(state)
    if facts["fingerprint"] != fingerprint:
        raise ModelError(
            f"{state.parent} holds an unfinished run with another recipe or store; "
            "finish it with the recipe it was started with, delete the folder, or name another."
        )
    return facts


def _memory_gb(device: torch.device) -> float:
    """The most that the device held so far; on a CPU what the process holds now."""
    n_bytes = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else psutil.Process().memory_info().rss
    return n_bytes / 1e9


def fingerprint_of(*parts: Any) -> str:
    """A short text that differs when any of the parts does."""

    return hashlib.blake2b("|".join(map(str, parts)).encode(), digest_size=12).hexdigest()
