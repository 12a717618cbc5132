"""The hypnogram: a semi-Markov walk through the five stages, in cycles of about 95 minutes."""

from bisect import bisect
from itertools import accumulate
from math import exp

import numpy as np
from numpy.typing import NDArray

from sleep2vec.simulation.noise import Rng
from sleep2vec.simulation.person import Person
from sleep2vec.simulation.stage_facts import BOUT_QUANTILES, StageFacts, facts_of_age

EPOCHS_PER_HOUR = 120
WAKE, N1, N2, N3, REM = range(5)
_CANDIDATES = 6
_STEPS = 1000  # of the tables of bout lengths
# The longest bout as a multiple of the 95 % quantile: fitted, so that the mean bout agrees with the transitions.
_LONGEST = (4.0, 1.6, 1.5, 1.8, 1.3)


def draw_hypnogram(rng: Rng, person: Person, n_epochs: int) -> NDArray[np.int64]:
    """Stages (n_epochs,) of one night, codes of `vocabulary.stages.FIVE`, one per 30 s.

    Bout lengths, next stages and shares follow `stage_facts` for the person's age; cycles decide when N3 and REM may
    come. Of a few walks the one nearest to the shares this person should have is kept, so that people differ as much
    as the facts say. The recording starts shortly before lights off: the long evenings in the facts (latencies count
    from the start of the recording) are left out.
    """
    facts = facts_of_age(person.age_years)
    share_5 = _wanted_shares(rng, facts, person)
    latency_epochs = int(min(rng.lognormal(np.log(22), 0.6), 0.12 * n_epochs))
    leaning_5 = np.sqrt(share_5 / np.array(facts.share_mean))
    walks = [_walk(rng, facts, n_epochs, latency_epochs, leaning_5) for _ in range(_CANDIDATES)]
    return min(walks, key=lambda walk_L: float(np.abs(_shares(walk_L) - share_5).sum()))


def _wanted_shares(rng: Rng, facts: StageFacts, person: Person) -> NDArray[np.float64]:
    mean, sd = np.array(facts.share_mean), np.array(facts.share_sd)
    shares = np.clip(rng.normal(mean, sd), 0.3 * mean, None)
    # Sleep broken by breathing: lighter and less deep (up to a third at 60 events an hour).
    burden = min(person.apnea_per_hour / 60, 1.0)
    shares *= 1 + burden * np.array([0.3, 0.6, 0.0, -0.35, -0.2])
    return shares / shares.sum()


def _shares(stages_L: NDArray[np.int64]) -> NDArray[np.float64]:
    asleep = np.flatnonzero(stages_L != WAKE)
    period = stages_L[asleep[0] : asleep[-1] + 1] if len(asleep) else stages_L
    return np.bincount(period, minlength=5) / len(period)


def _walk(
    rng: Rng, facts: StageFacts, n_epochs: int, latency_epochs: int, leaning_5: NDArray[np.float64]
) -> NDArray[np.int64]:
    leaving = [[p if i != j else 0.0 for j, p in enumerate(row)] for i, row in enumerate(facts.transition)]
    bouts_5Q = _bout_lengths(facts) * leaning_5[:, None]
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
        pulls = zip(leaving[stage], _pull(phase, hours), leaning_5.tolist(), strict=True)
        summed = list(accumulate(leave * pull * lean for leave, pull, lean in pulls))
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


def _pull(phase: float, hours: float) -> tuple[float, ...]:
    """How much likelier than on average each stage is as the next, at this place of the cycle and the night."""
    rem_window = 1 / (1 + exp(-(phase - 0.70) / 0.05))
    deep = (0.5 + 1.9 * exp(-hours / 2.5)) * (1 - 0.85 * rem_window)
    return 1.0, 1.0, 1.0 - 0.35 * rem_window, deep, 0.05 + (2.2 + 0.35 * hours) * rem_window
