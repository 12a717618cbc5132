"""Staging: any subset of sensors, one model; and it can learn."""

import numpy as np
import pytest
import torch
from made_nights import made_night, store_of

from sleep2vec.data.augment import DropoutConfig
from sleep2vec.data.nights import NightReader, NightSource
from sleep2vec.data.scoring import ScoringReader
from sleep2vec.data.window import View, WindowReader
from sleep2vec.model.encoder import ModelConfig
from sleep2vec.tasks.calibration import calibrate
from sleep2vec.model.heads import HeadShape
from sleep2vec.model.sleep_model import SleepModel, SleepModelConfig
from sleep2vec.tasks.finetuning import (
    FinetuneConfig,
    finetuning_work,
    let_learn,
    validation_answers,
    validation_scores,
    with_dropout,
)
from sleep2vec.tasks.staging import Staging
from sleep2vec.training.optimizer import OptimizerConfig
from sleep2vec.training.runner import RunConfig, train

NAMES = ("airflow", "spo2", "resp")
L = 10


def stager(names=NAMES):
    torch.manual_seed(0)
    made = Stager(ModelConfig(modalities=names, dropout=0.0)).double().eval()
    with torch.no_grad():
        made.fusion.modality_MD.normal_()
        made.fusion.preference_M.normal_()
    return made


def views(seed=0, n=4, n_tokens=L):
    draw = torch.Generator().manual_seed(seed)
    made = {}
    for name in NAMES:
        valid = torch.rand(n, n_tokens, generator=draw) < 0.7
        made[name] = View(torch.randn(n, n_tokens, 120, generator=draw, dtype=torch.float64), valid)
    made["airflow"].valid_BL[1] = False  # window 1 has no airflow
    for view in made.values():
        view.valid_BL[2] = False  # window 2 has nothing
    return made


def parts(staged):
    return (staged.logits_BLC, staged.weights_BML, staged.readable_BL, staged.fused_BLD, staged.windows_BD)


def assert_alike(a, b, atol=1e-12):
    for x, y in zip(parts(a), parts(b), strict=True):
        torch.testing.assert_close(x.double(), y.double(), rtol=0, atol=atol)


@torch.no_grad()
def test_a_window_is_staged_alike_alone_and_among_windows_with_other_sensors():
    made, given = stager(), views()
    together = made(given)
    for b in range(4):
        alone = made({name: view.rows(torch.tensor([b])) for name, view in given.items()})
        for x, y in zip(parts(together), parts(alone), strict=True):
            torch.testing.assert_close(x[b].double(), y[0].double(), rtol=0, atol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize("subset", [("airflow",), ("resp", "spo2"), ("airflow", "resp")])
def test_an_invalid_modality_is_the_same_as_an_absent_one(subset):
    """The subset alone, and the subset beside modalities that are garbage and invalid: bit for bit."""
    made, given = stager(), views(1)
    alone = made({name: given[name] for name in subset})
    spoiled = {
        name: view
        if name in subset
        else View(torch.full_like(view.values_BLS, float("nan")), torch.zeros_like(view.valid_BL))
        for name, view in given.items()
    }
    for x, y in zip(parts(alone), parts(made(spoiled)), strict=True):
        assert torch.equal(x, y)


@torch.no_grad()
def test_garbage_in_invalid_tokens_changes_not_one_bit():
    made, given = stager(), views(2)
    for garbage in (float("nan"), 1e30):
        spoiled = {
            name: View(torch.where(view.valid_BL[..., None], view.values_BLS, garbage), view.valid_BL)
            for name, view in given.items()
        }
        for x, y in zip(parts(made(given)), parts(made(spoiled)), strict=True):
            assert torch.equal(x, y)


@torch.no_grad()
def test_longer_padding_changes_nothing():
    made, given = stager(), views(3)
    padded = {
        name: View(
            torch.nn.functional.pad(view.values_BLS, (0, 0, 0, 6), value=float("nan")),
            torch.nn.functional.pad(view.valid_BL, (0, 6)),
        )
        for name, view in given.items()
    }
    short, longer = made(given), made(padded)
    # What is not readable is abstained from: its logits mean nothing.
    readable = short.readable_BL
    torch.testing.assert_close(longer.logits_BLC[:, :L][readable], short.logits_BLC[readable], rtol=0, atol=1e-12)
    torch.testing.assert_close(longer.weights_BML[..., :L], short.weights_BML, rtol=0, atol=1e-12)
    torch.testing.assert_close(longer.fused_BLD[:, :L], short.fused_BLD, rtol=0, atol=1e-12)
    torch.testing.assert_close(longer.windows_BD, short.windows_BD, rtol=0, atol=1e-12)
    assert not longer.readable_BL[:, L:].any()
    assert not longer.weights_BML[..., L:].any()


@torch.no_grad()
def test_the_order_of_the_views_does_not_matter():
    made, given = stager(), views(4)
    assert_alike(made(given), made({name: given[name] for name in reversed(NAMES)}), atol=0)


@torch.no_grad()
def test_tokens_without_a_sensor_are_abstained_from():
    made, given = stager(), views(5)
    staged = made(given)
    anything = torch.stack([view.valid_BL for view in given.values()]).any(dim=0)
    assert torch.equal(staged.readable_BL, anything)
    torch.testing.assert_close(staged.weights_BML.sum(dim=1), anything.double(), rtol=0, atol=1e-12)
    assert not staged.readable_BL[2].any()
    assert not staged.windows_BD[2].any()
    assert all(part.isfinite().all() for part in parts(staged))


# --- learning ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Five stages, each with a breath of its own rate and a saturation of its own level; a fifth is unscored."""
    nights, t = [], np.arange(120) / 4
    for i in range(9):
        draw = np.random.default_rng(i)
        stages = np.repeat(draw.integers(0, 5, 12), 4).astype(np.float32)
        rates_hz, levels = np.array([0.4, 0.33, 0.27, 0.2, 0.13]), np.array([98, 94, 90, 86, 82])
        codes = stages.astype(int)
        breath = np.sin(2 * np.pi * rates_hz[codes][:, None] * t + draw.uniform(0, 6.28, (48, 1)))
        breath = 2 * breath + 0.3 * draw.standard_normal((48, 120))
        spo2 = levels[codes][:, None] + 0.2 * draw.standard_normal((48, 120))
        stages[draw.random(48) < 0.2] = np.nan
        night = made_night(
            f"n{i}", 0, 48, ("spo2", "resp"), 0.95, stages=stages, samples={"resp": breath, "spo2": spo2}
        )
        nights.append(night)
    return store_of(tmp_path_factory.mktemp("staging") / "store", nights)


def test_a_tiny_stager_learns_made_up_nights_and_reads_unseen_ones(store, tmp_path):
    """Truth by construction. Eight nights to learn from; the ninth, and either sensor alone, to judge."""
    torch.manual_seed(0)
    module = Stager(ModelConfig(modalities=("spo2", "resp"), dropout=0.0))
    reader = WindowReader(store, module.encoder.front_end)
    ids = [f"n{i}" for i in range(8)]
    calibrate(module.encoder, reader, ids, 0)
    source = NightSource(reader, ids, ("spo2", "resp"), 6, 24, seed=0)
    unseen = NightSource(reader, ["n8"], ("spo2", "resp"), 1, 48, seed=0).batch(0)
    work = staging_work(module, source, [], StagingConfig())
    run = RunConfig(steps=40, ema_decay=0.8, validate_every=50, log_every=50, save_every=50, device="cpu")
    averaged = train(work, run, OptimizerConfig(learning_rate=2e-3, warmup_share=0.1), tmp_path, "x")
    assert staging_scores(averaged, [source.batch(0)])["validation/kappa"] > 0.9
    assert staging_scores(averaged, [unseen])["validation/kappa"] > 0.8
    for name, enough in (("spo2", 0.4), ("resp", 0.9)):  # of the 83 features of SpO2 three tell the level
        alone = type(unseen)({name: unseen.views[name]}, unseen.stages_BL, unseen.sensors_BM, unseen.night_ids)
        assert staging_scores(averaged, [alone])["validation/kappa"] > enough


def test_only_scored_and_readable_tokens_teach(store):
    """Other stages where nobody scored or nothing was readable cannot exist; where they do not count, nothing moves."""
    torch.manual_seed(0)
    module = Stager(ModelConfig(modalities=("spo2", "resp"), dropout=0.0)).eval()
    batch = NightSource(WindowReader(store), ["n0", "n1"], ("spo2", "resp"), 2, 20, seed=1).batch(0)
    for view in batch.views.values():
        view.valid_BL[:, 3] = False
    config = StagingConfig(dropout=DropoutConfig(subset_probability=0, fall_off_probability=0))
    work = staging_work(module, NightSource(WindowReader(store), ["n0"], ("spo2", "resp"), 1, 20, seed=0), [], config)
    losses = []
    for stage in (0.0, 4.0):
        stages = batch.stages_BL.clone()
        stages[:, 3] = stage
        changed = type(batch)(batch.views, stages, batch.sensors_BM, batch.night_ids)
        losses.append(work.loss(module, changed, torch.Generator().manual_seed(0))[0].item())
    assert losses[0] == losses[1]
    staged = module(batch.views)
    counted = staged.readable_BL & batch.stages_BL.isfinite()
    log_probability = staged.logits_BLC.log_softmax(dim=-1)
    by_hand = -log_probability[counted].gather(1, batch.stages_BL[counted].long()[:, None]).mean()
    assert losses[0] == pytest.approx(by_hand.item(), rel=1e-5)


def test_an_abstention_is_not_a_prediction(store):
    module = Stager(ModelConfig(modalities=("spo2", "resp"), dropout=0.0))
    batch = NightSource(WindowReader(store), ["n0"], ("spo2", "resp"), 1, 48, seed=1).batch(0)
    for view in batch.views.values():
        view.valid_BL[:, 5:9] = False
    ((scored, predicted),) = staged_nights(module, [batch])
    assert np.isnan(predicted[5:9]).all()
    assert np.array_equal(scored, batch.stages_BL.numpy().ravel(), equal_nan=True)
    readable = torch.stack([view.valid_BL for view in batch.views.values()]).any(dim=0)[0].numpy()
    assert np.array_equal(np.isfinite(predicted), readable)


def test_a_frozen_encoder_does_not_move(store, tmp_path):
    torch.manual_seed(0)
    module = Stager(ModelConfig(modalities=("spo2", "resp")))
    before = {name: value.clone() for name, value in module.encoder.state_dict().items()}
    source = NightSource(WindowReader(store), ["n0", "n1"], ("spo2", "resp"), 2, 20, seed=0)
    work = staging_work(module, source, [], StagingConfig(train="head"))
    head = module.head.classify[-1].weight.clone()
    train(work, RunConfig(steps=2, device="cpu"), OptimizerConfig(), tmp_path, "x")
    assert all(torch.equal(value, before[name]) for name, value in module.encoder.state_dict().items())
    assert not torch.equal(module.head.classify[-1].weight, head)


def test_dropout_hides_and_never_shows(store):
    batch = NightSource(WindowReader(store), ["n0", "n1"], ("spo2", "resp"), 2, 20, seed=0).batch(0)
    config = DropoutConfig(subset_probability=1, fall_off_probability=1)
    hidden_at_all = False
    for seed in range(10):
        for name, view in with_dropout(batch, config, torch.Generator().manual_seed(seed)).items():
            assert not (view.valid_BL & ~batch.views[name].valid_BL).any()
            assert torch.equal(view.values_BLS, batch.views[name].values_BLS)
            hidden_at_all |= bool((batch.views[name].valid_BL & ~view.valid_BL).any())
    assert hidden_at_all
