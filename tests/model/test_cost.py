"""Operations counted by hand."""

import functools
import math

import pytest
import torch

from sleep2vec.model import cost as costs
from sleep2vec.model.backbone import BACKBONES
from sleep2vec.model.cost import NIGHT_TOKENS, STEP_TOKENS, STEP_WINDOWS, _at, _night_flops
from sleep2vec.model.encoder import Encoder, ModelConfig
from sleep2vec.model.sizes import SIZES
from sleep2vec.vocabulary.modalities import CORE, MODALITIES

cost_of = functools.cache(costs.cost_of)  # each takes a second or two
WIDE, NARROW, PROJECTION = 3840, 120, 128


def mlp_products(n, D):
    """Multiplications of a token: n -> 2 D -> D and a skip n -> D."""
    return n * 2 * D + 2 * D * D + n * D


def backbone_products(L, D, layers):
    """Of a window of L tokens, [CLS] among them: q, k, v, o and the feed-forward layer, and L^2 D twice."""
    return layers * (L * 12 * D * D + 2 * L * L * D)


@pytest.mark.parametrize("size", SIZES)
def test_a_night_of_nine_modalities_takes_what_a_hand_counts(size):
    D, layers = SIZES[size].width, SIZES[size].layers
    samples = [MODALITIES[name].samples_per_token for name in CORE]
    cost = cost_of(ModelConfig(size=size, tokenizer="mlp", projection=PROJECTION))
    backbone = 2 * len(samples) * backbone_products(1 + NIGHT_TOKENS, D, layers)
    assert cost.night_backbone_flops == backbone
    assert cost.night_flops == backbone + 2 * NIGHT_TOKENS * sum(mlp_products(n, D) for n in samples)


@pytest.mark.parametrize("size", SIZES)
def test_a_step_takes_three_times_its_forward_but_for_slopes_by_the_samples(size):
    """Backward multiplies twice per product; the samples themselves need no slope, so their layers do so once."""
    D, layers = SIZES[size].width, SIZES[size].layers
    cost = cost_of(ModelConfig(size=size, tokenizer="mlp", projection=PROJECTION))
    windows = 2 * STEP_WINDOWS
    project = windows * (STEP_TOKENS + 1) * (2 * D * D + D * PROJECTION)
    tokens = STEP_WINDOWS * STEP_TOKENS
    forward = windows * backbone_products(1 + STEP_TOKENS, D, layers) + project
    forward += tokens * (mlp_products(WIDE, D) + mlp_products(NARROW, D))
    slopes_by_samples = tokens * 3 * D * (WIDE + NARROW)
    assert cost.step_flops == pytest.approx(2 * (3 * forward - slopes_by_samples), rel=1e-9)


def test_base_with_the_papers_tokenizer_is_the_published_model():
    """`facts/performance_anchor.md`: 133.9 M parameters, 85.1 and 47.4 of them encoder and tokenizers; 1,067 GFLOP a
    step, 1,876 a night. The anchor does not say how it counted. A step is 0.8 % dearer here,
    which one [CLS] token in 121 would explain (assumed below); why a night is 0.5 % cheaper is not known.
    """
    cost = cost_of(ModelConfig(size="base", tokenizer="mlp", projection=PROJECTION))
    assert (round(cost.backbone / 1e6, 1), round(cost.tokenizers / 1e6, 1)) == (85.1, 47.4)
    assert cost.parameters / 1e6 == pytest.approx(133.9, rel=2e-3)
    assert cost.step_flops is not None
    assert cost.step_flops / 1e9 == pytest.approx(1067 * 121 / 120, rel=2e-3)
    assert cost.night_flops / 1e9 == pytest.approx(1876, rel=6e-3)


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("tokenizer", ["spectral", "conv"])
def test_what_few_tokens_tell_of_many_is_what_they_take(backbone, tokenizer):
    with torch.device("meta"):
        encoder = Encoder(ModelConfig(tokenizer=tokenizer, backbone=backbone, modalities=("eeg", "spo2")))
    assert _at(62, lambda n: _night_flops(encoder, n)) == pytest.approx(list(_night_flops(encoder, 62)), rel=1e-7)


def test_a_recurrent_night_takes_what_a_hand_counts():
    """Of both directions 3 gates of D/2 by D and by D/2, that is 4.5 D^2, and the feed-forward layer's 8 D^2."""
    D, layers = SIZES["tiny"].width, SIZES["tiny"].layers
    cost = cost_of(ModelConfig(size="tiny", backbone="recurrent", modalities=("spo2",)))
    assert cost.night_backbone_flops == pytest.approx(2 * (1 + NIGHT_TOKENS) * layers * 12.5 * D * D, rel=1e-3)
    assert cost.backbone == layers * int(12.5 * D * D + 15 * D) + 2 * D
    assert cost.step_flops is None  # there is no pair


def test_the_spectra_of_a_night_are_counted():
    """29 frames of 256 samples a token: 5/2 n log2 n each, the bands' 129 x N, then the MLP on what they give."""
    with torch.device("meta"):
        encoder = Encoder(ModelConfig(tokenizer="spectral", modalities=("eeg",)))
    tokenizer, D = encoder.tokenizer("eeg"), encoder.width
    total, backbone = _night_flops(encoder, 10)
    fft = 29 * 2.5 * 256 * math.log2(256)
    bands = tokenizer.spectra[0].bands_FN.shape[1]
    mlp = mlp_products(len(tokenizer.centre_F), D)
    assert total - backbone == 10 * (fft + 2 * 29 * 129 * bands + 2 * mlp)


def test_small_with_nine_modalities_and_filters_fits_into_the_repository():
    """Below 40 MB in sixteen bits: the aim for shipped weights."""
    assert 2 * cost_of(ModelConfig(size="small", tokenizer="conv")).parameters < 40e6
