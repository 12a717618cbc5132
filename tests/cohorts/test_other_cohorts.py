"""APPLES, STAGES, NCHSDB, HSP, Sleep-EDF, the two challenges, ISRUC, DOD and BOAS, judged by facts about their labels,
by real headers and tables, and by made recordings that carry the labels, rates and references of each."""

import csv
import json
import re
import zlib
from fnmatch import fnmatch
from pathlib import Path, PurePath

import numpy as np
import pytest
from scipy.signal import lfilter, welch

from sleep2vec.cohorts.catalog import cohort_of
from sleep2vec.cohorts.labels import plain
from sleep2vec.formats.companions import FileIndex
from sleep2vec.formats.edf import read_edf
from sleep2vec.harmonization.pipeline import harmonize
from sleep2vec.harmonization.sensors import KINDS_OF
from sleep2vec.store.cohort_tables import CohortTables
from sleep2vec.vocabulary.modalities import MODALITIES
from sleep2vec.vocabulary.recording import Recording, Signal

_NAMES = (*("apples", "stages", "nchsdb", "hsp_bdsp", "sleep_edf", "cinc2018", "cinc2026", "isruc", "dod", "boas"),)
# Name of a cohort in the facts, and here.
_IN_FACTS = {name: name for name in ("apples", "stages", "nchsdb", "hsp_bdsp", "sleep_edf", "cinc2018")}
_IN_FACTS["cinc2026_hsp"] = "cinc2026"
_MODALITY_OF_FACT = {
    **dict.fromkeys(("eeg", "eog", "ecg", "spo2", "ppg", "heart_rate"), None),
    "emg_chin": "emg",
    **dict.fromkeys(("resp_airflow", "resp_nasal_pressure"), "airflow"),
    **dict.fromkeys(("resp_abdomen", "resp_thorax", "resp_sum"), "belt"),
}
# Facts that are wrong, each for a reason outside this code.
_WRONG_FACTS = {
    ("stages", "EMG"): "a label that says EMG is listed as ECG",
    ("stages", "ResMed_Flow"): "ResMed makes PAP machines; the observed headers list it as PAP",
    ("stages", "ResMed_Pressure"): "as ResMed_Flow",
    ("stages", "SpO2Sta"): "a status by its name",
    ("stages", "CFLO"): "stands beside LEAK, IPAP and EPAP; hsp's same label is marked uncertain",
    ("nchsdb", "C-Flow"): "a second source, Luna's, has it as PAP",
    ("nchsdb", "C-flow"): "a second source, Luna's, has it as PAP",
    ("nchsdb", "C-Pressure"): "a second source, Luna's, has it as PAP",
    ("nchsdb", "Pressure"): "a second source, Luna's, has it as PAP",
    ("nchsdb", "DC3"): "a DC input, in one study that has DC4 and DC8 and the real C3 too",
    ("nchsdb", "DC4"): "a DC input, in one study that has DC3 and DC8 and the real C4 too",
}
# Guessed facts of another kind that are taken all the same, each for a reason.
_TAKEN_AGAINST_A_GUESS = {
    ("stages", "EMG_#1"): "a numbered EMG beside two Masseter channels: the chin's, said to be likely",
    ("stages", "EMG_#2"): "as EMG_#1",
    ("stages", "EMG_#3"): "as EMG_#1",
    ("stages", "Mvmt"): "movement: actigraphy where its unit is one of acceleration; a device's counts are refused",
    ("stages", "Move."): "as Mvmt",
    ("stages", "SUB-R_-_V5"): "V5 is a place of chest leads, and the 172 files have no other ECG",
}
_DIALECTS = (
    *("edf_plus", "nsrr_xml", "profusion_xml", "stage_text", "timed_text", "timed_csv", "luna_annot", "bids_events"),
    *("noxturnal_csv", "dreem_json", "stanford_stages", "wfdb_st", "wfdb_apn", "wfdb_arousal", "hsp_csv"),
    "event_traces",
)
_MONTAGES = [(name, montage.name) for name in _NAMES for montage in cohort_of(name).file.montages]
_SECONDS = 600


@pytest.fixture(scope="module")
def facts(shared):
    return json.loads((shared / "facts" / "channel_aliases.json").read_text())["aliases"]


def _known(facts, fact_name):
    return [
        fact
        for fact in facts
        if fact["cohort"] == fact_name and not fact.get("modality_guessed") and not fact.get("uncertain")
    ]


def _modality(kind):
    """The modality a kind serves first ("ibi" for pulse waves and rates), or None."""
    return next((name for name, kinds in KINDS_OF.items() if kind in kinds), None)


@pytest.mark.parametrize("fact_name", _IN_FACTS)
def test_every_label_that_is_no_guess_serves_the_modality_its_source_says(facts, fact_name):
    rules = cohort_of(_IN_FACTS[fact_name]).channels
    judged = [fact for fact in _known(facts, fact_name) if fact["modality"] in _MODALITY_OF_FACT]
    misread = {}
    for fact in judged:
        reading = rules.read(fact["alias"])
        wanted = _MODALITY_OF_FACT[fact["modality"]] or _modality(fact["modality"])
        if not reading.taken or _modality(reading.kind) != wanted:
            misread[fact_name, fact["alias"]] = (fact["modality"], reading.kind)
    assert len(judged) >= 5
    assert set(misread) <= set(_WRONG_FACTS), misread


@pytest.mark.parametrize("fact_name", _IN_FACTS)
def test_no_label_of_another_kind_is_taken(facts, fact_name):
    rules = cohort_of(_IN_FACTS[fact_name]).channels
    own = {fact["alias"] for fact in _known(facts, fact_name) if fact["modality"] in _MODALITY_OF_FACT}
    others = [
        fact["alias"]
        for fact in facts
        if fact["cohort"] == fact_name
        and fact["modality"] not in (*_MODALITY_OF_FACT, "ref")
        and fact["alias"] not in own
    ]
    taken = {(fact_name, alias) for alias in others if rules.read(alias).taken}
    assert taken <= set(_TAKEN_AGAINST_A_GUESS)


def test_what_is_said_against_the_facts_is_still_needed(facts):
    """An exception that no longer excuses anything would hide the next mistake."""
    listed = {(fact["cohort"], fact["alias"]) for fact in facts}
    assert set(_WRONG_FACTS) | set(_TAKEN_AGAINST_A_GUESS) <= listed
    assert not any(cohort_of(name).channels.read(alias).kind == "eeg" for name, alias in _WRONG_FACTS)
    assert all(cohort_of(name).channels.read(alias).certainty != "sure" for name, alias in _TAKEN_AGAINST_A_GUESS)


@pytest.mark.parametrize("fact_name", _IN_FACTS)
def test_montages_are_made_of_labels_the_cohort_is_known_to_have(facts, fact_name):
    known = {plain(fact["alias"]) for fact in facts if fact["cohort"] == fact_name}
    own = {
        "sleep_edf": {"marker"},  # of the ST recordings, as PhysioNet describes them
        "nchsdb": {"eeg m1", "eeg press", "eeg spare", "eeg 20"},  # counted in Luna's notes on the cohort
    }
    labels = {plain(channel.label) for m in cohort_of(_IN_FACTS[fact_name]).file.montages for channel in m.channels}
    assert labels - known == own.get(_IN_FACTS[fact_name], set())


@pytest.mark.parametrize("name", _NAMES)
def test_every_channel_of_a_montage_is_read_as_declared(name):
    cohort = cohort_of(name)
    for montage in cohort.file.montages:
        for channel in montage.channels:
            assert cohort.channels.read(channel.label, channel.unit).kind == channel.kind, channel.label


# What the cohort's own documents say the EEG and EOG are measured between; None: they do not say.
_REFERENCES = {
    "apples": [("C4-M1", "E1-M2")],
    "stages": [("C4-M1", "E1-M2"), ("C4-M1", "E1-M2"), ("C4-M1", "E1-M2"), ("C4-M1", None)],
    "nchsdb": [("C4-M1", "E1-M2")] * 3,
    "hsp_bdsp": [("C4-M1", "E1-M2")] * 3,
    "sleep_edf": [("Fpz-Cz", "E1-E2")] * 2,
    "cinc2018": [("C4-M1", "E1-M2")],
    "cinc2026": [("C4-M1", "E1-M2")] * 2,
    "isruc": [("C4-M1", "E1-M2")] * 3,
    "dod": [("C3-M2", None), ("C4-M1", None)],
    "boas": [("C4-M1", "E1-E2"), ("C4-M1", "E1-E2"), ("C4-M1", "E2-M1"), ("AF7-M1", None)],
}


@pytest.mark.parametrize(("name", "montage_name"), _MONTAGES)
def test_a_recording_in_the_cohorts_manner_gives_what_its_file_promises(name, montage_name):
    place, montage = next(item for item in enumerate(cohort_of(name).file.montages) if item[1].name == montage_name)
    night = harmonize(_recording(name, montage), cohort=name)

    assert {modality: story.channels for modality, story in night.provenance.items()} == montage.gives
    assert set(night.absent) == set(MODALITIES) - set(montage.gives)
    assert all(night.valid[modality].mean() > 0.8 for modality in montage.gives)
    for modality, documented in zip(("eeg", "eog"), _REFERENCES[name][place], strict=True):
        if documented is not None and modality in montage.gives:
            assert _derivation(name, montage.gives[modality]) == documented
    for modality in ("eeg", "eog", "emg", "ecg"):
        if len(montage.gives.get(modality, ())) == 2:
            assert _share_of_the_hum(night.samples[modality]) < 0.02


def _derivation(name, labels):
    readings = [cohort_of(name).channels.read(label) for label in labels]
    return f"{readings[0].active}-{readings[1].active if len(readings) == 2 else readings[0].reference}"


_HUM_HZ = 21.0


def _share_of_the_hum(samples_N):
    """Of the power at 15 to 27 Hz, what lies within 0.5 Hz of the tone that all electrodes share."""
    hz, power = welch(samples_N, 128.0, nperseg=1024)
    near, band = np.abs(hz - _HUM_HZ) <= 0.5, np.abs(hz - _HUM_HZ) <= 6.0
    return max(0.0, power[near].sum() - power[band & ~near].mean() * near.sum()) / power[band].sum()


def _recording(name, montage):
    """Ten minutes: a lone electrode carries a tone that only the right subtraction removes."""
    rules = cohort_of(name).channels
    has_reference = any(channel.kind == "reference" for channel in montage.channels)
    signals = []
    for channel in montage.channels:
        reading = rules.read(channel.label, channel.unit)
        lone = bool(reading.active) and not reading.reference and (has_reference or channel.kind in ("chin", "ecg"))
        time_s = np.arange(int(_SECONDS * channel.rate_hz)) / channel.rate_hz
        samples_T = _wave(channel, time_s, minus=reading.active in ("R", "RA", "2"))
        if lone:
            samples_T = samples_T + 40.0 * np.sin(2 * np.pi * _HUM_HZ * time_s)
        factor = 1e-3 if channel.unit == "mV" else 1.0
        signals.append(Signal.from_array(channel.label, factor * samples_T, channel.rate_hz, channel.unit))
    return Recording(tuple(signals), float(_SECONDS))


def _wave(channel, time_s, minus):
    """What a sensor of this kind shows, in uV where it is an electrode's; what must not be taken looks good too."""
    rng = np.random.default_rng(zlib.crc32(channel.label.encode()))
    noise_T = rng.standard_normal(len(time_s))
    beats_s = np.arange(0.5, _SECONDS, 0.9) + 0.02 * np.sin(np.arange(0.5, _SECONDS, 0.9) / 4)
    since_s = time_s - beats_s[np.clip(np.searchsorted(beats_s, time_s + 0.1) - 1, 0, None)]
    breath_T = np.sin(2 * np.pi * 0.25 * time_s) * (1 + 0.3 * np.sin(2 * np.pi * time_s / 97)) + 0.02 * noise_T
    match channel.kind:
        case "eeg" | "eog" | "reference" | "mastoid_pair":
            brain_T = lfilter([1.0], [1.0, -0.97 if channel.kind == "eog" else -0.93], noise_T)
            return 25.0 * (brain_T - brain_T.mean()) / brain_T.std()
        case "chin" | "emg_leg" | "emg_other":
            return 12.0 * noise_T
        case "ecg":
            beats_T = np.exp(-0.5 * (since_s / 0.012) ** 2)  # their height breathes
            return (-1 if minus else 1) * 900.0 * beats_T * (1 + 0.15 * breath_T) + 5.0 * noise_T
        case "ppg":
            return 50.0 * np.exp(-0.5 * ((since_s - 0.3) / 0.1) ** 2) * (1 + 0.15 * breath_T) + 0.5 * noise_T
        case "spo2":
            return 96.0 - np.floor(2 + 2 * np.sin(2 * np.pi * time_s / 130))
        case "heart_rate":
            return np.full(len(time_s), 66.0) + (np.floor(time_s) % 3)
        case _:
            return breath_T


@pytest.mark.parametrize(
    ("name", "path", "expected"),
    [
        ("apples", "polysomnography/apples-130001.edf", {"subject": "apples-130001"}),
        ("stages", "original/STAGES PSGs/BOGN/BOGN00001.edf", {"subject": "BOGN00001", "site": "BOGN"}),
        ("stages", "STNF/STNF00123_1.edf", {"subject": "STNF00123", "site": "STNF", "night": "1"}),
        ("nchsdb", "sleep_data/10048_24622.edf", {"subject": "10048", "visit": "24622"}),
        (
            "hsp_bdsp",
            "S0001/sub-S0001111189075/ses-1/eeg/sub-S0001111189075_ses-1_task-psg_eeg.edf",
            {"site": "S0001", "subject": "111189075", "visit": "1"},
        ),
        ("sleep_edf", "sleep-cassette/SC4001E0-PSG.edf", {"subject": "SC400", "night": "1"}),
        ("sleep_edf", "SC4822G0-PSG.edf", {"subject": "SC482", "night": "2"}),
        ("sleep_edf", "sleep-telemetry/ST7011J0-PSG.edf", {"subject": "ST701", "night": "1"}),
        ("cinc2018", "training/tr03-0005/tr03-0005.hea", {"subject": "tr03-0005"}),
        (
            "cinc2026",
            "training_set/physiological_data/I0006/sub-I0006175001234_ses-2.edf",
            {"site": "I0006", "subject": "175001234", "visit": "2"},
        ),
        ("isruc", "subgroupI/1/1.rec", {"subject": "I/1"}),
        ("isruc", "subgroupII/3/2/2.rec", {"subject": "II/3", "night": "2"}),
        ("isruc", "subgroupIII/10/10.rec", {"subject": "III/10"}),
        ("isruc", "100/100.rec", {"subject": "100"}),
        (
            "dod",
            "dodh/095d6e40-5f19-55b6-a0ec-6e0ad3793da0.edf",
            {"site": "dodh", "subject": "095d6e40-5f19-55b6-a0ec-6e0ad3793da0"},
        ),
        ("boas", "sub-1/eeg/sub-1_task-Sleep_acq-psg_eeg.edf", {"subject": "sub-1"}),
        ("boas", "sub-128/eeg/sub-128_task-Sleep_acq-headband_eeg.edf", {"subject": "sub-128"}),
    ],
)
def test_a_path_says_who_slept_and_is_taken_for_a_recording(name, path, expected):
    cohort = cohort_of(name)

    assert cohort.identity_of(PurePath(path)).fields == expected
    assert any(fnmatch(PurePath(path).name, pattern) for pattern in cohort.file.recordings)


@pytest.mark.parametrize(
    ("name", "file_name"),
    [
        ("sleep_edf", "SC4001EC-Hypnogram.edf"),
        ("cinc2026", "sub-S0001111189075_ses-1_caisr_annotations.edf"),
        ("cinc2026", "sub-S0001111189075_ses-1_expert_annotations.edf"),
        ("cinc2018", "RECORDS.hea"),
        ("boas", "sub-1_task-Sleep_acq-psg_events.tsv"),
    ],
)
def test_an_annotation_file_is_not_taken_for_a_recording(name, file_name):
    assert not any(fnmatch(file_name, pattern) for pattern in cohort_of(name).file.recordings)


@pytest.mark.parametrize(
    ("name", "path", "companion", "dialect"),
    [
        ("apples", "apples-130001.edf", "apples-130001.annot", "luna_annot"),
        ("stages", "BOGN00001.edf", "BOGN00001.csv", "timed_csv"),
        ("nchsdb", "10048_24622.edf", "10048_24622.tsv", "bids_events"),
        (
            "hsp_bdsp",
            "sub-S0001111189075_ses-1_task-psg_eeg.edf",
            "sub-S0001111189075_ses-1_task-psg_annotations.csv",
            "hsp_csv",
        ),
        ("sleep_edf", "SC4001E0-PSG.edf", "SC4001EC-Hypnogram.edf", "edf_plus"),
        ("sleep_edf", "ST7011J0-PSG.edf", "ST7011JP-Hypnogram.edf", "edf_plus"),
        ("cinc2018", "tr03-0005.hea", "tr03-0005.arousal", "wfdb_arousal"),
        ("cinc2026", "sub-I0002150_ses-1.edf", "sub-I0002150_ses-1_expert_annotations.edf", "event_traces"),
        ("isruc", "subgroupI/1/1.rec", "1_1.txt", "stage_text"),
        (
            "boas",
            "sub-1_task-Sleep_acq-headband_eeg.edf",
            "sub-1_task-Sleep_acq-psg_events.tsv",
            "bids_events",
        ),
    ],
)
def test_the_scoring_of_a_recording_has_the_first_name_declared(name, path, companion, dialect):
    cohort = cohort_of(name)
    first = cohort.file.scoring.files[0]
    fields = {"stem": PurePath(path).stem, **cohort.identity_of(PurePath(path)).fields}

    assert fnmatch(companion, first.name.format(**fields))
    assert first.dialect == dialect


@pytest.mark.parametrize("name", _NAMES)
def test_dialects_and_people_are_known_ones(name):
    file = cohort_of(name).file
    assert {entry.dialect for entry in file.scoring.files} <= set(_DIALECTS)
    assert all(name in cohort_of(other).file.same_people_as for other in file.same_people_as)
    assert file.title
    assert file.sources
    assert re.match("https://", file.url)


def test_sleep_edf_has_the_channels_of_the_real_header(shared):
    recording = read_edf(shared / "real_data" / "sleep_edf" / "SC4001E0-PSG_first300s.edf")
    cassette = cohort_of("sleep_edf").file.montages[0]

    real = [(signal.label.strip(), signal.rate_hz, signal.unit.strip()) for signal in recording.signals]
    assert [(channel.label, channel.rate_hz, channel.unit) for channel in cassette.channels] == real


@pytest.mark.parametrize(
    ("path", "age_years", "sex"),
    [
        ("SC4001E0-PSG.edf", 33.0, "female"),  # as the recording's own header says: F, Female_33yr
        ("SC4362F0-PSG.edf", 51.0, "male"),
        ("ST7011J0-PSG.edf", 60.0, "male"),
        ("ST7242J0-PSG.edf", 48.0, "female"),
    ],
)
def test_sleep_edf_people_of_one_number_in_two_tables_are_told_apart(shared, path, age_years, sex):
    """The judge is the tables' own rows, read by eye: 1 is female in one and male in the other."""
    folder = shared / "real_data" / "sleep_edf"
    person = CohortTables(cohort_of("sleep_edf"), folder, FileIndex.of(folder)).participant_of(PurePath(path))

    assert (person.subject_id, person.age_years, person.sex) == (path[:5], age_years, sex)


def test_boas_has_the_channels_codes_and_people_of_the_real_files(shared):
    folder = shared / "real_data" / "boas_ds005555"
    cohort = cohort_of("boas")
    known = {(channel.label, channel.rate_hz) for m in cohort.file.montages for channel in m.channels}
    for path in (folder / "bids_example").glob("sub-*/eeg/*_channels.tsv"):
        with path.open(newline="") as lines:
            rows = list(csv.DictReader(lines, delimiter="\t"))
        assert {(row["name"], float(row["sampling_frequency"])) for row in rows} <= known
    codes = np.unique(np.concatenate([np.unique(stages) for stages in _arrays(folder / "hypnograms.npz")]))
    assert {str(int(code)) for code in codes} <= set(cohort.words.stages)
    assert cohort.words.stages["4"] == 4
    table = cohort.file.metadata[0]
    with (folder / "participants.tsv").open(newline="") as lines:
        header = next(csv.reader(lines, delimiter="\t"))
    wanted = {*table.key.values(), *(column.column for column in (table.columns | table.measures).values())}
    assert wanted <= set(header)


def test_dod_codes_are_all_those_of_the_real_hypnograms(shared):
    words = cohort_of("dod").words.stages
    for name in ("dodh", "dodo"):
        arrays = _arrays(shared / "real_data" / "dod_hypnograms" / f"{name}_5scorers.npz")
        assert {str(int(code)) for scored in arrays for code in np.unique(scored)} <= set(words)
    assert (words["4"], words["-1"]) == (4, None)


def _arrays(path):
    with np.load(path) as held:
        return [held[key] for key in held.files if held[key].dtype.kind in "if"]


def test_ucddb_is_what_an_audit_of_its_headers_lists(shared: Path):
    with (shared / "real_data/ucddb_eeg/ucddb_audit.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["channel_names"]]
    montage = cohort_of("ucddb").file.montages[0]
    mine = [(channel.label, channel.rate_hz) for channel in montage.channels]
    for row in rows:
        labels = [label.strip().replace("Soud", "Sound") for label in row["channel_names"].split(";")]
        rates = [float(rate) for rate in row["sampling_frequencies"].split(";")]
        assert set(zip(labels, rates, strict=True)) <= set(mine), row["record_id"]
