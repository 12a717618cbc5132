"""Random processes: coloured noise, slow wandering, and short waves strewn over a night.

Letters: N samples at the rate of a signal, G points of the slow grid (`GRID_HZ`), K waves, W samples of a wave.
Slow things (stage, tone, ventilation) live on the grid; 4 Hz is fast for them and cheap for us.
"""

from collections.abc import Callable

import numpy as np
import scipy.fft
import soxr
from numpy.typing import NDArray
from scipy.signal import lfilter

GRID_HZ = 4

Array = NDArray[np.float32]
Rng = np.random.Generator


def shaped_noise(rng: Rng, n: int, rate_hz: float, gain: Callable[[Array], NDArray[np.floating]]) -> Array:
    """Gaussian noise (n,) float32 of unit variance whose amplitude spectrum follows `gain(frequency_hz)`.

    Drawn in the frequency domain, so that it costs one inverse FFT. The ends of a night meet (the noise is
    periodic with its length), which nobody can see.
    """
    padded = scipy.fft.next_fast_len(n, real=True)
    n_bins = padded // 2 + 1
    gains = gain(np.arange(n_bins, dtype=np.float32) * np.float32(rate_hz / padded)).astype(np.float32)
    gains[0] = 0.0
    # A band of a few hertz has few bins that are not empty: only those are drawn.
    filled = np.flatnonzero(gains > 1e-4 * gains.max())
    inside = slice(filled[0], filled[-1] + 1)
    spectrum = np.zeros(n_bins, dtype=np.complex64)
    parts = rng.standard_normal((filled[-1] + 1 - filled[0], 2), dtype=np.float32)
    spectrum[inside] = parts.view(np.complex64)[:, 0] * gains[inside]
    noise: Array = scipy.fft.irfft(spectrum, padded)[:n]
    noise *= np.float32(padded / (2 * np.sqrt(np.square(gains[inside], dtype=np.float64).sum())))
    return noise


def band_noise(rng: Rng, n: int, rate_hz: float, low_hz: float, high_hz: float) -> Array:
    """Unit-variance noise (n,) between two frequencies, with soft edges of a tenth of the band's width."""
    edge_hz = max(0.1 * (high_hz - low_hz), 1e-6)

    def gain(hz: Array) -> Array:
        return np.clip((hz - low_hz) / edge_hz + 1, 0, 1) * np.clip((high_hz - hz) / edge_hz + 1, 0, 1)

    return shaped_noise(rng, n, rate_hz, gain)


def rhythm_noise(rng: Rng, n: int, rate_hz: float, centre_hz: float, width_hz: float) -> Array:
    """Unit-variance noise (n,) around one frequency, its amplitude spectrum a bell of that standard deviation."""
    return shaped_noise(rng, n, rate_hz, lambda hz: np.exp(-0.5 * ((hz - centre_hz) / width_hz) ** 2))


def wander(rng: Rng, n: int, memory_s: float, rate_hz: float = GRID_HZ) -> NDArray[np.float64]:
    """Unit-variance first-order autoregressive noise (n,) that forgets itself within `memory_s`."""
    keep = np.exp(-1.0 / (memory_s * rate_hz))
    kicks = rng.standard_normal(n) * np.sqrt(1 - keep**2)
    start = rng.standard_normal()
    wandering: NDArray[np.float64] = lfilter([1.0], [1.0, -keep], kicks, zi=[keep * start])[0]
    return wandering


def stretch(values_G: NDArray[np.floating], factor: int) -> Array:
    """Grid values (G,) to (G * factor,) float32 by straight lines: for envelopes, which have no high frequencies."""
    held = np.asarray(values_G, dtype=np.float32)
    following = np.append(held[1:], held[-1])
    steps_GF = (following - held)[:, None] * (np.arange(factor, dtype=np.float32) / np.float32(factor))
    steps_GF += held[:, None]
    return steps_GF.reshape(-1).astype(np.float32, copy=False)


def resample(samples_N: Array, from_hz: float, to_hz: float, n: int | None = None) -> Array:
    """Change the rate without aliasing; cut or padded with the last value to `n` samples."""
    changed = samples_N if from_hz == to_hz else soxr.resample(samples_N, from_hz, to_hz, quality="HQ")
    if n is None or len(changed) == n:
        return changed
    return changed[:n] if len(changed) > n else np.pad(changed, (0, n - len(changed)), mode="edge")


def random_times(rng: Rng, rate_per_s_G: NDArray[np.floating]) -> NDArray[np.float64]:
    """Times in seconds (K,), sorted, of a Poisson process whose rate changes along the grid."""
    expected_G = np.concatenate([[0.0], np.cumsum(np.maximum(rate_per_s_G, 0.0), dtype=np.float64) / GRID_HZ])
    n = rng.poisson(expected_G[-1])
    return np.interp(np.sort(rng.uniform(0, expected_G[-1], n)), expected_G, np.arange(len(expected_G)) / GRID_HZ)


def strew(target_N: Array, rate_hz: float, onsets_s: NDArray[np.floating], waves_KW: NDArray[np.floating]) -> None:
    """Add each of K waves to `target_N`, in place, from its onset on; what hangs over the ends is cut."""
    width = waves_KW.shape[1]
    first_K = np.round(onsets_s * rate_hz).astype(np.int64)
    near_K = (first_K > -width) & (first_K < len(target_N))
    # Into a copy with room at both ends, so that nothing has to be masked.
    roomy_N = np.pad(target_N, width)
    places_KW = (first_K[near_K] + width)[:, None] + np.arange(width)[None, :]
    np.add.at(roomy_N, places_KW.reshape(-1), waves_KW[near_K].astype(target_N.dtype, copy=False).reshape(-1))
    target_N[:] = roomy_N[width : width + len(target_N)]


def at(values_G: NDArray[np.floating], times_s: NDArray[np.floating]) -> NDArray[np.floating]:
    """Grid values at the given times, (K,)."""
    return values_G[np.clip((np.asarray(times_s) * GRID_HZ).astype(int), 0, len(values_G) - 1)]
