"""The real excerpts with heart beats as nights of a store: what the front end knows, made by the package's own means.

sleep_accel has the heart rate that a watch showed (21 people, stages), apnea_ecg beats placed by their times (35
nights, apnea by the minute). A store keeps stages and nothing else by token, so that the minutes of apnea_ecg stand in
their place: 0 normal, 1 apnea, both tokens of the minute alike. Such stores are for this study only.

Dimension letters: K beats, L tokens, N samples at 4 Hz, T seconds.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from real_people import UNKNOWN, BeatNight, WatchNight, apnea_records, watch_nights
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
            yield _night_of(night)


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


def _night_of(night: BeatNight) -> Night:
    assert night.apnea_M is not None
    n_tokens = 2 * len(night.apnea_M)
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
        stages=np.repeat(night.apnea_M, 2).astype(np.float32),
        cohort="apnea_ecg",
        source=night.name,
    )
