"""Where a beat stands, told by its whole shape, and whether it looks like a beat at all.

Letters: T samples, K beats, W samples of a beat.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# A beat whose shape agrees less than this with the usual one of its few minutes is a jolt, or an ectopic beat from the
# ventricle; one that is this many times higher or lower is none either (ours).
_LEAST_CORRELATION, _HEIGHT_FACTOR = 0.85, 3.0
_BEATS_A_SHAPE = 300
# How far a beat moves when the shape is drawn a second time, samples (ours).
_SECOND_REACH = 3
# No heart beats twice within 0.2 s (Pan & Tompkins, IEEE TBME 32 (1985)).
_REFRACTORY_S = 0.2


@dataclass(frozen=True, eq=False)
class Beats:
    """Heart beats in order.

    Attributes:
        times_s: (K,) of the R peak (pulse peak for PPG), from the first sample.
        heights: (K,) height of the peak in the band-passed signal.
        sound: (K,) whether the beat looks like its neighbours; no interval begins or ends at one that does not.
        upright: False where the swings of a beat are clearly larger downward: an ECG whose electrodes were exchanged.
    """

    times_s: NDArray[np.float64]
    heights: NDArray[np.float64]
    sound: NDArray[np.bool_]
    upright: bool = True


def tops(band_T: NDArray[np.float64], marks: NDArray[np.int64], reach: int) -> NDArray[np.int64]:
    """The highest sample within `reach` samples of each mark, each once; marks at the very ends are left out."""
    marks = marks[(marks > reach) & (marks < len(band_T) - reach - 1)]
    if marks.size == 0:
        return marks
    around = marks[:, None] + np.arange(-reach, reach + 1)
    peaks: NDArray[np.int64] = np.unique(marks + band_T[around].argmax(axis=1) - reach)
    return peaks


def placed(
    band_T: NDArray[np.float64], peaks: NDArray[np.int64], rate_hz: float, half_s: float, reach_s: float
) -> Beats:
    """Move each beat to where it agrees best with the usual beat around it, to a fraction of a sample.

    The delay of the largest correlation with a known shape is the best estimate of a time in white noise (matched
    filter; Turin, IRE Trans Inf Theory 6 (1960)); a parabola through three of its samples places it between them. The
    highest sample alone errs twice as much on a pulse wave, whose top is flat.

    Args:
        band_T: (T,) band-passed signal, larger swing up.
        peaks: (K,) highest sample of each beat, in order.
        rate_hz: Of the signal.
        half_s: Half of the length of the shape, s.
        reach_s: How far from its highest sample a beat may be placed, s.
    """
    half, reach = max(2, round(half_s * rate_hz)), max(2, round(reach_s * rate_hz))
    times, heights = np.zeros(len(peaks)), np.zeros(len(peaks))
    sound = np.zeros(len(peaks), dtype=bool)
    for first in range(0, len(peaks), _BEATS_A_SHAPE):
        block = slice(first, first + _BEATS_A_SHAPE)
        times[block], heights[block], sound[block] = _placed_block(band_T, peaks[block], half, reach)
    kept = _apart(times / rate_hz, heights)
    return Beats(times[kept] / rate_hz, heights[kept], sound[kept])


def _apart(times_s: NDArray[np.float64], heights: NDArray[np.float64]) -> NDArray[np.int64]:
    """Which beats to keep, in order of time: of two closer than `_REFRACTORY_S` the higher one."""
    kept: NDArray[np.int64] = np.argsort(times_s, kind="stable")
    while True:
        close = np.flatnonzero(np.diff(times_s[kept]) < _REFRACTORY_S)
        if close.size == 0:
            return kept
        # One of each run of close pairs at a time.
        close = close[np.diff(close, prepend=-2) > 1]
        kept = np.delete(kept, close + (heights[kept[close]] > heights[kept[close + 1]]))


def _placed_block(
    band_T: NDArray[np.float64], peaks_K: NDArray[np.int64], half: int, reach: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Times in samples, heights and soundness of beats that share one usual shape."""
    usual_W = _usual(band_T, peaks_K, half)
    places_K = peaks_K + _agreement(band_T, peaks_K, usual_W, reach).argmax(axis=1) - reach
    # Again: the median of beats that are aligned is sharper than that of their highest samples.
    usual_W = _usual(band_T, places_K, half)
    agreement_KR = _agreement(band_T, places_K, usual_W, _SECOND_REACH)
    best_K = np.clip(agreement_KR.argmax(axis=1), 1, 2 * _SECOND_REACH - 1)
    places_K = places_K + best_K - _SECOND_REACH
    own_K = np.arange(len(best_K))
    times_K = places_K + _summit(*(agreement_KR[own_K, best_K + move] for move in (-1, 0, 1)))
    # The shape's own top is what the time means, whichever beats the shape is the median of.
    top = int(np.clip(usual_W[half - half // 2 : half + half // 2 + 1].argmax() + half - half // 2, 1, 2 * half - 1))
    times_K += top - half + float(_summit(*usual_W[top - 1 : top + 2, None])[0])
    around_KW = _windows(band_T, places_K, half)
    size = float(np.sqrt((usual_W**2).sum()))
    sizes_K = np.sqrt((around_KW**2).sum(axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        sound_K = around_KW @ usual_W / (sizes_K * size) >= _LEAST_CORRELATION
        heights_K = np.nan_to_num(around_KW @ usual_W / size**2 * usual_W[top])
    sound_K &= (sizes_K < _HEIGHT_FACTOR * size) & (sizes_K > size / _HEIGHT_FACTOR)
    return times_K, heights_K, sound_K


def _windows(band_T: NDArray[np.float64], places_K: NDArray[np.int64], half: int) -> NDArray[np.float64]:
    around: NDArray[np.float64] = band_T[np.clip(places_K[:, None] + np.arange(-half, half + 1), 0, len(band_T) - 1)]
    return around


def _usual(band_T: NDArray[np.float64], places_K: NDArray[np.int64], half: int) -> NDArray[np.float64]:
    """(W,) median of every third beat, a hundred of a full block: enough, and a median is dear."""
    shapes_KW = _windows(band_T, places_K[:: 3 if len(places_K) > 30 else 1], half)
    usual: NDArray[np.float64] = np.median(np.ascontiguousarray(shapes_KW.T), axis=1)
    return usual


def _agreement(
    band_T: NDArray[np.float64], places_K: NDArray[np.int64], usual_W: NDArray[np.float64], reach: int
) -> NDArray[np.float64]:
    """(K, 2 * reach + 1) product of the usual shape with each beat, moved by -reach to +reach samples."""
    width = len(usual_W)
    around = _windows(band_T, places_K, width // 2 + reach)
    return np.stack([around[:, move : move + width] @ usual_W for move in range(2 * reach + 1)], axis=1)


def _summit(before: NDArray[np.float64], top: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where the parabola through three samples has its top, from the middle one, within half a sample."""
    curvature = before - 2 * top + after
    # A middle that is no top has a parabola that opens upward.
    offset = np.where(curvature < 0, 0.5 * (before - after) / np.where(curvature < 0, curvature, -1.0), 0.0)
    return np.clip(offset, -0.5, 0.5)
