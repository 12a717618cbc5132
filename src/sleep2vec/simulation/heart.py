"""The heart: a rate that follows stage, breath and arousal, the beats it gives, and the ECG they draw."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.signal import fftconvolve

from sleep2vec.simulation.arousals import Arousal
from sleep2vec.simulation.breathing import Breathing
from sleep2vec.simulation.noise import GRID_HZ, Array, Rng, at, band_noise, strew, wander
from sleep2vec.simulation.person import Person
from sleep2vec.simulation.respiratory_events import RespiratoryEvent

_BEAT_HZ = 16  # grid on which the rate is summed up to beats

# By stage W N1 N2 N3 R, in log heart rate: the level, and the swings below 0.04 Hz, at 0.1 Hz and with the breath.
# Calibrated on half of the people of sleep_accel, slpdb and apnea_ecg (benchmarks/simulation_real.py).
_LEVEL = np.array([0.045, -0.005, -0.022, -0.028, 0.055])
_VERY_SLOW = np.array([0.040, 0.030, 0.013, 0.005, 0.042])
_SLOW = np.array([0.024, 0.027, 0.017, 0.011, 0.022])
_RESPIRATORY = np.array([0.021, 0.034, 0.034, 0.035, 0.025])
_UNTIED = 0.008  # swings as fast as the breath that do not follow it
_SURGE = 0.15  # of a usual arousal, at its peak
_SURGE_PEAK_S = 5.0
_UNDERSHOOT, _UNDERSHOOT_PEAK_S = 0.25, 17.0  # the slowing after a surge, as a share of it
_STIR = 0.26  # of a movement of the body
_BRAKE = 0.10  # of a whole apnea, at its end
_REBOUND = 0.08  # of the breaths after it, at their peak, arousal or not
_EARLY_VENTRICULAR, _EARLY_ATRIAL = 0.33, 0.30  # of an interval
_ATRIAL_SHARE = 0.5  # of the beats that come early
_FIBRILLATION_SPREAD = 0.22  # of the intervals, as a share of their mean
_REFRACTORY = 0.5  # no interval is shorter than this share of the mean


@dataclass(frozen=True)
class Heart:
    """Beats of a night: (K,) times of the R peaks in s; the marks are of beats that came early, by their origin."""

    beat_times_s: NDArray[np.float64]
    ventricular_K: NDArray[np.bool_]
    atrial_K: NDArray[np.bool_]


def beat(
    rng: Rng,
    person: Person,
    mixture_G5: NDArray[np.float64],
    breathing: Breathing,
    arousals: tuple[Arousal, ...],
    events: tuple[RespiratoryEvent, ...],
    movement_G: NDArray[np.float64],
) -> Heart:
    """Beats of a night by integral pulse frequency modulation: one where the summed rate passes a whole number.

    The mean rate over the night is the person's own, whatever the stages. In atrial fibrillation the ventricles
    follow the atria after waits that know nothing of each other nor of the breath.
    """
    n_grid = len(mixture_G5)
    log_rate_G = _log_rate(rng, person, mixture_G5, breathing)
    log_rate_G += _surges(person, arousals, events, n_grid) + _STIR * _slow_answer(movement_G)
    rate_hz_G = person.heart_rate_bpm / 60 * np.exp(np.clip(log_rate_G - log_rate_G.mean(), -0.45, 0.6))
    fine = np.interp(np.arange(n_grid * _BEAT_HZ // GRID_HZ) / _BEAT_HZ, np.arange(n_grid) / GRID_HZ, rate_hz_G)
    summed = np.concatenate([[0.0], np.cumsum(fine[:-1]) / _BEAT_HZ])
    phases_K, ventricular_K, atrial_K = _sequence(rng, person, float(summed[-1]))
    inside_K = phases_K < summed[-1]
    times_s = np.interp(phases_K[inside_K], summed, np.arange(len(summed)) / _BEAT_HZ)
    return Heart(times_s, ventricular_K[inside_K], atrial_K[inside_K])


def _log_rate(rng: Rng, person: Person, mixture_G5: NDArray[np.float64], breathing: Breathing) -> NDArray[np.float64]:
    """Log heart rate (G,), without a mean, as stage, vasomotor waves, breath and hour shape it."""
    n_grid = len(mixture_G5)
    slow_G = person.slow_heart_gain * np.exp(0.45 * wander(rng, n_grid, 200.0))
    rsa_G = person.rsa_gain * np.exp(0.35 * wander(rng, n_grid, 200.0))
    if person.atrial_fibrillation:
        slow_G, rsa_G = 0.5 * slow_G, 0.0 * rsa_G
    log_rate_G = person.heart_stage_gain * (mixture_G5 @ _LEVEL)
    log_rate_G += slow_G * (mixture_G5 @ _VERY_SLOW) * band_noise(rng, n_grid, GRID_HZ, 0.004, 0.035)
    log_rate_G += slow_G * (mixture_G5 @ _SLOW) * band_noise(rng, n_grid, GRID_HZ, 0.07, 0.12)
    # Inspiration speeds the heart up; deep breaths do so more.
    swing_G = np.sin(2 * np.pi * (breathing.phase_G - 0.02)) * np.sqrt(np.clip(breathing.ventilation_G, 0.0, 2.5))
    log_rate_G += np.clip(rsa_G * (mixture_G5 @ _RESPIRATORY), 0, 0.15) * swing_G
    log_rate_G += _UNTIED * band_noise(rng, n_grid, GRID_HZ, 0.12, 0.45)
    # Falls until the early morning, and wanders for reasons that have nothing to do with the stage.
    hours_G = np.arange(n_grid) / GRID_HZ / 3600
    return log_rate_G - 0.015 * np.minimum(hours_G, 5.0) + 0.038 * wander(rng, n_grid, 2400.0)


def _sequence(
    rng: Rng, person: Person, until: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Beats on the scale of the summed rate, where a usual interval is 1: places (K,), and which come early.

    A ventricular beat leaves the sinus node alone, so that the next beat keeps its time (the compensatory pause); an
    atrial one resets it.
    """
    n = int(until * 1.5) + 10
    if person.atrial_fibrillation:
        shape = ((1 - _REFRACTORY) / _FIBRILLATION_SPREAD) ** 2
        waits_K = _REFRACTORY + (1 - _REFRACTORY) * rng.gamma(shape, 1 / shape, n)
        return rng.random() + np.cumsum(waits_K), np.zeros(n, bool), np.zeros(n, bool)
    early_K = rng.random(n) < min(person.ectopic_per_hour, 60.0) / 60 / person.heart_rate_bpm
    early_K[0] = False
    early_K[1:] &= ~early_K[:-1]
    atrial_K = early_K & (rng.random(n) < _ATRIAL_SHARE)
    ventricular_K = early_K & ~atrial_K
    places_K = rng.random() + np.arange(n) - _EARLY_ATRIAL * np.cumsum(atrial_K)
    return places_K - _EARLY_VENTRICULAR * ventricular_K, ventricular_K, atrial_K


def _surges(
    person: Person, arousals: tuple[Arousal, ...], events: tuple[RespiratoryEvent, ...], n_grid: int
) -> NDArray[np.float64]:
    """What arousals add to log rate (peak after 5 s, gone after 25 s) and events take and give back, (G,).

    Cyclical variation (Guilleminault et al. 1984): the heart slows while the breath is held and runs with the breaths
    after it.
    """
    impulses_G, brake_G = np.zeros(n_grid), np.zeros(n_grid)
    for arousal in arousals:
        impulses_G[int(arousal.onset_s * GRID_HZ)] += _SURGE * arousal.strength
    for event in events:
        first, last = int(event.onset_s * GRID_HZ), int(event.end_s * GRID_HZ)
        missed = person.apnea_heart_gain * (1 - event.airflow)
        brake_G[first:last] = -_BRAKE * missed * np.linspace(0, 1, last - first)
        impulses_G[last] += _REBOUND * missed
    answer = -_UNDERSHOOT * _response(_UNDERSHOOT_PEAK_S)
    answer[: len(_response(_SURGE_PEAK_S))] += _response(_SURGE_PEAK_S)
    return fftconvolve(impulses_G, answer)[:n_grid] + gaussian_filter1d(brake_G, GRID_HZ)


def _slow_answer(drive_G: NDArray[np.float64]) -> NDArray[np.float64]:
    kernel = _response(6.0)
    return fftconvolve(drive_G, kernel / kernel.sum() * 2)[: len(drive_G)]


def _response(peak_s: float) -> NDArray[np.float64]:
    """(x e^(1-x))^2 with x = t / peak: 0 at once, 1 at the peak, then fading."""
    x = np.arange(0, 8 * peak_s, 1 / GRID_HZ) / peak_s
    return (x * np.exp(1 - x)) ** 2


def draw_ecg(person: Person, heart: Heart, breathing: Breathing, rate_hz: float, n_samples: int) -> Array:
    """Lead II (n_samples,) in mV: P, Q, R, S and T as Gaussians around each R peak (after McSharry et al. 2003).

    The T wave moves with the square root of the interval (Bazett); breath changes the height of R.
    """
    times_K = heart.beat_times_s
    intervals_K = np.diff(times_K, prepend=times_K[0] - np.median(np.diff(times_K)))
    breath_K = np.sin(2 * np.pi * at(breathing.phase_G, times_K)) * np.minimum(at(breathing.ventilation_G, times_K), 2)
    height_K = person.ecg_gain * (1 + 0.07 * breath_K) * np.where(heart.ventricular_K, 1.3, 1.0)
    stretch_K = np.sqrt(np.clip(intervals_K, 0.4, 1.6))
    broad_K = np.where(heart.ventricular_K, 2.6, 1.0)
    # No P wave before a ventricular beat or in fibrillation; from elsewhere in the atria it is small.
    atria_K = np.where(heart.ventricular_K | person.atrial_fibrillation, 0.0, np.where(heart.atrial_K, 0.5, 1.0))
    turned_K = np.where(heart.ventricular_K, -1.4, 1.0)
    ecg_N = np.zeros(n_samples, dtype=np.float32)
    ones = np.ones_like(times_K)
    # centre (s after R), width (s), height (mV)
    waves = (
        (-0.17 * stretch_K, 0.022 * ones, 0.11 * atria_K * height_K),
        (-0.026 * broad_K, 0.0085 * broad_K, -0.12 * height_K),
        (0.0 * ones, 0.0105 * broad_K, 1.05 * height_K),
        (0.028 * broad_K, 0.0095 * broad_K, -0.22 * height_K),
        (0.27 * stretch_K, 0.045 * stretch_K, 0.26 * person.t_wave_gain * turned_K * height_K),
    )
    for centre_K, width_K, size_K in waves:
        add_gaussians(ecg_N, rate_hz, times_K + centre_K, width_K, size_K)
    return ecg_N


def add_gaussians(
    target_N: Array,
    rate_hz: float,
    centres_K: NDArray[np.float64],
    widths_K: NDArray[np.float64],
    sizes_K: NDArray[np.float64],
) -> None:
    """Add K bells to `target_N`, in place: centres and widths (standard deviations) in s."""
    reach = int(np.ceil(4 * np.percentile(widths_K, 99) * rate_hz))
    nearest_K = np.round(centres_K * rate_hz)
    behind_K = (nearest_K - centres_K * rate_hz).astype(np.float32)
    steps_W = np.arange(-reach, reach + 1, dtype=np.float32)
    off_KW = (steps_W[None, :] + behind_K[:, None]) / (widths_K * rate_hz).astype(np.float32)[:, None]
    np.multiply(off_KW, off_KW, out=off_KW)
    off_KW *= np.float32(-0.5)
    waves_KW = np.exp(off_KW, out=off_KW)
    waves_KW *= sizes_K.astype(np.float32)[:, None]
    strew(target_N, rate_hz, (nearest_K - reach) / rate_hz, waves_KW)


def pulse_rate(heart: Heart, n_seconds: int) -> Array:
    """Heart rate (n_seconds,) in beats per minute as an oximeter shows it: mean of the last eight intervals."""
    intervals_s = np.diff(heart.beat_times_s)
    summed = np.concatenate([[0.0], np.cumsum(intervals_s)])
    reach = np.minimum(np.arange(1, len(intervals_s) + 1), 8)
    ends = np.arange(1, len(intervals_s) + 1)
    mean_s = (summed[ends] - summed[ends - reach]) / reach
    shown = np.interp(np.arange(n_seconds), heart.beat_times_s[1:], 60 / mean_s)
    return np.round(shown).astype(np.float32)
