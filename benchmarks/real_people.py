"""Real hearts and brains for `simulation_real.py`, split into people to calibrate on and people to test on.

The split was fixed before any figure: shuffled with `SPLIT_SEED`, the first half calibrates. apnea_ecg is split by
record, because its people are not known (c05 and c06 have the same beats and stay together); sleep_accel and slpdb by
person. The folder (see `S2V_SHARED`) holds parts of PhysioNet's apnea-ecg, sleep-accel, slpdb and ucddb (ODC-By).
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Half = Literal["calibration", "test"]
SPLIT_SEED = 4
# Rechtschaffen and Kales to W N1 N2 N3 R; what is not here is unknown.
_SLPDB_STAGE = {"W": 0, "1": 1, "2": 2, "3": 3, "4": 3, "R": 4}
_ACCEL_STAGE = {0: 0, 1: 1, 2: 2, 3: 3, 4: 3, 5: 4}
_UCDDB_STAGE = {0: 0, 1: 4, 2: 1, 3: 2, 4: 3, 5: 3}
UNKNOWN = -1


def real_folder() -> Path | None:
    """Where the real recordings lie, or None."""
    here = Path(__file__).resolve().parents[1]
    folder = Path(os.environ.get("S2V_SHARED", here.parent / "shared")) / "real_data"
    return folder if folder.is_dir() else None


def in_half(half: Half, people: Iterable[str]) -> list[str]:
    """The people of one half, sorted."""
    shuffled = sorted(set(people))
    np.random.default_rng(SPLIT_SEED).shuffle(shuffled)
    middle = (len(shuffled) + 1) // 2
    return sorted(shuffled[:middle] if half == "calibration" else shuffled[middle:])


@dataclass(frozen=True)
class BeatNight:
    """Beats (K,) of a night, and what was scored: stages (L,) per 30 s or apnea (M,) per minute."""

    name: str
    person: str
    times_s: NDArray[np.float64]
    stages_L: NDArray[np.int64] | None = None
    apnea_M: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class WatchNight:
    """Heart rate as a watch showed it: (K,) values in bpm at (K,) times in s; stages (L,) per 30 s."""

    person: str
    times_s: NDArray[np.float64]
    rate_bpm: NDArray[np.float64]
    stages_L: NDArray[np.int64]


@dataclass(frozen=True)
class BrainNight:
    """Scored epochs of one EEG lead, (L, S) in arbitrary units."""

    name: str
    rate_hz: float
    eeg_LS: NDArray[np.float64]
    stages_L: NDArray[np.int64]


def apnea_records(folder: Path, half: Half) -> list[BeatNight]:
    with np.load(folder / "apnea_ecg" / "apnea_ecg_rr_and_minute_labels.npz") as held:
        names = sorted({key.split("_")[0] for key in held.files})
        person = {name: "c05" if name == "c06" else name for name in names}
        mine = in_half(half, person.values())
        return [
            BeatNight(n, person[n], held[f"{n}_t_min"].astype(float) * 60, apnea_M=held[f"{n}_apnea"])
            for n in names
            if person[n] in mine
        ]


def staged_beats(folder: Path, half: Half) -> list[BeatNight]:
    """slpdb: the letters a and b of a number are two nights of one person."""
    with np.load(folder / "mitbih_slpdb" / "slpdb_rr_stage_apnea.npz") as held:
        names = sorted({key.split("_")[0] for key in held.files})
        mine = in_half(half, [name[:5] for name in names])
        nights = []
        for name in (n for n in names if n[:5] in mine):
            # Annotations stand at the beginnings of epochs of 7500 samples (250 Hz).
            epochs = np.round((held[f"{name}_ann_sample"] - 1) / 7500).astype(int)
            stages_L = np.full(epochs.max() + 1, UNKNOWN)
            for epoch, text in zip(epochs, held[f"{name}_ann_aux"], strict=True):
                stages_L[epoch] = _SLPDB_STAGE.get(str(text).split()[0], UNKNOWN)
            nights.append(BeatNight(name, name[:5], held[f"{name}_t_end_s"].astype(float), stages_L))
        return nights


def watch_nights(folder: Path, half: Half) -> list[WatchNight]:
    paths = {path.name.split("_")[0]: path for path in (folder / "sleep_accel" / "labels").iterdir()}
    nights = []
    for person in in_half(half, paths):
        labels = np.loadtxt(paths[person])
        times_s, rate_bpm = np.loadtxt(
            folder / "sleep_accel" / "heart_rate" / f"{person}_heartrate.txt", delimiter=","
        ).T
        stages_L = np.array([_ACCEL_STAGE.get(int(code), UNKNOWN) for code in labels[:, 1]])
        inside = (times_s > -600) & (times_s < 30 * len(stages_L) + 600)
        order = np.argsort(times_s[inside], kind="stable")
        nights.append(WatchNight(person, times_s[inside][order], rate_bpm[inside][order], stages_L))
    return nights


def brain_nights(folder: Path, half: Half) -> list[BrainNight]:
    """ucddb: night 018, the only whole one, is the test; the scraps of the other five calibrate."""
    nights = []
    for path in sorted((folder / "ucddb_eeg").glob("ucddb*_eeg_epochs.npz")):
        if (path.name[5:8] == "018") == (half == "test"):
            with np.load(path) as held:
                stages_L = np.array([_UCDDB_STAGE.get(int(code), UNKNOWN) for code in held["stage"]])
                nights.append(BrainNight(path.name[:8], 128.0, held["eeg_int16"] * float(held["scale"]), stages_L))
    return nights
