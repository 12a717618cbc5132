"""The eyes: blinks and glances awake, slow rolling at sleep onset, bursts of rapid movements in REM."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from sleep2vec.simulation.brain import RATE_HZ
from sleep2vec.simulation.noise import GRID_HZ, Array, Rng, band_noise, random_times, resample, stretch, strew, wander
from sleep2vec.simulation.person import Person

_RATE_HZ = 64

# By stage W N1 N2 N3 R. Rapid movements come in bursts; the rates are of bursts.
_ROLLING_UV = np.array([26.0, 60.0, 9.0, 5.0, 12.0])
_BURSTS_PER_MIN = np.array([1.5, 0.3, 0.02, 0.01, 7.0])
_MOVES_PER_BURST = 3.5
_GLANCES_PER_MIN = 45.0  # with open eyes
_BLINK_UV = 260.0


@dataclass(frozen=True)
class Eyes:
    """Potentials of eye movement at `brain.RATE_HZ`, (S,) in uV between the two EOG electrodes.

    The electrodes sit on either side and one above, one below: both directions reach them with opposite signs.
    `rapid_s` are the times of the rapid movements, in order.
    """

    horizontal_S: Array
    vertical_S: Array
    rapid_s: NDArray[np.float64]


def look(rng: Rng, person: Person, mixture_G5: NDArray[np.float64], open_G: NDArray[np.float64]) -> Eyes:
    """Eye movements of a night."""
    n_grid = len(mixture_G5)
    n = n_grid * _RATE_HZ // GRID_HZ
    # REM is phasic for a while and tonic, with quiet eyes, for a while: a minute without movement is common.
    phasic_G = np.exp(1.1 * wander(rng, n_grid, 25.0) - 0.6)
    bursts_s = random_times(rng, (mixture_G5 @ _BURSTS_PER_MIN) * phasic_G / 60)
    glances_s = random_times(rng, _GLANCES_PER_MIN / 60 * open_G * np.exp(0.7 * wander(rng, n_grid, 20.0) - 0.25))
    rapid_s = np.sort(np.concatenate([_in_bursts(rng, bursts_s), glances_s]))
    rolling_G = np.exp(mixture_G5 @ np.log(_ROLLING_UV)) * np.exp(0.6 * wander(rng, n_grid, 30.0)) * (1 - 0.8 * open_G)
    rolling_N = stretch(rolling_G, _RATE_HZ // GRID_HZ) * band_noise(rng, n, _RATE_HZ, 0.15, 0.45)
    horizontal_N = rolling_N + _saccades(rng, rapid_s, n, 150.0)
    vertical_N = 0.25 * rolling_N + _saccades(rng, rapid_s[rng.random(len(rapid_s)) < 0.6], n, 80.0)
    blinks_s = random_times(rng, open_G * person.blink_per_min / 60)
    sizes_K = _BLINK_UV * np.exp(0.25 * rng.standard_normal(len(blinks_s)))
    strew(vertical_N, _RATE_HZ, blinks_s - 0.1, sizes_K[:, None] * _blink()[None, :])
    n_samples = n_grid * RATE_HZ // GRID_HZ
    gain = np.float32(person.eye_gain)
    return Eyes(
        gain * resample(horizontal_N, _RATE_HZ, RATE_HZ, n_samples),
        gain * resample(vertical_N, _RATE_HZ, RATE_HZ, n_samples),
        rapid_s,
    )


def _in_bursts(rng: Rng, bursts_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """A few movements for each burst, half a second apart on average and never closer than 0.15 s."""
    counts_K = rng.geometric(1 / _MOVES_PER_BURST, len(bursts_s))
    gaps_s = 0.15 + rng.exponential(0.4, counts_K.sum())
    firsts_K = np.cumsum(counts_K) - counts_K
    since_s = np.cumsum(gaps_s)
    return np.repeat(bursts_s, counts_K) + since_s - np.repeat(since_s[firsts_K], counts_K)


def _blink() -> NDArray[np.float64]:
    """Lids close within 100 ms and open in twice that; (W,) with its peak after 0.1 s."""
    t = np.arange(round(0.5 * _RATE_HZ)) / _RATE_HZ - 0.1
    return np.exp(-0.5 * (t / np.where(t < 0, 0.04, 0.09)) ** 2)


def _saccades(rng: Rng, times_s: NDArray[np.float64], n: int, size_uv: float) -> Array:
    """Jumps of gaze that last 60 ms; gaze drifts back to the middle within seconds. (n,) float32."""
    places = (times_s * _RATE_HZ).astype(int)
    jumps_N = np.zeros(n, dtype=np.float32)
    # A jump tends to go back to where the last one came from: gaze stays in the head.
    sizes = size_uv * rng.standard_normal(len(places)) - 0.4 * size_uv * np.roll(rng.standard_normal(len(places)), 1)
    np.add.at(jumps_N, np.minimum(places, n - 1), sizes.astype(np.float32))
    keep = np.exp(-1 / (1.2 * _RATE_HZ))
    gaze_N = lfilter([1.0], [1.0, -keep], jumps_N)
    return np.convolve(gaze_N, np.full(4, 0.25), mode="same").astype(np.float32)
