"""A layer of the backbone, restated with numpy."""

import math

import numpy as np
import torch
from plain_attention import plain_attention

from sleep2vec.model.backbone import Transformer, TransformerLayer
from sleep2vec.model.sizes import Size

D = 16


def plain_norm(x, norm):
    mean, variance = x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + norm.eps) * norm.weight.detach().numpy() + norm.bias.detach().numpy()


def plain_linear(x, linear):
    return x @ linear.weight.detach().numpy().T + linear.bias.detach().numpy()


def plain_gelu(x):
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def plain_layer(x, layer, readable):
    """Pre-norm: x + attention(norm(x)), then x + feed-forward(norm(x))."""
    parts = np.split(plain_linear(plain_norm(x, layer.attention_norm), layer.attention.query_key_value), 3, axis=-1)
    x = x + plain_linear(plain_attention(*parts, readable), layer.attention.output)
    norm, up, _, _, down = layer.feed_forward
    return x + plain_linear(plain_gelu(plain_linear(plain_norm(x, norm), up)), down)


@torch.no_grad()
def test_the_backbone_is_a_stack_of_pre_norm_layers_with_a_norm_at_the_end():
    torch.manual_seed(0)
    backbone = Transformer(Size(width=D, layers=2, heads=1), 0.1).double().eval()
    for parameter in backbone.parameters():  # norms begin as 1 and 0, which would hide a mistake
        parameter.add_(0.3 * torch.randn_like(parameter))
    x, readable = torch.randn(2, 7, D, dtype=torch.float64), torch.rand(2, 7) < 0.7
    readable[:, 0] = True
    result = backbone(x, readable).numpy()
    for b in range(2):
        plain = x[b].numpy()
        for layer in backbone.layers:
            assert isinstance(layer, TransformerLayer)
            plain = plain_layer(plain, layer, readable[b].numpy())
        np.testing.assert_allclose(result[b], plain_norm(plain, backbone.norm), rtol=0, atol=1e-11)
