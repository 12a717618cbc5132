"""Nobody who taught an encoder may judge a model around it; the judge is the list of who was on which side."""

from datetime import datetime
from pathlib import Path

import pytest
import torch

from sleep2vec.data.people import PEOPLE, hashes_of, people_of, refuse_known_people
from sleep2vec.model.checkpoint import load_config, save_checkpoint
from sleep2vec.store.manifest import ManifestRow
from sleep2vec.vocabulary.errors import UsageError


def row(night_id: str, subject: str, family: str | None = None) -> ManifestRow:
    who = {"night_id": night_id, "subject_id": subject, "cohort": "c", "people": None, "family_id": family}
    said = {"visit": None, "site": None, "age_years": None, "sex": None, "measures": {}, "start": datetime(2024, 1, 1)}
    kept = {"source": "s", "source_fingerprint": "f", "checksum": "k", "provenance_hash": "p", "signals": {}}
    return ManifestRow(**who, **said, grid_start_s=0.0, n_tokens=100, n_scored_tokens=0, events={}, **kept)


def test_a_model_remembers_its_people_and_not_their_names(tmp_path: Path):
    taught = [row("n1", "Ann"), row("n2", "Ben", "f1"), row("n3", "Ann")]
    save_checkpoint(tmp_path, {"x": torch.zeros(1)}, {PEOPLE: sorted(hashes_of(taught))}, "")
    known = people_of(load_config(tmp_path))
    assert len(known) == 2
    text = (tmp_path / "config.json").read_text()
    assert not any(name in text for name in ("Ann", "ann", "Ben", "f1"))
    refuse_known_people(known, [row("n9", "Eve")], tmp_path)
    with pytest.raises(UsageError, match=r"was pretrained on 1 of the people .* \(c/ann\)"):
        refuse_known_people(known, [row("n9", "Eve"), row("n4", "ANN")], tmp_path)
    with pytest.raises(UsageError, match=r"\(c/sister\)"):
        refuse_known_people(known, [row("n5", "Sister", "f1")], tmp_path)


def test_a_model_of_before_says_nothing_of_its_people():
    assert people_of({"kind": "pretrained"}) == frozenset()
