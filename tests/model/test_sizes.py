"""Parameters counted by hand."""

import pytest
import torch

from sleep2vec.model.backbone import Transformer
from sleep2vec.model.encoder import Encoder, ModelConfig
from sleep2vec.model.projection import Projection
from sleep2vec.model.sizes import SIZES


def count(module):
    return sum(p.numel() for p in module.parameters())


def linear(n_in, n_out):
    return n_in * n_out + n_out


@pytest.mark.parametrize(
    ("name", "width", "layers"), [("tiny", 128, 4), ("small", 256, 6), ("base", 768, 12), ("large", 1024, 16)]
)
def test_a_backbone_has_the_parameters_of_a_transformer(name, width, layers):
    """Per layer: q, k, v, o of D x D, two of D x 4D, biases and two norms: 12 D^2 + 13 D; and a last norm."""
    with torch.device("meta"):
        backbone = Transformer(SIZES[name], 0.1)
    assert count(backbone) == layers * (12 * width**2 + 13 * width) + 2 * width


def test_the_mlp_tokenizer_is_the_papers():
    """Linear n -> 2d, linear 2d -> d, a linear skip n -> d, a norm; two 30 s modalities of 120 and 3,840 samples."""
    width = 128
    with torch.device("meta"):
        made = Encoder(ModelConfig(modalities=("eeg", "resp"), tokenizer="mlp"))
        backbone = Transformer(SIZES["tiny"], 0.1)
    tokenizers = sum(
        linear(n, 2 * width) + linear(2 * width, width) + linear(n, width) + 2 * width for n in (120, 3840)
    )
    assert count(made) == count(backbone) + tokenizers + 2 * width  # and [CLS] and the mask embedding


def test_the_projection_has_three_linear_layers():
    assert count(Projection(64, 128)) == 2 * (linear(64, 64) + 2 * 64) + linear(64, 128)
