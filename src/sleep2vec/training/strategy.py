"""How one module learns in several processes: torch's own data parallelism, whole (DDP) or in shards (FSDP2)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from sleep2vec.training.world import World
from sleep2vec.vocabulary.errors import ModelError

StrategyName = Literal["auto", "single", "ddp", "fsdp"]


class LossModule(nn.Module):
    """A loss as a module, because torch's engines watch the forward pass of one.

    So a loss may call its module more than once, or parts of it alone.
    """

    def __init__(self, module: nn.Module, loss: Callable[..., tuple[Tensor, dict[str, float]]]) -> None:
        super().__init__()
        self.module, self.loss = module, loss

    def forward(self, batch: Any, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        return self.loss(self.module, batch, generator)


def pick_strategy(name: StrategyName, world: World) -> StrategyName:
    """What `name` means here; a process alone is ``single`` whatever the recipe says, so that it runs on a laptop.

    Raises:
        ModelError: ``single`` with several processes, which would all do the same.
    """
    if world.size == 1:
        return "single"
    if name == "single":
        raise ModelError(
            f"the recipe asks for strategy single, but torchrun started {world.size} processes; "
            "use strategy: auto, or start one."
        )
    return "ddp" if name == "auto" else name


def spread(whole: LossModule, strategy: StrategyName, world: World) -> nn.Module:
    """The module whose forward and backward pass leave the mean gradient of all processes.

    With ``fsdp`` the parameters of ``whole.module`` become shards in place, under their own names.
    """
    if strategy == "ddp":
        # A batch of one pair of modalities uses two tokenizers of nine.
        return DistributedDataParallel(whole, find_unused_parameters=True)
    if strategy == "fsdp":
        # Imported here: 1 s, which a laptop need not wait.
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        scalars = [name for name, parameter in whole.module.named_parameters() if parameter.dim() == 0]
        if scalars:
            raise ModelError(
                f"strategy fsdp cannot shard {', '.join(scalars)}, a single number; use strategy: ddp for this model."
            )
        mesh = init_device_mesh(world.device.type, (world.size,))
        for block in blocks(whole.module):
            fully_shard(block, mesh=mesh)
        fully_shard(whole, mesh=mesh)
    return whole


@contextmanager
def exchange(spread_module: nn.Module, now: bool) -> Iterator[None]:
    """Gradients of the processes meet in this backward pass, or only in a later one of the same step."""
    waits = isinstance(spread_module, DistributedDataParallel) and not now
    with cast(DistributedDataParallel, spread_module).no_sync() if waits else nullcontext():
        yield


def blocks(module: nn.Module) -> list[nn.Module]:
    """The repeated parts of a module, innermost first: what is sharded, and compiled, one by one."""
    lists = [part for part in module.modules() if isinstance(part, nn.ModuleList)]
    return [block for part in reversed(lists) for block in part]


def whole_tensor(tensor: Tensor) -> Tensor:
    """A sharded tensor put together (every process must ask), or the tensor itself."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def own_part(tensor: Tensor) -> Tensor:
    """This process's shard of a tensor, or the tensor itself; shares its memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def sharded_like(tensor: Tensor, model: Tensor) -> Tensor:
    """A tensor that every process holds whole, sharded as `model` is."""
    if not isinstance(model, DTensor):
        return tensor
    place = tensor.to(model.device)
    return distribute_tensor(place, model.device_mesh, model.placements, src_data_rank=None)
