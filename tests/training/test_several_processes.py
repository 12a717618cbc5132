"""Two processes with half the batch each are one with the whole; judged by one process, which is judged elsewhere."""

import json
import os
import subprocess
import sys
from pathlib import Path

import contrast_of_shares
import pytest
import torch
from contrast_of_shares import OPTIMIZER, VARIANTS, B, EndedError, contrast_work, run_config
from safetensors.torch import load_file

from sleep2vec.training.logging import read_log
from sleep2vec.training.runner import TIMINGS, train
from sleep2vec.training.strategy import LossModule, pick_strategy, spread
from sleep2vec.training.world import World
from sleep2vec.vocabulary.errors import ModelError


def in_two_processes(what: str, folder: Path) -> subprocess.CompletedProcess:
    program = [sys.executable, "-W", "error", contrast_of_shares.__file__, what, str(folder)]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python"]
    return subprocess.run(
        [*launcher, *program], capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False
    )


def begun_alone(folder: Path) -> None:
    with pytest.raises(EndedError):
        train(contrast_work(World(), ends_at=3), run_config(steps=5), OPTIMIZER, folder, "x")


def saved(folder: Path, name: str) -> dict[str, torch.Tensor]:
    (state,) = folder.glob("state-*")
    return load_file(state / f"{name}.safetensors")


def furthest(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> float:
    assert found.keys() == expected.keys()
    return max(float((found[name] - value).abs().max()) for name, value in expected.items())


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    for strategy in ("ddp", "fsdp"):
        begun_alone(folder / f"one-then-{strategy}")
    ended = in_two_processes("variants", folder)
    assert ended.returncode == 0, ended.stderr
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """Five steps of one process."""
    folder = tmp_path_factory.mktemp("whole")
    train(contrast_work(World()), run_config(steps=5), OPTIMIZER, folder, "x")
    return folder


@pytest.mark.parametrize("variant", VARIANTS)
def test_two_processes_with_half_the_batch_are_one_with_the_whole(two, tmp_path, variant):
    """The parameters, their average and the optimizer's memory after three clipped steps, within 1e-5."""
    settings = {**VARIANTS[variant], "strategy": "auto"}
    average = train(contrast_work(World()), run_config(**settings), OPTIMIZER, tmp_path, "x")
    assert furthest(load_file(two / f"{variant}.safetensors"), average.state_dict()) < 1e-5
    for name in ("model", "average", "optimizer"):
        assert furthest(saved(two / variant, name), saved(tmp_path, name)) < 1e-5
    logs = [
        {(step, name): value for step, name, value in read_log(folder) if name not in TIMINGS}
        for folder in (two / variant, tmp_path)
    ]
    assert logs[0] == pytest.approx(logs[1], rel=1e-5)
    assert all(logs[1][step, "train/gradient_norm"] > OPTIMIZER.clip_norm for step in (1, 2, 3))  # clipping took part


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_a_run_goes_on_with_another_number_of_processes(two, whole, strategy):
    folder = two / f"{strategy}-then-one"
    assert saved(folder, "model").keys() == saved(whole, "model").keys()
    train(contrast_work(World()), run_config(steps=5), OPTIMIZER, folder, "x")
    for begun in (folder, two / f"one-then-{strategy}"):
        for name in ("model", "average", "optimizer"):
            assert furthest(saved(begun, name), saved(whole, name)) < 1e-5


def test_each_process_has_its_rows_and_all_hear_the_same(two):
    ranks = [json.loads((two / f"rank{rank}.json").read_text()) for rank in (0, 1)]
    assert ranks[0]["share"] + ranks[1]["share"] == list(range(B))
    assert [rank["sums"] for rank in ranks] == [[2.0, 1.0]] * 2


def test_when_one_process_fails_all_end_and_one_sentence_is_said(tmp_path):
    ended = in_two_processes("failure", tmp_path)
    assert ended.returncode != 0
    told = [line for line in ended.stderr.splitlines() if "sleep2vec: " in line]
    assert told == ["sleep2vec: night n7 is damaged; ingest it again."]
    assert "[rank" not in ended.stderr  # no process died of another's death with a traceback
    assert max(step for step, _, _ in read_log(tmp_path)) == 2


@pytest.mark.parametrize("n", [0, 1, 5, 8, 320])
@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_shares_are_a_partition_and_differ_by_one_row_at_most(n, size):
    shares = [list(range(n))[World(rank, size).share(n)] for rank in range(size)]
    assert [row for share in shares for row in share] == list(range(n))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_what_a_strategy_cannot_do_is_said():
    assert pick_strategy("fsdp", World()) == "single"  # a cluster's recipe on a laptop
    assert [pick_strategy(name, World(0, 2)) for name in ("auto", "ddp", "fsdp")] == ["ddp", "ddp", "fsdp"]
    with pytest.raises(ModelError, match="asks for strategy single, but torchrun started 4 processes; use"):
        pick_strategy("single", World(0, 4))
    module = torch.nn.Module()
    module.temperature = torch.nn.Parameter(torch.tensor(1.0))
    with pytest.raises(ModelError, match="fsdp cannot shard temperature, a single number; use strategy: ddp"):
        spread(LossModule(module, lambda *_: None), "fsdp", World(0, 2))
