"""What the contrast costs, against the literal one: time and memory of a forward and backward pass.

    python benchmarks/objective.py [--windows 320] [--tokens 120] [--width 128] [--repeats 5] [--json FILE]

The literal one is the formula written down in torch: two directions, an einsum each, logits of all tokens at once,
log-softmax, autograd. Both sides get the same embeddings and weights, in fresh processes of one thread each, in turn.
Seconds are of the processor, the median of the repeats. Memory is the peak of the process above what it held before the
pass, which is the embeddings; their gradients count as extra on both sides.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")}
TEMPERATURE, MARGIN = 0.2, 0.1
N_DRAWN, EXCLUSION = 32, 10
WORKS = {"plain": {}, "weighted": {"weighted": True}, "weighted, temporal": {"weighted": True, "temporal": True}}
KEPT = {"all valid": 1.0, "nine tenths valid": 0.9}


def literal(first: Any, second: Any, valid: Any, weights: Any, same: Any, temporal: bool, generator: Any) -> Any:
    """The formula of the method, each tensor at its full size."""
    import torch
    from torch.nn import functional as F

    first, second = F.normalize(first, dim=-1), F.normalize(second, dim=-1)
    n, n_tokens, _ = first.shape
    diagonal = torch.eye(n, dtype=torch.bool)
    drawn = extra = None
    if temporal:
        place = torch.arange(n_tokens)
        allowed = ((place[:, None] - place[None]).abs() > EXCLUSION) & valid[:, None, :]
        lottery = torch.rand(n, n_tokens, n_tokens, generator=generator).masked_fill(~allowed, -1)
        drawn = torch.zeros_like(allowed).scatter(-1, lottery.topk(N_DRAWN, dim=-1).indices, True) & allowed
        others = torch.ones(n, n) if weights is None else weights
        people = (others * ~(diagonal | same)) @ valid.float()
        extra = (people / drawn.sum(dim=-1).clamp(min=1)).log()
    losses = []
    for anchor, candidate in ((first, second), (second, first)):
        logits = torch.einsum("itd,jtd->tij", anchor, candidate) / TEMPERATURE
        if weights is not None:
            logits = logits + torch.where(diagonal, 0.0, weights.log() - MARGIN / TEMPERATURE * same)
        logits = logits.masked_fill(~(valid.T[:, None, :] | diagonal), -1e9)
        if drawn is not None:
            within = torch.einsum("itd,isd->its", anchor, candidate) / TEMPERATURE + extra[..., None]
            within = within.masked_fill(~drawn, -1e9).transpose(0, 1)
            logits = torch.cat((logits, within), dim=-1)
        losses.append(-logits.log_softmax(dim=-1).diagonal(dim1=1, dim2=2).T[valid].mean())
    return (losses[0] + losses[1]) / 2


def ours(first: Any, second: Any, valid: Any, weights: Any, same: Any, temporal: bool, generator: Any) -> Any:
    from sleep2vec.objectives import TemporalNegatives, dash_infonce

    moments = TemporalNegatives(N_DRAWN, EXCLUSION, 1.0) if temporal else None
    return dash_infonce(
        first,
        second,
        weights=weights,
        same_night=None if weights is None else same,
        temperature=TEMPERATURE,
        margin=MARGIN,
        valid=None if bool(valid.all()) else valid,
        temporal=moments,
        generator=generator,
    )


def run_side(side: str, size: tuple[int, int, int], kept: float, repeats: int, work: dict[str, bool]) -> None:
    """Measure one side in this process and print it."""
    import torch

    torch.set_num_threads(1)
    n, n_tokens, width = size
    draw = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, n, n_tokens, width, generator=draw).unbind()
    valid = torch.rand(n, n_tokens, generator=draw) < kept
    weights = torch.rand(n, n, generator=draw) + 0.5 if work.get("weighted") else None
    night = torch.randint(n, (n,), generator=draw)
    same = (night[:, None] == night[None]) & ~torch.eye(n, dtype=torch.bool)
    function: Callable[..., Any] = {"literal": literal, "ours": ours}[side]

    def step(first: Any, second: Any, valid: Any, weights: Any, same: Any) -> Any:
        first, second = first.requires_grad_(), second.requires_grad_()
        loss = function(
            first, second, valid, weights, same, bool(work.get("temporal")), torch.Generator().manual_seed(1)
        )
        loss.backward()
        return loss.detach(), first.grad

    few = slice(0, 4)
    small = None if weights is None else weights[few, few]
    step(first[few].clone(), second[few].clone(), valid[few], small, same[few, few])  # imports, threads, buffers
    seconds, peaks = [], []
    for _ in range(repeats):
        one, other = first.clone(), second.clone()
        forget_peak()
        before_mb, before_s = peak_mb(), time.process_time()
        loss, gradient = step(one, other, valid, weights, same)
        seconds.append(time.process_time() - before_s)
        peaks.append(peak_mb() - before_mb)
    found = {"seconds": statistics.median(seconds), "peak_mb": max(peaks), "loss": float(loss)}
    print(json.dumps({**found, "gradient_norm": float(gradient.norm())}))


def peak_mb() -> float:
    """Largest resident memory of this process since `forget_peak`."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def forget_peak() -> None:
    """From now on."""
    Path("/proc/self/clear_refs").write_text("5")


def cost_of(side: str, chosen: argparse.Namespace, kept: float, work: dict[str, bool]) -> dict[str, float]:
    """Run one side in a fresh process."""
    size = ("--windows", chosen.windows, "--tokens", chosen.tokens, "--width", chosen.width)
    work_text = json.dumps({"kept": kept, **work})
    arguments = ("--side", side, "--work", work_text, *size, "--repeats", chosen.repeats)
    done = subprocess.run(
        [sys.executable, __file__, *map(str, arguments)],
        env={**os.environ, **ONE_THREAD},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--windows", type=int, default=320)
    parser.add_argument("--tokens", type=int, default=120)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--side", choices=["ours", "literal"], help=argparse.SUPPRESS)
    parser.add_argument("--work", type=json.loads, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    size = (chosen.windows, chosen.tokens, chosen.width)
    if chosen.side:
        run_side(chosen.side, size, chosen.work.pop("kept"), chosen.repeats, chosen.work)
        return
    print(f"{size[0]} windows of {size[1]} tokens, width {size[2]}: forward and backward, one thread")
    print(f"{'':<40}{'CPU s':>15}{'ratio':>7}{'extra MB':>14}{'ratio':>7}")
    rows = []
    for kept_name, kept in KEPT.items():
        for name, work in WORKS.items():
            costs = {side: cost_of(side, chosen, kept, work) for side in ("literal", "ours")}
            ratio = {what: costs["ours"][what] / costs["literal"][what] for what in ("seconds", "peak_mb")}
            rows.append({"work": name, "valid": kept, **costs, "ratio": ratio})
            literal_cost, our_cost = costs["literal"], costs["ours"]
            print(
                f"{name + ', ' + kept_name:<40}{our_cost['seconds']:>7.2f} /{literal_cost['seconds']:>6.2f}"
                f"{ratio['seconds']:>7.2f}{our_cost['peak_mb']:>7.0f} /{literal_cost['peak_mb']:>5.0f}"
                f"{ratio['peak_mb']:>7.2f}   loss {our_cost['loss']:.5f} / {literal_cost['loss']:.5f}"
            )
    if chosen.json:
        chosen.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
