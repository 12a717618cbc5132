"""Hypnograms against the scored nights of the facts folder: the judge is the file, not the copy in the package."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from sleep2vec.simulation.hypnogram import draw_hypnogram
from sleep2vec.simulation.person import Person
from sleep2vec.simulation.stage_facts import BOUT_QUANTILES, STAGE_FACTS

STAGES = ("W", "N1", "N2", "N3", "R")


@pytest.fixture(scope="module")
def bins(shared: Path) -> list[dict]:
    return json.loads((shared / "facts" / "stage_statistics.json").read_text())["bins"]


@cache
def nights(age_years: float, n: int = 40) -> list[np.ndarray]:
    """Sleep periods: first to last epoch of sleep."""
    periods = []
    for seed in range(n):
        rng = np.random.default_rng(seed)
        person = replace(Person.draw(rng), age_years=age_years, apnea_per_hour=8.0)
        stages_L = draw_hypnogram(rng, person, 960)
        asleep = np.flatnonzero(stages_L)
        periods.append(stages_L[asleep[0] : asleep[-1] + 1])
    return periods


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


@pytest.mark.parametrize("age_years", [30, 50, 80])
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


def test_breathing_that_stops_makes_sleep_lighter():
    def n3(apnea_per_hour: float) -> float:
        shares = []
        for seed in range(25):
            rng = np.random.default_rng(seed)
            person = replace(Person.draw(rng), age_years=50.0, apnea_per_hour=apnea_per_hour)
            shares.append((draw_hypnogram(rng, person, 960) == 3).mean())
        return float(np.mean(shares))

    assert n3(60.0) < 0.9 * n3(1.0)
