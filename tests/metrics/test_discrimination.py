"""Discrimination, judged by scikit-learn and by the areas' own definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from sleep2vec.metrics.discrimination import auprc, auroc, discrimination
from sleep2vec.vocabulary.errors import UsageError

LABELS = st.sampled_from([0.0, 0.0, 1.0, np.nan])
SCORES = st.sampled_from([-2.0, -0.5, 0.0, 0.1, 0.2, 3.0, 1e9, np.nan]) | st.floats(-5, 5)
PEOPLE = st.lists(st.tuples(LABELS, SCORES), min_size=1, max_size=60)


@settings(deadline=None)
@given(PEOPLE)
def test_agrees_with_scikit_learn_where_both_are_known(people):
    labels, scores = (np.array(column) for column in zip(*people, strict=True))
    known = ~np.isnan(labels) & ~np.isnan(scores)
    if len(set(labels[known])) < 2:
        assert (auroc(labels, scores), auprc(labels, scores)) == (None, None)
        return
    pair = labels[known].astype(int), scores[known]
    assert auroc(labels, scores) == pytest.approx(sklearn_metrics.roc_auc_score(*pair), abs=1e-12)
    assert auprc(labels, scores) == pytest.approx(sklearn_metrics.average_precision_score(*pair), abs=1e-12)


@settings(deadline=None)
@given(PEOPLE)
def test_the_area_is_the_share_of_pairs_in_order(people):
    """Hanley and McNeil's definition, one pair after the other; what is equal is half."""
    known = [(label, score) for label, score in people if not np.isnan(label) and not np.isnan(score)]
    having, lacking = ([score for label, score in known if label == kind] for kind in (1, 0))
    pairs = [1.0 if one > other else 0.5 if one == other else 0.0 for one in having for other in lacking]
    ours = auroc(*zip(*people, strict=True))
    assert ours == (None if not pairs else pytest.approx(sum(pairs) / len(pairs), abs=1e-12))


@settings(deadline=None)
@given(PEOPLE)
def test_the_opposite_score_has_the_opposite_area(people):
    labels, scores = (np.array(column) for column in zip(*people, strict=True))
    ours, opposite = auroc(labels, scores), auroc(labels, -scores)
    assert (ours is None) == (opposite is None)
    assert ours is None or ours + opposite == pytest.approx(1.0, abs=1e-12)


def test_a_score_that_says_nothing_is_at_chance():
    """Chance is one half for the ranks and the prevalence for the precision: one point of the curve, all found."""
    labels = np.repeat([1.0, 0.0], [30, 170])
    assert auroc(labels, np.zeros(200)) == 0.5
    assert auprc(labels, np.zeros(200)) == 0.15


def test_average_precision_of_a_worked_example():
    """Ranked 1 0 1 0 0: precision 1 at the first, 2/3 at the second found, half the recall each."""
    assert auprc([1, 0, 1, 0, 0], [9, 8, 7, 6, 5]) == pytest.approx((1 + 2 / 3) / 2, abs=1e-15)


def test_the_area_of_two_normal_populations_has_a_closed_form():
    """Means d apart with equal spread: Phi(d / sqrt 2), within four standard errors."""
    generator = np.random.default_rng(0)
    scores = np.concatenate([generator.normal(1.0, 1, 20_000), generator.normal(0, 1, 20_000)])
    labels = np.repeat([1.0, 0.0], 20_000)
    assert auroc(labels, scores) == pytest.approx(0.76025, abs=4 * 0.0024)


@settings(deadline=None)
@given(st.integers(0, 10_000))
def test_several_labels_are_each_judged_alone(seed):
    """The macro mean is scikit-learn's mean over those labels that scikit-learn can judge."""
    generator = np.random.default_rng(seed)
    labels = generator.choice([0.0, 1.0, np.nan], p=[0.6, 0.25, 0.15], size=(12, 5))
    scores = generator.integers(0, 6, size=(12, 5)).astype(float)
    labels[:, 4] = 0.0
    ours = discrimination(labels, scores)
    areas, precisions = [], []
    for label in range(5):
        known = ~np.isnan(labels[:, label])
        truth, said = labels[known, label].astype(int), scores[known, label]
        assert (ours.n_known_per_label[label], ours.n_positive_per_label[label]) == (known.sum(), truth.sum())
        if len(set(truth.tolist())) == 2:
            areas.append(sklearn_metrics.roc_auc_score(truth, said))
            precisions.append(sklearn_metrics.average_precision_score(truth, said))
            assert ours.auroc_per_label[label] == pytest.approx(areas[-1], abs=1e-12)
            assert ours.auprc_per_label[label] == pytest.approx(precisions[-1], abs=1e-12)
        else:
            assert (ours.auroc_per_label[label], ours.auprc_per_label[label]) == (None, None)
    assert ours.n_judged == len(areas)
    assert ours.macro_auroc == (None if not areas else pytest.approx(np.mean(areas), abs=1e-12))
    assert ours.macro_auprc == (None if not areas else pytest.approx(np.mean(precisions), abs=1e-12))


@pytest.mark.parametrize(
    ("judge", "labels", "scores", "sentence"),
    [
        (auroc, [0, 1], [0.5], "one label and one score for each person"),
        (auprc, [0, 2], [0.5, 0.5], "2 is no label"),
        (auroc, [0, -1], [0.5, np.nan], "-1 is no label"),
        (discrimination, [0, 1], [0.5, 0.5], "call auroc"),
        (discrimination, [[0, 1]], [[0.5], [0.5]], "one shape"),
    ],
)
def test_says_what_is_wrong(judge, labels, scores, sentence):
    with pytest.raises(UsageError, match=sentence):
        judge(labels, scores)
