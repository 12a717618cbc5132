"""The exponential moving average of a model, which is what gets evaluated and shipped."""

import copy

import torch
from torch import Tensor, nn

from sleep2vec.training.strategy import own_part, sharded_like, whole_tensor


class Average:
    """Follows a model's parameters; buffers are copied, so that statistics belong to the last step.

    Args:
        module: what to follow.
        decay: at the first step; it rises linearly to 1 at the last, so that the end averages the most.
        n_steps: of the run.

    Attributes:
        module: The average, whole in every process. Of a sharded model it is up to date only after `gather`.
    """

    def __init__(self, module: nn.Module, decay: float, n_steps: int) -> None:
        self.module = copy.deepcopy(module).eval().requires_grad_(False)
        self._decay, self._n_steps = decay, n_steps
        self._held: list[Tensor] = [parameter.data for parameter in self.module.parameters()]

    @torch.no_grad()
    def shard_like(self, module: nn.Module) -> None:
        """Follow only this process's shards from now on, when `module` has been sharded."""
        pairs = zip(self._held, module.parameters(), strict=True)
        self._held = [sharded_like(own, followed) for own, followed in pairs]

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Move towards `module` after step `step`."""
        # The first steps leave a random start quickly: without the ramp an average over 250 steps still holds it.
        ramp = (1 + step) / (10 + step)
        decay = min(ramp, self._decay + (1 - self._decay) * step / max(1, self._n_steps))
        followed = [own_part(parameter.data) for parameter in module.parameters()]
        torch._foreach_lerp_([own_part(held) for held in self._held], followed, 1 - decay)
        for own, buffer in zip(self.module.buffers(), module.buffers(), strict=True):
            own.copy_(buffer)

    @torch.no_grad()
    def gather(self) -> nn.Module:
        """The average, whole. Every process must ask."""
        for parameter, held in zip(self.module.parameters(), self._held, strict=True):
            whole = whole_tensor(held)
            if whole is not parameter.data and whole.data_ptr() != parameter.data_ptr():
                parameter.copy_(whole)
        return self.module
