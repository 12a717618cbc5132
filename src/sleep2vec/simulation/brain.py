"""The brain: sources of the EEG, each with its own place on the scalp and its own answer to the state.

Amplitudes are rms in microvolts at C4-M1 of a person whose gains are all 1.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sleep2vec.simulation.arousals import Arousal
from sleep2vec.simulation.noise import (
    GRID_HZ,
    Array,
    Rng,
    at,
    random_times,
    resample,
    rhythm_noise,
    shaped_noise,
    stretch,
    strew,
    wander,
)
from sleep2vec.simulation.person import Person

RATE_HZ = 128
_LOW_RATE_HZ = 32  # slow waves and K-complexes
_MID_RATE_HZ = 64  # theta, alpha, spindles

# By stage W N1 N2 N3 R. Alpha is what shows behind closed eyes.
_SLOW_UV = np.array([6.0, 8.0, 17.0, 46.0, 7.0])
_THETA_UV = np.array([4.5, 9.0, 7.5, 8.5, 8.0])
_ALPHA_UV = np.array([14.0, 5.0, 3.5, 2.8, 3.5])
_SIGMA_UV = np.array([2.0, 2.2, 4.5, 3.8, 1.6])
_BETA_UV = np.array([4.8, 3.4, 2.5, 1.9, 2.9])
_BACKGROUND_UV = 8.0
_SPINDLES = np.array([0.02, 0.12, 1.0, 0.45, 0.03])  # share of the person's density
_K_COMPLEXES_PER_MIN = np.array([0.0, 0.2, 1.4, 0.5, 0.0])
_VERTEX_WAVES_PER_MIN = np.array([0.1, 2.2, 0.5, 0.0, 0.1])
_SAWTOOTH_PER_MIN = np.array([0.0, 0.0, 0.0, 0.0, 1.0])


@dataclass(frozen=True)
class Brain:
    """Sources of the EEG at `RATE_HZ`, (S,) in uV as C4-M1 sees them.

    Attributes:
        slow_S: Slow waves, K-complexes, vertex waves: strongest in front.
        alpha_S: Posterior rhythm.
        fast_S: Spindles and theta: strongest at the centre.
        broad_S: Background and beta: everywhere.
    """

    slow_S: Array
    alpha_S: Array
    fast_S: Array
    broad_S: Array


def eyes_open(rng: Rng, mixture_G5: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far the eyes are open, (G,) 0..1: now and then while awake, shut in sleep."""
    inclined_G = 1 / (1 + np.exp(-3.0 * (wander(rng, len(mixture_G5), 90.0) - 0.2)))
    return mixture_G5[:, 0] * inclined_G


def think(
    rng: Rng,
    person: Person,
    mixture_G5: NDArray[np.float64],
    open_G: NDArray[np.float64],
    arousal_G: NDArray[np.float64],
    arousals: tuple[Arousal, ...],
) -> Brain:
    """The EEG of a night. Sleep rhythms yield during an arousal; alpha and beta take their place."""
    n_grid = len(mixture_G5)
    asleep_G = 1 - 0.6 * np.clip(arousal_G, 0, 1)

    def course(by_stage: NDArray[np.float64], gain: float, spread: float) -> NDArray[np.float64]:
        level_G = np.exp(mixture_G5 @ np.log(by_stage))
        return person.eeg_gain * gain * level_G * np.exp(spread * wander(rng, n_grid, 90.0))

    slow_G = course(_SLOW_UV, 1.0, 0.16) * _deep_gain(person, mixture_G5) * asleep_G
    slow_S = _slow_waves(rng, person, mixture_G5, slow_G, arousals)

    alpha_G = course(_ALPHA_UV, person.alpha_gain, 0.30) * (1 - 0.75 * open_G)
    alpha_G += person.eeg_gain * person.alpha_gain * 9.0 * arousal_G
    n_mid = n_grid * _MID_RATE_HZ // GRID_HZ
    factor = _MID_RATE_HZ // GRID_HZ
    alpha_S = stretch(alpha_G, factor) * rhythm_noise(rng, n_mid, _MID_RATE_HZ, person.alpha_hz, 0.7)
    theta_G = course(_THETA_UV, person.theta_gain, 0.16) * asleep_G
    fast_S = stretch(theta_G, factor) * rhythm_noise(rng, n_mid, _MID_RATE_HZ, 5.8, 1.4)
    sigma_G = course(_SIGMA_UV, person.spindle_gain**0.5, 0.2)
    fast_S += stretch(sigma_G, factor) * rhythm_noise(rng, n_mid, _MID_RATE_HZ, 13.0, 2.0)
    _spindles(rng, person, mixture_G5 * asleep_G[:, None], fast_S)

    n_samples = n_grid * RATE_HZ // GRID_HZ
    slope = person.aperiodic_slope
    broad_S = (person.eeg_gain * _BACKGROUND_UV) * shaped_noise(
        rng, n_samples, RATE_HZ, lambda hz: np.maximum(hz, 0.3) ** -slope
    )
    beta_G = course(_BETA_UV, person.beta_gain, 0.18) + person.eeg_gain * 3.5 * arousal_G
    broad_S += stretch(beta_G, RATE_HZ // GRID_HZ) * rhythm_noise(rng, n_samples, RATE_HZ, 20.0, 7.0)
    return Brain(
        resample(slow_S, _LOW_RATE_HZ, RATE_HZ, n_samples),
        resample(alpha_S, _MID_RATE_HZ, RATE_HZ, n_samples),
        resample(fast_S, _MID_RATE_HZ, RATE_HZ, n_samples),
        broad_S,
    )


def _deep_gain(person: Person, mixture_G5: NDArray[np.float64]) -> NDArray[np.float64]:
    """Age takes slow waves where they are large (N3, less so N2) and leaves the awake background alone."""
    return person.slow_gain ** (mixture_G5 @ np.array([0.0, 0.3, 0.7, 1.0, 0.2]))


def _slow_waves(
    rng: Rng,
    person: Person,
    mixture_G5: NDArray[np.float64],
    slow_G: NDArray[np.float64],
    arousals: tuple[Arousal, ...],
) -> Array:
    n_low = len(mixture_G5) * _LOW_RATE_HZ // GRID_HZ
    slow_N = stretch(slow_G, _LOW_RATE_HZ // GRID_HZ) * shaped_noise(
        rng, n_low, _LOW_RATE_HZ, lambda hz: np.clip(hz / 0.5, 0, 1) ** 2 / (1 + (hz / 1.6) ** 3)
    )
    gain = person.eeg_gain * person.slow_gain**0.7
    # Arousals often begin with a K-complex.
    evoked_s = np.array([a.onset_s - 0.5 for a in arousals if rng.random() < 0.35])
    own_s = random_times(rng, mixture_G5 @ _K_COMPLEXES_PER_MIN / 60)
    for onsets_s, size_uv, width_s in (
        (np.concatenate([own_s, evoked_s]), 75.0, 0.16),
        (random_times(rng, mixture_G5 @ _VERTEX_WAVES_PER_MIN / 60), 45.0, 0.06),
    ):
        sizes_K = gain * size_uv * np.exp(0.3 * rng.standard_normal(len(onsets_s)))
        strew(slow_N, _LOW_RATE_HZ, onsets_s, sizes_K[:, None] * _sharp_then_slow(width_s)[None, :])
    bursts_s = random_times(rng, mixture_G5 @ _SAWTOOTH_PER_MIN / 60)
    t = np.arange(round(3.0 * _LOW_RATE_HZ)) / _LOW_RATE_HZ
    hz_K = rng.uniform(2.0, 4.0, len(bursts_s))
    teeth_KW = np.mod(hz_K[:, None] * t, 1.0) - 0.5
    strew(slow_N, _LOW_RATE_HZ, bursts_s, 38.0 * person.eeg_gain * teeth_KW * np.hanning(len(t)))
    return slow_N


def _sharp_then_slow(width_s: float) -> NDArray[np.float64]:
    """A negative sharp wave and a slower positive one, the shape of a K-complex; (W,) at the low rate."""
    t = np.arange(0, 9 * width_s, 1 / _LOW_RATE_HZ)
    down = np.exp(-0.5 * ((t - 2.2 * width_s) / (0.7 * width_s)) ** 2)
    up = np.exp(-0.5 * ((t - 4.6 * width_s) / (1.2 * width_s)) ** 2)
    return 0.55 * up - down


def _spindles(rng: Rng, person: Person, mixture_G5: NDArray[np.float64], target_N: Array) -> None:
    """Strew spindles of 0.5-2 s, waxing and waning, around the person's frequency."""
    density_G = (mixture_G5 @ _SPINDLES) * person.spindle_per_min / 60
    onsets_s = random_times(rng, density_G * np.exp(0.5 * wander(rng, len(density_G), 25.0)))
    n = len(onsets_s)
    t = np.arange(round(2.4 * _MID_RATE_HZ)) / _MID_RATE_HZ - 1.2
    width_K = rng.uniform(0.5, 1.6, n) / 4
    hz_K = np.clip(person.spindle_hz + 0.35 * rng.standard_normal(n), 10.5, 16.0)
    # Slower by half a hertz towards the end, as spindles do.
    turns_KW = hz_K[:, None] * t - 0.2 * t**2 + rng.random(n)[:, None]
    # Spindles that start in N3 are smaller.
    size_K = 24.0 * person.eeg_gain * person.spindle_gain * np.exp(0.3 * rng.standard_normal(n))
    size_K *= 1 - 0.4 * at(mixture_G5, onsets_s)[:, 3]
    waves_KW = size_K[:, None] * np.exp(-0.5 * (t / width_K[:, None]) ** 2) * np.sin(2 * np.pi * turns_KW)
    strew(target_N, _MID_RATE_HZ, onsets_s, waves_KW)
