"""Several tasks at once: the loss by hand, who is taught by which label, what may learn, and what dropout hides."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from made_nights import made_night, store_of

from sleep2vec.data.augment import DropoutConfig, drop_modalities
from sleep2vec.data.nights import NightReader
from sleep2vec.data.scoring import ScoringReader
from sleep2vec.data.window import Window, WindowReader
from sleep2vec.model.encoder import ModelConfig
from sleep2vec.model.seconds import second_features
from sleep2vec.model.sleep_model import SleepModel, SleepModelConfig
from sleep2vec.tasks.finetuning import (
    FinetuneConfig,
    NightSequence,
    answers_of,
    combined_loss,
    let_learn,
    night_embedding,
    validation_answers,
    with_dropout,
)
from sleep2vec.tasks.registry import tasks_of
from sleep2vec.vocabulary.events import Event
from sleep2vec.vocabulary.subject import Subject

NAMES = ("airflow", "spo2", "resp")
ASKED = tasks_of(["staging", "respiratory", "arousal", "age", "sex"])
L = 8


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """One night knows everything, one only its stages, one only an age, one nothing at all."""
    full = replace(
        made_night("full", 0, L, NAMES, 0.8, Subject("full", 50.0, "male"), stages=np.arange(float(L)) % 5),
        events=(Event("hypopnea", 30.0, 20.0), Event("arousal", 50.0, 5.0)),
    )
    nights = [full, made_night("staged", 1, L, NAMES, 0.8, Subject("staged"), stages=np.arange(float(L)) % 3)]
    nights += [made_night("aged", 2, L, NAMES, 0.8, Subject("aged", 60.0)), made_night("bare", 3, L, NAMES, 0.8)]
    return store_of(tmp_path_factory.mktemp("several") / "store", nights)


def model(tasks=ASKED, **changes):
    torch.manual_seed(0)
    encoder = ModelConfig(modalities=NAMES, dropout=0.0, mix_layers=changes.pop("mix_layers", False))
    return SleepModel(SleepModelConfig(encoder=encoder, heads={n: t.head for n, t in tasks.items()}, **changes))


def batch_of(store, *names, kept_apart=False):
    seconds = WindowReader(store, second_features, store.path / "seconds") if kept_apart else None
    reader = NightReader(WindowReader(store), NAMES, ScoringReader(store), ASKED, seconds)
    return reader.batch_of([Window(name, 0, L) for name in names])


def test_the_loss_is_the_weighted_mean_of_losses_over_those_of_the_best_constants(store):
    """Cross-entropies by hand with numpy from the answers of the model; events weigh a tenth where not named."""
    chances = {"staging": 1.5, "respiratory": 0.4, "arousal": 0.25, "age": 0.5, "sex": 0.69}
    tasks = {n: t.model_copy(update={"chance": chances[n]}) for n, t in ASKED.items()}
    tasks["age"] = tasks["age"].model_copy(update={"centre": 55.0, "spread": 4.0})
    batch, weights = batch_of(store, "full", "staged", "aged"), {"staging": 2.0, "age": 0.5, "sex": 0.0}
    answers = model()(batch.views, None, batch.first_B)
    total, told = combined_loss(answers, batch.labels, tasks, weights)

    outputs = {name: value.detach().double().numpy() for name, value in answers.outputs.items()}
    labels = {name: value.numpy() for name, value in batch.labels.items()}
    readable = answers.readable_BL.numpy()
    seconds = readable.repeat(30, axis=1)

    def cross_entropy(name, counted):
        logits = outputs[name][counted]
        codes = labels[name][counted].astype(int)
        return np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(codes)), codes])

    def yes_no(logits, label):
        return np.mean(np.log1p(np.exp(logits)) - label * logits)

    z = (np.array([50.0, 60.0]) - 55) / 4
    away = np.abs(outputs["age"][[0, 2], 0] - z)
    roused = seconds & np.isfinite(labels["arousal"])
    by_hand = {
        "staging": cross_entropy("staging", readable & np.isfinite(labels["staging"])),
        "respiratory": cross_entropy("respiratory", seconds & np.isfinite(labels["respiratory"])),
        "arousal": yes_no(outputs["arousal"][..., 0][roused], labels["arousal"][roused]),
        "age": np.where(away < 1, away**2 / 2, away - 0.5).mean(),
        "sex": yes_no(outputs["sex"][0, 0], 1.0),
    }
    parts = {name: value / chances[name] for name, value in by_hand.items()}
    assert {n.removeprefix("train/"): v for n, v in told.items()} == pytest.approx(parts, rel=1e-4)
    meant = (2 * parts["staging"] + 0.1 * (parts["respiratory"] + parts["arousal"]) + 0.5 * parts["age"]) / 2.7
    assert total.item() == pytest.approx(meant, rel=1e-4)


@pytest.mark.parametrize(
    ("night", "taught"), [("staged", {"staging"}), ("aged", {"age"}), ("bare", set()), ("full", set(ASKED))]
)
def test_a_night_teaches_the_heads_of_what_it_knows_and_no_other(store, night, taught):
    made, batch = model(), batch_of(store, night)
    loss, told = combined_loss(made(batch.views, None, batch.first_B), batch.labels, ASKED, {})
    loss.backward()
    for name in ASKED:
        slopes = [p.grad for p in made.heads[name].parameters()]
        size = sum(float(g.abs().sum()) for g in slopes if g is not None)
        assert (size > 0) == (name in taught), name
    assert set(told) == {f"train/{name}" for name in taught}
    moved = any(p.grad is not None and bool(p.grad.any()) for p in made.encoder.parameters())
    assert moved == bool(taught)


@cache
def learns(train, mix_layers=False):
    made = model(mix_layers=mix_layers, linear=train == "probe")
    let_learn(made, FinetuneConfig(train=train, mix_layers=mix_layers, lora_rank=2))
    return {name for name, p in made.named_parameters() if p.requires_grad}, dict(made.named_parameters())


@pytest.mark.parametrize("mix_layers", [False, True])
@pytest.mark.parametrize("train", ["probe", "head", "lora", "dora", "full"])
def test_exactly_what_is_asked_for_may_learn(train, mix_layers):
    """The mixture of layers is no part of what was pretrained: it learns in every way of training."""
    may, everything = learns(train, mix_layers)
    encoder = {name for name in may if name.startswith("encoder.")}
    assert may - encoder == {name for name in everything if not name.startswith("encoder.")}
    mixture = {"encoder.backbone.mixture.preference_N"} if mix_layers else set()
    if train == "full":
        assert may == set(everything)
    elif train in ("probe", "head"):
        assert encoder == mixture
    else:
        adapters = {name for name in everything if "lora_" in name}
        assert encoder == mixture | adapters
        assert len(adapters) == (3 if train == "dora" else 2) * 4 * 4  # four layers with four linear maps each
        assert all(name.startswith("encoder.backbone.layers.") for name in adapters)
    if train == "probe":
        heads = [name for name in everything if name.startswith("heads.")]
        assert len(heads) == 4 * len(ASKED)  # a norm and a linear map each
        assert not any(name.startswith("context.") for name in everything)


@pytest.mark.parametrize("kept_apart", [False, True])
def test_dropout_hides_tokens_and_their_seconds_alike(store, kept_apart):
    """By the lottery of `drop_modalities`, which has judges of its own; and nothing that was hidden is read."""
    batch = batch_of(store, "full", "staged", "aged", "bare", kept_apart=kept_apart)
    config, hidden = DropoutConfig(subset_probability=1, fall_off_probability=1), 0
    valid = torch.stack([view.valid_BL for view in batch.views.values()], dim=1)
    for seed in range(5):
        heard = with_dropout(batch, config, torch.Generator().manual_seed(seed))
        kept = drop_modalities(valid, batch.sensors_BM, config, torch.Generator().manual_seed(seed))
        hidden += int((valid & ~kept).sum())
        for m, name in enumerate(batch.views):
            assert torch.equal(heard.views[name].valid_BL, kept[:, m])
            assert torch.equal(heard.views[name].values_BLS, batch.views[name].values_BLS)
            if kept_apart:
                assert torch.equal(heard.seconds[name].valid_BL, kept[:, m])
                assert torch.equal(heard.seconds[name].values_BLS, batch.seconds[name].values_BLS)
        assert (heard.seconds is None) == (not kept_apart)
        assert all(torch.equal(heard.labels[n], label) or label.isnan().any() for n, label in batch.labels.items())
    assert hidden > 20


@torch.no_grad()
def test_whole_nights_are_answered_beside_what_is_known_and_abstained_from_where_nothing_is_valid(store):
    made, scorings = model(), ScoringReader(store)
    nights = NightSequence(NightReader(WindowReader(store), NAMES, scorings), ["full", "bare", "aged"])
    assert len(nights) == 3
    assert [batch.night_ids for batch in nights[1:]] == [("bare",), ("aged",)]
    batch = nights[0]
    for view in batch.views.values():
        view.valid_BL[:, 2] = False
    ((answers, answered),) = answers_of(made, ASKED, [batch], scorings)
    direct = made(batch.views, None, batch.first_B)
    readable = answers.readable_BL[0].numpy()
    assert not readable[2]
    for name, task in ASKED.items():
        output, meant = answered[name].output, direct.outputs[name][0].numpy()
        if task.resolution == "night":
            np.testing.assert_array_equal(output, meant)
        else:
            heard = readable.repeat(30) if task.resolution == "second" else readable
            np.testing.assert_array_equal(output[heard], meant[heard])
            assert np.isnan(output[~heard]).all()
        np.testing.assert_array_equal(answered[name].label(task), task.label(scorings.of("full"), 0, L))
    np.testing.assert_array_equal(night_embedding(answers), direct.nights_BH[0].numpy())


@torch.no_grad()
def test_a_night_without_a_valid_token_is_told_nothing(store):
    made, scorings = model(), ScoringReader(store)
    batch = NightSequence(NightReader(WindowReader(store), NAMES, scorings), ["full"])[0]
    for view in batch.views.values():
        view.valid_BL[:] = False
    ((answers, answered),) = answers_of(made, ASKED, [batch], scorings)
    assert all(np.isnan(answer.output).all() for answer in answered.values())
    assert np.isnan(night_embedding(answers)).all()


def test_only_nights_that_know_are_asked_how_well_it_went(store):
    made, scorings = model(), ScoringReader(store)
    nights = NightSequence(NightReader(WindowReader(store), NAMES, scorings), ["full", "staged", "aged", "bare"])
    answers = validation_answers(made, ASKED, nights, scorings)
    asked = {name: [a.scoring.row.night_id for a in given] for name, given in answers.items()}
    assert asked == {
        "staging": ["full", "staged"], "respiratory": ["full"], "arousal": ["full"], "age": ["full", "aged"],
        "sex": ["full"],
    }  # fmt: skip
