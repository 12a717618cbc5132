"""Leave-one-out contrast against a slow restatement, closed forms and symmetries."""

import math

import numpy as np
import pytest
import torch
from plain_dash import plain_leave_one_out

from sleep2vec.objectives import (
    TemporalNegatives,
    dash_infonce,
    infonce,
    leave_one_out,
    negative_weights,
    same_person,
)

M, B, L, D = 3, 5, 4, 6


def views(seed: int, n: int = M) -> list[torch.Tensor]:
    return list(torch.randn(n, B, L, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))


def some_valid(n: int = M) -> list[torch.Tensor]:
    valid = torch.rand(n, B, L, generator=torch.Generator().manual_seed(2)) < 0.6
    valid[:, 3, 1] = False
    valid[0, 3, 1] = True  # nobody else: nothing to be contrasted with
    return list(valid)


def people() -> dict[str, torch.Tensor]:
    night, code = torch.tensor([0, 0, 1, 2, 3]), torch.arange(B)
    return {"weights": negative_weights(20 + 9.0 * code, code % 2, code % 3, night), "same_night": same_person(night)}


@pytest.mark.parametrize("n", [2, 3, 4])
def test_the_loss_is_the_slow_restatement(n):
    known, valid = people(), some_valid(n)
    terms = {"temperature": 0.3, "margin": 0.2}
    loss = leave_one_out(views(0, n), valid=valid, **known, **terms)
    arrays = ([x.numpy() for x in views(0, n)], known["weights"].numpy(), known["same_night"].numpy())
    plain = plain_leave_one_out(*arrays, valid=[v.numpy() for v in valid], **terms)
    assert loss.item() == pytest.approx(plain, rel=1e-12)


def test_of_two_views_it_is_infonce():
    first, second = views(1, 2)
    valid = some_valid(2)
    expected = infonce(first, second, 0.2, valid=valid[0] & valid[1])
    assert leave_one_out([first, second], valid=valid).item() == pytest.approx(expected.item(), rel=1e-13)


def test_of_two_views_with_moments_it_is_dash():
    first, second = views(2, 2)
    everything = {**people(), "temporal": TemporalNegatives(99, 0), "margin": 0.1}
    expected = dash_infonce(first, second, **everything)
    assert leave_one_out([first, second], **everything).item() == pytest.approx(expected.item(), rel=1e-13)


def test_a_modality_that_is_nowhere_valid_might_as_well_not_be_there():
    *seen, unseen = views(3, 4)
    valid = [torch.ones(B, L, dtype=torch.bool)] * 3
    with_it = leave_one_out([*seen, unseen], valid=[*valid, torch.zeros(B, L, dtype=torch.bool)])
    assert with_it.item() == pytest.approx(leave_one_out(seen).item(), rel=1e-13)


def test_identical_views_of_orthogonal_windows_have_a_closed_form():
    """Each modality and the mean of the others coincide; other windows are orthogonal."""
    pairs = torch.eye(8, dtype=torch.float64)
    loss = leave_one_out([pairs] * 4, temperature=0.5)
    assert loss.item() == pytest.approx(math.log1p(7 * math.exp(-1 / 0.5)), rel=1e-12)


def test_lengths_do_not_count():
    """The mean is of directions: a modality with long vectors has no more to say."""
    first, second, third = views(4)
    one = leave_one_out([first, second, third]).item()
    assert leave_one_out([first * 50, second, third / 7]).item() == pytest.approx(one, rel=1e-12)


def test_neither_the_order_of_modalities_nor_of_windows_matters():
    known, order, turned = people(), torch.tensor([2, 0, 4, 1, 3]), [2, 0, 1]
    one = leave_one_out(views(5), valid=some_valid(), **known, margin=0.1).item()
    moved = [views(5)[m][order] for m in turned]
    valid = [some_valid()[m][order] for m in turned]
    known = {name: value[order][:, order] for name, value in known.items()}
    assert leave_one_out(moved, valid=valid, **known, margin=0.1).item() == pytest.approx(one, rel=1e-12)


def test_invalid_tokens_are_not_read_and_get_no_gradient():
    valid, results = some_valid(), []
    for garbage in (0.0, math.nan):
        spoiled = [torch.where(v[..., None], x, garbage).requires_grad_() for x, v in zip(views(6), valid, strict=True)]
        loss = leave_one_out(spoiled, valid=valid)
        loss.backward()
        results.append([loss.detach(), *(x.grad for x in spoiled)])
        assert all(not x.grad[~v].any() for x, v in zip(spoiled, valid, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_the_shares_of_a_batch_add_up_to_it():
    whole = leave_one_out(views(7), valid=some_valid(), **people()).item()
    shares = [leave_one_out(views(7), valid=some_valid(), **people(), anchors=slice(*p)) for p in ((0, 2), (2, 5))]
    assert sum(share.item() for share in shares) == pytest.approx(whole, rel=1e-12)


def test_gradients_are_the_differences_of_the_loss():
    inputs = [x[:3, :2, :3].clone().requires_grad_() for x in views(8)]
    known = {name: value[:3, :3] for name, value in people().items()}
    valid = [v[:3, :2] for v in some_valid()]

    def loss(*views):
        draw, moments = torch.Generator().manual_seed(0), TemporalNegatives(1, 0)
        return leave_one_out(views, valid=valid, **known, margin=0.1, temporal=moments, generator=draw)

    assert torch.autograd.gradcheck(loss, inputs)


def test_without_a_token_that_counts_the_loss_is_zero():
    lonely = [torch.zeros(B, L, dtype=torch.bool) for _ in range(M)]
    lonely[1][:] = True
    inputs = [x.requires_grad_() for x in views(9)]
    loss = leave_one_out(inputs, valid=lonely)
    loss.backward()
    assert loss.item() == 0.0
    assert not np.any([x.grad.any() for x in inputs])


def test_one_view_alone_is_refused():
    with pytest.raises(ValueError, match="1 view given; leaving one out needs at least 2"):
        leave_one_out(views(0)[:1])
