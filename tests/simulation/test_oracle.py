"""The oracle against scikit-learn, slow plain references, and scores that try to beat it."""

import re
from functools import cache
from itertools import permutations

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from sleep2vec.simulation.oracle import Ceiling, ceilings, concordance, expected_auroc, given_age_and_sex
from sleep2vec.simulation.outcomes import DIAGNOSES, EVENTS, causes_of, draw_outcomes, risk, site_shift
from sleep2vec.simulation.person import Person
from sleep2vec.vocabulary.errors import UsageError

SITES = ("near", "far")


@cache
def cohort(dial: float = 0.0, n: int = 4000) -> tuple[list[Person], list[float]]:
    shifts = [site_shift(SITES[seed % 2], SITES, dial) for seed in range(n)]
    people = []
    for seed, shift in enumerate(shifts):
        rng = np.random.default_rng([seed, 3])
        people.append(draw_outcomes(rng, Person.draw(rng), shift))
    return people, shifts


@cache
def found(dial: float = 0.0) -> dict[str, Ceiling]:
    return {ceiling.outcome: ceiling for ceiling in ceilings(*cohort(dial))}


def measured(name: str) -> np.ndarray:
    return np.array([p.measures[name] for p in cohort()[0]])


@pytest.mark.parametrize("name", DIAGNOSES)
def test_auroc_is_what_scikit_learn_finds_on_the_draw(name: str):
    """Within four standard errors (Hanley and McNeil 1982) of an area measured with drawn diagnoses."""
    causes_PC = causes_of(cohort()[0])
    ill = measured(f"diagnosis.{name}")
    error = 0.29 / np.sqrt(ill.sum())
    assert roc_auc_score(ill, risk(DIAGNOSES[name], causes_PC)) == pytest.approx(
        found()[f"diagnosis.{name}"].best, abs=4 * error
    )


def test_expected_auroc_is_the_sum_over_all_pairs():
    rng = np.random.default_rng(1)
    chance, score = rng.random(60), rng.integers(0, 12, 60).astype(float)
    right = pairs = 0.0
    for i, j in permutations(range(60), 2):
        weight = chance[i] * (1 - chance[j])
        right += weight * ((score[i] > score[j]) + 0.5 * (score[i] == score[j]))
        pairs += weight
    assert expected_auroc(chance, score) == pytest.approx(right / pairs, rel=1e-12)


def test_concordance_is_the_count_over_all_pairs():
    rng = np.random.default_rng(2)
    years, happened = rng.integers(1, 15, 80).astype(float), rng.random(80) < 0.4
    score = rng.integers(0, 9, 80).astype(float)
    right = pairs = 0.0
    for i, j in permutations(range(80), 2):
        if happened[i] and (years[i] < years[j] or (years[i] == years[j] and not happened[j])):
            pairs += 1
            right += (score[i] > score[j]) + 0.5 * (score[i] == score[j])
    assert concordance(years, happened, score) == pytest.approx(right / pairs, rel=1e-12)


@pytest.mark.parametrize("name", [n for n in DIAGNOSES if n != "asthma"])
def test_no_other_score_ranks_a_diagnosis_better(name: str):
    """Single causes, disturbed tables, and a model fitted to the very answers: its area on people it has not seen."""
    causes_PC = causes_of(cohort()[0])
    upstream = [i for i in range(causes_PC.shape[1]) if i < 6 or list(DIAGNOSES).index(name) > i - 6]
    known_P = risk(DIAGNOSES[name], causes_PC)
    chance_P = 1 / (1 + np.exp(-known_P))
    best = found()[f"diagnosis.{name}"].best
    rng = np.random.default_rng(4)
    rivals = [causes_PC[:, i] for i in upstream]
    rivals += [known_P + causes_PC[:, upstream] @ rng.normal(0, 0.3, len(upstream)) for _ in range(50)]
    assert max(expected_auroc(chance_P, rival) for rival in rivals) < best
    half = len(chance_P) // 2
    fitted = HistGradientBoostingClassifier(max_iter=40, max_depth=3).fit(
        causes_PC[:half, upstream], measured(f"diagnosis.{name}")[:half]
    )
    learned_P = fitted.predict_proba(causes_PC[half:, upstream])[:, 1]
    own_best = expected_auroc(chance_P[half:], known_P[half:])
    assert own_best - 0.06 < expected_auroc(chance_P[half:], learned_P) < own_best


@pytest.mark.parametrize("name", EVENTS)
def test_no_other_score_ranks_an_event_better(name: str):
    causes_PC = causes_of(cohort()[0])
    known_P = risk(EVENTS[name], causes_PC)
    years, happened = measured(f"time_years.{name}"), measured(f"event.{name}") == 1
    best = found()[f"event.{name}"].best
    assert best == pytest.approx(concordance(years, happened, known_P), abs=1e-12)
    rng = np.random.default_rng(5)
    rivals = [*causes_PC.T, *(known_P + causes_PC @ rng.normal(0, 0.3, causes_PC.shape[1]) for _ in range(10))]
    # By luck of the draw another score may win by a hair: a tenth of its standard error.
    assert max(concordance(years, happened, rival) for rival in rivals) < best + 0.002


def test_age_and_sex_alone_do_as_well_as_a_model_of_them_and_no_better():
    """The judge is scikit-learn: logistic regression on powers of age, by sex."""
    causes_PC = causes_of(cohort()[0])
    age, male = causes_PC[:, 0], causes_PC[:, 1]
    design = np.column_stack([age, age**2, age**3, male, male * age])
    for name, effects in DIAGNOSES.items():
        chance_P = 1 / (1 + np.exp(-risk(effects, causes_PC)))
        model = LogisticRegression(C=100, max_iter=500).fit(design, measured(f"diagnosis.{name}"))
        of_model = expected_auroc(chance_P, model.decision_function(design))
        assert found()[f"diagnosis.{name}"].age_and_sex == pytest.approx(of_model, abs=0.02), name
        assert found()[f"diagnosis.{name}"].age_and_sex > of_model - 0.004, name
    # A straight line in age is given back as it is, at the ends too.
    straight_P = 3 + 2 * age - male
    np.testing.assert_allclose(given_age_and_sex(straight_P, causes_PC), straight_P, atol=1e-6)


def test_a_night_is_worth_something_and_not_everything():
    for outcome, ceiling in found().items():
        if outcome == "diagnosis.asthma":
            # The control: nothing in a night tells it.
            assert [ceiling.age_and_sex, ceiling.night] == pytest.approx([ceiling.best] * 2, abs=1e-9)
        elif outcome == "diagnosis.atrial_fibrillation":
            assert ceiling.night == 1
        else:
            assert ceiling.age_and_sex + 0.015 < ceiling.night < ceiling.best < 0.95
        assert ceiling.with_site == ceiling.best


def test_a_cheat_gains_what_the_dial_gives():
    for outcome in found():
        honest, cheated = found(0.0)[outcome], found(0.8)[outcome]
        if outcome == "diagnosis.atrial_fibrillation":
            assert cheated.with_site == cheated.best == honest.best
            continue
        assert cheated.with_site > cheated.best + 0.02
        # Knowing people is worth no more because their site was tampered with.
        assert cheated.best < honest.best + 0.01


def test_people_without_outcomes_are_refused():
    with pytest.raises(UsageError, match=re.escape("draw them with outcomes.draw_outcomes")):
        ceilings([Person.draw(np.random.default_rng(0))])
