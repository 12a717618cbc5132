"""Gated fusion: a mean of what is there."""

import numpy as np
import pytest
import torch

from sleep2vec.model.fusion import GatedFusion

B, M, L, D = 3, 4, 10, 16


def fusion(n=M):
    torch.manual_seed(0)
    made = GatedFusion(n, D).double().eval()
    with torch.no_grad():
        made.modality_MD.normal_()
        made.preference_M.normal_()
        made.maps.centre_MD.normal_()
        made.maps.map_MDD.normal_()
    return made


def mapped(made, features_D, m):
    """One token's features by the map of its modality."""
    return (features_D - made.maps.centre_MD[m]) @ made.maps.map_MDD[m]


def inputs(seed=0):
    draw = torch.Generator().manual_seed(seed)
    features = torch.randn(B, M, L, D, generator=draw, dtype=torch.float64)
    return features, torch.rand(B, M, L, generator=draw) < 0.5


def test_weights_sum_to_one_where_anything_is_valid_and_to_zero_elsewhere():
    features, valid = inputs()
    valid[0, :, 3] = False
    fused, weights = fusion()(features, valid)
    readable = valid.any(dim=1)
    torch.testing.assert_close(weights.sum(dim=1), readable.double(), rtol=0, atol=1e-12)
    assert not weights[~valid].any()
    assert not fused[~readable].any()
    assert (weights[valid] > 0).all()


def test_invalid_features_are_never_read_not_even_by_a_gradient():
    made, (features, valid) = fusion(), inputs()
    results = []
    for garbage in (0.0, float("nan"), float("inf"), 1e30):
        x = torch.where(valid[..., None], features, garbage).requires_grad_()
        made.zero_grad()
        fused, weights = made(x, valid)
        fused.sum().backward()
        results.append([fused, weights, x.grad, *(p.grad.clone() for p in made.parameters())])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_a_modality_that_is_alone_decides_alone():
    features, _ = inputs()
    valid = torch.zeros(B, M, L, dtype=torch.bool)
    valid[:, 2] = True
    made = fusion()
    fused, weights = made(features, valid)
    assert torch.equal(weights[:, 2], torch.ones(B, L, dtype=torch.float64))
    expected = made.value(made.norm(mapped(made, features[:, 2], 2)) + made.modality_MD[2])
    torch.testing.assert_close(fused, expected, rtol=0, atol=1e-12)


def test_a_subset_is_the_same_whether_the_rest_is_invalid_or_not_there():
    """A fusion that only ever knew the subset, with the same parameters, agrees."""
    made, (features, valid) = fusion(), inputs(1)
    kept = [0, 3]
    valid[:, [1, 2]] = False
    small = fusion(2)
    state = made.state_dict()
    of_each = ("modality_MD", "preference_M", "maps.centre_MD", "maps.map_MDD")
    state |= {name: state[name][kept] for name in of_each}
    small.load_state_dict(state)
    fused, weights = made(features, valid)
    small_fused, small_weights = small(features[:, kept], valid[:, kept])
    torch.testing.assert_close(fused, small_fused, rtol=0, atol=1e-12)
    torch.testing.assert_close(weights[:, kept], small_weights, rtol=0, atol=1e-12)


@torch.no_grad()
def test_weights_are_the_softmax_of_the_scores_of_the_valid():
    """Definition, one token at a time."""
    made, (features, valid) = fusion(), inputs(2)
    _, weights = made(features, valid)
    for b, m, t in torch.nonzero(valid).tolist():
        present = torch.nonzero(valid[b, :, t])[:, 0].tolist()
        scores = {
            k: float(
                made.gate(made.norm(mapped(made, features[b, k, t], k)) + made.modality_MD[k])[0] + made.preference_M[k]
            )
            for k in present
        }
        total = sum(torch.tensor(s, dtype=torch.float64).exp() for s in scores.values())
        expected = torch.tensor(scores[m], dtype=torch.float64).exp() / total
        assert weights[b, m, t].item() == pytest.approx(expected.item(), rel=1e-9)


def collapsed(n=4_000):
    """Features of which two directions tell nearly all, far from 0."""
    draw = np.random.default_rng(5)
    mixing, _ = np.linalg.qr(draw.normal(size=(D, D)))
    spread = np.array([30.0, 10.0, *np.geomspace(9.0, 4.0, D - 2)])
    return torch.from_numpy(100.0 + (draw.normal(size=(n, D)) * spread) @ mixing.T)


@torch.no_grad()
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_calibrated_maps_make_all_directions_alike(scale):
    """Whatever the size of the features, their covariance becomes the identity, as numpy sees it."""
    made, features = fusion(), collapsed() * scale
    made.maps.LEAST_SHARE = 0.0
    before = [p.clone() for p in (made.maps.centre_MD[[0, 2, 3]], made.maps.map_MDD[[0, 2, 3]])]
    made.maps.calibrate(1, features)
    told = made.maps(features[None, None].expand(1, M, -1, D))[0, 1].numpy()
    np.testing.assert_allclose(told.mean(axis=0), 0.0, atol=1e-9)
    np.testing.assert_allclose(np.cov(told.T, bias=True), np.eye(D), atol=1e-9)
    for old, new in zip(before, (made.maps.centre_MD[[0, 2, 3]], made.maps.map_MDD[[0, 2, 3]]), strict=True):
        assert torch.equal(old, new)


@torch.no_grad()
def test_directions_that_hold_next_to_nothing_stay_small():
    """Of a direction with the share s of the largest variance, s / (s + least share) is left."""
    features = collapsed()
    features[:, 0] = 1e-3 * features[:, 0] + 7.0
    maps = fusion().maps
    maps.calibrate(0, features)
    told = maps(features[None, None].expand(1, M, -1, D))[0, 0].numpy()
    largest = np.linalg.eigvalsh(np.cov(features.numpy().T, bias=True))[::-1]
    shares = largest / largest[0]
    found = np.linalg.eigvalsh(np.cov(told.T, bias=True))[::-1]
    np.testing.assert_allclose(found, shares / (shares + 0.01), rtol=1e-6, atol=1e-9)


@torch.no_grad()
def test_features_that_never_change_leave_the_map_as_it_was():
    maps = fusion().maps
    before = maps.map_MDD.clone()
    maps.calibrate(0, torch.full((50, D), 3.0))
    assert torch.equal(maps.map_MDD, before)
    assert maps.map_MDD.isfinite().all()


@torch.no_grad()
def test_no_more_tokens_than_features_tell_nothing_of_most_directions():
    maps = fusion().maps
    before = maps.map_MDD.clone()
    maps.calibrate(0, collapsed(D))
    assert torch.equal(maps.map_MDD, before)
    maps.calibrate(0, collapsed(D + 1))
    assert not torch.equal(maps.map_MDD, before)
