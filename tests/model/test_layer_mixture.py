"""A mixture of layers, judged by what hooks hear of each layer."""

import pytest
import torch

from sleep2vec.model.backbone import BACKBONES
from sleep2vec.model.layer_mixture import LayerMixture
from sleep2vec.model.sizes import SIZES, Size

SIZE = Size(width=8, layers=3, heads=2)
every_backbone = pytest.mark.parametrize("name", BACKBONES)


def made(name, mix=True):
    torch.manual_seed(0)
    return BACKBONES[name](SIZE, 0.0, mix).double().eval()


def window():
    draw = torch.Generator().manual_seed(1)
    readable = torch.rand(3, 7, generator=draw) < 0.7
    readable[:, 0] = True
    return torch.randn(3, 7, 8, generator=draw, dtype=torch.float64), readable


@every_backbone
def test_what_a_backbone_gives_is_the_norm_of_a_weighted_sum_of_its_layers(name):
    backbone, (tokens, readable), heard = made(name), window(), []
    with torch.no_grad():
        backbone.mixture.preference_N.copy_(torch.tensor([0.3, -1.0, 0.5], dtype=torch.float64))
    for layer in backbone.layers:
        layer.register_forward_hook(lambda _, __, output: heard.append(output))
    given = backbone(tokens, readable)
    shares = torch.tensor([0.3, -1.0, 0.5], dtype=torch.float64).exp()
    expected = backbone.norm(sum(s * h for s, h in zip(shares / shares.sum(), heard, strict=True)))
    torch.testing.assert_close(given, expected, rtol=0, atol=1e-12)


@every_backbone
def test_every_share_learns_and_so_does_every_layer(name):
    backbone, (tokens, readable) = made(name), window()
    backbone(tokens, readable)[readable][:, 0].sum().backward()
    assert (backbone.mixture.preference_N.grad.abs() > 1e-9).all()
    assert all(p.grad.abs().sum() > 0 for layer in backbone.layers for p in (list(layer.parameters())[-2],))


@every_backbone
def test_a_mixture_of_which_the_last_layer_has_all_is_no_mixture(name):
    """The same weights: bit for bit what the backbone without one gives; and computed again, the same."""
    mixed, plain, (tokens, readable) = made(name), made(name, mix=False), window()
    with torch.no_grad():
        mixed.mixture.preference_N.copy_(torch.tensor([-1e4, -1e4, 0.0]))
    plain.load_state_dict({k: v for k, v in mixed.state_dict().items() if not k.startswith("mixture.")})
    assert torch.equal(mixed(tokens, readable), plain(tokens, readable))
    mixed.checkpointing = True
    assert torch.equal(mixed(tokens, readable), plain(tokens, readable))


@pytest.mark.parametrize("size", SIZES)
def test_at_first_the_last_layer_is_heard_seven_times_as_much_as_any_other(size):
    """exp(2) = 7.4."""
    n = SIZES[size].layers
    heights = torch.eye(n)
    share = LayerMixture(n)(list(heights)).detach()
    torch.testing.assert_close(share.sum(), torch.tensor(1.0))
    torch.testing.assert_close(share[-1] / share[:-1], torch.full((n - 1,), 7.389056), rtol=1e-5, atol=0)
