"""Calibration, judged by scikit-learn, by closed forms and by people who are calibrated by construction."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics
from sklearn.calibration import calibration_curve

from sleep2vec.metrics.calibration import (
    LEAST_TEMPERATURE,
    MOST_TEMPERATURE,
    brier,
    calibration_error,
    fitted_temperature,
    negative_log_likelihood,
    negative_log_likelihood_of_logits,
    reliability,
    tempered,
)
from sleep2vec.vocabulary.errors import UsageError

NAN = float("nan")
SEEDS = st.integers(0, 100_000)
# Edges of the bins on purpose; a probability in a hurry is 0 or 1.
STATED = st.sampled_from([0.0, 0.2, 0.4, 0.6, 0.8, 1.0, NAN]) | st.floats(0, 1)
PEOPLE = st.lists(st.tuples(st.sampled_from([0.0, 1.0, 1.0, NAN]), STATED), min_size=1, max_size=50)


def nights(seed, n=40, n_classes=5, spread=2.0):
    """Codes and logits of which some are unknown, and which rows are known."""
    generator = np.random.default_rng(seed)
    codes = generator.integers(0, n_classes, n).astype(float)
    logits = generator.normal(size=(n, n_classes)) * spread
    codes[generator.random(n) < 0.1] = np.nan
    logits[generator.random(n) < 0.1, 1] = np.nan
    return codes, logits, ~np.isnan(codes) & ~np.isnan(logits).any(axis=1)


@settings(deadline=None)
@given(PEOPLE, st.integers(1, 12))
def test_the_table_of_one_label_is_scikit_learns(people, n_bins):
    labels, stated = (np.array(column) for column in zip(*people, strict=True))
    known = ~np.isnan(labels) & ~np.isnan(stated)
    table = reliability(labels, stated, n_bins)
    assert table.count_K.sum() == known.sum()
    np.testing.assert_array_equal(np.isnan(table.observed_K), table.count_K == 0)
    if not known.any():
        assert table.error is None
        return
    observed, mean_stated = calibration_curve(labels[known], stated[known], n_bins=n_bins, strategy="uniform")
    filled = table.count_K > 0
    np.testing.assert_allclose(table.observed_K[filled], observed, atol=1e-12)
    np.testing.assert_allclose(table.confidence_K[filled], mean_stated, atol=1e-12)
    gaps = table.count_K[filled] * np.abs(observed - mean_stated)
    assert table.error == pytest.approx(gaps.sum() / known.sum(), abs=1e-12)


@settings(deadline=None)
@given(SEEDS, st.integers(1, 12))
def test_the_table_of_classes_is_that_of_the_likeliest(seed, n_bins):
    """scikit-learn asked whether the likeliest class, stated so surely, was right."""
    codes, logits, known = nights(seed)
    stated = tempered(logits, 1.0)
    right = sklearn_metrics.accuracy_score(codes[known], stated[known].argmax(axis=1), normalize=False)
    table = reliability(codes, stated, n_bins)
    hits = (stated[known].argmax(axis=1) == codes[known]).astype(int)
    observed, mean_stated = calibration_curve(hits, stated[known].max(axis=1), n_bins=n_bins, strategy="uniform")
    filled = table.count_K > 0
    np.testing.assert_allclose(table.observed_K[filled], observed, atol=1e-12)
    np.testing.assert_allclose(table.confidence_K[filled], mean_stated, atol=1e-12)
    assert np.nansum(table.observed_K * table.count_K) == pytest.approx(right)


def test_a_bin_holds_its_upper_edge():
    """Fifths, whose edges are exact enough to ask: 0.2 belongs to the first bin, the next number to the second."""
    table = reliability([1, 0, 1, 1], [0.0, 0.2, np.nextafter(0.2, 1), 1.0], 5)
    np.testing.assert_array_equal(table.count_K, [2, 1, 0, 0, 1])
    np.testing.assert_allclose(table.edges, [0, 0.2, 0.4, 0.6, 0.8, 1])


def test_calibrated_people_have_no_error_and_sharpened_ones_the_error_of_their_sharpening():
    """Labels drawn from the stated probabilities: the error vanishes with n. Stated too surely, it is E|q - p|."""
    generator = np.random.default_rng(0)
    true = generator.random(200_000)
    labels = (generator.random(200_000) < true).astype(float)
    stated = true**2 / (true**2 + (1 - true) ** 2)
    assert calibration_error(labels, true) < 0.005
    assert calibration_error(labels, stated, 100) == pytest.approx(np.abs(stated - true).mean(), abs=0.005)


@settings(deadline=None)
@given(PEOPLE)
def test_brier_of_one_label_is_scikit_learns(people):
    labels, stated = (np.array(column) for column in zip(*people, strict=True))
    known = ~np.isnan(labels) & ~np.isnan(stated)
    theirs = sklearn_metrics.brier_score_loss(labels[known], stated[known], labels=[0, 1]) if known.any() else None
    assert brier(labels, stated) == (None if theirs is None else pytest.approx(theirs, abs=1e-12))


@settings(deadline=None)
@given(SEEDS)
def test_scores_of_classes_are_scikit_learns(seed):
    codes, logits, known = nights(seed)
    stated = tempered(logits, 1.0)
    pair = codes[known].astype(int), stated[known]
    theirs = sklearn_metrics.brier_score_loss(*pair, labels=range(5), scale_by_half=False)
    assert brier(codes, stated) == pytest.approx(theirs, rel=1e-9)
    theirs = sklearn_metrics.log_loss(*pair, labels=range(5))
    assert negative_log_likelihood(codes, stated) == pytest.approx(theirs, rel=1e-9)
    assert negative_log_likelihood_of_logits(codes, logits) == pytest.approx(theirs, rel=1e-9)


def test_one_label_is_two_classes():
    """Algebra: the same statement written as two columns costs the same nats and twice the Brier score."""
    labels, stated = np.array([1.0, 0, 0, 1, NAN]), np.array([0.9, 0.2, 0.7, 0.4, 0.5])
    both = np.stack([1 - stated, stated], axis=1)
    assert brier(labels, both) == pytest.approx(2 * brier(labels, stated))
    expected = -(math.log(0.9) + math.log(0.8) + math.log(0.3) + math.log(0.4)) / 4
    assert negative_log_likelihood(labels, stated) == pytest.approx(expected, rel=1e-12)
    assert negative_log_likelihood(labels, both) == pytest.approx(expected, rel=1e-12)
    odds = np.log(stated / (1 - stated))
    assert negative_log_likelihood_of_logits(labels, odds) == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(tempered(odds, 1.0), stated, rtol=1e-12)


def test_what_was_said_to_be_impossible_costs_infinitely_much():
    assert negative_log_likelihood([1, 0], [0.0, 0.5]) == math.inf
    assert negative_log_likelihood_of_logits([0.0], [[-2000.0, 0.0]]) == pytest.approx(2000.0)


@pytest.mark.parametrize("true_temperature", [0.4, 1.0, 3.5])
def test_the_temperature_that_made_the_labels_is_found(true_temperature):
    """Codes drawn from softmax(logits / T) make T the likeliest, up to the error of 100,000 draws."""
    generator = np.random.default_rng(1)
    logits = generator.normal(size=(100_000, 4)) * 2
    steps = tempered(logits, true_temperature).cumsum(axis=1)
    codes = (generator.random((100_000, 1)) > steps).sum(axis=1)
    assert fitted_temperature(codes, logits) == pytest.approx(true_temperature, rel=0.03)
    assert calibration_error(codes, tempered(logits, true_temperature)) < 0.006


@settings(deadline=None)
@given(SEEDS, st.floats(0.01, 300), st.booleans())
def test_no_temperature_is_better_than_the_fitted_one(seed, spread, of_one_label):
    """Against a grid of 400 temperatures, and 1 among them."""
    codes, logits, known = nights(seed, n=25, spread=spread)
    if of_one_label:
        codes, logits = np.where(np.isnan(codes), codes, codes > 1), logits[:, 1] - logits[:, 0]
        known = ~np.isnan(codes) & ~np.isnan(logits)
    found = fitted_temperature(codes, logits)
    assert LEAST_TEMPERATURE <= found <= MOST_TEMPERATURE

    def cost(temperature):
        return negative_log_likelihood_of_logits(codes[known], logits[known], temperature)

    assert cost(found) <= cost(1.0)
    grid = np.geomspace(LEAST_TEMPERATURE, MOST_TEMPERATURE, 400)
    assert cost(found) <= min(map(cost, grid)) * (1 + 1e-9) + 1e-12


def test_where_nothing_is_gained_the_temperature_stays_at_one():
    """Equal logits cost log C at any temperature."""
    assert fitted_temperature([0, 1, 2], np.zeros((3, 3))) == 1.0


def test_nobody_known_is_undefined():
    nobody, stated = np.array([NAN, 1.0]), np.array([0.5, NAN])
    assert (brier(nobody, stated), negative_log_likelihood(nobody, stated)) == (None, None)
    assert (calibration_error(nobody, stated), fitted_temperature(nobody, stated)) == (None, None)
    assert negative_log_likelihood_of_logits(nobody, stated) is None


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: brier([0, 1], [0.5]), r"labels \(N,\) and statements"),
        (lambda: brier([0, 1], [[0.5], [0.5]]), "two or more classes"),
        (lambda: brier([0, 3], [[0.5, 0.3, 0.2]] * 2), "3 is no class of 3"),
        (lambda: brier([0.5], [0.5]), "0.5 is no class of 2"),
        (lambda: brier([0], [1.5]), "1.5 is no probability"),
        (lambda: brier([0], [[0.9, 0.9]]), "add up to 1.8"),
        (lambda: reliability([0], [0.5], 0), "at least one bin, got 0"),
        (lambda: tempered([0.0], 0.0), "above 0, got 0"),
        (lambda: negative_log_likelihood_of_logits([0], [0.5], NAN), "above 0, got nan"),
        (lambda: fitted_temperature([0], [np.inf]), "a logit is infinite"),
    ],
)
def test_says_what_is_wrong(call, sentence):
    with pytest.raises(UsageError, match=sentence):
        call()
