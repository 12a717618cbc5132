"""Context of convolutions: what it may depend on, how far it looks, and what it is a plain loop of."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sleep2vec.model.context import DILATIONS, TokenConvolutions

H, L = 6, 120
REACH = sum(DILATIONS)


def made(width=H):
    torch.manual_seed(0)
    return TokenConvolutions(width, 0.0).double().eval()


def given_tokens(seed=0, share=0.8):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(2, L, H, generator=draw).double(), torch.rand(2, L, generator=draw) < share


@torch.no_grad()
def test_it_is_a_loop_over_tokens():
    """Three readable neighbours, a matrix each; GELU; a matrix; a skip."""
    context, (tokens, readable) = made(), given_tokens()
    expected = tokens.clone()
    parts = [(d, block.norm, block.convolution, block.mix) for d, block in zip(DILATIONS, context.blocks, strict=True)]
    for dilation, norm, convolution, mix in parts:
        heard, after = norm(expected), expected.clone()
        for window in range(2):
            for place in range(L):
                total = convolution.bias.clone()
                for tap, there in enumerate((place - dilation, place, place + dilation)):
                    if 0 <= there < L and readable[window, there]:
                        total += convolution.weight[:, :, tap] @ heard[window, there]
                after[window, place] += mix(torch.nn.functional.gelu(total))
        expected = after
    torch.testing.assert_close(context(tokens, readable), expected, rtol=0, atol=1e-10)


@torch.no_grad()
@given(seed=st.integers(0, 50), garbage=st.sampled_from([float("nan"), 1e30]), padding=st.integers(0, 40))
@settings(max_examples=10, deadline=None)
def test_what_cannot_be_read_and_padding_change_nothing(seed, garbage, padding):
    context, (tokens, readable) = made(), given_tokens(seed)
    spoiled = torch.where(readable[..., None], tokens, garbage)
    spoiled = torch.nn.functional.pad(spoiled, (0, 0, 0, padding), value=garbage)
    told = context(spoiled, torch.nn.functional.pad(readable, (0, padding)))[:, :L]
    torch.testing.assert_close(told[readable], context(tokens, readable)[readable], rtol=0, atol=1e-10)


@torch.no_grad()
@pytest.mark.parametrize("place", [0, 60, 119])
def test_a_token_is_heard_a_quarter_of_an_hour_away_and_no_farther(place):
    context, (tokens, _) = made(), given_tokens()
    readable = torch.ones(2, L, dtype=torch.bool)
    louder = tokens.clone()
    louder[:, place] += torch.randn(H, generator=torch.Generator().manual_seed(1)).double()
    moved = (context(louder, readable) - context(tokens, readable)).norm(dim=-1).amin(dim=0)
    away = (torch.arange(L) - place).abs()
    assert not moved[away > REACH].any()
    assert (moved[away <= REACH] > 0).all()
    assert 14 < REACH * 0.5 < 16  # minutes
