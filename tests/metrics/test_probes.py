"""Probes: they find what is there as well as Bayes would, nothing where nothing is, and never know a person already."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score, mean_absolute_error, r2_score
from sklearn.model_selection import (
    LeaveOneGroupOut,
    PredefinedSplit,
    StratifiedKFold,
    cross_val_predict,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sleep2vec.metrics.probes import (
    PENALTY,
    balanced_accuracy,
    class_probe,
    number_probe,
    person_folds,
    reidentification,
    stage_probe,
)
from sleep2vec.vocabulary.errors import UsageError


def people_of(n_people, each):
    return np.repeat(np.arange(n_people), each)


def sklearns(reader):
    return make_pipeline(StandardScaler(), reader)


@pytest.mark.parametrize("distance", [1.0, 2.5])
def test_a_site_that_is_readable_by_construction_is_read_as_well_as_bayes_would(distance):
    """Two normal clouds: the best reader is right in Phi(distance / 2) of the cases."""
    draw, people = np.random.default_rng(0), people_of(400, 5)
    site = people % 2
    x = draw.standard_normal((len(people), 6))
    x[:, 2] += distance * site
    found = class_probe([x, draw.standard_normal(x.shape)], site, people)
    assert found.by_view[0] == pytest.approx(norm.cdf(distance / 2), abs=0.02)
    assert found.by_view[1] == pytest.approx(0.5, abs=0.05)
    assert found.score.estimate == pytest.approx(np.mean(found.by_view))
    assert (found.chance, found.n_classes, found.score.n_people) == (0.5, 2, 400)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_where_only_the_person_is_in_it_nothing_else_is_found(seed):
    """The control: folds that mix people read the site of the very same embeddings almost always."""
    draw, people = np.random.default_rng(seed), people_of(24, 6)
    site = draw.permutation(np.arange(24) % 3)[people]
    x = 4 * draw.standard_normal((24, 40))[people] + 0.1 * draw.standard_normal((len(people), 40))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    mixed = cross_val_score(sklearns(LogisticRegression()), x, site, cv=folds, scoring="balanced_accuracy").mean()
    assert mixed > 0.95
    found = class_probe([x], site, people)
    assert found.score.low <= 1 / 3  # left out people pull a blind reader below chance, never above
    assert found.score.estimate < 0.5
    age = draw.uniform(20, 80, 24)[people]
    fit, error = number_probe([x], age, people)
    assert fit.score.estimate < 0.25
    assert error.score.estimate > 0.8 * error.chance


@pytest.mark.parametrize("people_seed", [0, 5])
def test_it_is_scikit_learns_reader_with_everybody_left_out_once(people_seed):
    draw, people = np.random.default_rng(people_seed), people_of(8, 30)
    stages = draw.integers(0, 4, len(people))
    x = draw.standard_normal((len(people), 5)) * (1, 5, 0.2, 1, 1) + np.outer(stages, (0.5, 0, 0.1, 0, 0.2))
    reader = sklearns(LogisticRegression(C=1 / PENALTY, max_iter=300, tol=1e-3))
    said = cross_val_predict(reader, x, stages, groups=people, cv=LeaveOneGroupOut())
    found = stage_probe([x], stages, people, n_classes=5, n_folds=8)
    assert found.score.estimate == pytest.approx(cohen_kappa_score(stages, said), abs=1e-12)
    age = np.array([30.0, 80, 55, 41, 20, 62, 75, 35])[people]
    x[:, 1] += 0.1 * age
    said = cross_val_predict(sklearns(Ridge(alpha=PENALTY)), x, age, groups=people, cv=LeaveOneGroupOut())
    fit, error = number_probe([x], age, people, n_folds=8)
    assert fit.score.estimate == pytest.approx(r2_score(age, said))
    assert error.score.estimate == pytest.approx(mean_absolute_error(age, said))
    assert error.chance == pytest.approx(mean_absolute_error(age, np.full_like(age, np.median(age))))


def test_a_class_is_judged_as_scikit_learn_judges_the_same_folds():
    draw, people = np.random.default_rng(4), people_of(30, 4)
    site = np.minimum(np.arange(30) % 5, 2)[people]  # the third site has most people
    x = draw.standard_normal((len(people), 8)) + site[:, None] * 0.4
    folds, _ = person_folds(site, people, 5, seed=7)
    reader = sklearns(LogisticRegression(C=1 / PENALTY, class_weight="balanced", max_iter=300, tol=1e-3))
    said = cross_val_predict(reader, x, site, cv=PredefinedSplit(folds))
    found = class_probe([x], site, people, seed=7)
    assert found.score.estimate == pytest.approx(balanced_accuracy_score(site, said))
    assert balanced_accuracy(np.array([[3, 1], [0, 0]])) == 0.75


def test_a_person_is_known_again_only_by_what_lasts():
    """A mark that each person carries through both moments, against one that is drawn anew for each moment."""
    draw, people = np.random.default_rng(1), people_of(20, 6)
    moments = np.tile([0, 0, 0, 1, 1, 1], 20)
    noise = 0.2 * draw.standard_normal((len(people), 30))
    lasting = draw.standard_normal((20, 30))[people] + noise
    passing = draw.standard_normal((20, 2, 30))[people, moments] + noise
    found = reidentification([lasting, passing], people, moments)
    assert found.by_view[0] == 1.0
    assert found.chance == 1 / 20
    alone = reidentification([passing], people, moments)
    assert alone.score.low <= 1 / 20 <= alone.score.high
    # The control: the same embeddings, with samples of one moment on both sides.
    assert reidentification([passing], people, np.tile([0, 1], 60)).score.low > 2 * alone.score.high


def test_people_of_one_moment_take_no_part():
    draw, people = np.random.default_rng(2), people_of(6, 4)
    moments = np.tile([0, 0, 1, 1], 6)
    moments[people == 5] = 0
    x = draw.standard_normal((6, 10))[people]
    found = reidentification([x], people, moments)
    assert (found.n_classes, found.score.estimate, found.score.n_people) == (5, 1.0, 5)


def test_samples_that_a_view_lacks_neither_teach_nor_judge():
    draw, people = np.random.default_rng(3), people_of(12, 5)
    site = people % 2
    x = draw.standard_normal((len(people), 4)) + site[:, None]
    lacking = draw.random(len(people)) < 0.3
    holes = np.where(lacking[:, None], np.nan, x)
    folds, _ = person_folds(site, people, 5, 0)
    reader = sklearns(LogisticRegression(C=1 / PENALTY, class_weight="balanced", max_iter=300, tol=1e-3))
    said = cross_val_predict(reader, x[~lacking], site[~lacking], cv=PredefinedSplit(folds[~lacking]))
    expected = balanced_accuracy_score(site[~lacking], said)
    assert class_probe([holes], site, people).score.estimate == pytest.approx(expected)
    nothing = class_probe([np.full_like(x, np.nan)], site, people)
    assert nothing.score.estimate is None
    assert nothing.by_view == (None,)


def test_what_cannot_be_asked_is_none():
    x, people = np.random.default_rng(0).standard_normal((12, 3)), people_of(4, 3)
    one = np.zeros(12, dtype=int)
    assert class_probe([x], one, people) is None  # one site
    assert class_probe([x], np.where(people == 0, 1, 0), people) is None  # the other site has one person
    assert number_probe([x], np.full(12, 50.0), people) is None
    assert number_probe([x], np.arange(12.0), one) is None
    assert reidentification([x], people, one) is None
    assert stage_probe([x], one, one, 5) is None
    with pytest.raises(UsageError, match=r"the same samples, got \[11, 12, 12\]"):
        class_probe([x[:11]], one, people)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_people_are_whole_and_every_class_teaches_every_fold(data):
    """Whatever the people and their classes are, a person of two classes included."""
    n = data.draw(st.integers(1, 40))
    people = np.array(data.draw(st.lists(st.integers(0, 12), min_size=n, max_size=n)))
    classes = np.array(data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)))
    if data.draw(st.booleans()):  # each person of one class, as sites and sexes are
        classes = people % 4
    folds, kept = person_folds(classes, people, 5, data.draw(st.integers(0, 99)))
    assert len(folds) == n
    for person in np.unique(people):
        assert len(set(folds[(people == person) & (folds >= 0)].tolist())) <= 1
    assert set(classes[folds >= 0].tolist()) <= set(kept.tolist())
    for code in kept:
        owners = {p for p in people.tolist() if np.bincount(classes[people == p]).argmax() == code}
        assert len(owners) >= 2
        for fold in set(folds[folds >= 0].tolist()):
            assert ((folds != fold) & (folds >= 0) & (classes == code)).any()


def test_intervals_are_by_person_not_by_sample():
    """Repeating every sample ten times tells nothing new: the interval stays as wide."""
    draw, people = np.random.default_rng(6), people_of(30, 4)
    site, x = people % 2, draw.standard_normal((120, 3))
    few = reidentification([x], people, np.tile([0, 0, 1, 1], 30))
    many = reidentification([np.repeat(x, 10, 0)], np.repeat(people, 10), np.repeat(np.tile([0, 0, 1, 1], 30), 10))
    assert many.score.high - many.score.low > 0.6 * (few.score.high - few.score.low)
    counts = class_probe([x], site, people).score
    assert counts.n_people == 30
    assert not math.isnan(counts.low)
