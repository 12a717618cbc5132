"""What all 511 subsets of nine sensors cost beside one evaluation: one pass that computes each modality once.

One night of 960 tokens with all nine modalities, random weights. Compared are

    one      one evaluation with all sensors: encoder, fusion, context, head
    sweep    `evaluation.subsets`: the encoder once, then fusion, context and head of every subset
    naive    an evaluation for every subset, each with the encoder of its modalities; from the timed cost of a modality

    python benchmarks/subsets.py [--size base] [--heads staging] [--json FILE]
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from sleep2vec.data.window import View
from sleep2vec.evaluation.subsets import all_subsets, answers_by_subset
from sleep2vec.model.encoder import ModelConfig
from sleep2vec.model.heads import HeadShape
from sleep2vec.model.sleep_model import SleepModel, SleepModelConfig
from sleep2vec.vocabulary.modalities import CORE, MODALITIES

TOKENS = 960
HEADS = {
    "staging": HeadShape(resolution="token", n_outputs=5),
    "respiratory": HeadShape(resolution="second", n_outputs=5),
    "arousal": HeadShape(resolution="second", n_outputs=1),
    "age": HeadShape(resolution="night", n_outputs=1),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="base")
    parser.add_argument("--heads", default="staging", help="with commas: " + ", ".join(HEADS))
    parser.add_argument("--bfloat16", action="store_true", help="matrix products in 16 bits")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = measure(options.size, tuple(options.heads.split(",")), bfloat16=options.bfloat16)
    print("\n".join(f"{name:<34}{value:.4g}" for name, value in found.items()))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


@torch.no_grad()
def measure(size: str, heads: tuple[str, ...], *, bfloat16: bool = False) -> dict[str, float]:
    """CPU seconds and GFLOP of one evaluation and of the sweep."""
    torch.manual_seed(0)
    config = ModelConfig.model_validate({"size": size, "modalities": CORE})
    module = SleepModel(SleepModelConfig(encoder=config, heads={name: HEADS[name] for name in heads})).eval()
    views = {name: _view(name) for name in CORE}
    subsets = all_subsets(CORE)
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        one_s, one_flops = _cost(lambda: module(views))
        features_s, features_flops = _cost(lambda: module.features(views))
        features = module.features(views)
        heads_s, heads_flops = _cost(lambda: [len(some) for some, _ in answers_by_subset(module, features, subsets)])
    sweep_s, sweep_flops = features_s + heads_s, features_flops + heads_flops
    mean_share = sum(len(subset) for subset in subsets) / len(CORE)
    naive_s = mean_share * features_s + heads_s
    return {
        "one evaluation, CPU s": one_s,
        "sweep of 511 subsets, CPU s": sweep_s,
        "sweep / one evaluation": sweep_s / one_s,
        "naive / sweep": naive_s / sweep_s,
        "one evaluation, GFLOP": one_flops / 1e9,
        "a subset's fusion and heads, GFLOP": heads_flops / len(subsets) / 1e9,
        "sweep / one evaluation, FLOP": sweep_flops / one_flops,
    }


def _view(name: str) -> View:
    values_BLS = torch.randn(1, TOKENS, MODALITIES[name].samples_per_token)
    return View(values_BLS, torch.ones(1, TOKENS, dtype=torch.bool))


def _cost(work: Any) -> tuple[float, int]:
    began = time.process_time()
    work()
    cpu_s = time.process_time() - began
    with FlopCounterMode(display=False) as counter:
        work()
    return cpu_s, counter.get_total_flops()


if __name__ == "__main__":
    main()
