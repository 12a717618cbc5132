"""One batch over several processes: each embeds its windows, and all contrast them with everybody's.

Dimension letters: B windows of the whole batch, b windows of this process.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from sleep2vec.vocabulary.errors import UsageError


class Gathering:
    """What the processes that share a batch know of one another.

    Every process makes one, and asks it for the same things in the same order. Of the whole batch's embeddings a
    process takes its own windows as anchors, divides by what *all* anchors number, and multiplies by `n_processes`:
    then the mean of the processes' losses and gradients (which DDP takes) is that of one process with the whole batch.

    Args:
        rows: of the batch's windows, those that this process holds.
        n_windows: B, over all processes.
        n_tokens: of each window; alike in all processes.
        device: where the tensors are.

    Attributes:
        n_processes: 1 where torch.distributed is not at work.
        own: `rows` with numbers for its ends.

    Raises:
        UsageError: the processes' windows are not the batch, each once and in order, or differ in length.
    """

    def __init__(self, rows: slice, n_windows: int, n_tokens: int, device: torch.device) -> None:
        start, stop, _ = rows.indices(n_windows)
        self.own = slice(start, stop)
        self.n_processes = dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
        self.sizes = [stop - start]
        places = [[start, stop, n_tokens]]
        if self.n_processes > 1:
            here = torch.tensor(places[0], device=device)
            everywhere = [torch.empty_like(here) for _ in range(self.n_processes)]
            dist.all_gather(everywhere, here)
            places = [place.tolist() for place in everywhere]
            self.sizes = [stop - start for start, stop, _ in places]
        _check(places, n_windows)

    def whole(self, own: Tensor) -> Tensor:
        """(b, ...) of this process -> (B, ...) of all, in order; gradients find their way back."""
        if self.n_processes == 1:
            return own
        if own.dtype == torch.bool:
            return self.whole(own.to(torch.uint8)).bool()
        gathered: Tensor = _Gather.apply(own, self.own, self.sizes)
        return gathered

    def total(self, own: Tensor) -> Tensor:
        """The sum over the processes, without a gradient."""
        if self.n_processes == 1:
            return own
        total = own.detach().clone()
        dist.all_reduce(total)
        return total


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, own: Tensor, rows: slice, sizes: Sequence[int]) -> Tensor:
        ctx.rows = rows
        # Collectives want equal sizes: shorter shares are filled up.
        filled = own.new_zeros((max(sizes), *own.shape[1:]))
        filled[: len(own)] = own
        parts = [torch.empty_like(filled) for _ in sizes]
        dist.all_gather(parts, filled)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        # An embedding is a candidate in every process. gloo has no reduce_scatter; the sum may be of 16-bit numbers.
        total = gradient.to(torch.promote_types(gradient.dtype, torch.float32), copy=True).contiguous()
        dist.all_reduce(total)
        return total[ctx.rows].to(gradient.dtype), None, None


def _check(places: Sequence[Sequence[int]], n_windows: int) -> None:
    ends = [0, *(stop for _, stop, _ in places)]
    if [start for start, _, _ in places] != ends[:-1] or ends[-1] != n_windows:
        held = ", ".join(f"{start} to {stop}" for start, stop, _ in places)
        who = "1 process at work holds" if len(places) == 1 else f"{len(places)} processes at work hold"
        raise UsageError(
            f"the {who} windows {held} of a batch of {n_windows}; each window needs one process, in the order of "
            "their ranks: give each its share, or start as many as there are shares."
        )
    lengths = sorted({length for _, _, length in places})
    if len(lengths) > 1:
        raise UsageError(
            f"the processes' windows have {', '.join(map(str, lengths))} tokens; pad all of a batch to one length."
        )
