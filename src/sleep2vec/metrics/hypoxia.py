"""How much oxygen a night lacked: time below a saturation, and the hypoxic burden of respiratory events.

Letters: N samples, L tokens of 30 s, E events, W samples of a window.

References:
    Azarbarzin et al. (2019), European Heart Journal 40:1149-1157 (hypoxic burden).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sleep2vec.metrics.desaturations import readable_spo2
from sleep2vec.metrics.event_stages import Timed, asleep, in_sleep, sleep_hours
from sleep2vec.vocabulary.errors import UsageError
from sleep2vec.vocabulary.modalities import TOKEN_SECONDS

BASELINE_S = 100.0
"""The saturation before an event is the highest of this long before its end (Azarbarzin et al.)."""
REACH_S = 120.0
"""The mean course of the saturation is looked at this far before and after the ends of events."""
_SMOOTH_S = 15.0
_PEAK_SHARE = 1 / 3
_LEAST_READABLE = 0.5  # of an event's window and of its baseline; with less its area is not known


@dataclass(frozen=True)
class HypoxicBurden:
    """The hypoxic burden, and what it was computed from.

    Attributes:
        percent_min_per_hour: Area under the desaturations of respiratory events per hour of sleep. None without sleep,
            or when no event could be measured; 0 when there was none.
        window_s: This person's window around the end of an event; None when no event could be measured.
        n_events: Events in sleep.
        n_measured: Those whose saturation could be read; the others are taken to be like them.
    """

    percent_min_per_hour: float | None
    window_s: tuple[float, float] | None
    n_events: int
    n_measured: int


def time_below(
    spo2_N: ArrayLike,
    stages_L: ArrayLike,
    valid_N: ArrayLike | None = None,
    *,
    below_percent: float = 90.0,
    rate_hz: int = 4,
) -> float | None:
    """Share of readable sleep, in %, with a saturation below `below_percent`: T90 with 90.

    Args:
        spo2_N, valid_N: see `desaturations.readable_spo2`; sample 0 is the first of token 0.
        stages_L: (L,) codes, NaN where unscored.
        below_percent: a saturation of just this much is not below.
        rate_hz: of the samples, N = 30 L rate_hz.

    Returns:
        0 to 100, None without readable sleep. Times the hours of sleep it is a time.

    Raises:
        UsageError: the saturation and the hypnogram have different lengths.
    """
    slept_N = np.repeat(asleep(stages_L), TOKEN_SECONDS * rate_hz)
    spo2 = _on_grid(spo2_N, valid_N, slept_N)
    read = spo2[slept_N & np.isfinite(spo2)]
    return 100 * float(np.mean(read < below_percent)) if read.size else None


def hypoxic_burden(
    events: Sequence[Timed],
    spo2_N: ArrayLike,
    stages_L: ArrayLike,
    valid_N: ArrayLike | None = None,
    *,
    rate_hz: int = 4,
    grid_start_s: float = 0.0,
) -> HypoxicBurden:
    """The hypoxic burden of Azarbarzin et al. (2019).

    1. The saturation from 120 s before to 120 s after the end of every event is averaged over the events.
    2. The mean course is smoothed (ours: a moving mean of 15 s). From its lowest point at or after the end, the window
       reaches back to the peak before it and on to the peak after it: one person's own delay and length of a
       desaturation. (Ours: the nearest peak that has made a third of the rise to the highest, so that a ripple at the
       bottom is none.)
    3. An event's baseline is its highest saturation in the 100 s before its end.
    4. Its burden is the area between baseline and saturation within the window, where the saturation is lower.
    5. The sum over events, in % min, is divided by the hours of sleep.

    Ours: samples that cannot be read have the mean of the rest of the window; an event of which less than half can be
    read is left out and taken to be like the others. As in the paper, where events follow one another within the
    window, both count what lies in it.

    Args:
        events: apneas and hypopneas, times from the start of the recording; those without a part in sleep are left out.
            The rule for hypopneas matters: name it beside the number.
        spo2_N, valid_N: see `desaturations.readable_spo2`; sample 0 is the first of token 0.
        stages_L: (L,) codes, NaN where unscored; say beside the number which hypnogram it was.
        rate_hz: of the samples, N = 30 L rate_hz.
        grid_start_s: when token 0 begins, from the start of the recording.

    Raises:
        UsageError: the saturation and the hypnogram have different lengths.
    """
    slept_N = np.repeat(asleep(stages_L), TOKEN_SECONDS * rate_hz)
    spo2 = _on_grid(spo2_N, valid_N, slept_N)
    hours = sleep_hours(stages_L)
    counted = in_sleep(events, stages_L, grid_start_s)
    if not hours or not counted:
        return HypoxicBurden(0.0 if hours else None, None, len(counted), 0)
    reach = round(REACH_S * rate_hz)
    ends_E = np.round((np.array([event.end_s for event in counted]) - grid_start_s) * rate_hz).astype(int)
    padded = np.pad(spo2, reach, constant_values=np.nan)
    around_EW = padded[np.clip(ends_E, 0, len(spo2) - 1)[:, None] + np.arange(2 * reach + 1)]
    first, last = _window(around_EW, reach, round(_SMOOTH_S * rate_hz))
    before_EW, window_EW = around_EW[:, reach - round(BASELINE_S * rate_hz) : reach + 1], around_EW[:, first : last + 1]
    measured_E = np.minimum(*(np.isfinite(part).mean(axis=1) for part in (before_EW, window_EW))) >= _LEAST_READABLE
    n_measured = int(np.count_nonzero(measured_E))
    if not n_measured:
        return HypoxicBurden(None, None, len(counted), 0)
    baseline_E1 = np.nanmax(before_EW[measured_E], axis=1, keepdims=True)
    lack_E = np.nanmean(np.clip(baseline_E1 - window_EW[measured_E], 0, None), axis=1)
    area_percent_min = float(lack_E.mean()) * (last - first) / rate_hz / 60
    window_s = ((first - reach) / rate_hz, (last - reach) / rate_hz)
    return HypoxicBurden(area_percent_min * len(counted) / hours, window_s, len(counted), n_measured)


def _window(around_EW: NDArray[np.float64], centre: int, smooth: int) -> tuple[int, int]:
    """First and last sample of the window, from the mean course of the saturation around the ends of events."""
    read_W = np.isfinite(around_EW).sum(axis=0)
    known = np.flatnonzero(read_W)
    if not known.size:
        return 0, len(read_W) - 1
    mean_W = np.nansum(around_EW, axis=0) / np.maximum(read_W, 1)
    # Where no event's saturation could be read the nearest known stands.
    course_W = _moving_mean(np.interp(np.arange(len(mean_W)), known, mean_W[known]), smooth)
    low = centre + int(course_W[centre:].argmin())
    return low - _steps_to_peak(course_W[low::-1]), low + _steps_to_peak(course_W[low:])


def _steps_to_peak(course_W: NDArray[np.float64]) -> int:
    """Samples from the first, the lowest, to the nearest peak; where none is, to the highest point."""
    level = course_W[0] + _PEAK_SHARE * (float(course_W.max()) - course_W[0])
    inner_W = course_W[1:-1]
    peaks = np.flatnonzero((inner_W > course_W[:-2]) & (inner_W >= course_W[2:]) & (inner_W >= level))
    return 1 + int(peaks[0]) if peaks.size else int(np.argmax(course_W))


def _moving_mean(course_W: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    half = width // 2
    padded = np.pad(course_W, half, mode="edge")
    return np.convolve(padded, np.full(2 * half + 1, 1 / (2 * half + 1)), mode="valid").round(
        6
    )  # a flat course is flat


def _on_grid(spo2_N: ArrayLike, valid_N: ArrayLike | None, slept_N: NDArray[np.bool_]) -> NDArray[np.float64]:
    spo2 = readable_spo2(spo2_N, valid_N)
    if spo2.shape != slept_N.shape:
        raise UsageError(
            f"{len(spo2)} samples of saturation do not fit a hypnogram that has room for {len(slept_N)}: give the rate "
            f"of the samples, and as many tokens of {TOKEN_SECONDS} s as they fill."
        )
    return spo2
