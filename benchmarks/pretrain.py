"""What a pretraining step costs, against a plain RoFormer and the machine's matrix units; memory of a fine-tuning step.

    python benchmarks/pretrain.py [--size base] [--batch 8] [--rounds 5] [--json FILE]
    python benchmarks/pretrain.py --finetune [--size base] [--json FILE]
    python benchmarks/pretrain.py --device cuda --batch 320 [--vendor-tflops 989] [--compile] [--json FILE]

A step masks, encodes one wide and one narrow modality, contrasts, goes back, clips, moves the weights (AdamW) and
their average. The plain side is `plain_pretraining.py`. Ours also draws temporal negatives and contrasts [CLS], as its
default recipe does. On a CPU seconds are of the processor (user and system) on --threads threads, so that other work
beside disturbs less; what it takes of caches and memory hits all alike, because both sides and a 4096 matrix product
take turns, --rounds times. Medians of those are told; shares and ratios are medians of those within a round. FLOPs are
counted by torch as ours runs them (matrix products, forward and back), and stand for both sides.

--finetune: one night of 1,024 tokens of nine modalities through encoder, fusion, context, heads, losses, back, clip,
AdamW and average; each case in a fresh process, whose largest resident memory is told. Its seconds are told as a ratio
to those of the published code, scaled by FLOPs: that reaches 0.6 of the peak of a matrix product
(`facts/performance_anchor.md`), whatever the size, and computes nothing twice. Below 1 ours is cheaper.
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from plain_pretraining import PlainModel, PlainTraining
from sleep2vec.data.metadata import Metadata
from sleep2vec.data.pairs import PairBatch
from sleep2vec.data.window import View
from sleep2vec.model.encoder import ModelConfig
from sleep2vec.model.sizes import SIZES
from sleep2vec.model.sleep_model import SleepModel, SleepModelConfig
from sleep2vec.objectives import negative_weights, same_person
from sleep2vec.tasks.finetuning import combined_loss
from sleep2vec.tasks.pretraining import Aligner, AlignmentConfig, alignment_loss
from sleep2vec.tasks.registry import tasks_of
from sleep2vec.tasks.task import Task
from sleep2vec.training.averaging import Average
from sleep2vec.training.optimizer import OptimizerConfig, build_optimizer
from sleep2vec.vocabulary.modalities import MODALITIES, TOKEN_SECONDS

PAIR = ("eeg", "ibi")
NINE = ("eeg", "eog", "emg", "ecg", "airflow", "belt", "spo2", "ibi", "resp")
PRECISIONS = ("float32", "bfloat16")


class Training:
    """Ours, with the package's own parts; `step` is everything that a step of training does but its log."""

    def __init__(self, module: nn.Module, loss: Callable[[nn.Module], torch.Tensor], device: torch.device) -> None:
        self.module, self._loss, self._device = module.to(device).train(), loss, device
        self.average = Average(module, 0.996, 1000)
        self.optimizer = build_optimizer(module, OptimizerConfig(), {})

    def step(self, bfloat16: bool) -> None:
        with torch.autocast(self._device.type, torch.bfloat16, enabled=bfloat16):
            loss = self._loss(self.module)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.module.parameters(), 1.0)
        self.optimizer.step()
        self.average.update(self.module, 1)


def made_batch(n_windows: int, n_tokens: int) -> PairBatch:
    """Noise of which all is valid; an eighth of the windows share their night with another."""
    draw = torch.Generator().manual_seed(0)
    valid_BL = torch.ones(n_windows, n_tokens, dtype=torch.bool)
    samples = [MODALITIES[name].samples_per_token for name in PAIR]
    views = tuple(View(torch.randn(n_windows, n_tokens, n, generator=draw), valid_BL) for n in samples)
    night_B = torch.arange(n_windows, dtype=torch.float64) % max(1, n_windows - n_windows // 8)
    age_B = 20 + 60 * torch.rand(n_windows, generator=draw, dtype=torch.float64)
    return PairBatch(
        PAIR, views, Metadata(age=age_B, sex=night_B % 2, site=night_B % 5, night=night_B, subject=night_B)
    )


def our_training(batch: PairBatch, chosen: argparse.Namespace, device: torch.device) -> Training:
    module = Aligner(ModelConfig(size=chosen.size, tokenizer="mlp", modalities=PAIR))
    draw = torch.Generator().manual_seed(0)
    batch = batch.to(device)
    made = Training(module, lambda aligner: alignment_loss(aligner, batch, AlignmentConfig(), draw)[0], device)
    if chosen.compile:
        module.encoder.backbone.compile()
    return made


def plain_training(batch: PairBatch, chosen: argparse.Namespace, device: torch.device) -> PlainTraining:
    known = batch.metadata.to(device)
    samples = tuple(view.values_BLS.shape[-1] for view in batch.views)
    model = PlainModel(samples, SIZES[chosen.size], chosen.tokens).to(device)
    views = [(view.values_BLS.to(device), view.valid_BL.to(device)) for view in batch.views]
    weights_BB = negative_weights(known.age, known.sex, known.site, known.night, subject=known.subject)
    return PlainTraining(model, views, weights_BB, same_person(known.night, known.subject))


def seconds_of(work: Callable[[], object], device: torch.device) -> tuple[float, float]:
    """(seconds to judge by, wall seconds): of the processor on a CPU, of the clock on a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    began, began_cpu = time.perf_counter(), time.process_time()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    wall = time.perf_counter() - began
    return (wall if device.type == "cuda" else time.process_time() - began_cpu), wall


def matrix_product(precision: str, device: torch.device) -> tuple[Callable[[], object], float]:
    """A square product, and its FLOPs."""
    n, repeats = (8192, 10) if device.type == "cuda" else (4096, 1)
    a, b = (torch.randn(n, n, device=device, dtype=getattr(torch, precision)) for _ in range(2))
    return (lambda: [a @ b for _ in range(repeats)]), repeats * 2.0 * n**3


def counted_flops(step: Callable[[], object]) -> float:
    fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    with FlopCounterMode(display=False, custom_mapping={fused: _attention_flops}) as counter:
        step()
    return float(counter.get_total_flops())


def _attention_flops(query: tuple[int, ...], key: tuple[int, ...], *rest: object, **named: object) -> int:
    """Two products of each pair of tokens; of the CPU's kernel torch's counter knows nothing."""
    return 4 * math.prod(query[:-1]) * key[-2] * query[-1]


@dataclass(frozen=True)
class Cost:
    """Of one side at one precision; medians over the rounds."""

    seconds: float
    wall_seconds: float
    fastest_seconds: float
    gflop_per_second: float
    share_of_peak: float
    windows_per_second: float


def compare(chosen: argparse.Namespace) -> dict[str, object]:
    device = torch.device(chosen.device)
    torch.manual_seed(0)
    batch = made_batch(chosen.batch, chosen.tokens)
    sides = {"ours": our_training(batch, chosen, device), "plain": plain_training(batch, chosen, device)}
    flops = counted_flops(lambda: sides["ours"].step(False))
    products = {precision: matrix_product(precision, device) for precision in PRECISIONS}
    work: dict[tuple[str, str], Callable[[], object]] = {}
    for precision in PRECISIONS:
        work["peak", precision] = products[precision][0]
        for name, side in sides.items():
            work[name, precision] = lambda side=side, precision=precision: side.step(precision == "bfloat16")
    for each in work.values():  # first calls choose kernels and make the optimizer's state
        each()
    taken: dict[tuple[str, str], list[tuple[float, float]]] = {key: [] for key in work}
    for _ in range(chosen.rounds):
        for key, each in work.items():
            taken[key].append(seconds_of(each, device))
    peaks = {p: [products[p][1] / seconds / 1e9 for seconds, _ in taken["peak", p]] for p in PRECISIONS}
    costs = {
        f"{name} {precision}": cost_of(taken[name, precision], peaks[precision], flops, chosen.batch)
        for name in sides
        for precision in PRECISIONS
    }
    averages = {"ours": sides["ours"].average.module, "plain": sides["plain"].average}
    memory = {name: peak_gpu_gb(side) for name, side in sides.items()} if device.type == "cuda" else {}
    return {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else f"cpu, {chosen.threads} thread(s)",
        "parameters": {name: sum(p.numel() for p in module.parameters()) for name, module in averages.items()},
        "gflop": flops / 1e9,
        "peak_gflop_per_second": {precision: statistics.median(found) for precision, found in peaks.items()},
        "costs": {name: asdict(cost) for name, cost in costs.items()},
        "ratios": ratios_of(taken),
        "peak_gpu_gb": memory,
    }


def cost_of(taken: list[tuple[float, float]], peaks: list[float], flops: float, n_windows: int) -> Cost:
    seconds = statistics.median(each for each, _ in taken)
    shares = [flops / each / 1e9 / peak for (each, _), peak in zip(taken, peaks, strict=True)]
    return Cost(
        seconds,
        statistics.median(wall for _, wall in taken),
        min(each for each, _ in taken),
        flops / seconds / 1e9,
        statistics.median(shares),
        n_windows / seconds,
    )


def ratios_of(taken: dict[tuple[str, str], list[tuple[float, float]]]) -> dict[str, float]:
    def ratio(over: tuple[str, str], under: tuple[str, str]) -> float:
        return statistics.median(a / b for (a, _), (b, _) in zip(taken[over], taken[under], strict=True))

    return {
        "ours: float32 / bfloat16": ratio(("ours", "float32"), ("ours", "bfloat16")),
        "float32: plain / ours": ratio(("plain", "float32"), ("ours", "float32")),
        "bfloat16: plain / ours": ratio(("plain", "bfloat16"), ("ours", "bfloat16")),
    }


def peak_gpu_gb(side: Training | PlainTraining) -> float:
    """Largest allocation in a bf16 step, above what both sides hold between steps, plus what this side holds."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    side.step(True)
    torch.cuda.synchronize()
    model = side.module if isinstance(side, Training) else side.model
    held = sum(p.numel() * p.element_size() * 5 for p in model.parameters())  # weight, gradient, Adam's two, average
    return (torch.cuda.max_memory_allocated() - before + held) / 1e9


def tell(facts: dict, chosen: argparse.Namespace) -> None:
    print(
        f"{chosen.size}, mlp tokenizer, {' + '.join(PAIR)}, {chosen.batch} windows of {chosen.tokens} tokens, "
        "with average"
    )
    peaks = ", ".join(f"{precision} {peak:.0f}" for precision, peak in facts["peak_gflop_per_second"].items())
    print(f"{facts['device']}; {facts['gflop']:.0f} GFLOP a step; matrix peak, GFLOP/s: {peaks}")
    print(f"{'':<16}{'s':>8}{'fastest':>9}{'wall s':>8}{'GFLOP/s':>9}{'of peak':>9}{'windows/s':>11}")
    for name, cost in facts["costs"].items():
        print(
            f"{name:<16}{cost['seconds']:>8.3f}{cost['fastest_seconds']:>9.3f}{cost['wall_seconds']:>8.3f}"
            f"{cost['gflop_per_second']:>9.0f}{cost['share_of_peak']:>9.2f}{cost['windows_per_second']:>11.2f}"
        )
        if chosen.vendor_tflops and "bfloat16" in name:
            print(f"{'':<16}{cost['gflop_per_second'] / 1e3 / chosen.vendor_tflops:.3f} of the vendor's peak")
    for name, ratio in facts["ratios"].items():
        print(f"{name}: {ratio:.2f}")
    for name, gigabytes in facts["peak_gpu_gb"].items():
        print(f"{name}: {gigabytes:.1f} GB of GPU memory in a bfloat16 step")


# Fine-tuning, each case in its own process.


def finetune_case(chosen: argparse.Namespace) -> dict[str, float]:
    """Two steps; memory is the largest of both, seconds are those of the second, and the peak is taken after it."""
    torch.manual_seed(0)
    tasks = tasks_of(("staging", *(EVENTS_AND_NIGHTS if chosen.all_tasks else ())))
    samples = {name: MODALITIES[name].samples_per_token for name in NINE}
    valid_BL = torch.ones(1, chosen.tokens, dtype=torch.bool)
    views = {name: View(torch.randn(1, chosen.tokens, n), valid_BL) for name, n in samples.items()}
    labels = {name: made_labels(task, chosen.tokens) for name, task in tasks.items()}
    encoder = ModelConfig(size=chosen.size, tokenizer="mlp", modalities=NINE)
    model = SleepModel(SleepModelConfig(encoder=encoder, heads={name: task.head for name, task in tasks.items()}))

    def loss(module: nn.Module) -> torch.Tensor:
        return combined_loss(module(views), labels, tasks, {})[0]

    for part in model.modules():
        if hasattr(part, "checkpointing"):
            part.checkpointing = chosen.checkpointing
    training = Training(model, loss, torch.device("cpu"))
    training.step(chosen.precision == "bfloat16")
    seconds, wall = seconds_of(lambda: training.step(chosen.precision == "bfloat16"), torch.device("cpu"))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    found = {"resident_gb": peak_resident_gb(), "seconds": seconds, "wall_seconds": wall, "parameters": parameters}
    product, product_flops = matrix_product(chosen.precision, torch.device("cpu"))
    peak = statistics.median(product_flops / seconds_of(product, torch.device("cpu"))[0] for _ in range(3))
    # Forward alone, thrice: the way back takes twice as much, and with checkpointing torch would count its repetitions.
    flops = 3 * counted_flops(torch.no_grad()(lambda: loss(model)))
    return {**found, "flops": flops, "share_of_peak": flops / seconds / peak, "peak_gflop_per_second": peak / 1e9}


def made_labels(task: Task, n_tokens: int) -> torch.Tensor:
    """Of a night in which everything is known: half of its seconds lie in an event."""
    shape = {"token": (1, n_tokens), "second": (1, n_tokens * TOKEN_SECONDS), "night": (1, task.n_outputs)}
    return torch.randint(0, 5 if task.resolution == "token" else 2, shape[task.resolution]).float()


def peak_resident_gb() -> float:
    """Of this process; `ru_maxrss` would begin with that of the process that started it."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024 / 1e9


CASES = (
    (1024, True, "float32", False),
    (1024, True, "float32", True),
    (1024, True, "bfloat16", False),
    (480, True, "float32", False),
    (480, False, "float32", False),
)
"""Tokens, checkpointing, precision, all tasks or staging alone."""
EVENTS_AND_NIGHTS = ("respiratory", "arousal", "desaturation", "age", "sex")
ANCHORS_SHARE = 0.6


def finetune(chosen: argparse.Namespace) -> dict[str, object]:
    found = {}
    print(f"{chosen.size}, mlp tokenizer, nine modalities, one night, {chosen.threads} thread(s), with average")
    for tokens, checkpointing, precision, all_tasks in CASES:
        case = ["--case", "--tokens", str(tokens), "--precision", precision, "--size", chosen.size]
        case += ["--threads", str(chosen.threads)]
        case += ["--checkpointing"] * checkpointing + ["--all-tasks"] * all_tasks
        done = subprocess.run([sys.executable, __file__, *case], capture_output=True, text=True, check=True)
        cost = json.loads(done.stdout.splitlines()[-1])
        name = f"{tokens} tokens, {precision}, checkpointing {'on' if checkpointing else 'off'}"
        name += ", all tasks" if all_tasks else ""
        print(
            f"{name:<58}{cost['resident_gb']:>5.1f} GB resident{cost['seconds']:>8.1f} CPU s"
            f"{ANCHORS_SHARE / cost['share_of_peak']:>6.2f} of the anchor",
            flush=True,
        )
        found[name] = cost
    return {"finetuning": found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", choices=list(SIZES), default="base")
    parser.add_argument("--batch", type=int, default=8, help="windows")
    parser.add_argument("--tokens", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--vendor-tflops", type=float, help="dense bf16 peak of the data sheet, to tell a share of it")
    parser.add_argument("--compile", action="store_true", help="torch.compile our backbone")
    parser.add_argument("--finetune", action="store_true")
    parser.add_argument("--json", type=Path)
    for hidden in ("--case", "--checkpointing", "--all-tasks"):
        parser.add_argument(hidden, action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--precision", choices=PRECISIONS, default="float32", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    if chosen.case:
        print(json.dumps(finetune_case(chosen)))
        return
    if chosen.finetune:
        facts = finetune(chosen)
    else:
        facts = compare(chosen)
        tell(facts, chosen)
    if chosen.json:
        chosen.json.write_text(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()
