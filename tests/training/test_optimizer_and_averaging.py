"""How weights move, against formulas."""

import math

import pytest
import torch
from torch import nn

from sleep2vec.training.averaging import Average
from sleep2vec.training.optimizer import OptimizerConfig, build_optimizer, learning_rate, set_learning_rate


@pytest.mark.parametrize(("n_steps", "warmup"), [(100, 0.03), (1000, 0.1), (7, 0.5), (50, 0.0), (10, 1.0), (1, 0.03)])
def test_the_rate_is_a_ramp_and_a_half_cosine(n_steps, warmup):
    """Closed form: (k + 1) / W on the ramp, then the cosine from 1 at step W to the final share at the last step."""
    config = OptimizerConfig(learning_rate=2e-3, warmup_share=warmup, final_share=0.1)
    n_warmup = round(warmup * n_steps)
    for step in range(n_steps):
        if step < n_warmup:
            expected = 2e-3 * (step + 1) / n_warmup
        else:
            angle = math.pi * (step - n_warmup) / max(1, n_steps - 1 - n_warmup)
            expected = 2e-3 * (0.55 + 0.45 * math.cos(angle))
        assert learning_rate(step, n_steps, config) == pytest.approx(expected, rel=1e-12)


def test_the_rate_peaks_after_the_ramp_and_ends_at_a_tenth():
    """method.md 5: 3 % warm-up, cosine to 10 %."""
    config = OptimizerConfig(learning_rate=1.0)
    rates = [learning_rate(step, 1000, config) for step in range(1000)]
    assert rates.index(max(rates)) == 29
    assert max(rates) == 1.0
    assert rates[-1] == pytest.approx(0.1, rel=1e-12)
    assert sorted(rates[:30]) == rates[:30]
    assert sorted(rates[30:], reverse=True) == rates[30:]


def test_the_longest_prefix_decides_the_factor_and_vectors_do_not_decay():
    module = nn.ModuleDict({"encoder": nn.ModuleDict({"new": nn.Linear(3, 3)}), "head": nn.LayerNorm(3)})
    module["encoder"]["old"] = nn.Linear(3, 3)
    module["frozen"] = nn.Linear(3, 3).requires_grad_(False)
    optimizer = build_optimizer(module, OptimizerConfig(weight_decay=0.01), {"encoder.": 0.1, "encoder.new": 1.0})
    set_learning_rate(optimizer, 4.0)
    found = {id(p): (g["lr"], g["weight_decay"]) for g in optimizer.param_groups for p in g["params"]}
    expected = {
        name: (0.4 if name.startswith("encoder.old") else 4.0, 0.01 if parameter.dim() == 2 else 0.0)
        for name, parameter in module.named_parameters()
        if not name.startswith("frozen")
    }
    assert {name: found.get(id(p)) for name, p in module.named_parameters() if id(p) in found} == expected


class Holder(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
        self.register_buffer("seen", torch.zeros(1))


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.996, 1.0])
def test_the_average_is_the_weighted_sum_of_all_it_followed(decay):
    """Closed form: x_k weighs (1 - d_k) d_(k+1) ... d_(n-1); d rises to 1, but no faster than (1 + k) / (10 + k)."""
    n, module = 60, Holder()
    average = Average(module, decay, n)
    values = [1.0, *torch.randn(n, dtype=torch.float64).tolist()]
    for step in range(n):
        module.weight.data.fill_(values[step + 1])
        module.seen.fill_(step)
        average.update(module, step)
    decays = [min((1 + k) / (10 + k), decay + (1 - decay) * k / n) for k in range(n)]
    shares = [math.prod(decays)] + [(1 - decays[k]) * math.prod(decays[k + 1 :]) for k in range(n)]
    assert sum(shares) == pytest.approx(1.0)
    expected = sum(share * value for share, value in zip(shares, values, strict=True))
    assert average.module.weight.item() == pytest.approx(expected, rel=1e-10)
    assert average.module.seen.item() == n - 1  # statistics belong to the last step
    assert not average.module.weight.requires_grad
    assert not average.module.training
