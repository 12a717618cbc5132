"""Which tokenizer learns most from few nights in equal time on a processor?

Every tokenizer gets the same nights, backbone and seeds, and the same CPU-seconds (of the process, so other work on the
machine costs nobody steps), its calibration and the spectra that it keeps included. Two tests: staging learned from
few labelled nights, from EEG alone and from IBI + RESP; and a short DASH pretraining on EEG, IBI and RESP, judged by a
logistic regression on the frozen tokens of the same few nights, beside one on the frozen tokens of an untrained model.
Kappa on people none of them saw, with Student's interval over the seeds. First, what each costs per 1,000 tokens.

    python benchmarks/tokenizer_budgets.py [--store STORE] [--staging-s 12] [--pretraining-s 20] [--json FILE]
"""

import argparse
import copy
import itertools
import json
import os
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one process a core; and CPU-seconds then are seconds of work

import numpy as np
import torch
from scipy.stats import t as student
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sleep2vec.data.nights import NightBatch, NightReader, NightSource
from sleep2vec.data.pairs import PairConfig, PairSource
from sleep2vec.data.scoring import ScoringReader
from sleep2vec.data.window import WindowReader
from sleep2vec.metrics.agreement import agreement
from sleep2vec.model.cost import cost_of
from sleep2vec.model.encoder import Encoder, ModelConfig
from sleep2vec.model.sleep_model import SleepModel, SleepModelConfig
from sleep2vec.model.tokenizers import TOKENIZERS
from sleep2vec.objectives import masked_cross_entropy
from sleep2vec.simulation.cohort_store import simulate_to_store
from sleep2vec.store.reader import Store
from sleep2vec.tasks.alignment import Aligner, AlignmentConfig
from sleep2vec.tasks.calibration import calibrate
from sleep2vec.tasks.finetuning import NightSequence, validation_scores
from sleep2vec.tasks.pretraining import alignment_loss
from sleep2vec.tasks.staging import Staging
from sleep2vec.training.optimizer import OptimizerConfig, build_optimizer, learning_rate, set_learning_rate
from sleep2vec.vocabulary.modalities import MODALITIES
from sleep2vec.vocabulary.stages import FIVE

SENSOR_SETS = {"EEG": ("eeg",), "IBI + RESP": ("ibi", "resp")}
PRETRAINED_ON = ("eeg", "ibi", "resp")
OPTIMIZER = OptimizerConfig(learning_rate=1e-3, warmup_share=0.1)
STAGING = {"staging": Staging()}
PHASES = 1000  # the learning rate follows the share of the budget that is spent
Kappas = dict[str, dict[str, list[float]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, help="of scored nights; without one 40 of 4 h are simulated")
    parser.add_argument("--tokenizers", nargs="+", default=list(TOKENIZERS), choices=list(TOKENIZERS))
    parser.add_argument("--staging-s", type=float, default=12.0, help="CPU-seconds of each supervised training")
    parser.add_argument("--pretraining-s", type=float, default=20.0, help="CPU-seconds of each pretraining")
    parser.add_argument("--labelled", type=int, default=4, help="nights with stages")
    parser.add_argument("--unlabelled", type=int, default=16, help="nights to pretrain on")
    parser.add_argument("--judged", type=int, default=6, help="nights of unseen people")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--size", default="tiny")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    costs = {tokenizer: tokenizer_costs(tokenizer, options.size) for tokenizer in options.tokenizers}
    print(costs_table(costs), flush=True)
    with tempfile.TemporaryDirectory(prefix="tokenizers-") as scratch:
        if options.store is None:
            options.store = Path(scratch) / "store"
            simulate_to_store(options.store, 40, 0, 4.0, workers=os.cpu_count() or 1)
        kappas, steps = run(Store(options.store), options, Path(scratch))
    print(table(kappas, steps))
    if options.json:
        options.json.write_text(json.dumps({"costs": costs, "kappa": kappas, "steps": steps}, indent=1))


def tokenizer_costs(tokenizer: str, size: str) -> dict[str, dict[str, float]]:
    """By rate: MFLOP a token (forward), CPU-s of 1,000 tokens forward, there and back, M parameters."""
    result = {}
    for name in ("eeg", "resp"):
        cost = cost_of(ModelConfig(size=size, tokenizer=tokenizer, modalities=(name,)))
        torch.manual_seed(0)
        made = Encoder(ModelConfig(size=size, tokenizer=tokenizer, modalities=(name,))).tokenizer(name)
        samples_BLS = torch.randn(2, 120, MODALITIES[name].samples_per_token)
        forward, both = [], []
        for _ in range(4):  # the first warms up
            started = time.process_time()
            tokens_BLD = made(made.front_end(samples_BLS))
            forward.append(time.process_time() - started)
            tokens_BLD.square().sum().backward()
            both.append(time.process_time() - started)
        n_thousand = samples_BLS.shape[0] * samples_BLS.shape[1] / 1000
        result[f"{MODALITIES[name].rate_hz} Hz"] = {
            "mflop_a_token": (cost.night_flops - cost.night_backbone_flops) / 960 / 1e6,
            "forward_s": min(forward[1:]) / n_thousand,
            "both_ways_s": min(both[1:]) / n_thousand,
            "parameters_m": cost.tokenizers / 1e6,
        }
    return result


def run(store: Store, options: argparse.Namespace, scratch: Path) -> tuple[Kappas, dict[str, dict[str, list[int]]]]:
    """Kappa and steps, by test and tokenizer, one number a seed."""
    kappas: Kappas = {}
    steps: dict[str, dict[str, list[int]]] = {}

    def note(test: str, arm: str, kappa: float, n_steps: int) -> None:
        kappas.setdefault(test, {}).setdefault(arm, []).append(kappa)
        steps.setdefault(test, {}).setdefault(arm, []).append(n_steps)
        print(f"  {test}, {arm}: kappa {kappa:.3f} after {n_steps} steps", flush=True)

    n_runs = itertools.count()
    for seed in range(options.seeds):
        labelled, unlabelled, judged = drawn_nights(store, options, seed)
        for tokenizer in options.tokenizers:
            for name, modalities in SENSOR_SETS.items():
                config = ModelConfig(size=options.size, tokenizer=tokenizer, modalities=modalities, dropout=0.0)
                reader = FreshReader(store, scratch / str(next(n_runs)))
                kappa, n_steps = staging(reader, config, labelled, judged, options.staging_s, seed)
                note(f"staging, {name}", tokenizer, kappa, n_steps)
            config = ModelConfig(size=options.size, tokenizer=tokenizer, modalities=PRETRAINED_ON, dropout=0.0)
            reader = FreshReader(store, scratch / str(next(n_runs)))
            encoder, untrained, n_steps = pretraining(reader, config, unlabelled, options.pretraining_s, seed)
            for name, modalities in SENSOR_SETS.items():
                for arm, judge, n in ((tokenizer, encoder, n_steps), (f"{tokenizer}, untrained", untrained, 0)):
                    note(f"probe, {name}", arm, probe(store, judge, modalities, labelled, judged), n)
    return kappas, steps


def drawn_nights(store: Store, options: argparse.Namespace, seed: int) -> tuple[list[str], list[str], list[str]]:
    """Labelled nights, unlabelled ones and those to judge by, of people apart."""
    by_person: dict[str, str] = {}
    rows = [row for row in store.rows if row.n_scored_tokens > 0 and all(m in row.signals for m in PRETRAINED_ON)]
    for row in rows:
        by_person.setdefault(row.person, row.night_id)
    n = options.labelled + options.unlabelled + options.judged
    if len(by_person) < n:
        raise SystemExit(f"{store.path} holds {len(by_person)} people with stages and {PRETRAINED_ON}; {n} are needed.")
    nights = random.Random(seed).sample(sorted(by_person.values()), n)
    a, b = options.labelled, options.labelled + options.unlabelled
    return nights[:a], nights[a:b], nights[b:]


def trained(
    module: torch.nn.Module, budget_s: float, started_s: float, loss: Callable[[int, torch.Generator], torch.Tensor]
) -> int:
    """Steps until the CPU-seconds since `started_s` are spent; how many it were."""
    optimizer = build_optimizer(module, OPTIMIZER, {})
    step = 0
    while (spent := (time.process_time() - started_s) / budget_s) < 1:
        set_learning_rate(optimizer, learning_rate(min(PHASES - 1, int(spent * PHASES)), PHASES, OPTIMIZER))
        module.train()
        optimizer.zero_grad(set_to_none=True)
        loss(step, torch.Generator().manual_seed(step)).backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), OPTIMIZER.clip_norm)
        optimizer.step()
        step += 1
    return step


@dataclass(frozen=True)
class FreshReader:
    """Reads a store and keeps spectra in a folder of its own, so that each run pays for its own."""

    store: Store
    folder: Path

    def reader(self, encoder: Encoder) -> WindowReader:
        return WindowReader(self.store, encoder.front_end, self.folder)


def staging(
    fresh: FreshReader, config: ModelConfig, labelled: Sequence[str], judged: Sequence[str], budget_s: float, seed: int
) -> tuple[float, int]:
    torch.manual_seed(seed)
    module = SleepModel(SleepModelConfig(encoder=config, heads={"staging": STAGING["staging"].head}))
    started = time.process_time()
    reader = fresh.reader(module.encoder)
    calibrate(module.encoder, reader, labelled, seed)
    scorings = ScoringReader(fresh.store)
    source = NightSource(NightReader(reader, config.modalities, scorings, STAGING), labelled, 4, 120, seed)

    def loss(step: int, generator: torch.Generator) -> torch.Tensor:
        batch = source.batch(step)
        answers = module(batch.views, first_B=batch.first_B)
        return masked_cross_entropy(answers.outputs["staging"], batch.labels["staging"], answers.readable_BL)

    n_steps = trained(module, budget_s, started, loss)
    scores = validation_scores(module, STAGING, whole_nights(fresh.store, judged, config.modalities), scorings)
    return scores.get("staging/kappa", 0.0), n_steps


def pretraining(
    fresh: FreshReader, config: ModelConfig, nights: Sequence[str], budget_s: float, seed: int
) -> tuple[Encoder, Encoder, int]:
    """The encoder after pretraining, the same as it was before, and the number of steps."""
    torch.manual_seed(seed)
    module, started = Aligner(config), time.process_time()
    reader = fresh.reader(module.encoder)
    calibrate(module.encoder, reader, nights, seed)
    untrained = copy.deepcopy(module.encoder).eval()
    source = PairSource(reader, nights, config.modalities, PairConfig(batch_windows=16, window_tokens=60), seed)
    alignment = AlignmentConfig()
    n_steps = trained(
        module, budget_s, started, lambda step, draw: alignment_loss(module, source.batch(step), alignment, draw)[0]
    )
    return module.encoder.eval(), untrained, n_steps


def probe(
    store: Store, encoder: Encoder, modalities: Sequence[str], labelled: Sequence[str], judged: Sequence[str]
) -> float:
    """Kappa of a logistic regression on the frozen tokens, side by side where there are several modalities."""
    known_ND, stages_N = features(encoder, whole_nights(store, labelled, modalities), modalities)
    unseen_ND, scored_N = features(encoder, whole_nights(store, judged, modalities), modalities)
    judge = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=200)).fit(known_ND, stages_N)
    return float(agreement(scored_N, judge.predict(unseen_ND).astype(float), len(FIVE)).kappa or 0.0)


@torch.no_grad()
def features(
    encoder: Encoder, nights: Sequence[NightBatch], modalities: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    rows, stages = [], []
    for night in nights:
        encoded = encoder([(name, night.views[name]) for name in modalities])
        stages_L = night.labels["staging"][0]
        read_L = stages_L.isfinite() & torch.stack([v.valid_BL[0] for v in night.views.values()]).any(dim=0)
        rows.append(torch.cat([part.tokens_BLD[0, read_L] for part in encoded], dim=-1).numpy())
        stages.append(stages_L[read_L].numpy())
    return np.concatenate(rows), np.concatenate(stages)


def whole_nights(store: Store, night_ids: Sequence[str], modalities: Sequence[str]) -> Sequence[NightBatch]:
    reader = NightReader(WindowReader(store), tuple(modalities), ScoringReader(store), STAGING)
    return NightSequence(reader, night_ids)


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half of the 95 % interval of the mean over seeds (Student)."""
    n = len(values)
    half = float(student.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n)) if n > 1 else float("nan")
    return float(np.mean(values)), half


def costs_table(costs: dict[str, dict[str, dict[str, float]]]) -> str:
    lines = [f"{'tokenizer':<11}{'rate':<8}{'MFLOP a token':>14}{'CPU-s per 1,000: forward':>26}{'there and back':>16}"]
    for tokenizer, by_rate in costs.items():
        for rate, cost in by_rate.items():
            lines.append(
                f"{tokenizer:<11}{rate:<8}{cost['mflop_a_token']:>14.2f}{cost['forward_s']:>26.3f}"
                f"{cost['both_ways_s']:>16.3f}   {cost['parameters_m']:.2f} M parameters"
            )
    return "\n".join([*lines, ""])


def table(kappas: Kappas, steps: dict[str, dict[str, list[int]]]) -> str:
    lines = [f"{'test':<22}{'tokenizer':<21}{'kappa':>7}{'95 %':>9}{'steps':>8}   per seed"]
    for test, arms in kappas.items():
        for arm, values in arms.items():
            mean, half = interval(values)
            each = ", ".join(f"{value:.3f}" for value in values)
            lines.append(f"{test:<22}{arm:<21}{mean:>7.3f}{half:>+9.3f}{np.mean(steps[test][arm]):>8.0f}   {each}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
