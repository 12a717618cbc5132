"""Commands that work, on real files and on their help."""

import json
import re
from pathlib import Path

import mne
import pytest
from untrained_models import untrained_stager

from sleep2vec.cli.main import app
from sleep2vec.model.tokenizers import TOKENIZERS
from sleep2vec.vocabulary.modalities import MODALITIES

COMMANDS = ("demo", "inspect", "predict", "ingest", "pretrain", "adapt", "finetune", "evaluate", "report", "simulate")
FILES = ["embeddings.parquet", "night.html", "result.json", "stages.csv", "stages.edf"]


def test_this_file_knows_every_command():
    assert {command.name for command in app.registered_commands} == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(sleep2vec, command: str):
    for option in ("--help", "-h"):
        outcome = sleep2vec(command, option)
        assert (outcome.code, outcome.err) == (0, "")
        assert f"Usage: sleep2vec {command} [OPTIONS]" in outcome.out
    assert f" {command} " in sleep2vec("--help").out


def test_without_a_word_it_helps_and_with_version_it_says_it(sleep2vec):
    assert "Usage: sleep2vec [OPTIONS] COMMAND" in sleep2vec().out
    assert sleep2vec("--version") == (0, "sleep2vec 0.1.0\n", "")


def test_inspect_explains_the_real_file_with_every_modality(sleep2vec, shared: Path):
    """89 channels as mne counts them, volts, labels with bytes that are not ASCII."""
    path = shared / "real_data" / "nox_a1_psg_120s" / "subject1.edf"
    words = sleep2vec("inspect", path)
    assert (words.code, words.err) == (0, "")
    modalities, channels = words.out.split("\nChannels\n")
    for name in MODALITIES:
        assert re.search(rf"^  {name} +\d+% valid, from \S", modalities, re.MULTILINE), modalities
    told = sleep2vec("inspect", path, "--json")
    assert (told.code, told.err) == (0, "")
    facts = json.loads(told.out, parse_constant=lambda text: pytest.fail(f"{text} is not JSON"))
    assert list(facts["modalities"]) == list(MODALITIES)
    assert facts["absent"] == {}
    n_channels = len(mne.io.read_raw_edf(path, encoding="latin1", verbose="error").ch_names)
    assert len(facts["channels"]) == n_channels == 89
    assert all(channel["reason"] and channel["label"] in channels for channel in facts["channels"])
    used = {name for channel in facts["channels"] for name in channel["used_for"]}
    assert used == set(MODALITIES)


def test_inspect_says_what_a_real_file_lacks(sleep2vec, shared: Path):
    path = shared / "real_data" / "sleep_edf" / "SC4001E0-PSG_first300s.edf"
    facts = json.loads(sleep2vec("inspect", path, "--json").out)
    assert set(facts["modalities"]) == {"eeg", "eog"}
    assert set(facts["absent"]) == set(MODALITIES) - {"eeg", "eog"}
    # Nyquist: at 1 Hz neither an EMG nor breathing with its shape can be there.
    assert all("1 Hz" in facts["absent"][name] for name in ("emg", "airflow", "resp"))
    assert facts["n_tokens"] == 10


def test_inspect_describes_a_model(sleep2vec, model: Path):
    outcome = sleep2vec("inspect", model)
    assert outcome.code == 0
    assert outcome.out.startswith("# untrained\n")
    facts = json.loads(sleep2vec("inspect", model, "--json").out)
    assert (facts["kind"], facts["model"]["size"]) == ("finetuned", "tiny")
    assert f"{facts['n_parameters'] / 1e6:.2f} M parameters" in outcome.out
    # The parts are those of the model that the config describes, constants of its tokenizers left out.
    learned = untrained_stager()
    for part in ("backbone", "tokenizers"):
        n = sum(parameter.numel() for parameter in getattr(learned.encoder, part).parameters())
        assert facts["parameters"][part] == facts["cost"][part] == n
        assert f"{n / 1e6:.3f} M" in outcome.out
    assert facts["n_parameters"] == sum(parameter.numel() for parameter in learned.parameters())
    for part in ("fusion", "context", "clock", "heads"):
        assert facts["parameters"][part] == sum(parameter.numel() for parameter in getattr(learned, part).parameters())
    assert f"{facts['cost']['night_flops'] / 1e9:.1f} GFLOP a night" in outcome.out


def test_inspect_tells_what_each_size_costs(sleep2vec, monkeypatch):
    """A table of all of them, the same numbers for a program, and no folder beside it."""
    few = ("tiny", "small")  # each takes some seconds
    monkeypatch.setattr("sleep2vec.model.cost.SIZES", dict.fromkeys(few))
    monkeypatch.setattr("sleep2vec.model.cost.BACKBONES", {"transformer": None})
    rows = json.loads(sleep2vec("inspect", "--sizes", "--json").out)["sizes"]
    assert {(row["size"], row["tokenizer"]) for row in rows} == {(s, t) for s in few for t in TOKENIZERS}
    words = sleep2vec("inspect", "--sizes").out
    for row in rows:
        (line,) = (x for x in words.splitlines() if x.split()[:3] == [row["size"], row["backbone"], row["tokenizer"]])
        assert line.split()[-1] == f"{row['cost']['night_flops'] / 1e9:.0f}"
    for wrong in (("inspect",), ("inspect", "--sizes", "night.edf")):
        outcome = sleep2vec(*wrong)
        assert outcome.code == 2
        assert "either one recording, store, model or folder to look into, or --sizes alone" in outcome.err


@pytest.mark.parametrize(
    ("name", "modalities", "n_epochs"),
    [
        ("nox_a1_psg_120s/subject1.edf", None, 4),
        ("nox_a1_psg_120s/subject1.edf", "ibi,resp", 4),
        ("sleep_edf/SC4001E0-PSG_first300s.edf", None, 10),
    ],
)
def test_predict_on_real_files(sleep2vec, shared: Path, model: Path, tmp_path: Path, name, modalities, n_epochs):
    chosen = [] if modalities is None else ["--modalities", modalities]
    outcome = sleep2vec(
        "predict", shared / "real_data" / name, "--model", model, "--out", tmp_path / "a" / "out", *chosen
    )
    assert (outcome.code, outcome.err) == (0, "")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["out"]
    assert sorted(path.name for path in (tmp_path / "a" / "out").iterdir()) == FILES
    told = json.loads((tmp_path / "a" / "out" / "result.json").read_text())
    assert (told["n_epochs"], len(told["stages"]["5"])) == (n_epochs, n_epochs)
    facts = json.loads(sleep2vec("inspect", shared / "real_data" / name, "--json").out)
    wanted = list(facts["modalities"]) if modalities is None else modalities.split(",")
    assert list(told["modalities"]) == wanted
    weights = [sum(column) for column in zip(*told["sensor_weights"].values(), strict=True)]
    heard = [word is not None for word in told["stages"]["5"]]
    assert any(heard)
    assert weights == pytest.approx([float(one) for one in heard], abs=1e-3)
    assert all(warning in outcome.out for warning in told["warnings"])
    assert "trained on simulated nights only" in outcome.out
    for name in facts["absent"]:
        assert name in told["absent"]


def test_predict_prints_json_for_a_program_and_writes_beside_the_file(sleep2vec, recordings: Path, model: Path):
    outcome = sleep2vec("predict", recordings / "good.edf", "--model", model, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    written = recordings / "good-sleep2vec"
    assert json.loads(outcome.out) == json.loads((written / "result.json").read_text())
    assert json.loads(outcome.out)["n_epochs"] == 5
    for path in written.iterdir():
        path.unlink()
    written.rmdir()


def test_ingest_then_inspect_and_verify_the_store(sleep2vec, recordings: Path, tmp_path: Path):
    store = tmp_path / "store"
    outcome = sleep2vec("ingest", recordings, store, "--workers", "1", "--cohort", "mine")
    assert outcome.code == 0
    assert f"1 nights written, 0 were there, 5 failed; {store} holds 1." in outcome.out
    assert "ingest: 6/6 nights" in outcome.err
    assert "Traceback" not in outcome.err
    assert "unexpected" not in outcome.err
    words = sleep2vec("inspect", store, "--verify")
    assert "1 nights of 1 people (1 nights without a subject id, each counted as a person), 0.0 h" in words.out
    assert words.out.endswith("every night agrees with its checksum\n")
    assert json.loads(sleep2vec("inspect", store, "--json").out)["sites"] == {"mine/unknown": 1}
    path = store / "nights" / "good.s2v"
    content = bytearray(path.read_bytes())
    content[1000] ^= 4
    path.write_bytes(content)
    outcome = sleep2vec("inspect", store, "--verify")
    assert (outcome.code, outcome.out) == (1, "")
    assert "has 1 damaged night(s)" in outcome.err
    assert "good: the checksum of good.s2v differs" in outcome.err


def test_simulate_writes_what_ingest_reads(sleep2vec, tmp_path: Path):
    outcome = sleep2vec(
        "simulate", tmp_path / "sim", "--nights", "1", "--hours", "0.25", "--workers", "1", "--seed", "5"
    )
    assert outcome.code == 0, outcome
    assert "1 nights of 1 people" in outcome.out
    assert sleep2vec("ingest", tmp_path / "sim", tmp_path / "store", "--workers", "1").code == 0
    facts = json.loads(sleep2vec("inspect", tmp_path / "store", "--json").out)
    assert (facts["n_nights"], facts["hours"], facts["n_age_unknown"]) == (1, 0.25, 0)
    assert facts["n_scored_nights"] == 1


def test_inspect_of_a_folder_ends_with_what_to_know_of_the_cohort(sleep2vec, recordings: Path, tmp_path: Path):
    (tmp_path / "shhs1-200001.edf").write_bytes((recordings / "good.edf").read_bytes())
    outcome = sleep2vec("inspect", tmp_path, "--cohort", "shhs1")
    assert outcome.code == 0
    know = outcome.out.split("what to know of Sleep Heart Health Study, visit 1\n")[1]
    assert "Both eye channels are against PG1" in know
    told = json.loads(sleep2vec("inspect", tmp_path, "--cohort", "shhs1", "--json").out)
    assert any("PG1" in trap for trap in told["traps"])


def test_a_cohort_that_is_nearly_one_is_told_by_inspect_as_by_ingest(sleep2vec, recordings: Path):
    assert "did you mean shhs1?" in sleep2vec("inspect", recordings, "--cohort", "shsh1").err
    assert "did you mean shhs1 or shhs2?" in sleep2vec("ingest", recordings, "x", "--cohort", "shhs", "--dry-run").err
    assert sleep2vec("inspect", recordings, "--cohort", "generic").err == ""
