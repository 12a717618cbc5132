"""`sleep2vec predict` with a model that answers everything: what it asks, writes and prints."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_nights import made_night
from page_reader import read_html
from untrained_answers import SENSORS, saved_answers, untrained_answers

from sleep2vec.cli.predict import summary
from sleep2vec.formats.edf_writer import write_edf
from sleep2vec.inference.breathing import breathing_of
from sleep2vec.inference.export import html
from sleep2vec.inference.result import NightResult
from sleep2vec.vocabulary.events import Event
from sleep2vec.vocabulary.recording import Recording, Signal
from sleep2vec.vocabulary.subject import Subject


@pytest.fixture(scope="module")
def answers(tmp_path_factory) -> Path:
    return saved_answers(tmp_path_factory.mktemp("model") / "answers", modalities=("eeg", "spo2"))


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Path:
    """Five minutes of something like an EEG, and a saturation that falls twice."""
    draw = np.random.default_rng(0)
    eeg_T = np.convolve(draw.normal(0, 60, 300 * 128), np.ones(8) / 8, "same")
    spo2_T = 96.0 - 6 * (np.sin(np.arange(300) / 150 * 2 * np.pi) > 0.7)
    signals = (Signal.from_array("C4-M1", eeg_T, 128.0, "uV"), Signal.from_array("SpO2", spo2_T, 1.0, "%"))
    path = tmp_path_factory.mktemp("recording") / "night.edf"
    write_edf(path, Recording(signals, 300))
    return path


@pytest.fixture(scope="module")
def result() -> NightResult:
    night = made_night("n", 8, 120, SENSORS, 1.0, Subject("p", age_years=66.0, sex="male"))
    return untrained_answers().predict(night)


def test_all_is_answered_and_the_files_are_those_the_help_names(sleep2vec, recording: Path, answers: Path, tmp_path):
    outcome = sleep2vec("predict", recording, "--model", answers, "--out", tmp_path / "out")
    assert (outcome.code, outcome.err) == (0, "")
    helped = " ".join(sleep2vec("predict", "--help").out.split())
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert "events.csv" in written
    assert all(name in helped for name in written)
    told = json.loads((tmp_path / "out" / "result.json").read_text())
    ahi, arousal_index = told["breathing"]["indices"][0]["ahi"], told["breathing"]["arousal_index"]
    assert f"AHI per hour of predicted sleep: {ahi:.1f} by the model's own rule" in outcome.out
    assert f"arousal index {arousal_index:.1f}/h" in outcome.out
    page = read_html((tmp_path / "out" / "night.html").read_text(encoding="utf-8")).text
    assert f"apneas and hypopneas {ahi:.1f} " in page
    assert f"Arousal index arousals {arousal_index:.1f} /h" in page


def test_tasks_asks_for_these_alone(sleep2vec, recording: Path, answers: Path, tmp_path):
    words = ("predict", recording, "--model", answers, "--json", "--out", tmp_path / "few")
    told = json.loads(sleep2vec(*words, "--tasks", "age, arousal,age").out)
    assert told["tasks"] == ["age", "arousal"]
    assert {event["kind"] for event in told["events"]} == {"arousal"}
    assert [outcome["task"] for outcome in told["person"]] == ["age"]
    assert (told["prognoses"], told["breathing"]["indices"]) == ([], [])
    everything = json.loads(sleep2vec(*words).out)
    assert told["person"][0] == everything["person"][0]
    assert told["events"] == [event for event in everything["events"] if event["kind"] == "arousal"]


def test_a_task_that_it_was_not_taught_is_refused_before_anything_is_read(sleep2vec, answers: Path, tmp_path: Path):
    missing = tmp_path / "missing.edf"
    outcome = sleep2vec("predict", missing, "--model", answers, "--tasks", "age,apnoea")
    assert outcome.code != 0
    assert "unknown task 'apnoea'; this model does: staging, respiratory" in outcome.err
    assert "missing.edf" not in outcome.err


def test_the_summary_says_the_numbers_of_the_result(result: NightResult):
    text = summary(result)
    own, by_1a, by_1b = result.breathing.indices
    for found, rule in ((own, "by the model's own rule"), (by_1a, "by rule 1A"), (by_1b, "by rule 1B")):
        assert f"{found.ahi:.1f} {rule} ({found.severity})" in text
    oxygen = result.breathing.oxygen
    assert f"ODI3 {oxygen.odi3:.1f}/h, ODI4 {oxygen.odi4:.1f}/h" in text
    assert f"{oxygen.below_90_percent:.1f} % of sleep below 90 %" in text
    age, male, hypertension, heart = result.outcomes
    assert f"no diagnosis: age {age.value:.1f} ± 7.2 years, male {round(100 * male.value)} % (usual 48 %)" in text
    assert f"hypertension {round(100 * hypertension.value)} % (usual 31 %)" in text
    assert f"heart failure {round(100 * heart.value)} % (usual < 1 %)" in text  # of 0.4 % nobody may read "nothing"
    # Hazards of 0.03 and 0.02 a year, times 1.1 ** 6 * 2 for 66 years and a man; see `untrained_answers`.
    free = [round(100 * np.exp(-rate * 1.1**6 * 2)) for rate in (0.03, 0.02)]
    assert f"free of death: {free[0]} % after 1 year ({free[1]} % by age and sex alone), " in text
    assert max(map(len, text.splitlines())) < 200


def test_what_is_not_known_is_a_dash_and_what_was_not_asked_is_not_there(result: NightResult):
    night = replace(result.night, subject=Subject())
    text = summary(untrained_answers().predict(night, modalities=["ibi", "resp"]))
    assert "ODI3" not in text
    assert "– by rule 1A" not in text
    assert "age and sex alone" not in text
    awake = np.tile(np.eye(5, dtype=np.float32)[0], (120, 1))
    nobody_slept = untrained_answers(without=("age", "sex", "diagnosis", "survival")).predict(night)
    found = breathing_of(night, awake.argmax(axis=1).astype(np.float32), (), (), with_oximeter=True)
    text = summary(replace(nobody_slept, probabilities=awake, breathing=found))
    assert "AHI per hour of predicted sleep: – by the model's own rule, – by rule 1A, – by rule 1B" in text
    assert "arousal index –/h" in text
    assert "person, no diagnosis" not in text
    unstaged = untrained_answers(without=("staging",)).predict(night)
    assert "no epoch was staged" in summary(unstaged)
    assert "sleep 0 min" not in summary(unstaged)


def test_the_page_of_a_result_shows_what_the_result_holds(result: NightResult):
    """Boxes in the lanes are counted, numbers are looked for; scored events stand beside what was looked for alone."""
    scored = (Event("hypopnea", 300.0, 20.0), Event("limb_movement", 400.0, 2.0), Event("lights_off", 0.0, 0.0))
    reader = read_html(html(replace(result, night=replace(result.night, events=scored))))
    kinds = [event.kind for event in result.events]
    for kind in set(kinds):
        (path,) = (a["d"] for _, a in reader.tags if a.get("data-found") == kind)
        assert path.count("Z") == kinds.count(kind)
    assert {a["data-scored"] for _, a in reader.tags if "data-scored" in a} == {"hypopnea"}
    assert "what was scored" in reader.text
    legs_alone = read_html(html(replace(result, night=replace(result.night, events=scored[1:]))))
    assert "what was scored" not in legs_alone.text
    own = result.breathing.indices[0]
    assert f"Mixed apnea index (MAI) {own.mai:.1f} /h" in reader.text
    assert f"3 % or more {result.breathing.oxygen.odi3:.1f} /h" in reader.text
    assert f"Age {result.outcomes[0].value:.1f} years" in reader.text
    share = re.search(r"(\d+) % of them are doubtful: their stage is less probable than 45 %", reader.text)
    assert int(share.group(1)) == pytest.approx(100 * (result.probabilities.max(axis=1) < 0.45).mean(), abs=0.5)
