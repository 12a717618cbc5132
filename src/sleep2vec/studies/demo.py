"""The whole story on simulated nights: the stages of a person no model has seen, and how to come to such a model.

The steps are the commands a person would type; each is printed before it runs.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from sleep2vec.formats.edf_writer import write_edf
from sleep2vec.metrics.agreement import agreement
from sleep2vec.model.shipped import STAGING
from sleep2vec.simulation.faults import Fault
from sleep2vec.simulation.simulated_night import simulate_night
from sleep2vec.studies.measured_command import Cost, run_measured
from sleep2vec.vocabulary.errors import UsageError
from sleep2vec.vocabulary.stages import FIVE, STAGE_NAMES, Hypnogram, Scheme, regroup_hypnogram

N_NIGHTS = 24
HOURS = 4.0
UNSEEN_HOURS = 7.0
UNSEEN_SITE = "alpha"
UNSEEN_SEED_OFFSET = 900_000
"""Seeds of simulated cohorts are mixed with a number a person, so this one belongs to nobody in them."""

SIMULATED_NOTE = (
    "The weights come from simulated nights, and so does the truth: these figures show that the software works, "
    "not how well it stages people."
)


@dataclass(frozen=True)
class SensorSet:
    """A way to read the unseen night."""

    name: str
    recording: str
    modalities: tuple[str, ...] = ()


OWN = "all sensors, own model"

SENSOR_SETS = (
    SensorSet("all sensors", "night"),
    SensorSet("EEG alone", "night", ("eeg",)),
    SensorSet("IBI + RESP", "night", ("ibi", "resp")),
    SensorSet("EEG falls off halfway", "night-eeg-off"),
)


def run_demo(folder: Path, seed: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Run every step below `folder` and return what ``results.json`` then holds.

    Raises:
        UsageError: `folder` holds something that no demo made.
        Sleep2vecError: a step failed.
    """
    _prepare(folder)
    costs: dict[str, Cost] = {}

    def step(name: str, *arguments: str | Path) -> None:
        words = [str(argument) for argument in arguments]
        say(f"$ sleep2vec {' '.join(words)}")
        costs[name] = run_measured(words)

    def predicted(sensors: SensorSet, *model: str | Path) -> dict[str, Any]:
        name = f"{sensors.name}{', own model' if model else ''}"
        out = folder / "predictions" / name.lower().replace(" + ", "-").replace(", ", "-").replace(" ", "-")
        chosen = ["--modalities", ",".join(sensors.modalities)] if sensors.modalities else []
        step(
            f"predict, {name}", "predict", folder / "unseen" / f"{sensors.recording}.edf", *model, "--out", out, *chosen
        )
        return score(json.loads((out / "result.json").read_text(encoding="utf-8")), truth_L)

    say(f"a {UNSEEN_HOURS:g} h night of a person no model here has seen, and the same night with the EEG lost halfway")
    truth_L = write_unseen(folder / "unseen", seed)
    say(f"staged by {STAGING}, which comes with sleep2vec:")
    scores = {sensors.name: predicted(sensors) for sensors in SENSOR_SETS}
    shutil.copyfile(folder / "predictions" / "all-sensors" / "night.html", folder / "night.html")
    say("the same from nothing, with a smaller model: nights of four sites, a store, pretraining, fine-tuning")
    recordings, store, pretrained, staging = (
        folder / name for name in ("recordings", "store", "pretrained", "staging")
    )
    step("simulate", "simulate", recordings, "--nights", str(N_NIGHTS), "--hours", str(HOURS), "--seed", str(seed))
    step("ingest", "ingest", recordings, store)
    step("pretrain", "pretrain", "--recipe", "tiny-demo", "--set", f"store={store}", "--set", f"out={pretrained}")
    step("report", "report", pretrained)
    step(
        "finetune", "finetune", "--recipe", "tiny-demo-staging", "--set", f"store={store}",
        "--set", f"pretrained={pretrained}", "--set", f"out={staging}",
    )  # fmt: skip
    scores[OWN] = predicted(SENSOR_SETS[0], "--model", staging)
    results = {
        "sleep2vec_version": version("sleep2vec"),
        "seed": seed,
        "simulated": True,
        "note": SIMULATED_NOTE,
        "sensor_sets": scores,
        "steps": {name: {k: round(v, 1) for k, v in asdict(cost).items()} for name, cost in costs.items()},
    }
    (folder / "results.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
    return results


def write_unseen(folder: Path, seed: int) -> Hypnogram:
    """Write the unseen night whole and with the EEG lost halfway; returns how the person slept, (L,)."""
    folder.mkdir(parents=True)
    lost = Fault("eeg", "off", from_s=UNSEEN_HOURS * 3600 / 2)
    for name, faults in (("night", ()), ("night-eeg-off", (lost,))):
        simulated = simulate_night(UNSEEN_SEED_OFFSET + seed, site=UNSEEN_SITE, hours=UNSEEN_HOURS, faults=faults)
        write_edf(folder / f"{name}.edf", simulated.recording)
    return np.asarray(simulated.truth.stages_L, dtype=np.float32)


def score(result: dict[str, Any], truth_L: Hypnogram) -> dict[str, Any]:
    """Agreement of a ``result.json`` with the truth, in five classes, and kappa in four and three."""
    scores: dict[str, Any] = {"modalities": list(result["modalities"]), "abstained": len(result["abstained_epochs"])}
    for scheme in STAGE_NAMES:
        judged = agreement(regroup_hypnogram(truth_L, scheme), _codes(result["stages"][str(scheme)], scheme), scheme)
        if scheme == 5:
            scores |= {
                "accuracy": judged.accuracy,
                "kappa": judged.kappa,
                "macro_f1": judged.macro_f1,
                "f1_per_stage": dict(zip(FIVE, judged.f1_per_class, strict=True)),
                "confusion": judged.confusion_CC.tolist(),
            }
        else:
            scores[f"kappa_{scheme}_classes"] = judged.kappa
    return scores


def table(results: dict[str, Any]) -> str:
    """The results for a terminal."""
    lines = [
        "",
        "A night the model never saw, against its known truth:",
        f"{'sensors':<24}{'accuracy':>9}{'kappa':>8}{'macro-F1':>10}{'kappa 4':>9}{'kappa 3':>9}{'abstained':>11}",
    ]
    for name, scores in results["sensor_sets"].items():
        figures = [scores[k] for k in ("accuracy", "kappa", "macro_f1", "kappa_4_classes", "kappa_3_classes")]
        cells = ["-" if value is None else f"{value:.2f}" for value in figures]
        widths = (9, 8, 10, 9, 9)
        row = "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        lines.append(f"{name:<24}{row}{scores['abstained']:>11}")
    seconds = sum(cost["seconds"] for cost in results["steps"].values())
    peak = max(cost["peak_memory_mb"] for cost in results["steps"].values())
    lines += ["", f"{seconds:.0f} s in all, at most {peak / 1000:.1f} GB of memory.", results["note"]]
    return "\n".join(lines)


def _prepare(folder: Path) -> None:
    """Empty the folder of an earlier demo, and of nothing else."""
    marker = folder / ".sleep2vec-demo"
    if folder.exists() and any(folder.iterdir()) and not marker.exists():
        raise UsageError(f"{folder} exists and holds something that no demo made; name another folder with --out.")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    marker.touch()


def _codes(words: list[str | None], scheme: Scheme) -> Hypnogram:
    names = STAGE_NAMES[scheme]
    return np.array([np.nan if word is None else names.index(word) for word in words], dtype=np.float32)
