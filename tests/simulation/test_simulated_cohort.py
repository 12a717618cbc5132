"""Cohorts on disk: the same bytes for the same seed, and a table that agrees with the files."""

import csv
import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from sleep2vec.formats.reader import read
from sleep2vec.simulation.cohort import simulate_cohort
from sleep2vec.vocabulary.errors import UsageError


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path):
    for name, seed in (("first", 3), ("again", 3), ("other", 4)):
        simulate_cohort(tmp_path / name, 2, seed, hours=0.25, sites=("alpha", "delta"))
    first, again, other = (digests(tmp_path / name) for name in ("first", "again", "other"))
    assert first == again
    assert first.keys() == other.keys()
    assert all(first[name] != other[name] for name in first)


def test_the_table_agrees_with_the_files(tmp_path: Path):
    rows = simulate_cohort(tmp_path, 4, 1, hours=0.25, sites=("alpha", "gamma"), nights_per_person=2)
    with (tmp_path / "participants.csv").open() as table:
        written = list(csv.DictReader(table))
    assert [row["night_id"] for row in written] == [row.night_id for row in rows]
    assert list(written[0])[:6] == ["file", "night_id", "subject_id", "age_years", "sex", "site"]
    for row in written:
        recording = read(tmp_path / row["file"])
        assert recording.subject.subject_id == row["subject_id"]
        assert recording.subject.sex == row["sex"]
        assert row["file"] == f"{row['site']}/{row['night_id']}.edf"
        assert 18 <= float(row["age_years"]) <= 90
    assert list(Counter(row["subject_id"] for row in written).values()) == [2, 2]


def test_some_people_come_twice_and_at_every_site():
    from sleep2vec.simulation.cohort import plan_participations

    planned = [row for row, _, _ in plan_participations(60, 1, ("alpha", "beta", "gamma", "delta"), 1.25)]
    nights = Counter(row.subject_id for row in planned)
    assert set(nights.values()) == {1, 2}
    assert len(planned) / len(nights) == pytest.approx(1.25, abs=0.05)
    assert {name.split("-")[0] for name, n in nights.items() if n == 2} == {"alpha", "beta", "gamma", "delta"}
    assert len({row.night_id for row in planned}) == 60


def test_what_cannot_be_is_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="0 nights were asked for; give 1 or more"):
        simulate_cohort(tmp_path, 0, 1)
    with pytest.raises(UsageError, match="3 nights per person were asked for; give 1 to 2"):
        simulate_cohort(tmp_path, 1, 1, nights_per_person=3)
    with pytest.raises(UsageError, match="unknown site 'omega'"):
        simulate_cohort(tmp_path, 1, 1, sites=("omega",))


def test_a_watch_adds_its_channels_everywhere_and_changes_nothing_else(tmp_path: Path):
    arguments = {"n_nights": 2, "seed": 3, "hours": 0.25, "sites": ("alpha", "delta")}
    plain_rows, worn_rows = (simulate_cohort(tmp_path / str(w), watch=w, **arguments) for w in (False, True))
    for plain_row, worn_row in zip(plain_rows, worn_rows, strict=True):
        plain = read(tmp_path / "False" / plain_row.file)
        worn = read(tmp_path / "True" / worn_row.file)
        labels = [signal.label for signal in worn.signals]
        assert labels[-2:] == ["Pleth", "Actigraphy"]
        for before, after in zip(plain.signals, worn.signals, strict=False):
            assert before.label == after.label
            np.testing.assert_array_equal(before.samples, after.samples)
        assert len(worn.signals) == len(plain.signals) + (2 if plain_row.site == "delta" else 0)
