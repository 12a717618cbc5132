"""Asked to stop, a run saves and ends; gone on with, it is the undisturbed run."""

import os
import signal
import sys
import threading
from dataclasses import replace

import pytest
import torch
from contrast_of_shares import OPTIMIZER, contrast_work, run_config

from sleep2vec.cli.main import run
from sleep2vec.training.logging import read_log
from sleep2vec.training.runner import TIMINGS, train
from sleep2vec.training.stopping import RunStoppedError
from sleep2vec.training.world import World

CONFIG = run_config(steps=9, validate_every=3, save_every=100, log_every=2)


def numbers(folder):
    return [row for row in read_log(folder) if row[1] not in TIMINGS]


def asked_during(step: int, number: int, times: int = 1):
    """Work in whose step a signal arrives, from the system, while the loss is computed."""
    work = contrast_work(World(), dropout=0.3)
    steps = iter(range(CONFIG.steps))

    def loss(module, batch, generator):
        if next(steps) == step:
            for _ in range(times):
                os.kill(os.getpid(), number)
        return work.loss(module, batch, generator)

    return replace(work, loss=loss)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    return train(contrast_work(World(), dropout=0.3), CONFIG, OPTIMIZER, folder, "x").state_dict(), numbers(folder)


@pytest.mark.parametrize(
    ("number", "name", "code"), [("SIGINT", "Ctrl-C", 130), ("SIGTERM", "SIGTERM", 143), ("SIGUSR1", "SIGUSR1", 138)]
)
@pytest.mark.parametrize("step", [0, 3, 5])  # the 6th step is one that is validated
def test_a_stopped_run_saves_and_goes_on_bit_for_bit(undisturbed, tmp_path, number, name, code, step):
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)]
    sentence = f"^stopped by {name} after step {step + 1} of 9, which is saved; run the same command again to go on.$"
    with pytest.raises(RunStoppedError, match=sentence) as stopped:
        train(asked_during(step, getattr(signal, number)), CONFIG, OPTIMIZER, tmp_path, "x")
    assert stopped.value.exit_code == code
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)] == before
    seen = []
    work = contrast_work(World(), dropout=0.3)
    average = train(work, CONFIG, OPTIMIZER, tmp_path, "x", lambda progress: seen.append(progress.step))
    assert seen[0] == step + 2
    assert all(torch.equal(value, undisturbed[0][name]) for name, value in average.state_dict().items())
    assert numbers(tmp_path) == undisturbed[1]


def test_a_second_ctrl_c_does_not_wait(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(asked_during(4, signal.SIGINT, times=2), CONFIG, OPTIMIZER, tmp_path, "x")
    assert not list(tmp_path.glob("state-*"))


def test_asked_in_its_last_step_a_run_just_ends(undisturbed, tmp_path):
    average = train(asked_during(8, signal.SIGTERM), CONFIG, OPTIMIZER, tmp_path, "x")
    assert all(torch.equal(value, undisturbed[0][name]) for name, value in average.state_dict().items())


def test_a_run_in_a_thread_leaves_signals_alone(tmp_path):
    ended = []
    thread = threading.Thread(
        target=lambda: ended.append(train(contrast_work(World()), run_config(), OPTIMIZER, tmp_path, "x"))
    )
    thread.start()
    thread.join()
    assert len(ended) == 1


def test_the_command_ends_as_a_shell_expects(tmp_path, monkeypatch, capsys):
    def stopped(*_, **__):
        raise RunStoppedError(signal.SIGINT, 5, 9)

    monkeypatch.setattr("sleep2vec.recipes.pretraining.run_pretraining", stopped)
    places = ["--set", f"store={tmp_path}", "--set", f"out={tmp_path / 'out'}"]
    monkeypatch.setattr(sys, "argv", ["sleep2vec", "pretrain", "--recipe", "tiny-demo", *places])
    with pytest.raises(SystemExit) as end:
        run()
    assert end.value.code == 130
    assert "sleep2vec: stopped by Ctrl-C after step 5 of 9, which is saved" in capsys.readouterr().err
