"""The baseline for real excerpts: features made by hand from heart-beat intervals, and gradient boosting.

    stages  sleep_accel, 21 people, the rate of a watch: kappa of W, NREM, R and of W, N1+N2, N3, R
    apnea   apnea_ecg, 35 nights (34 people as far as known), beats by their times: AUROC, kappa and accuracy of
            minutes, and how many nights of patients (a) and of healthy people (c) their share of apnea tells apart

Features: what is in `heart_features`; for stages the measures of the Task Force in windows of 1 to 40 minutes; for
apnea the shape of the spectrum in windows of 2 to 10 minutes, with the minutes around. Absolute and against the night's
own median. Boosting is scikit-learn's with one set of settings, folds are those of `real_usefulness` by person; with
`--against` a folder of results of that program, its arms are compared with the baseline in the same folds. Intervals
(95 %) draw people.

Reference:
    Task Force of the ESC and NASPE (1996), Heart rate variability: standards of measurement. Circulation 93:1043.

Dimension letters: K beats, T samples at 4 Hz, N epochs or minutes, W samples of a window, F features, C classes.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from heart_features import RATE_HZ, apnea_features, intervals_on_grid, sound_intervals, watch_features
from real_people import apnea_records, real_folder, watch_nights
from sleep2vec.metrics.agreement import agreement_of, confusion_matrix
from study_figures import Figure, Results, as_json, difference_of, kappa_of, over_people

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Told = dict[str, list[list[float]]]
"""By night, what is true of each sample (NaN unknown) and the probabilities of its classes."""

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
THREE, FOUR = np.array([0, 1, 1, 1, 2]), np.array([0, 1, 1, 2, 3])
PATIENT_SHARE = 0.1
"""Every patient's night of apnea_ecg has apnea in at least 100 of its about 500 minutes, a healthy person's in fewer
than 5; the line between them is drawn at a tenth of the minutes."""
SETTINGS: dict[str, Any] = {
    "learning_rate": 0.06,
    "max_iter": 150,
    "max_leaf_nodes": 12,
    "min_samples_leaf": 60,
    "l2_regularization": 10.0,
    "max_features": 0.15,
}


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
        excerpts.append(Excerpt(night.person, night.person, made_NF, night.stages_L))
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


def folds_of(people: Sequence[str], n_folds: int, seed: int) -> Ints:
    """(nights,) the fold of each: those of `real_usefulness.folds_by_person`."""
    each = sorted(set(people))
    order = np.random.default_rng([seed, 0xF01D]).permutation(len(each))
    fold_of = {each[place]: rank % n_folds for rank, place in enumerate(order)}
    return np.array([fold_of[person] for person in people])


def told_by_boosting(excerpts: Sequence[Excerpt], n_folds: int, seed: int, merge: Ints) -> Told:
    """Of every night what trees say that were grown on other people.

    Args:
        merge: a class for each that is scored.
    """
    folds = folds_of([excerpt.person for excerpt in excerpts], n_folds, seed)
    told = {}
    for fold in range(n_folds):
        taught = [excerpt for excerpt, of in zip(excerpts, folds, strict=True) if of != fold]
        x_NF = np.concatenate([excerpt.features_NF[excerpt.truth_N >= 0] for excerpt in taught])
        y_N = merge[np.concatenate([excerpt.truth_N[excerpt.truth_N >= 0] for excerpt in taught])]
        trees = HistGradientBoostingClassifier(**SETTINGS, random_state=seed).fit(x_NF, y_N)
        for excerpt in (excerpt for excerpt, of in zip(excerpts, folds, strict=True) if of == fold):
            true_N = np.where(excerpt.truth_N >= 0, merge[excerpt.truth_N], np.nan)
            told_NC = trees.predict_proba(excerpt.features_NF)
            told[excerpt.name] = [true_N.tolist(), *told_NC.round(5).T.tolist()]
    return told


def _known(night: list[list[float]]) -> tuple[Floats, Floats]:
    columns = np.array(night, dtype=float)
    columns = columns[:, np.isfinite(columns[0])]
    return columns[0], columns[1:].T


def counts(night: list[list[float]], merge: Ints | None = None) -> Ints:
    """(C, C), rows are the truth; classes are those told, or what they merge to where as many as `merge` are told."""
    true_N, told_NC = _known(night)
    if merge is not None and told_NC.shape[1] == len(merge):
        told_NC = np.stack([told_NC[:, merge == code].sum(axis=1) for code in range(merge.max() + 1)], axis=1)
        true_N = merge[true_N.astype(int)]
    return confusion_matrix(true_N, told_NC.argmax(axis=1), told_NC.shape[1])


def _cases(night: list[list[float]]) -> tuple[Floats, Floats]:
    true_N, told_NC = _known(night)
    return true_N, told_NC[:, 1]


def _auroc(nights: Sequence[Any]) -> float | None:
    true, told = (np.concatenate(column) for column in zip(*nights, strict=True))
    return float(roc_auc_score(true, told)) if 0 < true.mean() < 1 else None


def _accuracy(nights: Sequence[Ints]) -> float | None:
    return agreement_of(np.sum(nights, axis=0)).accuracy


Score = tuple[Callable[[Any], Any], Callable[[Sequence[Any]], float | None]]


@dataclass(frozen=True)
class Task:
    """One question: its nights, a class for each that is scored, and its scores: what is counted in a night, and what
    the counts of all say."""

    excerpts: Callable[[Path], list[Excerpt]]
    merge: Ints
    scores: Mapping[str, Score]
    of: str
    """What `real_usefulness` calls it."""


MINUTES: Mapping[str, Score] = {
    "AUROC": (_cases, _auroc),
    "kappa": (counts, kappa_of),
    "accuracy": (counts, _accuracy),
}
TASKS = {
    "three stages": Task(watch_excerpts, THREE, {"kappa": (lambda night: counts(night, THREE), kappa_of)}, "stages"),
    "four stages": Task(watch_excerpts, FOUR, {"kappa": (lambda night: counts(night, FOUR), kappa_of)}, "stages"),
    "apnea": Task(beat_excerpts, np.arange(2), MINUTES, "apnea"),
}


def nights_told_apart(told: Told) -> tuple[int, int]:
    """How many nights of patients and healthy people lie on their side of `PATIENT_SHARE`, of how many."""
    right = [
        bool(np.mean(_cases(night)[1] > 0.5) > PATIENT_SHARE) == (name[0] == "a")
        for name, night in told.items()
        if name[0] in "ac"
    ]
    return sum(right), len(right)


def compared(task: Task, base: dict[int, Told], other: dict[int, Told], people: Mapping[str, str]) -> dict[str, Figure]:
    """Of every score that of the other and the difference to the baseline, seed by seed in the same folds."""
    names = sorted(people)
    found = {}
    for what, (count, score) in task.scores.items():
        ours = {seed: [count(other[seed][name]) for name in names] for seed in other}
        theirs = {seed: [count(base[seed][name]) for name in names] for seed in other}
        pairs = [list(zip(ours[seed], theirs[seed], strict=True)) for seed in other]
        each = [people[name] for name in names]
        found[what] = over_people(score, list(ours.values()), each)
        found[f"{what} - hand_made"] = over_people(difference_of(score), pairs, each)
    return found


def run(excerpts: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The figures of every task, and of every arm that it is held against."""
    results = Results(options.folder, {"folds": options.folds, "settings": SETTINGS})
    found: dict[str, Any] = {}
    for name, task in ((name, TASKS[name]) for name in options.tasks):
        nights = task.excerpts(excerpts)
        people = {night.name: night.person for night in nights}
        told = {}
        for seed in options.seeds:
            began = time.process_time()
            make = partial(told_by_boosting, nights, options.folds, seed, task.merge)
            told[seed] = results.once(f"{name}-{seed}", make)
            print(f"{name}, seed {seed}: {time.process_time() - began:.0f} CPU s", flush=True)
        found[f"{name} / hand_made"] = {
            what: over_people(
                score, [[count(told[seed][night]) for night in people] for seed in told], [*people.values()]
            )
            for what, (count, score) in task.scores.items()
        }
        if task.of == "apnea":
            found[f"{name} / hand_made"]["nights told apart"] = [nights_told_apart(said) for said in told.values()]
        for arm, others in _arms(options.against, task, options.seeds).items():
            found[f"{name} / {arm}"] = compared(task, told, others, people)
    return found


def _arms(folder: Path | None, task: Task, seeds: Sequence[int]) -> dict[str, dict[int, Told]]:
    """By arm and seed what `real_usefulness` (or any program that writes as it does) has in its folder of results."""
    arms: dict[str, dict[int, Told]] = {}
    for path in sorted(folder.glob(f"{task.of}-*-*.json")) if folder else ():
        _, arm, seed = path.stem.split("-")
        if int(seed) in seeds:
            arms.setdefault(arm, {})[int(seed)] = json.loads(path.read_text())
    return arms


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("runs/hand_made"), help="what is told, by task and seed")
    parser.add_argument("--against", type=Path, help="folder of results of real_usefulness, made with as many folds")
    parser.add_argument("--tasks", nargs="+", choices=[*TASKS], default=[*TASKS])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    return parser.parse_args(argv)


def main() -> None:
    options = arguments()
    excerpts = real_folder()
    if excerpts is None:
        raise SystemExit("real excerpts: not here (set S2V_SHARED to the folder that holds real_data)")
    found = run(excerpts, options)
    for name, figures in found.items():
        for what, figure in figures.items():
            told = figure.signed if isinstance(figure, Figure) and " - " in what else figure
            print(f"{name:32s} {what:22s} {told}")
    if options.json:
        options.json.write_text(as_json(found))


if __name__ == "__main__":
    main()
