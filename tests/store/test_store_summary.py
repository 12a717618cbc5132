"""A store in numbers, counted again by hand."""

from pathlib import Path

import numpy as np
from store_nights import made_night

from sleep2vec.store.manifest import read_manifest, write_manifest
from sleep2vec.store.summary import store_summary, summary_words
from sleep2vec.store.writer import create_store, write_night
from sleep2vec.vocabulary.subject import Subject


def test_the_numbers_are_those_of_plain_counting(tmp_path: Path):
    made = [
        made_night("a", ("eeg", "ibi"), 4, subject=Subject("p1", 20.0, "female"), cohort="c", site="x"),
        made_night("b", ("eeg",), 6, subject=Subject("p1", 22.0, "female"), cohort="c", site="x"),
        made_night("c", ("ibi",), 2, subject=Subject("p1", 70.0, "male"), cohort="d", stages=None),
        made_night("d", ("spo2",), 8, subject=Subject(), stages=None),
        made_night("e", ("spo2",), 10, subject=Subject()),
    ]
    create_store(tmp_path)
    for night in made:
        write_night(tmp_path, night)
    write_manifest(tmp_path)
    summary = store_summary(read_manifest(tmp_path))
    assert (summary["n_nights"], summary["hours"]) == (5, 30 * 30 / 3600)
    assert summary["n_people"] == 4, "p1 of cohort c twice, p1 of cohort d is another person, two unknown people"
    assert (summary["age_years"], summary["n_age_unknown"]) == ({"min": 20.0, "median": 45.0, "max": 70.0}, 2)
    assert summary["sexes"] == {"female": 1, "male": 1, "unknown": 2}
    assert summary["sites"] == {"c/x": 2, "d/unknown": 1, "unknown/unknown": 2}
    scored = [sum(not np.isnan(stage) for stage in night.stages) for night in made if night.stages is not None]
    assert summary["n_scored_nights"] == sum(n > 0 for n in scored) == 3
    assert np.isclose(summary["scored_share"], sum(scored) / 30)
    for name, holders in {"eeg": made[:2], "ibi": [made[0], made[2]], "spo2": made[3:], "ecg": []}.items():
        coverage = summary["modalities"][name]
        assert coverage["n_nights"] == len(holders)
        shares = [sum(night.valid[name]) / night.n_tokens for night in holders]
        assert coverage["valid_share"] is None if not holders else np.isclose(coverage["valid_share"], np.mean(shares))
        assert coverage["sensors"] == ({"eeg": len(holders)} if holders else {})
    words = summary_words(summary)
    assert (
        "5 nights of 4 people (2 nights without a subject id, each counted as a person), 0.2 h, 20-70 years, median 45"
        in words
    )
    assert "ecg               0       -" in words
    assert summary_words(store_summary([])).startswith("0 nights of 0 people, 0.0 h, ages unknown")


def test_diagnoses_are_counted_and_who_has_them(tmp_path: Path):
    create_store(tmp_path)
    for name, measures in {
        "a": {"diagnosis.asthma": 1.0, "bmi": 30.0},
        "b": {"diagnosis.asthma": 0.0, "event.death": 1.0},
        "c": {"diagnosis.asthma": 1.0},
    }.items():
        write_night(tmp_path, made_night(name, ("eeg",), 4, subject=Subject(name, measures=measures)))
    write_manifest(tmp_path)
    summary = store_summary(read_manifest(tmp_path))
    assert summary["measures"] == {"bmi": 1, "diagnosis.asthma": 3, "event.death": 1}
    assert summary["n_yes"] == {"diagnosis.asthma": 2, "event.death": 1}
    lines = [line.split() for line in summary_words(summary).splitlines()]
    assert ["diagnosis.asthma", "3", "2", "yes"] in lines
    assert ["bmi", "1"] in lines
