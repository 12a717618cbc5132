"""Intervals between heart beats: which are rhythm, and which come of a beat missed or one too many.

Letters: K beats, I intervals, N samples at the stored rate.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from sleep2vec.harmonization.beat_shape import Beats

# Intervals of 0.3-2.0 s (200-30 beats a minute): adult sinus rhythm in sleep with a wide margin (ours).
SHORTEST_S, LONGEST_S = 0.3, 2.0
_NEIGHBOURS = 11
# How far an interval may be from the median of its neighbours: 5.2 quartile deviations of such distances among 91 beats
# (Lipponen & Tarvainen, J Med Eng Technol 43 (2019)), which a single ectopic beat and its pause exceed in sinus rhythm
# and hardly anything in atrial fibrillation, whose intervals are irregular and right. The bounds are ours; a sigh
# changes an interval by up to a fifth.
_DEVIATIONS, _WINDOW = 5.2, 91
_LEAST_OFF, _MOST_OFF = 0.2, 0.6
# An interval that returns every 2 to 6 beats (2 is bigeminy, 3 to 6 are dropped beats of Wenckebach's kind) is rhythm:
# it is the same within this share of the usual one, at least three times among the four nearest returns (ours).
_PERIODS, _SAME, _RETURNS = (2, 3, 4, 5, 6), 0.1, 3
# Values are interpolated across at most this long a stretch without any.
LONGEST_BRIDGE_S = 3.5


def intervals_of(beats: Beats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Accepted intervals between neighbouring beats and where they stand.

    A beat that splits one interval of the usual length in two is dropped. An interval is left out that is implausible,
    that touches a beat which looks like none, or that is further from its neighbours' median than intervals nearby are
    wont to be (an ectopic beat and its pause, a missed beat) without returning every few beats, as those of a regular
    bigeminy or of regularly dropped beats do.

    Returns:
        times_s: (I,) the middle of each interval, where a mean over it has no delay.
        intervals_s: (I,) its length.
    """
    kept = np.setdiff1d(np.arange(len(beats.times_s)), _extra_beats(beats.times_s))
    times_s, sound = beats.times_s[kept], beats.sound[kept]
    intervals_s = np.diff(times_s)
    # Of two beats too close for a heart one is a jolt, and which is not known.
    close = intervals_s < SHORTEST_S
    sound[:-1] &= ~close
    sound[1:] &= ~close
    possible = (intervals_s >= SHORTEST_S) & (intervals_s <= LONGEST_S) & sound[:-1] & sound[1:]
    if not possible.any():
        return np.zeros(0), np.zeros(0)
    middles_s = times_s[:-1] + intervals_s / 2
    # What is usual is learnt from these alone: jolts come in bursts and would outvote the beats.
    usual_s = _running_median(intervals_s[possible])
    off_s = intervals_s[possible] - usual_s
    accepted = possible.copy()
    accepted[possible] = np.abs(off_s) <= np.clip(
        _DEVIATIONS * _spread(off_s), _LEAST_OFF * usual_s, _MOST_OFF * usual_s
    )
    accepted |= possible & _returns(np.where(possible, intervals_s, np.nan))
    return middles_s[accepted], intervals_s[accepted]


def _returns(intervals_s: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(I,) which intervals come back every few beats; NaN never does."""
    n, most = len(intervals_s), 2 * max(_PERIODS)
    padded = np.pad(intervals_s, most, constant_values=np.nan)
    returned = np.zeros(n, dtype=bool)
    for period in _PERIODS:
        at = [padded[most + move : most + move + n] for move in (-2 * period, -period, period, 2 * period)]
        same = sum((np.abs(other - intervals_s) <= _SAME * intervals_s).astype(int) for other in at)
        returned |= same >= _RETURNS
    return returned


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


def intervals_on_grid(beats: Beats, grid_times_N: NDArray[np.float64]) -> NDArray[np.float32]:
    """Accepted intervals (s) at the times of a grid, (N,) float32.

    NaN outside of every accepted interval: time whose beats are missing, odd or out of rhythm is unknown, not bridged,
    so that it counts against the share of a token that is known.
    """
    middles_s, intervals_s = intervals_of(beats)
    laid_N = on_grid(middles_s, intervals_s, grid_times_N)
    if len(middles_s):
        starts_s, ends_s = middles_s - intervals_s / 2, middles_s + intervals_s / 2
        last_N = np.searchsorted(starts_s, grid_times_N + 1e-9, side="right") - 1
        inside_N = (last_N >= 0) & (grid_times_N <= ends_s[np.maximum(last_N, 0)] + 1e-9)
        laid_N[~inside_N] = np.nan
    return laid_N


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
