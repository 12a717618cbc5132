"""Diagnoses and events against the stated graph: interventions, closed forms, and models fitted to the draw."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression

from sleep2vec.simulation.outcomes import (
    CAUSES,
    DIAGNOSES,
    EVENTS,
    causes_of,
    draw_outcomes,
    risk,
    site_shift,
    time_to_event,
)
from sleep2vec.simulation.person import Person
from sleep2vec.simulation.simulated_night import simulate_night
from sleep2vec.store.participants import _MEASURE
from sleep2vec.vocabulary.errors import UsageError


@cache
def people(n: int = 4000) -> list[Person]:
    return [Person.draw(np.random.default_rng([seed, 0])) for seed in range(n)]


def fate(person: Person, number: int, shift: float = 0.0) -> dict[str, float]:
    """What becomes of a person; the luck belongs to the number, whatever is changed about the person."""
    return dict(draw_outcomes(np.random.default_rng([number, 1]), person, shift).measures)


def share(fates: list[dict[str, float]], name: str) -> float:
    return float(np.mean([fate[name] for fate in fates]))


# What can be changed about a person, and the cause that it changes.
INTERVENTIONS = {
    "decades": {"age_years": 80.0},
    "bmi": {"bmi": 45.0},
    "hypoxia": {"apnea_per_hour": 60.0},
    "variability": {"rsa_gain": 0.05},
    "broken": {"restlessness": 6.0},
}


def caused_by(cause: str) -> set[str]:
    """Names of all outcomes downstream, from the table alone."""
    found = {cause}
    for name, effects in (*DIAGNOSES.items(), *EVENTS.items()):
        if found & effects.keys():
            found.add(name)
    return found - {cause}


@pytest.mark.parametrize("cause", INTERVENTIONS)
def test_an_intervention_changes_what_the_graph_says_and_nothing_else(cause: str):
    before = [fate(p, i) for i, p in enumerate(people()[:1500])]
    after = [fate(replace(p, **INTERVENTIONS[cause]), i) for i, p in enumerate(people()[:1500])]
    for name in DIAGNOSES:
        changed = share(after, f"diagnosis.{name}") - share(before, f"diagnosis.{name}")
        assert (changed > 0.008) if name in caused_by(cause) else (changed == 0), (cause, name)
    if "death" in caused_by(cause):
        assert share(after, "time_years.death") < share(before, "time_years.death") - 0.1


def test_treating_apnea_lowers_hypertension_by_as_much_as_the_logistic_law_says():
    """A randomised trial: the same people with and without; the judge is the mean of the closed form."""
    prevalence, expected = [], []
    for apnea_per_hour in (1.0, 45.0):
        trial = [replace(p, apnea_per_hour=apnea_per_hour) for p in people()]
        prevalence.append(share([fate(p, i) for i, p in enumerate(trial)], "diagnosis.hypertension"))
        causes_PC = causes_of(trial)
        diabetes_P = 1 / (1 + np.exp(-risk(DIAGNOSES["diabetes"], causes_PC)))
        table = DIAGNOSES["hypertension"]
        without_P = table["base"] + causes_PC[:, :6] @ np.array([table.get(name, 0.0) for name in CAUSES])
        odds = [1 / (1 + np.exp(-without_P - has * table["diabetes"])) for has in (0, 1)]
        expected.append(float(np.mean((1 - diabetes_P) * odds[0] + diabetes_P * odds[1])))
    np.testing.assert_allclose(prevalence, expected, atol=0.02)
    assert prevalence[1] > prevalence[0] + 0.25


def test_a_fitted_regression_finds_the_table_again():
    """scikit-learn's logistic regression, unpenalised, on four thousand people; four standard errors."""
    ill = np.array([fate(p, i)["diagnosis.hypertension"] for i, p in enumerate(people())])
    with_diagnoses = [replace(p, measures=fate(p, i)) for i, p in enumerate(people())]
    x_PC = causes_of(with_diagnoses)[:, : len(CAUSES) + 2]  # and asthma and diabetes
    model = LogisticRegression(C=np.inf, tol=1e-6, max_iter=500).fit(x_PC, ill)
    chance = model.predict_proba(x_PC)[:, 1]
    design = np.column_stack([np.ones(len(x_PC)), x_PC])
    error = np.sqrt(np.diag(np.linalg.inv((design.T * (chance * (1 - chance))) @ design)))
    table = DIAGNOSES["hypertension"]
    wanted = [table["base"], *(table.get(name, 0.0) for name in (*CAUSES, "asthma", "diabetes"))]
    assert (np.abs(np.append(model.intercept_, model.coef_[0]) - wanted) < 4 * error).all()


def test_times_follow_gompertz():
    """scipy's Gompertz distribution; hazard h exp(g t) is its shape h / g at scale 1 / g."""
    luck = np.random.default_rng(0).random(2000)
    years = [time_to_event(np.log(0.02), 0.9, u) for u in luck]
    assert stats.kstest(years, stats.gompertz(0.02 / 0.09, scale=1 / 0.09).cdf).pvalue > 0.01
    # Proportional hazards: twice the hazard squares the survival.
    assert np.mean(np.array([time_to_event(np.log(0.04), 0.9, u) for u in luck]) > 10) == pytest.approx(
        np.mean(np.array(years) > 10) ** 2, abs=0.03
    )


def test_nobody_is_followed_beyond_death_or_the_end_of_the_study():
    fates = [fate(p, i) for i, p in enumerate(people())]
    death, stroke = (np.array([f[f"time_years.{name}"] for f in fates]) for name in ("death", "stroke"))
    died, had_stroke = (np.array([f[f"event.{name}"] for f in fates]) == 1 for name in ("death", "stroke"))
    assert (stroke <= death).all()
    assert (stroke[~had_stroke] == death[~had_stroke]).all()
    assert death.max() <= 12
    assert death.min() > 0
    # Most are seen until the end of the study, 8 to 12 years on; 2 % a year are lost.
    assert np.mean(death[~died] < 8) == pytest.approx(1 - np.exp(-0.02 * 8), abs=0.03)


def test_a_site_is_no_cause_and_the_dial_makes_it_look_like_one():
    sites = ("one", "two", "three")
    assert [site_shift(site, sites, 0.0) for site in sites] == [0, 0, 0]
    assert [site_shift(site, sites, 0.4) for site in sites] == [-1.0, 0.0, 1.0]
    assert site_shift("one", ("one",), 1.0) == 0
    group = people()[:1500]
    plain = [fate(p, i) for i, p in enumerate(group)]
    assert [fate(p, i, site_shift("three", sites, 0.0)) for i, p in enumerate(group)] == plain
    prevalence = [
        [
            share([fate(p, i, site_shift(s, sites, dial)) for i, p in enumerate(group)], "diagnosis.asthma")
            for s in sites
        ]
        for dial in (0.5, 1.0)
    ]
    assert prevalence[1][0] < prevalence[0][0] < prevalence[0][1] < prevalence[0][2] < prevalence[1][2]
    # The middle site is where the closed form has the base rate.
    chance_P = 1 / (1 + np.exp(-risk(DIAGNOSES["asthma"], causes_of(group)) - 2.5))
    assert prevalence[1][2] == pytest.approx(chance_P.mean(), abs=0.04)
    # Through no body: whatever a night shows is the same person's, the rhythm of the heart with it.
    for i, person in enumerate(group):
        shifted, fair = (draw_outcomes(np.random.default_rng([i, 1]), person, shift) for shift in (2.5, 0.0))
        assert replace(shifted, measures={}) == replace(fair, measures={})


@pytest.mark.parametrize(
    ("site", "dial", "sentence"),
    [("one", 1.5, "a shortcut dial of 1.5; give 0"), ("six", 0.5, "site 'six' is none of the study's sites one, two")],
)
def test_a_dial_out_of_reach_is_refused(site: str, dial: float, sentence: str):
    with pytest.raises(UsageError, match=sentence):
        site_shift(site, ("one", "two"), dial)


def test_a_recording_tells_what_a_cohorts_table_would():
    night = simulate_night(3, hours=0.25)
    measures = night.recording.subject.measures
    assert all(_MEASURE.match(name) for name in measures)
    assert {"bmi", "diagnosis.hypertension", "event.death", "time_years.death"} <= measures.keys()
    assert night.truth.person.atrial_fibrillation == (measures["diagnosis.atrial_fibrillation"] == 1)


def test_prevalence_by_age_is_of_the_order_that_surveys_find():
    """Hypertension in 3 of 10 at forty to sixty and in 6 of 10 above (NHANES 2015-16: 33 % and 63 %).

    Atrial fibrillation is rare before fifty and near one in ten from seventy-five on (Go et al. 2001: 9 % over 80).
    """
    fates = [fate(p, i) for i, p in enumerate(people())]
    age = np.array([p.age_years for p in people()])

    def prevalence(name: str, low: float, high: float) -> float:
        return float(np.mean([f[f"diagnosis.{name}"] for f, a in zip(fates, age, strict=True) if low <= a < high]))

    assert prevalence("hypertension", 40, 60) == pytest.approx(0.33, abs=0.1)
    assert prevalence("hypertension", 60, 91) == pytest.approx(0.63, abs=0.12)
    assert prevalence("atrial_fibrillation", 18, 50) < 0.03
    assert 0.06 < prevalence("atrial_fibrillation", 75, 91) < 0.18
