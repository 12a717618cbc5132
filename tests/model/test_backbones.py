"""What every backbone promises, and the recurrent one restated with numpy."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sleep2vec.data.window import View
from sleep2vec.model.backbone import BACKBONES
from sleep2vec.model.encoder import Encoder, ModelConfig
from sleep2vec.model.sizes import Size

D = 8
SIZE = Size(width=D, layers=2, heads=2)
MADE = {}
for name, build in BACKBONES.items():
    torch.manual_seed(0)
    MADE[name] = build(SIZE, 0.1).double().eval()

# Windows of up to twelve tokens; [CLS], the first, may always be read.
VALIDITY = arrays(bool, st.tuples(st.integers(1, 3), st.integers(1, 12))).map(
    lambda valid_BL: torch.from_numpy(np.concatenate((np.ones_like(valid_BL[:, :1]), valid_BL), axis=1))
)
every_backbone = pytest.mark.parametrize("name", BACKBONES)


def tokens_like(readable_BL, seed=0):
    return torch.randn(*readable_BL.shape, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@every_backbone
@given(readable=VALIDITY, garbage=st.sampled_from([0.0, -7.0, 1e6]))
@settings(max_examples=25, deadline=None)
@torch.no_grad()
def test_tokens_that_may_not_be_read_change_not_one_bit(name, readable, garbage):
    tokens = tokens_like(readable)
    spoiled = torch.where(readable[..., None], tokens, garbage)
    assert torch.equal(MADE[name](tokens, readable)[readable], MADE[name](spoiled, readable)[readable])


@every_backbone
@given(readable=VALIDITY, padding=st.integers(1, 5))
@settings(max_examples=25, deadline=None)
@torch.no_grad()
def test_longer_padding_changes_nothing(name, readable, padding):
    tokens, L = tokens_like(readable), readable.shape[1]
    longer = torch.nn.functional.pad(tokens, (0, 0, 0, padding), value=3.0)
    may = torch.nn.functional.pad(readable, (0, padding))
    padded = MADE[name](longer, may)[:, :L]
    torch.testing.assert_close(padded[readable], MADE[name](tokens, readable)[readable], rtol=0, atol=1e-12)


@every_backbone
@given(readable=VALIDITY)
@settings(max_examples=25, deadline=None)
@torch.no_grad()
def test_a_window_is_the_same_alone_and_among_others(name, readable):
    tokens = tokens_like(readable)
    together = MADE[name](tokens, readable)
    for b in range(len(tokens)):
        alone = MADE[name](tokens[b : b + 1], readable[b : b + 1])[0]
        torch.testing.assert_close(alone[readable[b]], together[b, readable[b]], rtol=0, atol=1e-12)


@every_backbone
@given(readable=VALIDITY)
@settings(max_examples=15, deadline=None)
def test_cls_knows_every_token_that_may_be_read_and_no_other(name, readable):
    """Its slope by a token is 0 exactly where that may not be read."""
    tokens = tokens_like(readable).requires_grad_()
    weights = torch.randn(D, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (slope,) = torch.autograd.grad((MADE[name](tokens, readable)[:, 0] @ weights).sum(), tokens)
    assert torch.equal(slope.abs().sum(dim=-1) > 1e-9, readable)


@every_backbone
def test_cls_still_knows_the_end_of_a_night(name):
    """As well as it knows the evening, within a factor of ten: a plain recurrence has long forgotten it."""
    readable = torch.ones(1, 961, dtype=torch.bool)
    tokens = tokens_like(readable).requires_grad_()
    weights = torch.randn(D, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (slope,) = torch.autograd.grad(MADE[name](tokens, readable)[0, 0] @ weights, tokens)
    size = slope[0].norm(dim=-1)
    assert size[-100:].mean() > 0.1 * size[100:200].mean()


@every_backbone
def test_checkpointing_changes_no_gradient(name):
    """Computed again or kept: the same numbers, with dropout too."""
    readable = torch.rand(2, 9, generator=torch.Generator().manual_seed(3)) < 0.7
    readable[:, 0] = True
    made = BACKBONES[name](SIZE, 0.3).double().train()
    gradients = []
    for checkpointing in (False, True):
        made.checkpointing = checkpointing
        made.zero_grad()
        torch.manual_seed(5)
        made(tokens_like(readable), readable)[readable].square().sum().backward()
        gradients.append([parameter.grad.clone() for parameter in made.parameters()])
    for kept, again in zip(*gradients, strict=True):
        torch.testing.assert_close(again, kept, rtol=1e-12, atol=1e-12)


@every_backbone
@torch.no_grad()
def test_in_sixteen_bits_it_says_nearly_the_same(name):
    """bfloat16 keeps 8 bits, 0.4 %; some layers later a few percent of a value of order one."""
    readable = torch.rand(2, 30, generator=torch.Generator().manual_seed(3)) < 0.7
    readable[:, 0] = True
    torch.manual_seed(0)
    made, tokens = BACKBONES[name](Size(32, 2, 2), 0.0).eval(), torch.randn(2, 30, 32)
    with torch.autocast("cpu", torch.bfloat16):
        half = made(tokens, readable).float()
    assert (half - made(tokens, readable))[readable].square().mean().sqrt() < 0.03


@every_backbone
def test_an_encoder_takes_it_and_garbage_reaches_no_gradient(name):
    torch.manual_seed(0)
    made = Encoder(ModelConfig(modalities=("spo2",), backbone=name)).eval()
    valid = torch.rand(3, 7, generator=torch.Generator().manual_seed(1)) < 0.6
    valid[0] = False  # a window without a single token
    samples, gradients = torch.randn(3, 7, 120), []
    for garbage in (0.0, float("nan")):
        made.zero_grad()
        view = View(torch.where(valid[..., None], samples, garbage), valid)
        (encoded,) = made([("spo2", view)])
        (encoded.tokens_BLD.square().sum() + encoded.window_BD[1:].sum()).backward()
        gradients.append([encoded.tokens_BLD, encoded.window_BD, *(p.grad for p in made.parameters())])
        gradients[-1] = [value.detach().clone() for value in gradients[-1] if value is not None]
    assert all(torch.equal(a, b) and a.isfinite().all() for a, b in zip(*gradients, strict=True))


def plain_gru(x_LD, weights, suffix):
    """Cho et al. (2014) with torch's convention: n = tanh(W x + b + r (U h + c)), h = (1 - z) n + z h."""
    w_in, w_h, b_in, b_h = (weights[f"{part}_l0{suffix}"] for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    h, result = np.zeros(w_h.shape[1]), []
    for x in x_LD:
        (r_x, z_x, n_x), (r_h, z_h, n_h) = np.split(w_in @ x + b_in, 3), np.split(w_h @ h + b_h, 3)
        r, z = 1 / (1 + np.exp(-(r_x + r_h))), 1 / (1 + np.exp(-(z_x + z_h)))
        h = (1 - z) * np.tanh(n_x + r * n_h) + z * h
        result.append(h)
    return np.array(result)


@torch.no_grad()
def test_the_recurrent_layer_reads_the_readable_tokens_in_order_both_ways():
    """One token at a time; [CLS] also has the mean; then the feed-forward layer of the transformer's kind."""
    layer = MADE["recurrent"].layers[0]
    readable = torch.tensor([[1, 0, 1, 1, 0, 1, 0], [1, 1, 1, 1, 1, 1, 1], [1, 0, 0, 0, 0, 0, 0]], dtype=torch.bool)
    tokens = tokens_like(readable, seed=4)
    result = layer(tokens, readable)
    weights = {name: value.numpy() for name, value in layer.recurrence.state_dict().items()}
    for b in range(3):
        x = layer.recurrence_norm(tokens[b, readable[b]]).numpy()
        read = np.concatenate((plain_gru(x, weights, ""), plain_gru(x[::-1], weights, "_reverse")[::-1]), axis=1)
        read[0] += read.mean(axis=0)
        mixed = tokens[b, readable[b]] + torch.from_numpy(read)
        expected = mixed + layer.feed_forward(mixed)
        torch.testing.assert_close(result[b, readable[b]], expected, rtol=0, atol=1e-12)
