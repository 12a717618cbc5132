"""Pretraining's loss and its judge."""

import numpy as np
import pytest
import torch
from made_nights import made_night, store_of
from plain_dash import plain_loss, plain_same_person, plain_weights

from sleep2vec.data.pairs import PairConfig, PairSource
from sleep2vec.data.window import View, WindowReader
from sleep2vec.model.encoder import Encoded, ModelConfig
from sleep2vec.tasks.pretraining import Aligner, AlignmentConfig, alignment_loss
from sleep2vec.tasks.pretraining_validation import retrieval_by_pair
from sleep2vec.vocabulary.modalities import MODALITIES
from sleep2vec.vocabulary.subject import Subject

NAMES = ("airflow", "belt")
PLAIN = {"temporal": {"drawn": 0}, "masked_share": 0.0, "window_weight": 0.0}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Two modalities that hold the same numbers: perfectly aligned views. n0 and n1 are one person."""
    nights = []
    for i in range(6):
        shared = np.random.default_rng(100 + i).standard_normal((24, 120)).cumsum(axis=1)
        person = Subject("p" if i < 2 else f"p{i}", None if i == 3 else 30.0 + 9 * i, "male" if i % 2 else "female")
        night = made_night(f"n{i}", 0, 24, NAMES, 1.0, person, f"site{i % 2}", None, dict.fromkeys(NAMES, shared))
        nights.append(night)
    return store_of(tmp_path_factory.mktemp("alignment") / "store", nights)


def source(store):
    config = PairConfig(batch_windows=6, window_tokens=8, same_night_share=0.2)
    return PairSource(WindowReader(store), [row.night_id for row in store.rows], NAMES, config, seed=2)


def aligner(same_tokenizers=False):
    torch.manual_seed(0)
    made = Aligner(ModelConfig(modalities=NAMES, dropout=0.0))
    if same_tokenizers:
        made.encoder.tokenizers["belt"].load_state_dict(made.encoder.tokenizers["airflow"].state_dict())
    return made.eval()


def test_identical_views_find_each_other_always(store):
    """Both views the same numbers through the same weights: similarity 1 with itself, less with any other window."""
    numbers = retrieval_by_pair(aligner(same_tokenizers=True), source(store), 0.2)
    assert numbers["validation/top1"] == numbers["validation/top1_airflow_belt"] == 1.0
    assert numbers["validation/loss"] < np.log(6)


def test_views_of_other_windows_do_not_find_each_other(store):
    """The control: the second view moved on by one window is never its own best match."""

    class Shifted(PairSource):
        def batch(self, step, pair=None):
            batch = super().batch(step, pair)
            second = View(batch.second.values_BLS.roll(1, 0), batch.second.valid_BL.roll(1, 0))
            return type(batch)(batch.pair, (batch.first, second), batch.metadata)

    shifted = source(store)
    shifted.__class__ = Shifted
    numbers = retrieval_by_pair(aligner(same_tokenizers=True), shifted, 0.2)
    assert numbers["validation/top1"] == 0.0


@torch.no_grad()
@pytest.mark.parametrize("same_night", ["margin", "suppress"])
def test_the_loss_is_the_methods_with_the_nights_own_metadata(store, same_night):
    """From the manifest to the scalar: the slow restatement is fed with people, not with tensors of the package."""
    made, batch = aligner(), source(store).batch(4)
    config = AlignmentConfig(**PLAIN, same_night=same_night, margin=0.3, other_sex=0.5, temperature=0.3)
    loss, numbers = alignment_loss(made, batch, config, torch.Generator().manual_seed(0))
    (first, _), (second, _) = made(batch)
    known = batch.metadata
    h = plain_same_person(known.night.tolist(), known.subject.tolist())
    assert h.any()
    w = plain_weights(
        known.age.tolist(), known.sex.tolist(), known.site.tolist(), h, suppress=same_night == "suppress", other_sex=0.5
    )
    plain = plain_loss(first.double().numpy(), second.double().numpy(), w, h, temperature=0.3, margin=0.3)
    assert loss.item() == pytest.approx(plain, rel=1e-5)
    assert numbers == {"train/loss_airflow_belt": pytest.approx(loss.item())}


@torch.no_grad()
def test_only_tokens_that_are_valid_in_both_views_are_contrasted(store):
    made, batch = aligner(), source(store).batch(5)
    valid = torch.rand(2, *batch.first.valid_BL.shape, generator=torch.Generator().manual_seed(0)) < 0.7
    views = [View(view.values_BLS, one) for view, one in zip((batch.first, batch.second), valid, strict=True)]
    batch = type(batch)(batch.pair, tuple(views), batch.metadata)
    loss, _ = alignment_loss(made, batch, AlignmentConfig(objective="infonce", **PLAIN), torch.Generator())
    (first, _), (second, _) = made(batch)
    ones, none = np.ones((len(first), len(first))), np.zeros((len(first), len(first)))
    both = (valid[0] & valid[1]).numpy()
    plain = plain_loss(
        first.double().numpy(), second.double().numpy(), ones, none, temperature=0.2, margin=0.0, valid=both
    )
    assert loss.item() == pytest.approx(plain, rel=1e-5)


@torch.no_grad()
def test_the_contrast_of_windows_adds_with_its_weight(store):
    made, batch = aligner(), source(store).batch(1)
    infonce = {"objective": "infonce", **PLAIN}
    values = {}
    for weight in (0.0, 0.1, 1.0):
        config = AlignmentConfig(**(infonce | {"window_weight": weight}))
        values[weight] = alignment_loss(made, batch, config, torch.Generator().manual_seed(0))[0].item()
    (_, first), (_, second) = made(batch)
    ones, none = np.ones((len(first), len(first))), np.zeros((len(first), len(first)))
    windows = plain_loss(
        first[:, None].double().numpy(), second[:, None].double().numpy(), ones, none, temperature=0.2, margin=0.0
    )
    assert values[1.0] - values[0.0] == pytest.approx(windows, rel=1e-4)
    assert values[0.1] - values[0.0] == pytest.approx(0.1 * windows, rel=1e-3)


def test_the_hidden_tokens_are_as_many_as_the_share_says_and_differ_between_the_views(store):
    """Statistics: 15 % of the valid tokens of each view, drawn independently (4 sigma)."""
    asked = []

    class Watcher(torch.nn.Module):
        def encoded(self, batch, hidden):
            asked.append(hidden)
            n, length = batch.first.valid_BL.shape
            return [Encoded(torch.randn(n, length, 4), torch.randn(n, 4)) for _ in range(2)]

        def projected(self, view):
            return view.tokens_BLD, view.window_BD

    made, config = source(store), AlignmentConfig()
    for step in range(60):
        alignment_loss(Watcher(), made.batch(step), config, torch.Generator().manual_seed(step))
    first, second = (torch.cat([pair[side].flatten() for pair in asked]) for side in (0, 1))
    for hidden in (first, second):
        assert abs(hidden.sum() - 0.15 * len(hidden)) < 4 * (len(hidden) * 0.15 * 0.85) ** 0.5
    both = 0.15**2
    assert abs((first & second).sum() - both * len(first)) < 4 * (len(first) * both * (1 - both)) ** 0.5


@pytest.mark.parametrize("objective", ["dash_infonce", "infonce"])
def test_garbage_where_one_view_is_invalid_does_not_reach_the_loss(store, objective):
    made, batch = aligner(), source(store).batch(3)
    valid = torch.rand(batch.first.valid_BL.shape, generator=torch.Generator().manual_seed(0)) < 0.7
    losses, gradients = [], []
    for garbage in (0.0, float("nan")):
        values = torch.where(valid[..., None], batch.first.values_BLS, garbage)
        spoiled = type(batch)(batch.pair, (View(values, valid), batch.second), batch.metadata)
        made.zero_grad()
        loss, _ = alignment_loss(made, spoiled, AlignmentConfig(objective=objective), torch.Generator().manual_seed(1))
        loss.backward()
        losses.append(loss.item())
        gradients.append([p.grad.clone() for p in made.parameters() if p.grad is not None])
    assert losses[0] == losses[1]
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_the_defaults_are_the_papers():
    """method.md, section 4 and 5."""
    config = AlignmentConfig()
    assert (config.temperature, config.margin, config.positive_margin) == (0.2, 0.10, 0.0)
    assert (config.age_scale_years, config.other_sex, config.same_site, config.other_site) == (20.0, 0.8, 1.3, 0.8)
    assert (config.temporal.drawn, config.temporal.exclusion_tokens, config.temporal.share) == (32, 10, 1.0)
    assert config.masked_share == 0.15
    assert set(NAMES) <= set(MODALITIES)


def test_who_is_alone_at_a_moment_is_neither_asked_nor_counted(store):
    """Nights of which one alone is valid: whoever is asked finds it, which is no retrieval. NaN, and no chance."""

    class Alone(PairSource):
        def batch(self, step, pair=None):
            batch = super().batch(step, pair)
            valid_BL = batch.first.valid_BL.clone()
            valid_BL[1:] = False
            return type(batch)(batch.pair, (batch.first.restricted(valid_BL), batch.second), batch.metadata)

    alone = source(store)
    alone.__class__ = Alone
    numbers = retrieval_by_pair(aligner(), alone, 0.2)
    assert np.isnan(numbers["validation/top1_airflow_belt"])
    assert np.isnan(numbers["validation/chance_airflow_belt"])
