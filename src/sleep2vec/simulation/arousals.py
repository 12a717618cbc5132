"""Arousals and movements: what disturbs sleep for a few seconds, in brain, muscle, heart and breathing at once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from sleep2vec.simulation.noise import GRID_HZ, Rng, random_times
from sleep2vec.simulation.person import Person
from sleep2vec.simulation.respiratory_events import RespiratoryEvent
from sleep2vec.vocabulary.modalities import TOKEN_SECONDS

_AFTER_EVENT_OF_STAGE = np.array([0.0, 0.85, 0.7, 0.35, 0.6])
_SPONTANEOUS_PER_HOUR_OF_STAGE = np.array([0.0, 18.0, 9.0, 3.0, 9.0])


@dataclass(frozen=True)
class Arousal:
    """A shift to waking activity for 3-15 s; `strength` around 1 scales what it does to the organs."""

    onset_s: float
    duration_s: float
    strength: float


def draw_arousals(
    rng: Rng, person: Person, stages_L: NDArray[np.int64], breathing_events: tuple[RespiratoryEvent, ...]
) -> tuple[Arousal, ...]:
    """Arousals from sleep, in order: at the end of most respiratory events, and of their own accord."""
    stage_G = np.repeat(stages_L, TOKEN_SECONDS * GRID_HZ)
    onsets = [
        event.end_s + rng.uniform(-1.0, 2.0)
        for event in breathing_events
        if rng.random() < _AFTER_EVENT_OF_STAGE[stage_G[int(event.end_s * GRID_HZ)]]
    ]
    rate_G = _SPONTANEOUS_PER_HOUR_OF_STAGE[stage_G] / 3600 * person.restlessness * _by_age(person.age_years)
    onsets += list(random_times(rng, rate_G))
    arousals: list[Arousal] = []
    last_s = len(stage_G) / GRID_HZ - 20.0
    for onset_s in sorted(onsets):
        duration_s = float(np.clip(rng.lognormal(np.log(6.5), 0.45), 3.2, 15.0))
        strength = float(np.clip(rng.lognormal(0.0, 0.3), 0.4, 2.0))
        # The AASM Manual asks for 10 s of sleep before an arousal.
        if 10 < onset_s < last_s and (not arousals or onset_s > arousals[-1].onset_s + arousals[-1].duration_s + 10):
            arousals.append(Arousal(round(float(onset_s), 2), round(duration_s, 2), strength))
    return tuple(arousals)


def _by_age(age_years: float) -> float:
    """Arousals about double between 20 and 70 years (Bonnet and Arand 2007: 11 to 22 an hour); 1 at 50."""
    return max(1 + 0.0135 * (age_years - 50), 0.45)


def arousal_envelope(arousals: tuple[Arousal, ...], n_grid: int) -> NDArray[np.float64]:
    """How aroused, (G,): `strength` during an arousal, 0 elsewhere, with edges of half a second."""
    envelope_G = np.zeros(n_grid)
    for arousal in arousals:
        first = int(arousal.onset_s * GRID_HZ)
        envelope_G[first : first + max(1, int(arousal.duration_s * GRID_HZ))] = arousal.strength
    return gaussian_filter1d(envelope_G, 0.5 * GRID_HZ)


def movement_envelope(
    rng: Rng, person: Person, mixture_G5: NDArray[np.float64], arousals: tuple[Arousal, ...]
) -> NDArray[np.float64]:
    """How much the body moves, (G,): often awake, seldom asleep, with one in four arousals."""
    per_minute_G = mixture_G5 @ np.array([0.55, 0.10, 0.035, 0.01, 0.04]) * person.restlessness
    own = [(t, rng.lognormal(np.log(4.0), 0.6), rng.lognormal(0, 0.4)) for t in random_times(rng, per_minute_G / 60)]
    roused = [(a.onset_s, a.duration_s, a.strength) for a in arousals if rng.random() < 0.25]
    envelope_G = np.zeros(len(mixture_G5))
    for onset_s, duration_s, strength in own + roused:
        first = int(onset_s * GRID_HZ)
        envelope_G[first : first + max(1, int(duration_s * GRID_HZ))] = strength
    return gaussian_filter1d(envelope_G, 0.6 * GRID_HZ)
