"""All kinds of fusion: what each promises, and each restated plainly."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sleep2vec.model.fusion import FUSIONS

B, M, L, D, H = 2, 3, 4, 8, 6
MADE = {}
for kind, build in FUSIONS.items():
    torch.manual_seed(0)
    MADE[kind] = build(M, D, H).double().eval()
    with torch.no_grad():
        for parameter in MADE[kind].parameters():
            parameter.normal_()

VALIDITY = arrays(bool, (B, M, L)).map(torch.from_numpy)
SEEDS = st.integers(0, 1_000)
every_kind = pytest.mark.parametrize("kind", FUSIONS)
often = settings(max_examples=30, deadline=None)


def features_of(seed):
    return torch.randn(B, M, L, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def named(made, features, m):
    """What a fusion reads of modality m: its own affine map, normalised, and its name."""
    mapped = (features[:, m] - made.maps.centre_MD[m]) @ made.maps.map_MDD[m]
    normed = (mapped - mapped.mean(-1, keepdim=True)) / (mapped.var(-1, keepdim=True, correction=0) + 1e-5).sqrt()
    return normed * made.norm.weight + made.norm.bias + made.modality_MD[m]


@every_kind
@given(valid=VALIDITY, seed=SEEDS)
@often
@torch.no_grad()
def test_weights_of_a_token_are_shares_of_what_is_valid(kind, valid, seed):
    fused, weights = MADE[kind](features_of(seed), valid)
    readable = valid.any(dim=1)
    torch.testing.assert_close(weights.sum(dim=1), readable.double(), rtol=0, atol=1e-12)
    assert (weights[valid] > 0).all()
    assert not weights[~valid].any()
    assert not fused[~readable].any()


@every_kind
@given(valid=VALIDITY, seed=SEEDS, garbage=st.sampled_from([float("nan"), float("inf"), 1e30, -1e300]))
@often
def test_what_is_invalid_is_never_read(kind, valid, seed, garbage):
    """Not one bit of the answer, nor of any gradient, changes with it."""
    made, found = MADE[kind], []
    for rest in (0.0, garbage):
        x = torch.where(valid[..., None], features_of(seed), rest).requires_grad_()
        made.zero_grad()
        fused, weights = made(x, valid)
        fused.square().sum().backward()
        found.append([fused, weights, x.grad, *(p.grad for p in made.parameters() if p.grad is not None)])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@every_kind
@given(valid=VALIDITY, kept=VALIDITY, seed=SEEDS)
@often
@torch.no_grad()
def test_what_is_told_once_is_combined_for_any_subset(kind, valid, kept, seed):
    """As if the fusion had met the subset alone; one window told may stand for many."""
    made, features = MADE[kind], features_of(seed)
    told = made.tell(torch.where(valid[..., None], features, 0.0))
    expected = made(torch.where((valid & kept)[..., None], features, float("nan")), valid & kept)
    for found, meant in zip(made.combine(told, valid & kept), expected, strict=True):
        torch.testing.assert_close(found, meant, rtol=0, atol=1e-12)
    second = type(told)(told.value_BMLH[1:2], told.score_BML[1:2])
    both = torch.stack([(valid & kept)[1], valid[1]])
    meant = made(torch.where(both[..., None], features[1].expand(2, -1, -1, -1), float("nan")), both)
    for found, right in zip(made.combine(second.expanded(2), both), meant, strict=True):
        torch.testing.assert_close(found, right, rtol=0, atol=1e-12)


def plain_mean(made, features, valid, scores_M):
    """One token after the other: values weighed by a softmax over the modalities that are there."""
    fused, weights = torch.zeros(B, L, H, dtype=torch.float64), torch.zeros(B, M, L, dtype=torch.float64)
    values = [named(made, features, m) @ made.value.weight.T + made.value.bias for m in range(M)]
    for b, t in np.ndindex(B, L):
        there = [m for m in range(M) if valid[b, m, t]]
        for m in there:
            weights[b, m, t] = np.exp(scores_M[m]) / sum(np.exp(scores_M[k]) for k in there)
            fused[b, t] += weights[b, m, t] * values[m][b, t]
    return fused, weights


@pytest.mark.parametrize("kind", ["mean", "scalar"])
@given(valid=VALIDITY, seed=SEEDS)
@settings(max_examples=15, deadline=None)
@torch.no_grad()
def test_mean_and_scalar_are_a_plain_mean_and_a_softmax_of_one_number_each(kind, valid, seed):
    made, features = MADE[kind], features_of(seed)
    scores = [0.0] * M if kind == "mean" else made.preference_M.tolist()
    for found, meant in zip(made(features, valid), plain_mean(made, features, valid, scores), strict=True):
        torch.testing.assert_close(found, meant, rtol=0, atol=1e-10)


@given(valid=VALIDITY, seed=SEEDS)
@often
@torch.no_grad()
def test_concat_is_one_linear_map_of_all_side_by_side(valid, seed):
    """With zeros in the place of who is not there; the map is divided by the root of how many could be."""
    made, features = MADE["concat"], features_of(seed)
    side_by_side = torch.cat([torch.where(valid[:, m, :, None], named(made, features, m), 0.0) for m in range(M)], -1)
    matrix = torch.cat(list(made.value.map_MDH)).T / M**0.5
    expected = torch.nn.functional.linear(side_by_side, matrix, made.bias_H)
    expected = torch.where(valid.any(dim=1)[..., None], expected, 0.0)
    fused, weights = made(features, valid)
    torch.testing.assert_close(fused, expected, rtol=0, atol=1e-10)
    assert float(weights[0, 0, 0]) == float(valid[0, 0, 0]) / max(int(valid[0, :, 0].sum()), 1)


@every_kind
def test_nothing_that_could_learn_is_left_unheard(kind):
    """A parameter without a gradient is dead weight in every checkpoint."""
    made = FUSIONS[kind](M, D, H).double()
    made(features_of(4), torch.ones(B, M, L, dtype=torch.bool))[0].square().sum().backward()
    assert [name for name, parameter in made.named_parameters() if parameter.grad is None] == []


@every_kind
@torch.no_grad()
def test_in_sixteen_bits_weights_are_the_same_numbers_rounded(kind):
    """The softmax is taken in 32 bits: half the distance between neighbours of bfloat16 is all it loses."""
    made = FUSIONS[kind](M, D, H).eval()
    valid = torch.ones(B, M, L, dtype=torch.bool)
    fine = made(features_of(3).float(), valid)[1]
    if hasattr(made, "preference_M"):
        made.preference_M.copy_(torch.tensor([1.0, -2.0, 3.0]))
        fine = made(features_of(3).float(), valid)[1]
    coarse = made.bfloat16()(features_of(3).bfloat16(), valid)[1]
    assert coarse.dtype == torch.bfloat16
    torch.testing.assert_close(coarse.float(), fine, rtol=0.03, atol=2**-9)
