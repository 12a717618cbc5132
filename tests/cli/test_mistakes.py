"""A mistake is answered in one clear sentence with the right exit code, and leaves nothing behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from untrained_models import untrained_model

from sleep2vec.vocabulary.modalities import MODALITIES

WORK_FAILED, WRONG_REQUEST = 1, 2  # `vocabulary.errors`


def everything_below(folder: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def sentence_of(outcome, code: int) -> str:
    """The complaint; it is alone on stderr and on one line, stdout is silent."""
    assert outcome.code == code, outcome
    assert outcome.out == ""
    assert outcome.err.startswith("sleep2vec: ")
    assert "Traceback" not in outcome.err
    sentence = outcome.err.removeprefix("sleep2vec: ").removesuffix("\n")
    assert "\n" not in sentence
    assert sentence.endswith((".", ")"))
    return sentence


RECORDINGS = [
    ("text.edf", "text.edf is not an EDF"),
    ("empty.edf", "empty.edf"),
    ("no-records.edf", "record"),
    ("short.edf", "30 s"),
    ("nothing.edf", "Channels seen: 'Kitchen'"),
    ("missing.edf", "missing.edf"),
]


@pytest.mark.parametrize(("name", "words"), RECORDINGS)
def test_a_recording_that_cannot_be_used(
    sleep2vec, recordings: Path, model: Path, tmp_path: Path, name: str, words: str
):
    before = everything_below(recordings)
    inspected = sentence_of(sleep2vec("inspect", recordings / name), WORK_FAILED)
    assert name in inspected
    assert words in inspected
    predicted = sleep2vec("predict", recordings / name, "--model", model, "--out", tmp_path / "new" / "out")
    assert sentence_of(predicted, WORK_FAILED) == inspected
    sentence_of(sleep2vec("predict", recordings / name, "--model", model), WORK_FAILED)
    assert everything_below(recordings) == before
    assert list(tmp_path.iterdir()) == []


def test_a_real_file_of_zero_records(sleep2vec, shared: Path, model: Path, tmp_path: Path):
    path = shared / "real_data" / "edf_edge_cases" / "edfize_zero-data-records.edf"
    told = sentence_of(sleep2vec("predict", path, "--model", model, "--out", tmp_path / "out"), WORK_FAILED)
    assert "edfize_zero-data-records.edf" in told
    assert "record" in told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("modalities", "words"),
    [
        ("ibi,rasp", "unknown modality 'rasp' (did you mean 'resp'?); choose from " + ", ".join(MODALITIES)),
        ("eeg eog", "unknown modality 'eeg eog' (did you mean"),
        (",", "no modality was named; choose from eeg, eog"),
    ],
)
def test_an_unknown_modality(sleep2vec, recordings: Path, model: Path, tmp_path: Path, modalities: str, words: str):
    where = ("--model", model, "--modalities", modalities, "--out", tmp_path / "out")
    assert words in sentence_of(sleep2vec("predict", recordings / "good.edf", *where), WRONG_REQUEST)
    assert list(tmp_path.iterdir()) == []


def test_a_modality_the_recording_lacks(sleep2vec, recordings: Path, model: Path, tmp_path: Path):
    where = ("--model", model, "--modalities", "ibi,resp", "--out", tmp_path / "out")
    told = sentence_of(sleep2vec("predict", recordings / "good.edf", *where), WORK_FAILED)
    assert "ibi, resp" in told
    assert "'C4-M1'" in told
    assert list(tmp_path.iterdir()) == []


def test_folders_that_are_no_model(sleep2vec, recordings: Path, pretrained: Path, tmp_path: Path):
    def told(folder: Path) -> str:
        out = tmp_path / "out"
        outcome = sleep2vec("predict", recordings / "good.edf", "--model", folder, "--out", out)
        assert not out.exists()
        return sentence_of(outcome, WORK_FAILED)

    without = untrained_model(tmp_path / "without")
    (without / "model.safetensors").unlink()
    assert f"{without} is no model: it lacks model.safetensors" in told(without)
    assert sentence_of(sleep2vec("inspect", without), WORK_FAILED) == told(without)
    assert "is not a folder; a model is a folder with model.safetensors and config.json" in told(tmp_path / "none")
    assert "fine-tune it first with `sleep2vec finetune`" in told(pretrained)
    damaged = untrained_model(tmp_path / "damaged")
    (damaged / "config.json").write_text('{"format": 1, "kind": "finetuned"}')
    assert "config.json is damaged; copy the model again." in told(damaged)


@pytest.mark.parametrize("command", ["pretrain", "finetune"])
def test_a_recipe_with_two_typos(sleep2vec, tmp_path: Path, command: str):
    text = f"store: {tmp_path}/store\nout: {tmp_path}/out\nmodel: {{size: tinny}}\nrun: {{steps: 3, sead: 1}}\n"
    (tmp_path / "run.yaml").write_text(text)
    outcome = sleep2vec(command, "--recipe", tmp_path / "run.yaml")
    assert outcome.code == WRONG_REQUEST
    assert outcome.err.splitlines() == [
        f"sleep2vec: recipe {tmp_path}/run.yaml has 2 mistakes:",
        "  model.size: Input should be 'tiny', 'small', 'base' or 'large', got 'tinny' (did you mean 'tiny'?)",
        "  run.sead: there is no such setting (did you mean 'seed'?)",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["run.yaml"]


def test_recipes_and_stores_that_are_not_there(sleep2vec, tmp_path: Path, model: Path):
    places = ("--set", f"store={tmp_path}/store", "--set", f"out={tmp_path}/out")
    told = sentence_of(sleep2vec("pretrain", "--recipe", "tiny-dmo", *places), WRONG_REQUEST)
    assert "there is no recipe 'tiny-dmo'" in told
    told = sentence_of(sleep2vec("pretrain", "--recipe", "tiny-demo", *places), WORK_FAILED)
    assert "is not a store (it has no store.json); make one with `sleep2vec ingest`" in told
    more = ("--set", f"pretrained={model}")
    told = sentence_of(sleep2vec("finetune", "--recipe", "tiny-demo-staging", *places, *more), WORK_FAILED)
    assert "is not a store" in told
    assert list(tmp_path.iterdir()) == []


def test_results_that_have_no_place(sleep2vec, recordings: Path, model: Path, tmp_path: Path):
    (tmp_path / "file").write_text("mine")
    before = everything_below(tmp_path)

    def told(out: Path, code: int) -> str:
        return sentence_of(sleep2vec("predict", recordings / "good.edf", "--model", model, "--out", out), code)

    assert f"{tmp_path}/file is a file; name a folder for the results." in told(tmp_path / "file", WRONG_REQUEST)
    told_below = told(tmp_path / "file" / "out", WRONG_REQUEST)
    assert f"{tmp_path}/file/out cannot be written (Not a directory); name another folder" in told_below
    assert "/proc/out cannot be written" in told(Path("/proc/out"), WRONG_REQUEST)  # not even by root
    assert everything_below(tmp_path) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_folder(sleep2vec, recordings: Path, model: Path, tmp_path: Path):
    tmp_path.chmod(0o500)
    outcome = sleep2vec("predict", recordings / "good.edf", "--model", model, "--out", tmp_path / "out")
    assert f"{tmp_path / 'out'} cannot be written (Permission denied)" in sentence_of(outcome, WRONG_REQUEST)


def test_ingests_that_cannot_begin(sleep2vec, recordings: Path, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "one.doc").write_text("mine")
    before = everything_below(tmp_path)
    store = tmp_path / "store"
    assert "holds no recording" in sentence_of(sleep2vec("ingest", tmp_path / "empty", store), WRONG_REQUEST)
    assert "is not a folder" in sentence_of(sleep2vec("ingest", tmp_path / "none", store), WRONG_REQUEST)
    told = sentence_of(sleep2vec("ingest", recordings, tmp_path / "thesis"), WORK_FAILED)
    assert "exists, is not empty and is not a store" in told
    assert everything_below(tmp_path) == before


def test_an_ingest_in_which_everything_failed(sleep2vec, recordings: Path, tmp_path: Path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "text.edf").write_bytes((recordings / "text.edf").read_bytes())
    outcome = sleep2vec("ingest", folder, tmp_path / "store", "--workers", "1")
    assert outcome.code == WORK_FAILED
    assert "0 nights written, 0 were there, 1 failed" in outcome.out
    assert "text.edf (read): " in outcome.err
    assert "failures.csv" in outcome.err
    assert "Traceback" not in outcome.err


def test_a_demo_does_not_empty_a_folder_of_something_else(sleep2vec, tmp_path: Path):
    (tmp_path / "thesis.doc").write_text("mine")
    told = sentence_of(sleep2vec("demo", "--out", tmp_path), WRONG_REQUEST)
    assert "holds something that no demo made; name another folder with --out" in told
    assert (tmp_path / "thesis.doc").read_text() == "mine"


@pytest.mark.parametrize(
    "words",
    [
        ("predict",),
        ("predict", "a.edf", "--modell", "m"),
        ("frobnicate",),
        ("simulate", "out", "--nights", "0"),
        ("ingest", "in", "out", "--workers", "many"),
        ("pretrain",),
    ],
)
def test_command_lines_that_make_no_sense(sleep2vec, monkeypatch, tmp_path: Path, words: tuple[str, ...]):
    monkeypatch.chdir(tmp_path)
    outcome = sleep2vec(*words)
    assert outcome.code == WRONG_REQUEST
    assert "Usage: sleep2vec" in outcome.err
    assert "Traceback" not in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_stopping_it_is_no_crash(sleep2vec, recordings: Path, monkeypatch):
    def stopped(path, **_):
        raise KeyboardInterrupt

    monkeypatch.setattr("sleep2vec.formats.reader.read", stopped)
    outcome = sleep2vec("inspect", recordings / "good.edf")
    assert outcome.code == 130
    assert "Traceback" not in outcome.err


def test_the_installed_program_in_a_process_of_its_own(recordings: Path):
    """The real thing once: exit code, one sentence on stderr, and a reader of its output that goes away."""
    program = [sys.executable, "-W", "error", "-m", "sleep2vec.cli"]
    done = subprocess.run([*program, "inspect", recordings / "text.edf"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("sleep2vec: ")
    assert len(done.stderr.splitlines()) == 1
    gone = subprocess.Popen([*program, "inspect", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    gone.stdout.close()
    assert "Traceback" not in gone.stderr.read()
    gone.stderr.close()
    assert gone.wait() != 0
