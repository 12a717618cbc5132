"""What a study keeps in memory is what would be computed again; who abstains is judged between the nearest answers."""

import numpy as np
import pytest
import torch
from made_nights import made_night

import remembered
from real_usefulness import filled
from sleep2vec.data.window import View, view_of_night
from sleep2vec.model import rhythms
from sleep2vec.model.encoder import Encoder, ModelConfig


@pytest.fixture
def memory(monkeypatch):
    monkeypatch.setattr(rhythms, "rhythm_features", rhythms.rhythm_features)
    monkeypatch.setattr(Encoder, "forward", Encoder.forward)
    remembered.remember_rhythms()
    remembered.remember_frozen()


def padded(view, n):
    pad = torch.nn.functional.pad
    return View(pad(view.values_BLS, (0, 0, 0, n), value=9.0), pad(view.valid_BL, (0, n)))


@torch.no_grad()
def test_a_window_is_remembered_as_it_is_in_whatever_batch(memory, monkeypatch):
    encoder = Encoder(ModelConfig(modalities=("ibi",), dropout=0.0)).eval().requires_grad_(False)
    view = view_of_night(made_night("n", 3, 50, ("ibi",)), "ibi", 0, 50)
    for given in (view, view, padded(view, 7)):
        expected = remembered._plain_rhythms("ibi", given.values_BLS[0], given.valid_BL[0])
        found = rhythms.rhythms_of("ibi", given)[0]
        torch.testing.assert_close(found, expected, rtol=0, atol=2e-3, equal_nan=True)
        (plain,), (said,) = remembered._plain_forward(encoder, [("ibi", given)]), encoder([("ibi", given)])
        torch.testing.assert_close(said.tokens_BLD, plain.tokens_BLD, rtol=0, atol=1e-5)
        torch.testing.assert_close(said.window_BD, plain.window_BD, rtol=0, atol=1e-5)

    def nobody(*given):
        raise AssertionError("it is computed again")

    monkeypatch.setattr(remembered, "_plain_rhythms", nobody)
    monkeypatch.setattr(remembered, "_plain_forward", nobody)
    rhythms.rhythms_of("ibi", padded(view, 3))
    encoder([("ibi", padded(view, 3))])
    encoder.cls_D.add_(1.0)
    with pytest.raises(AssertionError, match="computed again"):
        encoder([("ibi", view)])


def test_abstentions_lie_between_the_nearest_answers():
    told = np.array([[np.nan] * 2, [0.2, 0.8], [np.nan] * 2, [0.6, 0.4], [np.nan] * 2], dtype=np.float32)
    np.testing.assert_allclose(filled(told)[:, 0], [0.2, 0.2, 0.4, 0.6, 0.6], atol=1e-6)
    np.testing.assert_allclose(filled(np.full((3, 4), np.nan, dtype=np.float32)), 0.25)
