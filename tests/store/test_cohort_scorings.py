"""Scorings that mean less than they say, begin elsewhere, or are one of several; judged by what was written."""

import json
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

import cohort_scorings as scorings
import numpy as np
import pytest
from store_nights import made_recording

from sleep2vec.cohorts.catalog import cohort_of
from sleep2vec.formats.companions import FileIndex
from sleep2vec.formats.edf import read_edf
from sleep2vec.formats.edf_writer import write_edf
from sleep2vec.store.cohort_tables import CohortTables
from sleep2vec.store.ingest import ingest
from sleep2vec.store.reader import Store
from sleep2vec.vocabulary.recording import Signal

SLEEP_AND_WAKE = [0] * 6 + [2] * 24


def bare_recording(path: Path, minutes: float = 15.0, hum_hz: float | None = None) -> Path:
    """A recording without a scoring of its own, perhaps with hum of the mains."""
    recording = read_edf(made_recording(path, 3, minutes))
    signals = []
    for signal in recording.signals:
        samples_T = signal.samples
        if hum_hz is not None and signal.label.startswith("C4"):
            samples_T = samples_T + 40 * np.sin(2 * np.pi * hum_hz * np.arange(len(samples_T)) / signal.rate_hz)
        signals.append(Signal.from_array(signal.label, samples_T, signal.rate_hz, signal.unit, signal.physical_range))
    write_edf(path, replace(recording, signals=tuple(signals), stages=(), events=()))
    return path


def ingested(folder: Path, cohort: str) -> tuple[np.ndarray, dict[str, Any]]:
    """Stages and description of the only night."""
    store = folder.parent / "store"
    report = ingest(folder, store, cohort=cohort)
    assert report.failures == ()
    (row,) = Store(store).rows
    return Store(store).stages(row.night_id), json.loads(next((store / "nights").glob("*.json")).read_text())


@pytest.mark.parametrize(("flag", "n_asleep"), [("sleep/wake only", 0), ("full scoring", 24), ("", 24)])
def test_sleep_scored_as_sleep_alone_is_no_n2(flag: str, n_asleep: int, tmp_path: Path):
    """NSRR's dictionary, nsrr_flag_spsw: "sleep/wake only" or "full scoring"."""
    path = bare_recording(tmp_path / "in" / "shhs1-200001.edf")
    start = read_edf(path).start
    assert start
    events = [("hypopnea", 200.0, 22.0)]
    scorings.profusion_xml(path.with_name("shhs1-200001-profusion.xml"), SLEEP_AND_WAKE, events, start)
    table = f"nsrrid,visitnumber,nsrr_age,nsrr_flag_spsw\n200001,1,60,{flag}\n"
    (tmp_path / "in" / "shhs-harmonized-dataset-0.20.0.csv").write_text(table)

    stages, description = ingested(tmp_path / "in", "shhs1")

    assert ((stages == 0).sum(), np.isfinite(stages[stages != 0]).sum()) == (6, n_asleep)
    assert [event["kind"] for event in description["events"]] == ["hypopnea"]
    told = [note for note in description["notes"] if "24 epochs of sleep were left unscored, stage unknown" in note]
    assert len(told) == (n_asleep == 0)


@pytest.mark.parametrize("other_stage", [None, 1])
def test_an_hour_of_one_stage_is_a_shorthand_in_wisconsin(other_stage: int | None, tmp_path: Path):
    """wav2sleep's notes on WSC: nights scored as sleep and wake write N2 for all sleep."""
    path = bare_recording(tmp_path / "in" / "wsc-visit1-10119.edf", minutes=75)
    stages = [0] * 10 + [2] * 130
    if other_stage is not None:
        stages[10] = other_stage
    start = read_edf(path).start
    assert start
    scorings.wsc_allscore(path.with_name("wsc-visit1-10119.allscore.txt"), stages, [], start)

    stored, description = ingested(tmp_path / "in", "wsc")

    expected = [float(s) if s == 0 or other_stage is not None else np.nan for s in stages]
    np.testing.assert_array_equal(stored[:140], expected)
    assert any("sleep and wake only" in note for note in description["notes"]) == (other_stage is None)


@pytest.mark.parametrize("late_s", [0.0, 300.0, 40.0])
def test_the_log_says_when_the_first_epoch_begins(late_s: float, tmp_path: Path):
    path = bare_recording(tmp_path / "in" / "wsc-visit1-10119.edf")
    start = read_edf(path).start
    assert start
    scored = [0, 1, 2, 3, 4] * 4
    scorings.wsc_stg(path.with_name("wsc-visit1-10119.stg.txt"), scored, [], start, late_s=late_s)

    stages, description = ingested(tmp_path / "in", "wsc")

    before = int(late_s // 30)
    assert description["row"]["grid_start_s"] == late_s % 30
    np.testing.assert_array_equal(stages[before : before + 20], scored)
    assert np.isnan(stages[:before]).all()
    told = " ".join(description["repairs"])
    assert "as wsc-visit1-10119.log.txt says" in told
    assert "say so in a cohort file" not in told  # WSC is one


def test_a_log_that_is_missing_is_told_and_one_of_two_starts_is_not_believed(tmp_path: Path):
    path = bare_recording(tmp_path / "in" / "wsc-visit1-10119.edf")
    start = read_edf(path).start
    assert start
    scorings.wsc_stg(path.with_name("wsc-visit1-10119.stg.txt"), [0, 1, 2, 3, 4] * 4, [], start)
    log = path.with_name("wsc-visit1-10119.log.txt")
    log.write_text("22:30:00 1\tRecording Started\n23:10:00 80\tRecording Started\n")
    path.with_name("wsc-visit1-10119-nsrr.eannot").write_text("\n".join(["wake", "N1", "N3"] * 10) + "\n")

    stages, description = ingested(tmp_path / "in", "wsc")
    assert "tells of 2 starts (22:30:00, 23:10:00)" in " ".join(description["repairs"])
    np.testing.assert_array_equal(stages, [0, 1, 3] * 10)  # NSRR's own file, epoch by epoch of the recording

    log.unlink()
    path.with_name("wsc-visit1-10119-nsrr.eannot").unlink()
    stages, description = ingested(tmp_path / "in", "wsc")
    assert "no log (.log.txt) lies beside it" in " ".join(description["repairs"])
    np.testing.assert_array_equal(stages[:5], range(5))


def test_other_scorers_are_spoken_of(tmp_path: Path):
    record = "095d6e40-5f19-55b6-a0ec-6e0ad3793da0"
    bare_recording(tmp_path / "in" / "dodh" / f"{record}.edf")
    for scorer in range(1, 4):
        place = tmp_path / "in" / "dodh" / f"scorer_{scorer}"
        place.mkdir()
        (place / f"{record}.json").write_text(json.dumps([scorer] * 30))

    stages, description = ingested(tmp_path / "in", "dod")

    assert set(stages) == {1}
    told = next(repair for repair in description["repairs"] if repair.startswith("Stages were taken"))
    assert "others lie there and were not used: scorer_2/" in told
    assert "scorer_3/" in told


def test_isrucs_second_scorer_is_spoken_of_and_shhs_second_format_is_no_scorer(tmp_path: Path):
    path = bare_recording(tmp_path / "in" / "subgroupI" / "1" / "1.edf")
    for scorer in (1, 2):
        path.with_name(f"1_{scorer}.txt").write_text("\n".join(["0", "1", "2"] * 10) + "\n")
    _, description = ingested(tmp_path / "in", "isruc")
    assert "others lie there and were not used: 1/1_2.txt" in " ".join(description["repairs"])

    path = bare_recording(tmp_path / "shhs" / "in" / "shhs1-200001.edf")
    start = read_edf(path).start
    assert start
    scorings.profusion_xml(path.with_name("shhs1-200001-profusion.xml"), [0, 1, 2] * 10, [], start)
    scorings.nsrr_xml(path.with_name("shhs1-200001-nsrr.xml"), [0, 1, 2] * 10, [], start)
    _, description = ingested(tmp_path / "shhs" / "in", "shhs1")
    assert "others lie there" not in " ".join(description["repairs"])


@pytest.mark.parametrize(
    "paths",
    [
        ("group1/1/1.rec", "group3/1/1.rec"),
        ("ISRUC_S1/1/1.rec", "ISRUC_S3/1/1.rec"),
        ("subgroupI/1/1.rec", "subgroupIII/1/1.rec"),
        ("data/group1/7/7.rec", "data/group3/7/7.rec"),
    ],
)
def test_people_of_two_subgroups_are_two(paths: tuple[str, str]):
    one, other = (cohort_of("isruc").identity_of(PurePath(path)).subject for path in paths)
    assert one
    assert other
    assert one != other


def test_two_nights_of_one_person_are_one():
    nights = [cohort_of("isruc").identity_of(PurePath(f"ISRUC_S2/3/{night}/{night}.rec")) for night in (1, 2)]
    assert {identity.subject for identity in nights} == {"ISRUC_S2/3"}
    assert [identity.night for identity in nights] == ["1", "2"]


@pytest.mark.parametrize(
    ("hum_hz", "cohort", "doubted"),
    [
        (50.0, "shhs1", True),
        (50.4, "shhs1", True),
        (50.0, "isruc", False),
        (50.4, "isruc", False),
        (None, "shhs1", False),
    ],
)
def test_hum_of_another_continent_is_told(hum_hz: float | None, cohort: str, doubted: bool, tmp_path: Path):
    name = {"shhs1": "shhs1-200001.edf", "isruc": "subgroupI/1/1.rec"}[cohort]
    bare_recording(tmp_path / "in" / name, hum_hz=hum_hz)
    _, description = ingested(tmp_path / "in", cohort)
    found = f"{hum_hz or 50:g} Hz"
    told = f"eeg: hum of {found} was removed, and the mains of shhs1 have 60 Hz"
    assert any(note.startswith(told) for note in description["notes"]) is doubted
    steps = description["provenance"]["eeg"]["steps"]
    assert any(f"mains of {found} removed" in step for step in steps) is bool(hum_hz)


def test_diagnoses_and_times_of_shhs(tmp_path: Path):
    """Columns and codes as NSRR's dictionary has them: 0 no, 1 yes, 2 and 8 "don't know"; days from visit 1."""
    columns = ("nsrrid", "age_s1", "htnderv_s1", "asthma15", "sinus15", "parrptdiab", "angina15", "mi15")
    rows = [columns, ("200001", 60, 1, 0, 1, 8, 2, 0), ("200002", 70, 0, 1, 0, 0, 0, "")]
    _write(tmp_path / "shhs1-dataset-0.20.0.csv", rows)
    columns = ("nsrrid", "vital", "censdate", "stroke", "stk_date", "mi", "mi_date", "chf", "chf_date")
    columns += ("cvd_death", "cvd_dthdt", "prev_mi", "prev_revpro", "prev_ang")
    rows = [
        columns,
        ("200001", 1, 3652.5, 0, "", 7, 365.25, 0, "", 0, "", 0, 0, 0),
        ("200002", 0, 1826.25, 0, "", 0, "", 1, 730.5, 1, 1826.25, 0, 2, 0),
    ]
    _write(tmp_path / "shhs-cvd-summary-dataset-0.20.0.csv", rows)
    tables = CohortTables(cohort_of("shhs1"), tmp_path, FileIndex.of(tmp_path))

    one, other = (tables.participant_of(PurePath(f"shhs1-{n}.edf")).measures for n in (200001, 200002))

    diagnoses = {name.removeprefix("diagnosis."): one[name] for name in one if name.startswith("diagnosis.")}
    assert diagnoses == {
        "hypertension": 1, "asthma": 0, "sinus_trouble": 1, "heart_attack": 0, "coronary_disease": 0,
    }  # fmt: skip
    assert (one["event.heart_attack"], one["event.death"]) == (1, 0)
    assert one["time_years.heart_attack"] == pytest.approx(1, rel=1e-4)
    assert one["time_years.heart_failure"] == pytest.approx(10, rel=1e-4)  # last seen
    assert (other["diagnosis.coronary_disease"], other["diagnosis.asthma"]) == (1, 1)
    assert (other["event.cardiovascular_death"], other["event.heart_failure"]) == (1, 1)
    assert other["time_years.heart_failure"] == pytest.approx(2, rel=1e-4)
    assert len(tables.notes) == len(set(tables.notes))


def test_what_wisconsin_was_told_by_a_physician(tmp_path: Path):
    columns = ("wsc_id", "wsc_vst", "age", "sex", "hypertension_ynd", "asthma_ynd", "coronary_ynd", "diabetes_ynd")
    _write(tmp_path / "wsc-dataset-0.7.0.csv", [columns, ("10119", 1, 55, "M", "Y", "N", "", "N")])
    tables = CohortTables(cohort_of("wsc"), tmp_path, FileIndex.of(tmp_path))
    measures = tables.participant_of(PurePath("wsc-visit1-10119.edf")).measures
    assert measures == {"diagnosis.hypertension": 1, "diagnosis.asthma": 0, "diagnosis.diabetes": 0}


def test_what_apples_found_at_the_physical(tmp_path: Path):
    """domains/medhistory.json: 0 none, 1 resolved, 2 ongoing, negative: not answered. The diagnostic visit names the
    file, the first has the history, and the person joins them (scripts/prepare-apples-for-nsrr.sas)."""
    rows = [("nsrrid", "visitn", "fileid", "nsrr_age", "nsrr_sex", "nsrr_bmi"), ("A7", 1, "", 50, "male", 31)]
    _write(tmp_path / "apples-harmonized-dataset-0.1.0.csv", [*rows, ("A7", 3, "apples-130001", "", "male", "")])
    columns = ("appleid", "visitn", "hpcvhtn", "hpcvcad", "asthmamedhxhp", "diabetesmedhxhp")
    rows = [columns, ("A7", 1, 2, 0, 1, -1), ("A7", 3, "", "", "", ""), ("A8", 1, 0, 0, 0, 0)]
    _write(tmp_path / "apples-dataset-0.1.0.csv", rows)
    tables = CohortTables(cohort_of("apples"), tmp_path, FileIndex.of(tmp_path))
    person = tables.participant_of(PurePath("apples-130001.edf"))
    assert (person.subject_id, person.age_years, person.sex) == ("A7", 50, "male")
    assert person.measures == {
        "bmi": 31, "diagnosis.hypertension": 1, "diagnosis.coronary_disease": 0, "diagnosis.asthma": 1,
    }  # fmt: skip
    unknown = tables.participant_of(PurePath("apples-139999.edf"))
    assert (unknown.subject_id, unknown.measures) == ("apples-139999", {})


def _write(path: Path, rows: list[tuple[Any, ...]]) -> None:
    path.write_text("\n".join(",".join(map(str, row)) for row in rows) + "\n")
