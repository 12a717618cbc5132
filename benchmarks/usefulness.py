"""Does pretraining teach something useful? Sleep stages from few labelled nights, on people nobody trained on.

Simulated nights; every seed has its own pretraining and draws its own labelled nights, the same for all arms; the test
people are kept apart from everything. Arms:

    pretrained  frozen encoder, linear probe        finetuned  pretrained, then `sleep2vec finetune`, any subset
    random      the same encoder before its first   scratch    the same steps from random weights, encoder at the full
                step, frozen, linear probe                     learning rate
    front_end   no encoder, linear probe

Frozen encoders read windows as long as pretraining's views, fine-tuned models as long as fine-tuning's, side by side.
A probe is a logistic regression with one penalty on the standardised features of the set's modalities side by side.
Judged are the same tokens in all arms. Intervals (95 %) draw test people; all seeds of a person go with them.

Where the real excerpts are (`S2V_SHARED`, default `../shared`), also heart-beat intervals -> stages (sleep_accel) and
apnea minutes (apnea_ecg): see `real_usefulness.py`.

    python benchmarks/usefulness.py [--store DIR --folder DIR] [--arms pretrained,random] [--labelled 1,16] [--seeds 0]

With --folder a stopped run goes on, and pieces (arms, seeds, labelled, parts) may be run one by one; the table shows
what is there.
"""

import argparse
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

import real_usefulness
from fine_tuned import staged, tuning
from frozen_features import (
    FrozenNight,
    Pretrained,
    Representation,
    front_end_of,
    frozen_nights,
    kept_tokens,
    pretrained_model,
    random_model,
    read_tokens,
    retrieval,
)
from linear_probes import PENALTY, stage_counts, stage_reader
from sleep2vec.data.people import people_of, refuse_known_people
from sleep2vec.data.scoring import ScoringReader
from sleep2vec.data.splits import Split, SplitConfig, split_nights
from sleep2vec.data.window import WindowReader
from sleep2vec.inference.predictor import load
from sleep2vec.metrics.agreement import confusion_matrix
from sleep2vec.model.checkpoint import load_config
from sleep2vec.model.encoder import Encoder
from sleep2vec.recipes.finetuning import labelled_nights, run_finetuning
from sleep2vec.recipes.loading import load_recipe
from sleep2vec.recipes.pretraining import run_pretraining
from sleep2vec.recipes.schema import FinetuneRecipe, PretrainRecipe
from sleep2vec.simulation.cohort_store import simulate_to_store
from sleep2vec.store.reader import Store
from sleep2vec.vocabulary.modalities import CORE
from sleep2vec.vocabulary.stages import FIVE
from study_figures import Figure, Results, as_json, difference_of, kappa_of, over_people

FROZEN = ("pretrained", "random", "front_end")
TUNED = ("finetuned", "scratch")
ARMS = (*FROZEN, *TUNED)
COMPARED = (
    ("pretrained", "random"),
    ("pretrained", "front_end"),
    ("finetuned", "scratch"),
    ("finetuned", "pretrained"),
)
SENSOR_SETS = {"EEG": ("eeg",), "IBI + RESP": ("ibi", "resp"), "all nine": CORE}
Labelled = int | None
"""How many nights; None: all."""


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
        told = ("store", "nights", "hours", "recipe", "set", "steps", "pretrained", "finetune_recipe", "finetune_set")
        told += ("finetune_steps", "test_share", "test_stride", "probe_tokens")
        made_with = {name: getattr(self.options, name) for name in told}
        made_with |= {"penalty": PENALTY, "read_tokens": self.window_tokens(0)}
        return Results(self.folder / "results", made_with)

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

    def settings(self, seed: int, out: Path) -> list[str]:
        """What every recipe of the study is given."""
        return [
            *(f"store={self.store_folder}", f"out={out}", f"run.seed={seed}"),
            f"split={self.split_config.model_dump_json(exclude={'file'})}",
        ]

    def recipe(self, seed: int) -> PretrainRecipe:
        given: list[Path] = self.options.pretrained
        if given:
            return PretrainRecipe.model_validate(load_config(given[seed % len(given)])["recipe"])
        out = self.folder / f"pretrained-{seed}"
        steps = [] if self.options.steps is None else [f"run.steps={self.options.steps}"]
        return load_recipe(
            self.options.recipe,
            PretrainRecipe,
            [*self.settings(seed, out), "probes.when=never", *steps, *self.options.set],
        )

    def finetune_recipe(self, seed: int, out: Path, start: Sequence[str], labelled: Labelled) -> FinetuneRecipe:
        limit = [] if labelled is None else [f"labelled_nights={labelled}"]
        more = tuning(self.options.finetune_steps, self.options.finetune_set)
        return load_recipe(
            self.options.finetune_recipe, FinetuneRecipe, [*self.settings(seed, out), *start, *limit, *more]
        )

    def scratch(self, seed: int) -> list[str]:
        """Settings of a fine-tuning that starts from nothing."""
        return [f"model={self.recipe(seed).model.model_dump_json()}", "finetuning.encoder_rate=1.0"]

    def labelled(self, seed: int, labelled: Labelled) -> tuple[str, ...]:
        """The nights that a fine-tuning learns from; the frozen arms are read with the same."""
        recipe = self.finetune_recipe(seed, self.folder / "models" / "none", self.scratch(seed), labelled)
        return labelled_nights(recipe, ScoringReader(self.store), self.split)

    def pretrained(self, seed: int) -> Path:
        """A finished pretrained model whose training met none of the test people."""
        given: list[Path] = self.options.pretrained
        recipe = self.recipe(seed)
        folder = given[seed % len(given)] if given else recipe.out
        if not given and not (folder / "model.safetensors").exists():
            began = time.process_time()
            run_pretraining(recipe)
            print(f"pretrained, seed {seed}: {time.process_time() - began:.0f} CPU s", flush=True)
        judges = [self.store.row(night_id) for night_id in self.split.test]
        refuse_known_people(people_of(load_config(folder)), judges, folder)
        return folder

    def window_tokens(self, seed: int) -> int:
        return read_tokens(self.recipe(seed))

    @cached_property
    def reader(self) -> WindowReader:
        """Features are kept on disk: the front end does not learn, and is that of all arms."""
        return WindowReader(self.store, Encoder(self.recipe(0).model).front_end, self.recipe(0).batches.feature_folder)


class FrozenArm:
    """One frozen representation of one seed."""

    def __init__(self, study: Study, arm: str, seed: int) -> None:
        self._study, self._arm, self._seed = study, arm, seed
        self._window = study.window_tokens(seed)

    @cached_property
    def model(self) -> Pretrained:
        if self._arm == "pretrained":
            return pretrained_model(self._study.pretrained(self._seed))
        config = self._study.recipe(self._seed).model
        return random_model(config, self._study.reader, self._study.split.train, self._seed)

    @cached_property
    def represent(self) -> Representation:
        return front_end_of(self.model.encoder) if self._arm == "front_end" else self.model.features

    @cached_property
    def test(self) -> list[FrozenNight]:
        stride = self._study.options.test_stride
        return frozen_nights(self.represent, self._study.reader, self._study.judges, CORE, self._window, stride=stride)

    def retrieval(self) -> dict[str, float]:
        """Among the test people, from the same windows for all seeds."""
        return retrieval(self.model, self._study.reader, self._study.split.test, self._window, 0)

    def counts(self, labelled: Labelled) -> dict[str, Any]:
        """For each sensor set, the (C, C) counts of every test night."""
        study = self._study
        nights = study.labelled(self._seed, labelled)
        n_windows = 2 if len(nights) > 16 else None
        tokens = sum(len(kept_tokens(study.store.row(night).n_tokens, self._window, n_windows)) for night in nights)
        stride = max(1, -(-tokens // study.options.probe_tokens))
        taught = frozen_nights(
            self.represent, study.reader, nights, CORE, self._window, n_windows=n_windows, stride=stride
        )
        found = {}
        for name, modalities in SENSOR_SETS.items():
            read = stage_reader(taught, modalities)
            found[name] = [stage_counts(night, read(night), modalities).tolist() for night in self.test]
        return found


def tuned_counts(study: Study, arm: str, seed: int, labelled: Labelled) -> dict[str, Any]:
    """The same of a fine-tuned model, which is deleted then."""
    out = study.folder / "models" / f"{arm}-{labelled or 'all'}-{seed}"
    start = [f"pretrained={study.pretrained(seed)}"] if arm == "finetuned" else study.scratch(seed)
    recipe = study.finetune_recipe(seed, out, start, labelled)
    run_finetuning(recipe)
    module = load(out).module
    window = study.window_tokens(seed)
    found: dict[str, Any] = {name: [] for name in SENSOR_SETS}
    for night_id in study.judges:
        n_tokens = study.store.row(night_id).n_tokens
        judged_N = kept_tokens(n_tokens, window, None, study.options.test_stride)
        stages_N = study.store.stages(night_id, 0, n_tokens)[judged_N]
        for name, modalities in SENSOR_SETS.items():
            told_LC = staged(module, study.reader, night_id, modalities, recipe.window_tokens)
            told_N = told_LC[judged_N].argmax(axis=1).astype(float)
            told_N[np.isnan(told_LC[judged_N, 0])] = np.nan
            found[name].append(confusion_matrix(stages_N, told_N, len(FIVE)).tolist())
    shutil.rmtree(out)
    return found


def run_simulated(study: Study) -> None:
    """All results that are asked for and not there yet."""
    for seed in study.options.seeds:
        for arm in (arm for arm in ARMS if arm in study.options.arms):
            frozen = FrozenArm(study, arm, seed)
            for labelled in study.options.labelled:
                _once(study, frozen, arm, seed, labelled)
            if arm in ("pretrained", "random"):
                study.results.once(f"retrieval-{arm}-{seed}", frozen.retrieval)


def _once(study: Study, frozen: FrozenArm, arm: str, seed: int, labelled: Labelled) -> None:
    name = f"{arm}-{labelled or 'all'}-{seed}"
    if study.results.get(name) is not None:
        return
    began = time.process_time()
    found = study.results.once(
        name, lambda: frozen.counts(labelled) if arm in FROZEN else tuned_counts(study, arm, seed, labelled)
    )
    kappas = ", ".join(f"{sensors} {kappa_of(np.array(counts)) or 0:.3f}" for sensors, counts in found.items())
    print(f"{name}: kappa {kappas} ({time.process_time() - began:.0f} CPU s)", flush=True)


def counts_of(study: Study, arm: str, labelled: Labelled, sensors: str) -> dict[int, list[Any]]:
    """By seed, as far as they are there, the counts of every test night."""
    found = {seed: study.results.get(f"{arm}-{labelled or 'all'}-{seed}") for seed in study.options.seeds}
    return {seed: [np.array(c) for c in told[sensors]] for seed, told in found.items() if told is not None}


def figures(study: Study) -> dict[str, Any]:
    """Kappas and paired differences by sensor set, labelled nights and arm, of what is there."""
    people = [study.store.row(night_id).person for night_id in study.judges]
    found: dict[str, Any] = {"kappa": {}, "difference": {}}
    for sensors in SENSOR_SETS:
        for labelled in study.options.labelled:
            place = f"{sensors} / {labelled or 'all'}"
            told = {arm: counts_of(study, arm, labelled, sensors) for arm in ARMS}
            for arm in (arm for arm in ARMS if told[arm]):
                found["kappa"][f"{place} / {arm}"] = over_people(kappa_of, list(told[arm].values()), people)
            for one, other in COMPARED:
                pairs = [list(zip(told[one][s], told[other][s], strict=True)) for s in told[one] if s in told[other]]
                if pairs:
                    name = f"{place} / {one} - {other}"
                    found["difference"][name] = over_people(difference_of(kappa_of), pairs, people)
    return found


def table(study: Study, found: dict[str, dict[str, Figure]]) -> str:
    n_people = len({study.store.row(night_id).person for night_id in study.judges})
    lines = [
        f"Cohen's kappa, five stages, {len(study.judges)} nights of {n_people} test people [by people] ±over seeds"
    ]
    lines.append(f"{'sensors':<12}{'labelled':>9}  " + "".join(f"{arm:<30}" for arm in ARMS))
    for sensors in SENSOR_SETS:
        for labelled in study.options.labelled:
            cells = [found["kappa"].get(f"{sensors} / {labelled or 'all'} / {arm}") for arm in ARMS]
            if any(cells):
                line = "".join(f"{'-' if cell is None else str(cell):<30}" for cell in cells)
                lines.append(f"{sensors:<12}{labelled or 'all':>9}  {line}")
    lines += ["", "differences (each seed's behind them; ? too small to tell)"]
    for name, figure in found["difference"].items():
        lines.append(f"{name:<48}{figure.signed:<28}" + ", ".join(f"{value:+.3f}" for value in figure.seeds))
    unsure = [name for name, figure in found["difference"].items() if not figure.tells]
    lines += ["", f"Too small to tell: {len(unsure)} of {len(found['difference'])} differences."]
    for arm in ("pretrained", "random"):
        told = [study.results.get(f"retrieval-{arm}-{seed}") for seed in study.options.seeds]
        for what in ("people", "moments"):
            values = [(each[what], each[f"{what} chance"]) for each in told if each]
            if values:
                shares = ", ".join(f"{value:.3f}" for value, _ in values)
                chance = np.mean([chance for _, chance in values])
                lines.append(f"retrieval among {what}, top 1, {arm}: {shares} (chance {chance:.3f})")
    return "\n".join(lines)


def main() -> None:
    options = arguments()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="usefulness-"))
    try:
        study = Study(folder, options.store or folder / "store", options)
        if options.store is None and not (study.store_folder / "manifest.parquet").exists():
            simulate_to_store(study.store_folder, options.nights, 0, options.hours, workers=os.cpu_count() or 1)
        found: dict[str, Any] = {}
        for part in options.parts:
            if part == "simulated":
                run_simulated(study)
                found[part] = figures(study)
                print(table(study, found[part]))
            else:
                found[part] = real_usefulness.run(study.folder / "real", options, study.pretrained)
        if options.json:
            options.json.write_text(as_json(found))
    finally:
        if options.folder is None:
            shutil.rmtree(folder, ignore_errors=True)


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    several: Callable[[str], list[str]] = lambda text: text.split(",")  # noqa: E731
    parser.add_argument("--store", type=Path, help="of simulated nights; one is simulated without it")
    parser.add_argument("--nights", type=int, default=32, help="to simulate")
    parser.add_argument("--hours", type=float, default=4.0)
    parser.add_argument("--folder", type=Path, help="keep everything here, and go on where an earlier run stopped")
    parser.add_argument("--parts", type=several, default=["simulated", "real"])
    parser.add_argument("--arms", type=several, default=list(ARMS))
    parser.add_argument("--tasks", type=several, default=["stages", "apnea"], help="of the real part")
    parser.add_argument("--labelled", type=numbers, default=[1, 4, 16, None], help="nights: 1,4,16,all")
    parser.add_argument("--seeds", type=numbers, default=[0, 1, 2], help="0,1,2")
    parser.add_argument("--recipe", default="tiny-demo", help="of pretraining")
    parser.add_argument("--steps", type=int, help="of pretraining; the recipe's without it")
    parser.add_argument("--set", action="append", default=[], help="a setting of the pretraining recipe")
    parser.add_argument("--pretrained", type=Path, action="append", default=[], help="given models, one a seed")
    parser.add_argument("--finetune-recipe", default="tiny-demo-staging")
    parser.add_argument("--finetune-steps", type=int, default=140)
    parser.add_argument("--finetune-set", action="append", default=[], help="a setting of the fine-tuning recipe")
    parser.add_argument("--test-share", type=float, default=0.3, help="of the people")
    parser.add_argument("--test-stride", type=int, default=4, help="judge every n-th token")
    parser.add_argument("--probe-tokens", type=int, default=6000, help="most tokens that teach a probe")
    parser.add_argument("--folds", type=int, default=5, help="of the real part, by person")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(given)
    unknown = set(options.arms) - set(ARMS)
    if unknown:
        parser.error(f"there is no arm {', '.join(unknown)}; choose from {', '.join(ARMS)}")
    return options


def numbers(text: str) -> list[int | None]:
    """``1,4,all``; all is None."""
    return [None if word == "all" else int(word) for word in text.split(",")]


if __name__ == "__main__":
    main()
