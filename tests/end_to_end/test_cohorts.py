"""Every cohort of the catalog from its own files to a store: labels, rates, units, references, scoring, identity.

The judges are the published names of files (the table below), the facts of `channel_aliases.json` for what a label is,
and writers of annotation files made from their public descriptions.
"""

import inspect
import json
import re
from dataclasses import dataclass
from pathlib import Path

import cohort_scorings as scorings
import numpy as np
import pytest
import wfdb
from cohort_recordings import recording_of

from sleep2vec.cohorts.catalog import cohort_of, known_cohorts
from sleep2vec.cohorts.schema import Montage
from sleep2vec.formats.edf_writer import write_edf
from sleep2vec.store.ingest import ingest
from sleep2vec.store.reader import Store
from sleep2vec.vocabulary.modalities import MODALITIES
from sleep2vec.vocabulary.recording import Recording

SEED = 11
STAGES = np.random.default_rng(7).permutation(np.repeat(np.arange(5), 6)).tolist()
EVENTS = [("obstructive_apnea", 65, 14), ("hypopnea", 200, 22), ("desaturation", 215, 30), ("arousal", 310, 5)]
LATE_S = 40.0  # no whole number of epochs: a start that is lost, or rounded, is found out
NO_EVENTS = ("sleep_edf_hypnogram", "boas_events", "isruc_text", "ucddb_text", "wsc_stg", "dod_json")
NO_DESATURATIONS = ("wsc_allscore", "cinc2018_arousal", "cinc2026_traces")
# Kinds of the facts' vocabulary -> the modalities that such a channel may serve.
SERVES = {
    "eeg": {"eeg"},
    "eog": {"eog"},
    "emg_chin": {"emg"},
    "emg_other": {"emg"},
    "ecg": {"ecg", "ibi", "resp"},
    "resp_airflow": {"airflow", "resp"},
    "resp_nasal_pressure": {"airflow", "resp"},
    "resp_thorax": {"belt", "resp"},
    "resp_abdomen": {"belt", "resp"},
    "spo2": {"spo2"},
    "ppg": {"ppg", "ibi", "resp"},
    "heart_rate": {"ibi"},
    "ref": {"eeg", "eog"},
}


# What the facts lack, or only guess at, and why it is taken all the same.
JUDGED = {
    ("nchsdb", "EEG M1"): "the partner of EEG M2, which the facts have as a reference",
    ("stages", "SUB-R - V5"): "a guessed 'other'; under the right collar bone to V5 is a chest lead of the ECG",
}


@dataclass(frozen=True)
class Published:
    """How a cohort names a recording and its scoring, and who that is."""

    recording: str
    scoring: str
    writer: scorings.Writer
    subject: str
    facts: tuple[str, ...] = ()
    visit: str | None = None


NSRR = "polysomnography"
XML = "polysomnography/annotations-events-nsrr"
HSP = "bids/S0001/sub-S0001111189075/ses-1/eeg/sub-S0001111189075_ses-1_task-psg"
C26 = "I0002/sub-I0002150002345_ses-1"
PUBLISHED = {
    "shhs1": Published(
        f"{NSRR}/edfs/shhs1/shhs1-200001.edf", f"{XML}/shhs1/shhs1-200001-nsrr.xml", scorings.nsrr_xml, "200001",
        ("shhs1", "shhs"), "1",
    ),
    "shhs2": Published(
        f"{NSRR}/edfs/shhs2/shhs2-200077.edf",
        f"{NSRR}/annotations-events-profusion/shhs2/shhs2-200077-profusion.xml", scorings.profusion_xml, "200077",
        ("shhs2", "shhs"), "2",
    ),
    "mros1": Published(
        f"{NSRR}/edfs/visit1/mros-visit1-aa0001.edf", f"{XML}/visit1/mros-visit1-aa0001-nsrr.xml", scorings.nsrr_xml,
        "aa0001", ("mros1", "mros"), "1",
    ),
    "mros2": Published(
        f"{NSRR}/edfs/visit2/mros-visit2-aa0001.edf", f"{XML}/visit2/mros-visit2-aa0001-nsrr.xml", scorings.nsrr_xml,
        "aa0001", ("mros2", "mros"), "2",
    ),
    "mesa": Published(
        f"{NSRR}/edfs/mesa-sleep-0001.edf",
        f"{NSRR}/annotations-events-profusion/mesa-sleep-0001-profusion.xml", scorings.profusion_xml, "0001", ("mesa",),
    ),
    "cfs": Published(
        f"{NSRR}/edfs/cfs-visit5-800002.edf", f"{XML}/cfs-visit5-800002-nsrr.xml", scorings.nsrr_xml, "800002",
        ("cfs",), "5",
    ),
    "ccshs": Published(
        f"{NSRR}/edfs/ccshs-trec-1800001.edf", f"{XML}/ccshs-trec-1800001-nsrr.xml", scorings.nsrr_xml, "1800001",
        ("ccshs",),
    ),
    "chat": Published(
        f"{NSRR}/edfs/baseline/chat-baseline-300001.edf", f"{XML}/baseline/chat-baseline-300001-nsrr.xml",
        scorings.nsrr_xml, "300001", ("chat",), "baseline",
    ),
    "sof": Published(
        f"{NSRR}/edfs/sof-visit-8-00001.edf", f"{XML}/sof-visit-8-00001-nsrr.xml", scorings.nsrr_xml, "00001",
        ("sof",), "8",
    ),
    "wsc": Published(
        f"{NSRR}/wsc-visit1-10119.edf", f"{NSRR}/wsc-visit1-10119.allscore.txt", scorings.wsc_allscore, "10119",
        ("wsc",), "1",
    ),
    "apples": Published(
        f"{NSRR}/apples-130001.edf", f"{NSRR}/apples-130001.annot", scorings.luna_annot, "130001", ("apples",)
    ),
    "stages": Published(
        "original/STAGES PSGs/BOGN/BOGN00001.edf", "original/STAGES PSGs/BOGN/BOGN00001.csv", scorings.stages_csv,
        "BOGN00001", ("stages",),
    ),
    "nchsdb": Published("Sleep_Data/10048_24622.edf", "Sleep_Data/10048_24622.tsv", scorings.nchsdb_tsv, "10048",
        ("nchsdb",),
    ),
    "hsp_bdsp": Published(
        f"{HSP}_eeg.edf", f"{HSP}_annotations.csv", scorings.hsp_csv, "111189075", ("hsp_bdsp",)
    ),
    "sleep_edf": Published(
        "sleep-cassette/SC4001E0-PSG.edf", "sleep-cassette/SC4001EC-Hypnogram.edf", scorings.sleep_edf_hypnogram,
        "SC400", ("sleep_edf",),
    ),
    "cinc2018": Published(
        "training/tr03-0005/tr03-0005.hea", "training/tr03-0005/tr03-0005.arousal", scorings.cinc2018_arousal,
        "tr03-0005", ("cinc2018",),
    ),
    "cinc2026": Published(
        f"physiological_data/{C26}.edf", f"human_annotations/{C26}_expert_annotations.edf", scorings.cinc2026_traces,
        "150002345", ("cinc2026_hsp",),
    ),
    "isruc": Published("subgroupI/1/1.rec", "subgroupI/1/1_1.txt", scorings.isruc_text, "I/1"),
    "dod": Published(
        "dodh/095d6e40-5f19-55b6-a0ec-6e0ad3793da0.edf", "dodh/scorer_1/095d6e40-5f19-55b6-a0ec-6e0ad3793da0.json",
        scorings.dod_json, "095d6e40-5f19-55b6-a0ec-6e0ad3793da0",
    ),
    "boas": Published(
        "sub-1/eeg/sub-1_task-Sleep_acq-psg_eeg.edf", "sub-1/eeg/sub-1_task-Sleep_acq-psg_events.tsv",
        scorings.boas_events, "1",
    ),
    "ucddb": Published("ucddb018.rec", "ucddb018_stage.txt", scorings.ucddb_text, "018"),
}  # fmt: skip
CATALOG = sorted(known_cohorts() - {"generic"})


MONTAGES = [pytest.param(name, m, id=f"{name}-{m.name}") for name in CATALOG for m in cohort_of(name).file.montages]


def test_the_table_holds_every_cohort_of_the_catalog():
    assert sorted(PUBLISHED) == CATALOG


def write_recording(path: Path, recording: Recording) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix != ".hea":
        write_edf(path, recording)
        return
    samples = np.stack([signal.samples for signal in recording.signals], axis=1).astype(float)
    wfdb.wrsamp(
        path.stem,
        fs=recording.signals[0].rate_hz,
        units=[signal.unit or "NU" for signal in recording.signals],
        sig_name=[signal.label for signal in recording.signals],
        p_signal=samples,
        fmt=["16"] * samples.shape[1],
        write_dir=str(path.parent),
    )


@pytest.mark.parametrize(("name", "montage"), MONTAGES)
def test_a_cohort_from_its_files_to_the_store(name: str, montage: Montage, tmp_path: Path):
    how = PUBLISHED[name]
    recording = recording_of(montage, SEED)
    write_recording(tmp_path / "in" / how.recording, recording)
    scoring = tmp_path / "in" / how.scoring
    scoring.parent.mkdir(parents=True, exist_ok=True)
    assert recording.start
    # The first montage's scoring begins late, where its files can say so.
    can_be_late = "late_s" in inspect.signature(how.writer).parameters
    late_s = LATE_S if can_be_late and montage == cohort_of(name).file.montages[0] else 0.0
    stages = STAGES[: int((recording.duration_s - late_s) // 30)]
    how.writer(scoring, stages, EVENTS, recording.start, **({"late_s": late_s} if late_s else {}))

    report = ingest(tmp_path / "in", tmp_path / "store", cohort=name)

    assert report.failures == ()
    store = Store(tmp_path / "store")
    (row,) = store.rows
    assert row.cohort == name
    description = json.loads(next((tmp_path / "store" / "nights").glob("*.json")).read_text())
    provenance = description["provenance"]
    assert {m: tuple(p["channels"]) for m, p in provenance.items()} == montage.gives
    assert all(store.valid(row.night_id, m).mean() > 0.5 for m in provenance), {
        m: float(store.valid(row.night_id, m).mean()) for m in provenance
    }
    # Tokens are laid on the scorer's epochs: what lies before the first is unscored.
    unscored = [np.nan] * int(late_s // 30)
    np.testing.assert_array_equal(store.stages(row.night_id), [*unscored, *stages])
    assert description["row"]["grid_start_s"] == late_s % 30
    assert str(row.subject_id).lower().lstrip("0").endswith(how.subject.lower().lstrip("0"))
    if how.writer.__name__ not in NO_EVENTS:
        found = {(e["kind"], round(e["onset_s"]), round(e["duration_s"])) for e in description["events"]}
        written = [
            event for event in EVENTS if event[0] != "desaturation" or how.writer.__name__ not in NO_DESATURATIONS
        ]
        assert {(kind, round(onset_s + late_s), length_s) for kind, onset_s, length_s in written} <= found


@pytest.mark.parametrize(("name", "montage"), MONTAGES)
def test_a_montage_is_what_the_facts_say(name: str, montage: Montage, shared: Path):
    """What a modality is made from exists in the cohort, and is of a kind that may serve it."""
    facts = [
        fact
        for fact in json.loads((shared / "facts/channel_aliases.json").read_text())["aliases"]
        if fact["cohort"] in PUBLISHED[name].facts
    ]
    if not facts:
        pytest.skip(f"channel_aliases.json has nothing about {name}")
    kinds: dict[str, set[str]] = {}
    for fact in facts:
        kinds.setdefault(_plain(fact["alias"]), set()).add(fact["modality"])
    for modality, labels in montage.gives.items():
        for label in labels:
            if (name, label) in JUDGED:
                continue
            known = kinds.get(_plain(label), set())
            assert any(modality in SERVES.get(kind, ()) for kind in known), (modality, label, known)
    assert set(montage.gives) <= set(MODALITIES)


def _plain(label: str) -> str:
    """Letters and digits in lower case: sources of the facts write "EEG_C3-A2" and "EEG C3-A2" for one label."""
    return re.sub(r"[^a-z0-9]+", " ", label.lower()).strip()
