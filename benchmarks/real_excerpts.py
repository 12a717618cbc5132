"""The real excerpts with heart beats or EEG as nights of a store: what the front end knows, made by our own means.

sleep_accel has the heart rate that a watch showed (21 people, stages), slpdb beats placed by their times (13 nights of
11 people, stages), apnea_ecg the same (35 nights, apnea by the minute), ucddb one lead of EEG (6 nights, stages). A
store keeps stages and nothing else by token, so that the minutes of apnea_ecg stand in their place: 0 normal, 1 apnea,
both tokens of the minute alike. Such stores are for this study only.

Dimension letters: K beats, L tokens, N samples at 4 Hz, T seconds.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from real_people import UNKNOWN, BeatNight, WatchNight, apnea_records, brain_nights, staged_beats, watch_nights
from sleep2vec.harmonization.beat_shape import Beats
from sleep2vec.harmonization.intervals import intervals_on_grid
from sleep2vec.harmonization.pipeline import harmonize
from sleep2vec.harmonization.waveform import from_values
from sleep2vec.store.manifest import write_manifest
from sleep2vec.store.reader import Store
from sleep2vec.store.writer import create_store, write_night
from sleep2vec.vocabulary.modalities import MODALITIES, TOKEN_SECONDS
from sleep2vec.vocabulary.night import Night, Provenance
from sleep2vec.vocabulary.recording import Recording, Signal
from sleep2vec.vocabulary.stages import StageSpan
from sleep2vec.vocabulary.subject import Subject

_LONGEST_SHOWN_S = 15.0
"""A watch shows a rate every 5 s; one that is older than this is no longer taken for the heart's."""
UCDDB_UV = 100.0
"""The excerpts of ucddb are in arbitrary units, full scale 3.7; taken for so many microvolts the epochs of six nights
have a usual size (rms) of 13 to 48 uV. Without it, quality takes most of them for a lead that fell off."""


def store_of(folder: Path, nights: Iterator[Night]) -> Store:
    """The nights in a store, written once."""
    if not (folder / "manifest.parquet").exists():
        create_store(folder)
        for night in nights:
            write_night(folder, night)
        write_manifest(folder)
    return Store(folder)


def accel_nights(folder: Path) -> Iterator[Night]:
    """sleep_accel: intervals from the watch's rate, as from any device's, and stages."""
    for half in ("calibration", "test"):
        for night in watch_nights(folder, half):  # type: ignore[arg-type]
            yield replace(harmonize(_recording_of(night), modalities=("ibi",)), cohort="sleep_accel")


def apnea_nights(folder: Path) -> Iterator[Night]:
    """apnea_ecg: intervals between beats, and apnea in the place of stages."""
    for half in ("calibration", "test"):
        for night in apnea_records(folder, half):  # type: ignore[arg-type]
            assert night.apnea_M is not None
            yield _night_of(night, np.repeat(night.apnea_M, 2).astype(np.float32), "apnea_ecg")


def slpdb_nights(folder: Path) -> Iterator[Night]:
    """slpdb: intervals between beats, and stages."""
    for half in ("calibration", "test"):
        for night in staged_beats(folder, half):  # type: ignore[arg-type]
            assert night.stages_L is not None
            stages_L = np.where(night.stages_L == UNKNOWN, np.nan, night.stages_L).astype(np.float32)
            yield _night_of(night, stages_L, "slpdb")


def ucddb_nights(folder: Path) -> Iterator[Night]:
    """ucddb: one lead of EEG and stages; epochs that are not there are gaps."""
    for half in ("calibration", "test"):
        for night in (n for n in brain_nights(folder, half) if n.name.startswith("ucddb")):  # type: ignore[arg-type]
            with np.load(folder / "ucddb_eeg" / f"{night.name}_eeg_epochs.npz") as held:
                epochs = held["epoch_index"] - held["epoch_index"].min()
            n_tokens = int(epochs.max()) + 1
            eeg_LS = np.full((n_tokens, night.eeg_LS.shape[1]), np.nan, dtype=np.float32)
            eeg_LS[epochs] = UCDDB_UV * night.eeg_LS
            stages: list[int | None] = [None] * n_tokens
            for epoch, code in zip(epochs, night.stages_L, strict=True):
                stages[epoch] = None if code == UNKNOWN else int(code)
            recording = Recording(
                signals=(Signal.from_array("EEG C3-A2", eeg_LS.ravel(), night.rate_hz, "uV"),),
                duration_s=float(TOKEN_SECONDS * n_tokens),
                stages=tuple(
                    StageSpan(float(TOKEN_SECONDS * place), float(TOKEN_SECONDS), code)
                    for place, code in enumerate(stages)
                ),
                subject=Subject(subject_id=night.name),
                source=f"{night.name}.npz",
            )
            yield replace(harmonize(recording, modalities=("eeg",)), cohort="ucddb")


def _recording_of(night: WatchNight) -> Recording:
    duration_s = float(TOKEN_SECONDS * len(night.stages_L))
    spans = [
        StageSpan(float(TOKEN_SECONDS * place), float(TOKEN_SECONDS), None if code == UNKNOWN else int(code))
        for place, code in enumerate(night.stages_L)
    ]
    rate_T = shown_each_second(night.times_s, night.rate_bpm, int(duration_s))
    return Recording(
        signals=(Signal.from_array("HR", rate_T, 1.0, "bpm"),),
        duration_s=duration_s,
        stages=tuple(spans),
        subject=Subject(subject_id=night.person),
        source=f"accel-{night.person}.txt",
    )


def shown_each_second(times_s: NDArray[np.float64], rate_bpm: NDArray[np.float64], n_s: int) -> NDArray[np.float32]:
    """(T,) the last rate shown at each second from 0 on; NaN where none was shown for `_LONGEST_SHOWN_S`."""
    at_s = np.arange(n_s)
    last_T = np.searchsorted(times_s, at_s, side="right") - 1
    fresh_T = (last_T >= 0) & (at_s - times_s[np.maximum(last_T, 0)] <= _LONGEST_SHOWN_S)
    return np.where(fresh_T, rate_bpm[np.maximum(last_T, 0)], np.nan).astype(np.float32)


def _night_of(night: BeatNight, stages_L: NDArray[np.float32], cohort: str) -> Night:
    n_tokens = len(stages_L)
    n_beats = len(night.times_s)
    beats = Beats(night.times_s, np.ones(n_beats), np.ones(n_beats, dtype=bool))
    rate_hz = MODALITIES["ibi"].rate_hz
    values_N = intervals_on_grid(beats, np.arange(n_tokens * TOKEN_SECONDS * rate_hz) / rate_hz)
    story = Provenance(
        ("beats",), "beats as PhysioNet gives them", "ecg", ("at the middle of each interval",), 0.0, 1.0
    )
    made = from_values(values_N, "ibi", n_tokens, story, (0,))
    return Night(
        night_id=night.name,
        subject=Subject(subject_id=night.person),
        n_tokens=n_tokens,
        grid_start_s=0.0,
        samples={"ibi": made.samples_N},
        valid={"ibi": made.valid_L},
        provenance={"ibi": made.provenance},
        stages=stages_L,
        cohort=cohort,
        source=night.name,
    )
