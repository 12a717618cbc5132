"""Fine-tuning with slow rhythms: killed and resumed, with and without kept features, and carried on from."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from made_nights import made_night, store_of
from pydantic import ValidationError

from sleep2vec.inference.predictor import load
from sleep2vec.model import rhythms
from sleep2vec.model.checkpoint import load_weights
from sleep2vec.recipes.finetuning import run_finetuning
from sleep2vec.recipes.schema import FinetuneRecipe
from sleep2vec.vocabulary.errors import StoreError, UsageError
from sleep2vec.vocabulary.events import Event

NAMES = ("spo2", "ibi", "resp")
RUN = {"steps": 3, "validate_every": 3, "save_every": 1, "log_every": 1, "device": "cpu"}


class KilledError(Exception):
    """Stands for a kill: nothing after the step runs."""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rhythmic") / "store"
    nights = [made_night(f"n{i}", i, 60, NAMES, stages=np.arange(60.0) % 5) for i in range(8)]
    store_of(folder, [replace(night, events=(Event("arousal", 50.0, 5.0),)) for night in nights])
    return folder


def recipe(store, out, finetuning=None, **more) -> FinetuneRecipe:
    learned = {"rhythms": True, "context": "convolutions", "head_dropout": 0.1} | (finetuning or {})
    told = {"store": store, "out": out, "model": {"modalities": NAMES, "dropout": 0.0}, "run": RUN}
    told |= {"batch_windows": 2, "window_tokens": 60, "split": {"validation": 0.3, "test": 0.0, "seed": 1}}
    return FinetuneRecipe.model_validate(told | {"finetuning": learned} | more)


@pytest.fixture(scope="module")
def undisturbed(store):
    run_finetuning(recipe(store, store.parent / "undisturbed"))
    return store.parent / "undisturbed"


def same(one, other):
    expected, found = load_weights(one), load_weights(other)
    return found.keys() == expected.keys() and all(torch.equal(found[n], v) for n, v in expected.items())


def carried_on(store, start, folder, **more):
    """Weights after a step, at a rate of next to nothing, from a model that is said to have been pretrained."""
    begun = folder.parent / f"{folder.name}-begun"
    shutil.copytree(start, begun)
    config = begun / "config.json"
    told = '{"n_nights": 1, "n_people": 1, "hours": 1.0, "cohorts": {"made": 1}, "simulated_only": true}'
    config.write_text(config.read_text().replace('"training_data": {', f'"training_data": {{"pretraining": {told},', 1))
    more |= {"model": None, "pretrained": begun, "optimizer": {"learning_rate": 1e-12}}
    run_finetuning(recipe(store, folder, run=RUN | {"steps": 1, "validate_every": 1}, **more), i_know=True)
    return load_weights(folder)


def test_killed_and_resumed_is_the_same_model_bit_for_bit(store, undisturbed, tmp_path):
    def watch(progress):
        if progress.step == 2:
            raise KilledError

    with pytest.raises(KilledError):
        run_finetuning(recipe(store, tmp_path), watch)
    run_finetuning(recipe(store, tmp_path))
    assert same(undisturbed, tmp_path)


def test_kept_features_teach_the_same(store, undisturbed, tmp_path):
    """Tokens are read as features, rhythms of samples: what is learned differs by rounding alone."""
    run_finetuning(recipe(store, tmp_path / "out", keep_features=True, feature_folder=tmp_path / "features"))
    expected, found = load_weights(undisturbed), load_weights(tmp_path / "out")
    for name, value in expected.items():
        if value.is_floating_point():
            torch.testing.assert_close(found[name], value, rtol=0, atol=1e-3, msg=name)


def test_its_measures_were_calibrated_on_whole_windows_and_it_answers_from_each_sensor_alone(undisturbed):
    weights = load_weights(undisturbed)
    assert weights["rhythms.readers.ibi.centre_F"].abs().max() > 1
    assert len(weights["rhythms.readers.ibi.centre_F"]) == rhythms.N_FEATURES
    model, night = load(undisturbed), made_night("new", 77, 50, NAMES)
    answers = {name: model.predict(night, modalities=[name]).probabilities for name in NAMES}
    for name, told in answers.items():
        np.testing.assert_array_equal(np.isfinite(told[:, 0]), night.valid[name])


def test_who_carries_on_keeps_rhythms_and_their_calibration(store, undisturbed, tmp_path):
    """One step at a rate of next to nothing leaves what was there."""
    before, after = load_weights(undisturbed), carried_on(store, undisturbed, tmp_path)
    kept = [name for name in before if name.startswith(("rhythms.", "context.", "fusion."))]
    assert any(name.startswith("rhythms.readers.resp") for name in kept)
    for name in kept:
        torch.testing.assert_close(after[name], before[name], rtol=0, atol=1e-6, msg=name)


def test_who_carries_on_keeps_the_path_of_seconds_and_its_heads(store, tmp_path):
    tasks = {"tasks": ["staging", "arousal"]}
    first = tmp_path / "first"
    run_finetuning(recipe(store, first, **tasks))
    before, after = load_weights(first), carried_on(store, first, tmp_path / "second", **tasks)
    kept = [name for name in before if name.startswith(("seconds.", "heads."))]
    assert any(name.startswith("seconds.blocks") for name in kept)
    for name in kept:
        torch.testing.assert_close(after[name], before[name], rtol=0, atol=1e-6, msg=name)


def test_a_run_is_not_written_into_a_store(store):
    with pytest.raises(UsageError, match="it is a store; name another folder"):
        run_finetuning(recipe(store, store))


def test_a_column_that_no_night_has_is_named_with_those_there_are(store, tmp_path):
    custom = [{"name": "mass", "column": "bmii", "kind": "regression"}]
    with pytest.raises(StoreError, match=r"no column 'bmii'; there are: "):
        run_finetuning(recipe(store, tmp_path, tasks=[], custom=custom))


def test_a_probe_has_no_rhythms(store, tmp_path):
    with pytest.raises(ValidationError, match="reads the encoder alone; leave out rhythms"):
        recipe(store, tmp_path, {"train": "probe"})
