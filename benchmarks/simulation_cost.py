"""What does a simulated night cost?

    python benchmarks/simulation_cost.py [--hours 8] [--repeats 3] [--json FILE]

All organs and all channels of one night at site `alpha`, without writing a file: processor seconds and peak memory of a
fresh process on one thread, above what its imports need; the median of a few nights. Wanted: 8 hours within 6 seconds
and 1 GB (1,024 MB). Two baselines in the same run, each measured over half an hour and scaled by the hours:

- neurokit2: `ecg_simulate`, `rsp_simulate` and `eda_simulate` at 128 Hz, three signals without sleep;
- a stepped integration of the ECG model of McSharry et al. (IEEE TBME 50 (2003)), one Runge-Kutta step a sample at
  128 Hz in plain Python: one signal.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
RATE_HZ = 128
BASELINE_HOURS = 0.5
# The ECG model: angle, height and width of P Q R S T.
ANGLE = np.pi * np.array([-1 / 3, -1 / 12, 0, 1 / 12, 1 / 2])
HEIGHT = np.array([1.2, -5.0, 30.0, -7.5, 0.75])
WIDTH = np.array([0.25, 0.1, 0.1, 0.1, 0.4])


def ours(seed: int, hours: float) -> None:
    from sleep2vec.simulation.simulated_night import simulate_night

    night = simulate_night(seed, site="alpha", hours=hours)
    assert all(len(signal.samples) for signal in night.recording.signals)


def neurokit(seed: int, hours: float) -> None:
    import neurokit2

    warnings.filterwarnings("ignore")
    seconds = int(hours * 3600)
    neurokit2.ecg_simulate(duration=seconds, sampling_rate=RATE_HZ, random_state=seed)
    neurokit2.rsp_simulate(duration=seconds, sampling_rate=RATE_HZ, random_state=seed)
    neurokit2.eda_simulate(duration=seconds, sampling_rate=RATE_HZ, random_state=seed)


def stepped(seed: int, hours: float) -> None:
    state = np.array([1.0, 0.0, 0.0])
    step_s = 1 / RATE_HZ
    wave = np.empty(int(hours * 3600 * RATE_HZ))
    for i in range(len(wave)):
        k1 = _slope(state)
        k2 = _slope(state + step_s / 2 * k1)
        k3 = _slope(state + step_s / 2 * k2)
        k4 = _slope(state + step_s * k3)
        state = state + step_s / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        wave[i] = state[2]


def _slope(state: np.ndarray) -> np.ndarray:
    x, y, z = state
    pull = 1 - np.hypot(x, y)
    turn = 2 * np.pi
    away = (np.arctan2(y, x) - ANGLE + np.pi) % (2 * np.pi) - np.pi
    lift = -(HEIGHT * away * np.exp(-0.5 * (away / WIDTH) ** 2)).sum() - z
    return np.array([pull * x - turn * y, pull * y + turn * x, lift])


SIDES = {"sleep2vec": ours, "neurokit2": neurokit, "stepped": stepped}


def run_side(side: str, seed: int, hours: float) -> None:
    """Inside the fresh process: a short run first, so that imports and first-time costs are not counted."""
    SIDES[side](seed, 0.25 if side == "sleep2vec" else 0.02)
    Path("/proc/self/clear_refs").write_text("5")
    before_mb, before_s = peak_mb(), time.process_time()
    SIDES[side](seed, hours)
    print(json.dumps({"cpu_seconds": time.process_time() - before_s, "peak_mb": peak_mb() - before_mb}))


def peak_mb() -> float:
    """Largest resident memory of this process since it was last forgotten (Linux)."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024


def cost_of(side: str, seed: int, hours: float) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, __file__, "--side", side, "--first-seed", str(seed), "--hours", str(hours)],
        env={**os.environ, **ONE_THREAD},
        capture_output=True,
        text=True,
        check=True,
    )
    cost: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return cost


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=8.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--side", choices=list(SIDES), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        run_side(options.side, options.first_seed, options.hours)
        return
    nights = [cost_of("sleep2vec", options.first_seed + i, options.hours) for i in range(options.repeats)]
    costs = {"sleep2vec": {what: statistics.median(night[what] for night in nights) for what in nights[0]}}
    measured_hours = min(BASELINE_HOURS, options.hours)
    for side in ("neurokit2", "stepped"):
        part = cost_of(side, options.first_seed, measured_hours)
        costs[side] = {"cpu_seconds": part["cpu_seconds"] * options.hours / measured_hours}
    print(f"{options.hours:g} h{'':<34}{'CPU s':>8}{'peak MB':>9}{'CPU of sleep2vec, ratio':>26}")
    names = {
        "sleep2vec": "sleep2vec, a whole night",
        "neurokit2": "neurokit2, ECG + RSP + EDA",
        "stepped": "stepped ECG",
    }
    for side, cost in costs.items():
        ratio = costs["sleep2vec"]["cpu_seconds"] / cost["cpu_seconds"]
        peak = f"{cost['peak_mb']:.0f}" if "peak_mb" in cost else "-"
        print(f"{names[side]:<37}{cost['cpu_seconds']:>8.2f}{peak:>9}{ratio:>26.3f}")
    within = costs["sleep2vec"]["cpu_seconds"] <= 6 and costs["sleep2vec"]["peak_mb"] <= 1024
    print(f"{'met' if within else 'NOT MET':<8}8 hours within 6 CPU seconds and 1 GB (here {options.hours:g} h)")
    if options.json:
        options.json.write_text(json.dumps(costs, indent=1))


if __name__ == "__main__":
    main()
