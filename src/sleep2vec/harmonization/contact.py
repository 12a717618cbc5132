"""Whether an electrode touches a person: what noise looks like, and brains, eyes and hearts do not.

Letters: T samples at the recording's rate, N samples at the stored rate, L tokens, W windows.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

EVENNESS_BANDS_HZ = (1.0, 4.0, 10.0, 20.0, 35.0)
# T waves and drift are slower than this and are taken out before peaks are looked for.
_AVERAGE_S = 0.2
_WINDOW_S = 2.0


def evenness(samples_T: NDArray[np.floating], edges_L1: NDArray[np.int64], rate_hz: float) -> NDArray[np.float64]:
    """(L,) smallest of the power densities in four bands between 1 and 35 Hz over the largest: white noise is near 1.

    Densities are medians over the seconds of a token, so that a burst passes. Mains hum lies outside of the bands.
    """
    second = int(rate_hz)
    frequency_F = np.fft.rfftfreq(second, 1 / rate_hz)
    window_S = np.hanning(second)
    even_L = np.zeros(len(edges_L1) - 1)
    for token, (start, end) in enumerate(pairwise(edges_L1)):
        n_seconds = (end - start) // second
        seconds_WS = samples_T[start : start + n_seconds * second].reshape(n_seconds, second)
        seconds_WS = seconds_WS - seconds_WS.mean(axis=1, keepdims=True, dtype=np.float64)
        power_F = np.median(np.abs(np.fft.rfft(seconds_WS * window_S)) ** 2, axis=0)
        densities = [
            power_F[(frequency_F >= low) & (frequency_F <= high)].mean() for low, high in pairwise(EVENNESS_BANDS_HZ)
        ]
        even_L[token] = min(densities) / max(densities) if max(densities) > 0 else 0.0
    return even_L


def peakiness(samples_N: NDArray[np.floating], n_tokens: int, rate_hz: int) -> NDArray[np.float64]:
    """(L,) largest over root mean square within 2 s, T waves taken out: the median over a token and its neighbours.

    QRS complexes stand 4 to 7 times above it; Gaussian noise reaches 3, whether its level changes or not.

    Args:
        samples_N: (N,) whole tokens of a band-passed ECG without hum.
        n_tokens: L.
        rate_hz: a whole number.
    """
    fast_N = samples_N - uniform_filter1d(samples_N, int(_AVERAGE_S * rate_hz))
    fast_LWS = fast_N.reshape(n_tokens, -1, int(_WINDOW_S * rate_hz))
    highest_LW = np.maximum(fast_LWS.max(axis=2), -fast_LWS.min(axis=2))
    size_LW = np.sqrt(np.einsum("lws,lws->lw", fast_LWS, fast_LWS) / fast_LWS.shape[2])
    ratio_LW = np.divide(highest_LW, size_LW, out=np.zeros_like(highest_LW), where=size_LW > 0)
    padded_LW = np.pad(ratio_LW, ((1, 1), (0, 0)), mode="edge")
    nearby_LW = np.concatenate([padded_LW[:-2], padded_LW[1:-1], padded_LW[2:]], axis=1)
    peaks_L: NDArray[np.float64] = np.median(nearby_LW, axis=1)
    return peaks_L
