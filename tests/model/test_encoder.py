"""The encoder may read valid tokens, and nothing else."""

import pytest
import torch

from sleep2vec.data.window import View
from sleep2vec.model.encoder import Encoder, ModelConfig
from sleep2vec.model.tokenizers import TOKENIZERS

NAMES = ("spo2", "resp")
L = 12


def encoder(tokenizer="spectral", seed=0):
    torch.manual_seed(seed)
    return Encoder(ModelConfig(modalities=NAMES, tokenizer=tokenizer)).eval()


def view(seed=0, n=3, n_tokens=L, invalid_share=0.3):
    draw = torch.Generator().manual_seed(seed)
    valid = torch.rand(n, n_tokens, generator=draw) >= invalid_share
    return View(torch.randn(n, n_tokens, 120, generator=draw), valid)


def spoiled(clean, garbage):
    return View(torch.where(clean.valid_BL[..., None], clean.values_BLS, garbage), clean.valid_BL)


def double(clean):
    return View(clean.values_BLS.double(), clean.valid_BL)


@torch.no_grad()
def encode(made, *views):
    return [part for out in made(list(zip(NAMES, views, strict=False))) for part in (out.tokens_BLD, out.window_BD)]


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@pytest.mark.parametrize("garbage", [float("nan"), float("inf"), 1e30, -7.0])
def test_garbage_in_invalid_tokens_changes_not_one_bit(tokenizer, garbage):
    made, first, second = encoder(tokenizer), view(1), view(2)
    clean = encode(made, first, second)
    dirty = encode(made, spoiled(first, garbage), spoiled(second, garbage))
    for a, b in zip(clean, dirty, strict=True):
        assert torch.equal(a, b)
        assert a.isfinite().all()


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_garbage_in_invalid_tokens_reaches_no_gradient(tokenizer):
    made = encoder(tokenizer)
    gradients = []
    for values in (view(1), spoiled(view(1), float("nan"))):
        made.zero_grad()
        made([("spo2", values)])[0].tokens_BLD.square().sum().backward()
        gradients.append([p.grad.clone() for p in made.parameters() if p.grad is not None])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_longer_padding_changes_nothing(tokenizer):
    made, short = encoder(tokenizer).double(), double(view(3))
    padding = 9
    longer = View(
        torch.nn.functional.pad(short.values_BLS, (0, 0, 0, padding), value=float("nan")),
        torch.nn.functional.pad(short.valid_BL, (0, padding)),
    )
    (tokens, window), (longer_tokens, longer_window) = encode(made, short), encode(made, longer)
    torch.testing.assert_close(longer_tokens[:, :L], tokens, rtol=0, atol=1e-12)
    torch.testing.assert_close(longer_window, window, rtol=0, atol=1e-12)
    assert not longer_tokens[:, L:].any()


def test_a_window_is_encoded_alike_alone_and_in_a_batch_and_whichever_view_comes_first():
    made, first, second = encoder().double(), double(view(4)), double(view(5))
    tokens, window, other_tokens, _ = encode(made, first, second)
    for b in range(3):
        alone_tokens, alone_window = encode(made, first.rows(torch.tensor([b])))
        torch.testing.assert_close(alone_tokens[0], tokens[b], rtol=0, atol=1e-12)
        torch.testing.assert_close(alone_window[0], window[b], rtol=0, atol=1e-12)
    with torch.no_grad():
        swapped = made([("resp", second), ("spo2", first)])
    torch.testing.assert_close(swapped[0].tokens_BLD, other_tokens, rtol=0, atol=1e-12)
    torch.testing.assert_close(swapped[1].tokens_BLD, tokens, rtol=0, atol=1e-12)


def test_noise_in_a_valid_token_reaches_its_own_window_only():
    """Every token of that window may change (attention), no token of another window may."""
    made, clean = encoder(), view(6, invalid_share=0.0)
    noisy = clean.values_BLS.clone()
    noisy[1, 4] = torch.randn(120)
    tokens, window = encode(made, clean)
    noisy_tokens, noisy_window = encode(made, View(noisy, clean.valid_BL))
    assert (tokens != noisy_tokens).any(dim=-1).any(dim=-1).tolist() == [False, True, False]
    assert (window != noisy_window).any(dim=-1).tolist() == [False, True, False]
    assert (tokens[1] != noisy_tokens[1]).any(dim=-1).all()


def test_a_hidden_token_is_not_read_and_still_has_an_output():
    made, clean = encoder(), view(7, invalid_share=0.0)
    hidden = torch.zeros(3, L, dtype=torch.bool)
    hidden[0, 5] = True
    other = clean.values_BLS.clone()
    other[0, 5] = 3.0
    with torch.no_grad():
        a, b = (made([("spo2", View(v, clean.valid_BL))], [hidden])[0].tokens_BLD for v in (clean.values_BLS, other))
        unmasked = made([("spo2", clean)])[0].tokens_BLD
    assert torch.equal(a, b)
    assert a[0, 5].any()
    assert not torch.equal(a, unmasked)


def test_hiding_an_invalid_token_does_not_make_it_readable():
    made, clean = encoder(), view(8)
    with torch.no_grad():
        (plain,) = made([("spo2", clean)])
        (hidden,) = made([("spo2", clean)], [~clean.valid_BL])
    assert torch.equal(plain.tokens_BLD, hidden.tokens_BLD)


def test_a_window_without_a_valid_token_has_finite_embeddings_and_gradients():
    made, empty = encoder(), View(torch.full((1, L, 120), float("nan")), torch.zeros(1, L, dtype=torch.bool))
    (encoded,) = made([("spo2", empty)])
    assert not encoded.tokens_BLD.any()
    encoded.window_BD.sum().backward()
    assert encoded.window_BD.isfinite().all()
    assert all(p.grad.isfinite().all() for p in made.parameters() if p.grad is not None)


def test_features_computed_beforehand_give_the_same_embeddings():
    made, samples = encoder(), view(9)
    features = made.front_end("spo2", samples.values_BLS)
    kept = View(torch.where(samples.valid_BL[..., None], features, 0.0), samples.valid_BL, are_features=True)
    for a, b in zip(encode(made, samples), encode(made, kept), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)


def test_the_backbone_does_not_know_which_modality_it_reads():
    """Equal tokenizers make equal embeddings of equal samples: there is nothing else that tells modalities apart."""
    made, samples = encoder(), view(10)
    made.tokenizers["resp"].load_state_dict(made.tokenizers["spo2"].state_dict())
    tokens, window, other_tokens, other_window = encode(made, samples, samples)
    torch.testing.assert_close(tokens, other_tokens, rtol=0, atol=1e-6)
    torch.testing.assert_close(window, other_window, rtol=0, atol=1e-6)


def test_an_unknown_modality_is_named_with_a_guess():
    with pytest.raises(ValueError, match=r"unknown modality 'respp' \(did you mean 'resp'"):
        ModelConfig(modalities=("respp",))
