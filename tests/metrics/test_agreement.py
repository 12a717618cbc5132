"""Agreement, judged by scikit-learn and by Cohen's own definition."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from sleep2vec.metrics.agreement import (
    accuracy,
    agreement,
    agreement_of,
    cohen_kappa,
    confusion_matrix,
    f1_per_class,
    macro_f1,
)
from sleep2vec.vocabulary.errors import UsageError

CODES = st.sampled_from([0.0, 1.0, 2.0, 3.0, 4.0, np.nan])
SCORINGS = st.lists(st.tuples(CODES, CODES, st.booleans()), min_size=1, max_size=60)


@given(SCORINGS)
def test_agrees_with_scikit_learn_on_the_epochs_both_scored(epochs):
    truth, predicted, mask = (np.array(column) for column in zip(*epochs, strict=True))
    kept = mask & ~np.isnan(truth) & ~np.isnan(predicted)
    ours = agreement(truth, predicted, 5, mask)
    assert ours.n_epochs == kept.sum()
    if not kept.any():
        assert (ours.accuracy, ours.kappa, ours.macro_f1) == (None, None, None)
        return
    pair = truth[kept].astype(int), predicted[kept].astype(int)
    np.testing.assert_array_equal(ours.confusion_CC, sklearn_metrics.confusion_matrix(*pair, labels=range(5)))
    assert ours.accuracy == pytest.approx(sklearn_metrics.accuracy_score(*pair), rel=1e-12)
    used = sorted(set(pair[0]) | set(pair[1]))
    theirs = sklearn_metrics.f1_score(*pair, labels=used, average=None, zero_division=0.0)
    assert [ours.f1_per_class[code] for code in used] == pytest.approx(theirs.tolist(), rel=1e-12)
    assert all(ours.f1_per_class[code] is None for code in set(range(5)) - set(used))
    assert ours.macro_f1 == pytest.approx(np.mean(theirs), rel=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn divides by zero where we say None
        kappa = sklearn_metrics.cohen_kappa_score(*pair, labels=range(5))
    assert (ours.kappa is None) == (len(used) == 1)
    if ours.kappa is not None:
        assert ours.kappa == pytest.approx(kappa, rel=1e-9, abs=1e-12)


def test_kappa_of_a_worked_example():
    """Two raters, 50 cases, 20 + 15 agreed: p_o = 0.7, p_e = 0.5, so kappa = 0.4 by hand."""
    truth = np.repeat([0, 0, 1, 1], [20, 5, 10, 15])
    predicted = np.repeat([0, 1, 0, 1], [20, 5, 10, 15])
    assert cohen_kappa(truth, predicted, 2) == pytest.approx(0.4, abs=1e-15)
    assert accuracy(truth, predicted, 2) == pytest.approx(0.7, abs=1e-15)
    # F1 = 2 TP / (2 TP + FP + FN): 40 / 55 and 30 / 45.
    assert f1_per_class(truth, predicted, 2) == pytest.approx((40 / 55, 30 / 45))
    assert macro_f1(truth, predicted, 2) == pytest.approx((40 / 55 + 30 / 45) / 2)


@given(SCORINGS, st.permutations(range(5)))
def test_names_of_the_classes_do_not_matter(epochs, renamed):
    truth, predicted, mask = (np.array(column) for column in zip(*epochs, strict=True))
    table = np.array(renamed, dtype=float)

    def rename(codes):
        return np.where(np.isnan(codes), np.nan, table[np.nan_to_num(codes).astype(int)])

    before, after = agreement(truth, predicted, 5, mask), agreement(rename(truth), rename(predicted), 5, mask)
    assert (after.accuracy, after.kappa) == (before.accuracy, before.kappa)
    assert after.macro_f1 == pytest.approx(before.macro_f1)


def test_pooled_counts_equal_the_pooled_epochs():
    generator = np.random.default_rng(0)
    nights = [(generator.integers(0, 4, 50), generator.integers(0, 4, 50)) for _ in range(3)]
    pooled = agreement_of(sum(confusion_matrix(*night, 4) for night in nights))
    joined = agreement(*(np.concatenate(column) for column in zip(*nights, strict=True)), 4)
    assert (pooled.kappa, pooled.macro_f1, pooled.n_epochs) == (joined.kappa, joined.macro_f1, 150)


@pytest.mark.parametrize(
    ("truth", "predicted", "sentence"),
    [
        ([0, 1], [0, 1, 2], "same epochs"),
        ([0, 7], [0, 1], "7 is no class of 5"),
        ([0, -1], [0, 1], "-1 is no class of 5"),
        ([0, 1], [0, 0.5], "0.5 is no class of 5"),
        ([0, np.inf], [0, 1], "inf is no class of 5"),
    ],
)
def test_says_what_is_wrong(truth, predicted, sentence):
    with pytest.raises(UsageError, match=sentence):
        agreement(truth, predicted, 5)
