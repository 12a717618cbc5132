"""A long run of tiny steps from a store larger than its page cache: does memory grow, does training wait for data?

    python benchmarks/soak.py [--store STORE] [--steps 2000] [--cache-mb 200] [--json FILE]

The run is `sleep2vec pretrain` with a model of the smallest size on raw samples, nothing kept of the features. The page
cache is made small by hand, as no limit of a control group may be at hand: whenever the process has read `--cache-mb`
from the disk, the store's files are taken out of the page cache (``posix_fadvise``; it slows down whoever else reads
that store, so give a copy; else one of noise is made). ``read_bytes`` of the process says how much came from the disk
in truth.

Memory is resident memory, sampled every ten steps; growth is the slope of a line through all samples after the first
tenth of the steps. Waiting is the loop's own clock, over all steps but the first, validation and saving not counted.
The machine's load is told, because a loader shares its cores with whatever else runs.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from loading import forget, made_store
from sleep2vec.recipes.loading import load_recipe
from sleep2vec.recipes.pretraining import run_pretraining
from sleep2vec.recipes.schema import PretrainRecipe
from sleep2vec.training.logging import read_log
from sleep2vec.training.runner import Progress

RECIPE = """
model: {size: tiny, tokenizer: mlp, modalities: [eeg, ecg, resp]}
batches: {batch_windows: 8, window_tokens: 20}
run: {steps: 2000, validate_every: 1000000, save_every: 1000, log_every: 50, trackers: []}
probes: {when: never}
split: {validation: 0.1, test: 0.0}
"""


def disk_bytes() -> int:
    """What this process has made the disk read."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["read_bytes"])


class Watch:
    """Samples memory, and keeps the page cache small."""

    def __init__(self, store: Path, cache_mb: float) -> None:
        self._paths, self._cache = sorted((store / "nights").glob("*.s2v")), cache_mb * 1e6
        self._process, self._last = psutil.Process(), disk_bytes()
        self.samples: list[tuple[int, float]] = []
        self.forgotten = 0

    def __call__(self, progress: Progress) -> None:
        if progress.step % 10 == 0:
            self.samples.append((progress.step, self._process.memory_info().rss / 1e6))
        if progress.step % 200 == 0:
            print(f"step {progress.step}: {self.samples[-1][1]:.0f} MB", flush=True)
        if disk_bytes() - self._last > self._cache:
            forget(self._paths)
            self._last, self.forgotten = disk_bytes(), self.forgotten + 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--store", type=Path, help="a store nobody else reads; else one of 40 nights of noise is made")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--cache-mb", type=float, default=200)
    parser.add_argument("--threads", type=int, default=1, help="that load")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        out, written = Path(scratch) / "run", Path(scratch) / "recipe.yaml"
        written.write_text(RECIPE)
        store = chosen.store or made_store(Path(scratch) / "store", 40).path
        settings = [f"store={store}", f"out={out}", f"run.steps={chosen.steps}"]
        recipe = load_recipe(written, PretrainRecipe, [*settings, f"run.loader_threads={chosen.threads}"])
        watch = Watch(store, chosen.cache_mb)
        forget(watch._paths)
        before, began, cpu = disk_bytes(), time.perf_counter(), time.process_time()
        run_pretraining(recipe, watch)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        read_gb = (disk_bytes() - before) / 1e9
        size_gb = sum(path.stat().st_size for path in watch._paths) / 1e9
        shares = [value for step, name, value in read_log(out) if name == "train/waiting_share" and step > 1]
    steps, megabytes = np.array([s for s in watch.samples if s[0] > chosen.steps / 10]).T
    slope, _ = np.polyfit(steps, megabytes, 1)
    facts = {
        "steps": chosen.steps,
        "store_gb": size_gb,
        "cache_mb": chosen.cache_mb,
        "times_forgotten": watch.forgotten,
        "read_from_disk_gb": read_gb,
        "memory_mb": {"first": float(megabytes[0]), "last": float(megabytes[-1]), "most": float(megabytes.max())},
        "growth_mb_per_1000_steps": 1000 * float(slope),
        "waiting_share": {"mean": float(np.mean(shares)), "most": float(np.max(shares))},
        "seconds": seconds,
        "cpu_seconds": cpu,
        "load": os.getloadavg()[0],
    }
    print(f"{chosen.steps} steps in {seconds:.0f} s ({cpu:.0f} CPU-s; load of the machine {facts['load']:.0f})")
    print(f"store {size_gb:.1f} GB, cache emptied {watch.forgotten} times, {read_gb:.1f} GB came from the disk")
    told = f"memory {megabytes[0]:.0f} -> {megabytes[-1]:.0f} MB, at most {megabytes.max():.0f}"
    print(f"{told}; {1000 * slope:+.1f} MB per 1,000 steps")
    print(f"waiting for data: {np.mean(shares):.1%} of the time, at most {np.max(shares):.1%} over 50 steps")
    if chosen.json:
        chosen.json.write_text(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()
