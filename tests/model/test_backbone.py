"""A layer of the backbone, restated with numpy."""

import math

import numpy as np
import pytest
import torch
from plain_attention import plain_attention

from sleep2vec.model.backbone import CPU_CHUNK_TOKENS, Transformer, TransformerLayer
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


def gradients(backbone, x, readable, dtype):
    torch.manual_seed(3)  # of dropout
    backbone.zero_grad()
    x = x.clone().requires_grad_()
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        result = backbone(x, readable)
    result.square().sum().backward()
    return [result.detach(), x.grad, *(parameter.grad.clone() for parameter in backbone.parameters())]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_checkpointing_changes_neither_results_nor_gradients_nor_dropout(dtype):
    torch.manual_seed(0)
    backbone = Transformer(Size(width=D, layers=3, heads=2), 0.2).train()
    x, readable = torch.randn(5, 700, D), torch.rand(5, 700) < 0.7  # several chunks
    plain = gradients(backbone, x, readable, dtype)
    backbone.checkpointing = True
    for kept, again in zip(plain, gradients(backbone, x, readable, dtype), strict=True):
        torch.testing.assert_close(again, kept, rtol=0, atol=1e-6 * float(kept.abs().max()))


def test_checkpointing_keeps_little_for_the_way_back():
    """One input a layer, against what a layer computes: at least 13 times the input (norms, q k v, 4 D twice ...)."""
    backbone = Transformer(Size(width=D, layers=6, heads=2), 0.0).train()
    kept = {}
    for backbone.checkpointing in (False, True):
        saved = []

        def note(tensor, saved=saved):
            saved.append(tensor)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            backbone(torch.randn(2, 900, D), torch.ones(2, 900, dtype=torch.bool))
        stored = {x.untyped_storage().data_ptr(): x.untyped_storage().nbytes() for x in saved}
        kept[backbone.checkpointing] = sum(stored.values())
    assert kept[True] < kept[False] / 8


@torch.no_grad()
def test_windows_go_through_in_chunks_as_they_go_alone():
    torch.manual_seed(0)
    backbone = Transformer(Size(width=D, layers=2, heads=2), 0.1).double().eval()
    n_tokens = CPU_CHUNK_TOKENS // 3
    x, readable = torch.randn(7, n_tokens, D, dtype=torch.float64), torch.rand(7, n_tokens) < 0.7
    alone = torch.cat([backbone(x[i : i + 1], readable[i : i + 1]) for i in range(7)])
    torch.testing.assert_close(backbone(x, readable), alone, rtol=0, atol=1e-12)
