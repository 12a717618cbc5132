"""The baseline for real excerpts: features made by hand from heart-beat intervals, and gradient boosting.

    stages  sleep_accel, 21 people, the rate of a watch: kappa of W, NREM, R and of W, N1+N2, N3, R
    slpdb   13 nights of 11 people, beats by their times: the same
    apnea   apnea_ecg, 35 nights (34 people as far as known), beats by their times: AUROC, kappa and accuracy of
            minutes, and how many nights of patients (a) and of healthy people (c) their share of apnea tells apart

Features are those of `hand_made_features`. Boosting is scikit-learn's with one set of settings, folds are those of
`real_usefulness` by person.

With `--arms` our own model is taught in the same folds and compared with the baseline, through store, recipe
(`real_hearts.yaml`) and predictor: `scratch`, `finetuned` from the folder of `--pretrained`, or around its encoder,
`frozen`. With `--against` the arms of a folder of results of `real_usefulness` are. An epoch from which our model
abstains counts: it takes what is said between the nearest. Intervals (95 %) draw people. A stopped run goes on.

Dimension letters: N epochs or minutes, F features, C classes.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

import real_usefulness
from hand_made_features import Excerpt, beat_excerpts, staged_beat_excerpts, watch_excerpts
from real_excerpts import store_of
from real_people import real_folder
from remembered import remember_frozen, remember_rhythms
from sleep2vec.metrics.agreement import agreement_of, confusion_matrix
from study_figures import Figure, Results, as_json, difference_of, kappa_of, over_people

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Told = dict[str, list[list[float]]]
"""By night, what is true of each sample (NaN unknown) and the probabilities of its classes."""

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
    "slpdb three": Task(
        staged_beat_excerpts, THREE, {"kappa": (lambda night: counts(night, THREE), kappa_of)}, "slpdb"
    ),
    "slpdb four": Task(staged_beat_excerpts, FOUR, {"kappa": (lambda night: counts(night, FOUR), kappa_of)}, "slpdb"),
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


def taught(excerpts: Path, results: Results, task: Task, arm: str, seed: int, options: argparse.Namespace) -> Told:
    """What our own model says, taught in the folds of the baseline; once for all tasks that ask the same."""
    question = real_usefulness.TASKS[task.of]
    store = store_of(options.folder / task.of, question.nights(excerpts))
    study = real_usefulness.Study(
        options.folder, store, question, task.of, seed, options, lambda seed: options.pretrained, whole=True
    )
    (options.folder / "models").mkdir(exist_ok=True)
    told: Told = results.once(f"{task.of}-{arm}-{seed}", lambda: study.told(arm))
    return told


def run(excerpts: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The figures of every task, and of every arm that it is held against."""
    made_with = {name: getattr(options, name) for name in ("finetune_recipe", "finetune_set", "finetune_steps")}
    made_with = {**made_with, "pretrained": options.pretrained} if options.arms else {}
    results = Results(options.folder / "results", {"folds": options.folds, "settings": SETTINGS, **made_with})
    remember_rhythms()
    remember_frozen()
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
        for arm, seed in ((arm, seed) for seed in options.seeds for arm in options.arms):
            began = time.process_time()
            taught(excerpts, results, task, arm, seed, options)
            print(f"{name}, {arm}, seed {seed}: {time.process_time() - began:.0f} CPU s", flush=True)
        arms = _arms(options.against, task, options.seeds) | _arms(results.folder, task, options.seeds)
        for arm, others in arms.items():
            shared = {seed: told[seed] for seed in others}
            found[f"{name} / {arm}"] = compared(task, shared, others, people)
            if task.of == "apnea":
                found[f"{name} / {arm}"]["nights told apart"] = [nights_told_apart(said) for said in others.values()]
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
    parser.add_argument("--arms", nargs="+", choices=real_usefulness.TAUGHT, default=[], help="of our own to teach")
    parser.add_argument("--pretrained", type=Path, help="where `finetuned` begins, and the shape of `scratch`")
    parser.add_argument("--finetune-recipe", type=Path, default=Path(__file__).with_name("real_hearts.yaml"))
    parser.add_argument("--finetune-set", nargs="*", default=[], metavar="NAME=VALUE")
    parser.add_argument("--finetune-steps", type=int, default=150)
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
