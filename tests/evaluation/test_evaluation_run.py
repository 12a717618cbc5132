"""An evaluation from end to end, on a small store and a model that nobody trained."""

import csv
import json
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, cohen_kappa_score, mean_absolute_error
from taught_models import labelled_store, taught_model

from sleep2vec.data.people import FITTED, PEOPLE, hashes_of
from sleep2vec.evaluation.run import evaluate, save_evaluation, unseen_nights
from sleep2vec.inference.predictor import Model
from sleep2vec.vocabulary.errors import UsageError
from sleep2vec.vocabulary.night import Night, Provenance
from sleep2vec.vocabulary.subject import Subject


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    store = labelled_store(tmp_path_factory.mktemp("evaluation") / "store")
    return store, taught_model(store)


@pytest.fixture(scope="module")
def evaluation(place):
    store, model = place
    return evaluate(model, store, [row.night_id for row in store.rows], subsets=True, n_resamples=20)


def figure(evaluation, task, outcome, what):
    (found,) = [
        line for line in evaluation.figures
        if (line.task, line.outcome, line.what, line.group, line.sensors) == (task, outcome, what, "", "")
    ]  # fmt: skip
    return found


def as_night(store, row) -> Night:
    """A stored night as `predict` takes it: another path to the same answers."""
    told = {
        name: Provenance((name,), "stored", part.sensor, (), part.centre, part.spread)
        for name, part in row.signals.items()
    }
    samples = {name: store.samples(row.night_id, name).ravel() for name in row.signals}
    valid = {name: store.valid(row.night_id, name) for name in row.signals}
    return Night(row.night_id, Subject(), row.n_tokens, row.grid_start_s, samples, valid, told)


def test_its_figures_are_those_of_predict_by_scikit_learn(place, evaluation):
    store, model = place
    config = {"training_data": {"finetuning": {"simulated_only": True}}}
    results = [Model("m", config, model).predict(as_night(store, row)) for row in store.rows]
    scored = np.concatenate([store.stages(row.night_id) for row in store.rows])
    said = np.concatenate([result.stages for result in results])
    both = np.isfinite(scored) & np.isfinite(said)
    kappa = cohen_kappa_score(scored[both].astype(int), said[both].astype(int))
    assert figure(evaluation, "staging", "5 classes", "kappa").estimate == pytest.approx(kappa, abs=2e-3)
    accuracy = accuracy_score(scored[both].astype(int), said[both].astype(int))
    assert figure(evaluation, "staging", "5 classes", "accuracy").estimate == pytest.approx(accuracy, abs=2e-3)
    ages = [next(outcome.value for outcome in result.outcomes if outcome.task == "age") for result in results]
    error = mean_absolute_error([row.age_years for row in store.rows], ages)
    assert figure(evaluation, "age", "", "MAE, years").estimate == pytest.approx(error, rel=1e-3)


def test_groups_and_subsets_stand_beside_all(evaluation):
    groups = {line.group for line in evaluation.figures}
    assert {"", "sex: female", "sex: male", "age: 18-39", "age: 40-59"} <= groups
    assert len(evaluation.subsets) == 2**4 - 1
    best = max(subset.kappa for subset in evaluation.subsets)
    told = [line for line in evaluation.figures if line.sensors]
    assert len(told) == 3
    assert max(line.estimate for line in told) == best
    assert {(line.n_nights, line.n_people) for line in told} == {(evaluation.n_nights, evaluation.n_people)}


def test_what_is_written_agrees_and_is_whole(place, evaluation, tmp_path):
    paths = save_evaluation(
        evaluation, tmp_path / "out", model_name="<m>", store=place[0].path, simulated_weights=True, facts={"a": "b"}
    )
    told = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    rows = list(csv.DictReader((tmp_path / "out" / "figures.csv").read_text().splitlines()))
    assert len(rows) == len(told["figures"]) == len(evaluation.figures)
    assert [float(row["estimate"]) for row in rows if row["estimate"]] == [
        line["estimate"] for line in told["figures"] if line["estimate"] is not None
    ]
    subsets = list(csv.DictReader((tmp_path / "out" / "subsets.csv").read_text().splitlines()))
    assert [float(row["kappa"]) for row in subsets] == sorted((s.kappa for s in evaluation.subsets), reverse=True)
    page = (tmp_path / "out" / "evaluation.html").read_text()
    HTMLParser().feed(page)
    assert "&lt;m&gt;" in page
    assert "<m>" not in page
    assert sorted(path.name for path in paths) == sorted(path.name for path in (tmp_path / "out").iterdir())
    save_evaluation(
        replace(evaluation, subsets=[]), tmp_path / "out", model_name="m", store=place[0].path, simulated_weights=True,
        facts={},
    )  # fmt: skip
    assert not (tmp_path / "out" / "subsets.csv").exists()  # it was of the one before


def test_a_file_in_the_way_is_told_and_nothing_is_written(place, evaluation, tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(UsageError, match="is a file; name a folder"):
        save_evaluation(
            evaluation, tmp_path / "out", model_name="m", store=place[0].path, simulated_weights=True, facts={}
        )
    assert (tmp_path / "out").read_text() == "mine"


def test_only_people_who_taught_nothing_judge(place):
    store, _ = place
    rows = list(store.rows)
    taught, fitted = hashes_of(rows[:3]), hashes_of(rows[3:5])
    free, told = unseen_nights(store, {PEOPLE: sorted(taught), FITTED: sorted(fitted)})
    assert free == [row.night_id for row in rows[5:]]
    assert "5 nights of people who taught the model" in told[0]
    everybody = {PEOPLE: sorted(taught), FITTED: sorted(hashes_of(rows[3:]))}
    judges, told = unseen_nights(store, everybody)
    assert judges == [row.night_id for row in rows[3:]]
    assert "flatters a little" in told[0]
    with pytest.raises(UsageError, match=r"everybody in .* taught this model"):
        unseen_nights(store, {PEOPLE: sorted(hashes_of(rows))})
    assert len(unseen_nights(store, {PEOPLE: sorted(hashes_of(rows))}, i_know=True)[0]) == len(rows)


def test_a_store_without_nights_is_told():
    with pytest.raises(UsageError, match="here holds no nights"):
        unseen_nights(SimpleNamespace(rows=[], path="here"), {}, i_know=True)


def test_less_is_given_where_less_is_asked_for(place, tmp_path):
    """With one sensor alone the answers are those of the subset of one; lines say from what, the page at its head."""
    store, model = place
    ids = [row.night_id for row in store.rows][:2]
    alone = evaluate(model, store, ids, modalities=("spo2",), n_resamples=5)
    with torch.no_grad():
        subset = next(s for s in evaluate(model, store, ids, subsets=True, n_resamples=5).subsets if s.name == "spo2")
    kappa = next(
        line for line in alone.figures if line.what == "kappa" and line.outcome == "5 classes" and not line.group
    )
    assert kappa.estimate == pytest.approx(subset.kappa, abs=1e-9)
    assert kappa.sensors == "spo2"
    save_evaluation(
        alone, tmp_path, model_name="m", store=store.path, simulated_weights=True, facts={"sensors": "spo2"}
    )
    assert {row["sensors"] for row in csv.DictReader((tmp_path / "figures.csv").read_text().splitlines())} == {"spo2"}
    page = (tmp_path / "evaluation.html").read_text()
    assert "macro-F1" in page  # of the table of all people and what was given
    assert "By sensors" not in page
