"""Batches ahead of time: the same batches, in the same order, and nothing left behind."""

import gc
import signal
import subprocess
import sys
import threading
import time
import weakref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_nights import SLOW, made_night, store_of

from sleep2vec.data.pairs import PairConfig, PairSource
from sleep2vec.data.prefetch import Prefetch
from sleep2vec.data.window import WindowReader
from sleep2vec.vocabulary.errors import StoreError


def loaders():
    return [thread for thread in threading.enumerate() if thread.name.startswith("sleep2vec-loader")]


def same(batch):
    return batch


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 6), st.integers(1, 5), st.randoms())
def test_every_step_gets_its_own_batch_in_order(first, n_steps, depth, threads, luck):
    """Whatever the depth, the threads and how long each batch takes."""
    naps = [luck.random() * 2e-3 for _ in range(100)]

    def batch(step):
        time.sleep(naps[step])
        return step * step

    with Prefetch(batch, range(first, first + n_steps), lambda x: x + 1, depth, threads) as batches:
        got = [(step, made) for step, made, _ in batches]
    assert got == [(step, step * step + 1) for step in range(first, first + n_steps)]
    assert loaders() == []


def test_prefetch_equals_no_prefetch(tmp_path):
    """Four threads share one reader, with room for two open nights only: the same bytes as one by one."""
    store = store_of(tmp_path / "store", [made_night(f"n{i}", i, 40, SLOW) for i in range(12)])
    store._open_nights = 2
    ids = [row.night_id for row in store.rows]
    source = PairSource(WindowReader(store), ids, SLOW, PairConfig(batch_windows=8, window_tokens=15), 3)
    with Prefetch(source.batch, range(5, 45), same, depth=6, threads=4) as batches:
        for step, batch, _ in batches:
            alone = source.batch(step)
            assert batch.modalities == alone.modalities
            for made, expected in zip(batch.views, alone.views, strict=True):
                assert torch.equal(made.values_BLS, expected.values_BLS)
                assert torch.equal(made.valid_BL, expected.valid_BL)


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_an_error_is_met_at_its_step_with_its_sentence(depth):
    def batch(step):
        if step == 5:
            raise StoreError("night n7 is gone; ingest it again.")
        return step

    seen = []
    with (
        pytest.raises(StoreError, match=r"^night n7 is gone; ingest it again\.$"),
        Prefetch(batch, range(9), same, depth, 2) as batches,
    ):
        seen.extend(step for step, *_ in batches)
    assert seen == [0, 1, 2, 3, 4]
    assert loaders() == []


def test_no_more_than_depth_batches_are_there():
    """Memory does not grow with the run: `depth` ahead, and the one that is being used."""
    held: weakref.WeakSet = weakref.WeakSet()
    most = []

    class Heavy:
        pass

    def batch(step):
        made = Heavy()
        held.add(made)
        most.append(len(held))
        return made

    with Prefetch(batch, range(200), same, depth=3, threads=2) as batches:
        for _, made, _ in batches:
            del made
    gc.collect()
    assert 3 <= max(most) <= 3 + 1
    assert len(held) == 0


def test_the_time_waited_is_the_time_the_batch_was_late(monkeypatch):
    """On a clock of the test's own that only moves while a batch is made: 50 ticks for each, 0 where it was ready."""
    now = [0.0]
    ready = [threading.Event() for _ in range(3)]
    monkeypatch.setattr("sleep2vec.data.prefetch.time.perf_counter", lambda: now[0])

    def batch(step):
        now[0] += 50
        ready[step].set()
        return step

    with Prefetch(batch, range(3), same, depth=0) as batches:
        assert [waited for *_, waited in batches] == [50, 50, 50]
    for event in ready:
        event.clear()
    with Prefetch(batch, range(3), same, depth=2) as batches:
        for step, _, waited in batches:
            assert all(event.wait(30) for event in ready)  # steps 1 and 2 are made while step 0 is done
            assert step == 0 or waited == 0


def test_leaving_early_leaves_no_thread():
    with Prefetch(lambda step: step, range(10**9), same, depth=4, threads=3) as batches:
        assert next(batches)[:2] == (0, 0)
        assert len(loaders()) > 0
    assert loaders() == []


def test_ctrl_c_ends_a_run_that_loads():
    """A program of its own, interrupted while four threads make batches, ends by KeyboardInterrupt within seconds."""
    program = (
        "import signal, time\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # who starts the tests may have it ignored
        "from sleep2vec.data.prefetch import Prefetch\n"
        "def batch(step):\n    time.sleep(0.02); return step\n"
        "with Prefetch(batch, range(10**9), lambda b: b, depth=8, threads=4) as batches:\n"
        "    for step, *_ in batches:\n        print(step, flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        assert run.stdout is not None
        run.stdout.readline()
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=30)
    assert run.returncode == -signal.SIGINT
    assert b"KeyboardInterrupt" in said
