"""Label rules, judged by what 32 public cohorts' own sources say of their labels."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sleep2vec.cohorts.catalog import cohort_of, known_cohorts
from sleep2vec.cohorts.labels import duplicates_in, plain

# Our kinds in the facts' words. The facts put several kinds into one drawer called "other".
_FACT_OF_KIND = {
    "chin": "emg_chin",
    "reference": "ref",
    "nasal_pressure": "resp_nasal_pressure",
    "airflow": "resp_airflow",
    "thermistor": "resp_airflow",
    "abdomen": "resp_abdomen",
    "thorax": "resp_thorax",
    "rip_sum": "resp_sum",
    **dict.fromkeys(("actigraphy", "device", "marker", "volume", "transit_time", "impedance"), "other"),
}
# Facts that must not become a modality: taking one of them would feed the model another organ.
_NEVER_TAKEN = (
    *("emg_leg", "emg_other", "snore", "position", "pap", "light", "co2", "temperature"),
    *("oximeter_status", "resp_rate", "marker"),
)


@pytest.fixture(scope="module")
def facts(shared):
    return json.loads((shared / "facts" / "channel_aliases.json").read_text())["aliases"]


def test_agrees_with_the_sources_of_32_cohorts(facts):
    rules = cohort_of().channels
    known = [fact for fact in facts if not fact.get("modality_guessed")]
    wrong = {}
    for fact in known:
        kind = rules.read(fact["alias"]).kind
        if _FACT_OF_KIND.get(kind, kind) != fact["modality"]:
            wrong.setdefault((fact["modality"], kind), set()).add(fact["alias"])
    n_wrong = sum(
        _FACT_OF_KIND.get(rules.read(fact["alias"]).kind, rules.read(fact["alias"]).kind) != fact["modality"]
        for fact in known
    )
    agreement = 1 - n_wrong / len(known)
    print(f"agreement {agreement:.3f} on {len(known)} facts; disagreements (fact, rule):")
    for pair, labels in sorted(wrong.items(), key=str):
        print("  ", pair, sorted(labels))
    assert agreement >= 0.96


def test_never_takes_another_organ_for_a_modality(facts):
    rules = cohort_of().channels
    named = [fact for fact in facts if fact["modality"] in _NEVER_TAKEN and not fact.get("modality_guessed")]
    # A PAP machine's flow is called what a cannula's flow is called elsewhere: both sources exist for these.
    taken = {f["alias"]: rules.read(f["alias"]).kind for f in named if rules.read(f["alias"]).taken}
    assert len(named) > 250
    assert taken == {}


@pytest.mark.parametrize(
    ("label", "kind", "active", "reference"),
    [
        ("EEG_C3-A22", "eeg", "C3", "M2"),
        ("A1:C4", "eeg", "C4", "M1"),
        ("EEG Fpz-Cz", "eeg", "Fpz", "Cz"),
        ("O2_M1", "eeg", "O2", "M1"),
        ("ROC", "eog", "E2", None),
        ("EOG LOC-M2", "eog", "E1", "M2"),
        ("EOG(L)", "eog", "E1", None),
        ("A2", "reference", "M2", None),
        ("L Chin", "chin", "L", None),
        ("Saturation", "spo2", None, None),
        ("C4 Imp\ufffd\ufffddance", "impedance", None, None),
        ("EEG1_Off", "electrode_off", None, None),
    ],
)
def test_reads_kind_and_electrodes(label, kind, active, reference):
    reading = cohort_of().channels.read(label)

    assert (reading.kind, reading.active, reading.reference) == (kind, active, reference)


# Reported by a reviewer: a word that follows a known one most often makes another quantity of it.
_SOMETHING_ELSE = """
HR status|HR_Qual|HR Alarm|Hr flag|DHR status|SpO2 Rate|SpO2 Low|SpO2 flag|SpO2 Alarm|SaO2 Status|SpO2Sta|Pleth status|
Abdominal EMG|Abdominal Pressure|Bauchlage|Thoraxmikrofon|Debit CPAP|D\u00e9bit PPC|D\u00e9bit fuites|Flux CPAP|
Resp Flow CPAP|Nasal Pressure CPAP|Thermistor CPAP|Rectal therm|Thermometer|01|02|01-02|L EMG|EEG Trigger|EEG STAT|
EEG CPAP|EEG RAT|Pression PPC|Pleth quality|Flow leak|Brustlage|Abdomen EMG|Esophageal pressure|EEG Position|SpO2 min
"""
# In the languages of the laboratories that were missed.
_ABROAD = {
    "thorax": ("Torax", "T\u00f3rax", "Klatka piersiowa", "Brustgurt"),
    "abdomen": ("Sangle abdominale", "Bauchgurt"),
    "spo2": ("Saturaci\u00f3n", "S\u00e4ttigung"),
    "airflow": ("Flujo nasal", "Nasenfluss", "Atmung"),
    "eog": ("Oko L", "Oko P"),
    "heart_rate": ("Herzfrequenz", "SpO2 pulse", "SpO2 HR", "Pleth HR"),
    "chin": ("Barbilla",),
    "thermistor": ("Flow Th",),
}


@pytest.mark.parametrize("label", [label.strip() for label in _SOMETHING_ELSE.split("|")])
def test_a_word_that_follows_makes_another_quantity(label):
    assert not cohort_of().channels.read(label).taken


@pytest.mark.parametrize(("kind", "label"), [(kind, label) for kind, labels in _ABROAD.items() for label in labels])
def test_labels_of_other_languages(kind, label):
    reading = cohort_of().channels.read(label)
    assert (reading.kind, reading.taken) == (kind, True)


def test_what_is_doubtful_is_not_sure():
    read = cohort_of().channels.read
    assert [read(label).certainty for label in ("EMG L", "EMG R", "L EMG", "01", "Resp Effort")] == [
        "guess", "guess", "likely", "guess", "guess",
    ]  # fmt: skip
    assert read("EEG 01").active == "O1"
    assert (read("01-A2").active, read("01-A2").reference) == ("O1", "M2")
    assert [cohort_of("sof").channels.read(label).certainty for label in ("EMG/L", "EMG/R")] == ["sure", "sure"]


@pytest.mark.parametrize(
    ("label", "unit", "taken"),
    [
        ("O2", "%", False),
        ("O2", "l/min", False),
        ("P3", "cmH2O", False),
        ("C4", "BROKEN", False),
        ("C4", "", True),
        ("C4", "\u00b5V", True),
        ("SpO2", "%", True),
        ("SpO2", "bpm", False),
        ("HR", "bpm", True),
        ("HR", "%", False),
        ("Thorax", "1/min", False),
    ],
)
def test_a_unit_may_contradict_a_label(label, unit, taken):
    reading = cohort_of().channels.read(label, unit)
    assert reading.taken is taken
    assert taken or unit in reading.reason or "broken" in reading.reason


def test_duplicates_that_mne_has_numbered():
    """mne.io.read_raw_edf: "Channel names are not unique ... renamed with a running number": X, X -> X-0, X-1."""
    names = ["ECG-0", "ECG-1", "EMG-1", "E1-M2-0", "E1-M2-1"]
    assert duplicates_in(names) == {"ECG-0", "ECG-1", "E1-M2-0", "E1-M2-1"}
    generic, shhs = cohort_of().channels, cohort_of("shhs1").channels
    assert generic.read("ECG-1", is_duplicate=True).active is None
    assert generic.read("ECG-1").active == "1"
    assert [generic.read(x).kind for x in ("ECG-0", "EMG-0", "H.R.-0", "THOR RES-1")] == [
        "ecg", "chin", "heart_rate", "thorax",
    ]  # fmt: skip
    assert (generic.read("E1-M2-0").active, generic.read("E1-M2-0").reference) == ("E1", "M2")
    assert [shhs.read(x).active for x in ("EEG-0", "EEG(sec)-1")] == ["C4", "C3"]


def test_a_unit_overrules_a_label():
    assert cohort_of().channels.read("C4", "kOhm").kind == "impedance"
    assert cohort_of().channels.read("C4", "k\u2126").kind == "impedance"
    assert cohort_of().channels.read("C4", "uV").kind == "eeg"


@given(label=st.text(), unit=st.text(max_size=8))
def test_any_text_gets_a_reading_with_a_reason(label, unit):
    reading = cohort_of().channels.read(label, unit)

    assert reading.reason
    assert reading.taken <= (reading.kind is not None)
    assert reading == cohort_of().channels.read(f"  {label.upper().lower()} ", unit) or plain(label) != plain(
        label.upper().lower()
    )


@settings(deadline=None)  # the first label of a cohort compiles its rules
@given(name=st.sampled_from(sorted(known_cohorts())), label=st.text(max_size=30), unit=st.text(max_size=4))
def test_no_cohort_stumbles_over_a_label(name, label, unit):
    reading = cohort_of(name).channels.read(label, unit)

    assert reading.reason
    assert reading.taken <= (reading.kind is not None)
    assert reading.cohort in ("", name, "generic")


@pytest.mark.parametrize("name", sorted(known_cohorts()))
def test_every_field_that_a_cohort_uses_can_be_found(name):
    """A misspelt field in a scoring name or a table's key would never match anything, and nobody would be told."""
    file = cohort_of(name).file
    found = {group for pattern in file.identity for group in re.compile(pattern).groupindex}
    for scoring in file.scoring.files:
        assert set(re.findall(r"{(\w+)}", scoring.name)) <= found | {"stem"}
    for i, table in enumerate(file.metadata):
        told = {"subject_id"} if any("subject_id" in earlier.columns for earlier in file.metadata[:i]) else set()
        own = {group for pattern in table.identity for group in re.compile(pattern).groupindex}
        assert set(table.key) <= (own or found) | told


def test_a_cohort_without_a_file_of_its_own_gets_the_generic_rules():
    assert cohort_of("no such cohort").channels.read("C4-M1") == cohort_of().channels.read("C4-M1")
