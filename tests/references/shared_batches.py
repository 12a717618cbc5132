"""Batches made up in memory and learned from by one process, or by several that share them.

    python shared_batches.py FOLDER RANK SIZE

runs this process's part of every case over gloo and writes what came out to FOLDER/RANK.npz.
"""

import sys
import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from sleep2vec.data.metadata import Metadata
from sleep2vec.data.pairs import PairBatch
from sleep2vec.data.window import View
from sleep2vec.model.encoder import ModelConfig
from sleep2vec.objectives import Gathering
from sleep2vec.tasks.alignment import Aligner, AlignmentConfig
from sleep2vec.tasks.pretraining import alignment_loss
from sleep2vec.vocabulary.errors import UsageError

NAMES = ("airflow", "belt", "spo2")
N_WINDOWS, N_TOKENS = 7, 6
UNEQUAL, EQUAL = (0, 2, 7), (0, 3, 6)
MOMENTS = {"drawn": 2, "exclusion_tokens": 1}

CASES = {
    "dash_infonce": ({"objective": "dash_infonce", "temporal": MOMENTS}, 2, UNEQUAL),
    "dash_infonce of equal shares": ({"objective": "dash_infonce", "temporal": MOMENTS}, 2, EQUAL),
    "dash_infonce of three views": ({"objective": "dash_infonce", "temporal": MOMENTS}, 3, UNEQUAL),
    "small temperature": ({"objective": "dash_infonce", "temporal": MOMENTS, "temperature": 0.02}, 2, UNEQUAL),
    "infonce": ({"objective": "infonce", "window_weight": 0.0}, 2, UNEQUAL),
    "leave_one_out": ({"objective": "leave_one_out"}, 3, UNEQUAL),
    "reconstruction": ({"objective": "reconstruction", "masked_share": 0.4}, 2, UNEQUAL),
    "contrast and reconstruction": ({"reconstruction_weight": 0.5, "masked_share": 0.4}, 2, UNEQUAL),
}


def made_batch(n_views: int, n_windows: int, rows: slice) -> PairBatch:
    """Noise with holes; windows 0 and 3 are of one night, some people are unknown."""
    draw = torch.Generator().manual_seed(n_views)
    views = []
    for _ in range(n_views):
        valid_BL = torch.rand(n_windows, N_TOKENS, generator=draw) < 0.8
        valid_BL[1] = False  # a window without a token, so that shares differ in what they hold
        values_BLS = torch.randn(n_windows, N_TOKENS, 120, generator=draw) * valid_BL[..., None]
        views.append(View(values_BLS[rows], valid_BL[rows]))
    age = torch.tensor([30.0, 41, torch.nan, 30, 66, 12, 50], dtype=torch.float64)
    sex = torch.tensor([0.0, 1, 1, 0, torch.nan, 0, 1], dtype=torch.float64)
    site = torch.tensor([0.0, 1, 0, 0, 1, 1, torch.nan], dtype=torch.float64)
    night = torch.tensor([0.0, 1, 2, 0, 3, 4, 5], dtype=torch.float64)
    known = Metadata(*(values[:n_windows] for values in (age, sex, site, night, night)))
    return PairBatch(NAMES[:n_views], tuple(views), known, rows)


class Learner(nn.Module):
    """The loss as a module, as torch's data parallelism wants it."""

    def __init__(self, config: AlignmentConfig) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.module = Aligner(ModelConfig(modalities=NAMES, dropout=0.0), config)
        self.config = config

    def forward(self, batch: PairBatch) -> torch.Tensor:
        return alignment_loss(self.module, batch, self.config, torch.Generator().manual_seed(5))[0]


def learned(case: str, share: int | None = None) -> dict[str, np.ndarray]:
    """Loss and gradients of a case: of the whole batch, or of one process's share of it."""
    constants, n_views, ends = CASES[case]
    learner = Learner(AlignmentConfig(**constants))
    rows = slice(None) if share is None else slice(ends[share], ends[share + 1])
    batch = made_batch(n_views, ends[-1], rows)
    whole = learner if share is None else nn.parallel.DistributedDataParallel(learner, find_unused_parameters=True)
    loss = whole(batch)
    loss.backward()
    gradients = {name: p.grad.numpy() for name, p in learner.named_parameters() if p.grad is not None}
    return {"loss": loss.detach().numpy(), **gradients}


def gathered(share: int) -> dict[str, np.ndarray]:
    """What `Gathering` makes of 16-bit numbers and flags in unequal shares."""
    rows = [slice(*pair) for pair in pairwise(UNEQUAL)][share]
    gathering = Gathering(rows, N_WINDOWS, N_TOKENS, torch.device("cpu"))
    numbers = torch.arange(N_WINDOWS * 2).reshape(-1, 2)[rows]
    return {
        "bfloat16": gathering.whole(numbers.bfloat16()).float().numpy(),
        "flags": gathering.whole(numbers % 3 == 0).numpy(),
        "total": gathering.total(numbers.sum()).numpy(),
    }


def refusals(share: int) -> dict[str, np.ndarray]:
    """What is said to processes whose shares are not a batch."""
    mistakes = {
        "hole": ((slice(0, 2), slice(3, 7))[share], N_TOKENS),
        "overlap": (slice(0, 7), N_TOKENS),
        "order": ((slice(2, 7), slice(0, 2))[share], N_TOKENS),
        "length": ((slice(0, 2), slice(2, 7))[share], N_TOKENS + share),
    }
    said = {}
    for name, (rows, n_tokens) in mistakes.items():
        try:
            Gathering(rows, N_WINDOWS, n_tokens, torch.device("cpu"))
        except UsageError as error:
            said[name] = np.array(str(error))
    return said


def main(folder: Path, rank: int, size: int) -> None:
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=size)
    found = {f"{case}/{name}": value for case in CASES for name, value in learned(case, rank).items()}
    found |= {f"gathered/{name}": value for name, value in gathered(rank).items()}
    found |= {f"refused/{name}": value for name, value in refusals(rank).items()}
    np.savez(folder / f"{rank}.npz", **found)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
