"""Regression, judged by scikit-learn, scipy, pingouin, published examples and the coverage that intervals promise."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sklearn_metrics

from sleep2vec.metrics.regression import bias, bland_altman, icc, mean_absolute_error, pearson_r, regression
from sleep2vec.vocabulary.errors import UsageError

NAN = float("nan")
NUMBERS = st.sampled_from([20.0, 35.5, 60.0, 60.0, NAN]) | st.floats(0, 120).map(lambda x: round(x, 3))
PEOPLE = st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=40)


@settings(deadline=None)
@given(PEOPLE)
def test_agrees_with_scikit_learn_and_scipy_where_both_are_known(people):
    truth, predicted = (np.array(column) for column in zip(*people, strict=True))
    known = ~np.isnan(truth) & ~np.isnan(predicted)
    ours = regression(truth, predicted)
    assert ours.n == known.sum()
    if not known.any():
        assert (ours.mean_absolute_error, ours.bias, ours.root_mean_squared_error) == (None, None, None)
        return
    pair = truth[known], predicted[known]
    assert ours.mean_absolute_error == pytest.approx(sklearn_metrics.mean_absolute_error(*pair), rel=1e-12)
    assert ours.root_mean_squared_error == pytest.approx(sklearn_metrics.root_mean_squared_error(*pair), rel=1e-12)
    assert ours.bias == pytest.approx(pair[1].mean() - pair[0].mean(), abs=1e-10)
    varies = len(set(pair[0])) > 1 and len(set(pair[1])) > 1
    assert (ours.pearson_r is None) == (not varies)
    if varies:
        assert ours.pearson_r == pytest.approx(stats.pearsonr(*pair).statistic, abs=1e-9)


def test_correlation_keeps_its_digits_far_from_zero_and_at_any_scale():
    """Invariance: an offset and a factor change nothing; a line is exactly 1."""
    generator = np.random.default_rng(0)
    truth, predicted = generator.normal(size=(2, 50))
    plain = pearson_r(truth, predicted)
    assert pearson_r(truth * 1e-200, predicted * 1e200) == pytest.approx(plain, rel=1e-12)
    assert pearson_r(truth + 1e6, predicted - 1e6) == pytest.approx(plain, rel=1e-8)
    assert pearson_r(truth, -3 * truth) == pytest.approx(-1.0, abs=1e-15)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 100_000), st.integers(3, 12), st.integers(2, 4))
def test_the_intraclass_correlation_is_pingouins(seed, n_people, n_raters):
    import pingouin

    generator = np.random.default_rng(seed)
    people = generator.normal(size=(n_people, 1)) * generator.choice([0.1, 1.0, 5.0])
    ratings = 50 + people + generator.normal(size=n_raters) + generator.normal(size=(n_people, n_raters))
    ratings = np.append(ratings, [[NAN, *[3.0] * (n_raters - 1)]], axis=0)
    rows = [
        (person, rater, ratings[person, rater]) for person in range(n_people) for rater in range(n_raters)
    ]  # the last person is not known whole
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = pingouin.intraclass_corr(pd.DataFrame(rows, columns=["person", "rater", "x"]), "person", "rater", "x")
    assert icc(ratings) == pytest.approx(table.set_index("Type").loc["ICC(A,1)", "ICC"], abs=1e-9)


def test_the_intraclass_correlation_of_shrout_and_fleiss():
    """Their table 2, six targets and four judges, and table 4: ICC(2,1) = 0.29."""
    ratings = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    assert round(icc(ratings), 2) == 0.29


def test_the_intraclass_correlation_pays_for_a_bias_which_pearson_does_not_see():
    """Closed form: people of variance v and a shift of d between two raters give v / (v + d^2 / 2)."""
    truth = np.random.default_rng(0).normal(size=30)
    variance = truth.var(ddof=1)
    ours = regression(truth, truth + 1.5)
    assert ours.pearson_r == pytest.approx(1.0)
    assert ours.icc == pytest.approx(variance / (variance + 1.5**2 / 2), rel=1e-9)
    assert regression(truth, truth).icc == pytest.approx(1.0)


@pytest.mark.parametrize("ratings", [[[1, 2]], [[0.1, 0.1]] * 3, [[0.1, 0.7], [0.7, 0.1]], [[NAN, 1], [2, 3]]])
def test_an_intraclass_correlation_may_be_undefined(ratings):
    assert icc(ratings) is None


def test_limits_of_agreement_are_those_that_pingouin_draws():
    """pingouin has no numbers for them but a figure: three lines, and a band about each.

    Its bands follow the authors' first paper (1986), a variance of 3 s^2 / n; the one of 1999 has 2.92 for large n.
    """
    import matplotlib

    matplotlib.use("agg")
    import pingouin
    from matplotlib import pyplot

    generator = np.random.default_rng(0)
    truth = generator.normal(50, 10, 5000)
    predicted = truth + generator.normal(1.0, 4.0, 5000)
    ours = bland_altman([*truth, NAN, 3.0], [*predicted, 1.0, NAN])
    figure, axes = pyplot.subplots()
    pingouin.plot_blandaltman(predicted, truth, agreement=stats.norm.ppf(0.975), confidence=0.95, ax=axes)
    (lower, of_bias, upper) = sorted((patch.get_y(), patch.get_y() + patch.get_height()) for patch in axes.patches)
    pyplot.close(figure)
    assert ours.n == 5000
    assert ours.bias_interval == pytest.approx(of_bias, abs=1e-9)
    for interval, limit, band in (
        (ours.lower_interval, ours.lower_limit, lower),
        (ours.upper_interval, ours.upper_limit, upper),
    ):
        assert limit == pytest.approx(np.mean(band), abs=1e-9)
        assert np.mean(interval) == pytest.approx(limit, abs=1e-9)
        assert np.ptp(interval) / np.ptp(band) == pytest.approx(np.sqrt(2.92 / 3), abs=5e-4)


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_the_intervals_hold_what_they_promise(level):
    """The true bias 2 and limits 2 -+ 3 z of normal differences lie within as often as the level says.

    2000 experiments: 0.02 is four standard errors at 0.95, and 0.045 covers 0.8 with the approximation of the limits.
    """
    generator = np.random.default_rng(3)
    z = stats.norm.ppf((1 + level) / 2)
    held = np.zeros(3)
    for _ in range(2000):
        ours = bland_altman(np.zeros(40), generator.normal(2.0, 3.0, 40), level)
        ends = (ours.bias_interval, 2.0), (ours.lower_interval, 2.0 - 3.0 * z), (ours.upper_interval, 2.0 + 3.0 * z)
        held += [low <= true <= high for (low, high), true in ends]
    np.testing.assert_allclose(held / 2000, level, atol=0.02 if level == 0.95 else 0.045)


def test_nobody_known_is_undefined():
    assert (bias([NAN], [1.0]), mean_absolute_error([], []), pearson_r([1.0], [2.0])) == (None, None, None)
    assert bland_altman([1.0, NAN], [2.0, 3.0]) is None


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: regression([1, 2], [1]), "a true and a predicted number"),
        (lambda: bias([1.0], [np.inf]), "a number is infinite"),
        (lambda: icc([1.0, 2.0]), "two raters or more"),
        (lambda: icc([[1.0], [2.0]]), "two raters or more"),
        (lambda: bland_altman([1, 2], [1, 2], 1.0), "between 0 and 1, got 1"),
    ],
)
def test_says_what_is_wrong(call, sentence):
    with pytest.raises(UsageError, match=sentence):
        call()
