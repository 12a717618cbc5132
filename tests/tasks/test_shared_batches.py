"""Two processes that share a batch learn what one process learns from the whole of it."""

import os
import subprocess
import sys

import numpy as np
import pytest
import shared_batches
import torch

from sleep2vec.objectives import Gathering
from sleep2vec.vocabulary.errors import UsageError

SIZE = 2


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What each of two processes, meeting over gloo, found in all cases."""
    folder = tmp_path_factory.mktemp("processes")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    started = [
        subprocess.Popen(
            [sys.executable, shared_batches.__file__, str(folder), str(rank), str(SIZE)],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(SIZE)
    ]
    try:
        complaints = [process.communicate(timeout=300)[1] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0] * SIZE, "\n".join(complaints)
    return [dict(np.load(folder / f"{rank}.npz", allow_pickle=False)) for rank in range(SIZE)]


def of(told, case: str) -> list[dict[str, np.ndarray]]:
    return [
        {name.removeprefix(f"{case}/"): value for name, value in found.items() if name.startswith(f"{case}/")}
        for found in told
    ]


@pytest.mark.parametrize("case", shared_batches.CASES)
def test_the_mean_of_the_processes_is_one_process_with_the_whole_batch(told, case):
    """Losses are averaged here, gradients by DDP itself; the judge never heard of other processes."""
    whole, shares = shared_batches.learned(case), of(told, case)
    assert len({float(share["loss"]) for share in shares}) == SIZE  # each speaks of its own anchors
    assert np.mean([share["loss"] for share in shares]) == pytest.approx(float(whole["loss"]), rel=1e-5)
    judged = {name for name, value in whole.items() if name != "loss"}
    assert judged
    norm = np.sqrt(sum(np.square(whole[name]).sum() for name in judged))
    assert norm > 1e-3
    for share in shares:
        off = sum(np.square(share[name] - whole[name]).sum() for name in judged)
        # Parameters of modalities that are not in the batch get no gradient, or 0.
        off += sum(np.square(share[name]).sum() for name in share.keys() - whole.keys())
        assert np.sqrt(off) <= 1e-5 * norm


def test_what_each_process_holds_stands_in_order_in_all_of_them(told):
    numbers = np.arange(shared_batches.N_WINDOWS * 2).reshape(-1, 2)
    for found in of(told, "gathered"):
        np.testing.assert_array_equal(found["bfloat16"], numbers)
        np.testing.assert_array_equal(found["flags"], numbers % 3 == 0)
        assert found["total"] == numbers.sum()


def test_shares_that_are_no_batch_are_refused_in_every_process(told):
    for found in of(told, "refused"):
        assert str(found["hole"]) == (
            "the 2 processes at work hold windows 0 to 2, 3 to 7 of a batch of 7; each window needs one process, in "
            "the order of their ranks: give each its share, or start as many as there are shares."
        )
        assert "0 to 7, 0 to 7" in str(found["overlap"])
        assert "2 to 7, 0 to 2" in str(found["order"])
        assert str(found["length"]) == ("the processes' windows have 6, 7 tokens; pad all of a batch to one length.")


def test_a_share_of_a_batch_is_refused_where_nobody_holds_the_rest():
    with pytest.raises(UsageError, match="the 1 process at work holds windows 0 to 2 of a batch of 7"):
        Gathering(slice(0, 2), 7, 5, torch.device("cpu"))


def test_alone_a_process_keeps_what_it_has():
    own = torch.randn(3, 2)
    gathering = Gathering(slice(None), 3, 2, torch.device("cpu"))
    assert gathering.whole(own) is own
    assert gathering.n_processes == 1
    assert gathering.own == slice(0, 3)
