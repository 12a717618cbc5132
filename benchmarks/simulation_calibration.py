"""The figures of the simulator's benchmarks as tables: for `sleep2vec simulate --report` and for docs/simulation.md.

    python benchmarks/simulation_calibration.py --yasa FILE --bands FILE --real FILE --test FILE --scorers FILE

The files are what `--json` of simulation_yasa, simulation_bands, simulation_real (calibration and test half) and
simulation_scorers wrote. Writes `src/sleep2vec/report/simulation_calibration.json` and prints the same as Markdown.
"""

import argparse
import json
from pathlib import Path
from typing import Any

PACKAGED = Path(__file__).resolve().parents[1] / "src/sleep2vec/report/simulation_calibration.json"
STAGES = ("W", "N1", "N2", "N3", "R")
HEART = ("W", "N1", "N2", "N3", "R")
Table = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("yasa", "bands", "real", "test", "scorers"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    files = {name: json.loads(path.read_text()) for name, path in vars(parser.parse_args()).items()}
    tables = [
        *of_yasa(files["yasa"]),
        of_bands(files["bands"]),
        of_scorers(files["scorers"]),
        *of_real(files["real"], files["test"]),
    ]
    PACKAGED.write_text(json.dumps(tables, indent=1) + "\n", encoding="utf-8")
    print("\n\n".join(map(markdown, tables)))


def of_yasa(found: dict[str, Any]) -> list[Table]:
    nights = len(found["nights"])
    least, low, middle, high, most = found["kappa_of_nights"]
    command = f"python benchmarks/simulation_yasa.py --nights {nights}"
    rows = [[stage, *(f"{share:.2f}" for share in row)] for stage, row in zip(STAGES, found["rows"], strict=True)]
    per_minute = [[name, *(f"{value:.1f}" for value in median)] for name, (median, _, _) in found["per_minute"].items()]
    wishes = [[wish, "met" if met else "not met"] for wish, met in found["bounds"].items()]
    return [
        {
            "title": "YASA stages simulated nights",
            "words": f"YASA was trained on thousands of real nights. {nights} simulated nights that nobody tuned on: "
            f"pooled kappa to the truth {found['kappa']:.2f}; of single nights {least:.2f} to {most:.2f}, quartiles "
            f"{low:.2f}, {middle:.2f}, {high:.2f}. Rows are the truth, columns what YASA says, shares of the row.",
            "command": command,
            "columns": ["truth", *STAGES],
            "rows": rows,
        },
        {
            "title": "What YASA's detectors find",
            "words": "Per minute of each stage, median over nights.",
            "command": command,
            "columns": ["", *STAGES],
            "rows": per_minute,
        },
        {
            "title": "What was wished of these figures",
            "words": "Bounds from published nights, and for the beats from what two detectors agree on.",
            "command": command,
            "columns": ["wish", ""],
            "rows": wishes,
        },
    ]


def of_bands(found: dict[str, Any]) -> Table:
    reaches = list(next(iter(found.values())))
    rows = [[name, *(f"{sum(k) / len(k):.2f}" for k in kappas.values())] for name, kappas in found.items()]
    return {
        "title": "Band powers alone do not solve it",
        "words": "Kappa of a logistic regression on band powers and their like, on simulated people that it never saw: "
        "single epochs, scaled by the person's own night, and with four epochs on either side.",
        "command": "python benchmarks/simulation_bands.py",
        "columns": ["sensors", *reaches],
        "rows": rows,
    }


def of_scorers(found: dict[str, Any]) -> Table:
    names = {"healthy_DODH": "healthy sleepers", "apnea_DODO": "people with apnea"}
    measured = {
        "kappa of two scorers": "two simulated",
        "kappa to the truth": "one, to the truth",
        "share of epochs in dispute": "epochs in dispute",
        "the same, after an epoch in dispute": "... after one in dispute",
        "the same, beside a change of stage": "... beside a change of stage",
    }
    rows = [
        [names.get(name, name), f"{parts['human kappa']:.3f}", *(f"{parts['simulated'][row]:.3f}" for row in measured)]
        for name, parts in found.items()
    ]
    return {
        "title": "Simulated scorers disagree as humans do",
        "words": "Kappa of two human scorers (80 nights of the Dreem Open Datasets, five scorers each) and what two "
        "simulated scorers of one simulated night do.",
        "command": "python benchmarks/simulation_scorers.py",
        "columns": ["", "two humans", *measured.values()],
        "rows": rows,
    }


def of_real(real: dict[str, Any], test: dict[str, Any]) -> list[Table]:
    def interval(values: list[float]) -> str:
        return f"{values[0]:.2f} ({values[1]:.2f}-{values[2]:.2f})"

    command = f"python benchmarks/simulation_real.py --nights {test['nights']} --half test"
    hard = [
        [
            "apnea minutes from heart beats (apnea_ecg): AUROC",
            *(interval(half["apnea"]["AUROC of minutes, pooled"]) for half in (real, test)),
        ],
        [
            "wake, NREM, REM from a watch's heart rate (sleep_accel): kappa by person",
            *(interval(half["watch"]["kappa by person, mean"]) for half in (real, test)),
        ],
        [
            "five stages from one EEG lead (ucddb 018, one person): kappa",
            "-",
            f"{test['eeg']['kappa']:.2f}",
        ],
    ]
    confusion = test["eeg"]["confusion (rows true W N1 N2 N3 R)"]
    heart = overlap_rows(test["watch"]["overlap"], HEART) + overlap_rows(test["beats"]["overlap"], HEART)
    minutes = overlap_rows(test["apnea"]["overlap"], ("normal minutes", "apnea minutes"))
    brain = overlap_rows(test["eeg"]["overlap"], STAGES[:4])
    return [
        {
            "title": "Trained on simulated nights only, tested on real ones",
            "words": f"Version {test['version']}. Real people were split first, half to calibrate on; intervals of "
            "95 % by people drawn again.",
            "command": command,
            "columns": ["task", "calibration half", "test half"],
            "rows": hard,
        },
        {
            "title": "ucddb 018 by a model that saw no real night",
            "words": "Epochs; rows are the scorer, columns the model.",
            "command": command,
            "columns": ["scorer", *STAGES],
            "rows": [[stage, *map(str, row)] for stage, row in zip(STAGES, confusion, strict=True)],
        },
        {
            "title": "Hearts: overlap of real and simulated",
            "words": "Of the histograms of each feature by stage, test half: 1 the same, 0 apart. Watches "
            "(sleep_accel), then beats (slpdb).",
            "command": command,
            "columns": ["feature", *HEART],
            "rows": heart,
        },
        {
            "title": "Minutes with and without apnea: overlap of real and simulated",
            "words": "Heart beats of apnea_ecg, test half.",
            "command": command,
            "columns": ["feature", "normal", "apnea"],
            "rows": minutes,
        },
        {
            "title": "One EEG lead: overlap of real and simulated",
            "words": "Band powers as shares, by stage; ucddb 018, one person.",
            "command": command,
            "columns": ["band", *STAGES[:4]],
            "rows": brain,
        },
    ]


def overlap_rows(overlap: dict[str, float], columns: tuple[str, ...]) -> list[list[str]]:
    features = list(dict.fromkeys(name.rpartition(", ")[0] for name in overlap))
    return [
        [feature, *(f"{overlap[f'{feature}, {c}']:.2f}" if f"{feature}, {c}" in overlap else "-" for c in columns)]
        for feature in features
    ]


def markdown(table: Table) -> str:
    head = f"| {' | '.join(table['columns'])} |\n|{'---|' * len(table['columns'])}"
    rows = "\n".join(f"| {' | '.join(row)} |" for row in table["rows"])
    return f"### {table['title']}\n`{table['command']}`\n\n{table['words']}\n\n{head}\n{rows}"


if __name__ == "__main__":
    main()
