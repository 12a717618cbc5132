"""The NSRR's cohorts against its own pages: "Montage and sampling rate information" of each, and the scripts that write
its tables (github.com/nsrr, *-documentation and *-data-dictionary). What is typed here was read there."""

from pathlib import Path, PurePath

import numpy as np
import pytest
from cohort_recordings import body_of, recording_of
from scipy.signal import butter, resample_poly, sosfiltfilt

from sleep2vec.cohorts.catalog import cohort_of
from sleep2vec.cohorts.labels import plain
from sleep2vec.formats.annotations import read_scoring
from sleep2vec.formats.companions import FileIndex
from sleep2vec.harmonization.pipeline import harmonize
from sleep2vec.store.cohort_tables import CohortTables

# By label: its rate in Hz. Labels that the pages give no rate for are left out.
_COMPUMEDICS = {"C3": 128, "C4": 128, "LOC": 128, "ROC": 128, "AIRFLOW": 32, "THOR EFFORT": 32, "ABDO EFFORT": 32}
_COMPUMEDICS |= {"SUM": 32, "SNORE": 256, "POSITION": 1, "OX STATUS": 1, "PULSE": 1, "SpO2": 1, "PlethWV": 128}
_SHHS_V3 = {"SaO2": 1, "EEG(sec)": 125, "EEG": 125, "EMG": 125, "EOG(L)": 50, "EOG(R)": 50, "THOR RES": 10}
_SHHS_V3 |= {"ABDO RES": 10, "POSITION": 1, "LIGHT": 1}
_MROS = {"C3": 256, "C4": 256, "SaO2": 1, "SpO2": 1, "HR": 1, "STAT": 1, "Position": 4}
_SOF = {"Position": 4, "C3": 128, "C4": 128, "A1": 128, "A2": 128, "ROC": 128, "LOC": 128, "ECG1": 256, "ECG2": 256}
_SOF |= {"L Chin": 128, "R Chin": 128, "Leg/L": 64, "Leg/R": 64, "Airflow": 16, "Thoracic": 16, "Abdominal": 16}
_SOF |= {"STAT": 1, "HR": 1, "SAO2": 1, "Cannula Flow": 64}
_CHAT = {"CannulaFlow": 128, "Airflow": 32, "Chest": 32, "ABD": 32, "SUM": 32, "CAP": 32, "EtCO2": 15, "SaO2": 10}
RATES = {
    "shhs1": [_SHHS_V3 | {"ECG": 125, "NEW AIR": 10, "H.R.": 1, "OX stat": 1}],
    "shhs2": [
        _SHHS_V3 | {"ECG": 250, "AIRFLOW": 10, "PR": 1, "OX STAT": 1},
        {"EEG": 128, "EEG(sec)": 128, "ECG": 256, "EMG": 128, "EOG(L)": 64, "AIRFLOW": 8, "THOR RES": 8, "ABDO RES": 8},
    ],
    "mros1": [
        _MROS
        | {"A1": 256, "ECG L": 512, "L Chin": 256, "Leg L": 64, "Airflow": 16, "Thoracic": 16, "Cannula Flow": 64},
        {"ECG L-ECG R": 512, "Airflow": 16, "SUM": 16, "Abdominal": 16, "Cannula Flow": 64},
    ],
    "mros2": [_MROS | {"M1": 256, "ECGL": 512, "LChin": 256, "LegL": 64, "Airflow": 32, "ABD": 32, "CannulaFlow": 64}],
    "mesa": [
        {"EKG": 256, "EOG-L": 256, "EMG": 256, "EEG1": 256, "EEG3": 256, "Flow": 32, "Snore": 32, "Thor": 32}
        | {"Abdo": 32, "Leg": 32, "Therm": 32, "Pos": 32, "Pleth": 256, "OxStatus": 1, "SpO2": 1, "HR": 1}
    ],
    "wsc": [
        dict.fromkeys(("E1", "C3_M2", "cchin_l", "ECG", "flow", "nas_pres", "sum", "spo2"), 200),
        dict.fromkeys(("E1", "C3_M2", "chin", "ECG", "nasalflow", "oralflow", "nas_pres", "spo2"), 100),
    ],
    "cfs": [
        _COMPUMEDICS | {"ECG1": 256, "EMG1": 256, "L Leg": 64, "NASAL PRES": 64},
        {"C4": 128, "ECG1": 512, "ECG2": 512, "EMG1": 256, "L Leg": 64, "NASAL PRES": 128},
    ],
    "ccshs": [_COMPUMEDICS | {"ECG1": 256, "NASAL PRES": 64, "LEFT LEG1": 256, "A1": 128}],
    "chat": [_CHAT, {"CannulaFlow": 128, "Airflow": 32}],
    "sof": [_SOF, {"Position": 4, "C4": 128, "Airflow": 16}],
}
# What a scorer looks at: EEG, EOG, chin, ECG as the pages derive them, one name an electrode; "" where they do not say.
DERIVATIONS = {
    "shhs1": [("C4-M1", "E1-PG1", "", "")],
    "shhs2": [("C4-M1", "E1-PG1", "", "")] * 2,
    "mros1": [("C4-M1", "E1-M2", "L-R", "L-R"), ("C4-M1", "", "", "")],
    "mros2": [("C4-M1", "E1-M2", "L-R", "L-R")],
    "mesa": [("C4-M1", "E1-Fpz", "", "")],
    "wsc": [("C3-M2", "E1-M2", "", "")] * 2,
    "cfs": [("C4-M1", "E1-M2", "1-2", "1-2")] * 2,
    "ccshs": [("C4-M1", "E1-M2", "1-2", "1-2")],
    "chat": [("C4-M1", "E1-M2", "L-C", "1-3"), ("C4-M1", "", "", "")],
    "sof": [("C4-M1", "E1-M2", "L-R", "1-2")] * 2,
}
THERMISTORS = {
    **dict.fromkeys(("shhs1", "shhs2"), ("New Air", "AIRFLOW", "New A/F")),
    **dict.fromkeys(("mros1", "mros2", "cfs", "ccshs", "sof"), ("Airflow",)),
    "mesa": ("Aux_AC",),
    "wsc": ("nasalflow", "oralflow", "NASAL_FLOW"),
}
MONTAGES = [pytest.param(n, i, id=f"{n}-{i}") for n in RATES for i in range(len(cohort_of(n).file.montages))]


@pytest.mark.parametrize(("name", "place"), MONTAGES)
def test_a_montage_has_the_rates_of_the_page(name: str, place: int):
    rates = {plain(channel.label): channel.rate_hz for channel in cohort_of(name).file.montages[place].channels}
    for label, rate_hz in RATES[name][place].items():
        if plain(label) in rates:
            assert rates[plain(label)] == rate_hz, label
    assert sum(plain(label) in rates for label in RATES[name][place]) >= 2


@pytest.mark.parametrize(("name", "place"), MONTAGES)
def test_a_night_is_derived_as_the_page_says(name: str, place: int):
    cohort = cohort_of(name)
    montage = cohort.file.montages[place]

    night = harmonize(recording_of(montage, seed=3), cohort=name)

    assert {modality: story.channels for modality, story in night.provenance.items()} == montage.gives
    for modality, documented in zip(("eeg", "eog", "emg", "ecg"), DERIVATIONS[name][place], strict=True):
        readings = [cohort.channels.read(label) for label in montage.gives[modality]]
        minus = readings[1].active if len(readings) == 2 else readings[0].reference
        if documented:
            assert f"{readings[0].active}-{minus}" == documented
    assert all(night.valid[modality].mean() > 0.7 for modality in night.provenance)


@pytest.mark.parametrize(("name", "place"), MONTAGES)
def test_the_eeg_is_the_documented_difference_in_microvolts(name: str, place: int):
    """Each electrode of `recording_of` carries 60 uV of mains and 40 uV of drift, which only the right subtraction
    removes; the body beneath, before any montage and unit (CFS writes mV), is the judge, from 0.3 to 35 Hz: what a
    stored EEG leaves out is not looked for."""
    base = {signal.label: signal.samples for signal in body_of(3).recording.signals}
    plus, minus = DERIVATIONS[name][place][0].split("-")
    truth_T = resample_poly(np.asarray(base[plus], float) - np.asarray(base[minus], float), 1, 2)

    night = harmonize(recording_of(cohort_of(name).file.montages[place], seed=3), cohort=name)

    sections = butter(4, (0.3, 35), "bandpass", fs=128, output="sos")
    made_T = sosfiltfilt(sections, night.samples["eeg"][: len(truth_T)].astype(float))
    truth_T = sosfiltfilt(sections, truth_T)
    good_T = np.repeat(night.valid["eeg"], 3840)[: len(made_T)]
    made_T, truth_T = made_T[good_T], truth_T[: len(made_T)][good_T]
    assert np.corrcoef(made_T, truth_T)[0, 1] > 0.95
    assert 0.8 < np.std(made_T) / np.std(truth_T) < 1.2


@pytest.mark.parametrize(("name", "label"), [(name, label) for name in THERMISTORS for label in THERMISTORS[name]])
def test_a_thermistor_is_called_one(name: str, label: str):
    assert cohort_of(name).channels.read(label).kind == "thermistor"


# Table, its header and rows as the NSRR's scripts write them (the columns read here, in their order of appearance).
TABLES = {
    "shhs-harmonized-dataset-0.21.0.csv": "nsrrid,visitnumber,nsrr_age,nsrr_age_gt89,nsrr_sex,nsrr_bmi,"
    "nsrr_ahi_hp3r_aasm15,nsrr_ahi_hp4u_aasm15,nsrr_flag_spsw\n"
    "200077,1,41,no,male,33.5,8.1,5.2,full scoring\n200077,2,46,no,male,34.0,9.1,6.2,sleep/wake only\n",
    "shhs-cvd-summary-dataset-0.21.0.csv": "nsrrid,visitnumber,vital,censdate,stroke,stk_date\n"
    "200077,3,1,3652.425,0,\n200078,3,0,730.485,2,365.2425\n",
    "mros-visit1-harmonized-0.6.0.csv": "nsrrid,visit,nsrr_age,nsrr_sex,nsrr_bmi\nAA0001,1,76,male,27.5\n",
    "mros-visit2-dataset-0.6.0.csv": "nsrrid,visit,gender,vs2age1,hwbmi\nAA0001,2,2,82,26.5\n",
    "mesa-sleep-harmonized-dataset-0.7.0.csv": "mesaid,examnumber,nsrr_age,nsrr_sex,nsrr_bmi\n1,5,60,female,24\n",
    "mesa-sleep-dataset-0.7.0.csv": "mesaid,gender1,sleepage5c,site5c,bmi5c\n1,0,60,8,24\n",
    "wsc-harmonized-dataset-0.7.0.csv": "wsc_id,wsc_vst,nsrr_age,nsrr_sex,nsrr_bmi,nsrr_ahi_hp4u_aasm15\n"
    "10119,1,52,male,30,4\n10119,2,56,male,31,7\n",
    "cfs-visit5-harmonized-dataset-0.7.0.csv": "nsrrid,rectype,nsrr_age,nsrr_sex,nsrr_bmi\n800002,5,31.5,female,28\n",
    "cfs-visit5-dataset-0.7.0.csv": "nsrrid,familyi,rectype,male,age,bmi\n800002,10213,5,0,31.5,28\n",
    "ccshs-trec-harmonized-0.8.0.csv": "nsrrid,visit,nsrr_age,nsrr_sex,nsrr_bmi\n1800001,3,17.5,male,21\n",
    "chat-baseline-dataset-0.14.0.csv": "nsrrid,vnum,child_age,ageyear_at_meas,male,ant5,slewake,ahi_a0h3a\n"
    "300001,3,6.9,6,1,17.5,0,4.4\n",
    "chat-followup-dataset-0.14.0.csv": "nsrrid,vnum,ageyear_at_meas,male,ant5,slewake\n300001,10,7,1,18,0\n",
    "chat-nonrandomized-dataset-0.14.0.csv": "nsrrid,omahi3,age_nr\n300004,1.2,8.5\n",
    "sof-visit-8-harmonized-dataset-0.8.0.csv": "nsrrid,visit,nsrr_age,nsrr_sex,nsrr_bmi\n7853,8,84,female,25\n",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nsrr")
    for name, text in TABLES.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("name", "path", "age_sex_bmi", "more"),
    [
        ("shhs1", "shhs1-200077.edf", (41, "male", 33.5), {"ahi_3pct_or_arousal": 8.1, "sleep_wake_only": 0}),
        ("shhs1", "shhs1-200077.edf", (41, "male", 33.5), {"event.death": 0, "time_years.death": 10}),
        ("shhs1", "shhs1-200077.edf", (41, "male", 33.5), {"event.stroke": 0, "time_years.stroke": 10}),
        ("shhs1", "shhs1-200078.edf", (None, None, None), {"event.death": 1, "time_years.death": 2}),
        ("shhs1", "shhs1-200078.edf", (None, None, None), {"event.stroke": 1, "time_years.stroke": 1}),
        ("shhs2", "shhs2-200077.edf", (46, "male", 34), {"ahi_4pct": 6.2, "sleep_wake_only": 1}),
        ("mros1", "visit1/mros-visit1-aa0001.edf", (76, "male", 27.5), {}),
        ("mros2", "visit2/mros-visit2-aa0001.edf", (82, "male", 26.5), {}),
        ("mesa", "mesa-sleep-0001.edf", (60, "female", 24), {}),
        ("wsc", "wsc-visit2-10119-nsrr.edf", (56, "male", 31), {"ahi_4pct": 7}),
        ("cfs", "cfs-visit5-800002.edf", (31.5, "female", 28), {}),
        ("ccshs", "ccshs-trec-1800001.edf", (17.5, "male", 21), {}),
        ("chat", "baseline/chat-baseline-300001.edf", (6.9, "male", 17.5), {"ahi_3pct_or_arousal": 4.4}),
        ("chat", "followup/chat-followup-300001.edf", (7, "male", 18), {"sleep_wake_only": 0}),
        ("chat", "nonrandomized/chat-nonrandomized-300004.edf", (8.5, None, None), {}),
        ("sof", "sof-visit-8-07853.edf", (84, "female", 25), {}),
    ],
)
def test_the_tables_say_who_slept(folder: Path, name: str, path: str, age_sex_bmi: tuple, more: dict[str, float]):
    person = CohortTables(cohort_of(name), folder, FileIndex.of(folder)).participant_of(PurePath(path))

    assert (person.age_years, person.sex, person.measures.get("bmi")) == age_sex_bmi
    assert {name: person.measures.get(name) for name in more} == pytest.approx(more, rel=1e-6)


def test_families_and_sites_are_known(folder: Path):
    cfs = CohortTables(cohort_of("cfs"), folder, FileIndex.of(folder)).participant_of(PurePath("cfs-visit5-800002.edf"))
    mesa = CohortTables(cohort_of("mesa"), folder, FileIndex.of(folder)).participant_of(PurePath("mesa-sleep-0001.edf"))

    assert cfs.family_id == "10213"
    assert mesa.site == "UCLA"


def test_a_death_after_visit_1_is_not_timed_from_visit_2(folder: Path):
    person = CohortTables(cohort_of("shhs2"), folder, FileIndex.of(folder)).participant_of(PurePath("shhs2-200077.edf"))

    assert not [name for name in person.measures if name.startswith(("event.", "time_years."))]


def test_epochs_of_wsc_as_luna_writes_them(tmp_path: Path):
    """An .eannot file has one stage a line (zzz.bwh.harvard.edu/luna/ref/annotations)."""
    path = tmp_path / "wsc-visit1-10119-nsrr.eannot"
    path.write_text("wake\nN1\nN2\nN3\nREM\n?\n")
    cohort = cohort_of("wsc")
    dialect = next(file.dialect for file in cohort.file.scoring.files if file.name.endswith(".eannot"))

    spans = read_scoring(path, cohort.words, dialect).stages

    assert [span.stage for span in spans] == [0, 1, 2, 3, 4, None]
