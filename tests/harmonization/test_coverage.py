"""Coverage counts what a plain walk over the headers counts."""

from collections import Counter

import numpy as np

from sleep2vec.cohorts.catalog import cohort_of
from sleep2vec.harmonization.coverage import coverage_of
from sleep2vec.vocabulary.recording import Recording, Signal


def recording(*labels: str) -> Recording:
    signals = tuple(Signal.from_array(label, np.zeros(200 * 60), 200.0, "uV") for label in labels)
    return Recording(signals, 60.0)


FOLDER = [
    ("a.edf", recording("C4", "M1", "ECG", "Leg/L")),
    ("b.edf", recording("C4-M1", "ECG", "Zorp")),
    ("c.edf", recording("C4-M1", "Zorp")),
    ("d.edf", "d.edf is empty"),
]


def test_labels_files_and_first_choices():
    facts = coverage_of(FOLDER, cohort_of("generic")).facts()
    assert facts["n_files"] == 3
    counted = Counter(s.label for _, each in FOLDER if isinstance(each, Recording) for s in each.signals)
    assert {label["label"]: label["n_files"] for label in facts["labels"]} == counted
    assert facts["modalities"]["eeg"] == {"n_files": 3, "first_choices": {"C4-M1": 2, "C4 minus M1": 1}}
    assert facts["modalities"]["ecg"]["n_files"] == 2
    assert facts["modalities"]["spo2"] == {"n_files": 0, "first_choices": {}}
    assert facts["failures"] == [{"file": "d.edf", "reason": "d.edf is empty"}]
    taken = {label["label"]: label["taken"] for label in facts["labels"]}
    assert (taken["Leg/L"], taken["Zorp"], taken["ECG"]) == (False, False, True)


def test_words_name_what_nobody_knows_first():
    words = coverage_of(FOLDER, cohort_of("generic")).words()
    assert words.index("labels that no rule knows") < words.index("Zorp") < words.index("labels that can serve")
    assert "eeg              3   100%  C4-M1 (2), C4 minus M1 (1)" in words


def test_rates_that_the_cohort_does_not_have_are_told():
    """SHHS 1: the EEG has 125 Hz (NSRR's montage page); a copy that somebody resampled has not."""
    folder = [
        ("a.edf", Recording((Signal.from_array("EEG", np.zeros(250 * 60), 250.0, "uV"),), 60.0)),
        ("b.edf", Recording((Signal.from_array("EEG", np.zeros(125 * 60), 125.0, "uV"),), 60.0)),
    ]
    coverage = coverage_of(folder, cohort_of("shhs1"))
    assert "EEG: expected 125 Hz, found 250 Hz in 1 of 2" in coverage.words()
    assert coverage.facts()["labels"][0]["expected_hz"] == [125.0]
    assert "expected" not in coverage_of(folder, cohort_of("generic")).words()
