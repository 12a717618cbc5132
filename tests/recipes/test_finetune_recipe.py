"""What a fine-tuning recipe learns from and what it refuses, in sentences; and all tasks at once, with adapters."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from made_nights import SLOW, made_night, store_of
from pydantic import ValidationError

from sleep2vec.data.scoring import ScoringReader
from sleep2vec.data.splits import split_nights
from sleep2vec.model.sleep_model import SleepModel
from sleep2vec.recipes.finetuning import labelled_nights, prepared_tasks, run_finetuning
from sleep2vec.recipes.schema import FinetuneRecipe
from sleep2vec.store.reader import Store
from sleep2vec.tasks.finetuned import load_finetuned
from sleep2vec.tasks.registry import RESERVED
from sleep2vec.vocabulary.errors import StoreError
from sleep2vec.vocabulary.events import Event
from sleep2vec.vocabulary.subject import Subject

RUN = {"steps": 2, "validate_every": 2, "save_every": 2, "log_every": 1, "device": "cpu"}
N_PEOPLE = 10


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    """Ten people with one to three nights each; every third night was not scored, and nobody told a sex."""
    nights = []
    for p in range(N_PEOPLE):
        for visit in range(1 + p % 3):
            i = len(nights)
            measures = {"bmi": 20.0 + p, "event.death": float(p % 2), "time_years.death": 1.0 + p}
            subject = Subject(f"p{p}", 40.0 + p if p % 4 else None, None, None, measures)
            stages = np.arange(16.0) % 5 if i % 3 else None
            night = made_night(f"p{p}-{visit}", i, 16, SLOW, subject=subject, stages=stages)
            events = (Event("hypopnea", 65.0, 20.0), Event("arousal", 84.0, 6.0), Event("desaturation", 80.0, 30.0))
            nights.append(replace(night, events=events if i % 3 else ()))
    return store_of(tmp_path_factory.mktemp("recipe") / "store", nights)


def recipe(store: Store, out="out", **changes) -> FinetuneRecipe:
    given = {"store": store.path, "out": store.path.parent / out, "model": {"modalities": SLOW, "dropout": 0.0}}
    given |= {"run": RUN, "batch_windows": 2, "window_tokens": 8, "split": {"validation": 0.3, "test": 0.0, "seed": 1}}
    return FinetuneRecipe.model_validate(given | changes)


def chosen(store, **changes):
    made = recipe(store, **changes)
    return labelled_nights(made, ScoringReader(store), split_nights(store.rows, made.split))


def test_only_training_nights_with_a_label_of_any_task_teach(store):
    split = split_nights(store.rows, recipe(store).split)
    assert set(chosen(store)) == {n for n in split.train if store.row(n).n_scored_tokens}
    both = {n for n in split.train if store.row(n).n_scored_tokens or store.row(n).age_years is not None}
    assert set(chosen(store, tasks=("staging", "age"))) == both > set(chosen(store))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("n", [1, 3, 99])
def test_of_so_many_people_all_nights_are_kept(store, n, seed):
    everybody = chosen(store)
    some = chosen(store, labelled_people=n, run={**RUN, "seed": seed})
    people = {store.row(night_id).person for night_id in some}
    assert len(people) == min(n, len({store.row(night_id).person for night_id in everybody}))
    assert set(some) == {night_id for night_id in everybody if store.row(night_id).person in people}


def test_so_many_nights_are_drawn_by_the_seed(store):
    draws = [chosen(store, labelled_nights=3, run={**RUN, "seed": seed}) for seed in (0, 0, 1, 2, 3)]
    assert draws[0] == draws[1]
    assert len({frozenset(draw) for draw in draws}) > 1
    for draw in draws:
        assert len(set(draw)) == 3
        assert set(draw) <= set(chosen(store))
    assert set(chosen(store, labelled_nights=99)) == set(chosen(store))
    people = {tuple(sorted(chosen(store, labelled_people=2, run={**RUN, "seed": seed}))) for seed in range(6)}
    assert len(people) > 1


def test_a_task_that_no_training_night_answers_is_named(store):
    made = recipe(store, tasks=("staging", "sex"))
    scorings, nights = ScoringReader(store), chosen(store, tasks=("staging", "sex"))
    sentence = rf"none of its {len(nights)} training nights has a label for the task sex; leave the task out"
    with pytest.raises(StoreError, match=sentence):
        prepared_tasks(made, scorings, nights)
    with pytest.raises(StoreError, match=r"none of its \d+ training nights has labels for sex; ingest the nights"):
        chosen(store, tasks=("sex",))


def test_prepared_tasks_know_the_labels_of_their_nights(store):
    made = recipe(store, tasks=("staging", "age", "survival"), risk=0.25)
    made = made.model_copy(update={"custom": recipe(store, custom=[BMI]).custom})
    nights = chosen(store, tasks=("staging", "age"), custom=[BMI])
    tasks = prepared_tasks(made, ScoringReader(store), nights)
    assert list(tasks) == ["staging", "age", "weight"]  # survival is fitted, not taught
    ages = [store.row(n).age_years for n in nights if store.row(n).age_years is not None]
    assert (tasks["age"].centre, tasks["age"].spread) == pytest.approx((np.mean(ages), np.std(ages)))
    assert tasks["weight"].centre == pytest.approx(np.mean([store.row(n).measures["bmi"] for n in nights]))
    assert (tasks["staging"].risk, tasks["weight"].unit) == (0.25, "kg/m2")


BMI = {"name": "weight", "column": "bmi", "kind": "regression", "unit": "kg/m2"}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"tasks": ("age", "age")}, "the name 'age' is taken"),
        ({"custom": [BMI, BMI]}, "the name 'weight' is taken; give each of `tasks` and `custom` a name of its own"),
        ({"tasks": ("age",), "custom": [{**BMI, "name": "staging"}]}, "the name 'staging' is taken"),
        ({"custom": [{**BMI, "name": "survival"}]}, "the name 'survival' is taken"),
        ({"custom": [{**BMI, "name": "pooled"}]}, "the name 'pooled' is taken"),
        ({"custom": [{**BMI, "name": "embedding"}]}, "the name 'embedding' is taken"),
        ({"custom": [{**BMI, "name": "type"}]}, "the name 'type' is taken"),
        ({"tasks": ("survival",)}, "survival is fitted on what other tasks teach; name one more"),
        (
            {"finetuning": {"task_weights": {"age": 2.0}}},
            "task_weights names 'age', which is none of the tasks staging",
        ),
        ({"labelled_nights": 3, "labelled_people": 2}, "limit `labelled_nights` or `labelled_people`, not both"),
        ({"pretrained": "small"}, "name either `pretrained` .* not both"),
        ({"model": None}, "name either `pretrained` .* not neither"),
    ],
)
def test_says_what_does_not_go_together(store, changes, sentence):
    with pytest.raises(ValidationError, match=sentence):
        recipe(store, **changes)


def test_every_name_that_is_not_taken_can_be_the_name_of_a_head():
    """torch keeps heads by name beside its own methods; all that it refuses is reserved."""
    refused = set()
    for name in dir(torch.nn.ModuleDict()):
        try:
            torch.nn.ModuleDict({name: torch.nn.Identity()})
        except KeyError:
            refused.add(name)
    assert {"type", "training", "half"} <= refused
    assert refused <= RESERVED


@pytest.mark.parametrize("train", ["lora", "head"])
def test_all_tasks_are_taught_together_and_written_as_a_plain_model(store, train):
    """What is written loads into a model that never had adapters, and answers as its weights say."""
    tasks = ("staging", "respiratory", "arousal", "desaturation", "age", "survival")
    made = recipe(
        store, f"out-{train}", tasks=tasks, custom=[BMI], keep_features=True, survival={"min_events": 2},
        finetuning={"train": train, "mix_layers": True, "lora_rank": 2},
    )  # fmt: skip
    scores = run_finetuning(made)
    finetuned, config = load_finetuned(made.out)
    assert list(finetuned.tasks) == [*tasks[:-1], "weight"]
    plain = SleepModel(finetuned.module.config).state_dict()
    written = finetuned.module.state_dict()
    assert {k: v.shape for k, v in written.items()} == {k: v.shape for k, v in plain.items()}
    assert {name.split("/")[0] for name in scores} <= {*tasks, "weight"}
    assert config["scores"] == scores
    assert set(finetuned.survival.outcomes) == {"death"}
    assert finetuned.survival.width == finetuned.module.config.fused_width
    assert run_finetuning(made) == scores  # finished: it answers at once
