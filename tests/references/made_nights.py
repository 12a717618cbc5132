"""Small nights made up in memory, for tests of what reads a store."""

from pathlib import Path

import numpy as np

from sleep2vec.store.manifest import write_manifest
from sleep2vec.store.reader import Store
from sleep2vec.store.writer import create_store, write_night
from sleep2vec.vocabulary.modalities import MODALITIES
from sleep2vec.vocabulary.night import Night, Provenance
from sleep2vec.vocabulary.subject import Subject

SLOW = ("airflow", "belt", "spo2", "resp")  # 4 Hz: cheap
_SENSOR = {"ibi": "ecg", "resp": "belt"}


def made_night(
    night_id: str,
    seed: int,
    n_tokens: int = 40,
    modalities=SLOW,
    valid_share: float = 0.9,
    subject: Subject | None = None,
    site: str | None = "here",
    stages=None,
    samples=None,
) -> Night:
    """Noise of the size the modality has; invalid tokens hold 0, as the contract says. `samples` replaces noise."""
    draw = np.random.default_rng(seed)
    noise, valid, provenance = {}, {}, {}
    for name in modalities:
        table = MODALITIES[name]
        valid_L = draw.random(n_tokens) < valid_share
        centre, spread = (table.centre, table.spread) if not table.night_scaled else (5.0 + seed % 3, 2.0)
        values_LS = centre + spread * draw.standard_normal((n_tokens, table.samples_per_token))
        if samples is not None and name in samples:
            values_LS = samples[name]
        noise[name] = np.where(valid_L[:, None], values_LS, 0.0).astype(np.float32).ravel()
        valid[name] = valid_L
        provenance[name] = Provenance((name,), "made up", _SENSOR.get(name, name), ("made",), centre, spread)
    subject = Subject(subject_id=night_id) if subject is None else subject
    return Night(night_id, subject, n_tokens, 0.0, noise, valid, provenance, stages=stages, cohort="made", site=site)


def store_of(folder: Path, nights) -> Store:
    """Nights written to a new store, opened for reading."""
    create_store(folder)
    for night in nights:
        write_night(folder, night)
    write_manifest(folder)
    return Store(folder)
