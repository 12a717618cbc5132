"""Losses of labels that are partly known, against torch and scikit-learn where all is known, and by hand elsewhere."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, softmax
from sklearn.metrics import log_loss
from torch.nn import functional as F

from sleep2vec.objectives import masked_binary_cross_entropy, open_cross_entropy

SEEDS = st.integers(0, 10_000)
few = settings(max_examples=40, deadline=None)


def yes_no(seed, known_share=0.7, dtype=torch.float64):
    draw = np.random.default_rng(seed)
    logits, target = 3 * draw.standard_normal((4, 9)), (draw.random((4, 9)) < 0.3).astype(float)
    target[draw.random((4, 9)) > known_share] = np.nan
    return torch.tensor(logits, dtype=dtype), torch.tensor(target, dtype=dtype), torch.tensor(draw.random((4, 9)) < 0.8)


@given(seed=SEEDS)
@few
def test_yes_or_no_is_the_log_loss_of_what_is_known_and_counted(seed):
    logits, target, counted = yes_no(seed)
    for may in (None, counted):
        known = np.isfinite(target.numpy()) & (True if may is None else may.numpy())
        found = masked_binary_cross_entropy(logits, target, may).item()
        expected = log_loss(target.numpy()[known], expit(logits.numpy()[known]), labels=[0, 1])
        assert found == pytest.approx(expected, rel=1e-9)
        wanted = F.binary_cross_entropy_with_logits(logits[known], target[known]).item()
        assert found == pytest.approx(wanted, rel=1e-12)


@given(seed=SEEDS)
@few
def test_what_is_not_known_has_a_gradient_of_exactly_zero(seed):
    logits, target, counted = yes_no(seed)
    logits.requires_grad_()
    masked_binary_cross_entropy(logits, target, counted).backward()
    known = torch.isfinite(target) & counted
    assert not logits.grad[~known].any()
    slope = (logits.detach().sigmoid() - target) / known.sum()  # of minus the log-likelihood of a Bernoulli
    torch.testing.assert_close(logits.grad[known], slope[known], rtol=0, atol=1e-12)


def test_slopes_are_those_of_differences():
    logits, target, counted = yes_no(1)
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: masked_binary_cross_entropy(x, target, counted), logits)
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 5, generator=draw, dtype=torch.float64, requires_grad=True)
    allowed = torch.rand(6, 5, generator=draw) < 0.5
    allowed[:, 2] = True
    allowed[0] = True
    assert torch.autograd.gradcheck(lambda x: open_cross_entropy(x, allowed), logits)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_nothing_known_costs_nothing_and_teaches_nothing(dtype):
    logits = torch.randn(3, 5, dtype=dtype, requires_grad=True)
    for loss in (
        masked_binary_cross_entropy(logits, torch.full((3, 5), torch.nan)),
        masked_binary_cross_entropy(logits, torch.ones(3, 5), torch.zeros(3, 5, dtype=torch.bool)),
        open_cross_entropy(logits, torch.ones(3, 5, dtype=torch.bool)),
        open_cross_entropy(logits[:0], torch.ones(0, 5, dtype=torch.bool)),
    ):
        assert loss.item() == 0.0
        (slope,) = torch.autograd.grad(loss, logits)
        assert torch.equal(slope, torch.zeros_like(logits))


@pytest.mark.parametrize("loss", [
    lambda x: masked_binary_cross_entropy(x, torch.ones(4, 5)),
    lambda x: open_cross_entropy(x, torch.eye(5, dtype=torch.bool)[:4]),
])  # fmt: skip
def test_sixteen_bits_are_summed_in_thirty_two(loss):
    logits = torch.randn(4, 5).bfloat16()
    assert loss(logits).dtype == torch.float32
    assert loss(logits).item() == pytest.approx(loss(logits.double()).item(), rel=1e-6)


@given(seed=SEEDS)
@few
def test_one_open_class_is_the_cross_entropy(seed):
    draw = np.random.default_rng(seed)
    logits, target = torch.tensor(4 * draw.standard_normal((20, 5))), torch.tensor(draw.integers(0, 5, 20))
    found = open_cross_entropy(logits, F.one_hot(target, 5).bool()).item()
    assert found == pytest.approx(F.cross_entropy(logits, target).item(), rel=1e-12)
    told = softmax(logits.numpy(), axis=1)
    assert found == pytest.approx(log_loss(target.numpy(), told, labels=range(5)), rel=1e-6)


@given(seed=SEEDS)
@few
def test_several_open_classes_cost_minus_the_log_of_their_summed_probability(seed):
    """Rows that leave everything open do not count, nor do they teach."""
    draw = np.random.default_rng(seed)
    logits = torch.tensor(4 * draw.standard_normal((20, 5)), requires_grad=True)
    allowed = draw.random((20, 5)) < 0.5
    allowed[np.arange(20), draw.integers(0, 5, 20)] = True
    told = softmax(logits.detach().numpy(), axis=1)
    counted = ~allowed.all(axis=1)
    expected = np.mean([-np.log(told[n][allowed[n]].sum()) for n in np.flatnonzero(counted)])
    loss = open_cross_entropy(logits, torch.from_numpy(allowed))
    assert loss.item() == pytest.approx(expected, rel=1e-9)
    loss.backward()
    assert not logits.grad[~torch.from_numpy(counted)].any()
    assert (logits.grad[torch.from_numpy(counted)].abs().sum(dim=1) > 0).all()


def test_however_large_the_logits():
    logits = torch.tensor([[0.0, -4e4, -3e4, -5e4, 1e4]], requires_grad=True)
    loss = open_cross_entropy(logits, torch.tensor([[False, True, True, True, False]]))
    assert loss.item() == pytest.approx(4e4, rel=1e-6)
    loss.backward()
    torch.testing.assert_close(logits.grad, torch.tensor([[0.0, 0.0, -1.0, 0.0, 1.0]]))
