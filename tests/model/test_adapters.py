"""Adapters: silent at first, alone in learning, and gone once merged."""

import sys

import pytest
import torch
from torch import nn

from sleep2vec.model.adapters import add_adapters, merge_adapters
from sleep2vec.model.backbone import BACKBONES
from sleep2vec.model.sizes import Size
from sleep2vec.vocabulary.errors import UsageError

D = 16
every_way = pytest.mark.parametrize("dora", [False, True])
every_backbone = pytest.mark.parametrize("name", BACKBONES)


def made(name):
    torch.manual_seed(0)
    return BACKBONES[name](Size(D, 2, 2), 0.0, False).eval()


def window():
    draw = torch.Generator().manual_seed(1)
    readable = torch.rand(2, 9, generator=draw) < 0.7
    readable[:, 0] = True
    return torch.randn(2, 9, D, generator=draw), readable


def learned(backbone, steps=5):
    """After some steps of all that may learn."""
    (tokens, readable), target = window(), torch.randn(2, 9, D, generator=torch.Generator().manual_seed(2))
    optimizer = torch.optim.Adam([p for p in backbone.parameters() if p.requires_grad], lr=0.03)
    for _ in range(steps):
        optimizer.zero_grad()
        (backbone(tokens, readable) - target)[readable].square().mean().backward()
        optimizer.step()
    return backbone


@every_backbone
@every_way
def test_before_they_learn_the_backbone_says_what_it_said(name, dora):
    backbone, given = made(name), window()
    before = backbone(*given)
    add_adapters(backbone, 4, 8, dora=dora)
    torch.testing.assert_close(backbone(*given), before, rtol=0, atol=1e-6)


@every_backbone
@every_way
def test_every_linear_layer_is_adapted_and_adapters_alone_learn(name, dora):
    backbone = made(name)
    n_linear = sum(isinstance(part, nn.Linear) for part in backbone.modules())
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    add_adapters(backbone, 4, 8, dora=dora)
    assert sum(key.endswith("lora_B.default.weight") for key in backbone.state_dict()) == n_linear
    start = {key: value.clone() for key, value in backbone.state_dict().items()}
    learned(backbone)
    moved = {key for key, value in backbone.state_dict().items() if not torch.equal(value, start[key])}
    assert moved
    assert all("lora_" in key for key in moved)
    assert sum("lora_B" in key for key in moved) == n_linear
    for key, value in backbone.state_dict().items():
        if "lora_" not in key:
            assert torch.equal(value, before[key.replace(".base_layer", "")])


@every_backbone
@every_way
def test_merged_it_is_a_plain_backbone_that_says_the_same(name, dora):
    """Names and shapes as if there had never been any: a plain one loads its weights and answers alike."""
    backbone, given = made(name), window()
    plain, before = made(name), backbone(*given)
    add_adapters(backbone, 4, 8, dora=dora)
    after = learned(backbone)(*given)
    assert (after - before).abs().max() > 0.1
    merge_adapters(backbone)
    assert {k: v.shape for k, v in backbone.state_dict().items()} == {k: v.shape for k, v in plain.state_dict().items()}
    plain.load_state_dict(backbone.state_dict())
    torch.testing.assert_close(plain(*given), after, rtol=1e-5, atol=1e-5)


def test_a_low_rank_product_is_what_lora_adds():
    """Hu et al. (2021), equation 3: W + alpha / r * B A."""
    backbone = made("transformer")
    weight = backbone.layers[1].attention.output.weight.clone()
    add_adapters(backbone, 2, 6, dora=False)
    part = learned(backbone).layers[1].attention.output
    product = part.lora_B["default"].weight @ part.lora_A["default"].weight
    assert torch.linalg.matrix_rank(product) == 2
    merge_adapters(backbone)
    torch.testing.assert_close(backbone.layers[1].attention.output.weight, weight + 3.0 * product)


def test_says_what_is_missing(monkeypatch):
    with pytest.raises(UsageError, match=r"Sequential has no linear layer to adapt.*set finetuning.train: full"):
        add_adapters(nn.Sequential(nn.LayerNorm(4), nn.GELU()), 4, 8, dora=False)
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(
        UsageError, match=r"adapters need PEFT.*install sleep2vec\[lora\], or set finetuning.train: full"
    ):
        add_adapters(made("transformer"), 4, 8, dora=False)
