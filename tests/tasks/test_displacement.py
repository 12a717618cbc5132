"""Judge: a clock. Every token holds the minute it was recorded in, so what is compared must read the same time."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from sleep2vec.data.metadata import Metadata
from sleep2vec.data.pairs import PairBatch
from sleep2vec.data.window import View
from sleep2vec.tasks.displacement import displaced


def clocks(n_views, n_windows, n_tokens):
    time_BLS = (100 * torch.arange(n_windows)[:, None] + torch.arange(n_tokens))[..., None].float()
    valid_BL = torch.ones(n_windows, n_tokens, dtype=torch.bool)
    unknown = torch.full((n_windows,), float("nan"))
    names = ("eeg", "ibi", "resp")[:n_views]
    return PairBatch(names, tuple(View(time_BLS, valid_BL) for _ in names), Metadata(*[unknown] * 5))


@given(st.integers(2, 3), st.integers(1, 40), st.integers(0, 60), st.integers(0, 1000))
def test_what_is_compared_was_recorded_at_the_same_time(n_views, n_tokens, most, seed):
    moved = displaced(clocks(n_views, 2, n_tokens), most, torch.Generator().manual_seed(seed))
    read = [view.values_BLS[:, place, 0] for view, place in zip(moved.batch.views, moved.shared, strict=True)]
    assert all(torch.equal(times_BL, read[0]) for times_BL in read)
    assert all(torch.equal(times_BL[1] - times_BL[0], torch.full((len(times_BL[0]),), 100.0)) for times_BL in read)
    assert read[0].shape[1] >= n_tokens - 2 * min(most, n_tokens // 2)
    assert {view.valid_BL.shape[1] for view in moved.batch.views} == {n_tokens - min(most, n_tokens // 2)}


def test_equal_places_are_different_moments():
    """What it is for: over many draws the place in the window says nothing of whether two tokens are simultaneous."""
    draw = torch.Generator().manual_seed(0)
    starts = []
    for _ in range(400):
        views = displaced(clocks(2, 1, 30), 9, draw).batch.views
        starts.append([int(view.values_BLS[0, 0, 0]) for view in views])
    first, second = torch.tensor(starts).T.double()
    assert set(first.tolist()) == set(second.tolist()) == set(range(10))
    assert abs(torch.corrcoef(torch.stack((first, second)))[0, 1]) < 0.15  # three standard errors of 400 draws
    assert abs((first == second).double().mean() - 0.1) < 0.045


def test_nothing_is_drawn_where_nothing_is_displaced():
    draw = torch.Generator().manual_seed(3)
    batch = clocks(2, 1, 30)
    assert displaced(batch, 0, draw).batch is batch
    assert torch.equal(torch.rand(4, generator=draw), torch.rand(4, generator=torch.Generator().manual_seed(3)))
