"""Real nights against simulated ones: how alike they are, and whether what is learnt on simulated holds on real.

(a) Overlap (0 none, 1 all) of the histograms of real and simulated features for each stage, and of apnea and normal
minutes. (b) Trained on simulated nights only, tested on real ones: apnea minutes from RR intervals (apnea_ecg; AUROC),
wake/NREM/REM from the heart rate of a watch (sleep_accel; Cohen's kappa), five stages from one EEG lead (ucddb 018).
The real people were split before anything else (`real_people.py`): the simulator is calibrated on one half, and the
other is looked at once for a version of the simulator, by `--half test`.

    python benchmarks/simulation_real.py [--half test] [--parts apnea,watch,beats,eeg] [--plots DIR] [--json FILE]

Needs the folder of real excerpts (`S2V_SHARED`, default `../shared`).
"""

import argparse
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import cohen_kappa_score, confusion_matrix, roc_auc_score

from heart_features import (
    Floats,
    apnea_features,
    band_powers,
    staging_features,
    variability,
    watch_features,
)
from real_people import (
    SPLIT_SEED,
    UNKNOWN,
    BeatNight,
    WatchNight,
    apnea_records,
    brain_nights,
    real_folder,
    staged_beats,
    watch_nights,
)
from simulated_people import (
    ADULTS,
    CLINIC,
    HEALTHY,
    MEN_WITH_APNEA,
    simulated_beats,
    simulated_brain,
    through_a_watch,
)

STAGES = ("W", "N1", "N2", "N3", "R")
# Name of a feature and class -> (real values, simulated values).
Compared = dict[tuple[str, str], tuple[Floats, Floats]]
Features = dict[str, Floats]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--half", choices=("calibration", "test"), default="calibration")
    parser.add_argument("--parts", default="apnea,watch,beats,eeg")
    parser.add_argument("--nights", type=int, default=80, help="simulated nights to train on, for each part")
    parser.add_argument("--plots", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    folder = real_folder()
    if folder is None:
        print("The real recordings are not here; set S2V_SHARED to the folder that holds real_data. Nothing was done.")
        return
    print(f"simulator {version()}, {options.half} half (split seed {SPLIT_SEED}), {options.nights} simulated nights")
    results: dict[str, Any] = {"version": version(), "half": options.half, "nights": options.nights}
    compared: dict[str, Compared] = {}
    for part in options.parts.split(","):
        results[part], compared[part] = PARTS[part](folder, options.half, options.nights)
        results[part]["overlap"] = {f"{f}, {c}": overlap(*pair) for (f, c), pair in compared[part].items()}
        report(part, results[part])
    if options.plots:
        draw_plots(options.plots, compared)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


def version() -> str:
    found = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
        check=False,
    )
    return found.stdout.strip() or "unknown"


def apnea(folder: Path, half: Any, n_nights: int) -> tuple[dict[str, Any], Compared]:
    def told(night: BeatNight) -> tuple[Features, Floats]:
        assert night.apnea_M is not None
        return apnea_features(night.times_s, len(night.apnea_M)), night.apnea_M.astype(float)

    simulated = [told(simulated_beats(seed, CLINIC)) for seed in range(n_nights)]
    nights = apnea_records(folder, half)
    real = [told(night) for night in nights]
    model = learner().fit(matrix(simulated), np.concatenate([y for _, y in simulated]))
    scores = [model.predict_proba(matrix([night]))[:, 1] for night in real]
    truths = [y for _, y in real]

    def pooled(rows: list[int]) -> float:
        return float(
            roc_auc_score(np.concatenate([truths[i] for i in rows]), np.concatenate([scores[i] for i in rows]))
        )

    # A record needs both kinds of minutes for a figure of its own.
    by_record = {
        night.name: float(roc_auc_score(y, score))
        for night, y, score in zip(nights, truths, scores, strict=True)
        if 10 <= y.sum() <= len(y) - 10
    }
    people = [night.person for night in nights]
    figures = {
        "AUROC of minutes, pooled": with_interval(pooled, people),
        "AUROC by record, mean": float(np.mean(list(by_record.values()))),
        "AUROC by record": by_record,
        "records": len(nights),
    }
    named = {0.0: "normal minutes", 1.0: "apnea minutes"}
    names = ("level", "cyclic 3", "cyclic share 3", "LF share 3", "HF share 3", "regularity 5", "lag 5", "skewness")
    return figures, compare(real, simulated, names, named)


def watch(folder: Path, half: Any, n_nights: int) -> tuple[dict[str, Any], Compared]:
    def told(night: WatchNight) -> tuple[Features, Floats]:
        known = night.stages_L != UNKNOWN
        found = watch_features(night.times_s, night.rate_bpm, len(known))
        return {name: x[known] for name, x in found.items()}, night.stages_L[known].astype(float)

    simulated = [told(through_a_watch(simulated_beats(seed, HEALTHY), seed)) for seed in range(1000, 1000 + n_nights)]
    nights = watch_nights(folder, half)
    real = [told(night) for night in nights]
    three = [0, 1, 1, 1, 2]
    y = np.take(three, np.concatenate([y for _, y in simulated]).astype(int))
    # Each class counts by the root of its rarity: argmax of probabilities of a rare class is seldom it.
    model = learner().fit(matrix(simulated), y, sample_weight=np.sqrt(1 / np.bincount(y)[y]))
    truths = [np.take(three, y.astype(int)) for _, y in real]
    guesses = [model.predict(matrix([night])) for night in real]

    def pooled(rows: list[int]) -> float:
        return float(
            cohen_kappa_score(np.concatenate([truths[i] for i in rows]), np.concatenate([guesses[i] for i in rows]))
        )

    by_person = [float(cohen_kappa_score(t, g)) for t, g in zip(truths, guesses, strict=True)]
    people = [night.person for night in nights]
    figures = {
        "kappa by person, mean": with_interval(lambda rows: float(np.mean([by_person[i] for i in rows])), people),
        "kappa, pooled": with_interval(pooled, people),
        "kappa by person": dict(zip(people, by_person, strict=True)),
        "confusion (rows true W, NREM, REM)": confusion_matrix(
            np.concatenate(truths), np.concatenate(guesses)
        ).tolist(),
        "people": len(people),
    }
    names = ("level 60", "level 600", "spread 60", "spread 300", "spread 1200", "surge 120")
    return figures, compare(real, simulated, names, dict(enumerate(STAGES)))


def beats(folder: Path, half: Any, n_nights: int) -> tuple[dict[str, Any], Compared]:
    def told(night: BeatNight) -> tuple[Features, Floats]:
        assert night.stages_L is not None
        known = night.stages_L != UNKNOWN
        found = variability(night.times_s, len(known), 30)
        return {name: x[known] for name, x in found.items()}, night.stages_L[known].astype(float)

    real = [told(night) for night in staged_beats(folder, half)]
    simulated = [told(simulated_beats(seed, MEN_WITH_APNEA, 6.0)) for seed in range(2000, 2000 + n_nights)]
    names = ("rate", "log RMSSD", "log SDNN", "log LF", "log HF")
    return {"nights": len(real)}, compare(real, simulated, names, dict(enumerate(STAGES)))


def eeg(folder: Path, half: Any, n_nights: int) -> tuple[dict[str, Any], Compared]:
    real = brain_nights(folder, half)
    simulated = [simulated_brain(seed, ADULTS) for seed in range(max(n_nights // 2, 2))]
    figures: dict[str, Any] = {"nights": len(real)}
    if half == "test":
        x = matrix([(staging_features(night.eeg_LS, night.rate_hz), night.stages_L) for night in simulated])
        y = np.concatenate([night.stages_L for night in simulated])
        model = learner().fit(x, y, sample_weight=np.sqrt(1 / np.bincount(y)[y]))
        (night,) = real
        known = night.stages_L != UNKNOWN
        guess = model.predict(matrix([(staging_features(night.eeg_LS, night.rate_hz), night.stages_L)]))[known]
        figures["kappa"] = float(cohen_kappa_score(night.stages_L[known], guess))
        figures["confusion (rows true W N1 N2 N3 R)"] = confusion_matrix(
            night.stages_L[known], guess, labels=range(5)
        ).tolist()
    pairs = [
        [(band_powers(night.eeg_LS, night.rate_hz), night.stages_L.astype(float)) for night in nights]
        for nights in (real, simulated)
    ]
    return figures, compare(*pairs, ("slow", "delta", "theta", "alpha", "sigma", "beta"), dict(enumerate(STAGES)))


PARTS: dict[str, Callable[[Path, Any, int], tuple[dict[str, Any], Compared]]] = {
    "apnea": apnea,
    "watch": watch,
    "beats": beats,
    "eeg": eeg,
}


def learner() -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(
        max_iter=150, learning_rate=0.06, max_leaf_nodes=12, min_samples_leaf=200, l2_regularization=5.0, random_state=0
    )


def matrix(nights: list[tuple[Features, Any]]) -> Floats:
    return np.concatenate([np.column_stack(list(found.values())) for found, _ in nights])


def with_interval(figure: Callable[[list[int]], float], people: list[str], n: int = 1000) -> list[float]:
    """The figure and its 95 % interval by drawing people (all nights of one together) with replacement."""
    rng = np.random.default_rng(0)
    nights_of = [[i for i, other in enumerate(people) if other == one] for one in sorted(set(people))]
    drawn = [
        figure([row for k in rng.integers(0, len(nights_of), len(nights_of)) for row in nights_of[k]]) for _ in range(n)
    ]
    return [figure(list(range(len(people)))), *np.percentile(drawn, [2.5, 97.5]).tolist()]


def compare(
    real: list[tuple[Features, Floats]],
    simulated: list[tuple[Features, Floats]],
    names: tuple[str, ...],
    classes: dict[Any, str],
) -> Compared:
    """Real and simulated values of each feature in each class, where there are at least 20 of both."""
    pairs: Compared = {}
    for name in names:
        for code, called in classes.items():
            both = [np.concatenate([x[name][y == code] for x, y in nights]) for nights in (real, simulated)]
            if min(len(values) for values in both) >= 20:
                pairs[name, called] = (both[0], both[1])
    return pairs


def overlap(real: Floats, simulated: Floats, n_bins: int = 30) -> float:
    """Area that two normalised histograms share, bins between the 0.5 and 99.5 % points of the real and simulated."""
    low = min(np.percentile(real, 0.5), np.percentile(simulated, 0.5))
    high = max(np.percentile(real, 99.5), np.percentile(simulated, 99.5))
    edges = np.linspace(low, high, n_bins + 1)
    shares = [np.histogram(np.clip(x, low, high), edges)[0] / len(x) for x in (real, simulated)]
    return float(np.minimum(*shares).sum())


def report(part: str, figures: dict[str, Any]) -> None:
    print(f"\n## {part}")
    for name, value in figures.items():
        if name == "overlap":
            continue
        if isinstance(value, list) and isinstance(value[0], float):
            print(f"{name}: {value[0]:.3f} (95 % interval {value[1]:.3f} to {value[2]:.3f})")
        elif isinstance(value, dict):
            print(f"{name}: " + ", ".join(f"{key} {x:.2f}" for key, x in value.items()))
        else:
            print(f"{name}: {value:.3f}" if isinstance(value, float) else f"{name}: {value}")
    table: dict[str, dict[str, float]] = {}
    for name, value in figures["overlap"].items():
        feature, called = name.split(", ")
        table.setdefault(feature, {})[called] = value
    columns = list(dict.fromkeys(called for row in table.values() for called in row))
    print("\n| overlap | " + " | ".join(columns) + " |\n|---" * 1 + "|---" * len(columns) + "|")
    for feature, row in table.items():
        print(f"| {feature} | " + " | ".join(f"{row[c]:.2f}" if c in row else "" for c in columns) + " |")


def draw_plots(folder: Path, compared: dict[str, Compared]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    for part, pairs in compared.items():
        features = list(dict.fromkeys(name for name, _ in pairs))
        classes = list(dict.fromkeys(called for _, called in pairs))
        figure, axes = pyplot.subplots(
            len(features), len(classes), figsize=(2.6 * len(classes), 1.7 * len(features)), squeeze=False
        )
        for (name, called), (real, simulated) in pairs.items():
            axis = axes[features.index(name)][classes.index(called)]
            edges = np.linspace(*np.percentile(np.concatenate([real, simulated]), [0.5, 99.5]), 31)
            axis.hist(real, edges, density=True, alpha=0.6, label="real")
            axis.hist(simulated, edges, density=True, histtype="step", linewidth=1.5, label="simulated")
            axis.set_title(f"{name}, {called}", fontsize=8)
            axis.tick_params(labelsize=6)
            axis.set_yticks([])
        axes[0][0].legend(fontsize=6)
        figure.tight_layout()
        figure.savefig(folder / f"{part}.png", dpi=110)
        pyplot.close(figure)


if __name__ == "__main__":
    main()
