"""The pool of a night and the clock: what they may and may not depend on, and the pool restated token by token."""

import numpy as np
import pytest
import torch
from scipy.special import softmax

from sleep2vec.model.heads import Clock, NightPool

B, L, D, C, E = 3, 6, 8, 5, 4


def pool(with_seconds=True):
    torch.manual_seed(0)
    return NightPool(D, C, E if with_seconds else None).double().eval()


def given(seed=0):
    draw = torch.Generator().manual_seed(seed)
    tokens, cls, seconds = (
        torch.randn(*shape, generator=draw, dtype=torch.float64) for shape in ((B, L, D), (B, C), (B, 30 * L, E))
    )
    readable = torch.rand(B, L, generator=draw) < 0.6
    readable[0], readable[1] = True, False
    return tokens, readable, cls, seconds


@torch.no_grad()
@pytest.mark.parametrize("with_seconds", [False, True])
def test_a_night_is_pooled_as_a_plain_loop_does_it(with_seconds):
    made, (tokens, readable, cls, seconds) = pool(with_seconds), given()
    told = made(tokens, readable, cls, seconds if with_seconds else None)
    for b in (0, 2):
        rows = []
        for t in np.flatnonzero(readable[b]):
            row = made.norm(tokens[b, t])
            if with_seconds:
                within = seconds[b, 30 * t : 30 * t + 30].numpy()
                row = row + made.seconds(torch.from_numpy(np.concatenate([within.mean(0), within.max(0)])))
            rows.append(row.numpy())
        rows = np.stack(rows)
        scores = rows @ made.attend.weight.numpy().T + made.attend.bias.numpy()
        attended = softmax(scores, axis=0).T @ rows
        parts = np.concatenate([rows.mean(axis=0), attended.ravel(), cls[b].numpy()])
        expected = made.out(made.mix(torch.from_numpy(parts)))
        torch.testing.assert_close(told[b], expected, rtol=0, atol=1e-6)  # the softmax is taken in 32 bits
    blank = made.out(made.mix(torch.cat([torch.zeros(5 * D, dtype=torch.float64), cls[1]])))
    torch.testing.assert_close(told[1], blank, rtol=0, atol=1e-12)  # nothing could be read: only [CLS] speaks


@torch.no_grad()
def test_the_order_of_tokens_and_of_the_seconds_within_them_tells_nothing():
    made, (tokens, readable, cls, seconds) = pool(), given(1)
    order, within = torch.randperm(L), torch.randperm(30)
    shuffled = seconds.unflatten(1, (L, 30))[:, order][:, :, within].flatten(1, 2)
    found = made(tokens[:, order], readable[:, order], cls, shuffled)
    torch.testing.assert_close(found, made(tokens, readable, cls, seconds), rtol=0, atol=1e-6)
    elsewhere = seconds.roll(15, dims=1)  # half of each token's seconds are now another's
    assert (made(tokens, readable, cls, elsewhere) - found)[0].abs().max() > 1e-3


@pytest.mark.parametrize("garbage", [float("nan"), 1e30])
def test_what_is_not_readable_is_never_read(garbage):
    made, (tokens, readable, cls, seconds), found = pool(), given(2), []
    per_second = readable.repeat_interleave(30, dim=1)
    for rest in (0.0, garbage):
        spoiled = torch.where(readable[..., None], tokens, rest)
        found.append(made(spoiled, readable, cls, torch.where(per_second[..., None], seconds, rest)))
    assert torch.equal(*found)
    padded = [torch.nn.functional.pad(x, (0, 0, 0, n), value=garbage) for x, n in ((tokens, 2), (seconds, 60))]
    longer = made(padded[0], torch.nn.functional.pad(readable, (0, 2)), cls, padded[1])
    torch.testing.assert_close(longer, found[0], rtol=0, atol=1e-6)


@torch.no_grad()
def test_the_clock_says_nothing_before_it_learned_and_then_comes_round_in_sixteen_hours():
    torch.manual_seed(0)
    clock, hours = Clock(D).double(), torch.tensor([[0.0, 1.3, 7.9, 12.0]], dtype=torch.float64)
    assert not clock(hours).any()
    clock.body[-1].weight.normal_()
    assert (clock(hours)[0, 1] - clock(hours)[0, 2]).abs().max() > 0.01
    assert (clock(hours + 16) - clock(hours)).abs().max() > 0.01  # a slow hand that never comes back ...
    clock.body[0].weight[:, 0] = 0
    torch.testing.assert_close(clock(hours + 16), clock(hours), rtol=0, atol=1e-9)  # ... beside waves that do


def test_the_clock_can_learn():
    clock = Clock(D)
    clock(torch.rand(2, 5)).sum().backward()
    assert clock.body[-1].weight.grad.abs().max() > 0
