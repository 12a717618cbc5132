"""Heart beats in an ECG or a pulse wave.

Letters: T samples at the recording's rate, K beats.
"""

from dataclasses import dataclass, replace

import numpy as np
import soxr
from numpy.typing import NDArray
from scipy import signal
from scipy.ndimage import maximum_filter1d, median_filter

from sleep2vec.harmonization.beat_shape import Beats, placed, tops
from sleep2vec.harmonization.intervals import SHORTEST_S, intervals_of

# Below this rate the detector is not at its best (its documentation) and samples are too far apart to place a beat;
# such a signal is interpolated (soxr) to at least `_FINE_HZ`.
_LEAST_RATE_HZ, _FINE_HZ = 100.0, 250.0
# Shares of the usual peak nearby (ours): noise at 10 dB stays below 0.15, a ventricular beat may reach only 0.4.
_LOW, _NO_BEAT, _PASSED_OVER = 0.5, 0.25, 0.3
# T waves stand 0.2-0.45 s behind the R peak (QT is 0.35-0.45 s), P waves up to 0.25 s before it.
_T_WAVE_S, _P_WAVE_S = 0.45, 0.25
# A part in which more than this share of the marks is low is searched again, backward (ours).
_MOST_DOUBT = 0.05
# Below this score of a reading (share of sound beats times share of time in accepted intervals) another one is tried,
# and taken where it scores more by the second number (ours).
_GOOD_READING, _CLEARLY_BETTER = 0.92, 0.02
# An ECG is upside down when its swings down exceed those up by this factor; where R and S are about equal it stays as
# it was recorded (ours).
_UPSIDE_DOWN = 1.25
# Half the length of a pulse wave's shape and how far from its highest sample it may be placed, s: its upstroke and top,
# which err least on drawn waves at 10 dB among four lengths and nine bands tried.
_PPG_HALF_S, _PPG_REACH_S, _PPG_LEAST_HZ = 0.2, 0.12, 64.0
# Share of the height nearby that parts a pulse from the diastolic wave; a premature beat's pulse may reach only 0.3-0.4
# (of 0.5, 0.4, 0.3 and 0.2, drawn waves at 10 dB lose least by 0.3).
_PPG_LOW = 0.3


@dataclass(frozen=True)
class _Reading:
    """How QRS complexes of a width are looked for.

    Attributes:
        band_hz: Where they stand out.
        haste: How many times faster than in truth time runs for the detector, whose own band is 5-30 Hz.
        half_s, reach_s: Half the length of their shape, and how far from its top a beat may be placed.
    """

    band_hz: tuple[float, float]
    haste: float
    half_s: float
    reach_s: float


# QRS complexes of 0.12 s and more (bundle branch block, ventricular pacing) have their power below 8 Hz.
_NARROW = _Reading((5.0, 30.0), 1.0, 0.08, 0.03)
_BROAD = _Reading((2.0, 20.0), 2.0, 0.12, 0.04)


def beats_of_ecg(ecg_T: NDArray[np.float32], hole_T: NDArray[np.bool_], rate_hz: float) -> Beats:
    """Find R peaks, of either polarity, to a fraction of a sample.

    The detector is sleepecg's (a Pan-Tompkins relative, filtered without delay). What it marks is corrected: marks on T
    waves and on noise are dropped, beats that it passed over are added, and each beat is placed by its whole shape.
    Where that leaves little, QRS complexes may be broad: they are looked for in a lower band.

    Args:
        ecg_T: (T,) without NaN.
        hole_T: (T,) where nothing is to be found (gaps, bad tokens); each stretch between is searched alone.
        rate_hz: the recording's own rate.
    """
    if rate_hz < _LEAST_RATE_HZ:
        ecg_T, hole_T, rate_hz = _interpolated(ecg_T, hole_T, rate_hz)
    beats = _read(ecg_T, hole_T, rate_hz, _NARROW)
    searched_s = float((~hole_T).sum() / rate_hz)
    score = _score(beats, searched_s)
    if score < _GOOD_READING:
        broad = _read(ecg_T, hole_T, rate_hz, _BROAD)
        if _score(broad, searched_s) > score + _CLEARLY_BETTER:
            return broad
    return beats


def _read(ecg_T: NDArray[np.float32], hole_T: NDArray[np.bool_], rate_hz: float, reading: _Reading) -> Beats:
    sections = signal.butter(2, reading.band_hz, "bandpass", fs=rate_hz, output="sos")
    band_T = np.ascontiguousarray(signal.sosfiltfilt(sections, ecg_T))
    up, down = _swings(band_T, hole_T, rate_hz)
    if down > up:
        # One polarity for the whole recording: where R and S are equal, it must not change from beat to beat.
        band_T *= -1.0
    found = [
        start + _marks_of_part(band_T[start:end], keep, rate_hz, reading.haste)
        for stretch_start, stretch_end in _stretches(~hole_T, int(5 * rate_hz))
        for start, keep, end in _parts(stretch_start, stretch_end, rate_hz)
    ]
    marks = np.concatenate(found) if found else np.zeros(0, dtype=np.int64)
    peaks = tops(band_T, marks, max(1, round(0.05 * rate_hz)))
    return replace(placed(band_T, peaks, rate_hz, reading.half_s, reading.reach_s), upright=down <= _UPSIDE_DOWN * up)


def _score(beats: Beats, searched_s: float) -> float:
    """Share of beats that look like beats times share of the time in accepted intervals, 0 to 1."""
    if len(beats.sound) == 0 or searched_s <= 0:
        return 0.0
    return float(beats.sound.mean() * intervals_of(beats)[1].sum() / searched_s)


def _interpolated(
    samples_T: NDArray[np.float32], hole_T: NDArray[np.bool_], rate_hz: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_], float]:
    """The same signal at the first multiple of its rate that is at least `_FINE_HZ`."""
    times = int(np.ceil(_FINE_HZ / rate_hz))
    fine_T = soxr.resample(samples_T, rate_hz, times * rate_hz, quality="HQ")
    n = min(len(fine_T), times * len(samples_T))
    return fine_T[:n], np.repeat(hole_T, times)[:n], times * rate_hz


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


def _marks_of_part(part_T: NDArray[np.float64], n_lead: int, rate_hz: float, haste: float) -> NDArray[np.int64]:
    """Marks of beats in a part of the band-passed ECG, without those in the first `n_lead` samples.

    The detector's threshold follows what it meets first. Where its marks look doubtful, the part is read backward, so
    that it meets something else first, and the better reading is taken.
    """
    block = int(2 * rate_hz)
    n_blocks = len(part_T) // block
    highest_B = part_T[: n_blocks * block].reshape(n_blocks, block).max(axis=1)
    typical = float(np.median(highest_B)) if n_blocks else 0.0
    if typical <= 0:
        return np.zeros(0, dtype=np.int64)
    # The detector's threshold starts at a quarter of the largest swing and follows what exceeds it. So what is
    # too large for a beat is taken out, and a large beat may not exceed the usual one by much.
    margin = max(1, int(0.2 * rate_hz))
    artefact_T = maximum_filter1d(np.abs(part_T) > 6.0 * typical, 2 * margin + 1)
    even_T = np.where(artefact_T, 0.0, np.clip(part_T, -1.5 * typical, 1.5 * typical))
    if not even_T.any():
        return np.zeros(0, dtype=np.int64)
    # The usual peak of the half minute around: an electrode that dries lowers beats without making them doubtful.
    usual_T = np.repeat(median_filter(highest_B, 15, mode="nearest"), block)
    usual_T = np.concatenate([usual_T, np.full(len(part_T) - len(usual_T), usual_T[-1])])
    marks = _detected(even_T, rate_hz, haste)
    doubt = _doubt(even_T, marks, usual_T, rate_hz)
    if doubt > _MOST_DOUBT:
        backward = len(part_T) - 1 - _detected(np.ascontiguousarray(even_T[::-1]), rate_hz, haste)[::-1]
        if _doubt(even_T, backward, usual_T, rate_hz) < doubt:
            marks = backward
    marks = _without_waves(even_T, marks[even_T[marks] > _NO_BEAT * usual_T[marks]], rate_hz)
    marks = _with_passed_over(even_T, marks, usual_T, rate_hz)
    return marks[marks >= n_lead]


def _detected(even_T: NDArray[np.float64], rate_hz: float, haste: float) -> NDArray[np.int64]:
    from sleepecg import detect_heartbeats

    marks: NDArray[np.int64] = detect_heartbeats(even_T, haste * rate_hz)
    # Half of the shortest interval: a mark on the wrong side of a complex, or on the wave behind it, moves to its top.
    return tops(even_T, marks, max(1, round(SHORTEST_S / 2 * rate_hz)))


def _doubt(
    even_T: NDArray[np.float64], marks: NDArray[np.int64], usual_T: NDArray[np.float64], rate_hz: float
) -> float:
    """Share of marks that are low for a beat, plus the share of the time in gaps of over two seconds; 0 is best."""
    if marks.size == 0:
        return 2.0
    low = float((even_T[marks] < _LOW * usual_T[marks]).mean())
    gaps = np.diff(np.concatenate([[0], marks, [len(even_T)]]))
    return low + float(gaps[gaps > 2 * rate_hz].sum() / len(even_T))


def _without_waves(even_T: NDArray[np.float64], marks: NDArray[np.int64], rate_hz: float) -> NDArray[np.int64]:
    """Drop marks on T and P waves: close behind or before one that is more than twice as high.

    Pan & Tompkins, IEEE TBME 32 (1985), compare slopes; in a band-passed ECG heights say the same.
    """
    if marks.size < 2:
        return marks
    heights, gaps = even_T[marks], np.diff(marks)
    is_wave = np.zeros(len(marks), dtype=bool)
    is_wave[1:] |= (gaps < _T_WAVE_S * rate_hz) & (heights[1:] < _LOW * heights[:-1])
    is_wave[:-1] |= (gaps < _P_WAVE_S * rate_hz) & (heights[:-1] < _LOW * heights[1:])
    return marks[~is_wave]


def _with_passed_over(
    even_T: NDArray[np.float64], marks: NDArray[np.int64], usual_T: NDArray[np.float64], rate_hz: float
) -> NDArray[np.int64]:
    """Add the peaks in a long gap that are too high for noise and stand where no T wave does."""
    edges = np.concatenate([[0], marks, [len(even_T) - 1]])
    gaps = np.diff(edges)
    usual_gap = float(np.median(np.diff(marks))) if len(marks) > 2 else rate_hz
    apart, behind = int(SHORTEST_S * rate_hz), int(_T_WAVE_S * rate_hz)
    added = []
    for gap in np.flatnonzero(gaps > max(1.4 * usual_gap, apart + behind + 2)):
        first, last = edges[gap] + behind, edges[gap + 1] - apart
        inside, _ = signal.find_peaks(even_T[first:last], distance=apart)
        added.append(first + inside[even_T[first + inside] > _PASSED_OVER * usual_T[first + inside]])
    return np.sort(np.concatenate([marks, *added])) if added else marks


def beats_of_ppg(ppg_T: NDArray[np.float32], hole_T: NDArray[np.bool_], rate_hz: float) -> Beats:
    """Find pulse peaks in a photoplethysmogram (0.5-8 Hz, at least 0.3 s apart, over 0.3 of the height nearby).

    Args:
        ppg_T: (T,) without NaN.
        hole_T: (T,) where nothing is to be found.
        rate_hz: the recording's own rate.
    """
    sections = signal.butter(2, (0.5, min(8.0, 0.45 * rate_hz)), "bandpass", fs=rate_hz, output="sos")
    # Eight samples a wave of 8 Hz are enough to place a beat between them.
    step = max(1, int(rate_hz / _PPG_LEAST_HZ))
    band_T = np.ascontiguousarray(signal.sosfiltfilt(sections, ppg_T)[::step])
    hole_T, rate_hz = hole_T[::step], rate_hz / step
    marks, _ = signal.find_peaks(band_T, distance=max(1, int(SHORTEST_S * rate_hz)))
    marks = marks[~hole_T[marks]]
    if marks.size:
        # The median of maxima ignores a jolt.
        highest = maximum_filter1d(band_T[marks], 3, mode="nearest")
        marks = marks[band_T[marks] > _PPG_LOW * median_filter(highest, 11, mode="nearest")]
    return placed(band_T, tops(band_T, marks, 1), rate_hz, _PPG_HALF_S, _PPG_REACH_S)


def _swings(band_T: NDArray[np.float64], hole_T: NDArray[np.bool_], rate_hz: float) -> tuple[float, float]:
    """How far beats usually swing up and down: medians of the extremes of two seconds each."""
    block = int(2 * rate_hz)
    usable_T = np.where(hole_T, 0.0, band_T)[: len(band_T) // block * block].reshape(-1, block)
    if usable_T.size == 0:
        return 0.0, 0.0
    return float(np.median(usable_T.max(axis=1))), float(np.median(-usable_T.min(axis=1)))


def _stretches(good_T: NDArray[np.bool_], shortest: int) -> list[tuple[int, int]]:
    turns = np.flatnonzero(np.diff(np.concatenate([[False], good_T, [False]]))).reshape(-1, 2)
    return [(int(start), int(end)) for start, end in turns if end - start >= shortest]
