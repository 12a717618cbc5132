"""Hypnograms against the scored nights of the facts folder: the judge is the file, not the copy in the package."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from sleep2vec.simulation.hypnogram import USUAL, Occasion, draw_hypnogram
from sleep2vec.simulation.person import Person
from sleep2vec.simulation.stage_facts import BOUT_QUANTILES, STAGE_FACTS
from sleep2vec.vocabulary.errors import UsageError

STAGES = ("W", "N1", "N2", "N3", "R")


@pytest.fixture(scope="module")
def bins(shared: Path) -> list[dict]:
    return json.loads((shared / "facts" / "stage_statistics.json").read_text())["bins"]


@cache
def hypnograms(
    age_years: float = 50.0, n: int = 40, occasion: Occasion = USUAL, n_epochs: int = 960, **traits: float | str
) -> list[np.ndarray]:
    drawn = []
    for seed in range(n):
        rng = np.random.default_rng(seed)
        person = replace(Person.draw(rng), **{"age_years": age_years, "apnea_per_hour": 8.0, **traits})
        drawn.append(draw_hypnogram(rng, person, n_epochs, occasion))
    return drawn


def nights(age_years: float = 50.0, n: int = 40, **more) -> list[np.ndarray]:
    """Sleep periods: first to last epoch of sleep."""
    asleep = [(stages_L, np.flatnonzero(stages_L)) for stages_L in hypnograms(age_years, n, **more)]
    return [stages_L[at[0] : at[-1] + 1] for stages_L, at in asleep]


def share(periods: list[np.ndarray], stage: int) -> float:
    return float(np.mean([(period == stage).mean() for period in periods]))


def test_the_copied_numbers_are_those_of_the_facts(bins: list[dict]):
    assert len(bins) == len(STAGE_FACTS)
    for facts, known in zip(STAGE_FACTS, bins, strict=True):
        assert facts.from_age_years == known["age_years"][0]
        np.testing.assert_array_equal(facts.transition, known["transition_probability_per_30s"])
        for i, stage in enumerate(STAGES):
            assert facts.share_mean[i] == known["share_of_sleep_period_mean"][stage]
            assert facts.share_sd[i] == known["share_of_sleep_period_sd"][stage]
            assert list(facts.bout_epochs[i]) == known["bout_length_epochs_p5_25_50_75_95"][stage]
    assert len(BOUT_QUANTILES) == len(STAGE_FACTS[0].bout_epochs[0])


@pytest.mark.parametrize("age_years", [8, 16, 30, 50, 67, 80])
def test_shares_and_transitions_are_those_of_scored_nights(bins: list[dict], age_years: int):
    known = next(b for b in bins if b["age_years"][0] <= age_years <= b["age_years"][1])
    periods = nights(age_years)
    shares = np.array([np.bincount(p, minlength=5) / len(p) for p in periods])
    mean = np.array([known["share_of_sleep_period_mean"][s] for s in STAGES])
    sd = np.array([known["share_of_sleep_period_sd"][s] for s in STAGES])
    assert np.abs(shares.mean(axis=0) - mean).max() < 0.04
    # People must differ, as the scored ones do.
    assert (shares.std(axis=0) > 0.4 * sd).all()
    assert (shares.std(axis=0) < 1.6 * sd).all()

    counts = np.zeros((5, 5))
    for period in periods:
        np.add.at(counts, (period[:-1], period[1:]), 1)
    seen = counts / counts.sum(axis=1, keepdims=True)
    assert np.abs(seen - np.array(known["transition_probability_per_30s"])).max() < 0.08


def test_deep_sleep_comes_early_and_rem_late_and_in_cycles():
    """Textbook architecture (Carskadon and Dement): N3 in the first third, REM in the last, REM from 50 minutes on."""
    periods = nights(50)
    thirds = np.array([[np.bincount(t, minlength=5) / len(t) for t in np.array_split(p, 3)] for p in periods]).mean(
        axis=0
    )
    assert thirds[0, 3] > 1.4 * thirds[2, 3]
    assert thirds[2, 4] > 1.4 * thirds[0, 4]
    latency_min = [np.flatnonzero(p == 4)[0] / 2 for p in periods if (p == 4).any()]
    assert 60 < np.median(latency_min) < 120
    # Ultradian: REM is likelier one cycle (about 95 min) after REM than half a cycle after it.
    together = np.array([np.corrcoef(p[:-lag] == 4, p[lag:] == 4)[0, 1] for p in periods for lag in (95, 190)])
    assert together.reshape(-1, 2).mean(axis=0)[1] > together.reshape(-1, 2).mean(axis=0)[0] + 0.1


def test_breathing_that_stops_makes_sleep_lighter_and_breaks_it():
    calm, broken = nights(n=25, apnea_per_hour=1.0), nights(n=25, apnea_per_hour=60.0)
    assert share(broken, 3) < 0.9 * share(calm, 3)

    def awakenings_per_hour(periods: list[np.ndarray]) -> float:
        return float(np.mean([120 * ((p[1:] == 0) & (p[:-1] != 0)).sum() / np.count_nonzero(p) for p in periods]))

    def mean_bout(periods: list[np.ndarray], stage: int) -> float:
        ends = [np.flatnonzero(np.diff(p == stage)) for p in periods]
        return float(sum((p == stage).sum() for p in periods) / (sum(len(e) for e in ends) / 2))

    assert awakenings_per_hour(broken) > 1.4 * awakenings_per_hour(calm)
    assert mean_bout(broken, 2) < 0.85 * mean_bout(calm, 2)
    assert mean_bout(broken, 4) < 0.85 * mean_bout(calm, 4)


def test_deep_sleep_falls_and_wake_after_sleep_onset_rises_with_age(bins: list[dict]):
    """In the order of the facts' age groups and near their values; WASO is long-tailed, so its median is."""
    ages = (8, 16, 50, 67, 80)
    known = [b for b in bins if b["age_years"][0] != 20]  # eleven nights: too few to judge by
    deep = [share(nights(age), 3) for age in ages]
    assert (np.diff(deep) < 0.01).all()
    assert deep[0] > 3 * deep[-1]
    np.testing.assert_allclose(deep, [b["share_of_sleep_period_mean"]["N3"] for b in known], atol=0.04)
    waso_min = [float(np.median([(p == 0).sum() / 2 for p in nights(age)])) for age in ages]
    assert np.corrcoef(waso_min, [b["waso_min"][2] for b in known])[0, 1] > 0.9
    assert waso_min[-1] > 1.7 * waso_min[1]
    np.testing.assert_allclose(waso_min, [b["waso_min"][2] for b in known], rtol=0.6)


def test_women_sleep_deeper_and_wake_less():
    """Redline et al. 2004 (N3) and Roehrs et al. 2006 (efficiency): the direction, and not by worlds."""
    women, men = nights(sex="female"), nights(sex="male")
    assert 1.1 < share(women, 3) / share(men, 3) < 1.8
    assert 0.7 < share(women, 0) / share(men, 0) < 0.97


def test_a_first_night_is_worse():
    """Agnew et al. 1966: later asleep, more wake, less REM and later."""
    usual, first = hypnograms(), hypnograms(occasion=Occasion(first_night=True))
    latency = [np.median([np.flatnonzero(x)[0] for x in found]) for found in (usual, first)]
    assert latency[1] > 1.4 * latency[0]
    usual, first = nights(), nights(occasion=Occasion(first_night=True))
    assert share(first, 0) > 1.15 * share(usual, 0)
    assert share(first, 4) < 0.9 * share(usual, 4)
    rem_latency = [np.median([np.flatnonzero(p == 4)[0] for p in found if 4 in p]) for found in (usual, first)]
    assert rem_latency[1] > 1.1 * rem_latency[0]


def test_naps_are_short_soon_begun_and_dream_only_in_debt():
    """Multiple sleep latency tests (Carskadon and Dement 1982): adults sleep within 5-15 min by day, REM is the
    exception; after a lost night sleep comes in a few minutes, deeper."""
    rested = hypnograms(30, n=60, occasion=Occasion(nap=True), n_epochs=240)
    in_debt = hypnograms(30, n=60, occasion=Occasion(nap=True, sleep_debt=1.0), n_epochs=240)
    latency_min = [np.median([np.flatnonzero(x)[0] / 2 for x in found]) for found in (rested, in_debt)]
    assert 5 <= latency_min[0] <= 15
    assert latency_min[1] < 0.6 * latency_min[0]
    slept_min = [np.median([np.count_nonzero(x) / 2 for x in found]) for found in (rested, in_debt)]
    assert 25 < slept_min[0] < 60 < slept_min[1]
    # Who napped is awake again.
    assert np.mean([x[-1] == 0 for x in rested]) > 0.95
    with_rem = [np.mean([4 in x for x in found]) for found in (rested, in_debt)]
    assert with_rem[0] < 0.1 < with_rem[1]
    deep = [np.mean([(x == 3).sum() / np.count_nonzero(x) for x in found]) for found in (rested, in_debt)]
    assert deep[1] > 1.3 * deep[0]
    # A quarter of an hour is enough for some sleep.
    assert np.mean([np.count_nonzero(x) > 4 for x in hypnograms(30, occasion=Occasion(nap=True), n_epochs=30)]) > 0.8


def test_a_debt_out_of_reach_is_refused():
    with pytest.raises(UsageError, match="a sleep debt of 2; give 0"):
        Occasion(sleep_debt=2)
