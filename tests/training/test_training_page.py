"""docs/training.md: its commands are understood by the programs they name, and its SLURM script does what it says."""

import os
import re
import shlex
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from made_nights import made_night, store_of
from torch.distributed.run import parse_args

from sleep2vec.recipes.loading import load_recipe
from sleep2vec.recipes.schema import PretrainRecipe
from sleep2vec.training.logging import read_log
from sleep2vec.training.work import HOW_NOT_WHAT, RunConfig

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = [line for block in BLOCKS if not block.startswith("#!") for line in block.strip().splitlines()]
(SCRIPT,) = [block for block in BLOCKS if block.startswith("#!")]
NAMES = ("airflow", "spo2", "resp")


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_page_is_understood(line):
    words = shlex.split(line)
    if words[0] == "torchrun":
        started = parse_args(words[1:])
        assert (started.module, started.training_script) == (True, "sleep2vec")
        words = ["sleep2vec", *started.training_script_args]
    assert words[:3] == ["sleep2vec", "pretrain", "--recipe"]
    settings = words[4:]
    assert set(settings[::2]) == {"--set"}
    load_recipe(words[3], PretrainRecipe, settings[1::2])


def test_what_the_page_says_of_settings_is_true():
    table = re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE)
    named = {name for row in table for name in re.findall(r"`(\w+):", row)}
    listed = PAGE[PAGE.index("these may change") :].split(". Any")[0]
    assert named <= set(RunConfig.model_fields)
    assert set(re.findall(r"`(\w+)`", listed)) == HOW_NOT_WHAT


@pytest.mark.slow
def test_the_slurm_script_saves_and_queues_again_when_its_time_is_up(tmp_path):
    """bash runs it as it stands; two processes on one machine, gloo; srun and scontrol are stand-ins."""
    store = store_of(tmp_path / "store", [made_night(f"n{i}", i, 40, NAMES) for i in range(6)])
    programs = tmp_path / "bin"
    programs.mkdir()
    stand_ins = {
        "srun": '#!/bin/bash\nshift\nexec "$@"\n',
        "scontrol": f'#!/bin/bash\n[ "$1" = show ] && echo localhost || echo "$@" >> {tmp_path}/asked\n',
        "torchrun": f'#!/bin/bash\nexec {sys.executable} -m torch.distributed.run "$@"\n',
    }
    for name, text in stand_ins.items():
        (programs / name).write_text(text)
        (programs / name).chmod(stat.S_IRWXU)
    out = tmp_path / "run"
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "model: {size: tiny, modalities: [airflow, spo2, resp]}\n"
        "batches: {batch_windows: 4, window_tokens: 8}\n"
        "run: {steps: 100000, log_every: 1, validate_every: 100000, save_every: 100000, device: cpu}\n"
    )
    script = SCRIPT
    for name, value in (("RECIPE", recipe), ("STORE", store.path), ("RUN", out)):
        script = re.sub(rf"^{name}=.*$", f"{name}={value}", script, flags=re.MULTILINE)
    environment = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "SLURM_JOB_NODELIST": "localhost",
        "SLURM_NNODES": "1",
        "SLURM_GPUS_ON_NODE": "2",
        "SLURM_JOB_ID": "77",
        "RENDEZVOUS_PORT": "0",
    }
    errors = tmp_path / "errors"
    with errors.open("w") as file:
        job = subprocess.Popen(["bash", "-c", script], env=environment, stderr=file)
    while not any(step >= 2 for step, _, _ in read_log(out)):
        assert job.poll() is None, errors.read_text()
        time.sleep(0.5)
    job.send_signal(signal.SIGUSR1)
    job.wait()
    told = errors.read_text()
    assert job.returncode == 0, told
    assert (tmp_path / "asked").read_text() == "requeue 77\n"
    (state,) = out.glob("state-*/complete")
    n_steps = int(state.parent.name.removeprefix("state-"))
    assert n_steps == max(step for step, _, _ in read_log(out))
    sentences = [line for line in told.splitlines() if line.startswith("sleep2vec: ")]
    assert sentences == [
        f"sleep2vec: stopped by SIGUSR1 after step {n_steps} of 100000, which is saved; "
        "run the same command again to go on."
    ]
    assert not list(out.rglob("*.part"))
