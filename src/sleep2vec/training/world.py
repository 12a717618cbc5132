"""The processes that train together: which of them this one is, and what they tell one another.

`torchrun` starts the processes and says so in their environment; whoever was started alone is a world of one.
"""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from sleep2vec.vocabulary.errors import ModelError, Sleep2vecError

# The main process may write and judge for long while the others wait for it.
_PATIENCE = timedelta(hours=2)
_FAILURES = "sleep2vec/failures"
# Gloo's thread wakes us from the last barrier first and drops its tensors then, which needs the interpreter: had that
# ended meanwhile, the process would abort. destroy_process_group waits for nobody where FSDP holds the group.
_PARTING_S = 0.1


@dataclass(frozen=True)
class World:
    """This process among those that share every batch.

    Attributes:
        rank: number of this process.
        size: how many there are, over all machines.
        device: where this one computes.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def main(self) -> bool:
        """Whether this is the process that writes files and speaks to people."""
        return self.rank == 0

    def share(self, n: int) -> slice:
        """Which of `n` rows are this process's: all rows have one owner, and shares differ by one row at most."""
        return slice(n * self.rank // self.size, n * (self.rank + 1) // self.size)

    def sums(self, *values: float) -> tuple[float, ...]:
        """The sums over all processes, each of which must call this."""
        if self.size == 1:
            return values
        total = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(total)
        return tuple(total.tolist())

    def gathered(self, value: Any) -> list[Any]:
        """What every process holds, in order of rank; a JSON value."""
        if self.size == 1:
            return [value]
        # torch's own way of sending objects pickles them.
        own = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
        lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        dist.all_gather(lengths, torch.tensor([len(own)]))
        longest = max(int(length) for length in lengths)
        texts = [torch.zeros(longest, dtype=torch.uint8) for _ in range(self.size)]
        dist.all_gather(texts, nn.functional.pad(own, (0, longest - len(own))))
        return [json.loads(bytes(text[: int(length)].tolist())) for text, length in zip(texts, lengths, strict=True)]

    def agree(self, module: nn.Module) -> None:
        """Give every process the main one's parameters and buffers."""
        if self.size > 1:
            with torch.no_grad():
                for tensor in (*module.parameters(), *module.buffers()):
                    dist.broadcast(tensor, 0)


@contextmanager
def joined_world(device: str = "auto") -> Iterator[World]:
    """Meet the other processes that `torchrun` has started, and part at the end.

    When one process fails, the first to fail says why and the others end in silence.

    Args:
        device: ``auto``, ``cpu`` or ``cuda``; with several processes on a machine each takes a CUDA device of its own.

    Raises:
        ModelError: there is no such device, or fewer of them than processes.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World(device=pick_device(device))
        return
    rank, local_rank = int(os.environ["RANK"]), int(os.environ["LOCAL_RANK"])
    place = pick_device(device, local_rank)
    if place.type == "cuda":
        torch.cuda.set_device(place)
    # Numbers and words travel between the CPUs, gradients between the devices.
    backend = "cpu:gloo,cuda:nccl" if place.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=_PATIENCE, device_id=place if place.type == "cuda" else None)
    try:
        yield World(rank, size, place)
        dist.barrier() if place.type == "cpu" else dist.barrier(device_ids=[place.index])
    except BaseException as error:
        if _first_to_fail():
            raise
        # This process only suffers from what another has told already.
        raise SystemExit(error.exit_code if isinstance(error, Sleep2vecError) else 1) from None
    time.sleep(_PARTING_S)
    # After a failure others may hang in the group: it goes with the process.
    dist.destroy_process_group()


def pick_device(name: str, local_rank: int = 0) -> torch.device:
    """``auto`` is a CUDA device where there is one, else the CPU."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ModelError("the recipe asks for device cuda, but torch sees no CUDA device; use device: auto or cpu.")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    n_devices = torch.cuda.device_count()
    if local_rank >= n_devices:
        raise ModelError(
            f"process {local_rank + 1} of this machine finds only {n_devices} CUDA devices; "
            f"start torchrun with --nproc-per-node {n_devices}, or use device: cpu."
        )
    return torch.device("cuda", local_rank)


def _first_to_fail() -> bool:
    try:
        # torchrun holds the store, so it outlives the process that failed.
        return bool(dist.distributed_c10d._get_default_store().add(_FAILURES, 1) == 1)
    except (RuntimeError, ValueError):  # the store is gone, as after a kill from outside: better said twice than never
        return True
