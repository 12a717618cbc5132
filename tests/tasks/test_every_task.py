"""What every task promises: a loss of 1 for knowing nothing, silence where nothing is known, and a way through JSON."""

import json
from functools import cache

import numpy as np
import pytest
import torch
from made_scorings import answered, made_row, made_scoring
from scipy.special import expit, softmax

from sleep2vec.tasks.custom import CustomConfig
from sleep2vec.tasks.diagnosis import Diagnosis
from sleep2vec.tasks.nights import NightTask
from sleep2vec.tasks.registry import as_told, from_told, tasks_of
from sleep2vec.vocabulary.events import Event

CUSTOM = (
    CustomConfig(name="weight", column="bmi", kind="regression", unit="kg/m2"),
    CustomConfig(name="smoker", column="smoking", kind="classification"),
)
ASKED = tasks_of(["staging", "respiratory", "arousal", "desaturation", "age", "sex", "diagnosis"], CUSTOM)
every_task = pytest.mark.parametrize("name", ASKED)
N, L = 60, 4
KINDS = ("obstructive_apnea", "central_apnea", "mixed_apnea", "apnea", "hypopnea", "arousal", "desaturation")


@cache
def scorings():
    """Nights of four tokens of which a third of everything is unknown. Ages and weights are far from symmetric."""
    draw, made = np.random.default_rng(0), []
    for n in range(N):
        known = draw.random(6) < 0.7
        measures = {"bmi": 22 + 3 * draw.exponential() ** 2} if known[0] else {}
        measures |= {"smoking": float(draw.choice([1.0, 3.0, 7.5], p=[0.5, 0.3, 0.2]))} if known[1] else {}
        measures |= {"diagnosis.copd": float(draw.random() < 0.2)} if known[2] else {}
        measures |= {"diagnosis.apnea": float(draw.random() < 0.6)} if known[2] and known[3] else {}
        age = 40 + 8 * draw.exponential() ** 1.5 if known[4] else None
        row = made_row(f"n{n}", L, age, ("female", "male")[draw.random() < 0.3] if known[5] else None, measures)
        stages = np.where(draw.random(L) < 0.2, np.nan, draw.choice(5, L, p=[0.3, 0.1, 0.4, 0.1, 0.1]))
        events = [
            Event(KINDS[draw.integers(7)], float(draw.integers(0, 110)), float(draw.integers(5, 25))) for _ in range(4)
        ]
        made.append(made_scoring(row, stages, events, ("respiratory", "arousal", "desaturation") if n % 5 else ()))
    return tuple(made)


@cache
def task_of(name):
    """Prepared, and with a temperature that is not 1."""
    task = ASKED[name]
    knowing = [s for s in scorings() if np.isfinite(task.label(s, 0, L)).any()]
    return task.prepared(knowing).model_copy(update={"temperature": 1.7})


def labels_of(task):
    return torch.from_numpy(np.stack([task.label(scoring, 0, L) for scoring in scorings()]))


def outputs_of(task, seed=0):
    shape = {"token": (L,), "second": (30 * L,), "night": ()}[task.resolution]
    return torch.randn(N, *shape, task.n_outputs, generator=torch.Generator().manual_seed(seed))


@every_task
def test_one_is_what_the_best_constant_answer_costs(name):
    """Found by Newton's method on the task's own loss, with the same constant for every token, second or night."""
    task, label = task_of(name), labels_of(task_of(name))
    readable = torch.ones(N, L, dtype=torch.bool)
    constant = torch.zeros(task.n_outputs, requires_grad=True)
    optimizer = torch.optim.LBFGS([constant], max_iter=200, line_search_fn="strong_wolfe")

    def cost():
        optimizer.zero_grad()
        value = task.loss(constant.expand(outputs_of(task).shape), label, readable)
        value.backward()
        return value

    optimizer.step(cost)
    assert cost().item() == pytest.approx(task.chance, rel=2e-4)
    assert task.chance > 0.1


@every_task
def test_labels_that_tell_nothing_apart_do_not_weigh_without_end(name):
    """One night, told by one class: the best constant answer is right, and a loss must not be divided by 0."""
    task = ASKED[name]
    alike = [s for s in scorings() if np.isfinite(task.label(s, 0, L)).any()][:1]
    if task.resolution != "night":
        alike = [made_scoring(alike[0].row, np.zeros(L), (), alike[0].answered or ("respiratory",))]
    assert task.prepared(alike).chance == pytest.approx(0.02)


@every_task
def test_what_is_unknown_or_unreadable_teaches_nothing_and_all_else_does(name):
    task, label, output = task_of(name), labels_of(task_of(name)), outputs_of(task_of(name)).requires_grad_()
    readable = torch.rand(N, L, generator=torch.Generator().manual_seed(1)) < 0.7
    readable[:3] = False
    task.loss(output, label, readable).backward()
    if task.resolution == "night":
        counted = label.isfinite() & readable.any(dim=1, keepdim=True)
        counted = counted.expand(output.shape) if counted.shape[1] == 1 else counted
    else:
        per_token = {"token": 1, "second": 30}[task.resolution]
        counted = label.isfinite() & readable.repeat_interleave(per_token, dim=1)
        counted = counted[..., None].expand(output.shape)
    assert not output.grad[~counted].any()
    assert (output.grad[counted] != 0).float().mean() > 0.99
    assert 0.2 < counted.float().mean() < 0.9


@every_task
def test_a_batch_in_which_nobody_knows_anything_costs_nothing(name):
    task, output = task_of(name), outputs_of(task_of(name)).requires_grad_()
    unknown = torch.full_like(labels_of(task), torch.nan)
    known, nowhere = labels_of(task), torch.zeros(N, L, dtype=torch.bool)
    for label, readable in ((unknown, ~nowhere), (known, nowhere)):
        loss = task.loss(output, label, readable)
        assert loss.item() == 0.0
        assert not torch.autograd.grad(loss, output)[0].any()


@every_task
def test_probabilities_are_scipys(name):
    """Of an array and of a tensor, with a temperature; a number comes back in its unit."""
    task, output = task_of(name), 3 * outputs_of(task_of(name), seed=2)
    told, logits = task.probabilities(output).numpy(), output.numpy().astype(float)
    if name in ("age", "weight"):
        expected = logits * task.spread + task.centre
    elif name in ("sex", "diagnosis", "arousal", "desaturation"):
        expected = expit(logits / 1.7)
    else:
        expected = softmax(logits / 1.7, axis=-1)
    expected = expected[..., 0] if name in ("arousal", "desaturation") else expected
    np.testing.assert_allclose(told, expected, rtol=1e-5, atol=1e-6)
    if task.resolution == "second":
        np.testing.assert_allclose(task.told(output.numpy()), expected, rtol=1e-5, atol=1e-6)


@every_task
def test_the_head_gives_what_the_loss_takes(name):
    task = task_of(name)
    assert task.head.resolution == task.resolution
    assert task.head.n_outputs == outputs_of(task).shape[-1]
    assert isinstance(task, NightTask) == (task.resolution == "night")


def test_tasks_go_through_json_and_come_back_the_same():
    tasks = {name: task_of(name) for name in ASKED}
    tasks["staging"] = tasks["staging"].model_copy(update={"least_confidence": 0.41, "risk": 0.07})
    tasks["arousal"] = tasks["arousal"].model_copy(update={"threshold": 0.35})
    tasks["age"] = tasks["age"].model_copy(update={"error": 7.25})
    told = json.loads(json.dumps(as_told(tasks), allow_nan=False))
    back = from_told(told)
    assert back == tasks
    assert {name: type(task) for name, task in back.items()} == {name: type(task) for name, task in tasks.items()}
    assert as_told(back) == told
    assert back["diagnosis"].outcomes == ("apnea", "copd")
    assert back["smoker"].classes == (1.0, 3.0, 7.5)
    told["age"]["spread"] = 0.0
    with pytest.raises(ValueError, match="greater than 0"):
        from_told(told)


def test_classes_are_the_codes_of_the_training_nights_in_order():
    task = ASKED["smoker"].prepared([made_scoring(made_row(measures={"smoking": c})) for c in (7.5, 1.0, 3.0, 1.0)])
    assert (task.classes, task.n_outputs) == ((1.0, 3.0, 7.5), 3)
    for measures, label in (({"smoking": 7.5}, 2.0), ({"smoking": 1.0}, 0.0), ({"smoking": 2.0}, np.nan), ({}, np.nan)):
        np.testing.assert_array_equal(task.values(made_row(measures=measures)), [label])
    assert ASKED["smoker"].knows(made_row(measures={"smoking": 2.0}), None)  # before anything is prepared
    assert not task.knows(made_row(measures={"smoking": 2.0}), None)  # a class nobody taught
    assert not task.knows(made_row(measures={"bmi": 2.0}), None)
    one = ASKED["smoker"].prepared([made_scoring(made_row(measures={"smoking": 4.0}))])
    assert (one.classes, one.n_outputs) == ((4.0,), 2)  # a softmax of one would know everything


def test_diagnoses_are_those_that_some_training_night_answers():
    rows = [
        made_row(measures={"diagnosis.copd": 1.0, "bmi": 30.0}),
        made_row(measures={"diagnosis.copd": 0.0, "diagnosis.apnea": 1.0}),
        made_row(measures={"diagnosis.copd": 0.0}),
        made_row(measures={"bmi": 20.0}),
    ]
    task = ASKED["diagnosis"].prepared([made_scoring(row) for row in rows])
    assert task.outcomes == ("apnea", "copd")
    assert task.prevalences == pytest.approx((1.0, 1 / 3))
    np.testing.assert_array_equal(task.values(rows[0]), [np.nan, 1.0])
    np.testing.assert_array_equal(task.values(rows[1]), [1.0, 0.0])
    assert [ASKED["diagnosis"].knows(row, None) for row in rows] == [True, True, True, False]
    assert [task.knows(row, None) for row in rows] == [True, True, True, False]


def test_diagnoses_that_are_named_and_that_nobody_answers_are_left_out():
    """A share of nobody is no number, and would not go through JSON."""
    named = Diagnosis(outcomes=("copd", "gout"))
    task = named.prepared([made_scoring(made_row(measures={"diagnosis.copd": 1.0, "diagnosis.apnea": 0.0}))])
    assert (task.outcomes, task.prevalences) == (("copd",), (1.0,))
    assert from_told(json.loads(json.dumps(as_told({"diagnosis": task}), allow_nan=False)))["diagnosis"] == task


def test_sex_and_age_are_those_of_the_row():
    assert ASKED["sex"].values(made_row(sex="male")) == 1
    assert ASKED["sex"].values(made_row(sex="female")) == 0
    assert np.isnan(ASKED["sex"].values(made_row()))
    assert ASKED["age"].values(made_row(age=61.5)) == 61.5
    assert np.isnan(ASKED["age"].values(made_row()))
    assert ASKED["weight"].values(made_row(measures={"bmi": 23.25})) == 23.25


@every_task
def test_without_answers_nothing_is_fitted_and_nothing_is_scored(name):
    task = task_of(name)
    silent = [answered(s, np.full(outputs_of(task)[0].shape, np.nan)) for s in scorings()[:4]]
    assert task.fitted([]) == task
    assert task.scores([]) == {}
    assert task.fitted(silent).temperature == task.temperature
    assert set(task.scores(silent)) <= {"event_f1"}  # events that were not found were missed
