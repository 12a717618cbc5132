"""Simulated nights for `simulation_real.py`: hearts without the rest of the recording, watches, and one EEG lead."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from heart_features import Floats
from real_people import BeatNight, BrainNight, WatchNight
from sleep2vec.simulation.arousals import arousal_envelope, draw_arousals, movement_envelope
from sleep2vec.simulation.breathing import breathe
from sleep2vec.simulation.expression import express
from sleep2vec.simulation.heart import beat
from sleep2vec.simulation.hypnogram import draw_hypnogram
from sleep2vec.simulation.person import Person
from sleep2vec.simulation.respiratory_events import draw_respiratory_events
from sleep2vec.simulation.simulated_night import simulate_night
from sleep2vec.simulation.sites import SITES, Channel

_APNEA_IN_A_MINUTE_S = 5.0


@dataclass(frozen=True)
class Population:
    """Who sleeps: of what age and sex, and how many events an hour (uniform on a logarithmic scale)."""

    age_mean_years: float
    age_sd_years: float
    female_share: float
    apnea_from_per_hour: float
    apnea_to_per_hour: float


# After what the three data sets say of their people: apnea_ecg 27-63 years, 0-93 events an hour; sleep_accel healthy,
# 19-55 years; slpdb men of 32-56 years with apnea.
CLINIC = Population(45, 10, 0.15, 0.5, 80)
HEALTHY = Population(30, 8, 0.5, 0.5, 10)
MEN_WITH_APNEA = Population(43, 7, 0.0, 10, 60)
ADULTS = Population(48, 13, 0.4, 2, 40)


def draw(rng: np.random.Generator, population: Population) -> Person:
    person = Person.draw(
        rng,
        age_mean_years=population.age_mean_years,
        age_sd_years=population.age_sd_years,
        female_share=population.female_share,
    )
    low, high = np.log(population.apnea_from_per_hour), np.log(population.apnea_to_per_hour)
    return replace(person, apnea_per_hour=float(np.exp(rng.uniform(low, high))))


def simulated_beats(seed: int, population: Population, hours: float = 8.0) -> BeatNight:
    """The organs that move the heart, in the order of `simulate_night`, and nothing that only a sensor sees."""
    rng = np.random.default_rng((77, seed))
    person = draw(rng, population)
    stages_L = draw_hypnogram(rng, person, int(hours * 120))
    mixture_G5 = express(rng, stages_L)
    events = draw_respiratory_events(rng, person, stages_L)
    arousals = draw_arousals(rng, person, stages_L, events)
    arousal_G = arousal_envelope(arousals, len(mixture_G5))
    movement_G = movement_envelope(rng, person, mixture_G5, arousals)
    breathing = breathe(rng, person, mixture_G5, events, arousal_G, movement_G)
    heart = beat(rng, person, mixture_G5, breathing, arousals, events, movement_G)
    stopped_S = np.zeros(len(stages_L) * 30)
    for event in events:
        stopped_S[int(event.onset_s) : int(event.end_s)] = 1
    apnea_M = stopped_S.reshape(-1, 60).sum(axis=1) >= _APNEA_IN_A_MINUTE_S
    return BeatNight(str(seed), str(seed), heart.beat_times_s, stages_L, apnea_M)


def through_a_watch(night: BeatNight, seed: int) -> WatchNight:
    """What a watch shows every 5 s: the mean of the last 10 s, smoothed, in whole beats, at times wrong for a while."""
    rng = np.random.default_rng((78, seed))
    assert night.stages_L is not None
    n_s = len(night.stages_L) * 30
    rate_T = np.interp(np.arange(n_s), night.times_s[1:], 60 / np.diff(night.times_s))
    shown_T = uniform_filter1d(rate_T, 12, origin=5, mode="nearest")
    for first in rng.integers(0, n_s, rng.poisson(n_s / 1500)):
        shown_T[first : first + int(rng.exponential(12)) + 3] += rng.laplace(0, 7)
    times_s = np.cumsum(rng.choice([4.0, 5.0, 6.0], n_s // 5))
    times_s = times_s[times_s < n_s - 1]
    return WatchNight(night.person, times_s, np.round(shown_T[times_s.astype(int)]), night.stages_L)


def simulated_brain(seed: int, population: Population, hours: float = 7.0) -> BrainNight:
    lead = Channel("EEG", "eeg", "C3-M2", 128, "uV", 2000, (0.3, 40))
    site = replace(SITES["alpha"], channels=(lead,))
    night = simulate_night(
        seed + 5000, person=draw(np.random.default_rng((79, seed)), population), site=site, hours=hours
    )
    eeg_LS = night.recording.signals[0].samples.reshape(len(night.truth.stages_L), -1)
    return BrainNight(str(seed), 128.0, eeg_LS, stages_of(night.truth.stages_L))


def stages_of(stages_L: Floats) -> NDArray[np.int64]:
    return np.asarray(stages_L).astype(np.int64)
