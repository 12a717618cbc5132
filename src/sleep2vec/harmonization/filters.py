"""Zero-phase filters of each modality.

Letters: N samples at the rate given.

Bands are inside the AASM Manual's recommended display filters (v3, 2023: EEG and EOG 0.3-35 Hz, EMG 10-100 Hz,
ECG 0.3-70 Hz, effort and thermal flow 0.1-15 Hz, nasal pressure DC or <= 0.03-100 Hz), cut to what the stored
rate can hold.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy import signal


@dataclass(frozen=True)
class Band:
    """Pass band of a modality; None leaves that side open. Orders are those of one direction."""

    low_hz: float | None
    high_hz: float | None
    low_order: int = 2
    high_order: int = 4


# The EMG's upper end is the resampler's (58 Hz at 128 Hz). Breathing waves keep their harmonics to 1.5 Hz. A pulse wave
# carries the breath from 0.1 Hz on, and its notch up to 16 Hz; for actigraphy see `movement`.
BANDS: Mapping[str, Band] = MappingProxyType(
    {
        "eeg": Band(0.3, 35.0),
        "eog": Band(0.3, 35.0),
        "emg": Band(10.0, None, low_order=4),
        "ecg": Band(0.5, 40.0),
        "airflow": Band(0.03, 1.5),
        "belt": Band(0.03, 1.5),
        "resp": Band(0.05, 0.7),
        "ppg": Band(0.1, 16.0),
        "actigraphy": Band(0.25, 5.0),
    }
)
MAINS_HZ = (50.0, 60.0)


def apply_band(samples_N: NDArray[np.floating], rate_hz: float, band: Band) -> NDArray[np.floating]:
    """Filter forward and backward: no delay, so a wave stays where it is.

    Args:
        samples_N: (N,) without NaN.
        rate_hz: their rate. A corner at or above 0.95 of the Nyquist frequency is left out.

    Returns:
        (N,) float64, or the input where nothing was left to do.
    """
    sections = _sections(band, rate_hz)
    if sections is None:
        return samples_N
    # As long as the slowest corner remembers; otherwise the beginning of a night drifts.
    wanted = int(2.0 * rate_hz / (band.low_hz or 1.0))
    filtered: NDArray[np.floating] = signal.sosfiltfilt(
        sections, samples_N, padlen=max(0, min(wanted, len(samples_N) - 1))
    )
    return filtered


@lru_cache(maxsize=64)
def _sections(band: Band, rate_hz: float) -> NDArray[np.float64] | None:
    nyquist_hz = rate_hz / 2
    parts = []
    if band.low_hz is not None and band.low_hz < 0.95 * nyquist_hz:
        parts.append(signal.butter(band.low_order, band.low_hz, "highpass", fs=rate_hz, output="sos"))
    if band.high_hz is not None and band.high_hz < 0.95 * nyquist_hz:
        parts.append(signal.butter(band.high_order, band.high_hz, "lowpass", fs=rate_hz, output="sos"))
    return np.concatenate(parts) if parts else None


def describe(band: Band, rate_hz: float) -> str:
    """The filter that `apply_band` applies, for a person."""
    low = band.low_hz is not None and band.low_hz < 0.95 * rate_hz / 2
    high = band.high_hz is not None and band.high_hz < 0.95 * rate_hz / 2
    if low and high:
        return f"band-pass {band.low_hz:g}-{band.high_hz:g} Hz, zero phase"
    if low:
        return f"high-pass {band.low_hz:g} Hz, zero phase"
    return f"low-pass {band.high_hz:g} Hz, zero phase" if high else "no filter"


def mains_of(samples_N: NDArray[np.floating], rate_hz: float) -> tuple[float, ...]:
    """The frequencies of mains hum, in Hz, that stand out of the spectrum of `samples_N` (N,): none, one or both.

    50 or 60 Hz stands out when its 2 Hz hold five times the power density of the 4 Hz on both sides. Where in these
    2 Hz the hum lies is measured (a generator or a recorder's clock may be off); within 0.1 Hz it is the nominal one.
    """
    # Twenty minutes from the middle tell as much as the night.
    half = int(600 * rate_hz)
    middle = len(samples_N) // 2
    part_N = samples_N[max(0, middle - half) : middle + half]
    if len(part_N) < 4 * rate_hz:
        return ()
    hz, power = signal.welch(part_N, rate_hz, nperseg=int(4 * rate_hz))
    found = []
    for mains_hz in MAINS_HZ:
        distance_hz = np.abs(hz - mains_hz)
        around = (distance_hz > 1.5) & (distance_hz <= 5.0)
        heard = mains_hz + 1.5 < rate_hz / 2 and around.any()
        if heard and power[distance_hz <= 1.0].mean() > 5.0 * np.median(power[around]):
            peak_hz = _peak_between_bins(hz, power, np.flatnonzero(distance_hz <= 1.0))
            found.append(mains_hz if abs(peak_hz - mains_hz) < 0.1 else round(peak_hz, 2))
    return tuple(found)


def _peak_between_bins(hz: NDArray[np.float64], power: NDArray[np.floating], bins: NDArray[np.int64]) -> float:
    """Frequency of the highest of `bins`, refined by the parabola through its logarithm and its neighbours'."""
    top = int(bins[power[bins].argmax()])
    before, peak, after = np.log(np.maximum(power[top - 1 : top + 2], 1e-30))
    curvature = before - 2 * peak + after
    offset = 0.5 * (before - after) / curvature if curvature < 0 else 0.0
    return float(hz[top] + offset * (hz[1] - hz[0]))


def remove_mains(samples_N: NDArray[np.floating], rate_hz: float, mains_hz: float) -> NDArray[np.floating]:
    """Notch 2 Hz wide at `mains_hz`, zero phase; (N,) float64."""
    numerator, denominator = signal.iirnotch(mains_hz, mains_hz / 2.0, fs=rate_hz)
    notched: NDArray[np.floating] = signal.sosfiltfilt(signal.tf2sos(numerator, denominator), samples_N)
    return notched
