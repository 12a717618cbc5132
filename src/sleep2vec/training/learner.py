"""What learns: a module, its average and its optimizer, on one device or over several processes."""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from sleep2vec.data.prefetch import Fetched
from sleep2vec.training.averaging import Average
from sleep2vec.training.optimizer import OptimizerConfig, build_optimizer, learning_rate, set_learning_rate
from sleep2vec.training.pace import StepTime
from sleep2vec.training.precision import computes_in_bfloat16
from sleep2vec.training.resume import State, fitting, flat_optimizer, load_state, restore_optimizer
from sleep2vec.training.stopping import StopRequest
from sleep2vec.training.strategy import LossModule, blocks, exchange, pick_strategy, spread, whole_tensor
from sleep2vec.training.work import RunConfig, Work
from sleep2vec.training.world import World
from sleep2vec.vocabulary.errors import ModelError

Batch = TypeVar("Batch")


@dataclass(frozen=True)
class StepResult:
    """One step: the mean loss of all its batches, what else there is to log, what it cost, and who asked to stop."""

    loss: float
    numbers: Mapping[str, float]
    time: StepTime
    stopping: bool


class Learner(Generic[Batch]):
    """All that changes while a run goes on.

    Args:
        work, run, optimizer_config: see `training.runner.train`.
        world: the processes; all of them make the same learner.
        state: the folder of a state to go on from, or None.

    Raises:
        ModelError: the state is damaged or belongs to another model, or the strategy does not fit the processes.
    """

    def __init__(
        self,
        work: Work[Batch],
        run: RunConfig,
        optimizer_config: OptimizerConfig,
        world: World,
        state: Path | None,
    ) -> None:
        self._work, self._run, self._config, self._world = work, run, optimizer_config, world
        self.strategy = pick_strategy(run.strategy, world)
        self._bfloat16 = computes_in_bfloat16(run.precision, world.device)
        self.module = work.module.to(world.device)
        world.agree(self.module)
        self.average = Average(self.module, run.ema_decay, run.steps)
        held = None if state is None else load_state(state)
        if held is not None:
            with fitting(state):
                self.module.load_state_dict(dict(held.model))
                self.average.module.load_state_dict(dict(held.average))
        _switch_on(self.module, run)
        self._whole = spread(LossModule(self.module, work.loss), self.strategy, world)
        self.average.shard_like(self.module)
        self._optimizer = build_optimizer(self.module, optimizer_config, work.rates)
        if held is not None:
            with fitting(state):
                restore_optimizer(self._optimizer, held.optimizer)

    def step(self, step: int, batches: Iterator[Fetched[Batch]], request: StopRequest) -> StepResult:
        """Learn from the next `accumulate` batches, which are those of step `step`.

        Raises:
            ModelError: the loss or its gradient is no number; the step is then not taken.
        """
        began = time.perf_counter()
        set_learning_rate(self._optimizer, learning_rate(step, self._run.steps, self._config))
        self._optimizer.zero_grad(set_to_none=True)
        self.module.train()
        losses, logged, waited_s, n_windows = [], [], 0.0, 0
        for fetched in islice(batches, self._run.accumulate):
            waited_s += fetched.waited_s
            n_windows += self._work.windows(fetched.batch)
            loss, numbers = self._accumulate(fetched.batch, fetched.step)
            losses.append(loss)
            logged.append(numbers)
        parameters = [parameter for parameter in self.module.parameters() if parameter.grad is not None]
        norm = float(whole_tensor(nn.utils.clip_grad_norm_(parameters, self._config.clip_norm)))
        # float() waits for the device: the step's one wait.
        total, stopping = self._world.sums(fmean(float(loss) for loss in losses), float(request.number > 0))
        value = total / self._world.size
        if not (math.isfinite(norm) and math.isfinite(value)):
            raise ModelError(f"training broke down at step {step}: loss {value}, gradient norm {norm}.")
        self._optimizer.step()
        self.average.update(self.module, step)
        found = {
            **mean_by_name(logged),
            "train/gradient_norm": norm,
            "train/learning_rate": learning_rate(step, self._run.steps, self._config),
        }
        return StepResult(value, found, StepTime(time.perf_counter() - began, waited_s, n_windows), stopping > 0)

    def state(self, facts: Mapping[str, Any]) -> State | None:
        """What to save, with `facts`; every process must ask, only the main one is told."""
        self.average.gather()
        tensors = (self.module.state_dict(), self.average.module.state_dict(), flat_optimizer(self._optimizer))
        model, average, optimizer = (_kept(part, self._world.main) for part in tensors)
        return State(model, average, optimizer, facts) if self._world.main else None

    def _accumulate(self, batch: Batch, place: int) -> tuple[Tensor, dict[str, float]]:
        """Add the gradient of one of a step's batches."""
        seed = _seed_of(self._run.seed, place)
        # Every process drops out other units, but draws the same from the generator: it speaks of the whole batch.
        torch.manual_seed(seed + (self._world.rank << 48))
        generator = torch.Generator().manual_seed(seed + 1)
        device = self._world.device
        last = (place + 1) % self._run.accumulate == 0
        with exchange(self._whole, now=last), _compiling(self._run.compile):
            with torch.autocast(device.type, torch.bfloat16, enabled=self._bfloat16):
                loss, numbers = self._whole(batch, generator)
            (loss / self._run.accumulate).backward()
        return loss.detach(), numbers


def mean_by_name(logged: list[dict[str, float]]) -> dict[str, float]:
    """The mean of each number over the batches that have it: not every batch has the same pair."""
    names = dict.fromkeys(name for numbers in logged for name in numbers)
    return {name: fmean(numbers[name] for numbers in logged if name in numbers) for name in names}


def _seed_of(seed: int, place: int) -> int:
    return (seed * 1_000_003 + place) * 2


def _kept(tensors: Mapping[str, Tensor], keep: bool) -> dict[str, Tensor]:
    """Whole tensors on the CPU, one after the other: a device need not hold them all."""
    kept = {}
    for name, tensor in tensors.items():
        whole = whole_tensor(tensor)
        if keep:
            kept[name] = whole.cpu()
    return kept


def _switch_on(module: nn.Module, run: RunConfig) -> None:
    """What trades memory or start-up time for speed; neither changes the names of parameters."""
    if run.checkpoint_activations:
        able = [part for part in module.modules() if hasattr(part, "checkpointing")]
        if not able:
            raise ModelError(
                f"run.checkpoint_activations: {type(module).__name__} has no part that can forget its activations; "
                "leave it false."
            )
        for part in able:
            setattr(part, "checkpointing", True)  # noqa: B010  (nn.Module promises tensors and modules only)
    if run.compile:
        # The blocks alone: they are alike, so that one compilation serves all, and a batch's pair changes nothing.
        for part in blocks(module) or [module]:
            part.compile()


@contextmanager
def _compiling(compiles: bool) -> Iterator[None]:
    if not compiles:
        yield
        return
    from torch._dynamo.exc import TorchDynamoException

    try:
        yield
    except TorchDynamoException as error:
        reason = " ".join(str(error).strip().splitlines()[:2])  # which part gave up, and why
        raise ModelError(f"torch.compile failed ({reason}); set run.compile: false.") from None
