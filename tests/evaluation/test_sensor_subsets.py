"""All subsets of the sensors in one pass are what each of them is alone."""

import numpy as np
import pytest
import torch
from sklearn.metrics import cohen_kappa_score, confusion_matrix
from taught_models import labelled_store, taught_model

from sleep2vec.data.nights import NightReader
from sleep2vec.data.scoring import ScoringReader
from sleep2vec.data.window import Window, WindowReader
from sleep2vec.evaluation.subsets import all_subsets, answers_by_subset, kappas, staged_subsets
from sleep2vec.vocabulary.modalities import CORE


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    store = labelled_store(tmp_path_factory.mktemp("subsets") / "store", 4)
    model = taught_model(store)
    model.module.double()
    return store, model, NightReader(WindowReader(store), model.module.modalities, ScoringReader(store))


def in_double(batch):
    for view in batch.views.values():
        object.__setattr__(view, "values_BLS", view.values_BLS.double())
    return batch


def test_there_are_as_many_as_a_set_has():
    assert len(all_subsets(CORE)) == len(set(all_subsets(CORE))) == 2**9 - 1
    assert all(
        len(subset) <= len(after) for subset, after in zip(all_subsets(CORE), all_subsets(CORE)[1:], strict=False)
    )


@torch.no_grad()
def test_every_task_answers_a_subset_as_if_it_were_given_nothing_else(place):
    """The judge is the whole model, given the views of the subset alone."""
    store, model, reader = place
    for row in store.rows[:2]:
        batch = in_double(reader.batch_of([Window(row.night_id, 0, row.n_tokens)]))
        features = model.module.features(batch.views)
        seen = 0
        for some, answers in answers_by_subset(model.module, features, all_subsets(model.module.modalities)):
            for place_, subset in enumerate(some):
                alone = model.module({name: batch.views[name] for name in subset})
                readable = alone.readable_BL[0]
                assert torch.equal(answers.readable_BL[place_], readable)
                for name, output in alone.outputs.items():
                    kept = {"token": readable, "second": readable.repeat_interleave(30)}.get(
                        model.tasks[name].resolution, slice(None)
                    )
                    torch.testing.assert_close(answers.outputs[name][place_][kept], output[0][kept], rtol=0, atol=1e-9)
                seen += 1
        assert seen == 2 ** len(model.module.modalities) - 1


def test_the_kappa_of_a_subset_is_that_of_its_answers(place):
    store, model, reader = place
    model.module.float()
    subset = ("airflow", "spo2")
    ids = [row.night_id for row in store.rows]
    counts = staged_subsets(model, reader, ids, [subset])
    scored, said = [], []
    for night_id in ids:
        batch = reader.batch_of([Window(night_id, 0, 30)])
        with torch.no_grad():
            answers = model.module({name: batch.views[name] for name in subset})
        known = np.isfinite(store.stages(night_id)) & answers.readable_BL[0].numpy()
        scored.append(store.stages(night_id)[known])
        said.append(answers.outputs["staging"][0].argmax(dim=-1).numpy()[known])
    model.module.double()
    truth, told = np.concatenate(scored), np.concatenate(said)
    assert np.array_equal(np.sum(counts[subset], axis=0), confusion_matrix(truth, told, labels=range(5)))
    (found,) = kappas(counts)
    assert found.kappa == pytest.approx(cohen_kappa_score(truth, told, labels=range(5)), abs=1e-12)
    assert (found.name, found.n_epochs) == ("airflow+spo2", len(truth))
