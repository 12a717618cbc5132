"""What is said of the person: heads of nights and survival in words, against scipy and the model of survival itself."""

import numpy as np
import pytest
from made_scorings import made_row, made_scoring
from scipy.special import expit, softmax

from sleep2vec.inference.outcomes import outcomes_of, prognoses_of
from sleep2vec.tasks.custom import CustomConfig
from sleep2vec.tasks.registry import tasks_of
from sleep2vec.tasks.survival import SurvivalConfig, fit_survival
from sleep2vec.vocabulary.outcome import Outcome
from sleep2vec.vocabulary.subject import Subject

TASKS = tasks_of(
    ["age", "sex", "diagnosis"],
    [
        CustomConfig(name="weight", column="bmi", kind="regression", unit="kg/m2"),
        CustomConfig(name="smoker", column="smoking", kind="classification"),
    ],
)


def said(*values):
    return np.array([values], dtype=np.float32)


def test_a_number_is_said_in_its_unit_with_its_usual_error():
    task = TASKS["age"].model_copy(update={"centre": 52.0, "spread": 12.0, "error": 6.5})
    assert outcomes_of(task, said(0.5)) == (Outcome("age", "age", 58.0, "years", error=6.5),)
    task = TASKS["weight"].model_copy(update={"centre": 27.0, "spread": 4.0})
    assert outcomes_of(task, said(-1.0)) == (Outcome("weight", "weight", 23.0, "kg/m2"),)


def test_each_diagnosis_is_said_beside_how_common_it_was():
    rows = [made_row(measures={"diagnosis.copd": float(i < 1), "diagnosis.apnea": float(i < 3)}) for i in range(4)]
    task = TASKS["diagnosis"].prepared([made_scoring(row) for row in rows]).model_copy(update={"temperature": 2.0})
    told = outcomes_of(task, said(1.5, -3.0))
    assert [(outcome.title, outcome.usual, outcome.unit) for outcome in told] == [
        ("apnea", 0.75, "probability"), ("copd", 0.25, "probability"),
    ]  # fmt: skip
    assert [outcome.value for outcome in told] == pytest.approx(expit([0.75, -1.5]).tolist(), rel=1e-6)


@pytest.mark.parametrize("codes", [(1.0, 2.0, 7.5), (4.0,)])
def test_classes_are_named_by_their_codes(codes):
    """Where the training nights knew but one class, nothing is said of the second output, which stands for none."""
    task = TASKS["smoker"].prepared([made_scoring(made_row(measures={"smoking": code})) for code in codes])
    logits = np.linspace(-1, 2, task.n_outputs)
    told = outcomes_of(task, said(*logits))
    assert [outcome.title for outcome in told] == [f"smoker {code:g}" for code in codes]
    assert [outcome.value for outcome in told] == pytest.approx(softmax(logits)[: len(codes)].tolist(), rel=1e-6)


def test_what_was_not_answered_is_not_said():
    assert outcomes_of(TASKS["age"], said(np.nan)) == ()


@pytest.fixture(scope="module")
def survival():
    """Sixty people whose first direction kills; followed for eight years."""
    draw = np.random.default_rng(0)
    embeddings, rows = draw.standard_normal((60, 3)).astype(np.float32), []
    for i in range(60):
        years = float(min(8.0, draw.exponential(6 * np.exp(-embeddings[i, 0]))))
        measures = {"event.death": float(years < 8), "time_years.death": years}
        rows.append(made_row(f"n{i}", age=40.0 + i % 30, sex=("female", "male")[i % 2], measures=measures))
    return fit_survival(embeddings, rows, SurvivalConfig())


def test_prognoses_are_the_models_survival_as_far_as_people_were_followed(survival):
    horizon = survival.outcomes["death"].horizon_years
    assert 5 <= horizon < 10
    embedding = np.array([[1.0, 0.2, -0.3]], dtype=np.float32)
    told = prognoses_of(survival, embedding, Subject(age_years=61.0, sex="male"))
    assert [(prognosis.outcome, prognosis.years) for prognosis in told] == [("death", 1.0), ("death", 5.0)]
    for prognosis in told:
        at = ([61.0], ["male"], [prognosis.years])
        assert prognosis.survival == survival.survival("death", embedding, *at, "embedding_age_sex")[0, 0]
        assert prognosis.baseline == survival.survival("death", embedding, *at, "age_sex")[0, 0]
    assert told[0].survival > told[1].survival
    frail, hale = (prognoses_of(survival, said(x, 0, 0), Subject(age_years=61.0, sex="male")) for x in (2.0, -2.0))
    assert frail[1].survival < hale[1].survival  # as these people were made
    assert frail[1].baseline == hale[1].baseline


@pytest.mark.parametrize("subject", [Subject(), Subject(age_years=50.0), Subject(sex="female")])
def test_of_somebody_unknown_the_embedding_alone_speaks(survival, subject):
    embedding = said(0.3, -1.0, 0.0)
    told = prognoses_of(survival, embedding, subject)
    assert [prognosis.baseline for prognosis in told] == [None, None]
    expected = survival.survival("death", embedding, [np.nan], [None], [1.0, 5.0], "embedding")[0]
    assert [prognosis.survival for prognosis in told] == expected.tolist()


def test_people_followed_for_less_than_a_year_tell_as_much():
    rows = [
        made_row(
            f"n{i}", age=50.0 + i, sex="male", measures={"event.fall": float(i % 2), "time_years.fall": 0.1 + i / 60}
        )
        for i in range(30)
    ]
    short = fit_survival(np.random.default_rng(1).standard_normal((30, 2)), rows, SurvivalConfig())
    (prognosis,) = prognoses_of(short, said(0.0, 0.0), Subject())
    assert prognosis.years == short.outcomes["fall"].horizon_years < 1


def test_a_night_without_an_embedding_has_no_prognosis(survival):
    assert prognoses_of(survival, said(np.nan, 0, 0), Subject()) == ()
