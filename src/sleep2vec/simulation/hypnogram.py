"""The hypnogram: a semi-Markov walk through the five stages, in cycles of about 95 minutes."""

from bisect import bisect
from dataclasses import dataclass
from itertools import accumulate
from math import exp

import numpy as np
from numpy.typing import NDArray

from sleep2vec.simulation.noise import Rng
from sleep2vec.simulation.person import Person
from sleep2vec.simulation.stage_facts import BOUT_QUANTILES, STAGE_FACTS, StageFacts, facts_of_age
from sleep2vec.vocabulary.errors import UsageError

EPOCHS_PER_HOUR = 120
WAKE, N1, N2, N3, REM = range(5)
_CANDIDATES = 6
_STEPS = 1000  # of the tables of bout lengths
# The longest bout as a multiple of the 95 % quantile: fitted, so that the mean bout agrees with the transitions.
_LONGEST = (4.0, 1.6, 1.5, 1.8, 1.3)


@dataclass(frozen=True)
class Occasion:
    """When and where this sleep happens; the same person sleeps otherwise on another occasion.

    Attributes:
        first_night: In a strange bed with electrodes: later asleep, more often awake, less REM (Agnew, Webb and
            Williams 1966, Psychophysiology 2:263; Toussaint et al. 1995, Sleep 18:463: the direction; sizes are ours).
        nap: By day: soon asleep, over within an hour or so, hardly any REM.
        sleep_debt: 0 rested, 1 after a night without sleep: sooner asleep, deeper, and REM may come by day
            (Borbely 1982, Human Neurobiology 1:195: the direction).
    """

    first_night: bool = False
    nap: bool = False
    sleep_debt: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.sleep_debt <= 1:
            raise UsageError(f"a sleep debt of {self.sleep_debt:g}; give 0 (rested) to 1 (a night without sleep).")


USUAL = Occasion()

# Factors on the shares of W N1 N2 N3 R, before they are made to sum to 1.
_FIRST_NIGHT = np.array([1.5, 1.15, 1.0, 0.95, 0.8])
_NAP = np.array([0.7, 2.5, 1.1, 0.7, 0.08])
_DEBT = np.array([-0.4, -0.4, 0.0, 0.4, 0.0])  # added to 1, times the debt
_DEBT_IN_NAP = np.array([0.0, -0.2, 0.0, 0.6, 4.0])
# Redline et al. 2004 (Arch Intern Med 164:406, SHHS): men sleep lighter, with less N3; Roehrs et al. 2006 (Sleep Med
# 7:49): also less efficiently and with more N1. The sizes are ours:
# as much above the facts in women as below them in men, because the facts pool both.
_WOMAN = np.array([0.93, 0.92, 0.99, 1.12, 1.0])
_BROKEN = np.array([0.25, 0.6, 0.0, -0.35, -0.2])
# Age of each group's middle: between two of them the wanted shares change evenly, not by jumps at birthdays.
_MIDDLE_YEARS = (8.5, 16.0, 30.0, 50.0, 67.0, 81.0)


def draw_hypnogram(rng: Rng, person: Person, n_epochs: int, occasion: Occasion = USUAL) -> NDArray[np.int64]:
    """Stages (n_epochs,) of one night or nap, codes of `vocabulary.stages.FIVE`, one per 30 s.

    Bout lengths, next stages and shares follow `stage_facts` for the person's age; cycles decide when N3 and REM may
    come. Of a few walks the one nearest to the shares this person should have is kept, so that people differ as much
    as the facts say. The recording starts shortly before lights off: the long evenings in the facts (latencies count
    from the start of the recording) are left out.
    """
    facts = facts_of_age(person.age_years)
    share_5 = _wanted_shares(rng, facts, person, occasion)
    latency_epochs = _latency(rng, occasion, n_epochs)
    leaning_5 = np.sqrt(share_5 / np.array(facts.share_mean))
    asleep_epochs = n_epochs
    if occasion.nap:
        # A median of 45 minutes, twice that with a debt; who naps longer wakes from a whole cycle.
        minutes = rng.lognormal(np.log(45 * (1 + occasion.sleep_debt)), 0.35)
        asleep_epochs = min(n_epochs, latency_epochs + max(2, round(2 * minutes)))
    course = _Course(facts, leaning_5, burden_of(person), occasion)
    walks = [_walk(rng, course, asleep_epochs, latency_epochs) for _ in range(_CANDIDATES)]
    best_L = min(walks, key=lambda walk_L: float(np.abs(_shares(walk_L) - share_5).sum()))
    return np.pad(best_L, (0, n_epochs - asleep_epochs), constant_values=WAKE)


def burden_of(person: Person) -> float:
    """How far breathing breaks sleep: 0 up to 5 events an hour, 1 from 60 on."""
    return float(np.clip((person.apnea_per_hour - 5) / 55, 0, 1))


def _latency(rng: Rng, occasion: Occasion, n_epochs: int) -> int:
    """Epochs until sleep; a median of 11 minutes in the evening, 7 before a nap."""
    median = (14 if occasion.nap else 22) * (1.7 if occasion.first_night else 1.0) * (1 - 0.6 * occasion.sleep_debt)
    longest = (0.35 if occasion.nap else 0.12) * n_epochs
    return int(min(rng.lognormal(np.log(median), 0.6), longest))


def _wanted_shares(rng: Rng, facts: StageFacts, person: Person, occasion: Occasion) -> NDArray[np.float64]:
    mean, sd = (
        np.array([np.interp(person.age_years, _MIDDLE_YEARS, column) for column in zip(*rows, strict=True)])
        for rows in ([f.share_mean for f in STAGE_FACTS], [f.share_sd for f in STAGE_FACTS])
    )
    shares = np.clip(rng.normal(mean, sd), 0.3 * mean, None)
    # Sleep broken by breathing: lighter and less deep (up to a third at 60 events an hour).
    shares *= 1 + burden_of(person) * _BROKEN
    shares *= _WOMAN if person.sex == "female" else 1 / _WOMAN
    shares[WAKE] *= person.restlessness**0.3
    if occasion.first_night:
        shares *= _FIRST_NIGHT
    if occasion.nap:
        shares *= _NAP * (1 + occasion.sleep_debt * _DEBT_IN_NAP)
    else:
        shares *= 1 + occasion.sleep_debt * _DEBT
    return shares / shares.sum()


def _shares(stages_L: NDArray[np.int64]) -> NDArray[np.float64]:
    asleep = np.flatnonzero(stages_L != WAKE)
    period = stages_L[asleep[0] : asleep[-1] + 1] if len(asleep) else stages_L
    return np.bincount(period, minlength=5) / len(period)


@dataclass(frozen=True)
class _Course:
    """What guides a walk: the age group's facts, which stages this person leans to, and what breaks the sleep."""

    facts: StageFacts
    leaning_5: NDArray[np.float64]
    burden: float
    occasion: Occasion


def _walk(rng: Rng, course: _Course, n_epochs: int, latency_epochs: int) -> NDArray[np.int64]:
    leaving = [[p if i != j else 0.0 for j, p in enumerate(row)] for i, row in enumerate(course.facts.transition)]
    # Breathing cuts bouts of N2, N3 and REM short and ends them in W and N1.
    shorter_5 = 1 + course.burden * np.array([0.0, 0.0, 0.4, 0.4, 0.5])
    bouts_5Q = _bout_lengths(course.facts) * (course.leaning_5 / shorter_5)[:, None]
    rousing = 1 + 0.45 * course.burden
    ends = latency_epochs + np.cumsum(np.clip(rng.normal(190, 26, 40), 130, 260))
    stages_L = np.full(n_epochs, WAKE)
    # Two draws a bout, and a bout lasts an epoch or more.
    chances = iter(rng.random(2 * n_epochs).tolist())
    now, stage, cycle, begun = latency_epochs, N1, 0, float(latency_epochs)
    while now < n_epochs:
        while now >= ends[cycle]:
            begun, cycle = float(ends[cycle]), cycle + 1
        phase = (now - begun) / (ends[cycle] - begun)
        hours = (now - latency_epochs) / EPOCHS_PER_HOUR
        length = bouts_5Q[stage, int(next(chances) * _STEPS)]
        # REM grows and N3 shrinks in the course of the night.
        if stage == REM:
            length *= 0.75 + 0.09 * hours
        elif stage == N3:
            length *= max(1.25 - 0.08 * hours, 0.4)
        n = max(1, round(float(length)))
        stages_L[now : now + n] = stage
        now += n
        pulls = zip(leaving[stage], _pull(phase, hours, course.occasion), course.leaning_5.tolist(), strict=True)
        weights = [leave * pull * lean for leave, pull, lean in pulls]
        weights[WAKE] *= rousing
        weights[N1] *= rousing
        summed = list(accumulate(weights))
        stage = min(bisect(summed, next(chances) * summed[-1]), REM)
    return stages_L


def _bout_lengths(facts: StageFacts) -> NDArray[np.float64]:
    """Quantile function of the bouts of each stage in epochs, (5, _STEPS), on a logarithmic scale between the facts."""
    chances_Q = (np.arange(_STEPS) + 0.5) / _STEPS
    known_at = (0.0, *BOUT_QUANTILES, 1.0)
    rows = [
        np.interp(chances_Q, known_at, np.log((1.0, *known, longest * known[-1])))
        for known, longest in zip(facts.bout_epochs, _LONGEST, strict=True)
    ]
    return np.exp(rows)


def _pull(phase: float, hours: float, occasion: Occasion) -> tuple[float, ...]:
    """How much likelier than on average each stage is as the next, at this place of the cycle and the night."""
    rem_window = 1 / (1 + exp(-(phase - 0.70) / 0.05))
    deep = (0.5 + 1.9 * exp(-hours / 2.5)) * (1 - 0.85 * rem_window)
    rem = 0.05 + (2.2 + 0.35 * hours) * rem_window
    if occasion.first_night and hours < 1.7:
        rem *= 0.35  # the first REM is often missed
    if occasion.nap:
        # Homeostatic pressure for N3 is half gone by day, and the clock forbids REM; a debt lifts both.
        deep *= 0.6 + 0.6 * occasion.sleep_debt
        rem *= 0.08 + 0.5 * occasion.sleep_debt
    return 1.0, 1.0, 1.0 - 0.35 * rem_window, deep, rem
