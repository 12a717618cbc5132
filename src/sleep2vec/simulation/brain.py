"""The brain: sources of the EEG, each with its own place on the scalp and its own answer to the state.

Amplitudes are rms in microvolts, of an adult whose gains are all 1.
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

# By stage W N1 N2 N3 R, fitted to spectra of wake and S3/S4 of five people (ucddb 002 005 008 011 015) and to windows
# of Sleep-EDF, as a sum of the parts below. Alpha is what shows behind closed eyes.
_SLOW_UV = np.array([4.5, 5.0, 13.0, 39.0, 5.0])
_THETA_UV = np.array([4.4, 6.4, 4.6, 4.6, 5.0])
_ALPHA_UV = np.array([15.0, 2.8, 1.8, 1.4, 1.8])
_SIGMA_UV = np.array([1.9, 0.9, 2.6, 1.6, 0.5])
_BETA_UV = np.array([6.4, 3.4, 2.4, 1.6, 2.7])
_BACKGROUND_UV = 9.0
_SPINDLES = np.array([0.02, 0.12, 1.0, 0.45, 0.03])  # share of the person's density
_SLOW_SPINDLE_SHARE = 0.35
_K_COMPLEXES_PER_MIN = np.array([0.0, 0.2, 1.4, 0.5, 0.0])
_VERTEX_WAVES_PER_MIN = np.array([0.1, 2.2, 0.5, 0.0, 0.1])
_SAWTOOTH_PER_MIN = np.array([0.0, 0.0, 0.0, 0.0, 1.0])


@dataclass(frozen=True)
class Brain:
    """Sources of the EEG at `RATE_HZ`, (S,) in uV as the electrode that feels each of them best sees them.

    Attributes:
        slow_S: Slow waves, K-complexes, vertex waves, sawtooth waves: strongest in front and at the vertex.
        alpha_S: Posterior rhythm.
        fast_S: Fast spindles and theta: strongest at the centre.
        frontal_S: Slow spindles: strongest in front.
        broad_S: Background and beta: everywhere.
        side_S, depth_S: Backgrounds of opposite sign left and right, and front and back: why two places of a scalp
            agree the less, the farther apart they are.
        spindles_s, k_complexes_s: When they begin, in order.
    """

    slow_S: Array
    alpha_S: Array
    fast_S: Array
    frontal_S: Array
    broad_S: Array
    side_S: Array
    depth_S: Array
    spindles_s: NDArray[np.float64]
    k_complexes_s: NDArray[np.float64]


@dataclass(frozen=True)
class Maturity:
    """What a growing brain does to the EEG: factors and shifts, none in adults.

    Attributes:
        gain: Of all EEG: the skull is thin.
        slow_gain: Of slow waves beside that; they are largest about the age of nine.
        theta_gain: Theta is the resting rhythm of a small child.
        alpha_shift_hz: The posterior rhythm is 8 Hz at three years and 9 Hz at seven.
        spindle_shift_hz: Spindles quicken until adulthood.
        spindle_density: Against an adult's; highest in adolescents.
    """

    gain: float
    slow_gain: float
    theta_gain: float
    alpha_shift_hz: float
    spindle_shift_hz: float
    spindle_density: float


def maturity_of_age(age_years: float) -> Maturity:
    """How far a brain has come at an age (5 to 90 years).

    Sources: Kurth et al. 2010 (slow-wave activity by age, 2.4 to 19.4 years), Marcuse et al. 2008 (posterior rhythm of
    normal children), Purcell et al. 2017 and Kwon et al. 2023 (spindle frequency and density by age).
    """
    young = float(np.clip((20 - age_years) / 15, 0.0, 1.0))
    return Maturity(
        gain=1 + 0.5 * young,
        slow_gain=1 + 1.1 * float(np.exp(-0.5 * ((age_years - 9) / 5) ** 2)),
        theta_gain=1 + 0.6 * young**1.5,
        alpha_shift_hz=-1.9 * young**1.5,
        spindle_shift_hz=-0.8 * young,
        spindle_density=1 + 0.25 * float(np.exp(-0.5 * ((age_years - 15) / 4) ** 2)) - 0.2 * young**2,
    )


def eyes_open(rng: Rng, mixture_G5: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far the eyes are open, (G,) 0..1: now and then while awake, shut in sleep."""
    inclined_G = 1 / (1 + np.exp(-3.0 * wander(rng, len(mixture_G5), 90.0)))
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
    grown = maturity_of_age(person.age_years)
    gain = person.eeg_gain * grown.gain
    asleep_G = 1 - 0.6 * np.clip(arousal_G, 0, 1)

    def course(by_stage: NDArray[np.float64], own_gain: float, spread: float) -> NDArray[np.float64]:
        level_G = np.exp(mixture_G5 @ np.log(by_stage))
        return gain * own_gain * level_G * np.exp(spread * wander(rng, n_grid, 90.0))

    # Sleep swells and ebbs: slow waves come in trains of some 20 s (the cyclic alternating pattern).
    trains_G = np.exp(0.38 * wander(rng, n_grid, 8.0) * (mixture_G5[:, 2] + mixture_G5[:, 3]))
    slow_G = course(_SLOW_UV, 1.0, 0.12) * _deep_gain(person, grown, mixture_G5) * trains_G * asleep_G
    slow_S, k_complexes_s = _slow_waves(rng, person, grown, mixture_G5, slow_G, arousals)

    n_mid = n_grid * _MID_RATE_HZ // GRID_HZ
    factor = _MID_RATE_HZ // GRID_HZ
    alpha_G = course(_ALPHA_UV, person.alpha_gain, 0.30) * (1 - 0.75 * open_G)
    alpha_G += gain * person.alpha_gain * 9.0 * arousal_G
    alpha_hz = max(person.alpha_hz + grown.alpha_shift_hz, 6.5)
    alpha_S = stretch(alpha_G, factor) * rhythm_noise(rng, n_mid, _MID_RATE_HZ, alpha_hz, 1.0)
    theta_G = course(_THETA_UV, person.theta_gain * grown.theta_gain, 0.16) * asleep_G
    fast_S = stretch(theta_G, factor) * _theta(rng, n_mid)
    sigma_G = course(_SIGMA_UV, person.spindle_gain**0.5, 0.2)
    fast_S += stretch(sigma_G, factor) * rhythm_noise(rng, n_mid, _MID_RATE_HZ, 13.0, 2.2)
    frontal_S = np.zeros_like(fast_S)
    spindles_s = _spindles(rng, person, grown, mixture_G5 * asleep_G[:, None], fast_S, frontal_S)

    n_samples = n_grid * RATE_HZ // GRID_HZ
    slope = person.aperiodic_slope
    broad_S, side_S, depth_S = (
        (gain * _BACKGROUND_UV) * shaped_noise(rng, n, rate_hz, lambda hz: np.maximum(hz, 0.3) ** -slope)
        for n, rate_hz in ((n_samples, RATE_HZ), (n_mid, _MID_RATE_HZ), (n_mid, _MID_RATE_HZ))
    )
    beta_G = course(_BETA_UV, person.beta_gain, 0.18) + gain * 3.5 * arousal_G
    broad_S += stretch(beta_G, RATE_HZ // GRID_HZ) * rhythm_noise(rng, n_samples, RATE_HZ, 19.0, 8.0)

    def at_full_rate(part_N: Array) -> Array:
        return resample(part_N, _MID_RATE_HZ, RATE_HZ, n_samples)

    return Brain(
        slow_S=resample(slow_S, _LOW_RATE_HZ, RATE_HZ, n_samples),
        alpha_S=at_full_rate(alpha_S),
        fast_S=at_full_rate(fast_S),
        frontal_S=at_full_rate(frontal_S),
        broad_S=broad_S,
        side_S=at_full_rate(side_S),
        depth_S=at_full_rate(depth_S),
        spindles_s=spindles_s,
        k_complexes_s=k_complexes_s,
    )


def _theta(rng: Rng, n: int) -> Array:
    """Noise of 4-8 Hz with a long tail upwards: a bell on a logarithmic axis."""
    return shaped_noise(
        rng, n, _MID_RATE_HZ, lambda hz: np.exp(-0.25 * (np.log(np.maximum(hz, 0.1) / 5.5) / 0.38) ** 2)
    )


def _deep_gain(person: Person, grown: Maturity, mixture_G5: NDArray[np.float64]) -> NDArray[np.float64]:
    """Age takes slow waves where they are large (N3, less so N2) and leaves the awake background alone.

    Scorers call waves of 75 uV deep sleep, whoever sleeps: among people of the same age the slow waves of the same
    stage differ less than the rest of the EEG does.
    """
    slow_gain = grown.slow_gain * person.slow_gain**0.8 * person.eeg_gain**-0.4
    deep_gain: NDArray[np.float64] = slow_gain ** (mixture_G5 @ np.array([0.0, 0.3, 0.8, 1.0, 0.2]))
    return deep_gain


def _slow_waves(
    rng: Rng,
    person: Person,
    grown: Maturity,
    mixture_G5: NDArray[np.float64],
    slow_G: NDArray[np.float64],
    arousals: tuple[Arousal, ...],
) -> tuple[Array, NDArray[np.float64]]:
    n_low = len(mixture_G5) * _LOW_RATE_HZ // GRID_HZ
    # The power falls with 1/f above 1 Hz and meets the background near 8 Hz, as in the spectra of S3/S4.
    slow_N = stretch(slow_G, _LOW_RATE_HZ // GRID_HZ) * shaped_noise(
        rng, n_low, _LOW_RATE_HZ, lambda hz: np.clip(hz / 0.5, 0, 1) ** 1.5 / np.sqrt(1 + (hz / 0.9) ** 2.6)
    )
    gain = person.eeg_gain * grown.gain
    evoked_gain = gain * (person.slow_gain * grown.slow_gain) ** 0.7
    # Arousals often begin with a K-complex.
    evoked_s = np.array([a.onset_s - 0.5 for a in arousals if rng.random() < 0.35])
    k_complexes_s = np.sort(np.concatenate([random_times(rng, mixture_G5 @ _K_COMPLEXES_PER_MIN / 60), evoked_s]))
    for onsets_s, size_uv, width_s in (
        (k_complexes_s, 75.0, 0.16),
        (random_times(rng, mixture_G5 @ _VERTEX_WAVES_PER_MIN / 60), 45.0, 0.06),
    ):
        sizes_K = evoked_gain * size_uv * np.exp(0.3 * rng.standard_normal(len(onsets_s)))
        strew(slow_N, _LOW_RATE_HZ, onsets_s, sizes_K[:, None] * _sharp_then_slow(width_s)[None, :])
    bursts_s = random_times(rng, mixture_G5 @ _SAWTOOTH_PER_MIN / 60)
    t = np.arange(round(3.0 * _LOW_RATE_HZ)) / _LOW_RATE_HZ
    hz_K = rng.uniform(2.0, 4.0, len(bursts_s))
    teeth_KW = np.mod(hz_K[:, None] * t, 1.0) - 0.5
    strew(slow_N, _LOW_RATE_HZ, bursts_s, 38.0 * gain * teeth_KW * np.hanning(len(t)))
    return slow_N, k_complexes_s


def _sharp_then_slow(width_s: float) -> NDArray[np.float64]:
    """A negative sharp wave and a slower positive one, the shape of a K-complex; (W,) at the low rate."""
    t = np.arange(0, 9 * width_s, 1 / _LOW_RATE_HZ)
    down = np.exp(-0.5 * ((t - 2.2 * width_s) / (0.7 * width_s)) ** 2)
    up = np.exp(-0.5 * ((t - 4.6 * width_s) / (1.2 * width_s)) ** 2)
    return 0.55 * up - down


def _spindles(
    rng: Rng, person: Person, grown: Maturity, mixture_G5: NDArray[np.float64], fast_N: Array, frontal_N: Array
) -> NDArray[np.float64]:
    """Strew spindles of 0.5-2 s, waxing and waning: fast ones at the centre, slow ones in front. Returns onsets."""
    density_G = (mixture_G5 @ _SPINDLES) * person.spindle_per_min * grown.spindle_density / 60
    # They come in trains, every 3-6 s within one, and hardly any for half a minute between (Lecci et al. 2017).
    peaks_s = random_times(rng, density_G * np.exp(0.6 * wander(rng, len(density_G), 20.0) - 0.18))
    n = len(peaks_s)
    t = np.arange(round(2.4 * _MID_RATE_HZ)) / _MID_RATE_HZ - 1.2
    width_K = rng.uniform(0.5, 1.6, n) / 4
    slow_K = rng.random(n) < _SLOW_SPINDLE_SHARE
    centre_hz = person.spindle_hz + grown.spindle_shift_hz - 1.7 * slow_K
    hz_K = np.clip(centre_hz + 0.35 * rng.standard_normal(n), 9.5, 16.0)
    # Slower by half a hertz towards the end, as spindles do.
    turns_KW = hz_K[:, None] * t - 0.2 * t**2 + rng.random(n)[:, None]
    # Spindles that start in N3 are smaller.
    size_K = 24.0 * person.eeg_gain * grown.gain * person.spindle_gain * np.exp(0.3 * rng.standard_normal(n))
    size_K *= 1 - 0.4 * at(mixture_G5, peaks_s)[:, 3]
    waves_KW = size_K[:, None] * np.exp(-0.5 * (t / width_K[:, None]) ** 2) * np.sin(2 * np.pi * turns_KW)
    strew(fast_N, _MID_RATE_HZ, peaks_s[~slow_K] - 1.2, waves_KW[~slow_K])
    strew(frontal_N, _MID_RATE_HZ, peaks_s[slow_K] - 1.2, waves_KW[slow_K])
    return peaks_s - 2 * width_K
