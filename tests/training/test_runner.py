"""The loop: killed and resumed equals undisturbed, bit for bit; what broke is said."""

import csv
import signal
import subprocess
import sys
from pathlib import Path

import made_nights
import pytest
import torch
from made_nights import made_night, store_of
from torch import nn

from sleep2vec.data.pairs import PairConfig, PairSource
from sleep2vec.data.window import WindowReader
from sleep2vec.model.encoder import ModelConfig
from sleep2vec.tasks.pretraining import Aligner, AlignmentConfig, alignment_work
from sleep2vec.training.logging import RunLog, read_log
from sleep2vec.training.optimizer import OptimizerConfig
from sleep2vec.training.resume import discard_state
from sleep2vec.training.runner import TIMINGS, RunConfig, Work, fingerprint_of, train
from sleep2vec.vocabulary.errors import ModelError

NAMES = ("airflow", "spo2", "resp")
OPTIMIZER = OptimizerConfig(learning_rate=1e-2)


class KilledError(Exception):
    """Stands for a kill: nothing after the step runs."""


def killer(at: int):
    def watch(progress):
        if progress.step == at:
            raise KilledError

    return watch


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    nights = [made_night(f"n{i}", i, 40, NAMES) for i in range(6)]
    return store_of(tmp_path_factory.mktemp("runner") / "store", nights)


def aligner_work(store):
    """A real one, with everything random that pretraining has: masks, dropout, temporal negatives, pairs."""
    torch.manual_seed(1)
    module = Aligner(ModelConfig(modalities=NAMES, dropout=0.2))
    source = PairSource(
        WindowReader(store),
        [row.night_id for row in store.rows],
        NAMES,
        PairConfig(batch_windows=4, window_tokens=16),
        5,
    )
    config = AlignmentConfig(temporal={"drawn": 3, "exclusion_tokens": 2})
    return alignment_work(module, source, source, config, run_config(), rates={"projection": 2.0})


def run_config(**settings):
    common = {"steps": 11, "seed": 4, "validate_every": 4, "save_every": 3, "log_every": 2, "device": "cpu"}
    return RunConfig(**(common | settings))


def numbers(folder):
    return [row for row in read_log(folder) if row[1] not in TIMINGS]


@pytest.fixture(scope="module")
def undisturbed(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    work = aligner_work(store)
    average = train(work, run_config(), OPTIMIZER, folder, "one")
    return average.state_dict(), work.module.state_dict(), numbers(folder)


@pytest.mark.parametrize("kills", [(1,), (7,), (3, 10), (4, 5, 8)])
def test_killed_and_resumed_is_the_same_run_bit_for_bit(store, undisturbed, tmp_path, kills):
    for kill in kills:
        with pytest.raises(KilledError):
            train(aligner_work(store), run_config(), OPTIMIZER, tmp_path, "one", killer(kill))
    work = aligner_work(store)
    seen = []
    average = train(work, run_config(), OPTIMIZER, tmp_path, "one", lambda progress: seen.append(progress.step))
    assert seen == list(range(3 * ((kills[-1] - 1) // 3) + 1, 12))  # it went on, from the state before the kill
    averaged, learned, log = undisturbed
    for expected, found in ((averaged, average.state_dict()), (learned, work.module.state_dict())):
        assert expected.keys() == found.keys()
        assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert numbers(tmp_path) == log
    keys = [row[:2] for row in log]
    assert len(keys) == len(set(keys))


def test_two_runs_differ_when_their_seed_does(store, undisturbed, tmp_path):
    other = train(aligner_work(store), run_config(seed=5), OPTIMIZER, tmp_path, "one").state_dict()
    assert any(not torch.equal(other[name], value) for name, value in undisturbed[0].items())


def test_the_state_holds_no_pickle_and_goes_when_its_owner_says_so(store, tmp_path):
    with pytest.raises(KilledError):
        train(aligner_work(store), run_config(), OPTIMIZER, tmp_path, "one", killer(7))
    states = list(tmp_path.glob("state-*"))
    assert [state.name for state in states] == ["state-00000006"]
    names = sorted(file.name for file in states[0].iterdir())
    assert names == ["average.safetensors", "complete", "model.safetensors", "optimizer.safetensors", "progress.json"]
    assert not any(
        file.read_bytes().startswith((b"\x80", b"PK")) for file in states[0].iterdir()
    )  # pickle, torch's zip
    train(aligner_work(store), run_config(), OPTIMIZER, tmp_path, "one")
    assert [state.name for state in tmp_path.glob("state-*")] == ["state-00000011"]
    discard_state(tmp_path)
    assert not list(tmp_path.glob("state-*"))


def test_a_run_killed_after_its_last_step_does_no_step_again(store, undisturbed, tmp_path):
    """The caller had no time to save the model: the same call hands it over once more."""
    train(aligner_work(store), run_config(), OPTIMIZER, tmp_path, "one")
    seen = []
    average = train(aligner_work(store), run_config(), OPTIMIZER, tmp_path, "one", lambda p: seen.append(p.step))
    assert not seen
    assert all(torch.equal(value, undisturbed[0][name]) for name, value in average.state_dict().items())
    assert numbers(tmp_path) == undisturbed[2]


# --- a module of one number: quick -------------------------------------------------------------------------------


class Line(nn.Module):
    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.zeros(2, 2))
        self.unused = nn.Parameter(torch.ones(3))

    def forward(self, x):
        return self.slope @ x


def line_work(loss_of_step=None):
    def loss(module, batch, generator):
        step, x = batch
        value = (module(x) - x).square().mean() + 0.01 * torch.rand((), generator=generator) + 0.01 * torch.rand(())
        return value if loss_of_step is None else loss_of_step(step, value), {}

    def batch(step):
        return step, torch.randn(2, 3, generator=torch.Generator().manual_seed(step))

    return Work(
        module=Line(),
        batch=batch,
        to_device=lambda b, _: b,
        loss=loss,
        validate=lambda m: {"v": float(m.slope.sum())},
        rates={},
    )


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_breaks_down_stops_the_run_with_its_step(tmp_path, bad):
    work = line_work(lambda step, value: value * (bad if step == 5 else 1.0))
    with pytest.raises(ModelError, match=r"training broke down at step 5: loss (nan|inf), gradient norm"):
        train(work, run_config(), OPTIMIZER, tmp_path, "one")
    assert work.module.slope.isfinite().all()  # the bad step was not taken
    assert max(step for step, _, _ in read_log(tmp_path)) == 4


def test_another_recipe_may_not_go_on_with_the_state(tmp_path):
    with pytest.raises(KilledError):
        train(line_work(), run_config(), OPTIMIZER, tmp_path, fingerprint_of("a", 1), killer(7))
    with pytest.raises(ModelError, match="holds an unfinished run with another recipe or store; finish it with"):
        train(line_work(), run_config(), OPTIMIZER, tmp_path, fingerprint_of("a", 2))
    train(line_work(), run_config(), OPTIMIZER, tmp_path, fingerprint_of("a", 1))


def test_another_model_may_not_go_on_with_the_state(store, tmp_path):
    with pytest.raises(KilledError):
        train(line_work(), run_config(), OPTIMIZER, tmp_path, "one", killer(7))
    with pytest.raises(ModelError, match="belongs to another model than the recipe describes"):
        train(aligner_work(store), run_config(), OPTIMIZER, tmp_path, "one")


@pytest.mark.parametrize("name", ["model.safetensors", "average.safetensors", "optimizer.safetensors", "progress.json"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_state_is_named(tmp_path, name, damage):
    with pytest.raises(KilledError):
        train(line_work(), run_config(), OPTIMIZER, tmp_path, "one", killer(7))
    file = tmp_path / "state-00000006" / name
    file.write_bytes(file.read_bytes()[:-5]) if damage == "cut" else file.unlink()
    with pytest.raises(ModelError, match=r"state-00000006 is damaged .*; delete it, and the run starts afresh"):
        train(line_work(), run_config(), OPTIMIZER, tmp_path, "one")


def test_a_state_that_was_not_finished_writing_is_passed_over(tmp_path):
    """Killed while it wrote step 6: the state of step 3 is still there and is the one to go on from."""
    with pytest.raises(KilledError):
        train(line_work(), run_config(), OPTIMIZER, tmp_path, "one", killer(5))
    half = tmp_path / "state-00000006"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    seen = []
    average = train(line_work(), run_config(), OPTIMIZER, tmp_path, "one", lambda p: seen.append(p.step))
    assert seen[0] == 4
    whole = train(line_work(), run_config(), OPTIMIZER, tmp_path / "whole", "one")
    assert torch.equal(average.slope, whole.slope)
    assert not half.exists()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_kill_from_outside_loses_nothing_either(store, tmp_path, precision):
    """The system's own SIGKILL, in a process of its own, in the middle of an epoch; then the run is finished here.

    With all that could make two runs differ: several batches a step, masks, dropout, the average, 16-bit numbers.
    """
    script = (
        "import os, sys, signal, pathlib; sys.path += sys.argv[4:]\n"
        "from test_runner import *\n"
        "from sleep2vec.store.reader import Store\n"
        "watch = lambda p: os.kill(os.getpid(), signal.SIGKILL) if p.step == 7 else None\n"
        "run = run_config(accumulate=2, precision=sys.argv[3])\n"
        "folder, place = map(pathlib.Path, sys.argv[1:3])\n"
        "train(aligner_work(Store(place)), run, OPTIMIZER, folder, 'one', watch)\n"
    )
    folders = [str(Path(file).parent) for file in (__file__, made_nights.__file__)]
    killed = [sys.executable, "-c", script, str(tmp_path / "killed"), str(store.path), precision, *folders]
    ended = subprocess.run(killed, capture_output=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    run = run_config(accumulate=2, precision=precision)
    averages, modules = [], []
    for folder in (tmp_path / "killed", tmp_path / "whole"):
        work = aligner_work(store)
        averages.append(train(work, run, OPTIMIZER, folder, "one").state_dict())
        modules.append(work.module.state_dict())
    for killed_state, whole_state in (averages, modules):
        assert all(torch.equal(killed_state[name], value) for name, value in whole_state.items())
    assert numbers(tmp_path / "killed") == numbers(tmp_path / "whole")


def test_a_parameter_without_a_gradient_stays_as_it_is(tmp_path):
    """Not even weight decay touches what a batch did not use (another pair's tokenizer, say)."""
    work = line_work()
    train(work, run_config(), OPTIMIZER, tmp_path, "one")
    assert torch.equal(work.module.unused, torch.ones(3))


# --- the log ----------------------------------------------------------------------------------------------------


def test_the_log_is_a_table_anybody_can_read(tmp_path):
    with RunLog(tmp_path, 0) as log:
        log.write(2, {"loss": 0.5, "top1": float("nan")})
        log.write(4, {"loss": 1 / 3})
    with (tmp_path / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["step"], row["name"]) for row in rows] == [("2", "loss"), ("2", "top1"), ("4", "loss")]
    assert float(rows[2]["value"]) == pytest.approx(1 / 3, rel=1e-8)


def test_a_log_reopened_forgets_what_came_after_and_a_half_written_line(tmp_path):
    with RunLog(tmp_path, 0) as log:
        for step in (1, 2, 3, 4):
            log.write(step, {"loss": float(step)})
    with (tmp_path / "log.csv").open("a") as file:
        file.write("5,loss,1.5e-")
    assert read_log(tmp_path) == [(step, "loss", float(step)) for step in (1, 2, 3, 4)]
    with RunLog(tmp_path, 2):  # killed before it wrote anything: the history is on disk already
        assert read_log(tmp_path) == [(1, "loss", 1.0), (2, "loss", 2.0)]
    with RunLog(tmp_path, 2) as log:
        log.write(3, {"loss": 30.0})
    assert read_log(tmp_path) == [(1, "loss", 1.0), (2, "loss", 2.0), (3, "loss", 30.0)]


@pytest.mark.parametrize("text", ["foo,bar,baz\n", "1,train/loss\n", "1,a,b,c\n"])
def test_a_damaged_log_is_told_in_a_sentence(tmp_path, text):
    (tmp_path / "log.csv").write_text(f"step,name,value\n{text}")
    with pytest.raises(ModelError, match=r"log\.csv is damaged .*; delete it, and the run goes on with a new one"):
        read_log(tmp_path)


@pytest.mark.parametrize("text", ["{}", "[1]", "3", '{"fingerprint": "one"}', "{"])
def test_a_damaged_state_is_told_in_a_sentence(tmp_path, text):
    with pytest.raises(KilledError):
        train(line_work(), run_config(), OPTIMIZER, tmp_path, "one", killer(5))
    (state,) = tmp_path.glob("state-*")
    (state / "progress.json").write_text(text)
    with pytest.raises(ModelError, match=r"is damaged .*; delete it, and the run starts afresh"):
        train(line_work(), run_config(), OPTIMIZER, tmp_path, "one")
