"""The folder of a training run, made up: a log whose every number is known, a recipe, its data."""

import json
from itertools import combinations
from pathlib import Path

import numpy as np

from sleep2vec.training.logging import RunLog

MODALITIES = ("eeg", "airflow", "ibi")
RECIPE = """\
store: somewhere
model: {size: tiny, tokenizer: spectral, modalities: [eeg, airflow, ibi]}
batches: {batch_windows: 32, window_tokens: 60}
alignment: {objective: dash_infonce}
run: {steps: 400}
"""
DATA = {
    "training": {"n_nights": 19, "n_people": 17, "hours": 152.5, "cohorts": {"shhs1": 12, "mesa": 7}},
    "validation": {"n_nights": 5, "n_people": 4, "hours": 40.0, "cohorts": {"mesa": 5}},
}


def validated(seed: int, **changed: float) -> dict[str, float]:
    """Numbers of one validation, healthy unless `changed` says otherwise."""
    draw = np.random.default_rng(seed)
    numbers = {}
    for first, second in combinations(MODALITIES, 2):
        pair = f"{first}_{second}"
        numbers |= {f"validation/loss_{pair}": 1 + draw.random(), f"validation/top1_{pair}": 0.2 + 0.7 * draw.random()}
        numbers |= {f"validation/chance_{pair}": 0.031, f"validation/alignment_{pair}": draw.random()}
    for name in MODALITIES:
        numbers |= {f"validation/uniformity_{name}": -2 - draw.random(), f"validation/rank_{name}": 30 + draw.random()}
        numbers[f"validation/spread_{name}"] = 0.8 + 0.1 * draw.random()
        numbers |= {f"probes/site_mean_{name}": draw.random(), f"probes/stage_token_{name}": draw.random()}
    for kind in ("loss", "top1", "chance", "alignment", "uniformity", "rank", "spread"):
        parts = [value for name, value in numbers.items() if name.startswith(f"validation/{kind}_")]
        numbers[f"validation/{kind}"] = float(np.mean(parts))
    for name in ("site_mean", "stage_token"):
        score = 0.4 + 0.2 * draw.random()
        numbers |= {f"probes/{name}": score, f"probes/{name}_low": score - 0.1, f"probes/{name}_high": score + 0.1}
        numbers[f"untrained/{name}"] = score - 0.05
    numbers |= {"probes/site_chance": 0.25, "probes/stage_chance": 0.0}
    return {**numbers, "validation/collapse": 0.0, "validation/most_rank": 128.0, **changed}


def made_run(folder: Path, steps=range(100, 401, 100), validations=None, losses=None, **train: float) -> Path:
    """`validations` and `losses` by step replace what is made up; `train` is logged at every step."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.yaml").write_text(RECIPE)
    (folder / "data.json").write_text(json.dumps(DATA))
    draw = np.random.default_rng(1)
    losses = losses or {step: 3 * 0.99 ** (step / 4) + 0.1 * draw.random() for step in range(4, max(steps) + 1, 4)}
    rows = {step: {"train/loss": loss, **{f"train/{k}": v for k, v in train.items()}} for step, loss in losses.items()}
    for step in steps:
        rows[step] = rows.get(step, {}) | (validations or {}).get(step, validated(step))
    with RunLog(folder, 0) as log:
        for step in sorted(rows):
            log.write(step, rows[step])
    return folder
