"""Cross-entropy of tokens against its definition."""

import math

import pytest
import torch

from sleep2vec.objectives import masked_cross_entropy

NAN = float("nan")


def test_only_scored_and_readable_tokens_count():
    """Definition: minus the log of the softmax at the target, averaged over the two tokens that count."""
    logits = torch.tensor([[[2.0, 0.0, -1.0], [0.5, 0.5, 3.0], [9.0, 0.0, 0.0], [0.0, 7.0, 0.0]]], dtype=torch.float64)
    target = torch.tensor([[0.0, 2.0, 1.0, NAN]])
    readable = torch.tensor([[True, True, False, True]])
    expected = -sum(
        math.log(math.exp(row[k]) / sum(map(math.exp, row)))
        for row, k in ((logits[0, 0].tolist(), 0), (logits[0, 1].tolist(), 2))
    )
    assert masked_cross_entropy(logits, target, readable).item() == pytest.approx(expected / 2, rel=1e-6)


def test_what_does_not_count_gets_no_gradient():
    logits = torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
    target = torch.tensor([[0.0, NAN, 2, 3, 4, 1], [1, 2, NAN, NAN, 0, 0]])
    readable = torch.tensor([[1, 1, 0, 1, 1, 1], [1, 1, 1, 0, 1, 0]]).bool()
    masked_cross_entropy(logits, target, readable).backward()
    counted = readable & ~target.isnan()
    assert (logits.grad.abs().sum(dim=-1) > 0).equal(counted)


def test_nobody_scored_is_a_loss_of_zero():
    logits = torch.randn(1, 3, 5).requires_grad_()
    loss = masked_cross_entropy(logits, torch.full((1, 3), NAN), torch.ones(1, 3, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0.0
    assert not logits.grad.any()


def test_equal_logits_cost_log_of_the_number_of_classes():
    logits, target = torch.zeros(3, 4, 5, dtype=torch.float64), torch.zeros(3, 4)
    assert masked_cross_entropy(logits, target, torch.ones(3, 4, dtype=torch.bool)).item() == pytest.approx(
        math.log(5), rel=1e-6
    )
