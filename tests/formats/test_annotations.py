"""Annotation files that others wrote, held to the counts beside them and to plain readings of their bytes."""

import csv
import json
import tarfile
from collections import Counter
from datetime import datetime
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st

from sleep2vec.cohorts.catalog import cohort_of
from sleep2vec.formats.annotations import ANNOTATION_READERS, read_scoring
from sleep2vec.vocabulary.errors import UnreadableFileError
from sleep2vec.vocabulary.scoring import NO_DATE, Scoring, ScoringWords
from sleep2vec.vocabulary.stages import FIVE_CODES, hypnogram_of

RK = {"0": 0, "1": 1, "2": 2, "3": 3, "4": 3, "5": 4}


def kinds(scoring: Scoring) -> Counter:
    return Counter(event.kind for event in scoring.events)


def stages(scoring: Scoring) -> list[int | None]:
    return [span.stage for span in scoring.stages]


def test_noxturnal_in_utf_16_and_french(shared: Path):
    """The README beside it: 114 obstructive apneas, 89 hypopneas, 191 desaturations, 76 arousals."""
    scoring = read_scoring(shared / "real_data/nox_a1_psg_120s/noxturnal_events_2.csv")
    found = kinds(scoring)
    assert (found["obstructive_apnea"], found["hypopnea"]) == (114, 89)
    assert (found["desaturation"], found["arousal"], found["mixed_apnea"]) == (191, 76, 1)
    text = (shared / "real_data/nox_a1_psg_120s/noxturnal_events_2.csv").read_text(encoding="utf-16")
    names = Counter(row[2] for row in csv.reader(text.splitlines()) if len(row) > 2)
    expected = {0: names["Éveil"], 1: names["N1"], 2: names["N2"], 3: names["N3"], 4: names["REM"]}
    assert Counter(stages(scoring)) == expected
    assert scoring.start == datetime(2018, 7, 25, 23, 45, 40)
    assert (scoring.stages[0].onset_s, scoring.epoch_s) == (20, 30)


def test_ucddb_018_is_a_whole_night_and_its_codes_are_its_own(shared: Path):
    """The README: 822 epochs; codes are 0 W, 1 REM, 2 S1, 3 S2, 4 S3, 5 S4."""
    path = shared / "real_data/ucddb_eeg/stage_txt/ucddb018_stage.txt"
    plain = read_scoring(path)
    assert len(plain.stages) == 822
    own = {"0": 0, "1": 4, "2": 1, "3": 2, "4": 3, "5": 3, "6": None, "7": None, "8": None}
    scoring = read_scoring(path, ScoringWords(stages=own))
    codes = path.read_text().split()
    assert stages(scoring) == [own[code] for code in codes]
    with (shared / "real_data/ucddb_eeg/epochs_stage_and_resp_events.csv").open() as file:
        table = [row["sleep_stage"] for row in csv.DictReader(file) if row["record_id"] == "ucddb018"]
    assert [own[str(int(float(code)))] for code in table] == stages(scoring)[: len(table)]


def test_sleep_edf(shared: Path):
    assert len(read_scoring(shared / "real_data/sleep_edf/SC4001EC-Hypnogram.edf").stages) == 154


@pytest.mark.parametrize("name", ["nsrr/learn-nsrr02.xml", "profusion/20017.edf.XML"])
def test_profusion(shared: Path, name: str):
    path = shared / "real_data/annotation_formats" / name
    root = ElementTree.parse(path).getroot()
    scoring = read_scoring(path)
    assert stages(scoring) == [RK[element.text] for element in root.iter("SleepStage")]
    names = Counter(event.find("Name").text for event in root.iter("ScoredEvent"))
    found = kinds(scoring)
    assert found["hypopnea"] == names["Hypopnea"]
    assert found["obstructive_apnea"] == names["Obstructive Apnea"]
    assert found["desaturation"] == names["SpO2 desaturation"]
    assert found["arousal"] == sum(n for name, n in names.items() if name.startswith("Arousal"))
    assert sum(found.values()) == sum(names.values())
    assert sum(event.duration_s for event in scoring.events) == pytest.approx(
        sum(float(event.find("Duration").text) for event in root.iter("ScoredEvent"))
    )


def test_the_old_nsrr_dialect(shared: Path):
    path = shared / "real_data/annotation_formats/nsrr/100657_MIMI_PSGAnnotation.xml"
    scoring = read_scoring(path)
    concepts = Counter(element.text for element in ElementTree.parse(path).iter("EventConcept"))
    found = kinds(scoring)
    assert found["hypopnea"] == concepts["SDO:HypopneaFinding"]
    assert found["arousal"] == concepts["SDO:SleepArousalFinding"]
    assert found["desaturation"] == concepts["SDO:HemoglobinOxygenDesaturationFinding"]
    assert Counter(stages(scoring))[2] == concepts["SDO:NonRapidEyeMovementSleep-N2"]
    assert len(scoring.stages) == 60


def test_every_night_of_boas(shared: Path, tmp_path: Path):
    """All recordings of the BIDS tree; the judge is the column `stage_hum` and the consensus published as an array."""
    words = cohort_of("boas").words
    with tarfile.open(shared / "real_data/boas_ds005555/ds005555_bids_text_only.tar.xz") as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # Python below 3.11.4 knows none
        archive.extractall(tmp_path)
    paths = sorted(tmp_path.rglob("*acq-psg_events.tsv"))
    assert len(paths) == 128
    for path in paths:
        with path.open() as file:
            codes = [row["stage_hum"] for row in csv.DictReader(file, delimiter="\t")]
        found = hypnogram_of(read_scoring(path, words).stages, 0.0, len(codes))
        expected = [float(code) if code in "01234" else np.nan for code in codes]
        np.testing.assert_array_equal(found, np.array(expected, dtype=np.float32), err_msg=path.name)


def test_dreem(shared: Path):
    paths = sorted((shared / "real_data/dod_hypnograms/original_json").glob("*.json"))
    assert paths
    for path in paths:
        codes = json.loads(path.read_text())
        assert stages(read_scoring(path)) == [FIVE_CODES[str(code)] for code in codes]


def test_slpdb_as_wfdb_reads_it(shared: Path):
    paths = sorted((shared / "real_data/mitbih_slpdb/wfdb_reencoded").glob("*.st"))
    assert len(paths) == 13
    stage_of = {"W": 0, "1": 1, "2": 2, "3": 3, "4": 3, "R": 4, "MT": None, "M": None}
    for path in paths:
        judge = wfdb.rdann(str(path.with_suffix("")), "st")
        texts = [text.rstrip("\0").split() for text in judge.aux_note]
        scoring = read_scoring(path)
        assert stages(scoring) == [stage_of[words[0]] for words in texts if words and words[0] in stage_of]
        codes = Counter(code for words in texts if words and words[0] in stage_of for code in words[1:])
        found = kinds(scoring)
        assert found["hypopnea"] == codes["H"] + codes["HA"]
        assert found["central_apnea"] == codes["CA"] + codes["CAA"]
        assert found["obstructive_apnea"] == codes["OA"] + codes["X"]
        onsets = np.array([span.onset_s for span in scoring.stages])
        np.testing.assert_allclose(onsets, onsets.round(-1), atol=0.05)


def test_sleep_accel_seconds_and_codes(shared: Path):
    for path in sorted((shared / "real_data/sleep_accel/labels").glob("*.txt")):
        rows = [line.split() for line in path.read_text().splitlines()]
        scoring = read_scoring(path)
        assert [span.onset_s for span in scoring.stages] == [float(second) for second, _ in rows]
        assert stages(scoring) == [RK.get(code) for _, code in rows]


def test_sleepfm_rows_of_five_seconds(shared: Path):
    path = shared / "real_data/annotation_formats/sleepfm_demo/demo_psg.csv"
    with path.open() as file:
        rows = list(csv.DictReader(file))
    number = {"Wake": 0, "Stage 1": 1, "Stage 2": 2, "Stage 3": 3, "REM": 4, "Unknown": None}
    scoring = read_scoring(path)
    assert stages(scoring) == [number[row["StageName"]] for row in rows]
    assert scoring.stages[7].onset_s == float(rows[7]["Start"])


@pytest.mark.parametrize(("ending", "n", "epoch_s"), [("txt", 2143, 15.0), ("sta", 1072, 30.0)])
def test_stanford_output(shared: Path, ending: str, n: int, epoch_s: float):
    path = shared / f"real_data/annotation_formats/stanford_stages_output/CHP040.hypnogram.{ending}"
    scoring = read_scoring(path)
    assert (len(scoring.stages), scoring.epoch_s) == (n, epoch_s)
    assert stages(scoring) == [RK.get(line) for line in path.read_text().split()]


def test_apnea_minutes_as_wfdb_writes_them(tmp_path: Path):
    symbols = ["N", "A", "A", "N"]
    samples = np.arange(4) * 6000
    samples[0] = 1  # the package takes a first annotation at sample 0 for a definition
    wfdb.wrann("a01", "apn", samples, symbol=symbols, fs=100, write_dir=str(tmp_path))
    scoring = read_scoring(tmp_path / "a01.apn")
    assert [(e.kind, e.onset_s, e.duration_s) for e in scoring.events] == [("apnea", 60, 60), ("apnea", 120, 60)]


@pytest.mark.parametrize("epoch_s", [15, 20, 30])
@pytest.mark.parametrize("letters", [True, False])
def test_lists_of_stages_with_epochs_of_any_length(tmp_path: Path, epoch_s: int, letters: bool):
    codes = np.random.default_rng(epoch_s).integers(0, 5, 90)
    words = [("W", "N1", "N2", "N3", "R")[c] if letters else str(5 if c == 4 else c) for c in codes]
    path = tmp_path / "h.txt"
    path.write_text("Stage\n" + "\n".join(words) + "\n")
    scoring = read_scoring(path, ScoringWords(epoch_s=epoch_s))
    seconds = np.repeat(codes, epoch_s)
    found = np.full(len(seconds), -1)
    for span in scoring.stages:
        found[int(span.onset_s) : int(span.onset_s + span.duration_s)] = span.stage
    np.testing.assert_array_equal(found, seconds)


def test_digits_without_a_five_are_told(tmp_path: Path):
    path = tmp_path / "h.txt"
    path.write_text("0\n1\n2\n3\n4\n")
    scoring = read_scoring(path)
    assert stages(scoring) == [0, 1, 2, 3, 3]
    assert "4 was read as stage 4 (N3)" in scoring.repairs[0]
    assert stages(read_scoring(path, ScoringWords(stages=dict(FIVE_CODES)))) == [0, 1, 2, 3, 4]


def test_a_clock_goes_over_midnight_with_and_without_pm(tmp_path: Path):
    path = tmp_path / "h.csv"
    path.write_text("Start Time,Duration (seconds),Event\n11:59:30 PM,30,Wake\n12:00:00 AM,30,Stage2\n")
    scoring = read_scoring(path)
    assert [span.onset_s for span in scoring.stages] == [0, 30]
    assert scoring.start == datetime.combine(NO_DATE, datetime(1, 1, 1, 23, 59, 30).time())


@pytest.mark.parametrize(
    "harm",
    [
        '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><PSGAnnotation>&b;</PSGAnnotation>',
        '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><PSGAnnotation>&a;</PSGAnnotation>',
        '<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd"><PSGAnnotation/>',
    ],
)
def test_xml_that_can_harm_is_not_parsed(tmp_path: Path, harm: str):
    path = tmp_path / "x.xml"
    path.write_text(harm)
    with pytest.raises(UnreadableFileError, match="declares a document type or entities"):
        read_scoring(path)


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("x.xml", "<a>", "is no well-formed XML"),
        ("x.xml", "<a/>", "begins with <a>, but a scoring of Compumedics Profusion begins with <CMPStudyConfig>"),
        ("x.json", "{}", "holds no JSON list of whole numbers"),
        ("x.txt", "hello\nworld\n", "where one sleep stage a line was expected"),
        ("x.csv", "onset,stage\n", r"no row with a time \(with seconds\) and a word"),
        ("x.annot", "nothing", "has 1 rows, none of class, instance, channel, start and stop"),
        ("x.st", "", "is empty; WFDB annotations were expected"),
    ],
)
def test_what_is_no_scoring_says_so(tmp_path: Path, name: str, text: str, sentence: str):
    (tmp_path / name).write_text(text)
    with pytest.raises(UnreadableFileError, match=sentence):
        read_scoring(tmp_path / name)


@pytest.mark.parametrize("dialect", ANNOTATION_READERS)
@settings(max_examples=40, deadline=None)
@given(
    data=st.one_of(
        st.binary(max_size=300), st.text("0123456789.,;\t\n:WNR<>/ onsetduration", max_size=200).map(str.encode)
    )
)
def test_any_bytes_are_a_scoring_or_a_sentence(tmp_path_factory: pytest.TempPathFactory, dialect: str, data: bytes):
    path = tmp_path_factory.mktemp("any") / "x.st"
    path.write_bytes(data)
    try:
        scoring = read_scoring(path, dialect=dialect)
    except UnreadableFileError:
        return
    assert all(span.duration_s >= 0 for span in scoring.stages)
    assert all(np.isfinite(event.onset_s) for event in scoring.events)
