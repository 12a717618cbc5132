"""The files of a result, read back by programs that did not write them."""

import csv
import io
import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import mne
import numpy as np
import pyarrow.parquet as pq
import pyedflib
import pytest
from made_nights import made_night
from untrained_models import SEEN, of_staging, untrained_stager

from sleep2vec.inference import export
from sleep2vec.inference.predictor import Model
from sleep2vec.inference.result import NightResult

SENSORS = ("spo2", "ibi", "resp")
START = datetime(2024, 3, 1, 22, 30, 15)
FILES = ["embeddings.parquet", "night.html", "result.json", "stages.csv", "stages.edf"]
WORDS = ("W", "N1", "N2", "N3", "R")


@pytest.fixture(scope="module")
def result() -> NightResult:
    """25 min that begin 7.5 s into the recording; four tokens without a sensor."""
    night = made_night("n", 8, n_tokens=50, modalities=SENSORS, valid_share=0.8)
    for valid_L in night.valid.values():
        valid_L[10:14] = False
    night = replace(night, start=START, grid_start_s=7.5, absent={"eeg": "the file has no EEG"})
    result = Model("tiny", {"training_data": {"staging": SEEN}}, of_staging(untrained_stager(SENSORS))).predict(night)
    assert len(np.unique(result.stages)) > 2
    return result


@pytest.fixture(scope="module")
def saved(result: NightResult, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("results") / "night"
    paths = result.save(folder)
    assert sorted(path.name for path in paths) == sorted(path.name for path in folder.iterdir()) == FILES
    assert [path.name for path in folder.parent.iterdir()] == ["night"]
    return folder


def wanted_words(result: NightResult) -> list[str | None]:
    """The likeliest of the five, by hand."""
    return [None if np.isnan(row[0]) else WORDS[max(range(5), key=lambda c: row[c])] for row in result.probabilities]


def test_json_is_strict_and_says_what_the_arrays_say(result: NightResult, saved: Path):
    def no_constants(text: str):
        raise AssertionError(f"{text} is not JSON (RFC 8259)")

    told = json.loads((saved / "result.json").read_text(encoding="utf-8"), parse_constant=no_constants)
    assert told["stages"]["5"] == wanted_words(result)
    assert told["abstained_epochs"] == [t for t, word in enumerate(told["stages"]["5"]) if word is None]
    assert set(range(10, 14)) <= set(told["abstained_epochs"])
    for c, name in enumerate(WORDS):
        column = np.array([np.nan if p is None else p for p in told["probabilities"][name]])
        np.testing.assert_allclose(column, result.probabilities[:, c], atol=0.51e-4)
    for m, name in enumerate(SENSORS):
        np.testing.assert_allclose(told["sensor_weights"][name], result.sensor_weights[:, m], atol=0.51e-4)
        assert told["modalities"][name]["valid_share"] == pytest.approx(result.night.valid[name].mean(), abs=1e-4)
    assert (told["n_epochs"], told["epoch_s"], told["grid_start_s"]) == (50, 30, 7.5)
    assert (told["start"], told["absent"]["eeg"]) == ("2024-03-01T22:30:15", "the file has no EEG")
    assert told["model"]["trained_on_simulated_nights_only"] is True
    asleep = sum(word not in (None, "W") for word in told["stages"]["5"])
    assert told["sleep_statistics"]["total_sleep_min"] == asleep / 2


def test_csv_says_what_the_arrays_say(result: NightResult, saved: Path):
    with (saved / "stages.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["stage_5"] or None for row in rows] == wanted_words(result)
    light = {None: "", "W": "W", "N1": "Light", "N2": "Light", "N3": "Deep", "R": "R"}
    assert {row["stage_4"] for row in rows} <= set(light.values())
    for token, row in enumerate(rows):
        onset_s = 7.5 + 30 * token
        assert (int(row["epoch"]), float(row["onset_s"])) == (token, onset_s)
        assert row["clock"] == (START + timedelta(seconds=onset_s)).isoformat()
        for c, name in enumerate(WORDS):
            p = result.probabilities[token, c]
            assert row[f"p_{name}"] == "" if np.isnan(p) else abs(float(row[f"p_{name}"]) - p) < 0.51e-4
        for m, name in enumerate(SENSORS):
            assert abs(float(row[f"weight_{name}"]) - result.sensor_weights[token, m]) < 0.51e-4
            assert row[f"valid_{name}"] == str(int(result.night.valid[name][token]))


def test_the_edf_annotations_are_read_alike_by_two_other_programs(result: NightResult, saved: Path):
    wanted = [
        (7.5 + 30 * token, 30.0, f"Sleep stage {'?' if word is None else word}")
        for token, word in enumerate(wanted_words(result))
    ]
    annotations = mne.read_annotations(saved / "stages.edf")
    rows = zip(annotations.onset, annotations.duration, annotations.description, strict=True)
    by_mne = [(float(onset_s), float(length_s), str(text)) for onset_s, length_s, text in rows if "stage" in text]
    assert by_mne == wanted
    with pyedflib.EdfReader(str(saved / "stages.edf")) as file:
        assert file.getStartdatetime() == START
        rows = zip(*file.readAnnotations(), strict=True)
        assert [(o, d, t) for o, d, t in rows if "stage" in t] == [(o, d, t) for o, d, t in wanted]


def test_the_embeddings_come_back_bit_for_bit(result: NightResult, saved: Path):
    table = pq.read_table(saved / "embeddings.parquet")
    np.testing.assert_array_equal(np.array(table["embedding"].to_pylist(), np.float32), result.embeddings)
    assert table["onset_s"].to_pylist() == [7.5 + 30 * token for token in range(50)]
    night_D = np.array(json.loads(table.schema.metadata[b"night_embedding"]), np.float32)
    np.testing.assert_array_equal(night_D, result.night_embedding)


def test_single_exports_are_the_saved_ones(result: NightResult, saved: Path, tmp_path: Path):
    result.report(tmp_path / "night.html")
    result.to_edf_plus(tmp_path / "stages.edf")
    for name in ("night.html", "stages.edf"):
        assert (tmp_path / name).read_bytes() == (saved / name).read_bytes()


def test_a_night_without_start_or_answer_can_be_saved(result: NightResult, tmp_path: Path):
    probabilities = np.full_like(result.probabilities, np.nan)
    empty = replace(result, night=replace(result.night, start=None), probabilities=probabilities)
    empty.save(tmp_path / "out")
    told = json.loads((tmp_path / "out" / "result.json").read_text())
    assert told["start"] is None
    assert len(told["abstained_epochs"]) == 50
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out" / "stages.csv").read_text())))
    assert all(row["stage_5"] == row["clock"] == row["p_W"] == "" for row in rows)
    assert set(mne.read_annotations(tmp_path / "out" / "stages.edf").description) >= {"Sleep stage ?"}


@pytest.mark.parametrize("name", ["as_json", "as_csv", "edf_plus", "parquet", "html"])
def test_when_one_export_fails_nothing_is_left_behind(result: NightResult, tmp_path: Path, monkeypatch, name: str):
    def fails(*arguments):
        raise OSError("no space left on device")

    monkeypatch.setattr(export, name, fails)
    with pytest.raises(OSError, match="no space left"):
        result.save(tmp_path / "new" / "out")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "result.json").write_text("of yesterday")
    with pytest.raises(OSError, match="no space left"):
        result.save(tmp_path / "out")
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["out", "out/result.json"]
    assert (tmp_path / "out" / "result.json").read_text() == "of yesterday"


def test_saving_again_replaces_the_files_and_leaves_others(result: NightResult, tmp_path: Path):
    (tmp_path / "notes.txt").write_text("mine")
    result.save(tmp_path)
    result.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*FILES, "notes.txt"])
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_every_export_says_that_the_weights_are_simulated(result: NightResult, saved: Path):
    """A file that is handed on alone still has to warn: the words are looked for in the bytes of each."""
    assert result.simulated_weights
    for path in saved.iterdir():
        assert b"simulated" in path.read_bytes(), path.name
    with pyedflib.EdfReader(str(saved / "stages.edf")) as reader:
        assert "simulated" in reader.getTechnician()
