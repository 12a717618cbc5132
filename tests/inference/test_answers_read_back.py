"""Everything a model says, in files: read back by programs that did not write them, and held against each other."""

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import edfio
import mne
import numpy as np
import pyedflib
import pytest
from made_nights import made_night
from untrained_answers import SENSORS, untrained_answers

from sleep2vec.inference import export
from sleep2vec.inference.result import NightResult
from sleep2vec.vocabulary.events import Event
from sleep2vec.vocabulary.subject import Subject

START = datetime(2024, 3, 1, 22, 30, 15)
GRID_S = 7.1
WORDS = ("W", "N1", "N2", "N3", "R")
# The texts of EDF+ and of the AASM Manual, as a program looks for them.
TEXTS = {
    "obstructive_apnea": "Obstructive apnea",
    "central_apnea": "Central apnea",
    "mixed_apnea": "Mixed apnea",
    "hypopnea": "Hypopnea",
    "arousal": "EEG arousal",
    "desaturation": "Oxygen desaturation",
}
QUESTION = {"arousal": "arousal", "desaturation": "desaturation"}


@pytest.fixture(scope="module")
def result() -> NightResult:
    """An hour that begins 7.1 s into the recording (no number of a computer); 4 epochs without a sensor."""
    night = made_night("n", 8, 120, SENSORS, 0.9, Subject("p", age_years=66.0, sex="male"))
    for valid_L in night.valid.values():
        valid_L[10:14] = False
    result = untrained_answers().predict(replace(night, start=START, grid_start_s=GRID_S))
    assert {event.kind for event in result.events} == set(TEXTS)
    assert len(np.unique(result.stages[np.isfinite(result.stages)])) == 5
    return result


@pytest.fixture(scope="module")
def saved(result: NightResult, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("answers") / "night"
    result.save(folder)
    return folder


def by_mne(path: Path) -> Iterator[tuple[float, float, str]]:
    read = mne.read_annotations(path)
    yield from zip(read.onset.tolist(), read.duration.tolist(), map(str, read.description), strict=True)


def by_pyedflib(path: Path) -> Iterator[tuple[float, float, str]]:
    with pyedflib.EdfReader(str(path)) as file:
        assert file.getStartdatetime() == START
        yield from zip(*(list(column) for column in file.readAnnotations()), strict=True)


def by_edfio(path: Path) -> Iterator[tuple[float, float, str]]:
    edf = edfio.read_edf(path)
    assert datetime.combine(edf.startdate, edf.starttime) == START
    yield from ((note.onset, note.duration or 0.0, note.text) for note in edf.annotations)


@pytest.mark.parametrize("read", [by_mne, by_pyedflib, by_edfio])
def test_three_programs_read_the_same_stages_and_events(result: NightResult, saved: Path, read):
    likeliest = [None if np.isnan(row[0]) else WORDS[int(np.argmax(row))] for row in result.probabilities]
    wanted = [(GRID_S + 30 * t, 30.0, f"Sleep stage {word or '?'}") for t, word in enumerate(likeliest)]
    wanted += [(event.onset_s, event.duration_s, TEXTS[event.kind]) for event in result.events]
    rows = sorted((round(onset, 3), round(length, 3), text) for onset, length, text in read(saved / "stages.edf"))
    assert rows == sorted((round(onset, 3), round(length, 3), text) for onset, length, text in wanted)


def test_the_table_of_events_is_that_of_the_json(result: NightResult, saved: Path):
    told = json.loads((saved / "result.json").read_text(encoding="utf-8"))
    with (saved / "events.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    as_read = [
        {"kind": row["kind"], "onset_s": float(row["onset_s"]), "duration_s": float(row["duration_s"])} for row in rows
    ]
    assert as_read == told["events"]
    for row, event in zip(rows, result.events, strict=True):
        clock = datetime.fromisoformat(row["clock"])
        assert abs(clock - START - timedelta(seconds=event.onset_s)) < timedelta(milliseconds=1)
        first = round(event.onset_s - GRID_S)  # the model answers whole seconds of its own grid
        assert (row["stage"] or None) == told["stages"]["5"][first // 30]
        own_S = result.seconds[QUESTION.get(event.kind, "respiratory")][first : first + round(event.duration_s)]
        assert float(row["mean_probability"]) == pytest.approx(float(np.nanmean(own_S)), abs=1e-4)


@pytest.mark.parametrize("onset_s", [100_007.125, 12_345.678, 1_234_567.0])
def test_no_digit_of_a_long_recording_is_lost(result: NightResult, onset_s: float):
    """A recording of days: six digits are not enough for its seconds."""
    event = Event("arousal", onset_s, 3.125)
    late = replace(result, night=replace(result.night, grid_start_s=onset_s - 60), events=(event,))
    (row,) = csv.DictReader(export.events_csv(late).splitlines())
    assert (float(row["onset_s"]), float(row["duration_s"])) == (onset_s, 3.125)
    stages = list(csv.DictReader(export.as_csv(late).splitlines()))
    assert [float(row["onset_s"]) for row in stages] == [pytest.approx(onset_s - 60 + 30 * t) for t in range(120)]


def test_the_json_says_all_that_the_model_said(result: NightResult, saved: Path):
    told = json.loads((saved / "result.json").read_text(encoding="utf-8"))
    surest = [0 if np.isnan(row[0]) else max(row) for row in result.probabilities]
    doubtful = [t for t, p in enumerate(surest) if 0 < p < told["least_confidence"]]
    assert told["doubtful_epochs"] == doubtful
    assert 0 < len(doubtful) < 120
    asleep_h = sum(word not in (None, "W") for word in told["stages"]["5"]) * 30 / 3600
    assert told["breathing"]["indices"][0]["sleep_hours"] == pytest.approx(asleep_h)
    arousals = [event for event in told["events"] if event["kind"] == "arousal"]
    words = told["stages"]["5"]
    in_sleep = 0
    for event in arousals:  # any second of it in an epoch of sleep
        seconds = range(round(event["onset_s"] - GRID_S), round(event["onset_s"] - GRID_S + event["duration_s"]))
        in_sleep += any(words[second // 30] not in (None, "W") for second in seconds)
    assert told["breathing"]["arousal_index"] == pytest.approx(in_sleep / asleep_h)
    # Constant hazards: exp(-rate * years); 66 years and a man: 1.1 ** 6 * 2 times the rate.
    for told_of in told["prognoses"]:
        hazard = told_of["years"] * 1.1**6 * 2
        assert told_of["survival"] == pytest.approx(np.exp(-0.03 * hazard))
        assert told_of["baseline"] == pytest.approx(np.exp(-0.02 * hazard))
    assert [told_of["years"] for told_of in told["prognoses"]] == [1, 5, 10]


def test_without_age_and_sex_survival_is_told_by_the_night_alone(result: NightResult):
    nobody = untrained_answers().predict(replace(result.night, subject=Subject("p")))
    for prognosis in nobody.prognoses:
        assert prognosis.survival == pytest.approx(np.exp(-0.05 * prognosis.years))
        assert prognosis.baseline is None


@pytest.mark.filterwarnings("default")
def test_yasa_has_the_same_hypnogram_and_the_same_statistics(result: NightResult):
    """YASA counts wake after sleep onset up to the last epoch of sleep, we to the end: sleep is put there."""
    probabilities = np.where(np.isnan(result.probabilities), np.eye(5, dtype=np.float32)[2], result.probabilities)
    probabilities[-1] = np.eye(5)[2]
    whole = replace(result, probabilities=probabilities)
    hypnogram = whole.to_yasa()
    names = {"W": "WAKE", "R": "REM"}
    assert hypnogram.hypno.astype(str).tolist() == [names.get(word, word) for word in whole.words_of(5)]
    assert (hypnogram.start.to_pydatetime() - START) == timedelta(seconds=GRID_S)
    theirs, ours = hypnogram.sleep_statistics(), whole.statistics
    pairs = {
        "TIB": ours.time_in_bed_min, "SPT": ours.sleep_period_min, "TST": ours.total_sleep_min,
        "SE": ours.sleep_efficiency_percent, "SOL": ours.sleep_latency_min, "WASO": ours.waso_min,
        "N1": ours.n1_min, "N2": ours.n2_min, "N3": ours.n3_min, "REM": ours.rem_min,
        "%N1": ours.n1_percent, "%N2": ours.n2_percent, "%N3": ours.n3_percent, "%REM": ours.rem_percent,
        "Lat_REM": None if ours.rem_latency_min is None else ours.rem_latency_min + ours.sleep_latency_min,
    }  # fmt: skip
    # YASA rounds to four decimals; its latency of REM counts from lights off, ours (AASM) from sleep onset.
    assert {name: theirs[name] for name in pairs} == pytest.approx(pairs, abs=1e-3)


@pytest.mark.filterwarnings("default")
def test_yasa_is_told_what_was_not_answered(result: NightResult):
    unscored = result.to_yasa().hypno.astype(str) == "UNS"
    assert np.flatnonzero(unscored).tolist() == np.flatnonzero(np.isnan(result.probabilities[:, 0])).tolist()
    assert {10, 11, 12, 13} <= set(np.flatnonzero(unscored))


def test_a_model_that_looks_for_no_events_writes_no_table_of_them(tmp_path: Path):
    night = made_night("n", 8, 20, SENSORS, 1.0)
    quiet = untrained_answers(without=("respiratory", "arousal", "desaturation")).predict(night)
    assert "events.csv" not in [path.name for path in quiet.save(tmp_path / "out")]
    assert all(text.startswith("Sleep stage") for *_, text in by_mne(tmp_path / "out" / "stages.edf") if text)
