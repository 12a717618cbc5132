"""The NSRR's cohorts against the facts of their labels, and against names of files as the NSRR publishes them."""

import json
from pathlib import Path, PurePath

import pytest

from sleep2vec.cohorts.catalog import cohort_of
from sleep2vec.harmonization.sensors import KINDS_OF

FACTS = {
    "shhs1": ("shhs1", "shhs"),
    "shhs2": ("shhs2", "shhs"),
    "mros1": ("mros1",),
    "mros2": ("mros2",),
    "mesa": ("mesa",),
    "cfs": ("cfs",),
    "ccshs": ("ccshs",),
    "chat": ("chat",),
    "sof": ("sof",),
    "wsc": ("wsc",),
}
SERVES = {
    "eeg": "eeg",
    "eog": "eog",
    "emg_chin": "emg",
    "ecg": "ecg",
    "resp_airflow": "airflow",
    "resp_nasal_pressure": "airflow",
    "resp_thorax": "belt",
    "resp_abdomen": "belt",
    "spo2": "spo2",
    "heart_rate": "ibi",
    "ppg": "ibi",
}
NEVER = ("emg_leg", "position", "snore", "oximeter_status", "light", "pap", "co2", "resp_rate", "temperature", "marker")
# Facts that are wrong, and why.
WRONG = {
    ("ccshs", "PTT"): "a pulse transit time, which another source has as such",
    **{("mesa", f"{name}_Off"): "a flag of a lost electrode, as the cohort's notes say"
       for name in ("EKG", "EOG-L", "EOG-R", "EEG1", "EEG2", "EEG3")},
    ("wsc", "EEG1_Off"): "a flag of a lost electrode",
    ("wsc", "LLEG1-EKG2"): "a leg against an ECG electrode",
    ("chat", "XFlow"): "computed from the belts",
}  # fmt: skip


@pytest.mark.parametrize("name", FACTS)
def test_labels_mean_what_the_facts_say(name: str, shared: Path):
    facts = json.loads((shared / "facts/channel_aliases.json").read_text())["aliases"]
    rules = cohort_of(name).channels
    wrong = []
    n_known = 0
    for fact in facts:
        label, kind = fact["alias"], fact["modality"]
        if fact["cohort"] not in FACTS[name] or (name, label) in WRONG or fact.get("uncertain"):
            continue
        reading = rules.read(label, "")
        modality = SERVES.get(kind)
        if modality and not (fact.get("modality_guessed") and kind in NEVER):
            n_known += 1
            if not (reading.taken and reading.kind in KINDS_OF[modality]):
                wrong.append((label, kind, reading.kind, reading.taken))
        elif kind in NEVER and reading.taken:
            wrong.append((label, kind, reading.kind, reading.taken))
    assert n_known >= 10
    assert wrong == []


@pytest.mark.parametrize(
    ("name", "path", "expected"),
    [
        ("shhs1", "polysomnography/edfs/shhs1/shhs1-200001.edf", {"subject": "200001", "visit": "1"}),
        ("shhs2", "polysomnography/edfs/shhs2/shhs2-200077.edf", {"subject": "200077", "visit": "2"}),
        ("mros1", "mros-visit1-aa0001.edf", {"subject": "aa0001", "visit": "1"}),
        ("mros2", "visit2/mros-visit2-aa0001.edf", {"subject": "aa0001", "visit": "2"}),
        ("mesa", "mesa-sleep-0001.edf", {"subject": "0001"}),
        ("cfs", "cfs-visit5-800002.edf", {"subject": "800002", "visit": "5"}),
        ("ccshs", "ccshs-trec-1800001.edf", {"subject": "1800001", "visit": "trec"}),
        ("chat", "baseline/chat-baseline-300001.edf", {"subject": "300001", "visit": "baseline"}),
        ("chat", "chat-followup-300001.edf", {"subject": "300001", "visit": "followup"}),
        ("sof", "sof-visit-8-00001.edf", {"subject": "00001", "visit": "8"}),
        ("wsc", "wsc-visit1-10119-nsrr.edf", {"subject": "10119", "visit": "1"}),
    ],
)
def test_names_of_files_say_who_slept(name: str, path: str, expected: dict[str, str]):
    assert cohort_of(name).identity_of(PurePath(path)).fields == expected


def test_people_of_two_visits_are_one():
    """SHHS and MrOS number their people once."""
    for one, other in (("shhs1", "shhs2"), ("mros1", "mros2")):
        assert cohort_of(one).file.same_people_as == (other,)
        assert cohort_of(other).file.same_people_as == (one,)
