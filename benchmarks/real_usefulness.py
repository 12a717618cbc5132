"""The real part of `usefulness.py`: heart-beat intervals of real people, models pretrained on simulated nights.

    stages  sleep_accel, 21 people, the rate of a watch: kappa of five stages and of W, NREM, R
    slpdb   13 nights of 11 people, beats: the same
    apnea   apnea_ecg, 35 nights (34 people as far as known), beats: AUROC and kappa of minutes

The arms are those of `usefulness.py`, with the `ibi` modality alone of the same models, cross-validated by person;
every seed has its own pretrained model, folds and fine-tuning. A probe of stages reads single tokens; one of apnea
reads the two tokens of the minute and the mean of the eleven minutes around it. Intervals (95 %) draw people.

Dimension letters: N tokens, M minutes, D features, C classes.
"""

import argparse
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from fine_tuned import staged, tuning
from frozen_features import Floats, FrozenNight, front_end_of, frozen_nights, pretrained_model, random_like, read_tokens
from linear_probes import PENALTY, Standard, auroc, logistic
from real_excerpts import accel_nights, apnea_nights, slpdb_nights, store_of
from real_people import real_folder
from sleep2vec.data.window import WindowReader
from sleep2vec.inference.predictor import load
from sleep2vec.metrics.agreement import agreement_of, confusion_matrix
from sleep2vec.model.checkpoint import load_config
from sleep2vec.recipes.finetuning import run_finetuning
from sleep2vec.recipes.loading import load_recipe
from sleep2vec.recipes.schema import FinetuneRecipe, PretrainRecipe
from sleep2vec.store.reader import Store
from study_figures import Figure, Results, difference_of, kappa_of, over_people

ARMS = ("pretrained", "random", "front_end", "finetuned", "scratch")
TAUGHT = ("finetuned", "scratch", "frozen")
"""Arms that learn through a recipe: from the pretrained model, from nothing, around the frozen encoder."""
COMPARED = (("pretrained", "random"), ("pretrained", "front_end"), ("finetuned", "scratch"))
_CONTEXT_MINUTES = 11
_THREE = np.array([0, 1, 1, 1, 2])
Told = dict[str, list[list[float]]]
"""By night, what is true of each sample (NaN unknown) and the probabilities of its classes."""


def run(folder: Path, options: argparse.Namespace, pretrained: Callable[[int], Path]) -> dict[str, Any]:
    """Everything that is asked for; nothing, with a word, where the excerpts are not."""
    excerpts = real_folder()
    if excerpts is None:
        print("real excerpts: not here (set S2V_SHARED to the folder that holds real_data); left out")
        return {}
    told = ("recipe", "set", "steps", "pretrained", "finetune_recipe", "finetune_set", "finetune_steps", "folds")
    made_with = {name: getattr(options, name) for name in told}
    results = Results(folder / "results", {**made_with, "penalty": PENALTY})
    found = {}
    for task in options.tasks:
        store = store_of(folder / task, TASKS[task].nights(excerpts))
        for seed in options.seeds:
            for arm in (arm for arm in ARMS if arm in options.arms):
                study = Study(folder, store, TASKS[task], task, seed, options, pretrained)
                _once(results, f"{task}-{arm}-{seed}", study, arm)
        found[task] = figures(results, store, TASKS[task], task, options.seeds)
        print(table(found[task], store, task))
    return found


def _once(results: Results, name: str, study: "Study", arm: str) -> None:
    if results.get(name) is None:
        began = time.process_time()
        told = results.once(name, lambda: study.told(arm))
        scores = {what: score.of(list(told.values())) for what, score in study.task.scores.items()}
        line = ", ".join(f"{what} {value or 0:.3f}" for what, value in scores.items())
        print(f"{name}: {line} ({time.process_time() - began:.0f} CPU s)", flush=True)


@dataclass(frozen=True)
class Score:
    """A figure of some nights: what is counted in each, once, and what their counts together say."""

    count: Callable[[Any], Any]
    told: Callable[[Sequence[Any]], float | None]

    def of(self, nights: Sequence[Any]) -> float | None:
        return self.told([self.count(night) for night in nights])


@dataclass(frozen=True)
class Task:
    """One question.

    Attributes:
        nights: of the excerpts.
        features: (N, D) tokens and which are valid -> features of what is judged, and which can be.
        merge: (N, C) probabilities of tokens -> of what is judged.
        truth: stages (N,) as the store has them -> of what is judged.
        n_classes: of the truth.
        scores: by name, of nights as `Told` has them.
    """

    nights: Callable[[Path], Any]
    features: Callable[[Floats, NDArray[np.bool_]], tuple[Floats, NDArray[np.bool_]]]
    merge: Callable[[Floats], Floats]
    truth: Callable[[Floats], Floats]
    n_classes: int
    scores: dict[str, Score]


@dataclass(frozen=True)
class Study:
    """One task and seed.

    Attributes:
        whole: judge every scored token. Otherwise what the frozen arms read, which is cut into windows, and of that
            what the model does not abstain from.
    """

    folder: Path
    store: Store
    task: Task
    name: str
    seed: int
    options: argparse.Namespace
    pretrained: Callable[[int], Path]
    whole: bool = False

    def told(self, arm: str) -> Told:
        """What an arm says of every night, each read by a model that was taught on other people."""
        folds = folds_by_person(self.store, self.options.folds, self.seed)
        model = self.pretrained(self.seed)
        if arm in TAUGHT:
            return {
                night: said
                for fold in range(len(folds))
                for night, said in self._tuned(arm, fold, folds, model).items()
            }
        nights = self._frozen(arm, model)
        return {night: said for fold in folds for night, said in self._probed(nights, fold).items()}

    def _frozen(self, arm: str, folder: Path) -> dict[str, FrozenNight]:
        told = load_config(folder)
        window = read_tokens(PretrainRecipe.model_validate(told["recipe"]))
        pretrained = pretrained_model(folder)
        reader = WindowReader(self.store, pretrained.encoder.front_end)
        ids = [row.night_id for row in self.store.rows]
        model = pretrained if arm == "pretrained" else random_like(pretrained, self.seed)
        represent = front_end_of(model.encoder) if arm == "front_end" else model.features
        return {night.row.night_id: night for night in frozen_nights(represent, reader, ids, ("ibi",), window)}

    def _probed(self, nights: dict[str, FrozenNight], judged: Sequence[str]) -> Told:
        task = self.task
        seen = {night_id: task.features(night.tokens["ibi"], night.valid["ibi"]) for night_id, night in nights.items()}
        true = {night_id: task.truth(night.stages_N) for night_id, night in nights.items()}
        taught = [night_id for night_id in nights if night_id not in judged]
        standard = Standard([{"ibi": seen[night_id]} for night_id in taught], ("ibi",))
        x = {night_id: standard({"ibi": part}, len(part[1])) for night_id, part in seen.items()}
        usable = {night_id: seen[night_id][1] & np.isfinite(true[night_id]) for night_id in nights}
        read = logistic(
            np.concatenate([x[night_id][usable[night_id]] for night_id in taught]),
            np.concatenate([true[night_id][usable[night_id]] for night_id in taught]).astype(np.int64),
            task.n_classes,
        )
        said = {}
        for night_id in judged:
            counted = np.where(seen[night_id][1], true[night_id], np.nan)
            said[night_id] = _as_lists(counted, read(x[night_id]))
        return said

    def _tuned(self, arm: str, fold: int, folds: Sequence[Sequence[str]], model: Path) -> Told:
        out = self.folder / "models" / f"{self.name}-{arm}-{self.seed}-{fold}"
        split = self.folder / f"{self.name}-{self.seed}-{fold}.json"
        others = [night_id for place, nights in enumerate(folds) for night_id in nights if place != fold]
        split.write_text(json.dumps({"train": others, "validation": [], "test": list(folds[fold])}))
        config = json.dumps({**load_config(model)["model"], "modalities": ["ibi"]})
        start = {
            "finetuned": [f"pretrained={model}", "modalities=[ibi]"],
            "frozen": [f"pretrained={model}", "modalities=[ibi]", "finetuning.train=head"],
            "scratch": [f"model={config}", "finetuning.encoder_rate=1.0"],
        }[arm]
        settings = [
            *(f"store={self.store.path}", f"out={out}", f"run.seed={self.seed}", f"split={{file: {split}}}"),
            *start,
            *tuning(self.options.finetune_steps, self.options.finetune_set),
        ]
        recipe = load_recipe(self.options.finetune_recipe, FinetuneRecipe, settings)
        run_finetuning(recipe)
        module = load(out).module
        reader = WindowReader(self.store)
        window = 1 if self.whole else read_tokens(PretrainRecipe.model_validate(load_config(model)["recipe"]))
        said = {}
        for night_id in folds[fold]:
            n_tokens = self.store.row(night_id).n_tokens
            kept = slice(0, max(1, n_tokens // window) * window)  # what the frozen arms read
            told_NC = staged(module, reader, night_id, ("ibi",), recipe.window_tokens)[kept]
            merged = self.task.merge(filled(told_NC) if self.whole else told_NC)
            true = self.task.truth(self.store.stages(night_id, 0, n_tokens)[kept])
            said[night_id] = _as_lists(np.where(np.isnan(merged[:, 0]), np.nan, true), np.nan_to_num(merged))
        shutil.rmtree(out)
        return said


def filled(told_NC: Floats) -> Floats:
    """Between the nearest answers where the model abstains, so that it is judged by the same epochs as a baseline."""
    known_N = np.isfinite(told_NC[:, 0])
    place_N = np.arange(len(told_NC))
    if not known_N.any():
        return np.full_like(told_NC, 1 / told_NC.shape[1])
    columns = [np.interp(place_N, place_N[known_N], column[known_N]) for column in told_NC.T]
    return np.stack(columns, axis=1).astype(np.float32)


def folds_by_person(store: Store, n_folds: int, seed: int) -> list[list[str]]:
    """Night ids, dealt like cards person by person in an order that the seed draws."""
    people = sorted({row.person for row in store.rows})
    order = np.random.default_rng([seed, 0xF01D]).permutation(len(people))
    fold_of = {people[place]: rank % n_folds for rank, place in enumerate(order)}
    return [[row.night_id for row in store.rows if fold_of[row.person] == fold] for fold in range(n_folds)]


def _as_lists(true: Floats, told: Floats) -> list[list[float]]:
    return [true.tolist(), *np.asarray(told, dtype=float).round(5).T.tolist()]


def _of_minutes(tokens_ND: Floats, valid_N: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.bool_]]:
    """Both tokens of each minute beside the mean of the minutes around; a minute needs one valid token."""
    n = len(valid_N) // 2 * 2
    both_M2D = np.where(valid_N[:n, None], tokens_ND[:n], 0.0).reshape(n // 2, 2, -1)
    valid_M2 = valid_N[:n].reshape(-1, 2)
    around_MD = uniform_filter1d(both_M2D.sum(axis=1), _CONTEXT_MINUTES, axis=0, mode="nearest")
    weight_M = uniform_filter1d(valid_M2.sum(axis=1).astype(float), _CONTEXT_MINUTES, mode="nearest")
    around_MD = around_MD / np.maximum(weight_M, 1e-3)[:, None]
    features_MD = np.concatenate([both_M2D.reshape(n // 2, -1), around_MD], axis=1).astype(np.float32)
    return features_MD, valid_M2.any(axis=1)


def _minutes_told(told_NC: Floats) -> Floats:
    """(M, 2): normal and apnea, from the first two of a stager's classes, the mean of the tokens that can be read."""
    n = len(told_NC) // 2 * 2
    pair_M22 = told_NC[:n, :2].reshape(-1, 2, 2)
    readable_M2 = np.isfinite(pair_M22[..., 0])
    share_M22 = np.where(readable_M2[..., None], pair_M22 / (pair_M22.sum(axis=2, keepdims=True) + 1e-9), 0.0)
    n_M1 = readable_M2.sum(axis=1)[:, None]
    return np.where(n_M1 > 0, share_M22.sum(axis=1) / np.maximum(n_M1, 1), np.nan).astype(np.float32)


def _known(night: Any) -> tuple[Floats, Floats]:
    """Truth (N,) and probabilities (N, C) of a night, where the truth is known."""
    columns = np.array(night, dtype=np.float32)
    columns = columns[:, np.isfinite(columns[0])]
    return columns[0], columns[1:].T


def _counts(n_classes: int) -> Callable[[Any], NDArray[np.int64]]:
    """Of a night: (C, C), rows are the truth."""

    def count(night: Any) -> NDArray[np.int64]:
        true, told = _known(night)
        return confusion_matrix(true, told.argmax(axis=1), n_classes)

    return count


def _counts_of_three(night: Any) -> NDArray[np.int64]:
    """The same of W, NREM, R: probabilities are sums of the five."""
    true, told = _known(night)
    three = np.stack([told[:, code == _THREE].sum(axis=1) for code in range(3)], axis=1)
    return confusion_matrix(_THREE[true.astype(int)], three.argmax(axis=1), 3)


def _cases(night: Any) -> tuple[NDArray[np.bool_], Floats]:
    true, told = _known(night)
    return true == 1, told[:, 1]


def _auroc(nights: Sequence[Any]) -> float | None:
    true, told = (np.concatenate(column) for column in zip(*nights, strict=True))
    return auroc(true, told)


def _accuracy(counts: Sequence[NDArray[np.int64]]) -> float | None:
    return agreement_of(np.sum(counts, axis=0)).accuracy


def _staging(nights: Callable[[Path], Any]) -> Task:
    return Task(
        nights=nights,
        features=lambda tokens_ND, valid_N: (tokens_ND, valid_N),
        merge=lambda told_NC: told_NC,
        truth=lambda stages_N: stages_N,
        n_classes=5,
        scores={"kappa, five": Score(_counts(5), kappa_of), "kappa, three": Score(_counts_of_three, kappa_of)},
    )


TASKS = {
    "stages": _staging(accel_nights),
    "slpdb": _staging(slpdb_nights),
    "apnea": Task(
        nights=apnea_nights,
        features=_of_minutes,
        merge=_minutes_told,
        truth=lambda stages_N: stages_N[: len(stages_N) // 2 * 2 : 2],
        n_classes=2,
        scores={
            "AUROC": Score(_cases, _auroc),
            "kappa": Score(_counts(2), kappa_of),
            "accuracy": Score(_counts(2), _accuracy),
        },
    ),
}


def figures(results: Results, store: Store, task: Task, name: str, seeds: Sequence[int]) -> dict[str, Figure]:
    """Every score of every arm, and their paired differences, of what is there."""
    ids = [row.night_id for row in store.rows]
    people = [row.person for row in store.rows]
    told = {
        arm: {seed: said for seed in seeds if (said := results.get(f"{name}-{arm}-{seed}")) is not None} for arm in ARMS
    }
    found = {}
    for what, score in task.scores.items():
        counted = {
            arm: {seed: [score.count(said[night_id]) for night_id in ids] for seed, said in by_seed.items()}
            for arm, by_seed in told.items()
        }
        for arm, by_seed in counted.items():
            if by_seed:
                found[f"{what} / {arm}"] = over_people(score.told, list(by_seed.values()), people)
        for one, other in COMPARED:
            both = [seed for seed in counted[one] if seed in counted[other]]
            if both:
                pairs = [list(zip(counted[one][seed], counted[other][seed], strict=True)) for seed in both]
                found[f"{what} / {one} - {other}"] = over_people(difference_of(score.told), pairs, people)
    return found


def table(found: dict[str, Figure], store: Store, name: str) -> str:
    n_people = len({row.person for row in store.rows})
    lines = [f"real excerpts, {name}: {len(store.rows)} nights of {n_people} people; each seed's figure behind"]
    for what, figure in found.items():
        told = figure.signed if " - " in what else str(figure)
        lines.append(f"{what:<40}{told:<28}" + ", ".join(f"{value:.3f}" for value in figure.seeds))
    return "\n".join(lines)
