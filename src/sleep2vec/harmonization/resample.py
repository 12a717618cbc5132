"""Change of sampling rate.

Letters: T samples at the recording's rate, N samples at the stored rate.
"""

import numpy as np
import soxr
from numpy.typing import NDArray


def resample(samples_T: NDArray[np.float32], from_hz: float, to_hz: float) -> NDArray[np.float32]:
    """Change the rate of `samples_T` (T,), which holds no NaN, without aliasing and without delay.

    soxr HQ: flat to 0.91 of the lower Nyquist frequency, more than 100 dB down above it; rates need not be
    whole. The result (N,) covers the same time.
    """
    if from_hz == to_hz:
        return samples_T
    resampled: NDArray[np.float32] = soxr.resample(samples_T, from_hz, to_hz, quality="HQ")
    return resampled


def hold(samples_T: NDArray[np.float32], from_hz: float, times_N: NDArray[np.float64]) -> NDArray[np.float32]:
    """The value that stood at each time: for displays (SpO2, pulse rate), whose steps a filter would ring on.

    Returns:
        (N,) float32, NaN before the first and after the last sample, and where a sample is NaN.
    """
    # A millionth of a sample forgives rounding of times that fall on a sample.
    index_N = np.floor(times_N * from_hz + 1e-6).astype(np.int64)
    held_N = np.full(len(times_N), np.nan, dtype=np.float32)
    inside_N = (index_N >= 0) & (index_N < len(samples_T))
    held_N[inside_N] = samples_T[index_N[inside_N]]
    return held_N
