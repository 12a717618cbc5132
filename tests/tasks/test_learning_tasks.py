"""Fine-tuning: what teaches, what is judged, what moves; and it can learn."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from made_nights import made_night, store_of

from sleep2vec.data.augment import DropoutConfig
from sleep2vec.data.nights import NightReader, NightSource
from sleep2vec.data.scoring import ScoringReader
from sleep2vec.data.window import WindowReader
from sleep2vec.metrics.agreement import agreement
from sleep2vec.model.encoder import ModelConfig
from sleep2vec.model.sleep_model import SleepModel, SleepModelConfig
from sleep2vec.tasks.age import Age
from sleep2vec.tasks.arousal import Arousal
from sleep2vec.tasks.calibration import calibrate, calibrate_seconds
from sleep2vec.tasks.finetuning import (
    FinetuneConfig,
    NightSequence,
    answers_of,
    combined_loss,
    finetuning_work,
    let_learn,
    validation_answers,
    validation_scores,
    with_dropout,
)
from sleep2vec.tasks.staging import Staging
from sleep2vec.training.optimizer import OptimizerConfig
from sleep2vec.training.runner import RunConfig, train
from sleep2vec.vocabulary.events import Event
from sleep2vec.vocabulary.subject import Subject

NAMES = ("spo2", "resp")
STAGES = {"staging": Staging()}
UNHIDDEN = FinetuneConfig(dropout=DropoutConfig(subset_probability=0, fall_off_probability=0))


def model(tasks=STAGES, dropout=0.0, **changes):
    torch.manual_seed(0)
    heads = {name: task.head for name, task in tasks.items()}
    return SleepModel(SleepModelConfig(encoder=ModelConfig(modalities=NAMES, dropout=dropout), heads=heads, **changes))


def reader_of(store, tasks=STAGES, front_end=None):
    return NightReader(WindowReader(store, front_end), NAMES, ScoringReader(store), tasks)


def batch_of(store, ids, n_tokens, seed, tasks=STAGES):
    return NightSource(reader_of(store, tasks), ids, len(ids), n_tokens, seed).batch(0)


def work_of(module, source, reader, config=UNHIDDEN, tasks=STAGES):
    return finetuning_work(module, tasks, source, [], reader.scorings, config)


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
    return store_of(tmp_path_factory.mktemp("finetuning") / "store", nights)


def judged_on(module, reader, night_ids):
    return validation_scores(module, STAGES, NightSequence(reader, night_ids), reader.scorings)


def test_a_tiny_stager_learns_made_up_nights_and_reads_unseen_ones(store, tmp_path):
    """Truth by construction. Eight nights to learn from; the ninth, and either sensor alone, to judge."""
    module = model()
    reader = reader_of(store, front_end=module.encoder.front_end)
    ids = [f"n{i}" for i in range(8)]
    calibrate(module.encoder, reader.views, ids, 0)
    source = NightSource(reader, ids, 6, 24, seed=0)
    work = work_of(module, source, reader, FinetuneConfig())
    run = RunConfig(steps=60, ema_decay=0.8, validate_every=99, log_every=99, save_every=99, device="cpu")
    averaged = train(work, run, OptimizerConfig(learning_rate=2e-3, warmup_share=0.1), tmp_path, "x")
    seen = judged_on(averaged, reader, ids)
    assert set(seen) == {"staging/accuracy", "staging/kappa", "staging/macro_f1"}
    assert seen["staging/kappa"] > 0.9
    assert judged_on(averaged, reader, ["n8"])["staging/kappa"] > 0.8
    for name, enough in (("spo2", 0.4), ("resp", 0.9)):  # of the 83 features of SpO2 three tell the level
        assert judged_on(averaged, replace(reader, modalities=(name,)), ["n8"])["staging/kappa"] > enough


def test_only_scored_and_readable_tokens_teach(store):
    """Other stages where nobody scored or nothing was readable cannot exist; where they do not count, nothing moves."""
    module = model().eval()
    batch = batch_of(store, ["n0", "n1"], 20, seed=1)
    for view in batch.views.values():
        view.valid_BL[:, 3] = False
    reader = reader_of(store)
    work = work_of(module, NightSource(reader, ["n0"], 1, 20, seed=0), reader)
    losses = []
    for stage in (0.0, 4.0):
        stages = batch.labels["staging"].clone()
        stages[:, 3] = stage
        changed = replace(batch, labels={"staging": stages})
        losses.append(work.loss(module, changed, torch.Generator().manual_seed(0))[0].item())
    assert losses[0] == losses[1]
    answers = module(batch.views, first_B=batch.first_B)
    counted = answers.readable_BL & batch.labels["staging"].isfinite()
    log_probability = answers.outputs["staging"].log_softmax(dim=-1)
    by_hand = -log_probability[counted].gather(1, batch.labels["staging"][counted].long()[:, None]).mean()
    assert losses[0] == pytest.approx(by_hand.item(), rel=1e-5)


class Spoiled:
    """Batches with nothing readable at some tokens."""

    def __init__(self, batches, hidden):
        self.batches, self.hidden = batches, hidden

    def __iter__(self):
        for batch in self.batches:
            for view in batch.views.values():
                view.valid_BL[:, self.hidden] = False
            yield batch


def test_an_abstention_is_not_a_prediction(store):
    module, reader = model(), reader_of(store)
    (batch,) = batches = list(Spoiled(NightSequence(reader, ["n0"]), slice(5, 9)))
    ((_, answered),) = answers_of(module, STAGES, batches, reader.scorings)
    output = answered["staging"].output
    assert np.isnan(output[5:9]).all()
    assert np.array_equal(answered["staging"].label(STAGES["staging"]), batch.labels["staging"][0], equal_nan=True)
    readable = torch.stack([view.valid_BL for view in batch.views.values()]).any(dim=0)[0].numpy()
    assert np.array_equal(np.isfinite(output).all(axis=1), readable)
    # Judged are the others alone.
    scored = batch.labels["staging"][0].numpy()
    by_hand = agreement(scored, np.where(readable, output.argmax(axis=1), np.nan), 5)
    told = validation_scores(module, STAGES, batches, reader.scorings)
    assert told["staging/accuracy"] == by_hand.accuracy


def test_a_frozen_encoder_does_not_move(store, tmp_path):
    module, reader, config = model(dropout=0.1), reader_of(store), FinetuneConfig(train="head")
    let_learn(module, config)
    before = {name: value.clone() for name, value in module.encoder.state_dict().items()}
    work = work_of(module, NightSource(reader, ["n0", "n1"], 2, 20, seed=0), reader, config)
    head = module.heads["staging"][-1].weight.clone()
    train(work, RunConfig(steps=2, device="cpu"), OptimizerConfig(), tmp_path, "x")
    assert all(torch.equal(value, before[name]) for name, value in module.encoder.state_dict().items())
    assert not torch.equal(module.heads["staging"][-1].weight, head)


def test_dropout_hides_and_never_shows(store):
    batch = batch_of(store, ["n0", "n1"], 20, seed=0)
    batch = replace(batch, seconds=dict(batch.views))  # as where heads of seconds read features of their own
    config = DropoutConfig(subset_probability=1, fall_off_probability=1)
    hidden_at_all = False
    for seed in range(10):
        heard = with_dropout(batch, config, torch.Generator().manual_seed(seed))
        for name, view in heard.views.items():
            assert not (view.valid_BL & ~batch.views[name].valid_BL).any()
            assert torch.equal(view.values_BLS, batch.views[name].values_BLS)
            assert torch.equal(heard.seconds[name].valid_BL, view.valid_BL)
            hidden_at_all |= bool((batch.views[name].valid_BL & ~view.valid_BL).any())
    assert hidden_at_all


# --- several tasks ----------------------------------------------------------------------------------------------

MANY = {"staging": Staging(), "arousal": Arousal(), "age": Age()}
AROUSED = [[(3, 9), (300, 20)], [(40, 5)], []]


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """Three nights; arousals, which jolt the breath, and the age, which sets its depth, are known of the first two."""
    nights = []
    for i, arousals in enumerate(AROUSED):
        draw = np.random.default_rng(i)
        breath = (1 + i) * np.sin(2 * np.pi * 0.25 * np.arange(20 * 120) / 4) + 0.1 * draw.standard_normal(20 * 120)
        for onset, length in arousals:
            breath[4 * onset : 4 * (onset + length)] += 8
        night = made_night(
            f"k{i}", i, 20, NAMES, 1.0, stages=np.arange(20.0) % 5, samples={"resp": breath.reshape(20, 120)},
            subject=Subject(subject_id=f"k{i}", age_years=None if i == 2 else 30.0 + 20 * i),
        )  # fmt: skip
        events = tuple(Event("arousal", float(onset), float(length)) for onset, length in arousals)
        nights.append(replace(night, events=events))
    return store_of(tmp_path_factory.mktemp("several") / "store", nights)


def test_the_loss_is_the_weighted_mean_of_those_of_the_tasks_over_chance(known):
    reader = reader_of(known, MANY)
    prepared = {name: task.prepared([reader.scorings.of(f"k{i}") for i in range(2)]) for name, task in MANY.items()}
    batch = batch_of(known, ["k0", "k1", "k2"], 20, seed=0, tasks=prepared)
    answers = model(prepared).eval()(batch.views, first_B=batch.first_B)
    weights = {"arousal": 0.5, "age": 2.0}
    total, told = combined_loss(answers, batch.labels, prepared, weights)
    each = {
        name: task.loss(answers.outputs[name], batch.labels[name], answers.readable_BL).item() / task.chance
        for name, task in prepared.items()
    }
    assert told == pytest.approx({f"train/{name}": value for name, value in each.items()})
    assert total.item() == pytest.approx((each["staging"] + 0.5 * each["arousal"] + 2.0 * each["age"]) / 3.5)


def test_a_night_without_labels_of_a_task_moves_its_head_by_nothing(known):
    reader = reader_of(known, MANY)
    prepared = {name: task.prepared([reader.scorings.of(f"k{i}") for i in range(2)]) for name, task in MANY.items()}
    module = model(prepared)
    batch = batch_of(known, ["k2"], 20, seed=0, tasks=prepared)
    total, told = combined_loss(module(batch.views, first_B=batch.first_B), batch.labels, prepared, {})
    assert "train/age" not in told
    total.backward()
    assert all(not parameter.grad.any() for parameter in module.heads["age"].parameters())
    assert any(parameter.grad.any() for parameter in module.heads["staging"].parameters())


def test_all_tasks_are_learned_at_once(known, tmp_path):
    """By heart: three nights, and each task knows them in the end."""
    reader = reader_of(known, MANY)
    ids = ["k0", "k1", "k2"]
    prepared = {name: task.prepared([reader.scorings.of(night) for night in ids]) for name, task in MANY.items()}
    reader = replace(reader, labellers=prepared)
    module = model(prepared)
    calibrate(module.encoder, reader.views, ids, 0)
    calibrate_seconds(module.seconds, reader.views, ids, 0)
    work = work_of(module, NightSource(reader, ids, 3, 20, seed=0), reader, UNHIDDEN, prepared)
    run = RunConfig(steps=40, ema_decay=0.5, validate_every=99, log_every=99, save_every=99, device="cpu")
    averaged = train(work, run, OptimizerConfig(learning_rate=3e-3, warmup_share=0.1), tmp_path, "x")
    scores = validation_scores(averaged, prepared, NightSequence(reader, ids), reader.scorings)
    assert scores["arousal/auroc"] > 0.95
    assert scores["age/mae"] < 5
    answers = validation_answers(averaged, prepared, NightSequence(reader, ids), reader.scorings)
    assert {name: len(found) for name, found in answers.items()} == {"staging": 3, "arousal": 2, "age": 2}
