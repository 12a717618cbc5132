"""What a watch gains by adaptation, and what the old sensors lose: linear probes for sleep stages on frozen embeddings.

Simulated nights on which everybody wears a watch; the test people are kept apart from everything. Every seed has its
own pretraining and adaptation; the probes are taught on all nights that these learned from. Arms:

    before   pretrained on the nine             adapted  the same after both stages of `sleep2vec adapt`
    stage 1  the same with new tokenizers       joint    pretrained on all eleven, with the steps of all together
             alone                              random   eleven tokenizers and an encoder before their first step

`reached` is (adapted - random) / (joint - random), what adaptation gives of what joint pretraining gives; `behind` is
joint - adapted for the new sensors, `lost` before - adapted for the old ones. Retrieval asks the same without labels:
how often a token of one sensor finds its partner of another (see `frozen_features.retrieval`), one of them new.
Intervals (95 %) draw test people; all seeds of a person go with them.

    python benchmarks/adaptation.py [--store DIR --folder DIR] [--nights 64] [--seeds 0,1,2] [--arms before,adapted]

With --folder a stopped run goes on, and arms and seeds may be run one by one; the table shows what is there. A --store
must hold pulse waves and actigraphy (`sleep2vec simulate STORE --to-store --watch`).
"""

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from frozen_features import Pretrained, frozen_nights, pretrained_model, random_model, retrieval
from linear_probes import PENALTY, stage_counts, stage_reader
from sleep2vec.data.splits import Split, SplitConfig, split_nights
from sleep2vec.data.window import WindowReader
from sleep2vec.model.checkpoint import WEIGHTS
from sleep2vec.model.encoder import Encoder
from sleep2vec.recipes.adaptation import STAGE_1, run_adaptation
from sleep2vec.recipes.loading import load_recipe
from sleep2vec.recipes.pretraining import run_pretraining
from sleep2vec.recipes.schema import AdaptRecipe, PretrainRecipe
from sleep2vec.simulation.cohort_store import simulate_to_store
from sleep2vec.store.reader import Store
from sleep2vec.vocabulary.modalities import CORE, MODALITIES, WEARABLES
from study_figures import Figure, Results, difference_of, kappa_of, over_people

ARMS = ("before", "stage 1", "adapted", "joint", "random")
NEW_SETS = {"PPG": ("ppg",), "actigraphy": ("actigraphy",), "PPG + actigraphy": WEARABLES}
OLD_SETS = {"EEG": ("eeg",), "ECG": ("ecg",), "IBI + RESP": ("ibi", "resp"), "all nine": CORE}
_LEAST_GAIN = 0.02  # of joint over random: below, a share of it has no meaning
MOST_LOST = 0.01
"""Kappa that the old sensors may lose (issue 5)."""


@dataclass(frozen=True)
class Study:
    """What is asked, and where things lie."""

    folder: Path
    store_folder: Path
    options: argparse.Namespace

    @cached_property
    def store(self) -> Store:
        return Store(self.store_folder)

    @cached_property
    def results(self) -> Results:
        told = ("store", "nights", "hours", "recipe", "set", "steps", "adapt_recipe", "adapt_set", "stage_steps")
        told += ("test_share", "test_stride", "probe_tokens")
        made_with = {name: getattr(self.options, name) for name in told}
        return Results(self.folder / "results", {**made_with, "penalty": PENALTY})

    @property
    def split_config(self) -> SplitConfig:
        return SplitConfig(validation=0.0, test=self.options.test_share, seed=0)

    @cached_property
    def split(self) -> Split:
        return split_nights(self.store.rows, self.split_config)

    @cached_property
    def judges(self) -> list[str]:
        """Scored nights of the test people."""
        return [night_id for night_id in self.split.test if self.store.row(night_id).n_scored_tokens > 0]

    @cached_property
    def reader(self) -> WindowReader:
        """Features are kept on disk: the front end does not learn, and is that of all arms."""
        return WindowReader(self.store, Encoder(self._pretraining(0, "joint").model).front_end)

    def model(self, arm: str, seed: int) -> Pretrained:
        """The frozen model of an arm, trained where it is not there yet."""
        if arm == "random":
            config = self._pretraining(seed, "joint").model
            return random_model(config, self.reader, self.split.train, seed)
        if arm in ("before", "joint"):
            return pretrained_model(self._pretrained(arm, seed))
        recipe = self._adaptation(seed)
        self._pretrained("before", seed)
        if not (recipe.out / WEIGHTS).exists():
            _timed(f"adapted, seed {seed}", lambda: run_adaptation(recipe))
        return pretrained_model(recipe.out / STAGE_1 if arm == "stage 1" else recipe.out)

    def counts(self, arm: str, seed: int) -> dict[str, Any]:
        """By sensor set, the (C, C) counts of every test night."""
        model = self.model(arm, seed)
        names = model.encoder.config.modalities
        window = self._pretraining(seed, arm).batches.window_tokens
        labelled = [night_id for night_id in self.split.train if self.store.row(night_id).n_scored_tokens > 0]
        total = sum(self.store.row(night_id).n_tokens for night_id in labelled)
        taught = frozen_nights(
            model.features,
            self.reader,
            labelled,
            names,
            window,
            stride=max(1, -(-total // self.options.probe_tokens)),
        )
        asked = frozen_nights(model.features, self.reader, self.judges, names, window, stride=self.options.test_stride)
        found = {}
        for name, modalities in {**NEW_SETS, **OLD_SETS}.items():
            if set(modalities) <= set(names):
                read = stage_reader(taught, modalities)
                found[name] = [stage_counts(night, read(night), modalities).tolist() for night in asked]
        return found

    def retrieval(self, arm: str, seed: int) -> dict[str, float]:
        """Top 1 of pairs with a new sensor, among test people and among moments, each beside its chance."""
        window = self._pretraining(seed, arm).batches.window_tokens
        return retrieval(self.model(arm, seed), self.reader, self.split.test, window, seed, WEARABLES)

    def _pretrained(self, arm: str, seed: int) -> Path:
        recipe = self._pretraining(seed, arm)
        if not (recipe.out / WEIGHTS).exists():
            _timed(f"{arm}, seed {seed}", lambda: run_pretraining(recipe))
        return recipe.out

    def _pretraining(self, seed: int, arm: str) -> PretrainRecipe:
        names, steps = (tuple(MODALITIES), self._joint_steps) if arm == "joint" else (CORE, self.options.steps)
        given = [f"run.seed={seed}", f"run.steps={steps}", f"model.modalities=[{', '.join(names)}]"]
        place = [*self._places(f"{'joint' if arm == 'joint' else 'before'}-{seed}"), *given]
        return load_recipe(self.options.recipe, PretrainRecipe, [*place, *self.options.set])

    def _adaptation(self, seed: int) -> AdaptRecipe:
        stages = [
            setting
            for stage in ("stage_1", "stage_2")
            for setting in (f"{stage}.run.seed={seed}", f"{stage}.run.steps={self.options.stage_steps}")
        ]
        given = [f"pretrained={self.folder / f'before-{seed}'}", *stages, *self.options.adapt_set]
        return load_recipe(self.options.adapt_recipe, AdaptRecipe, [*self._places(f"adapted-{seed}"), *given])

    @property
    def _joint_steps(self) -> int:
        return int(self.options.steps + 2 * self.options.stage_steps)

    def _places(self, name: str) -> list[str]:
        split = self.split_config.model_dump_json(exclude={"file"})
        return [f"store={self.store_folder}", f"out={self.folder / name}", f"split={split}"]


def _timed(what: str, run: Callable[[], object]) -> None:
    began = time.process_time()
    run()
    print(f"{what}: {time.process_time() - began:.0f} CPU s", flush=True)


def share_reached(nights: Sequence[Any]) -> float | None:
    """(adapted - random) / (joint - random) of kappas over some nights, each the counts of the three."""
    adapted, joint, random = (kappa_of(counts) for counts in zip(*nights, strict=True))
    if adapted is None or joint is None or random is None or joint - random < _LEAST_GAIN:
        return None
    return (adapted - random) / (joint - random)


def figures(study: Study) -> dict[str, dict[str, Figure]]:
    """Kappas by sensor set and arm, and what is asked of them, as far as all arms that it takes are there."""
    people = [study.store.row(night_id).person for night_id in study.judges]
    told = {arm: {seed: study.results.get(f"{arm}-{seed}") for seed in study.options.seeds} for arm in ARMS}

    def together(arms: Sequence[str], sensors: str) -> list[list[Any]]:
        """For each seed that has all the arms, a tuple of counts a night."""
        seeds = [s for s in study.options.seeds if all(told[arm][s] and sensors in told[arm][s] for arm in arms)]
        return [
            list(zip(*([np.array(c) for c in told[arm][seed][sensors]] for arm in arms), strict=True)) for seed in seeds
        ]

    found: dict[str, dict[str, Figure]] = {"kappa": {}, "reached": {}, "behind": {}, "lost": {}}

    def note(part: str, name: str, statistic: Callable[[Sequence[Any]], float | None], items: list[list[Any]]) -> None:
        if items and all(statistic(nights) is not None for nights in items):
            found[part][name] = over_people(statistic, items, people)

    for sensors in (*NEW_SETS, *OLD_SETS):
        for arm in ARMS:
            alone = [[counts for (counts,) in nights] for nights in together([arm], sensors)]
            note("kappa", f"{sensors} / {arm}", kappa_of, alone)
    for sensors in NEW_SETS:
        note("reached", sensors, share_reached, together(["adapted", "joint", "random"], sensors))
        note("behind", sensors, difference_of(kappa_of), together(["joint", "adapted"], sensors))
    for sensors in OLD_SETS:
        note("lost", sensors, difference_of(kappa_of), together(["before", "adapted"], sensors))
    return found


def table(study: Study, found: dict[str, dict[str, Figure]]) -> str:
    n_people = len({study.store.row(night_id).person for night_id in study.judges})
    lines = [
        f"Cohen's kappa, five stages, {len(study.judges)} nights of {n_people} test people, "
        f"{len(study.split.train)} nights to learn from; {len(study.options.seeds)} seeds",
        f"{'sensors':<18}" + "".join(f"{arm:<24}" for arm in ARMS),
    ]
    for sensors in (*NEW_SETS, *OLD_SETS):
        cells = [found["kappa"].get(f"{sensors} / {arm}") for arm in ARMS]
        lines.append(f"{sensors:<18}" + "".join(f"{'-' if cell is None else str(cell):<24}" for cell in cells))
    lines += ["", "share of joint pretraining's gain that adaptation reaches (each seed's behind it)"]
    for sensors in NEW_SETS:
        figure = found["reached"].get(sensors)
        words = f"joint gives less than {_LEAST_GAIN} over random" if figure is None else _words(figure)
        lines.append(f"{sensors:<18}{words}")
    lines += ["", "joint pretraining is ahead of adaptation by"]
    lines += [f"{sensors:<18}{_words(figure)}" for sensors, figure in found["behind"].items()]
    lines += ["", f"lost by adaptation; at most {MOST_LOST} is allowed"]
    for sensors, figure in found["lost"].items():
        verdict = "kept" if figure.high <= MOST_LOST else "lost" if figure.low > MOST_LOST else "too small to tell"
        lines.append(f"{sensors:<18}{_words(figure)}: {verdict}")
    lines += ["", "retrieval of and by the new sensors, top 1: among people (chance), among moments (chance)"]
    for arm in ARMS[1:]:
        asked = [told for seed in study.options.seeds if (told := study.results.get(f"retrieval-{arm}-{seed}"))]
        if asked:
            mean = {name: float(np.mean([told[name] for told in asked])) for name in asked[0]}
            cells = [f"{mean[what]:.3f} ({mean[f'{what} chance']:.3f})" for what in ("people", "moments")]
            lines.append(f"{arm:<18}{', '.join(cells)}")
    return "\n".join(lines)


def _words(figure: Figure) -> str:
    return f"{figure}  ({', '.join(f'{value:+.3f}' for value in figure.seeds)})"


def main() -> None:
    options = arguments()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="adaptation-"))
    try:
        study = Study(folder, options.store or folder / "store", options)
        if options.store is None and not (study.store_folder / "manifest.parquet").exists():
            workers = options.workers
            simulate_to_store(study.store_folder, options.nights, 0, options.hours, watch=True, workers=workers)
        for seed in options.seeds:
            for arm in options.arms:
                study.results.once(f"{arm}-{seed}", lambda arm=arm, seed=seed: study.counts(arm, seed))
                if arm != "before":
                    study.results.once(f"retrieval-{arm}-{seed}", lambda arm=arm, seed=seed: study.retrieval(arm, seed))
        found = figures(study)
        print(table(study, found))
        if options.json:
            options.json.write_text(json.dumps(found, indent=1, default=lambda figure: figure.__dict__))
    finally:
        if options.folder is None:
            shutil.rmtree(folder, ignore_errors=True)


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, help="of nights with a watch; one is simulated without it")
    parser.add_argument("--nights", type=int, default=64, help="to simulate")
    parser.add_argument("--hours", type=float, default=4.0)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="to simulate with")
    parser.add_argument("--folder", type=Path, help="keep everything here, and go on where an earlier run stopped")
    parser.add_argument("--arms", type=lambda text: text.split(","), default=list(ARMS), help=", ".join(ARMS))
    parser.add_argument("--seeds", type=lambda text: [int(word) for word in text.split(",")], default=[0, 1, 2])
    parser.add_argument("--recipe", default="tiny-demo", help="of pretraining")
    parser.add_argument("--steps", type=int, default=200, help="of pretraining on the nine")
    parser.add_argument("--set", action="append", default=[], help="a setting of the pretraining recipe")
    parser.add_argument("--adapt-recipe", default="adapt-wearable")
    parser.add_argument("--stage-steps", type=int, default=150, help="of each stage of the adaptation")
    parser.add_argument("--adapt-set", action="append", default=[], help="a setting of the adaptation recipe")
    parser.add_argument("--test-share", type=float, default=0.3, help="of the people")
    parser.add_argument("--test-stride", type=int, default=2, help="judge every n-th token")
    parser.add_argument("--probe-tokens", type=int, default=6000, help="most tokens that teach a probe")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(given)
    unknown = set(options.arms) - set(ARMS)
    if unknown:
        parser.error(f"there is no arm {', '.join(unknown)}; choose from {', '.join(ARMS)}")
    return options


if __name__ == "__main__":
    main()
