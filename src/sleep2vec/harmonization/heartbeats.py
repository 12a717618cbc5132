"""Heart beats and the intervals between them.

Letters: T samples at the recording's rate, K beats, N samples at the stored rate.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import signal
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import maximum_filter1d, median_filter

# Intervals of 0.3-2.0 s (200-30 beats a minute): adult sinus rhythm in sleep with a wide margin (ours).
SHORTEST_S, LONGEST_S = 0.3, 2.0
_NEIGHBOURS = 11
# How far an interval may be from the median of its neighbours: 5.2 quartile deviations of such distances among 91 beats
# (Lipponen & Tarvainen, J Med Eng Technol 43 (2019)), which a single ectopic beat and its pause exceed in sinus rhythm
# and hardly anything in atrial fibrillation, whose intervals are irregular and right. The bounds are ours.
_DEVIATIONS, _WINDOW = 5.2, 91
_LEAST_OFF, _MOST_OFF = 0.12, 0.6
# A beat whose shape (+-80 ms) agrees less than this with the usual one of its few minutes is a jolt, or an ectopic beat
# from the ventricle; one that is this many times higher or lower is none either (ours).
_SHAPE_S, _LEAST_CORRELATION, _HEIGHT_FACTOR = 0.08, 0.85, 3.0
_BEATS_A_SHAPE = 300
# Intervals are interpolated across at most this long a stretch without accepted ones.
LONGEST_BRIDGE_S = 3.5


@dataclass(frozen=True, eq=False)
class Beats:
    """Heart beats in order.

    Attributes:
        times_s: (K,) of the R peak (pulse peak for PPG), from the first sample.
        heights: (K,) height of the peak in the band-passed signal.
        sound: (K,) whether the beat looks like its neighbours; no interval begins or ends at one that does not.
        upright: Whether the larger swing of a beat is up; an ECG whose electrodes were exchanged is not.
    """

    times_s: NDArray[np.float64]
    heights: NDArray[np.float64]
    sound: NDArray[np.bool_]
    upright: bool = True


def beats_of_ecg(ecg_T: NDArray[np.float32], hole_T: NDArray[np.bool_], rate_hz: float) -> Beats:
    """Find R peaks, of either polarity, to a fraction of a sample.

    The detector is sleepecg's (a Pan-Tompkins relative, filtered without delay); it marks the peak of the
    5-30 Hz band, and a parabola through three samples places it between them.

    Args:
        ecg_T: (T,) without NaN.
        hole_T: (T,) where nothing is to be found (gaps, bad tokens); each stretch between is searched alone.
        rate_hz: the recording's own rate.
    """
    sections = signal.butter(2, (5.0, min(30.0, 0.45 * rate_hz)), "bandpass", fs=rate_hz, output="sos")
    band_T = np.ascontiguousarray(signal.sosfiltfilt(sections, ecg_T))
    polarity = _polarity(band_T, hole_T, rate_hz)
    band_T *= polarity
    found = [
        start + _detect(band_T[start:end], int(keep), rate_hz)
        for stretch_start, stretch_end in _stretches(~hole_T, int(5 * rate_hz))
        for start, keep, end in _parts(stretch_start, stretch_end, rate_hz)
    ]
    marks = np.concatenate(found) if found else np.zeros(0, dtype=np.int64)
    return replace(_refine(band_T, marks, rate_hz, reach_s=0.05), upright=polarity > 0)


def _parts(start: int, end: int, rate_hz: float) -> list[tuple[int, int, int]]:
    """Cut a stretch into parts of five minutes, each with ten seconds in front for the detector to learn from.

    The detector's threshold may never recover from a misleading beginning; this bounds what that costs.

    Returns:
        (first sample, samples in front that are not to be kept, end) of each part.
    """
    length, lead = int(300 * rate_hz), int(10 * rate_hz)
    starts = range(start, max(start + 1, end - lead), length)
    ends = [*starts[1:], end]
    return [
        (max(start, own - lead), own - max(start, own - lead), stop) for own, stop in zip(starts, ends, strict=True)
    ]


def _detect(part: NDArray[np.float64], n_lead: int, rate_hz: float) -> NDArray[np.int64]:
    """Marks of beats in a part of the band-passed ECG, without those in the first `n_lead` samples."""
    from sleepecg import detect_heartbeats

    typical = _typical_peak(part, rate_hz)
    if typical <= 0:
        return np.zeros(0, dtype=np.int64)
    # The detector's threshold starts at a quarter of the largest swing and follows what exceeds it. So what is
    # too large for a beat is taken out, and a large beat may not exceed the usual one by much.
    margin = max(1, int(0.2 * rate_hz))
    artefact = maximum_filter1d(np.abs(part) > 6.0 * typical, 2 * margin + 1)
    even = np.where(artefact, 0.0, np.clip(part, -1.5 * typical, 1.5 * typical))
    if not even.any():
        return np.zeros(0, dtype=np.int64)
    marks: NDArray[np.int64] = detect_heartbeats(even, rate_hz)
    return marks[marks >= n_lead]


def beats_of_ppg(ppg_T: NDArray[np.float32], hole_T: NDArray[np.bool_], rate_hz: float) -> Beats:
    """Find pulse peaks in a photoplethysmogram (0.5-8 Hz, at least 0.3 s apart, over half of the height nearby).

    Args:
        ppg_T: (T,) without NaN.
        hole_T: (T,) where nothing is to be found.
        rate_hz: the recording's own rate.
    """
    sections = signal.butter(2, (0.5, min(8.0, 0.45 * rate_hz)), "bandpass", fs=rate_hz, output="sos")
    band_T = signal.sosfiltfilt(sections, ppg_T)
    marks, _ = signal.find_peaks(band_T, distance=max(1, int(SHORTEST_S * rate_hz)))
    marks = marks[~hole_T[marks]]
    if marks.size:
        # Half of what beats nearby reach parts them from the diastolic wave; the median of maxima ignores a jolt.
        highest = maximum_filter1d(band_T[marks], 3, mode="nearest")
        marks = marks[band_T[marks] > 0.5 * median_filter(highest, _NEIGHBOURS, mode="nearest")]
    return _refine(band_T, marks, rate_hz, reach_s=2.0 / rate_hz)


def _polarity(band_T: NDArray[np.float64], hole_T: NDArray[np.bool_], rate_hz: float) -> float:
    """1 where the larger swing of a beat is up, -1 where it is down."""
    block = int(2 * rate_hz)
    usable_T = np.where(hole_T, 0.0, band_T)[: len(band_T) // block * block].reshape(-1, block)
    if usable_T.size == 0:
        return 1.0
    return 1.0 if np.median(usable_T.max(axis=1)) >= np.median(-usable_T.min(axis=1)) else -1.0


def _typical_peak(stretch: NDArray[np.float64], rate_hz: float) -> float:
    block = int(2 * rate_hz)
    whole = stretch[: len(stretch) // block * block].reshape(-1, block)
    return float(np.median(whole.max(axis=1)))


def _stretches(good_T: NDArray[np.bool_], shortest: int) -> list[tuple[int, int]]:
    turns = np.flatnonzero(np.diff(np.concatenate([[False], good_T, [False]]))).reshape(-1, 2)
    return [(int(start), int(end)) for start, end in turns if end - start >= shortest]


def _refine(band_T: NDArray[np.float64], marks: NDArray[np.int64], rate_hz: float, reach_s: float) -> Beats:
    """Move each mark to the highest sample nearby, then to the top of the parabola through it."""
    reach = max(1, round(reach_s * rate_hz))
    marks = marks[(marks > reach) & (marks < len(band_T) - reach - 1)]
    if marks.size == 0:
        return Beats(np.zeros(0), np.zeros(0), np.zeros(0, dtype=bool))
    around = marks[:, None] + np.arange(-reach, reach + 1)
    peaks = np.unique(marks + band_T[around].argmax(axis=1) - reach)
    before, top, after = band_T[peaks - 1], band_T[peaks], band_T[peaks + 1]
    curvature = before - 2 * top + after
    # A mark at the edge of its window need not be a peak: its parabola opens upward.
    offset = np.where(curvature < 0, 0.5 * (before - after) / np.where(curvature < 0, curvature, -1.0), 0.0)
    return Beats((peaks + np.clip(offset, -0.5, 0.5)) / rate_hz, top, _is_sound(band_T, peaks, rate_hz))


def _is_sound(band_T: NDArray[np.float64], peaks: NDArray[np.int64], rate_hz: float) -> NDArray[np.bool_]:
    """(K,) which beats have the shape and about the height of the usual beat among those around them."""
    half = max(2, round(_SHAPE_S * rate_hz))
    sound = np.zeros(len(peaks), dtype=bool)
    for first in range(0, len(peaks), _BEATS_A_SHAPE):
        block = slice(first, first + _BEATS_A_SHAPE)
        around = np.clip(peaks[block, None] + np.arange(-half, half + 1), 0, len(band_T) - 1)
        shapes_KW = band_T[around]
        shapes_KW = shapes_KW - shapes_KW.mean(axis=1, keepdims=True)
        usual_W = np.median(shapes_KW, axis=0)
        sizes_K = np.sqrt((shapes_KW**2).sum(axis=1))
        usual_size = float(np.sqrt((usual_W**2).sum()))
        with np.errstate(divide="ignore", invalid="ignore"):
            correlation_K = shapes_KW @ usual_W / (sizes_K * usual_size)
            sound[block] = correlation_K >= _LEAST_CORRELATION
        sound[block] &= (sizes_K < _HEIGHT_FACTOR * usual_size) & (sizes_K > usual_size / _HEIGHT_FACTOR)
    return sound


def intervals_of(beats: Beats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Accepted intervals between neighbouring beats and where they stand.

    A beat that splits one interval of the usual length in two is dropped. An interval is left out that is implausible,
    that touches a beat which looks like none, or that is further from its neighbours' median than intervals nearby are
    wont to be (an ectopic beat and its pause, a missed beat).

    Returns:
        times_s: (I,) the middle of each interval, where a mean over it has no delay.
        intervals_s: (I,) its length.
    """
    kept = np.setdiff1d(np.arange(len(beats.times_s)), _extra_beats(beats.times_s))
    times_s, sound = beats.times_s[kept], beats.sound[kept]
    intervals_s = np.diff(times_s)
    possible = (intervals_s >= SHORTEST_S) & (intervals_s <= LONGEST_S) & sound[:-1] & sound[1:]
    if not possible.any():
        return np.zeros(0), np.zeros(0)
    # What is usual is learnt from these alone: jolts come in bursts and would outvote the beats.
    middles_s, intervals_s = (times_s[:-1] + intervals_s / 2)[possible], intervals_s[possible]
    usual_s = _running_median(intervals_s)
    off_s = intervals_s - usual_s
    accepted = np.abs(off_s) <= np.clip(_DEVIATIONS * _spread(off_s), _LEAST_OFF * usual_s, _MOST_OFF * usual_s)
    return middles_s[accepted], intervals_s[accepted]


def _spread(off_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quartile deviation among the `_WINDOW` values around each, (I,)."""
    if len(off_s) < _WINDOW:
        low, high = np.percentile(off_s, (25, 75))
        return np.full(len(off_s), (high - low) / 2)
    half = _WINDOW // 2
    views = np.lib.stride_tricks.sliding_window_view(np.pad(off_s, half, mode="reflect"), _WINDOW)
    ordered = np.partition(views, (_WINDOW // 4, 3 * _WINDOW // 4), axis=1)
    deviation: NDArray[np.float64] = (ordered[:, 3 * _WINDOW // 4] - ordered[:, _WINDOW // 4]) / 2
    return deviation


def _extra_beats(times_s: NDArray[np.float64]) -> NDArray[np.int64]:
    """Which beats split one interval of the usual length in two."""
    intervals_s = np.diff(times_s)
    if intervals_s.size < 3:
        return np.zeros(0, dtype=np.int64)
    usual_s = _running_median(intervals_s)
    pair_s = intervals_s[:-1] + intervals_s[1:]
    # Beat i + 1 stands inside what would be one usual interval.
    extra = (np.abs(pair_s - usual_s[:-1]) < 0.2 * usual_s[:-1]) & (
        np.minimum(intervals_s[:-1], intervals_s[1:]) < 0.7 * usual_s[:-1]
    )
    extra[1:] &= ~extra[:-1]
    return np.flatnonzero(extra) + 1


def _running_median(intervals_s: NDArray[np.float64]) -> NDArray[np.float64]:
    half = _NEIGHBOURS // 2
    padded = np.pad(intervals_s, half, mode="reflect" if len(intervals_s) > half else "edge")
    medians: NDArray[np.float64] = np.median(np.lib.stride_tricks.sliding_window_view(padded, _NEIGHBOURS), axis=1)
    return medians


def on_grid(
    times_s: NDArray[np.float64], values: NDArray[np.float64], grid_times_N: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Values that stand at irregular times, laid on a grid by a monotone cubic (PCHIP), which cannot overshoot.

    Returns:
        (N,) float32; NaN before the first and after the last value by more than `LONGEST_BRIDGE_S` / 2, and
        between values further apart than `LONGEST_BRIDGE_S`.
    """
    laid_N = np.full(len(grid_times_N), np.nan, dtype=np.float32)
    if len(times_s) < 2:
        return laid_N
    inside_N = (grid_times_N >= times_s[0] - LONGEST_BRIDGE_S / 2) & (
        grid_times_N <= times_s[-1] + LONGEST_BRIDGE_S / 2
    )
    # Outside the first and last value the nearest one stands.
    within = np.clip(grid_times_N[inside_N], times_s[0], times_s[-1])
    laid_N[inside_N] = PchipInterpolator(times_s, values)(within)
    after = np.searchsorted(times_s, grid_times_N)
    gap_N = (after > 0) & (after < len(times_s))
    gap_N[gap_N] = np.diff(times_s)[after[gap_N] - 1] > LONGEST_BRIDGE_S
    laid_N[gap_N] = np.nan
    return laid_N
