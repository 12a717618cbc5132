"""The exponential moving average of a model, which is what gets evaluated and shipped."""

import copy

import torch
from torch import nn


class Average:
    """Follows a model's parameters; buffers are copied, so that statistics belong to the last step.

    Args:
        module: what to follow.
        decay: at the first step; it rises linearly to 1 at the last, so that the end averages the most.
        n_steps: of the run.
    """

    def __init__(self, module: nn.Module, decay: float, n_steps: int) -> None:
        self.module = copy.deepcopy(module).eval().requires_grad_(False)
        self._decay, self._n_steps = decay, n_steps

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Move towards `module` after step `step`."""
        # The first steps leave a random start quickly: without the ramp an average over 250 steps still holds it.
        ramp = (1 + step) / (10 + step)
        decay = min(ramp, self._decay + (1 - self._decay) * step / max(1, self._n_steps))
        averaged = [parameter.data for parameter in self.module.parameters()]
        torch._foreach_lerp_(averaged, [parameter.data for parameter in module.parameters()], 1 - decay)
        for own, followed in zip(self.module.buffers(), module.buffers(), strict=True):
            own.copy_(followed)
