"""A fine-tuning from end to end on made-up nights: killed and resumed, finished, and finished by another sleep2vec."""

from pathlib import Path

import numpy as np
import pytest
import torch
from made_nights import SLOW, made_night, store_of

from sleep2vec.model.checkpoint import load_weights
from sleep2vec.model.sleep_model import SleepModel
from sleep2vec.recipes import finetuning
from sleep2vec.recipes.finetuning import run_finetuning
from sleep2vec.recipes.schema import FinetuneRecipe
from sleep2vec.vocabulary.errors import ModelError

RUN = {"steps": 4, "validate_every": 2, "save_every": 2, "log_every": 1, "device": "cpu"}


class KilledError(Exception):
    """Stands for a kill: nothing after the step runs."""


class LaterModel(SleepModel):
    """What another version might make of the same recipe."""

    def __init__(self, config):
        super().__init__(config)
        self.more = torch.nn.Parameter(torch.zeros(1))


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("finetuning") / "store"
    store_of(folder, [made_night(f"n{i}", i, 40, stages=np.arange(40.0) % 5) for i in range(9)])
    return folder


def recipe(store: Path, out: Path) -> FinetuneRecipe:
    given = {"store": store, "out": out, "model": {"modalities": SLOW, "dropout": 0.1}, "run": RUN}
    given |= {"batch_windows": 2, "window_tokens": 20, "split": {"validation": 0.34, "test": 0.0, "seed": 1}}
    return FinetuneRecipe.model_validate(given)


@pytest.fixture(scope="module")
def undisturbed(store) -> Path:
    run_finetuning(recipe(store, store.parent / "undisturbed"))
    return store.parent / "undisturbed"


@pytest.mark.parametrize("step", [1, 3])
def test_killed_and_resumed_is_the_same_model_bit_for_bit(store, undisturbed, tmp_path, step):
    """Also what was calibrated at the start, which a run that goes on takes from its state."""

    def watch(progress):
        if progress.step == step:
            raise KilledError

    with pytest.raises(KilledError):
        run_finetuning(recipe(store, tmp_path), watch)
    run_finetuning(recipe(store, tmp_path))
    expected, found = load_weights(undisturbed), load_weights(tmp_path)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    map_DD = expected["fusion.maps.map_MDD"][0]
    assert (map_DD - torch.eye(len(map_DD))).abs().max() > 0.05  # more than four steps move it: it was calibrated


def test_a_finished_run_answers_at_once(store, undisturbed):
    def watch(progress):
        raise AssertionError("it trains again")

    assert run_finetuning(recipe(store, undisturbed), watch)


def test_a_model_of_another_structure_is_not_taken_for_this_run(store, undisturbed, monkeypatch):
    """Its weights could not be loaded: the scores it was written with are no answer."""
    monkeypatch.setattr(finetuning, "SleepModel", LaterModel)
    with pytest.raises(ModelError, match=r"or by another sleep2vec; name another folder"):
        run_finetuning(recipe(store, undisturbed))
