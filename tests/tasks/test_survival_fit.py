"""The fit of survival, judged by lifelines, statsmodels, optimality, and the oracle of the simulation."""

import json
from dataclasses import replace
from datetime import datetime

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lifelines import CoxPHFitter, KaplanMeierFitter
from made_rows import made_row
from statsmodels.duration.hazard_regression import PHReg

from sleep2vec.metrics.bootstrap import bootstrap_interval
from sleep2vec.metrics.survival import harrell_c, integrated_brier, uno_c
from sleep2vec.model.checkpoint import load_config, load_weights, save_checkpoint
from sleep2vec.objectives import cox_loss
from sleep2vec.simulation.oracle import ceilings
from sleep2vec.simulation.outcomes import CAUSES, DIAGNOSES, SHOWN, causes_of, draw_outcomes
from sleep2vec.simulation.person import Person
from sleep2vec.tasks.ridge_cox import choose_penalty, person_folds, ridge_cox
from sleep2vec.tasks.survival import WHICH, SurvivalConfig, SurvivalModel, fit_survival
from sleep2vec.tasks.survival_figures import survival_figures
from sleep2vec.vocabulary.errors import ModelError, UsageError

FAST = SurvivalConfig(penalties=(0.3, 3.0, 30.0), folds=2)
COLUMNS = {"age_sex": ["age", "male"], "embedding": ["e0", "e1", "e2"]}
COLUMNS["embedding_age_sex"] = COLUMNS["embedding"] + COLUMNS["age_sex"]


def made_people(seed, n=80, width=3, n_times=12, effect=1.0, unknown=0.0):
    """Nights of people whose first feature brings the event sooner, with ties; the event is called death."""
    draw = np.random.default_rng(seed)
    embeddings = draw.normal(2.0, [3.0, *[1.0] * (width - 1)], (n, width))
    age, male = draw.normal(55, 12, n), draw.random(n) < 0.5
    years = draw.exponential(np.exp(-effect * (embeddings[:, 0] - 2) / 3 - 0.04 * (age - 55)), n)
    censored = draw.exponential(1.5, n)
    place = np.searchsorted(np.quantile(years, np.linspace(0, 1, n_times)), np.minimum(years, censored)) + 1.0
    rows = [
        made_row(
            f"n{i}",
            age=None if draw.random() < unknown else float(age[i]),
            sex=None if draw.random() < unknown else ("male" if male[i] else "female"),
            death=(float(years[i] <= censored[i]), float(place[i])),
        )
        for i in range(n)
    ]
    return embeddings, rows


def asked(model, embeddings, rows, which, outcome="death"):
    return model.log_hazard(outcome, embeddings, [r.age_years for r in rows], [r.sex for r in rows], which)


@pytest.mark.parametrize(("seed", "penalty", "unknown"), [(0, 0.3, 0.0), (1, 5.0, 0.2), (2, 40.0, 0.5)])
def test_weights_and_baseline_are_those_of_lifelines(seed, penalty, unknown):
    """lifelines takes penalties per person on columns of an unbiased sd of 1; unknown ages and sexes are means."""
    embeddings, rows = made_people(seed, unknown=unknown)
    model = fit_survival(embeddings, rows, SurvivalConfig(penalties=(penalty,), demography_penalty=0.2, folds=2))
    table = pd.DataFrame(embeddings / embeddings.std(axis=0) / np.sqrt(3), columns=COLUMNS["embedding"])
    age = pd.Series([row.age_years for row in rows], dtype=float)
    male = pd.Series([np.nan if row.sex is None else float(row.sex == "male") for row in rows])
    table["age"], table["male"] = (x.fillna(x.mean()) / x.std(ddof=0) for x in (age, male))
    table["years"] = [row.measures["time_years.death"] for row in rows]
    table["event"] = [row.measures["event.death"] for row in rows]
    assert table.years.duplicated().sum() > 40  # ties there are
    for which, names in COLUMNS.items():
        per_person = [(penalty if name[0] == "e" else 0.2) / len(rows) / table[name].var() for name in names]
        fitter = CoxPHFitter(penalizer=np.array(per_person), l1_ratio=0.0)
        fitter.fit(table[[*names, "years", "event"]], "years", "event", fit_options={"precision": 1e-12})
        theirs = fitter.predict_log_partial_hazard(table).to_numpy()
        np.testing.assert_allclose(asked(model, embeddings, rows, which), theirs, atol=1e-6)
        years = np.arange(1.0, table.years.max())
        survival = model.survival("death", embeddings, [r.age_years for r in rows], [r.sex for r in rows], years, which)
        np.testing.assert_allclose(survival, fitter.predict_survival_function(table, years).T, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 1_000_000), st.integers(1, 25), st.integers(0, 12), st.integers(1, 6),
    st.floats(1e-3, 1e3), st.sampled_from([1.0, 30.0]),
)  # fmt: skip
def test_no_column_whatever_can_be_fitted_better(seed, n, width, n_times, penalty, size):
    """More columns than people, equal columns, columns that divide people: the slope of the objective is 0."""
    draw = np.random.default_rng(seed)
    x = size * draw.normal(size=(n, width))
    x[:, : width // 3] = x[:, width - width // 3 :]
    years, event = draw.integers(0, n_times, n).astype(float), (draw.random(n) < 0.7).astype(float)
    weights = torch.from_numpy(ridge_cox(x, years, event, np.full(width, penalty))).requires_grad_()
    loss = cox_loss(torch.from_numpy(x) @ weights, torch.from_numpy(years), torch.from_numpy(event)) * event.sum()
    (loss + penalty * (weights**2).sum() / 2).backward()
    assert np.abs(weights.grad.numpy()).max(initial=0.0) < 1e-5 * size


def test_a_penalty_is_chosen_by_the_likelihood_of_people_left_out():
    """Verweij & van Houwelingen's sum, written out, with the likelihood of statsmodels and the fits of lifelines."""
    embeddings, rows = made_people(3, n=60, effect=0.5)
    years, event = (np.array([row.measures[f"{name}.death"] for row in rows]) for name in ("time_years", "event"))
    x = (embeddings - embeddings.mean(axis=0)) / embeddings.std(axis=0)
    fold = np.arange(60) % 3
    penalties = (300.0, 0.5, 20.0)
    choice = choose_penalty(x, years, event, fold, penalties, np.full(3, np.nan))

    def likelihood(told, own):
        return PHReg(years[own], told[own, None], status=event[own], ties="efron").loglike(np.ones(1))

    gains, everybody = [], np.ones(60, bool)
    for penalty in penalties:
        total = 0.0
        for k in range(3):
            others = fold != k
            table = pd.DataFrame(x[others], columns=list("abc")).assign(years=years[others], event=event[others])
            fitter = CoxPHFitter(penalizer=penalty / others.sum() / table[list("abc")].var().to_numpy())
            told = x @ fitter.fit(table, "years", "event", fit_options={"precision": 1e-12}).params_.to_numpy()
            for own, sign in ((everybody, 1), (others, -1)):
                total += sign * (likelihood(told, own) - likelihood(np.zeros(60), own))
        gains.append(total)
    np.testing.assert_allclose(choice.gains, gains, atol=1e-5)
    assert choice.penalty == penalties[int(np.argmax(gains))]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1_000_000), st.integers(2, 60), st.integers(1, 40), st.integers(2, 6))
def test_families_stay_together_and_folds_are_even(seed, n, n_families, n_folds):
    draw = np.random.default_rng(seed)
    people = [f"p{i}" for i in range(n)]
    families = [f"f{k}" for k in draw.integers(0, n_families, n)]
    event = (draw.random(n) < 0.3).astype(float)
    fold = person_folds(people, families, event, n_folds, seed)
    folds_of = {family: {int(k) for f, k in zip(families, fold, strict=True) if f == family} for family in families}
    assert {len(found) for found in folds_of.values()} == {1}
    had = {family for family, happened in zip(families, event, strict=True) if happened}
    for group in (had, set(families) - had):
        sizes = [sum(folds_of[family] == {k} for family in group) for k in range(n_folds)]
        assert max(sizes) - min(sizes) <= 1
    order = draw.permutation(n)
    again = person_folds([people[i] for i in order], [families[i] for i in order], event[order], n_folds, seed)
    assert (again == fold[order]).all()


def same(one: SurvivalModel, other: SurvivalModel) -> bool:
    a, b = one.tensors(), other.tensors()
    return one.as_dict() == other.as_dict() and a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_people_and_not_nights_are_fitted_split_and_resampled():
    """Later nights, of other content and nearer to the event, change no bit of the model nor of its figures."""
    embeddings, rows = made_people(4)
    again = [
        replace(
            row,
            night_id=f"{row.night_id} again",
            measures={**row.measures, "time_years.death": row.measures["time_years.death"] - 0.5},
        )
        for row in rows[::2]
    ]
    more, noise = [*again, *rows], np.random.default_rng(0).normal(size=(len(again), 3))
    both = np.concatenate([noise, embeddings])
    model, fresh = fit_survival(embeddings, rows, FAST), made_people(5)
    assert same(model, fit_survival(both, more, FAST))
    assert same(model, fit_survival(embeddings[::-1], rows[::-1], FAST))
    assert not same(model, fit_survival(both, [replace(row, subject_id=row.night_id) for row in more], FAST))
    figures = survival_figures(model, *fresh, n_resamples=50)
    doubled = [*fresh[1], *(replace(r, night_id=f"{r.night_id}b", start=datetime(2020, 1, 1)) for r in fresh[1])]
    dated = [replace(r, start=datetime(2019, 1, 1)) for r in doubled[:80]] + doubled[80:]
    assert survival_figures(model, np.concatenate([fresh[0], -fresh[0]]), dated, n_resamples=50) == figures
    assert {(figure.n_nights, figure.n_people) for figure in figures} == {(80, 80)}


@pytest.fixture(scope="module")
def simulated():
    """People with outcomes, and what a night shows of their causes mixed into features; age is none of them."""
    draw = np.random.default_rng(0)
    people = [draw_outcomes(draw, Person.draw(draw)) for _ in range(3000)]
    shown = causes_of(people)[:, [[*CAUSES, *DIAGNOSES].index(name) for name in SHOWN]]
    embeddings = shown / shown.std(axis=0) @ draw.normal(size=(4, 24)) + 0.01 * draw.normal(size=(3000, 24))
    rows = [
        replace(made_row(f"n{i}", age=p.age_years, sex=p.sex), measures=dict(p.measures)) for i, p in enumerate(people)
    ]
    return people, embeddings.astype(np.float32), rows


def test_who_shows_the_causes_reaches_the_oracle_and_beats_age_and_sex(simulated):
    people, embeddings, rows = simulated
    model = fit_survival(embeddings[:1500], rows[:1500], FAST)
    assert set(model.outcomes) == {"death", "stroke"}
    figures = survival_figures(model, embeddings[1500:], rows[1500:], n_resamples=200)
    found = {(figure.outcome, figure.what): figure for figure in figures}
    for ceiling in ceilings(people[1500:]):
        outcome = ceiling.outcome.removeprefix("event.")
        if outcome not in model.outcomes:
            continue
        both = found[outcome, "Harrell's C, embedding, age and sex"].estimate
        poor = found[outcome, "Harrell's C, age and sex"].estimate
        assert ceiling.night - 0.01 < both < ceiling.best + 0.01
        assert poor == pytest.approx(ceiling.age_and_sex, abs=0.01)
        gained = found[outcome, "Harrell's C, embedding, age and sex minus age and sex alone"]
        assert 0 < gained.low < gained.estimate == pytest.approx(both - poor)
        events = sum(row.measures[f"event.{outcome}"] for row in rows[1500:])
        assert found[outcome, "people with the event"].estimate == events
    # Years are as likely as is said: deaths in seven years, of 1500 people whom the model never saw.
    columns = [row.age_years for row in rows[1500:]], [row.sex for row in rows[1500:]]
    died = 1 - model.survival("death", embeddings[1500:], *columns, [7.0])[:, 0].mean()
    years, event = (np.array([r.measures[f"{k}.death"] for r in rows[1500:]]) for k in ("time_years", "event"))
    assert died == pytest.approx(1 - KaplanMeierFitter().fit(years, event).predict(7.0), abs=0.02)


def test_with_more_dimensions_than_people_noise_is_told_from_risk():
    """200 people, 256 features of noise: what is told of new people hardly differs, and age is not drowned."""
    draw = np.random.default_rng(1)
    _, rows = made_people(6, n=600, effect=0.0)
    noise = draw.normal(size=(600, 256)) @ draw.normal(size=(256, 256))
    model = fit_survival(noise[:200], rows[:200], SurvivalConfig(penalties=(0.1, 1.0, 10.0, 100.0, 1000.0), folds=3))
    assert asked(model, noise[200:], rows[200:], "embedding").std() < 0.3
    what = {figure.what: figure for figure in survival_figures(model, noise[200:], rows[200:], 100)}
    assert what["Harrell's C, age and sex"].estimate > 0.58
    assert what["Harrell's C, embedding, age and sex minus age and sex alone"].estimate > -0.03
    # By a penalty of next to nothing the same fit is finite, and worse: the choice is what saves it.
    wild = fit_survival(noise[:200], rows[:200], SurvivalConfig(penalties=(1e-3,), folds=2))
    assert np.isfinite(asked(wild, noise[200:], rows[200:], "embedding")).all()
    assert asked(wild, noise[200:], rows[200:], "embedding").std() > 3


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 1_000_000), st.lists(st.floats(0.01, 100), min_size=3, max_size=3), st.floats(-50, 50))
def test_units_of_features_change_nothing(seed, units, offset):
    embeddings, rows = made_people(seed % 7, n=50)
    other = embeddings * units + offset
    other = np.concatenate([other, np.full((50, 1), offset)], axis=1)  # and a feature that never moves
    config = SurvivalConfig(penalties=(1.0, 30.0), folds=2)
    one, two = fit_survival(embeddings, rows, config), fit_survival(other, rows, config)
    for which in WHICH:
        np.testing.assert_allclose(asked(one, embeddings, rows, which), asked(two, other, rows, which), atol=1e-7)


def test_a_model_comes_back_from_a_checkpoint_bit_by_bit(tmp_path):
    embeddings, rows = made_people(7)
    rows = [replace(r, measures={**r.measures, "event.fall": 0.0, "time_years.fall": 1.0}) for r in rows]
    model = fit_survival(embeddings, rows, FAST)
    assert model.refused
    save_checkpoint(tmp_path, model.tensors(), {"survival": model.as_dict()}, "", precision="bfloat16")
    back = SurvivalModel.from_parts(load_weights(tmp_path), load_config(tmp_path)["survival"])
    assert same(model, back)
    for which in WHICH:
        assert (asked(back, embeddings, rows, which) == asked(model, embeddings, rows, which)).all()
    age, sex, years = [r.age_years for r in rows], [r.sex for r in rows], [0.0, 1.5, 3.0, 99.0]
    stated = [m.survival("death", embeddings, age, sex, years) for m in (model, back)]
    np.testing.assert_array_equal(*stated)
    assert (stated[0][:, 0] == 1).all()
    assert np.isnan(stated[0][:, 3]).all()
    assert not same(model, fit_survival(embeddings, rows, FAST.model_copy(update={"seed": 1})))


def test_a_torn_model_is_said_to_be_damaged():
    model = fit_survival(*made_people(7), FAST)
    tensors, described = model.tensors(), json.loads(json.dumps(model.as_dict()))
    tensors.pop("death/embedding/weights")
    with pytest.raises(ModelError, match=r"survival part of this model is damaged .*death/embedding/weights"):
        SurvivalModel.from_parts(tensors, described)
    described["config"]["penalty"] = 1
    with pytest.raises(ModelError, match="damaged"):
        SurvivalModel.from_parts(model.tensors(), described)


def test_what_is_unknown_is_the_mean_and_gives_no_sign():
    """Whose age is unknown here dies at once: a sign of it would tell, and a mean does not."""
    embeddings, rows = made_people(8)
    short = {"event.death": 1.0, "time_years.death": 0.01}
    rows = [replace(r, age_years=None, sex=None, measures=short) if i < 20 else r for i, r in enumerate(rows)]
    model = fit_survival(embeddings, rows, FAST)
    ages = [row.age_years for row in rows if row.age_years is not None]
    assert asked(model, embeddings[:1], [rows[0]], "age_sex")[0] == 0
    nobody = [replace(rows[0], age_years=float(np.mean(ages)), sex=None)]
    assert asked(model, embeddings[:1], nobody, "age_sex")[0] == pytest.approx(0, abs=1e-12)
    assert asked(model, embeddings[:1], nobody, "embedding_age_sex")[0] == pytest.approx(
        asked(model, embeddings[:1], [rows[0]], "embedding_age_sex")[0], abs=1e-12
    )


def test_outcomes_have_people_of_their_own():
    """One outcome is known of half of the people; its model is that of these alone, the other's is untouched."""
    embeddings, rows = made_people(9, n=120)
    half = [
        replace(r, measures={**r.measures, "event.fall": r.measures["event.death"], "time_years.fall": 2.0 + i % 9})
        if i % 2
        else r
        for i, r in enumerate(rows)
    ]
    embeddings[3], embeddings[4] = np.nan, np.inf  # nights without an embedding teach nothing
    both = fit_survival(embeddings, half, FAST)
    keep = [i for i in range(120) if i not in (3, 4)]
    alone = fit_survival(embeddings[keep], [rows[i] for i in keep], FAST)
    assert same(alone, SurvivalModel(FAST, 3, {"death": both.of("death")}, {}))
    falls = [i for i in keep if i % 2]
    of_half = fit_survival(embeddings[falls], [half[i] for i in falls], FAST.model_copy(update={"outcomes": ("fall",)}))
    assert same(of_half, SurvivalModel(of_half.config, 3, {"fall": both.of("fall")}, {}))
    assert np.isnan(asked(both, embeddings[3:5], rows[3:5], "embedding")).all()
    assert np.isfinite(asked(both, embeddings[3:5], rows[3:5], "age_sex")).all()


def test_what_cannot_be_fitted_is_refused_with_the_reason():
    embeddings, rows = made_people(10)
    rows = [replace(r, measures={**r.measures, "time_years.fall": 3.0}) for r in rows]
    for i, row in enumerate(rows):
        row.measures["event.fall"] = float(i < 9)
        row.measures.update({"event.birth": 1.0, "time_years.birth": -2.0, "event.code": 2.0, "time_years.code": 1.0})
    model = fit_survival(embeddings, rows, FAST)
    assert set(model.outcomes) == {"death"}
    assert model.refused["fall"].startswith("9 of 80 people with a night")
    assert "at least 10 are needed" in model.refused["fall"]
    assert model.refused["birth"].startswith("0 of 0 people")  # it had happened before the night
    assert "event.code of night n0 is 2; give 1 where it happened" in model.refused["code"]
    with pytest.raises(UsageError, match="fall was not fitted: 9 of 80 people"):
        asked(model, embeddings, rows, "embedding", "fall")
    with pytest.raises(UsageError, match="moon was not fitted; this model has death"):
        asked(model, embeddings, rows, "embedding", "moon")
    nothing = fit_survival(embeddings, rows, SurvivalConfig(outcomes=("moon",)))
    assert nothing.refused["moon"].startswith("0 of 0 people")
    assert survival_figures(nothing, embeddings, rows) == []
    ten = [replace(r, measures={**r.measures, "event.fall": float(i < 10)}) for i, r in enumerate(rows)]
    assert "fall" in fit_survival(embeddings, ten, FAST).outcomes


@pytest.mark.parametrize(
    ("embeddings", "age", "sex", "which", "sentence"),
    [
        (np.zeros((2, 4)), [1, 2], [None, None], "embedding", r"shape \(nights, 3\), got \(2, 4\)"),
        (np.zeros((2, 3)), [1], [None], "embedding", "2 embeddings came with 1 ages and sexes"),
        (np.zeros((2, 3)), [1], [None, None], "embedding", "give one of each a night"),
        (np.zeros((1, 3)), [1], ["M"], "embedding", "a sex is 'M'; give female, male, or None"),
        (np.zeros((1, 3)), [1], [None], "weight", "'weight' is no model of survival; there are age_sex"),
    ],
)
def test_says_what_it_cannot_be_asked(embeddings, age, sex, which, sentence):
    model = fit_survival(*made_people(11), SurvivalConfig(penalties=(1.0,), folds=2))
    with pytest.raises(UsageError, match=sentence):
        model.log_hazard("death", embeddings, age, sex, which)
    with pytest.raises(UsageError, match="1 embeddings came with 2 nights"):
        fit_survival(np.zeros((1, 3)), made_people(11)[1][:2])


@pytest.mark.parametrize(("wanted", "until"), [(4.0, 4.0), (None, None), (50.0, None)])
def test_figures_are_those_of_the_metrics_until_the_horizon(wanted, until):
    """Each resample written out and judged one by one; until when a tenth of these people are looked at, at most."""
    (embeddings, rows), (fresh, others) = made_people(13), made_people(14, n=60)
    model = fit_survival(embeddings, rows, FAST.model_copy(update={"horizon_years": wanted}))
    figures = survival_figures(model, fresh, others, n_resamples=40, seed=5)
    years, event = (np.array([r.measures[f"{k}.death"] for r in others]) for k in ("time_years", "event"))
    trained = sorted(row.measures["time_years.death"] for row in rows)
    until = min(sorted(years)[53], trained[71] if wanted is None else wanted) if until is None else until
    risk = asked(model, fresh, others, "embedding")
    times = np.linspace(0, until, 41)
    stated = model.survival("death", fresh, [r.age_years for r in others], [r.sex for r in others], times, "embedding")
    judges = {
        "Harrell's C": lambda own: harrell_c(years[own], event[own], risk[own]),
        f"Uno's C to {until:.1f} years": lambda own: uno_c(years[own], event[own], risk[own], tau=until),
        f"integrated Brier score to {until:.1f} years": lambda own: integrated_brier(
            years[own], event[own], stated[own], times
        ),
    }
    order = np.argsort([row.person for row in others])
    for name, judge in judges.items():
        (ours,) = (figure for figure in figures if figure.what == f"{name}, embedding")
        theirs = bootstrap_interval(lambda own, judge=judge: judge(np.array(own)), order, n_resamples=40, seed=5)
        assert (ours.estimate, ours.low, ours.high) == pytest.approx((theirs.estimate, theirs.low, theirs.high))
        assert (ours.task, ours.outcome) == ("survival", "death")
    assert len(figures) == 1 + 3 * 3 + 2 * 3


def test_differences_are_paired_and_one_person_has_no_interval():
    """Of two equal models the difference is 0 in every resample; intervals of unpaired ones would not be."""
    embeddings, rows = made_people(12)
    model = fit_survival(np.zeros_like(embeddings), rows, FAST)  # an embedding that says nothing
    figures = {figure.what: figure for figure in survival_figures(model, embeddings, rows, n_resamples=60, seed=3)}
    equal = figures["Harrell's C, embedding, age and sex minus age and sex alone"]
    assert (equal.estimate, equal.low, equal.high) == (0, 0, 0)
    alone = figures["Harrell's C, embedding"]
    assert (alone.estimate, alone.low, alone.high) == (0.5, 0.5, 0.5)
    assert figures["Harrell's C, age and sex"].low < figures["Harrell's C, age and sex"].high
    single = survival_figures(model, embeddings[:1], rows[:1], n_resamples=60)
    assert all(figure.low is None and figure.high is None for figure in single)
    assert [figure.n_people for figure in survival_figures(model, embeddings[:0], [])] == [0]
