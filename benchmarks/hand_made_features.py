"""Real excerpts as features made by hand, for the baseline of `hand_made.py`.

What is in `heart_features`; for stages the measures of the Task Force in windows of 1 to 40 minutes; for apnea the
shape of the spectrum in windows of 2 to 10 minutes, with the minutes around. Absolute and against the night's own
median.

Reference:
    Task Force of the ESC and NASPE (1996), Heart rate variability: standards of measurement. Circulation 93:1043.

Dimension letters: K beats, T samples at 4 Hz, N epochs or minutes, W samples of a window, F features.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from heart_features import (
    RATE_HZ,
    apnea_features,
    intervals_on_grid,
    sound_intervals,
    watch_features,
)
from real_people import apnea_records, staged_beats, watch_nights

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

TASK_FORCE_HZ: Mapping[str, tuple[float, float]] = {
    "VLF": (0.003, 0.01),
    "cyclic": (0.01, 0.04),
    "LF": (0.04, 0.15),
    "HF": (0.15, 0.4),
}
"""The bands of the Task Force; of the very low frequencies those are apart in which breathing that stops and starts
again makes the heart go slow and fast (Guilleminault 1984)."""
STAGE_WINDOWS_S = (60, 150, 300, 600, 1200, 2400)
APNEA_WINDOWS_S = (120, 300, 600)
APNEA_EDGES_HZ = np.array([0.004, 0.009, 0.014, 0.019, 0.025, 0.032, 0.04, 0.052, 0.07, 0.1, 0.15, 0.2, 0.27, 0.4])
NEIGHBOURS_MIN = (-5, -3, -2, -1, 1, 2, 3, 5)


def in_windows(values_T: Floats, window_s: float, step_s: int) -> Floats:
    """(N,) means in a window about the middle of each step."""
    smooth_T = uniform_filter1d(values_T, max(1, round(window_s * RATE_HZ)), mode="nearest")
    return smooth_T[step_s * RATE_HZ // 2 :: step_s * RATE_HZ]


def banded(values_T: Floats, low_hz: float, high_hz: float) -> Floats:
    """What of a night lies in a band, (T,)."""
    hz = np.fft.rfftfreq(len(values_T), 1 / RATE_HZ)
    spectrum = np.fft.rfft(values_T - values_T.mean())
    return np.fft.irfft(np.where((hz >= low_hz) & (hz < high_hz), spectrum, 0), len(values_T))


def variability(
    rr_T: Floats, steps_T: Floats, windows_s: Sequence[float], step_s: int, bands: Sequence[str]
) -> dict[str, Floats]:
    """The Task Force's measures about each step, (N,) each: means in ms, the others as natural logarithms.

    Args:
        rr_T: intervals in ms.
        steps_T: squared differences between successive intervals, in ms^2.
        windows_s: lengths of windows, in s.
        bands: of `TASK_FORCE_HZ`; powers are in ms^2.
    """
    power_T = {name: banded(rr_T, *TASK_FORCE_HZ[name]) ** 2 for name in bands}
    away_T = rr_T - rr_T.mean()
    found: dict[str, Floats] = {}
    for window_s in windows_s:
        mean = in_windows(away_T, window_s, step_s)
        variance = np.maximum(in_windows(away_T**2, window_s, step_s) - mean**2, 0)
        made = {name: np.log(np.maximum(in_windows(x, window_s, step_s), 0) + 1) for name, x in power_T.items()}
        if {"LF", "HF"} <= made.keys():
            made["LF/HF"] = made["LF"] - made["HF"]
        made |= {"mean": mean + rr_T.mean(), "SDNN": 0.5 * np.log(variance + 1)}
        made["RMSSD"] = 0.5 * np.log(in_windows(steps_T, window_s, step_s) + 1)
        found |= {f"{name} {window_s:g}": values for name, values in made.items()}
    return found


def spectrum(values_T: Floats, n_steps: int, step_s: int, window_s: int, edges_hz: Floats) -> tuple[Floats, Floats]:
    """Natural logarithms about each step: (N, F) the bands' shares of the power between all edges, (N,) that power."""
    width = window_s * RATE_HZ
    padded = np.pad(values_T, width // 2, mode="reflect")
    starts = np.arange(n_steps) * step_s * RATE_HZ + step_s * RATE_HZ // 2
    windows_NW = np.stack([padded[start : start + width] for start in starts])
    windows_NW = (windows_NW - windows_NW.mean(axis=1, keepdims=True)) * np.hanning(width)
    power = np.abs(np.fft.rfft(windows_NW, axis=1)) ** 2 / width
    hz = np.fft.rfftfreq(width, 1 / RATE_HZ)
    bands = [(hz >= low) & (hz < high) for low, high in pairwise(edges_hz)]
    sums_NF = np.stack([power[:, band].sum(axis=1) for band in bands], axis=1) + 1e-7
    total_N = np.log(sums_NF.sum(axis=1))
    return np.log(sums_NF) - total_N[:, None], total_N


@dataclass(frozen=True)
class Excerpt:
    """A night: features (N, F) and what was scored (N,), -1 where nothing was."""

    name: str
    person: str
    features_NF: Floats
    truth_N: Ints


def watch_excerpts(folder: Path) -> list[Excerpt]:
    """sleep_accel."""
    excerpts = []
    for night in (n for half in ("calibration", "test") for n in watch_nights(folder, half)):  # type: ignore[arg-type]
        n = len(night.stages_L)
        rr_T = 60e3 / np.interp(np.arange(n * 30 * RATE_HZ) / RATE_HZ, night.times_s, night.rate_bpm)
        # A watch shows a rate every 5 s: of one beat and the next it knows nothing.
        steps_T = np.diff(rr_T[:: 5 * RATE_HZ], prepend=rr_T[0]).repeat(5 * RATE_HZ) ** 2
        measures = variability(rr_T, steps_T, STAGE_WINDOWS_S, 30, ("VLF", "cyclic", "LF"))
        made_NF = np.stack([*watch_features(night.times_s, night.rate_bpm, n).values(), *both(measures)], axis=1)
        excerpts.append(Excerpt(f"accel-{night.person}", night.person, made_NF, night.stages_L))
    return sorted(excerpts, key=lambda excerpt: excerpt.name)


def staged_beat_excerpts(folder: Path) -> list[Excerpt]:
    """slpdb."""
    excerpts = []
    for night in (n for half in ("calibration", "test") for n in staged_beats(folder, half)):  # type: ignore[arg-type]
        assert night.stages_L is not None
        n = len(night.stages_L)
        rr_T, steps_T = grids_of_beats(night.times_s, n * 30)
        measures = variability(rr_T, steps_T, STAGE_WINDOWS_S, 30, tuple(TASK_FORCE_HZ))
        ends_s, intervals_s = sound_intervals(night.times_s)
        watched = watch_features(ends_s, 60 / intervals_s, n)
        excerpts.append(
            Excerpt(night.name, night.person, np.stack([*watched.values(), *both(measures)], axis=1), night.stages_L)
        )
    return sorted(excerpts, key=lambda excerpt: excerpt.name)


def both(measures: Mapping[str, Floats]) -> list[Floats]:
    """Each measure as it is, and against its median of the night."""
    return [values_N - away for values_N in measures.values() for away in (0.0, np.median(values_N))]


def beat_excerpts(folder: Path) -> list[Excerpt]:
    """apnea_ecg."""
    excerpts = []
    for night in (n for half in ("calibration", "test") for n in apnea_records(folder, half)):  # type: ignore[arg-type]
        assert night.apnea_M is not None
        n = len(night.apnea_M)
        made_NF = np.concatenate(
            [
                np.stack(list(apnea_features(night.times_s, n).values()), axis=1),
                spectra_of_minutes(np.log(intervals_on_grid(night.times_s, n * 60 * RATE_HZ)), n),
            ],
            axis=1,
        )
        excerpts.append(Excerpt(night.name, night.person, made_NF, night.apnea_M.astype(np.int64)))
    return sorted(excerpts, key=lambda excerpt: excerpt.name)


def spectra_of_minutes(log_rr_T: Floats, n_minutes: int) -> Floats:
    """(N, F): the spectrum's shape and power in all windows, of the shortest those of the neighbours too; the level."""
    found: list[Floats] = []
    for window_s in APNEA_WINDOWS_S:
        edges_hz = APNEA_EDGES_HZ if window_s > 120 else APNEA_EDGES_HZ[[0, 2, 4, 6, 8, 9, 10, 11, 12, 13]]
        shares_NF, total_N = spectrum(log_rr_T, n_minutes, 60, window_s, edges_hz)
        own_N1 = (total_N - np.median(total_N))[:, None]
        found += [shares_NF, total_N[:, None], own_N1]
        if window_s == APNEA_WINDOWS_S[0]:
            here_NF = np.concatenate([shares_NF, own_N1], axis=1)
            found += [here_NF[np.clip(np.arange(n_minutes) + by, 0, n_minutes - 1)] for by in NEIGHBOURS_MIN]
    level_N1 = in_windows(log_rr_T, 60, 60)[:, None]
    return np.concatenate([*found, level_N1, level_N1 - np.median(level_N1)], axis=1)


def grids_of_beats(times_s: Floats, duration_s: float) -> tuple[Floats, Floats]:
    """(T,) intervals in ms and squared steps in ms^2 at 4 Hz, of the sound ones of beats at (K,) times."""
    at_s = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    ends_s, intervals_s = sound_intervals(times_s)
    steps_K = (1e3 * np.diff(intervals_s, prepend=intervals_s[0])) ** 2
    return 1e3 * intervals_on_grid(times_s, len(at_s)), np.interp(at_s, ends_s, steps_K)
