"""Nights and recordings of any shape, for the tests of the store."""

from datetime import datetime
from pathlib import Path

import numpy as np

from sleep2vec.formats.edf_writer import write_edf
from sleep2vec.vocabulary.modalities import MODALITIES
from sleep2vec.vocabulary.night import Night, Provenance
from sleep2vec.vocabulary.recording import Recording, Signal
from sleep2vec.vocabulary.stages import StageSpan
from sleep2vec.vocabulary.subject import Subject

STORY = Provenance(("C4", "M1"), "the first choice", "eeg", ("uV", "0.3-35 Hz"), 1.5, 12.25)


def made_night(night_id: str = "n1", modalities: tuple[str, ...] = ("eeg", "ibi"), n_tokens: int = 5, **facts) -> Night:
    """A night of random samples with a third of its tokens invalid and a hypnogram with holes."""
    draw = np.random.default_rng(facts.pop("seed", [n_tokens, *night_id.encode()]))
    samples, valid = {}, {}
    for name in modalities:
        valid[name] = draw.random(n_tokens) > 0.33
        tokens_LS = draw.normal(3.0, 50.0, (n_tokens, MODALITIES[name].samples_per_token)).astype(np.float32)
        samples[name] = (tokens_LS * valid[name][:, None]).reshape(-1)
    stages_L = draw.integers(0, 5, n_tokens).astype(np.float32)
    stages_L[draw.random(n_tokens) > 0.7] = np.nan
    given = {"subject": Subject("p1", 61.5, "female"), "grid_start_s": 7.5, "stages": stages_L} | facts
    return Night(night_id, n_tokens=n_tokens, samples=samples, valid=valid, provenance=dict.fromkeys(modalities, STORY),
                 **given)  # fmt: skip


def made_recording(path: Path, seed: int, minutes: float = 3.0) -> Path:
    """An EDF+ of one EEG and one SpO2 with a hypnogram."""
    draw = np.random.default_rng(seed)
    n_s = round(minutes * 60)
    eeg = np.convolve(draw.normal(0, 60, n_s * 128), np.ones(8) / 8, "same")
    spo2 = np.clip(95 + np.cumsum(draw.normal(0, 0.05, n_s)), 80, 100)
    stages = tuple(StageSpan(30.0 * i, 30.0, int(draw.integers(5))) for i in range(n_s // 30))
    signals = (Signal.from_array("C4-M1", eeg, 128.0, "uV", (-500, 500)), Signal.from_array("SpO2", spo2, 1.0, "%"))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_edf(path, Recording(signals, float(n_s), datetime(2024, 3, 1, 22, 30), stages))
    return path
