"""What a night costs to ingest, against the straightforward pipeline of the field, and what a second worker gives.

    python benchmarks/ingest.py [--hours 8] [--nights 24] [--json FILE]

One simulated night of 20 channels at 256 Hz is written as EDF. Each side reads it in a fresh process, every library
held to one thread: ours through `ingest` into a store (all nine modalities, judged and written), theirs with mne (read
the seven channels that ours uses, filter, resample to 128 Hz) and neurokit2 (ecg_clean, ecg_peaks). Seconds are of the
processor, without the start of Python and imports; memory is the peak of the process above what imports take. Two
workers against one: median of three ingests of --nights copies.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "VECLIB_MAXIMUM")}
USED = ["C4-M1", "E1-M2", "Chin1-Chin2", "ECG", "Nasal Pressure", "Abdomen", "SpO2"]


def write_recording(path: Path, hours: float) -> None:
    """20 channels, all at 256 Hz."""
    from sleep2vec.formats.edf_writer import write_edf
    from sleep2vec.simulation.simulated_night import simulate_night
    from sleep2vec.simulation.sites import SITES, Channel

    pairs = [f"{plus}-{minus}" for plus in ("C4", "C3", "F4", "O2", "E1", "E2") for minus in ("M1", "M2")]
    electrodes = [Channel(pair, "eog" if pair[0] == "E" else "eeg", pair, 256, "uV", 500, (0.3, 70)) for pair in pairs]
    others = (
        Channel("Chin1-Chin2", "emg", "chin", 256, "uV", 500, (10, None)),
        Channel("ECG", "ecg", "ecg", 256, "mV", 5, (0.3, 70)),
        Channel("Nasal Pressure", "airflow", "flow", 256, "cmH2O", 4),
        Channel("Flow", "airflow", "flow", 256, "", 4),
        Channel("Thorax", "thorax", "thorax", 256, "uV", 1000, (0.05, None)),
        Channel("Abdomen", "belt", "abdomen", 256, "uV", 1000, (0.05, None)),
        Channel("SpO2", "spo2", "spo2", 256, "%", 100),
        Channel("Pulse", "pulse", "pulse", 256, "bpm", 250),
    )
    site = replace(SITES["alpha"], channels=(*electrodes, *others))
    write_edf(path, simulate_night(1, site=site, hours=hours).recording)


def ours(folder: Path) -> None:
    from sleep2vec.store.ingest import ingest

    report = ingest(folder / "one", folder / "store")
    assert report.n_written == 1, report.failures


def warm_up_ours() -> None:
    import pandas  # noqa: F401 - pyarrow imports it where it finds it
    import sleepecg  # noqa: F401
    import soxr  # noqa: F401

    import sleep2vec.harmonization.pipeline
    import sleep2vec.store.ingest  # noqa: F401


def theirs(folder: Path) -> None:
    import mne
    import neurokit2 as nk
    import numpy as np

    mne.set_log_level("error")
    raw = mne.io.read_raw_edf(next((folder / "one").glob("*.edf")), include=USED, preload=True)
    ecg = raw.get_data(picks=["ECG"])[0]
    rate_hz = raw.info["sfreq"]
    raw.filter(0.3, 35.0, picks=USED[:2])
    raw.filter(10.0, 100.0, picks=[USED[2]])
    raw.filter(0.5, 40.0, picks=[USED[3]])
    raw.filter(0.03, 1.5, picks=USED[4:6])
    raw.resample(128.0)
    _, found = nk.ecg_peaks(nk.ecg_clean(ecg, sampling_rate=int(rate_hz)), sampling_rate=int(rate_hz))
    np.savez(folder / "theirs.npz", signals=raw.get_data().astype(np.float32), peaks=found["ECG_R_Peaks"])


def warm_up_theirs() -> None:
    import mne
    import neurokit2  # noqa: F401
    import scipy.signal  # noqa: F401

    mne.set_log_level("error")


def cost_of(side: str, folder: Path) -> dict[str, float]:
    """Run one side in a fresh process."""
    done = subprocess.run(
        [sys.executable, __file__, "--side", side, "--folder", str(folder)],
        env={**os.environ, **ONE_THREAD},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def run_side(side: str, folder: Path) -> None:
    {"ours": warm_up_ours, "theirs": warm_up_theirs}[side]()
    forget_peak()
    before_mb, before_s, before_wall_s = peak_mb(), time.process_time(), time.perf_counter()
    {"ours": ours, "theirs": theirs}[side](folder)
    cost = {
        "cpu_seconds": time.process_time() - before_s,
        "wall_seconds": time.perf_counter() - before_wall_s,
        "peak_mb": peak_mb() - before_mb,
        "peak_mb_of_the_process": peak_mb(),
    }
    print(json.dumps(cost))


def peak_mb() -> float:
    """Largest resident memory of this process since `forget_peak`; mapped pages of the recording count."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def forget_peak() -> None:
    """A child begins with the peak of its parent."""
    Path("/proc/self/clear_refs").write_text("5")


def seconds_with(workers: int, folder: Path) -> float:
    """Wall seconds of the command over all nights, start included."""
    store = folder / f"store-{workers}"
    shutil.rmtree(store, ignore_errors=True)
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "sleep2vec.cli", "ingest", str(folder / "many"), str(store), "--workers", str(workers)],
        env={**os.environ, **ONE_THREAD},
        capture_output=True,
        check=True,
    )
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--hours", type=float, default=8)
    parser.add_argument("--nights", type=int, default=24)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--side", choices=["ours", "theirs"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.side:
        run_side(chosen.side, chosen.folder)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "one").mkdir()
        write_recording(folder / "one" / "night.edf", chosen.hours)
        costs = {}
        for side in ("theirs", "ours"):
            shutil.rmtree(folder / "store", ignore_errors=True)
            costs[side] = cost_of(side, folder)
        print(f"one night of {chosen.hours:g} h, 20 channels at 256 Hz")
        print(f"{'':<24}{'CPU s':>8}{'wall s':>8}{'peak MB':>9}{'of process':>12}")
        for side, name in (("ours", "sleep2vec ingest"), ("theirs", "mne + neurokit2")):
            cost = costs[side]
            print(
                f"{name:<24}{cost['cpu_seconds']:>8.1f}{cost['wall_seconds']:>8.1f}{cost['peak_mb']:>9.0f}"
                f"{cost['peak_mb_of_the_process']:>12.0f}"
            )
        ratio = {what: costs["ours"][what] / costs["theirs"][what] for what in costs["ours"]}
        print(f"{'ratio':<24}{ratio['cpu_seconds']:>8.2f}{ratio['wall_seconds']:>8.2f}{ratio['peak_mb']:>9.2f}")
        (folder / "many").mkdir()
        for i in range(chosen.nights):
            (folder / "many" / f"n{i}.edf").symlink_to(folder / "one" / "night.edf")
        seconds = {workers: [seconds_with(workers, folder) for _ in range(3)] for workers in (1, 2)}
        speed_up = statistics.median(seconds[1]) / statistics.median(seconds[2])
        told = {workers: ", ".join(f"{s:.1f}" for s in each) for workers, each in seconds.items()}
        print(
            f"{chosen.nights} nights, wall s: one worker {told[1]}; two workers {told[2]}; {speed_up:.2f} times as fast"
        )
        if chosen.json:
            facts = {"costs": costs, "ratio": ratio, "seconds_by_workers": seconds, "speed_up": speed_up}
            chosen.json.write_text(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()
