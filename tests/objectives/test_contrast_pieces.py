"""The contrast is computed in pieces, with its gradients, by shares and at any temperature: all must agree."""

import math
from itertools import pairwise

import pytest
import torch
from plain_dash import plain_loss
from torch.nn import functional as F

from sleep2vec.objectives import TemporalNegatives, dash_infonce, infonce, negative_weights, same_person
from sleep2vec.objectives.temporal_negatives import draw_moments

B, L, D = 7, 9, 5
FEW = TemporalNegatives(n_drawn=2, exclusion_tokens=1, share=1.5)


def tokens(seed: int, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    drawn = torch.randn(2, B, L, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return tuple(drawn.to(dtype))


def people() -> dict[str, torch.Tensor]:
    night = torch.tensor([0, 0, 1, 2, 3, 4, 1])
    code = torch.arange(B)
    return {
        "weights": negative_weights(20.0 + 9 * code, code % 2, code % 3, night),
        "same_night": same_person(night),
    }


def some_valid() -> torch.Tensor:
    valid = torch.rand(B, L, generator=torch.Generator().manual_seed(1)) < 0.7
    valid[4] = False
    return valid


def evaluated(first, second, **terms):
    """Loss and gradients; the temporal draw is the same each time."""
    first, second = first.clone().requires_grad_(), second.clone().requires_grad_()
    loss = dash_infonce(first, second, **terms, generator=torch.Generator().manual_seed(3))
    loss.backward()
    return loss.detach(), first.grad, second.grad


def literal(first, second, weights, same_night, valid, temperature, margin, positive_margin, temporal):
    """Two directions, whole matrices, log-sum-exp and autograd: nothing in common with what is tested but the draw."""
    n = len(first)
    self_BB, losses = torch.eye(n, dtype=torch.bool), []
    negative_BB = ~self_BB & ~same_night
    drawn = None if temporal is None else draw_moments(valid, temporal, torch.Generator().manual_seed(3))
    bias = torch.where(self_BB, positive_margin / temperature, weights.log() - same_night * margin / temperature)
    # Invalid tokens are left out of every sum by their index, not by a mask.
    for one, other in ((first, second), (second, first)):
        one, other = F.normalize(one, dim=-1), F.normalize(other, dim=-1)
        for i in range(n):
            for t in range(first.shape[1]):
                if not valid[i, t]:
                    continue
                present = torch.nonzero(valid[:, t])[:, 0]
                logits = other[present, t] @ one[i, t] / temperature + bias[i, present]
                if drawn is not None and drawn[i, t].any():
                    moments = torch.nonzero(drawn[i, t])[:, 0]
                    people_weight = (weights[i, present] * negative_BB[i, present]).sum()
                    each = (temporal.share * people_weight / len(moments)).log()
                    logits = torch.cat((logits, other[i, moments] @ one[i, t] / temperature + each))
                positive = other[i, t] @ one[i, t] / temperature + positive_margin / temperature
                losses.append(logits.logsumexp(0) - positive)
    return torch.stack(losses).mean()


@pytest.mark.parametrize("temporal", [None, FEW])
@pytest.mark.parametrize("temperature", [0.2, 0.004])
def test_loss_and_gradients_are_autograds_of_a_literal_restatement(temperature, temporal):
    """At 0.2 one matrix serves both directions; at 0.004 each has its maximum taken off (e^250)."""
    first, second = tokens(0)
    terms = {**people(), "valid": some_valid(), "temporal": temporal}
    terms |= {"temperature": temperature, "margin": 0.1, "positive_margin": 0.05}
    loss, *gradients = evaluated(first, second, **terms)
    first.requires_grad_()
    second.requires_grad_()
    expected = literal(first, second, **terms)
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    torch.testing.assert_close(gradients, [first.grad, second.grad], rtol=1e-9, atol=1e-13)


def test_drawn_moments_are_the_slow_restatements():
    first, second = tokens(1)
    valid, known = some_valid(), people()
    drawn = draw_moments(valid, FEW, torch.Generator().manual_seed(3))
    terms = {"temperature": 0.2, "margin": 0.1}
    loss, *_ = evaluated(first, second, **known, valid=valid, temporal=FEW, **terms)
    arrays = (x.numpy() for x in (first, second, known["weights"], known["same_night"]))
    plain = plain_loss(*arrays, valid=valid.numpy(), temporal_share=1.5, exclusion=1, drawn=drawn.numpy(), **terms)
    assert loss.item() == pytest.approx(plain, rel=1e-12)


@pytest.mark.parametrize("temperature", [0.2, 0.004])
@pytest.mark.parametrize("chunk_elements", [1, 100, 333, 10_000])
def test_the_size_of_the_pieces_does_not_matter(chunk_elements, temperature):
    terms = {**people(), "valid": some_valid(), "temporal": FEW, "temperature": temperature}
    whole = evaluated(*tokens(2), **terms)
    pieces = evaluated(*tokens(2), **terms, chunk_elements=chunk_elements)
    torch.testing.assert_close(pieces, whole, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("temporal", [None, FEW])
@pytest.mark.parametrize("temperature", [0.2, 0.004])
@pytest.mark.parametrize("ends", [(0, 3, 7), (0, 1, 2, 7), (0, 0, 7)])
def test_the_shares_of_a_batch_add_up_to_it(ends, temperature, temporal):
    """Every window an anchor in one share and a candidate in all: losses and gradients are sums."""
    terms = {**people(), "valid": some_valid(), "temporal": temporal, "temperature": temperature, "margin": 0.3}
    whole = evaluated(*tokens(3), **terms)
    shares = [evaluated(*tokens(3), **terms, anchors=slice(*pair)) for pair in pairwise(ends)]
    for expected, parts in zip(whole, zip(*shares, strict=True), strict=True):
        torch.testing.assert_close(torch.stack(parts).sum(dim=0), expected, rtol=1e-11, atol=1e-14)


def test_what_is_drawn_for_a_window_does_not_depend_on_who_draws():
    valid, temporal = torch.ones(8, 30, dtype=torch.bool), TemporalNegatives(5, 3)
    whole = draw_moments(valid, temporal, torch.Generator().manual_seed(0))
    part = draw_moments(valid, temporal, torch.Generator().manual_seed(0), slice(3, 6))
    assert torch.equal(part, whole[3:6])
    assert not torch.equal(whole[0], whole[1])  # each window draws for itself


@pytest.mark.parametrize("temperature", [1e-4, 1e-3, 0.01, 0.025, 0.07])
@pytest.mark.parametrize("temporal", [None, FEW])
def test_float32_holds_at_any_temperature(temperature, temporal):
    """The judge is the same in float64. exp(-2 / 0.01) is no float32: a shared factor would leave rows of zeros."""
    terms = {"valid": some_valid(), "temporal": temporal, "temperature": temperature}
    truth, narrow = evaluated(*tokens(4), **terms), evaluated(*tokens(4, torch.float32), **terms)
    assert narrow[0].item() == pytest.approx(truth[0].item(), rel=1e-5)
    for gradient, expected in zip(narrow[1:], truth[1:], strict=True):
        # An error of one part in 10^7 of a similarity is multiplied by 1 / temperature in its exponent.
        assert (gradient - expected).norm() <= 2e-6 / temperature * expected.norm()


def test_opposites_at_a_small_temperature_have_a_closed_form():
    """Two anchors, positives at -1 and negatives at +1: log(1 + e^(2 / 0.001)) is 2000 to within any float."""
    first = torch.tensor([[1.0], [-1.0]])
    assert infonce(first, -first, 0.001).item() == pytest.approx(2000.0, rel=1e-6)


def test_perfectly_aligned_opposites_cost_nothing_at_a_small_temperature():
    first = torch.tensor([[1.0], [-1.0]]).requires_grad_()
    loss = infonce(first, first.detach(), 0.001)
    loss.backward()
    assert loss.item() == 0.0
    assert not first.grad.any()


def test_with_equal_embeddings_the_loss_is_the_log_of_the_weights():
    """Algebra: all similarities alike, so each row costs the log of 1 + its weights, and no gradient is left."""
    weights = torch.rand(B, B, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.1
    same = torch.ones(B, L, D, dtype=torch.float64)
    loss, *gradients = evaluated(same, same, weights=weights)
    off = weights.masked_fill(torch.eye(B, dtype=torch.bool), 0.0)
    assert loss.item() == pytest.approx((1 + off.sum(dim=1)).log().mean().item(), rel=1e-12)
    assert max(gradient.abs().max() for gradient in gradients) < 1e-15


def test_a_vector_without_direction_is_a_vector_of_zeros_and_gets_no_gradient():
    """Its similarity to everything is 0: with all of one view zero, each row costs log B."""
    first, second = tokens(5)
    loss, gradient, _ = evaluated(torch.zeros_like(first), second)
    assert loss.item() == pytest.approx(math.log(B), rel=1e-12)
    assert not gradient.any()


@pytest.mark.parametrize("temperature", [0.2, 0.004])
def test_gradcheck_of_a_share(temperature):
    """torch's gradcheck: finite differences in float64."""
    first, second = (x[:3, :3, :2].clone().requires_grad_() for x in tokens(6))
    terms = {name: value[:3, :3] for name, value in people().items()}
    terms |= {"valid": some_valid()[:3, :3], "temporal": FEW, "temperature": temperature, "anchors": slice(1, 3)}

    def loss(x, y):
        return dash_infonce(x, y, **terms, generator=torch.Generator().manual_seed(0))

    assert torch.autograd.gradcheck(loss, (first, second), eps=1e-7 if temperature < 0.1 else 1e-6)


def test_a_second_derivative_is_refused_rather_than_wrong():
    first, second = (x.requires_grad_() for x in tokens(7))
    (gradient,) = torch.autograd.grad(infonce(first, second), first, create_graph=True)
    with pytest.raises(RuntimeError, match="does not require grad"):
        gradient.sum().backward()


def test_a_loss_that_is_scaled_scales_its_gradients():
    first, second = tokens(8)
    _, once, _ = evaluated(first, second)
    first.requires_grad_()
    (3 * infonce(first, second)).backward()
    torch.testing.assert_close(first.grad, 3 * once)
