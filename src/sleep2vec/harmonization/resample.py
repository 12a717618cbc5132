"""Change of sampling rate.

Letters: T samples at the recording's rate, N samples at the stored rate.
"""

import numpy as np
import soxr
from numpy.typing import NDArray

# soxr's HQ filter reaches about so many samples of the lower rate to either side.
_REACH = 64
_MOST_SOUGHT = 4096


def resample(samples_T: NDArray[np.float32], from_hz: float, to_hz: float, late: float = 0.0) -> NDArray[np.float32]:
    """Change the rate of `samples_T` (T,), which holds no NaN, without aliasing and without delay.

    soxr HQ: flat to 0.91 of the lower Nyquist frequency, more than 100 dB down above it; rates need not be
    whole. Both ends are continued by their reflection through the end point: soxr itself continues by zeros, and the
    step from an electrode's offset of some mV to zero would ring into the first and last seconds.

    Args:
        samples_T: (T,) without NaN.
        from_hz: their rate.
        to_hz: the rate wanted.
        late: how far the first sample of the result stands after the first of `samples_T`, in samples of
            `samples_T`, between -0.5 and 0.5: a grid may begin between two samples of a slow channel.

    Returns:
        (N,) that cover the same time from there.
    """
    if from_hz == to_hz and abs(late) < 1e-6:
        return samples_T
    ratio = to_hz / from_hz
    reach = int(np.ceil(_REACH * max(1.0, from_hz / to_hz)))
    front = _front(reach, ratio, late)
    level = np.float32(samples_T.mean(dtype=np.float64))
    resampled_N: NDArray[np.float32] = soxr.resample(
        _continued(samples_T, front, reach, level), from_hz, to_hz, quality="HQ"
    )
    first = round((front + late) * ratio)
    resampled_N = resampled_N[first : first + round(len(samples_T) * ratio)]
    resampled_N += level
    return resampled_N


def _front(reach: int, ratio: float, late: float) -> int:
    """How many samples, at least `reach`, to put in front so that a sample of the result falls on the wanted time."""
    fronts = np.arange(reach, reach + _MOST_SOUGHT)
    places = (fronts + late) * ratio
    off = np.abs(places - np.round(places))
    exact = np.flatnonzero(off < 1e-6)
    return int(fronts[exact[0] if exact.size else off.argmin()])


def _continued(samples_T: NDArray[np.float32], front: int, back: int, level: np.float32) -> NDArray[np.float32]:
    """`samples_T` less `level`, with `front` and `back` samples more, reflected through the end points."""
    n_samples = len(samples_T)
    longer = np.empty(front + n_samples + back, dtype=np.float32)
    inside = longer[front : front + n_samples]
    np.subtract(samples_T, level, out=inside)
    # What is shorter than its reflection is held from there on.
    before, after = min(front, n_samples - 1), min(back, n_samples - 1)
    longer[front - before : front] = 2 * inside[0] - inside[before:0:-1]
    longer[: front - before] = longer[front - before]
    longer[front + n_samples : front + n_samples + after] = 2 * inside[-1] - inside[n_samples - 1 - after : -1][::-1]
    longer[front + n_samples + after :] = longer[front + n_samples + after - 1]
    return longer


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
