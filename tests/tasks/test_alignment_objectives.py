"""The objectives that a recipe may name, from a batch to the scalar."""

import math

import numpy as np
import pytest
import torch
from plain_dash import plain_leave_one_out, plain_loss
from pydantic import ValidationError
from shared_batches import NAMES, made_batch

from sleep2vec.data.metadata import Metadata
from sleep2vec.data.pairs import PairBatch
from sleep2vec.data.window import View
from sleep2vec.model.encoder import ModelConfig
from sleep2vec.tasks.alignment import Aligner, AlignmentConfig, Decoder
from sleep2vec.tasks.pretraining import alignment_loss

PLAIN = {"masked_share": 0.0, "temporal": {"drawn": 0}}
MODEL = ModelConfig(modalities=NAMES, dropout=0.0)


def learner(**constants) -> Aligner:
    torch.manual_seed(0)
    return Aligner(MODEL, AlignmentConfig(**constants)).eval()


def loss_of(module, batch, **constants) -> float:
    return alignment_loss(module, batch, AlignmentConfig(**constants), torch.Generator().manual_seed(0))[0].item()


@torch.no_grad()
def test_leave_one_out_of_tokens_and_of_windows_is_the_slow_restatement():
    module, batch = learner(objective="leave_one_out"), made_batch(3, 5, slice(None))
    embedded = [tuple(x.double().numpy() for x in pair) for pair in module(batch)]
    valid = [view.valid_BL.numpy() for view in batch.views]
    terms = {"temperature": 0.3, "margin": 0.0}
    ones, none = np.ones((5, 5)), np.zeros((5, 5))
    tokens = plain_leave_one_out([t for t, _ in embedded], ones, none, valid=valid, **terms)
    whole = [v.any(axis=1, keepdims=True) for v in valid]
    windows = plain_leave_one_out([w[:, None] for _, w in embedded], ones, none, valid=whole, **terms)
    loss = loss_of(module, batch, objective="leave_one_out", temperature=0.3, window_weight=0.4, **PLAIN)
    assert loss == pytest.approx(tokens + 0.4 * windows, rel=1e-5)


@torch.no_grad()
def test_of_three_views_every_pair_is_contrasted():
    module, batch = learner(objective="infonce"), made_batch(3, 5, slice(None))
    embedded, valid = [t.double().numpy() for t, _ in module(batch)], [view.valid_BL.numpy() for view in batch.views]
    ones, none = np.ones((5, 5)), np.zeros((5, 5))
    pairs = [
        plain_loss(embedded[i], embedded[j], ones, none, temperature=0.2, margin=0.0, valid=valid[i] & valid[j])
        for i, j in ((0, 1), (0, 2), (1, 2))
    ]
    loss = loss_of(module, batch, objective="infonce", window_weight=0.0, **PLAIN)
    assert loss == pytest.approx(np.mean(pairs), rel=1e-5)


def half_hidden(batch: PairBatch) -> list[torch.Tensor]:
    """The lottery that the loss draws for these constants, view after view."""
    draw = torch.Generator().manual_seed(0)
    return [(torch.rand(view.valid_BL.shape, generator=draw) < 0.5) & view.valid_BL for view in batch.views]


def said_by(decoder: Decoder, tokens_ND: np.ndarray) -> np.ndarray:
    """Linear, GELU by the error function, linear, in numpy."""
    weights = {name: value.detach().double().numpy() for name, value in decoder.named_parameters()}
    inner = tokens_ND @ weights["body.0.weight"].T + weights["body.0.bias"]
    inner = inner * 0.5 * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))
    return inner @ weights["body.2.weight"].T + weights["body.2.bias"]


def reconstructor(batch: PairBatch, **constants) -> Aligner:
    module = learner(**(constants or {"objective": "reconstruction"}))
    for name, view in zip(batch.modalities, batch.views, strict=True):
        module.calibrate(name, module.encoder.front_end(name, view.values_BLS[view.valid_BL]))
    return module


@torch.no_grad()
def test_reconstruction_is_the_error_on_hidden_tokens_of_their_standardised_features():
    batch = made_batch(2, 6, slice(None))
    module, hidden = reconstructor(batch), half_hidden(batch)
    encoded = module.encoder(list(zip(batch.modalities, batch.views, strict=True)), hidden)
    errors = []
    for name, view, seen, hidden_BL in zip(batch.modalities, batch.views, encoded, hidden, strict=True):
        features = module.encoder.front_end(name, view.values_BLS)
        all_valid = features[view.valid_BL].double().numpy()
        spread = np.maximum(all_valid.std(axis=0, ddof=1), 1e-3)
        target = (features[hidden_BL].double().numpy() - all_valid.mean(axis=0)) / spread
        said = said_by(module.decoder(name), seen.tokens_BLD[hidden_BL].double().numpy())
        errors += list(((said - target) ** 2).mean(axis=1))
    assert len(errors) > 10
    loss = loss_of(module, batch, objective="reconstruction", masked_share=0.5)
    assert loss == pytest.approx(np.mean(errors), rel=1e-4)


@torch.no_grad()
@pytest.mark.parametrize(("objective", "n_views"), [("dash_infonce", 2), ("infonce", 3), ("leave_one_out", 3)])
def test_beside_a_contrast_reconstruction_adds_what_it_costs_alone(objective, n_views):
    """The same encoder, decoders and lottery: one is asked to contrast, one to reconstruct, one for both."""
    batch = made_batch(n_views, 6, slice(None))
    both = {"objective": objective, "reconstruction_weight": 0.3, "masked_share": 0.5}
    module = reconstructor(batch, **both)
    contrast = loss_of(module, batch, **(both | {"reconstruction_weight": 0.0}))
    reconstruction = loss_of(module, batch, objective="reconstruction", masked_share=0.5)
    assert min(contrast, reconstruction) > 0.1
    assert loss_of(module, batch, **both) == pytest.approx(contrast + 0.3 * reconstruction, rel=1e-5)
    _, logged = alignment_loss(module, batch, AlignmentConfig(**both), torch.Generator().manual_seed(0))
    assert logged["train/contrast"] == pytest.approx(contrast, rel=1e-5)
    assert logged["train/reconstruction"] == pytest.approx(0.3 * reconstruction, rel=1e-5)


@torch.no_grad()
def test_what_is_hidden_is_only_in_the_target():
    """Decoders that always say 0: the loss is the targets' mean square, whatever the encoder makes of the rest."""
    batch = made_batch(2, 6, slice(None))
    module = reconstructor(batch)
    for name in NAMES:
        for parameter in module.decoder(name).body[2].parameters():
            parameter.zero_()
    targets = []
    for name, view, hidden_BL in zip(batch.modalities, batch.views, half_hidden(batch), strict=True):
        features = module.encoder.front_end(name, view.values_BLS[hidden_BL])
        targets += module.decoder(name).standardised(features).square().mean(dim=1).tolist()
    loss = loss_of(module, batch, objective="reconstruction", masked_share=0.5)
    assert loss == pytest.approx(np.mean(targets), rel=1e-5)


def test_reconstruction_learns_a_window_from_the_rest_of_it():
    """Each window repeats a wave of its own, so what is hidden stands beside itself; always saying the mean costs 1."""
    wave_BS = torch.randn(4, 120, generator=torch.Generator().manual_seed(1)).cumsum(dim=1) / 5
    values_BLS = wave_BS[:, None].expand(4, 6, 120).contiguous()
    views = tuple(View(values_BLS, torch.ones(4, 6, dtype=torch.bool)) for _ in range(2))
    batch = PairBatch(NAMES[:2], views, Metadata(*[torch.arange(4.0)] * 5))
    module, draw = reconstructor(batch).train(), torch.Generator().manual_seed(0)
    config = AlignmentConfig(objective="reconstruction", masked_share=0.3)
    optimizer, losses = torch.optim.AdamW(module.parameters(), lr=1e-3), []
    for _ in range(30):
        loss, _ = alignment_loss(module, batch, config, draw)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 0.8
    assert np.mean(losses[-5:]) < 0.4


@torch.no_grad()
def test_a_reconstructor_shows_its_watchers_the_encoders_own_embeddings():
    batch = made_batch(2, 5, slice(None))
    module = learner(objective="reconstruction")
    encoded = module.encoder(list(zip(batch.modalities, batch.views, strict=True)))
    for (tokens_BLD, window_BD), seen in zip(module(batch), encoded, strict=True):
        torch.testing.assert_close((tokens_BLD, window_BD), (seen.tokens_BLD, seen.window_BD))


def test_reconstruction_of_nothing_is_refused():
    with pytest.raises(ValidationError, match="masked_share 0 hides nothing; give a share"):
        AlignmentConfig(objective="reconstruction", masked_share=0.0)
    with pytest.raises(ValidationError, match="masked_share 0 hides nothing; give a share"):
        AlignmentConfig(reconstruction_weight=0.1, masked_share=0.0)


def test_an_unknown_objective_is_refused_with_those_there_are():
    with pytest.raises(ValidationError, match="'dash_infonce', 'infonce', 'leave_one_out' or 'reconstruction'"):
        AlignmentConfig(objective="dash")
