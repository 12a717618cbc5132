"""Sums over resampled people, judged by drawing people one by one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_bootstrap import plain_interval

from sleep2vec.evaluation import resampling
from sleep2vec.evaluation.counted_agreement import agreements, f1_scores
from sleep2vec.evaluation.resampling import figure, ratio, resampled_sums
from sleep2vec.metrics.agreement import agreement_of
from sleep2vec.metrics.bootstrap import bootstrap_interval
from sleep2vec.vocabulary.errors import UsageError

NIGHTS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9), st.integers(0, 9)), max_size=12)


def share(nights):
    below = sum(night[2] for night in nights)
    return sum(night[1] for night in nights) / below if below else None


@settings(deadline=None)
@given(NIGHTS, st.integers(0, 3), st.sampled_from([1, 7, 4_000_000]))
def test_resamples_are_those_of_the_plain_bootstrap_whatever_the_blocks(nights, seed, cells):
    """Of a share that is undefined in some resamples. `n_resamples` 23 is no multiple of a block."""
    people = [night[0] for night in nights]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resampling, "MOST_CELLS", cells)
        parts = np.array(nights, dtype=float).reshape(-1, 3)[:, 1:]
        sums = resampled_sums(parts, people, n_resamples=23, seed=seed)
    line = figure("share", ratio(sums.rows_SK[:, 0], sums.rows_SK[:, 1]), sums.sample, task="t", outcome="o")
    assert line.estimate == pytest.approx(share(nights))
    assert (line.low, line.high) == pytest.approx(plain_interval(share, nights, people, 23, seed))
    assert (line.n_nights, line.n_people, line.task, line.outcome) == (len(nights), len(set(people)), "t", "o")
    if nights:
        house = bootstrap_interval(share, nights, people=people, n_resamples=23, seed=seed)
        assert (line.low, line.high) == pytest.approx((house.low, house.high))


@given(st.lists(st.lists(st.integers(0, 3), min_size=9, max_size=9), min_size=1, max_size=6))
def test_many_matrices_at_once_agree_as_each_by_itself(rows):
    """Judged by the scalar functions, which scikit-learn judges; rows of zeros and of one class are among them."""
    counts_SCC = np.array([*rows, [0] * 9, [5, *[0] * 8]], dtype=float).reshape(-1, 3, 3)
    ours, f1_SC = agreements(counts_SCC), f1_scores(counts_SCC)
    for row, counts_CC in enumerate(counts_SCC.astype(np.int64)):
        theirs = agreement_of(counts_CC)
        wanted = {"accuracy": theirs.accuracy, "kappa": theirs.kappa, "macro-F1": theirs.macro_f1}
        for name, value in wanted.items():
            assert ours[name][row] == pytest.approx(np.nan if value is None else value, nan_ok=True), name
        per_class = [np.nan if value is None else value for value in theirs.f1_per_class]
        assert f1_SC[row] == pytest.approx(per_class, nan_ok=True)


@pytest.mark.parametrize(("parts", "people"), [([[np.nan]], ["a"]), ([[1.0]], ["a", "b"]), ([1.0], ["a"])])
def test_parts_that_cannot_be_summed_are_refused(parts, people):
    with pytest.raises(UsageError, match="leave out nights of which a part is not known"):
        resampled_sums(parts, people)
    with pytest.raises(UsageError, match="at least one resample, got 0"):
        resampled_sums([[1.0]], ["a"], n_resamples=0)
