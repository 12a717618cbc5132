"""Do DASH's weights and temporal negatives keep a model from taking the site for the body? A site held out entirely.

Simulated nights with the shortcut dial up: diagnoses differ between sites for no reason of the body (asthma shows in no
signal at all, so that whoever tells it tells the site). One site is kept from pretraining, and some people of the
others; what was pretrained is frozen and read by linear probes, taught on training people. Arms: `infonce`, `dash`,
`dash_temporal`, and for reference `random` (the encoder before its first step) and `front_end` (no encoder). Of every
run:

    site        which of the seen sites an hour is of, people apart, each modality alone, balanced accuracy
    new site    the same with the held-out site as one more, half of its people taught
    subject     which person an hour is of, halves of the night apart, each modality alone, balanced accuracy
    stage       kappa of five stages, taught with 16 nights of seen sites
    diagnosis   AUROC from the means of nights, taught on seen sites: where the shortcut pays, and where it does not
    retrieval   top 1 among people and among moments, see `frozen_features.retrieval`

"in" is people of seen sites, "out" the held-out site. Intervals (95 %) are Student's over seeds, which draw weights,
batches, people and labelled nights; differences between arms are paired by seed.

    python benchmarks/shortcut.py [--store DIR --folder DIR] [--arms infonce,dash] [--seeds 0,1] [--held-out gamma]

With --folder a stopped run goes on, and pieces may be run one by one; the table shows what is there.
"""

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from frozen_features import Pretrained, Representation, front_end_of, pretrained_model, random_model, read_tokens
from shortcut_probes import Judges, measured
from sleep2vec.data.splits import Split, SplitConfig, split_nights
from sleep2vec.data.window import WindowReader
from sleep2vec.model.encoder import Encoder
from sleep2vec.recipes.finetuning import labelled_nights
from sleep2vec.recipes.loading import load_recipe
from sleep2vec.recipes.pretraining import run_pretraining
from sleep2vec.recipes.schema import PretrainRecipe
from sleep2vec.simulation.cohort_store import simulate_to_store
from sleep2vec.store.reader import Store
from study_figures import Figure, Results, as_json, over_seeds

ARMS: dict[str, tuple[str, ...] | None] = {
    "infonce": ("alignment.objective=infonce", "alignment.temporal.drawn=0"),
    "dash": ("alignment.objective=dash_infonce", "alignment.temporal.drawn=0"),
    "dash_temporal": ("alignment.objective=dash_infonce",),
    "random": None,
    "front_end": None,
}
"""What each adds to the recipe; None: nothing is pretrained."""
COMPARED = (("dash", "infonce"), ("dash_temporal", "dash"), ("dash_temporal", "infonce"), ("dash_temporal", "random"))


def main() -> None:
    options = arguments()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="shortcut-"))
    try:
        store = options.store or folder / "store"
        if options.store is None and not (store / "manifest.parquet").exists():
            simulate_to_store(
                store, options.nights, 0, options.hours, workers=os.cpu_count() or 1, shortcut=options.shortcut
            )
        results = results_of(folder, options)
        for seed in options.seeds:
            for arm in options.arms:
                if results.get(f"{arm}-{seed}") is None:
                    began = time.process_time()
                    numbers = results.once(f"{arm}-{seed}", partial(run, folder, Store(store), options, arm, seed))
                    told = ", ".join(f"{name} {value:.3f}" for name, value in numbers.items() if "chance" not in name)
                    print(f"{arm}-{seed} ({time.process_time() - began:.0f} CPU s): {told}", flush=True)
        found = {arm: [results.get(f"{arm}-{seed}") for seed in options.seeds] for arm in ARMS}
        told = figures(found)
        print(table(told, found))
        if options.json:
            options.json.write_text(as_json(told))
    finally:
        if options.folder is None:
            shutil.rmtree(folder, ignore_errors=True)


def results_of(folder: Path, options: argparse.Namespace) -> Results:
    told = ("store", "nights", "hours", "shortcut", "recipe", "set", "steps", "held_out", "validation", "windows")
    return Results(folder / "results", {name: getattr(options, name) for name in told})


def run(folder: Path, store: Store, options: argparse.Namespace, arm: str, seed: int) -> dict[str, float]:
    """All numbers of one arm and seed."""
    held_out = options.held_out[seed % len(options.held_out)]
    # People of the seen sites who are kept from training stand where validation does; the held-out site is the test.
    config = SplitConfig(validation=options.validation, test=0.0, seed=seed, test_sites=(held_out,))
    split = split_nights(store.rows, config)
    out = folder / "pretrained" / f"{arm}-{seed}"
    settings = [
        *(f"store={store.path}", f"out={out}", f"run.seed={seed}", "probes.when=never"),
        f"split={config.model_dump_json(exclude={'file'})}",
        *([] if options.steps is None else [f"run.steps={options.steps}", f"run.validate_every={options.steps}"]),
        *options.set,
        *(ARMS[arm] or ()),
    ]
    recipe = load_recipe(options.recipe, PretrainRecipe, settings)
    reader = WindowReader(store, Encoder(recipe.model).front_end, recipe.batches.feature_folder)
    if ARMS[arm] is not None:
        run_pretraining(recipe)
        model = pretrained_model(out)
    else:
        model = random_model(recipe.model, reader, split.train, seed)
    judges = judges_of(store, split, seed)
    return measured(
        representation_of(model, arm),
        None if arm == "front_end" else model,
        reader,
        judges,
        recipe.model.modalities,
        read_tokens(recipe),
        options.windows,
        seed,
    )


def representation_of(model: Pretrained, arm: str) -> Representation:
    return front_end_of(model.encoder) if arm == "front_end" else model.features


def judges_of(store: Store, split: Split, seed: int) -> Judges:
    return Judges(
        taught=split.train,
        inside=split.validation,
        outside=split.test,
        labelled=labelled_nights(store, split, 16, seed),
    )


def figures(found: dict[str, list[dict[str, float] | None]]) -> dict[str, dict[str, Figure]]:
    """By measure: each arm over seeds, and paired differences between arms."""
    names = list(dict.fromkeys(name for runs in found.values() for numbers in runs if numbers for name in numbers))
    told: dict[str, dict[str, Figure]] = {}
    for name in names:
        told[name] = {}
        for arm, runs in found.items():
            values = [numbers[name] for numbers in runs if numbers and name in numbers]
            if values:
                told[name][arm] = over_seeds(values)
        for one, other in COMPARED:
            both = zip(found[one], found[other], strict=True)
            # A seed may have drawn judges among whom nobody has a diagnosis.
            pairs = [(a[name], b[name]) for a, b in both if a and b and name in a and name in b]
            if pairs:
                told[name][f"{one} - {other}"] = over_seeds([a - b for a, b in pairs])
    return told


def table(told: dict[str, dict[str, Figure]], found: dict[str, list[dict[str, float] | None]]) -> str:
    """Means with their intervals, differences, and which of these are too small to tell."""
    lines = [f"{'':<34}" + "".join(f"{arm:<25}" for arm in ARMS)]
    lines.append(
        f"{'seeds':<34}" + "".join(f"{sum(numbers is not None for numbers in found[arm]):<25}" for arm in ARMS)
    )
    for name, by_arm in told.items():
        cells = (f"{by_arm[arm].of_seeds if arm in by_arm else '-':<25}" for arm in ARMS)
        lines.append(f"{name:<34}" + "".join(cells))
    lines += ["", "differences (? too small to tell)"]
    lines.append(f"{'':<34}" + "".join(f"{f'{one} - {other}':<28}" for one, other in COMPARED))
    unsure: dict[str, list[str]] = {}
    for name, by_arm in told.items():
        if "chance" in name:
            continue
        cells = []
        for one, other in COMPARED:
            figure = by_arm.get(f"{one} - {other}")
            cells.append("-" if figure is None else figure.signed)
            if figure is not None and not figure.tells:
                unsure.setdefault(f"{one} - {other}", []).append(name)
        lines.append(f"{name:<34}" + "".join(f"{cell:<28}" for cell in cells))
    lines += ["", *(f"Too small to tell, {pair}: {'; '.join(names)}." for pair, names in unsure.items())]
    return "\n".join(lines)


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    def several(text: str) -> list[str]:
        return text.split(",")

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, help="simulated with the dial up; one is simulated without it")
    parser.add_argument("--nights", type=int, default=48, help="to simulate")
    parser.add_argument("--hours", type=float, default=4.0)
    parser.add_argument("--shortcut", type=float, default=1.0, help="the dial")
    parser.add_argument("--folder", type=Path, help="keep everything here, and go on where an earlier run stopped")
    parser.add_argument("--arms", type=several, default=list(ARMS))
    parser.add_argument("--seeds", type=lambda text: [int(word) for word in text.split(",")], default=[0, 1, 2, 3, 4])
    parser.add_argument("--held-out", type=several, default=["gamma"], help="site; of several, seeds take turns")
    parser.add_argument("--validation", type=float, default=0.25, help="share of the seen sites' people kept apart")
    parser.add_argument("--windows", type=int, default=4, help="of each night, for the probes")
    parser.add_argument("--recipe", default="tiny-demo", help="of pretraining")
    parser.add_argument("--steps", type=int, help="of pretraining; the recipe's without it")
    parser.add_argument("--set", action="append", default=[], help="a setting of the recipe, of all arms")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(given)
    unknown = set(options.arms) - set(ARMS)
    if unknown:
        parser.error(f"there is no arm {', '.join(unknown)}; choose from {', '.join(ARMS)}")
    return options


if __name__ == "__main__":
    main()
