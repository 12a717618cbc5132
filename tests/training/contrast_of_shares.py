"""A small contrast over a batch that several processes share, and what they do with it when torchrun starts this file.

Dimension letters: B windows of the whole batch, b of this process, S samples, D features.
"""

import json
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch import nn

from sleep2vec.training.optimizer import OptimizerConfig
from sleep2vec.training.runner import RunConfig, Work, train
from sleep2vec.training.world import World, joined_world
from sleep2vec.vocabulary.errors import Sleep2vecError, StoreError

B, S, D = 8, 6, 10
OPTIMIZER = OptimizerConfig(learning_rate=1e-2, clip_norm=0.5)


class Block(nn.Module):
    """Of a class of its own: torch compiles what is not torch's."""

    def __init__(self) -> None:
        super().__init__()
        self.narrow, self.widen = nn.Linear(D, 3), nn.Linear(3, D)

    def forward(self, x_BD: torch.Tensor) -> torch.Tensor:
        return self.widen(nn.functional.gelu(self.narrow(x_BD)))


class Contrast(nn.Module):
    """Two front doors, of which a batch uses one; blocks that could be sharded; a buffer; a part nobody uses."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.doors = nn.ModuleDict({"even": nn.Linear(S, D), "odd": nn.Linear(S, D)})
        self.layers = nn.ModuleList(Block() for _ in range(2))
        self.dropout = nn.Dropout(dropout)
        self.scale = nn.Parameter(torch.tensor([1.5]))
        self.unused = nn.Linear(3, 3)
        self.register_buffer("offset", torch.tensor(0.25))

    def forward(self, door: str, x_BS: torch.Tensor) -> torch.Tensor:
        z_BD = self.doors[door](self.scale * x_BS) + self.offset
        for layer in self.layers:
            z_BD = z_BD + self.dropout(layer(z_BD))
        return z_BD


class Gathered(torch.autograd.Function):
    """The rows of all processes; a row's gradient is the sum of what all processes' losses say of it."""

    @staticmethod
    def forward(ctx, own_bD, world):
        ctx.world = world
        parts = [torch.empty_like(own_bD) for _ in range(world.size)]
        dist.all_gather(parts, own_bD.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx, gradient_BD):
        total_BD = gradient_BD.clone()
        dist.all_reduce(total_BD)
        return total_BD[ctx.world.share(len(total_BD))], None


def whole_batch(place: int) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(place)
    first_BS = torch.randn(B, S, generator=draw)
    return first_BS, first_BS + 0.5 * torch.randn(B, S, generator=draw)


def plain_loss(first_BD: torch.Tensor, second_BD: torch.Tensor) -> torch.Tensor:
    """InfoNCE of the whole batch in both directions."""
    similarity_BB = nn.functional.normalize(first_BD, dim=1) @ nn.functional.normalize(second_BD, dim=1).T / 0.2
    places_B = torch.arange(len(first_BD))
    one, other = (nn.functional.cross_entropy(s, places_B) for s in (similarity_BB, similarity_BB.T))
    return (one + other) / 2


class EndedError(Exception):
    """Stands for a kill of every process at once."""


def contrast_work(world: World, dropout: float = 0.0, ends_at: int | None = None) -> Work:
    """Work that ends without warning when it is asked for batch `ends_at`."""
    torch.manual_seed(3)

    def batch(place):
        if place == ends_at:
            raise EndedError
        return "odd" if place % 3 == 2 else "even", tuple(x_BS[world.share(B)] for x_BS in whole_batch(place))

    def loss(module, batch, generator):
        door, (first_bS, second_bS) = batch
        first_bD, second_bD = module(door, first_bS), module(door, second_bS)
        if world.size > 1:
            first_bD, second_bD = Gathered.apply(first_bD, world), Gathered.apply(second_bD, world)
        value = plain_loss(first_bD, second_bD)
        return value, {f"train/loss_{door}": float(value.detach())}

    return Work(
        module=Contrast(dropout),
        batch=batch,
        to_device=lambda b, _: b,
        loss=loss,
        validate=lambda module: {"validation/sum": float(sum(p.sum() for p in module.parameters()))},
        rates={"layers": 0.5},
        windows=lambda _: B,
    )


def run_config(**settings) -> RunConfig:
    common = {"steps": 3, "seed": 4, "ema_decay": 0.6, "validate_every": 2, "save_every": 2, "log_every": 1}
    return RunConfig(**(common | {"device": "cpu", "precision": "float32"} | settings))


VARIANTS = {
    "ddp": {"strategy": "ddp"},
    "fsdp": {"strategy": "fsdp"},
    "ddp-accumulated": {"strategy": "ddp", "accumulate": 3},
    "fsdp-accumulated": {"strategy": "fsdp", "accumulate": 3},
}


def run_variants(folder: Path) -> None:
    """Every variant from its beginning; a run that one process began; and the first half of one for it to end."""
    with joined_world("cpu") as world:
        for name, settings in VARIANTS.items():
            average = train(contrast_work(world), run_config(**settings), OPTIMIZER, folder / name, "x", world=world)
            if world.main:
                save_file(average.state_dict(), folder / f"{name}.safetensors")
        for strategy in ("ddp", "fsdp"):
            config = run_config(steps=5, strategy=strategy)
            train(contrast_work(world), config, OPTIMIZER, folder / f"one-then-{strategy}", "x", world=world)
            with suppress(EndedError):
                work = contrast_work(world, ends_at=3)
                train(work, config, OPTIMIZER, folder / f"{strategy}-then-one", "x", world=world)
        facts = {"share": list(range(B))[world.share(B)], "sums": world.sums(1.0, world.rank)}
        (folder / f"rank{world.rank}.json").write_text(json.dumps(facts))


def run_until_one_fails(folder: Path) -> None:
    """The second process cannot read its share of the third batch."""
    with joined_world("cpu") as world:
        work = contrast_work(world)

        def batch(place):
            if place == 2 and world.rank == 1:
                raise StoreError("night n7 is damaged; ingest it again.")
            return work.batch(place)

        train(replace(work, batch=batch), run_config(), OPTIMIZER, folder, "x", world=world)


if __name__ == "__main__":
    try:
        {"variants": run_variants, "failure": run_until_one_fails}[sys.argv[1]](Path(sys.argv[2]))
    except Sleep2vecError as error:
        print(f"sleep2vec: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
