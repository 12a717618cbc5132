"""What pretraining's validation says, against plain re-computation and encoders whose failure is known."""

import logging

import numpy as np
import pytest
import torch
from made_nights import made_night, store_of
from torch import nn

from sleep2vec.data.pairs import PairConfig, PairSource
from sleep2vec.data.window import WindowReader
from sleep2vec.model.encoder import ModelConfig
from sleep2vec.tasks.pretraining import Aligner
from sleep2vec.tasks.pretraining_validation import retrieval_by_pair

NAMES = ("airflow", "belt", "resp")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    nights = [made_night(f"n{i}", i, 60, NAMES, 0.8) for i in range(8)]
    store = store_of(tmp_path_factory.mktemp("validation") / "store", nights)
    config = PairConfig(batch_windows=8, window_tokens=20, same_night_share=0.0)
    return PairSource(WindowReader(store), [row.night_id for row in store.rows], NAMES, config, seed=2)


class Said(nn.Module):
    """Projections by a rule instead of an encoder."""

    def __init__(self, rule):
        super().__init__()
        self.place = nn.Parameter(torch.zeros(1))
        self.rule = rule

    def forward(self, batch):
        views = (batch.first, batch.second)
        return [(self.rule(view), self.rule(view)[:, 0]) for view in views]


def fresh(width):
    draw = torch.Generator().manual_seed(0)
    return lambda view: torch.randn(*view.valid_BL.shape, width, generator=draw)


def test_every_number_is_the_plain_one(source):
    """Re-computed token by token, from the same projections."""
    torch.manual_seed(0)
    made = Aligner(ModelConfig(modalities=NAMES, dropout=0.0)).eval()
    numbers = retrieval_by_pair(made, source, 0.2)
    for place, pair in enumerate(source.pairs):
        batch = source.batch(place, pair)
        with torch.no_grad():
            (first, _), (second, _) = made(batch)
        valid = (batch.first.valid_BL & batch.second.valid_BL).numpy()
        a, b = (
            x.double().numpy() / np.linalg.norm(x.double().numpy(), axis=-1, keepdims=True) for x in (first, second)
        )
        tokens = [(i, t) for i in range(len(valid)) for t in range(valid.shape[1]) if valid[i, t]]
        squared = [np.sum((a[i, t] - b[i, t]) ** 2) for i, t in tokens]
        contested = [(i, t) for i, t in tokens if valid[:, t].sum() > 1]  # else there is nobody to be taken for
        chances = [1 / valid[:, t].sum() for _, t in contested]
        hits = []
        for i, t in contested:
            others = [j for j in range(len(valid)) if valid[j, t]]
            hits.append(i == max(others, key=lambda j: a[i, t] @ b[j, t]))
            hits.append(i == max(others, key=lambda j: b[i, t] @ a[j, t]))
        name = "_".join(pair)
        assert numbers[f"validation/alignment_{name}"] == pytest.approx(np.mean(squared), rel=1e-4)
        assert numbers[f"validation/chance_{name}"] == pytest.approx(np.mean(chances))
        assert numbers[f"validation/top1_{name}"] == pytest.approx(np.mean(hits))
        if place == 0:  # a modality is judged by the first batch that holds it
            x = a[batch.first.valid_BL.numpy()]
            distances = [np.sum((x[i] - x[j]) ** 2) for i in range(len(x)) for j in range(i)]
            expected = np.log(np.mean(np.exp(-2 * np.array(distances))))
            assert numbers[f"validation/uniformity_{pair[0]}"] == pytest.approx(expected, rel=1e-3)
            assert numbers[f"validation/spread_{pair[0]}"] == pytest.approx(1 - np.sum(x.mean(0) ** 2), abs=1e-5)
    for kind in ("top1", "alignment", "chance", "loss"):
        parts = [numbers[f"validation/{kind}_{'_'.join(pair)}"] for pair in source.pairs]
        assert numbers[f"validation/{kind}"] == pytest.approx(np.mean(parts))
    for kind in ("uniformity", "rank", "spread"):
        assert numbers[f"validation/{kind}"] == pytest.approx(
            np.mean([numbers[f"validation/{kind}_{m}"] for m in NAMES])
        )


@pytest.mark.parametrize(
    ("rule", "code", "words"),
    [
        (lambda view: torch.ones(*view.valid_BL.shape, 32), 3, "total collapse of every modality"),
        (lambda view: fresh(3)(view) @ torch.eye(3, 64), 2, "dimensional collapse of every modality"),
        (fresh(64), 1, "no better than chance"),
    ],
)
def test_a_broken_encoder_is_called_what_it_is(source, caplog, rule, code, words):
    with caplog.at_level(logging.WARNING):
        numbers = retrieval_by_pair(Said(rule), source, 0.2)
    assert numbers["validation/collapse"] == code
    assert words in caplog.text


def test_an_encoder_that_knows_the_window_is_left_in_peace(source, caplog):
    """Of every window and moment one place on the sphere, the same for all modalities."""
    places = torch.nn.functional.one_hot(torch.arange(8 * 20)).float().reshape(8, 20, -1)
    with caplog.at_level(logging.WARNING):
        numbers = retrieval_by_pair(
            Said(lambda view: places[: len(view.valid_BL), : view.valid_BL.shape[1]]), source, 0.2
        )
    assert numbers["validation/collapse"] == 0
    assert numbers["validation/top1"] == 1.0
    assert numbers["validation/alignment"] == pytest.approx(0.0, abs=1e-6)
    assert caplog.text == ""
