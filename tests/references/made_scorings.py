"""Nights of which only what is known of them matters: manifest rows and scorings made up in memory."""

import numpy as np

from sleep2vec.data.scoring import Scoring
from sleep2vec.store.manifest import ManifestRow
from sleep2vec.tasks.task import Answered


def made_row(night_id="n", n_tokens=10, age=None, sex=None, measures=None, **more) -> ManifestRow:
    held = {
        "subject_id": night_id, "cohort": "made", "people": None, "family_id": None, "visit": None, "site": None,
        "start": None, "grid_start_s": 0.0, "n_scored_tokens": 0, "events": {}, "source": "", "source_fingerprint": "",
        "checksum": "", "provenance_hash": "", "signals": {},
    }  # fmt: skip
    person = {"age_years": age, "sex": sex, "measures": measures or {}}
    return ManifestRow(night_id=night_id, n_tokens=n_tokens, **person, **{**held, **more})


def made_scoring(row=None, stages=None, events=(), answered=()) -> Scoring:
    row = made_row() if row is None else row
    stages = np.full(row.n_tokens, np.nan) if stages is None else stages
    return Scoring(row, np.asarray(stages, dtype=np.float32), tuple(events), frozenset(answered))


def answered(scoring, output) -> Answered:
    return Answered(scoring=scoring, output=np.asarray(output, dtype=np.float32))
