"""One model for every set of sensors against a specialist for each, and what it costs when a sensor falls off.

Simulated nights. From one pretraining (`tiny-demo`) are fine-tuned, with each seed, on windows as long,

    one          all tasks of --tasks at once, sensors hidden at random: one checkpoint, --one-steps steps
    specialists  for each of nine common sets of sensors a model that stages sleep from these alone and knows no others,
                 --steps steps each

All are judged on the nights of the same people, three in ten, whom none has seen: kappa of five stages. Falls off: the
model is given all sensors until the middle of the night, and from there all but one (and what is derived from it); its
kappa on the rest of the night is compared with that of the same model given only the remaining sensors all night.

    python benchmarks/one_model.py --store STORE --folder DIR [--seeds 0,1,2] [--steps 150] [--one-steps 300]
        [--json FILE]

Intervals (95 %) draw people; all seeds of a person go with them. A stopped run goes on.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sleep2vec.data.nights import NightBatch, NightReader
from sleep2vec.data.scoring import ScoringReader
from sleep2vec.data.splits import SplitConfig, split_nights
from sleep2vec.data.window import WindowReader
from sleep2vec.evaluation.subsets import staged_subsets
from sleep2vec.inference.predictor import load
from sleep2vec.metrics.agreement import confusion_matrix
from sleep2vec.model.checkpoint import WEIGHTS
from sleep2vec.model.seconds import second_features
from sleep2vec.recipes.finetuning import run_finetuning
from sleep2vec.recipes.loading import load_recipe
from sleep2vec.recipes.pretraining import run_pretraining
from sleep2vec.recipes.schema import FinetuneRecipe, PretrainRecipe
from sleep2vec.store.reader import Store
from sleep2vec.tasks.finetuning import NightSequence, answers_of
from sleep2vec.vocabulary.modalities import CORE
from study_figures import Figure, Results, as_json, difference_of, kappa_of, over_people

SETS: tuple[tuple[str, ...], ...] = (
    ("eeg",),
    ("eeg", "eog"),
    ("eeg", "eog", "emg"),
    ("ecg",),
    ("ecg", "belt"),
    ("ibi", "resp"),
    ("ibi", "resp", "spo2"),
    ("airflow", "belt", "spo2"),
    CORE,
)
"""An electrode; a headband; the leads of staging; a patch; a patch with a belt; a ring or a watch; the same with an
oximeter; home sleep apnea testing; a laboratory."""
FALLING = ("eeg", "ecg")
MOST_FALLING = 24
SPLIT = SplitConfig(validation=0.15, test=0.3, seed=0)
_SPLIT = ("split.validation=0.15", "split.test=0.3", "split.seed=0")
Counts = NDArray[np.int64]


def main() -> None:
    options = _options()
    torch.set_num_threads(1)
    store = Store(options.store)
    ids = split_nights(store.rows, SPLIT).test
    people = [store.row(night_id).person for night_id in ids]
    some = ids[:: max(1, len(ids) // MOST_FALLING)]
    results = Results(
        options.folder / "results",
        {name: getattr(options, name) for name in ("steps", "one_steps", "tasks", "set", "pretraining")},
    )
    pretrained = _pretrained(options, store)
    for seed in options.seeds:
        for name, modalities in [("one", None), *(("+".join(subset), subset) for subset in SETS)]:
            model = _finetuned(options, store, pretrained, seed, name, modalities)
            sets = SETS if modalities is None else (modalities,)
            results.once(f"{seed}-{name}", lambda m=model, s=sets: _counts(m, store, ids, s))
            for sensor in FALLING if modalities is None else ():
                results.once(f"{seed}-falls-{sensor}", lambda m=model, s=sensor: _falling(m, store, some, s))
            print(f"seed {seed}: {name} ({time.process_time():.0f} CPU s so far)", flush=True)
    found = figures(results, options.seeds, people, [store.row(night_id).person for night_id in some])
    print(table(found, len(ids), len(set(people))))
    if options.json:
        options.json.write_text(as_json(found))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path, required=True, help="simulated nights")
    parser.add_argument("--folder", type=Path, required=True, help="models and results; a stopped run goes on")
    parser.add_argument("--seeds", type=lambda text: [int(part) for part in text.split(",")], default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=150, help="of each specialist")
    parser.add_argument("--one-steps", type=int, default=300, help="of the one model, which learns all of it")
    parser.add_argument(
        "--tasks", default="[staging, respiratory, arousal, desaturation, age, sex, diagnosis, survival]"
    )
    parser.add_argument("--set", action="append", default=[], help="settings of every fine-tuning")
    parser.add_argument("--pretraining", action="append", default=[], help="settings of every pretraining")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def _pretrained(options: argparse.Namespace, store: Store) -> Path:
    out: Path = options.folder / "pretrained"
    if not (out / WEIGHTS).exists():
        settings = [f"store={store.path}", f"out={out}", "probes.when=never", *_SPLIT, *options.pretraining]
        run_pretraining(load_recipe("tiny-demo", PretrainRecipe, settings))
    return out


def _finetuned(
    options: argparse.Namespace, store: Store, pretrained: Path, seed: int, name: str, subset: Sequence[str] | None
) -> Path:
    out: Path = options.folder / f"{name}-{seed}"
    if not (out / WEIGHTS).exists():
        n_steps = options.one_steps if subset is None else options.steps
        settings = [
            *(f"store={store.path}", f"out={out}", f"pretrained={pretrained}", f"run.seed={seed}"),
            *_SPLIT,
            *(f"run.{what}={n_steps}" for what in ("steps", "validate_every")),
            "run.save_every=50",
        ]
        if subset is None:
            settings.append(f"tasks={options.tasks}")
        else:
            settings += [f"modalities=[{', '.join(subset)}]", "tasks=[staging]"]
            settings += ["finetuning.dropout.subset_probability=0", "finetuning.dropout.fall_off_probability=0"]
        run_finetuning(load_recipe("tiny-demo-staging", FinetuneRecipe, [*settings, *options.set]))
    return out


def _counts(folder: Path, store: Store, ids: Sequence[str], sets: Sequence[tuple[str, ...]]) -> dict[str, Any]:
    """By set of sensors, of each night, how often each stage was called which."""
    counts = staged_subsets(load(folder).finetuned, _reader(folder, store), ids, sets)
    return {"+".join(subset): [night.tolist() for night in nights] for subset, nights in counts.items()}


def _falling(folder: Path, store: Store, ids: Sequence[str], sensor: str) -> dict[str, Any]:
    """The second halves of nights: with a sensor that falls off in the middle, and without it all night."""
    halves = [_half(batch, sensor, all_night) for all_night in (False, True) for batch in _nights(folder, store, ids)]
    told = _told(folder, store, halves, rest=True)
    return {"falls": told[: len(ids)], "never": told[len(ids) :]}


def _half(batch: NightBatch, sensor: str, all_night: bool) -> NightBatch:
    valid_BML = torch.stack([view.valid_BL for view in batch.views.values()], dim=1).clone()
    for m, source in enumerate(batch.sensors_BM[0]):
        if source == sensor or list(batch.views)[m] == sensor:
            valid_BML[:, m, 0 if all_night else valid_BML.shape[-1] // 2 :] = False
    return batch.restricted(valid_BML)


def _nights(folder: Path, store: Store, ids: Sequence[str]) -> NightSequence:
    return NightSequence(_reader(folder, store), ids)


def _reader(folder: Path, store: Store) -> NightReader:
    module = load(folder).module
    seconds = None if module.seconds is None else WindowReader(store, second_features)
    views = WindowReader(store, module.encoder.front_end)
    return NightReader(views, module.modalities, ScoringReader(store), {}, seconds)


def _told(folder: Path, store: Store, batches: Any, *, rest: bool = False) -> list[list[list[int]]]:
    model, scorings = load(folder).finetuned, ScoringReader(store)
    tasks = {"staging": model.tasks["staging"]}
    found = []
    for _, answered in answers_of(model.module, tasks, batches, scorings):
        answer = answered["staging"]
        said = np.where(np.isnan(answer.output[:, 0]), np.nan, np.nan_to_num(answer.output).argmax(axis=1))
        first = len(said) // 2 if rest else 0
        counts: Counts = confusion_matrix(answer.scoring.stages_L[first:], said[first:], 5)
        found.append(counts.tolist())
    return found


def figures(
    results: Results, seeds: Sequence[int], people: Sequence[str], falling_people: Sequence[str]
) -> dict[str, Figure]:
    """Kappa of one model and of the specialists, and their paired differences."""

    def of(name: str, part: str) -> list[list[Counts]]:
        return [[np.array(night) for night in results.get(f"{seed}-{name}")[part]] for seed in seeds]

    found, pairs = {}, []
    for subset in SETS:
        name = "+".join(subset)
        one, own = of("one", name), of(name, name)
        found[f"{name} / one"], found[f"{name} / specialist"] = (over_people(kappa_of, x, people) for x in (one, own))
        both = [list(zip(a, b, strict=True)) for a, b in zip(one, own, strict=True)]
        found[f"{name} / one - specialist"] = over_people(difference_of(kappa_of), both, people)
        pairs.append(both)
    together = [list(zip(*(subset[s] for subset in pairs), strict=True)) for s in range(len(seeds))]
    found["mean of the nine / one - specialist"] = over_people(_mean_difference, together, people)
    for sensor in FALLING:
        falls, never = of(f"falls-{sensor}", "falls"), of(f"falls-{sensor}", "never")
        both = [list(zip(a, b, strict=True)) for a, b in zip(falls, never, strict=True)]
        found[f"{sensor} falls off / kappa after it"] = over_people(kappa_of, falls, falling_people)
        found[f"{sensor} falls off / - never there"] = over_people(difference_of(kappa_of), both, falling_people)
    return found


def _mean_difference(nights: Sequence[Any]) -> float | None:
    """Over the nine sets; a night is a pair of counts for each of them."""
    each = [difference_of(kappa_of)(list(subset)) for subset in zip(*nights, strict=True)]
    return None if any(value is None for value in each) else float(np.mean([v for v in each if v is not None]))


def table(found: dict[str, Figure], n_nights: int, n_people: int) -> str:
    lines = [f"one model and nine specialists, {n_nights} nights of {n_people} people nobody has seen"]
    for what, figure in found.items():
        told = figure.signed if " - " in what else str(figure)
        lines.append(f"{what:<80}{told:<32}" + ", ".join(f"{value:.3f}" for value in figure.seeds))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
