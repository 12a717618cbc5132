"""The hypnogram: a semi-Markov walk through the five stages, in cycles of about 95 minutes."""

import numpy as np
from numpy.typing import NDArray

from sleep2vec.simulation.noise import Rng
from sleep2vec.simulation.person import Person
from sleep2vec.simulation.stage_facts import BOUT_QUANTILES, StageFacts, facts_of_age

EPOCHS_PER_HOUR = 120
WAKE, N1, N2, N3, REM = range(5)
_CANDIDATES = 6
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
    leaving_55 = np.array(facts.transition)
    np.fill_diagonal(leaving_55, 0.0)
    cycle_ends = latency_epochs + np.cumsum(np.clip(rng.normal(190, 26, 40), 130, 260))
    stages_L = np.full(n_epochs, WAKE)
    now, stage = latency_epochs, N1
    while now < n_epochs:
        cycle = int(np.searchsorted(cycle_ends, now, side="right"))
        begun = latency_epochs if cycle == 0 else cycle_ends[cycle - 1]
        phase = (now - begun) / (cycle_ends[cycle] - begun)
        hours = (now - latency_epochs) / EPOCHS_PER_HOUR
        length = max(1, round(_bout(rng, facts, stage, hours) * leaning_5[stage]))
        stages_L[now : now + length] = stage
        now += length
        weights_5 = leaving_55[stage] * _pull(phase, hours) * leaning_5
        stage = int(np.searchsorted(np.cumsum(weights_5), rng.random() * weights_5.sum()))
    return stages_L


def _bout(rng: Rng, facts: StageFacts, stage: int, hours: float) -> float:
    """Length of a bout in epochs, by its quantiles; REM grows and N3 shrinks in the course of the night."""
    known = facts.bout_epochs[stage]
    longest = _LONGEST[stage] * known[-1]
    length = np.exp(np.interp(rng.random(), (0.0, *BOUT_QUANTILES, 1.0), np.log((1.0, *known, longest))))
    factor = {REM: 0.75 + 0.09 * hours, N3: 1.25 - 0.08 * hours}.get(stage, 1.0)
    return float(length * max(factor, 0.4))


def _pull(phase: float, hours: float) -> NDArray[np.float64]:
    """How much likelier than on average each stage is as the next, (5,), at this place of the cycle and the night."""
    rem_window = 1 / (1 + np.exp(-(phase - 0.70) / 0.05))
    deep = (0.5 + 1.9 * np.exp(-hours / 2.5)) * (1 - 0.85 * rem_window)
    return np.array([1.0, 1.0, 1.0 - 0.35 * rem_window, deep, 0.05 + (2.2 + 0.35 * hours) * rem_window])
