"""Does pretraining save labels? Staging with two labelled nights: pretrained against from scratch, unseen people.

Simulated nights; three seeds, each its own pretraining and its own two nights. Both arms get the same labelled
nights, the same number of steps and the same any-subset training; the scratch arm trains its encoder at the full
learning rate, the pretrained one at the recipe's reduced rate. Judged on all nights of people that neither saw.

    make bench            or: python benchmarks/label_efficiency.py [--json FILE]
"""

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from sleep2vec.data.splits import SplitConfig, split_nights
from sleep2vec.data.window import WindowReader
from sleep2vec.inference.predictor import load
from sleep2vec.metrics.agreement import agreement
from sleep2vec.recipes.finetuning import run_finetuning, validation_batches
from sleep2vec.recipes.loading import load_recipe
from sleep2vec.recipes.pretraining import run_pretraining
from sleep2vec.recipes.schema import FinetuneRecipe, PretrainRecipe
from sleep2vec.simulation.cohort import simulate_cohort
from sleep2vec.store.ingest import ingest
from sleep2vec.store.reader import Store
from sleep2vec.tasks.staging import staged_nights
from sleep2vec.vocabulary.stages import FIVE

SPLIT = {"validation": 0.0, "test": 0.3, "seed": 0}
SENSOR_SETS = {"all nine": None, "IBI + RESP": ("ibi", "resp")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nights", type=int, default=32)
    parser.add_argument("--hours", type=float, default=4.0)
    parser.add_argument("--labelled", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], help="a setting of the pretraining recipe")
    parser.add_argument("--folder", type=Path, help="keep everything here, and use the store that is there")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="label_efficiency-"))
    try:
        results = run(folder, options)
    finally:
        if options.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    print(table(results))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


def run(folder: Path, options: argparse.Namespace) -> dict[str, dict[str, list[float]]]:
    """Kappa by sensor set and arm, one number a seed."""
    store = folder / "store"
    if not (store / "manifest.parquet").exists():
        workers = os.cpu_count() or 1
        simulate_cohort(folder / "recordings", options.nights, 0, options.hours, workers=workers)
        ingest(folder / "recordings", store, workers=workers)
    results: dict[str, dict[str, list[float]]] = {name: {"pretrained": [], "scratch": []} for name in SENSOR_SETS}
    for seed in range(options.seeds):
        pretrained = folder / f"pretrained-{seed}"
        place = [f"store={store}", f"run.seed={seed}", f"split={json.dumps(SPLIT)}"]
        recipe = load_recipe("tiny-demo", PretrainRecipe, [*place, f"out={pretrained}", *options.set])
        if not (pretrained / "model.safetensors").exists():
            run_pretraining(recipe)
        starts = {
            "pretrained": [f"pretrained={pretrained}"],
            "scratch": [f"model={recipe.model.model_dump_json()}", "staging.encoder_rate=1.0"],
        }
        for arm, start in starts.items():
            out = folder / f"{arm}-{seed}-staging"
            shutil.rmtree(out, ignore_errors=True)
            settings = [*place, *start, f"out={out}", f"labelled_nights={options.labelled}"]
            run_finetuning(load_recipe("tiny-demo-staging", FinetuneRecipe, settings))
            for name, modalities in SENSOR_SETS.items():
                results[name][arm].append(kappa_on_unseen(out, Store(store), modalities))
            print(f"seed {seed}, {arm}: " + ", ".join(f"{n} {r[arm][-1]:.3f}" for n, r in results.items()), flush=True)
    return results


def kappa_on_unseen(model: Path, store: Store, modalities: tuple[str, ...] | None) -> float:
    """Kappa over all tokens of the test people, from some modalities alone."""
    loaded = load(model)
    unseen = split_nights(store.rows, SplitConfig.model_validate(SPLIT)).test
    batches = validation_batches(WindowReader(store), unseen, modalities or loaded.modalities)
    pairs = staged_nights(loaded.stager, batches)
    scored, predicted = (np.concatenate(side) for side in zip(*pairs, strict=True))
    return float(agreement(scored, predicted, len(FIVE)).kappa or 0.0)


def table(results: dict[str, dict[str, list[float]]]) -> str:
    lines = [f"{'sensors':<12}{'pretrained':>12}{'scratch':>10}{'difference':>12}{'ratio':>8}   per seed"]
    for name, arms in results.items():
        pretrained, scratch = np.array(arms["pretrained"]), np.array(arms["scratch"])
        differences = ", ".join(f"{d:+.3f}" for d in pretrained - scratch)
        lines.append(
            f"{name:<12}{pretrained.mean():>12.3f}{scratch.mean():>10.3f}{(pretrained - scratch).mean():>+12.3f}"
            f"{pretrained.mean() / max(scratch.mean(), 1e-9):>8.2f}   {differences}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
