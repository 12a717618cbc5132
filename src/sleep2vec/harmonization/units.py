"""Samples in the unit of the store, whatever the header calls them.

Letters: T samples at the recording's rate.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from sleep2vec.vocabulary.recording import Signal
from sleep2vec.vocabulary.units import factor_between, g_per_unit

UNIT_OF_KIND: Mapping[str, str] = MappingProxyType(
    {**dict.fromkeys(("eeg", "eog", "chin", "reference"), "uV"), "ecg": "mV"}
)
# Standard deviation within 30 s, straight line removed, of a channel that works. Ours: three decades around what
# amplifiers record in sleep (EEG 5-100 uV, EOG 5-300 uV, chin 1-100 uV, ECG 0.05-1 mV), so that of uV, mV and V
# at most one is plausible for nearly every value.
PLAUSIBLE_SD: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "eeg": (0.5, 1000.0),
        "eog": (0.5, 2000.0),
        "chin": (0.1, 1000.0),
        "reference": (0.1, 2000.0),
        "ecg": (0.005, 10.0),
    }
)
# No electrode gives more than this for most of a night (uV), unless it hums.
_LARGEST_SD_UV: Mapping[str, float] = MappingProxyType(
    {"eeg": 1000.0, "eog": 2000.0, "chin": 250.0, "reference": 5000.0, "ecg": 5000.0}
)
# No converter for electrodes ends below or above these (uV).
_SMALLEST_RANGE_UV, _LARGEST_RANGE_UV = 20.0, 1e5
_GUESSES = ("uV", "mV", "V")


@dataclass(frozen=True)
class Conversion:
    """How samples get into the stored unit: multiply by `factor`. `doubt` is for a person to read, or None."""

    factor: float
    step: str
    doubt: str | None = None


def conversion_of(signal: Signal, samples_T: NDArray[np.float32], kind: str) -> Conversion:
    """The factor from the header's unit to the stored one, checked against what the samples look like.

    A header without a unit, or with one that is no voltage, is decided by plausibility. A header's voltage is
    overruled only where its numbers are impossible, and that is said in `doubt`.

    Args:
        signal: The channel.
        samples_T: (T,) its samples in the header's unit, NaN in gaps.
        kind: Kind of channel (see cohorts/generic.yaml).
    """
    if kind == "spo2":
        return _percent(signal, samples_T)
    if kind == "heart_rate":
        return _beats_per_minute(signal, samples_T)
    if kind == "actigraphy":
        return _acceleration(signal)
    target = UNIT_OF_KIND.get(kind)
    if target is None:
        return Conversion(1.0, f"gain arbitrary ({signal.unit.strip() or 'no unit'} in the file)")
    stated, written = factor_between(signal.unit, target), signal.unit.strip()
    sd = typical_sd(samples_T, signal.rate_hz)
    low, high = PLAUSIBLE_SD[kind]
    guesses = {unit: factor for unit in _GUESSES if (factor := factor_between(unit, target)) is not None}
    fitting = [unit for unit, factor in guesses.items() if low <= sd * factor <= high and _has_range(signal, unit)]
    if stated is None:
        said = f"unit {written!r} is no voltage" if written else "no unit in the header"
        if fitting:
            step = f"{said}: taken as {fitting[0]} because the amplitude fits"
            return Conversion(guesses[fitting[0]], step, f"{signal.label.strip()}: {step}")
        step = f"{said} and no voltage fits the amplitude: taken as uV"
        return Conversion(guesses["uV"], step, f"{signal.label.strip()}: {step}")
    if fitting and _impossible(signal, samples_T, sd, kind):
        step = f"header says {written}, which the amplitude rules out: taken as {fitting[0]}"
        return Conversion(guesses[fitting[0]], step, f"{signal.label.strip()}: {step}")
    return Conversion(stated, f"{written} to {target}" if stated != 1.0 else target)


def _has_range(signal: Signal, unit: str) -> bool:
    """Whether the header's range would be one of a converter, were it in `unit`."""
    if signal.physical_range is None or signal.physical_range[0] == signal.physical_range[1]:
        return True
    reach = max(abs(bound) for bound in signal.physical_range)
    return reach * (factor_between(unit, "uV") or 1.0) >= _SMALLEST_RANGE_UV


def _impossible(signal: Signal, samples_T: NDArray[np.float32], sd: float, kind: str) -> bool:
    """Whether the header's voltage cannot be: its converter's range is none, or no electrode gives so much.

    An input that hums may give anything, and is left in its unit for the detectors of quality to reject.
    """
    uv_per_unit = factor_between(signal.unit, "uV") or 1.0
    if signal.physical_range is not None:
        reach_uv = max(abs(bound) for bound in signal.physical_range) * uv_per_unit
        if 0 < reach_uv < _SMALLEST_RANGE_UV:
            return True
        # An ECG or a reference may be large; the range has to speak against the header as well.
        if kind in ("ecg", "reference") and reach_uv < _LARGEST_RANGE_UV:
            return False
    return sd * uv_per_unit > _LARGEST_SD_UV[kind] and not _hums(samples_T, signal.rate_hz)


def _hums(samples_T: NDArray[np.float32], rate_hz: float, most_blocks: int = 20) -> bool:
    """Whether at least half of the power above 0.5 Hz is at 50 or 60 Hz."""
    length = int(2 * rate_hz)
    if rate_hz < 105 or len(samples_T) < length:
        return False
    starts = np.unique(np.linspace(0, len(samples_T) - length, most_blocks).astype(np.int64))
    blocks_BS = samples_T[starts[:, None] + np.arange(length)].astype(np.float64)
    blocks_BS = blocks_BS[np.isfinite(blocks_BS).all(axis=1)]
    power_BF = np.abs(np.fft.rfft((blocks_BS - blocks_BS.mean(axis=1, keepdims=True)) * np.hanning(length))) ** 2
    hz = np.fft.rfftfreq(length, 1 / rate_hz)
    mains = (np.abs(hz - 50) <= 1.5) | (np.abs(hz - 60) <= 1.5)
    return bool(power_BF[:, mains].sum() > 0.5 * power_BF[:, hz > 0.5].sum())


def typical_sd(samples_T: NDArray[np.float32], rate_hz: float, most_blocks: int = 60) -> float:
    """Median over blocks of 30 s of the standard deviation around the block's straight line; 0 for no samples."""
    length = min(len(samples_T), max(2, int(30 * rate_hz)))
    if length < 2:
        return 0.0
    starts = np.unique(np.linspace(0, len(samples_T) - length, most_blocks).astype(np.int64))
    time = np.linspace(-1.0, 1.0, length)
    deviations = []
    for start in starts:
        block = samples_T[start : start + length].astype(np.float64)
        if not np.isfinite(block).all():
            continue
        block -= block.mean()
        block -= time * (time @ block) / (time @ time)
        deviations.append(block.std())
    # A channel that is dead for half the night must not look like another unit.
    alive = [deviation for deviation in deviations if deviation > 0]
    return float(np.median(alive)) if alive else 0.0


def _acceleration(signal: Signal) -> Conversion:
    written = signal.unit.strip()
    factor = g_per_unit(written)
    if factor is None:
        return Conversion(1.0, "no unit in the header")
    return Conversion(factor, "g" if factor == 1.0 else f"{written} to g")


def _percent(signal: Signal, samples_T: NDArray[np.float32]) -> Conversion:
    known = samples_T[np.isfinite(samples_T)]
    # Dropouts are written as 0, so the upper values tell a fraction from a percentage.
    if known.size and 0.5 < np.percentile(known[:: len(known) // 10_000 + 1], 90) <= 1.05:
        step = "a fraction: multiplied by 100 to be %"
        return Conversion(100.0, step, f"{signal.label.strip()}: {step}")
    return Conversion(1.0, "%")


def _beats_per_minute(signal: Signal, samples_T: NDArray[np.float32]) -> Conversion:
    known = samples_T[np.isfinite(samples_T) & (samples_T > 0)]
    if known.size and 0.4 < np.median(known) < 4.0:
        step = "beats per second: multiplied by 60"
        return Conversion(60.0, step, f"{signal.label.strip()}: {step}")
    return Conversion(1.0, "beats per minute")
