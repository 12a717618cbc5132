"""The muscles of the chin: tone that falls with sleep and goes out in REM, but for twitches; and snores on top."""

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from sleep2vec.simulation.brain import RATE_HZ
from sleep2vec.simulation.breathing import Breathing
from sleep2vec.simulation.noise import GRID_HZ, Array, Rng, random_times, stretch, wander
from sleep2vec.simulation.person import Person

_TONE = np.array([1.0, 0.66, 0.50, 0.42, 0.24])  # by stage W N1 N2 N3 R
_TWITCHES_PER_MIN = np.array([2.0, 0.8, 0.5, 0.2, 5.0])
_SNORE = np.array([0.0, 0.5, 1.0, 1.1, 0.5])
_SNORE_FROM_UV = 2.5  # of a loud snore
_BITES_PER_MIN = np.array([1.2, 0.15, 0.06, 0.02, 0.05])  # swallowing, clenching, speech


def tense(
    rng: Rng,
    person: Person,
    mixture_G5: NDArray[np.float64],
    arousal_G: NDArray[np.float64],
    movement_G: NDArray[np.float64],
    breathing: Breathing,
) -> tuple[NDArray[np.float64], Array]:
    """Chin activity: its rms (G,) and the interference pattern (S,) at `brain.RATE_HZ`, both in uV.

    How far tone falls with sleep differs between people, and for hours within one: a chin may be slack all night.
    """
    n_grid = len(mixture_G5)
    log_tone_G = person.chin_contrast * (mixture_G5 @ np.log(_TONE))
    log_tone_G += 0.30 * wander(rng, n_grid, 120.0) + 0.22 * wander(rng, n_grid, 2400.0)
    tone_uv_G = person.chin_tone_uv * np.exp(log_tone_G)
    for onset_s in random_times(rng, mixture_G5 @ _TWITCHES_PER_MIN / 60):
        first = int(onset_s * GRID_HZ)
        tone_uv_G[first : first + int(rng.integers(1, 4))] += person.chin_tone_uv * rng.uniform(0.4, 2.0)
    for onset_s in random_times(rng, mixture_G5 @ _BITES_PER_MIN / 60):
        first = int(onset_s * GRID_HZ)
        tone_uv_G[first : first + int(rng.integers(3, 13))] += person.chin_tone_uv * rng.uniform(1.0, 4.0)
    tone_uv_G += person.chin_tone_uv * (1.6 * arousal_G + 3.0 * movement_G)
    tone_uv_G = np.hypot(tone_uv_G, _snores(rng, person, mixture_G5, breathing))
    n = n_grid * RATE_HZ // GRID_HZ
    # The difference of white noise rises with frequency, like surface EMG below its peak at 60-100 Hz.
    pattern_S = lfilter([1.0, -0.7], [1.0], rng.standard_normal(n, dtype=np.float32)).astype(np.float32)
    return tone_uv_G, stretch(tone_uv_G, RATE_HZ // GRID_HZ) * pattern_S / np.float32(np.hypot(1.0, 0.7))


def _snores(rng: Rng, person: Person, mixture_G5: NDArray[np.float64], breathing: Breathing) -> NDArray[np.float64]:
    """What snoring shakes into the chin leads, rms in uV (G,): with each inspiration, silent while no air flows.

    Whoever has apneas snores; few others do. A snorer snores for minutes and stops for minutes.
    """
    loudness = _SNORE_FROM_UV * person.apnea_per_hour / (person.apnea_per_hour + 15)
    now_G = 1 / (1 + np.exp(-3.0 * wander(rng, len(mixture_G5), 300.0)))
    inspiring_G = np.maximum(np.sin(2 * np.pi * breathing.phase_G), 0.0)
    shaken_G: NDArray[np.float64] = loudness * now_G * (mixture_G5 @ _SNORE) * inspiring_G * breathing.ventilation_G
    return shaken_G
