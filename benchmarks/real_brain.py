"""One lead of EEG of a real person, a whole night: the shipped model beside YASA.

    python benchmarks/real_brain.py [--models tiny-tasks FOLDER ...] [--json FILE]

ucddb 018 (822 epochs of 30 s, scored by Rechtschaffen and Kales; its lead is taken for C3-A2) is read from the same
samples by YASA (Vallat and Walker, eLife 10 (2021): trained on thousands of real nights) and, through harmonisation and
predictor, by models of ours. Accuracy, kappa, recall by stage; epochs from which a model abstains count as wake. It is
one person: there is no interval. Needs `pip install sleep2vec[dev]`.

Dimension letters: L epochs, C stages.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from real_excerpts import UCDDB_UV, ucddb_nights
from real_people import UNKNOWN, BrainNight, brain_nights, real_folder
from sleep2vec.inference.predictor import load
from sleep2vec.metrics.agreement import agreement

STAGES = ("W", "N1", "N2", "N3", "R")
Floats = NDArray[np.float64]


def yasa_stages(night: BrainNight) -> Floats:
    """(L,) what YASA says of the lead."""
    import mne
    import yasa

    volts_T = UCDDB_UV * night.eeg_LS.reshape(1, -1) * 1e-6
    raw = mne.io.RawArray(volts_T, mne.create_info(["C3-A2"], night.rate_hz, "eeg"), verbose="error")
    told = yasa.SleepStaging(raw, eeg_name="C3-A2").predict()
    words = {"WAKE": 0, "W": 0, "N1": 1, "N2": 2, "N3": 3, "REM": 4, "R": 4}
    return np.array([words[str(word)] for word in getattr(told, "hypno", told)], dtype=float)


def our_stages(folder: Path, name: str, model: str) -> tuple[Floats, float]:
    """(L,) what a model of ours says of the same night, NaN where it abstains; the share of those."""
    night = next(night for night in ucddb_nights(folder) if name in night.night_id)
    told_LC = load(model).predict(night, tasks=["staging"], modalities=["eeg"]).probabilities
    answered_L = np.isfinite(told_LC[:, 0])
    said_L = np.where(answered_L, np.nan_to_num(told_LC).argmax(axis=1), np.nan)
    return said_L, float(1 - answered_L.mean())


def figures(scored_L: Floats, said_L: Floats) -> dict[str, Any]:
    """How well the two agree; an epoch that is not answered counts as wake, as nobody can leave it out."""
    judged = agreement(scored_L, np.nan_to_num(said_L, nan=0.0), len(STAGES))
    known = np.isfinite(scored_L)
    recalls = {
        stage: float(np.mean(said_L[known & (scored_L == code)] == code))
        for code, stage in enumerate(STAGES)
        if np.any(scored_L == code)
    }
    return {"accuracy": judged.accuracy, "kappa": judged.kappa, "recall": recalls}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["tiny-tasks"], help="names of shipped models, or folders")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    folder = real_folder()
    if folder is None:
        raise SystemExit("real excerpts: not here (set S2V_SHARED to the folder that holds real_data)")
    (night,) = brain_nights(folder, "test")
    scored_L = np.where(night.stages_L == UNKNOWN, np.nan, night.stages_L).astype(float)
    found: dict[str, Any] = {"YASA": figures(scored_L, yasa_stages(night))}
    for model in options.models:
        said_L, abstained = our_stages(folder, night.name, model)
        found[model] = {**figures(scored_L, said_L), "abstained": abstained}
    for name, told in found.items():
        recalls = ", ".join(f"{stage} {share:.2f}" for stage, share in told["recall"].items())
        share = f"; abstains from {told['abstained']:.1%}" if "abstained" in told else ""
        print(f"{name:16s} accuracy {told['accuracy']:.3f}, kappa {told['kappa']:.3f}; recall {recalls}{share}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
