"""Simulated scorers against five human ones (the facts file), and against what the truth says of their errors."""

import json
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from sleep2vec.simulation.expression import express
from sleep2vec.simulation.hypnogram import draw_hypnogram
from sleep2vec.simulation.person import Person
from sleep2vec.simulation.scorer import score_stages
from sleep2vec.simulation.simulated_night import SimulatedNight

# Apnea and age about as in DODH (25 healthy adults) and DODO (55 people with obstructive apnea).
COHORTS = {"healthy_DODH": (2.0, 35.0), "apnea_DODO": (20.0, 45.0)}


@dataclass(frozen=True)
class Scored:
    """The truth of a night and what two scorers wrote; only epochs that both scored."""

    true_L: np.ndarray
    first_L: np.ndarray
    second_L: np.ndarray


@cache
def scored_nights(apnea_per_hour: float, age_years: float, n: int = 15) -> list[Scored]:
    nights = []
    for seed in range(n):
        rng = np.random.default_rng([seed, 5])
        age = float(np.clip(rng.normal(age_years, 9), 18, 70))
        person = replace(Person.draw(rng), age_years=age, apnea_per_hour=apnea_per_hour)
        true_L = draw_hypnogram(rng, person, 960)
        mixture_G5 = express(rng, true_L)
        first_L, second_L = (
            score_stages(np.random.default_rng([seed, scorer]), person, true_L, mixture_G5) for scorer in (1, 2)
        )
        both = np.isfinite(first_L) & np.isfinite(second_L)
        nights.append(Scored(true_L[both], first_L[both].astype(int), second_L[both].astype(int)))
    return nights


@pytest.mark.parametrize("cohort", COHORTS)
def test_two_scorers_agree_as_humans_do(cohort: str, shared: Path):
    known = json.loads((shared / "facts" / "scorer_disagreement.json").read_text())[cohort]
    nights = scored_nights(*COHORTS[cohort])
    kappas = [cohen_kappa_score(n.first_L, n.second_L) for n in nights]
    assert np.mean(kappas) == pytest.approx(known["mean_pairwise_kappa"], abs=0.035)
    counts = np.zeros((5, 5))
    for night in nights:
        np.add.at(counts, (night.first_L, night.second_L), 1)
        np.add.at(counts, (night.second_L, night.first_L), 1)
    given = counts / counts.sum(axis=1, keepdims=True)
    wanted = np.array(known["p_other_scorer_given_scorer"])
    assert np.abs(given - wanted)[[0, 2, 4]].max() < 0.05
    # What a scorer means by a rare stage depends on how much of it these nights hold.
    assert np.abs(given - wanted)[[1, 3]].max() < 0.13
    # Who errs against the truth errs less than against another who errs.
    assert np.mean([cohen_kappa_score(n.true_L, n.first_L) for n in nights]) > np.mean(kappas) + 0.06


@pytest.mark.parametrize("cohort", COHORTS)
def test_disagreement_comes_in_runs_and_near_changes_of_stage(cohort: str):
    """Coin flips would know nothing of the epoch before, and as little of the distance to the next change."""
    nights = scored_nights(*COHORTS[cohort])
    differ = [n.first_L != n.second_L for n in nights]
    after_one = np.concatenate([d[1:][d[:-1]] for d in differ]).mean()
    assert after_one > 2.5 * np.concatenate(differ).mean()
    near, far = [], []
    for night, d in zip(nights, differ, strict=True):
        changes = np.flatnonzero(np.diff(night.true_L)) + 0.5
        distance = np.abs(np.arange(len(d))[:, None] - changes).min(axis=1)
        near.append(d[distance < 1])
        far.append(d[distance > 3])
    assert np.concatenate(near).mean() > 1.5 * np.concatenate(far).mean()
    # Scored nights are not choppier than nights are: the statistics of true stages are those of scored ones.
    changes = [[(np.diff(x) != 0).mean() for x in (n.true_L, n.first_L)] for n in nights]
    true_rate, scored_rate = np.mean(changes, axis=0)
    assert 0.65 < scored_rate / true_rate < 1.2


def test_the_recording_holds_what_was_scored_and_the_truth_both(apnea_night: SimulatedNight):
    truth = apnea_night.truth
    written = [np.nan if span.stage is None else span.stage for span in apnea_night.recording.stages]
    np.testing.assert_array_equal(written, truth.scored_L)
    assert np.isfinite(truth.stages_L).all()
    assert 0.02 < (truth.scored_L != truth.stages_L).mean() < 0.5


def test_only_wake_with_lights_on_and_much_movement_stay_unscored():
    person = replace(Person.draw(np.random.default_rng(2)), apnea_per_hour=2.0)
    true_L = np.repeat([0, 1, 2, 3, 2, 4, 2, 0], [20, 4, 100, 60, 20, 60, 30, 16])
    mixture_G5 = express(np.random.default_rng(1), true_L)
    still_G = np.zeros(len(mixture_G5))
    tossing_G = still_G.copy()
    tossing_G[100 * 120 : 140 * 120] = 1.0
    unscored, lost_in_motion = [], []
    for seed in range(40):
        scored_L = score_stages(np.random.default_rng(seed), person, true_L, mixture_G5, still_G)
        open_L = np.isnan(scored_L)
        assert (true_L[open_L] == 0).all()
        # From the ends inwards, never in between.
        inner = np.flatnonzero(~open_L)
        assert not open_L[inner[0] : inner[-1] + 1].any()
        unscored.append(open_L.sum())
        moved_L = score_stages(np.random.default_rng(seed), person, true_L, mixture_G5, tossing_G)
        assert not np.isnan(moved_L[30:99]).any()
        lost_in_motion.append(np.isnan(moved_L[100:140]).mean())
    assert 0.1 < np.mean(np.array(unscored) == 0) < 0.5
    assert max(unscored) > 8
    assert np.mean(lost_in_motion) == pytest.approx(0.3, abs=0.05)
