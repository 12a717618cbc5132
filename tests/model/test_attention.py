"""Rotary attention against complex numbers, a plain softmax, and what the paper of RoFormer promises."""

import numpy as np
import pytest
import torch
from plain_attention import plain_attention, plain_rotated

from sleep2vec.model.attention import RotaryAttention, attended, rotated, some_heard


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_rotation_is_multiplication_by_a_complex_number():
    x = random(2, 3, 40, 16)
    plain = np.stack([[plain_rotated(head) for head in row] for row in x.numpy()])
    np.testing.assert_allclose(rotated(x).numpy(), plain, rtol=0, atol=1e-12)


def test_dot_products_depend_on_the_distance_alone():
    """The same query and key at every position: the Gram matrix is constant along its diagonals."""
    query, key = random(1, 1, 1, 16, seed=1).expand(1, 1, 50, 16), random(1, 1, 1, 16, seed=2).expand(1, 1, 50, 16)
    gram = (rotated(query) @ rotated(key).mT)[0, 0]
    for distance in range(-49, 50):
        diagonal = gram.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), rtol=0, atol=1e-12)
    assert gram[0].std() > 0.1  # and it does depend on that


def test_rotation_keeps_lengths_and_the_first_token():
    x = random(2, 2, 1536, 32, seed=3)
    torch.testing.assert_close(rotated(x).norm(dim=-1), x.norm(dim=-1), rtol=1e-12, atol=0)
    assert torch.equal(rotated(x)[:, :, 0], x[:, :, 0])


def test_far_positions_keep_their_angle_in_half_precision():
    """At token 1,536 an angle computed in bfloat16 would be off by several turns of the fastest feature."""
    x = torch.ones(1, 1, 1536, 8, dtype=torch.bfloat16)
    exact = rotated(x.double())
    assert (rotated(x).double() - exact).abs().max() < 0.03


@pytest.mark.parametrize("heads", [1, 4])
def test_attention_is_a_softmax_over_the_readable_tokens(heads):
    torch.manual_seed(0)
    attention = RotaryAttention(16, heads, 0.0).double().eval()
    x, readable = random(3, 9, 16, seed=4), torch.rand(3, 9, generator=torch.Generator().manual_seed(1)) < 0.6
    readable[:, 0] = True
    projected = (x @ attention.query_key_value.weight.T + attention.query_key_value.bias).detach().numpy()
    expected = np.zeros((3, 9, 16))
    width = 16 // heads
    for b in range(3):
        for head in range(heads):
            parts = [projected[b, :, 16 * part + width * head : 16 * part + width * (head + 1)] for part in range(3)]
            expected[b, :, width * head : width * (head + 1)] = plain_attention(*parts, readable[b].numpy())
    expected = expected @ attention.output.weight.detach().numpy().T + attention.output.bias.detach().numpy()
    np.testing.assert_allclose(attention(x, readable).detach().numpy(), expected, rtol=0, atol=1e-12)


def test_a_width_that_does_not_divide_is_refused():
    with pytest.raises(ValueError, match="width 24 must be divisible by twice the 8 heads"):
        RotaryAttention(24, 8, 0.0)


def judged(query, key, value, readable):
    """(attended, its gradients) in float64, spelled out."""
    query, key, value = (x.detach().double().requires_grad_() for x in (query, key, value))
    scores = query @ key.mT / query.shape[-1] ** 0.5
    weights = torch.where(readable[:, None, None], scores.exp(), 0.0)
    mixed = weights / weights.sum(-1, keepdim=True) @ value
    mixed.square().sum().backward()
    return mixed, query.grad, key.grad, value.grad


@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-6), (torch.bfloat16, 2**-6)])
@pytest.mark.parametrize("n_tokens", [1, 121, 700])
def test_every_way_of_attending_gives_the_same(dtype, error, n_tokens):
    """On a CPU 16-bit numbers take another way than 32-bit ones."""
    query, key, value = (random(2, 3, n_tokens, 16, seed=seed).to(dtype).requires_grad_() for seed in (1, 2, 3))
    readable = torch.rand(2, n_tokens, generator=torch.Generator().manual_seed(1)) < 0.6
    readable[:, 0] = True
    mixed = attended(query, key, value, readable[:, None])
    mixed.double().square().sum().backward()
    expected = judged(query, key, value, readable)
    for got, wanted in zip((mixed, query.grad, key.grad, value.grad), expected, strict=True):
        assert (got.double() - wanted).norm() < error * max(wanted.norm(), expected[0].norm())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_head_hears_the_tokens_that_are_not_hidden_from_it_and_no_others(dtype):
    """With one-hot values attention returns its weights: 0 for the hidden, a softmax over the others alone."""
    query, key = (random(50, 2, 9, 16, seed=seed).to(dtype) for seed in (1, 2))
    readable = torch.ones(50, 9, dtype=torch.bool)
    readable[:, 5] = False
    torch.manual_seed(0)
    heard = some_heard(readable, 2, 0.25)
    one_hot = torch.eye(9, 16, dtype=dtype).expand(50, 2, 9, 16)
    weights, whole = (attended(query, key, one_hot, x)[..., :9].double() for x in (heard, readable[:, None]))
    left = torch.where(heard[:, :, None], whole, 0.0)
    torch.testing.assert_close(
        weights, left / left.sum(-1, keepdim=True), rtol=0, atol=0.02 if dtype == torch.bfloat16 else 1e-6
    )


def test_as_many_tokens_are_hidden_as_the_share_says_from_each_head_by_itself_and_never_all():
    torch.manual_seed(0)
    readable = torch.rand(4000, 12) < 0.6
    readable[:, 0] = True
    heard = some_heard(readable, 3, 0.25)
    assert not (heard & ~readable[:, None]).any()
    assert heard.any(dim=-1).all()
    enough = readable.sum(dim=1) >= 6  # of few, all may be hidden, and then none is
    hidden = (~heard)[enough][readable[enough][:, None].expand(-1, 3, -1)].double()
    assert abs(float(hidden.mean()) - 0.25) < 5 * (0.25 * 0.75 / len(hidden)) ** 0.5
    both = (~heard[:, 0] & ~heard[:, 1])[readable].double().mean()
    assert abs(float(both) - 0.25**2) < 0.01
    assert torch.equal(some_heard(readable[:, :1], 3, 0.9), readable[:, None, :1].expand(-1, 3, -1))


def test_only_training_hides():
    torch.manual_seed(0)
    attention = RotaryAttention(16, 2, 0.5)
    x, readable = torch.randn(2, 30, 16), torch.ones(2, 30, dtype=torch.bool)
    assert not torch.equal(attention(x, readable), attention(x, readable))
    attention.eval()
    assert torch.equal(attention(x, readable), attention(x, readable))
