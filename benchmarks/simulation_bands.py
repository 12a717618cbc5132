"""Is staging simulated nights neither trivial nor impossible? Logistic regression on a few plain numbers an epoch.

    python benchmarks/simulation_bands.py [--people 24] [--hours 8] [--seeds 3] [--json FILE]

scikit-learn's logistic regression, four folds by person, Cohen's kappa to the true stages over all people that were not
trained on, for several random draws of people (`--first-seed`; the simulator was tuned on nights 100 to 207 and 500 to
505, which are left alone). Columns: the numbers as they are; after the night's own median and spread are removed; and
with the four epochs before and after. Wanted, of the numbers as they are: 0.45 to 0.75 from the band powers of the EEG,
0.15 to 0.45 from IBI and RESP; and heart rate alone must give nearly nothing.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import welch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import cohen_kappa_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sleep2vec.simulation.simulated_night import SimulatedNight, simulate_night
from sleep2vec.simulation.sites import SITES

Array = NDArray[np.float64]
Features = dict[str, Array]
BANDS_HZ = ((0.5, 2.0), (2.0, 4.0), (4.0, 8.0), (8.0, 12.0), (12.0, 15.0), (16.0, 30.0), (30.0, 45.0))
CHANNELS = ("C4-M1", "E1-M2", "Chin1-Chin2", "Abdomen")
SENSORS = {
    "heart rate": ("heart rate",),
    "IBI + RESP": ("ibi+resp",),
    "EEG": ("eeg",),
    "EEG + EOG + EMG": ("eeg", "eog", "emg"),
    "all": ("eeg", "eog", "emg", "ibi+resp"),
}
WANTED = {"EEG": (0.45, 0.75), "IBI + RESP": (0.15, 0.45)}
REACHES = {"as they are": None, "own night": 0, "own night, 9 epochs": 4}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=24)
    parser.add_argument("--hours", type=float, default=8.0)
    parser.add_argument("--seeds", type=int, default=3, help="independent draws of people")
    parser.add_argument("--first-seed", type=int, default=10000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results: dict[str, dict[str, list[float]]] = {name: {reach: [] for reach in REACHES} for name in SENSORS}
    for draw in range(options.seeds):
        first = options.first_seed + 1000 * draw
        found, stages = people(range(first, first + options.people), options.hours)
        for name, parts in SENSORS.items():
            for reach_name, reach in REACHES.items():
                results[name][reach_name].append(kappa_of(found, stages, parts, reach))
        print(f"people from {first}: EEG {results['EEG']['as they are'][-1]:.3f}", flush=True)
    print(table(results))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


def people(seeds: range, hours: float) -> tuple[list[Features], list[NDArray[np.int64]]]:
    """Features and true stages of one night of each of these people at site alpha."""
    needed = tuple(channel for channel in SITES["alpha"].channels if channel.label in CHANNELS)
    site = replace(SITES["alpha"], channels=needed)
    found, stages = [], []
    for seed in seeds:
        night = simulate_night(seed, site=site, hours=hours)
        found.append(features(night))
        stages.append(night.truth.stages_L.astype(int))
    return found, stages


def log_bands(x_LS: Array, rate_hz: float, bands: tuple[tuple[float, float], ...]) -> Array:
    hz, power_LF = welch(x_LS, rate_hz, nperseg=int(4 * rate_hz), axis=1)
    summed = [power_LF[:, (hz >= low) & (hz < high)].sum(axis=1) for low, high in bands]
    return np.log(np.stack(summed, axis=1) + 1e-12)


def features(night: SimulatedNight) -> Features:
    """For each sensor, (L, F) numbers an epoch. Beats are the true ones: detectors are judged elsewhere."""
    signals = {signal.label: signal for signal in night.recording.signals}

    def epochs(label: str) -> Array:
        return signals[label].samples.reshape(len(night.truth.stages_L), -1)

    beats = night.truth.beat_times_s
    grid_s = np.arange(len(night.truth.stages_L) * 120) / 4
    ibi = np.interp(grid_s, beats[1:], np.diff(beats)).reshape(-1, 120)
    belt = epochs("Abdomen")[:, ::4]
    power = np.abs(np.fft.rfft((belt - belt.mean(axis=1, keepdims=True)) * np.hanning(120), axis=1)[:, 3:18]) ** 2
    return {
        "eeg": log_bands(epochs("C4-M1"), 128, BANDS_HZ),
        "eog": log_bands(epochs("E1-M2"), 128, ((0.25, 0.75), (0.75, 2), (2, 5), (5, 12))),
        "emg": log_bands(epochs("Chin1-Chin2"), 128, ((10, 30), (30, 60))),
        "heart rate": 60 / ibi.mean(axis=1, keepdims=True),
        "ibi+resp": np.column_stack(
            [
                ibi.mean(axis=1),
                np.log(ibi.std(axis=1)),
                log_bands(ibi - ibi.mean(axis=1, keepdims=True), 4, ((0.03, 0.15), (0.15, 0.45))),
                power.max(axis=1) / power.sum(axis=1),
                (power * np.arange(3, 18)).sum(axis=1) / power.sum(axis=1),
                np.log(belt.std(axis=1)),
            ]
        ),
    }


def in_context(x_LF: Array, reach: int) -> Array:
    """Each epoch beside its neighbours, after the night's own median and spread are removed."""
    own = (x_LF - np.median(x_LF, axis=0)) / x_LF.std(axis=0)
    padded = np.pad(own, ((reach, reach), (0, 0)), mode="edge")
    return np.concatenate([padded[i : i + len(own)] for i in range(2 * reach + 1)], axis=1)


def kappa_of(
    found: list[Features], stages: list[NDArray[np.int64]], parts: tuple[str, ...], reach: int | None
) -> float:
    """Kappa over people never seen, four folds by person; `reach` None takes the numbers as they are."""
    joined = [np.concatenate([own[part] for part in parts], axis=1) for own in found]
    x = joined if reach is None else [in_context(x_LF, reach) for x_LF in joined]
    predicted = [np.zeros(0, dtype=int)] * len(x)
    for fold in range(4):
        rest = [i for i in range(len(x)) if i % 4 != fold]
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=200, tol=1e-3))
        model.fit(np.concatenate([x[i] for i in rest]), np.concatenate([stages[i] for i in rest]))
        for i in range(fold, len(x), 4):
            predicted[i] = model.predict(x[i])
    return float(cohen_kappa_score(np.concatenate(stages), np.concatenate(predicted)))


def table(results: dict[str, dict[str, list[float]]]) -> str:
    """Mean kappa over the draws, and the least and the most."""
    lines = [f"{'kappa, mean (least-most)':<26}" + "".join(f"{reach:>24}" for reach in REACHES)]
    for name, row in results.items():
        cells = "".join(f"{np.mean(k):>11.3f} ({min(k):.3f}-{max(k):.3f})" for k in row.values())
        lines.append(f"{name:<26}{cells}")
    for name, (low, high) in WANTED.items():
        kappas = results[name]["as they are"]
        met = all(low <= kappa <= high for kappa in kappas)
        lines.append(f"{'met' if met else 'NOT MET':<8}{name} as they are within {low:.2f}-{high:.2f} in every draw")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
