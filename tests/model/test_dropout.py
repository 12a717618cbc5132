"""Dropout on a CPU against the binomial law and against torch's own."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from sleep2vec.model.dropout import Dropout, dropped


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.97])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_number_of_zeros_is_binomial_and_neighbours_know_nothing_of_each_other(share, dtype):
    torch.manual_seed(0)
    n = 400_000
    gone = (dropped(torch.ones(n, dtype=dtype), share) == 0).double()
    deviation = (share * (1 - share) / n) ** 0.5
    assert abs(float(gone.mean()) - share) < 5 * deviation
    for distance in (1, 2, 3, 4, 5, 8):  # four elements share a draw
        both = float((gone[distance:] * gone[:-distance]).mean())
        assert abs(both - share**2) < 5 * (share**2 * (1 - share**2) / n) ** 0.5 + 10 * share * deviation


@given(
    shape=st.lists(st.integers(0, 5), min_size=0, max_size=4),
    share=st.floats(0, 0.99),
    seed=st.integers(0, 2**32),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
)
@settings(max_examples=60, deadline=None)
def test_an_element_is_gone_or_scaled_whatever_the_shape_and_so_is_its_gradient(shape, share, seed, dtype):
    torch.manual_seed(seed)
    x = (torch.rand(shape) + 0.5).to(dtype).requires_grad_()
    result = dropped(x, share)
    result.sum().backward()
    assert result.shape == x.shape
    assert result.dtype == dtype
    scale = 1 / (1 - share)
    torch.testing.assert_close(result, torch.where(result == 0, 0.0, x * scale).to(dtype), rtol=0.01, atol=0)
    torch.testing.assert_close(x.grad, torch.where(result == 0, 0.0, torch.full_like(x, scale)), rtol=0.01, atol=0)


def test_a_seed_repeats_it_and_only_training_drops():
    x = torch.ones(1000)
    layer = Dropout(0.3)
    torch.manual_seed(4)
    first, second = layer(x), layer(x)
    torch.manual_seed(4)
    assert torch.equal(layer(x), first)
    assert not torch.equal(first, second)
    assert torch.equal(layer.eval()(x), x)


def test_mean_and_variance_are_those_of_torch():
    torch.manual_seed(0)
    x = torch.linspace(1, 2, 500).expand(2000, 500)
    ours, theirs = dropped(x, 0.2).double(), F.dropout(x, 0.2).double()
    torch.testing.assert_close(ours.mean(0), theirs.mean(0), rtol=0, atol=6 * 2 * (0.25 * 2 / 2000) ** 0.5)
    torch.testing.assert_close(ours.var(), theirs.var(), rtol=0.01, atol=0)
