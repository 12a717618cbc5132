"""Gated fusion: a mean of what is there."""

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
    return made


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
    expected = made.value(made.norm(features[:, 2]) + made.modality_MD[2])
    torch.testing.assert_close(fused, expected, rtol=0, atol=1e-12)


def test_a_subset_is_the_same_whether_the_rest_is_invalid_or_not_there():
    """A fusion that only ever knew the subset, with the same parameters, agrees."""
    made, (features, valid) = fusion(), inputs(1)
    kept = [0, 3]
    valid[:, [1, 2]] = False
    small = fusion(2)
    state = made.state_dict()
    state |= {"modality_MD": state["modality_MD"][kept], "preference_M": state["preference_M"][kept]}
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
            k: float(made.gate(made.norm(features[b, k, t]) + made.modality_MD[k])[0] + made.preference_M[k])
            for k in present
        }
        total = sum(torch.tensor(s, dtype=torch.float64).exp() for s in scores.values())
        expected = torch.tensor(scores[m], dtype=torch.float64).exp() / total
        assert weights[b, m, t].item() == pytest.approx(expected.item(), rel=1e-9)
