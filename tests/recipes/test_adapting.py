"""An adaptation from end to end on made-up nights: stages, resume, people, and what is refused."""

from pathlib import Path

import pytest
import torch
from made_nights import made_night, store_of

from sleep2vec.data.people import PEOPLE, hashes_of
from sleep2vec.inference.predictor import load
from sleep2vec.model.checkpoint import load_config, load_weights
from sleep2vec.recipes.adaptation import STAGE_1, run_adaptation
from sleep2vec.recipes.finetuning import _made_of, _start
from sleep2vec.recipes.pretraining import run_pretraining
from sleep2vec.recipes.schema import AdaptRecipe, FinetuneRecipe, PretrainRecipe
from sleep2vec.store.reader import Store
from sleep2vec.tasks.staging import Staging
from sleep2vec.vocabulary.errors import ModelError, StoreError, UsageError

OLD, NEW = ("airflow", "belt", "resp"), ("actigraphy",)
RUN = {"steps": 4, "validate_every": 2, "save_every": 2, "log_every": 1, "device": "cpu"}
SPLIT = {"validation": 0.34, "test": 0.0, "seed": 1}
BATCHES = {"batch_windows": 3, "window_tokens": 6}


class KilledError(Exception):
    """Stands for a kill: nothing after the step runs."""


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A store of nine nights with a watch, and a model pretrained on it without."""
    folder = tmp_path_factory.mktemp("adaptation")
    store_of(folder / "store", [made_night(f"n{i}", i, 20, OLD + NEW) for i in range(9)])
    model = {"modalities": OLD, "dropout": 0.1}
    run_pretraining(
        PretrainRecipe(
            store=folder / "store", out=folder / "pretrained", model=model, batches=BATCHES, run=RUN, split=SPLIT
        )
    )
    return folder


def recipe(places: Path, out: Path, **changes) -> AdaptRecipe:
    stage = {"run": RUN, "optimizer": {"learning_rate": 1e-3}}
    given = {"store": places / "store", "pretrained": places / "pretrained", "modalities": NEW, "out": out}
    given |= {"batches": BATCHES, "split": SPLIT, "stage_1": stage, "stage_2": stage}
    return AdaptRecipe.model_validate(given | changes)


@pytest.fixture(scope="module")
def undisturbed(places):
    run_adaptation(recipe(places, places / "adapted"))
    return places / "adapted"


def test_the_result_is_a_pretrained_model_that_reads_all_and_tells_where_it_came_from(places, undisturbed):
    origin, config = load_config(places / "pretrained"), load_config(undisturbed)
    assert config["kind"] == "pretrained"
    assert tuple(config["model"]["modalities"]) == OLD + NEW
    assert config["adapted_from"]["fingerprint"] == origin["fingerprint"]
    assert list(config["training_data"]) == ["pretraining", "adaptation to actigraphy"]
    card = (undisturbed / "card.md").read_text()
    assert f"Adapted to actigraphy from the model {origin['fingerprint']}, which read airflow, belt, resp." in card
    assert "- adaptation to actigraphy: 6 nights of 6 people" in card
    assert {"loss", "top1", "top1_actigraphy"} <= set(config["scores"])
    assert not list(undisturbed.rglob("state-*"))


def test_the_first_stage_is_a_model_of_its_own_and_leaves_the_old_weights(places, undisturbed):
    old = load_weights(places / "pretrained")
    first, last = load_weights(undisturbed / STAGE_1), load_weights(undisturbed)
    assert all(torch.equal(first[name], value) for name, value in old.items())
    assert any(not torch.equal(last[name], value) for name, value in old.items())
    assert "Only its new tokenizers have learned" in (undisturbed / STAGE_1 / "card.md").read_text()


def test_the_second_stage_goes_on_where_the_first_ended(places, tmp_path):
    """With all rates 0 it ends there too, to the bit."""
    still = {"encoder_rate": 0.0, "shared_rate": 0.0, "new_rate": 0.0}
    run_adaptation(recipe(places, tmp_path, adaptation=still))
    first, last = load_weights(tmp_path / STAGE_1), load_weights(tmp_path)
    assert all(torch.equal(last[name], value) for name, value in first.items())


def test_people_of_both_are_remembered_and_old_weights_kept_on_other_nights(places, tmp_path):
    """The model knew six people; nights of others teach the new sensor."""
    others = tmp_path / "others"
    store_of(others, [made_night(f"m{i}", 50 + i, 20, OLD + NEW) for i in range(9)])
    run_adaptation(recipe(places, tmp_path / "out", store=others))
    known = set(load_config(tmp_path / "out")[PEOPLE])
    before = set(load_config(places / "pretrained")[PEOPLE])
    everybody = hashes_of(Store(others).rows)
    assert before < known
    assert len(known) == len(before) + 6
    assert len(known & everybody) == 6
    # Nor do other nights change what is known of the size of the old features.
    old, first = load_weights(places / "pretrained"), load_weights(tmp_path / "out" / STAGE_1)
    assert all(torch.equal(first[name], value) for name, value in old.items())


def test_a_fine_tuning_starts_from_it_and_keeps_the_whole_history(places, undisturbed, tmp_path):
    start = {"store": places / "store", "out": tmp_path, "pretrained": undisturbed, "run": RUN}
    made_of = _made_of(FinetuneRecipe.model_validate(start), undisturbed, {"staging": Staging()})
    module, history = _start(made_of, undisturbed)
    assert module.modalities == OLD + NEW
    assert list(history) == ["pretraining", "adaptation to actigraphy"]


@pytest.mark.parametrize("kill", [(1, 1), (1, 3), (1, 4), (2, 1), (2, 3), (2, 4)])
def test_killed_in_either_stage_and_resumed_is_the_same_model_bit_for_bit(places, undisturbed, tmp_path, kill):
    def watcher(stage):
        def watch(progress):
            if (stage, progress.step) == kill:
                raise KilledError

        return watch

    asked = recipe(places, tmp_path / "run")
    with pytest.raises(KilledError):
        run_adaptation(asked, watcher)
    steps = []
    run_adaptation(asked, lambda stage: lambda progress: steps.append((stage, progress.step)))
    first = kill[1] // 2 * 2 + 1 if kill[1] > 1 else 1
    assert steps == [(s, n) for s in (1, 2) for n in range(1, 5) if (s, n) >= (kill[0], first)]
    for part in (".", STAGE_1):
        found, expected = load_weights(tmp_path / "run" / part), load_weights(undisturbed / part)
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert run_adaptation(asked, watcher) == load_config(undisturbed)["scores"]  # finished: no step is done again


def test_what_cannot_be_adapted_is_told_in_one_sentence(places, undisturbed, tmp_path):
    def complaint(kind, **changes):
        with pytest.raises(kind) as caught:
            run_adaptation(recipe(places, tmp_path / "out", **changes))
        assert not (tmp_path / "out").exists()
        return str(caught.value)

    told = complaint(UsageError, modalities=("actigraphy", "belt"))
    assert "pretrained reads belt already; name in `modalities` only what is new to it." in told
    assert "reads actigraphy already" in complaint(UsageError, pretrained=undisturbed)
    told = complaint(StoreError, modalities=("actigraphy", "ppg"))
    assert "no two of its 6 training nights hold ppg together with a modality that" in told
    told = complaint(UsageError, split=SPLIT | {"seed": 2})
    assert "was pretrained on" in told
    assert "use the split it was pretrained with" in told
    with pytest.raises(ModelError, match="is not a folder"):
        run_adaptation(recipe(places, tmp_path / "out", pretrained=places / "nothing"))


def test_a_model_that_was_fine_tuned_has_lost_what_sensors_are_aligned_in(places, tmp_path):
    from untrained_models import untrained_model

    staging = untrained_model(tmp_path / "staging", OLD)
    assert load(staging).modalities == OLD
    with pytest.raises(ModelError, match="kind 'finetuned', which has lost the space where sensors meet"):
        run_adaptation(recipe(places, tmp_path / "out", pretrained=staging))


def test_another_objective_than_that_of_the_pretraining_is_told(places, tmp_path):
    with pytest.raises(ModelError, match="or it learned by another kind of objective than reconstruction"):
        run_adaptation(recipe(places, tmp_path / "out", alignment={"objective": "reconstruction"}))
    with pytest.raises(ModelError, match=r"with reconstruction_weight 1 \(its recipe says dash_infonce with 0\)"):
        run_adaptation(recipe(places, tmp_path / "out", alignment={"reconstruction_weight": 1.0}))


def test_two_schedules_are_one_too_many(places, tmp_path):
    stage = {"until": 0.5, "favour": NEW, "share": 1.0}
    with pytest.raises(ValueError, match=r"set by adaptation\.new_pairs here; leave it out"):
        recipe(places, tmp_path, batches=BATCHES | {"pair_schedule": [stage]})


def test_nothing_new_is_a_mistake_of_the_recipe(places, tmp_path):
    with pytest.raises(ValueError, match="no modality was named"):
        recipe(places, tmp_path, modalities=())
