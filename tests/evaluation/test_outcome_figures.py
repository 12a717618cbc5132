"""Figures of whole nights, judged by scikit-learn, scipy, statsmodels, pingouin and the plain bootstrap."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from plain_bootstrap import assert_is
from scipy import stats
from sklearn import metrics as sklearn_metrics

from sleep2vec.evaluation.calibration_sums import binned_sums, reliability_plot
from sleep2vec.evaluation.outcome_figures import (
    ClassifiedNight,
    LabelledNight,
    MeasuredNight,
    class_figures,
    class_plots,
    label_figures,
    label_plots,
    number_figures,
    number_plots,
)
from sleep2vec.evaluation.paired_numbers import ICC, PEARSON, SLOPE, paired_figures
from sleep2vec.metrics.calibration import calibration_error, reliability
from sleep2vec.metrics.regression import icc, pearson_r
from sleep2vec.vocabulary.errors import UsageError

NAN = np.nan
R = 40


def made_labels(seed, n=40, k=2):
    draw = np.random.default_rng(seed)
    labels = (draw.random((n, k)) < (0.5, 0.3)).astype(float)
    stated = np.clip(labels * 0.3 + draw.random((n, k)) * 0.6, 0, 1).round(1)  # ties
    labels[draw.random((n, k)) < 0.15], stated[draw.random((n, k)) < 0.1] = NAN, NAN
    people = [f"p{place}" for place in draw.integers(0, n // 2, n)]
    return [LabelledNight(*row) for row in zip(people, labels, stated, strict=True)]


NIGHTS = made_labels(0)
NAMES = ("hypertension", "diabetes")


def undefined_with_one_kind(function):
    return lambda pairs: None if len({label for label, _ in pairs}) < 2 else function(*map(np.array, zip(*pairs)))  # noqa: B905


@pytest.mark.parametrize("k", [0, 1])
def test_labels_are_judged_as_scikit_learn_does_with_the_plain_interval(k):
    known = [n for n in NIGHTS if not np.isnan(n.labels_K[k]) and not np.isnan(n.probabilities_K[k])]
    pairs, people = [(n.labels_K[k], n.probabilities_K[k]) for n in known], [n.person for n in known]
    assert len(known) < len(NIGHTS)
    lines = {
        line.what: line
        for line in label_figures(NIGHTS, NAMES, (0.4, None), n_resamples=R, seed=1)
        if (line.task, line.outcome) == ("diagnosis", NAMES[k])
    }

    def recall_of(label):
        return undefined_with_one_kind(lambda y, p: sklearn_metrics.recall_score(y == label, (p >= 0.4) == bool(label)))

    cut = (0.4, 0.5)[k]
    judges = {
        "AUROC": undefined_with_one_kind(sklearn_metrics.roc_auc_score),
        "AUPRC": undefined_with_one_kind(sklearn_metrics.average_precision_score),
        "prevalence": lambda pairs: np.mean([label for label, _ in pairs]),
        "Brier": lambda pairs: sklearn_metrics.brier_score_loss(*map(np.array, zip(*pairs, strict=True))),
        "ECE, 15 bins": lambda pairs: calibration_error(*zip(*pairs, strict=True)),
        f"balanced accuracy at {cut}": undefined_with_one_kind(
            lambda y, p: sklearn_metrics.balanced_accuracy_score(y, p >= cut)
        ),
    }
    if k == 0:
        judges |= {"sensitivity at 0.4": recall_of(1), "specificity at 0.4": recall_of(0)}
    assert set(lines) == set(judges)
    for what, judge in judges.items():
        assert_is(lines[what], judge, pairs, people, R, seed=1)


def test_curves_enclose_the_area_and_bins_are_those_of_the_label():
    roc, *bins = label_plots(NIGHTS, NAMES)
    lines = {line.outcome: line for line in label_figures(NIGHTS, NAMES, n_resamples=5) if line.what == "AUROC"}
    for (name, false_K, true_K), wanted, plot in zip(roc.curves, NAMES, bins, strict=True):
        assert name == wanted
        assert np.trapezoid(true_K, false_K) == pytest.approx(lines[name].estimate)
        assert (false_K[0], true_K[0], false_K[-1], true_K[-1]) == (0, 0, 1, 1)
        k = NAMES.index(name)
        pairs = [(n.labels_K[k], n.probabilities_K[k]) for n in NIGHTS]
        assert plot.calibration_error == pytest.approx(calibration_error(*zip(*pairs, strict=True)))


EDGES = np.linspace(0, 1, 16)


@given(st.lists(st.tuples(st.sampled_from([*EDGES, *(EDGES[:-1] + 0.03)]), st.booleans()), min_size=1, max_size=30))
def test_bins_hold_what_those_of_the_scalar_function_do_also_on_their_edges(answers):
    stated, labels = (np.array(column, dtype=float) for column in zip(*answers, strict=True))
    theirs = reliability(labels, stated)
    ours = reliability_plot("", binned_sums(stated, labels))
    np.testing.assert_array_equal(ours.counts_K, theirs.count_K)
    np.testing.assert_allclose(ours.confidence_K, theirs.confidence_K)
    np.testing.assert_allclose(ours.accuracy_K, theirs.observed_K)
    assert ours.calibration_error == pytest.approx(theirs.error)


LABELS = st.sampled_from([0.0, 1.0, NAN])
STATED = st.sampled_from([0.0, 0.25, 0.5, 1.0, NAN])


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.sampled_from("abc"), LABELS, STATED), max_size=6))
def test_whatever_labels_are_given_the_undefined_is_none(rows):
    nights = [LabelledNight(person, np.array([label]), np.array([stated])) for person, label, stated in rows]
    known = {label for _, label, stated in rows if label == label and stated == stated}
    for line in label_figures(nights, ["x"], [0.5], n_resamples=9):
        needs_both = line.what.startswith(("AUROC", "AUPRC", "balanced"))
        needed = {0.0, 1.0} if needs_both else {1.0} if "sensitivity" in line.what else set()
        needed |= {0.0} if "specificity" in line.what else set()
        assert (line.estimate is not None) == (bool(known) and needed <= known), line
        for number in (line.estimate, line.low, line.high):
            assert number is None or 0 <= number <= 1
    plots = label_plots(nights, ["x"])
    assert len(plots) == (0 if not known else 2 if len(known) == 2 else 1)


@pytest.mark.parametrize(
    ("label", "stated", "names", "thresholds", "message"),
    [
        ([2.0], [0.5], ["x"], None, "2 is no label"),
        ([1.0], [1.5], ["x"], None, "1.5 is no probability"),
        ([1.0], [0.5, 0.1], ["x"], None, "needs 1 labels and probabilities"),
        ([1.0], [0.5], ["x"], [0.1, 0.2], "1 labels need as many thresholds, got 2"),
    ],
)
def test_what_is_no_label_is_refused(label, stated, names, thresholds, message):
    with pytest.raises(UsageError, match=message):
        label_figures([LabelledNight("p", np.array(label), np.array(stated))], names, thresholds)


def test_classes_are_judged_as_scikit_learn_does():
    draw = np.random.default_rng(4)
    scored = draw.integers(0, 3, 30).astype(float)
    stated = np.eye(3)[scored.astype(int)] + draw.random((30, 3))
    scored[3], stated[5, 1] = NAN, NAN
    people = [f"p{i // 2}" for i in range(30)]
    nights = [ClassifiedNight(*row) for row in zip(people, scored, stated, strict=True)]
    kept = [i for i in range(30) if i not in (3, 5)]
    pairs, whose = [(int(scored[i]), int(stated[i].argmax())) for i in kept], [people[i] for i in kept]
    lines = {line.what: line for line in class_figures(nights, "abc", task="t", outcome="o", n_resamples=R, seed=2)}
    judges = {
        "accuracy": lambda pairs: sklearn_metrics.accuracy_score(*zip(*pairs, strict=True)),
        "kappa": lambda pairs: sklearn_metrics.cohen_kappa_score(*zip(*pairs, strict=True)),
        "macro-F1": lambda pairs: sklearn_metrics.f1_score(*zip(*pairs, strict=True), average="macro"),
    }
    assert set(lines) == set(judges)
    for what, judge in judges.items():
        assert_is(lines[what], judge, pairs, whose, R, seed=2)
        assert (lines[what].task, lines[what].outcome) == ("t", "o")
    (plot,) = class_plots(nights, "abc", "T")
    np.testing.assert_array_equal(plot.counts_CC, sklearn_metrics.confusion_matrix(*zip(*pairs, strict=True)))
    assert class_plots([], "abc", "T") == []
    with pytest.raises(UsageError, match="2 classes need as many probabilities"):
        class_figures(nights, "ab", task="t")


def made_ages(seed, n=25):
    draw = np.random.default_rng(seed)
    truth = draw.normal(60, 12, n)
    predicted = 25 + 0.6 * truth + draw.normal(0, 5, n)
    truth[3], predicted[7] = NAN, NAN
    return [MeasuredNight(f"p{i // 2}", *pair) for i, pair in enumerate(zip(truth, predicted, strict=True))]


AGES = made_ages(5)


def test_ages_are_judged_by_others_with_the_plain_interval():
    import pingouin
    from statsmodels.api import OLS, add_constant

    known = [n for n in AGES if not np.isnan(n.truth + n.predicted)]
    pairs, people = [(n.truth, n.predicted) for n in known], [n.person for n in known]

    def columns(pairs):
        return map(np.array, zip(*pairs, strict=True))

    def differences(pairs):
        truth, predicted = columns(pairs)
        return predicted - truth

    def slope(pairs):
        truth, predicted = columns(pairs)
        return OLS(predicted, add_constant(truth)).fit().params[1]

    judges = {
        "MAE, years": lambda pairs: sklearn_metrics.mean_absolute_error(*columns(pairs)),
        "bias, years": lambda pairs: differences(pairs).mean(),
        "RMSE, years": lambda pairs: sklearn_metrics.root_mean_squared_error(*columns(pairs)),
        "lower limit of agreement, years": lambda p: differences(p).mean() - 1.959963985 * differences(p).std(ddof=1),
        "upper limit of agreement, years": lambda p: differences(p).mean() + 1.959963985 * differences(p).std(ddof=1),
        "Pearson r": lambda pairs: stats.pearsonr(*columns(pairs)).statistic,
        "ICC(A,1)": lambda pairs: icc(np.array(pairs)),
        "slope of predicted on true": slope,
    }
    lines = {line.what: line for line in number_figures(AGES, n_resamples=R, seed=6)}
    assert set(lines) == set(judges)
    for what, judge in judges.items():
        assert_is(lines[what], judge, pairs, people, R, seed=6, abs_=1e-7)
        assert lines[what].task == "age"
    table = pd.DataFrame([(i, r, pair[r]) for i, pair in enumerate(pairs) for r in (0, 1)], columns=list("prx"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = pingouin.intraclass_corr(table, "p", "r", "x").set_index("Type").loc["ICC(A,1)", "ICC"]
    assert lines["ICC(A,1)"].estimate == pytest.approx(theirs, abs=1e-9)
    (plot,) = number_plots(AGES)
    np.testing.assert_array_equal(np.stack([plot.truth_N, plot.predicted_N], axis=1), pairs)
    assert number_plots([MeasuredNight("p", NAN, 1.0)]) == []


NUMBERS = st.sampled_from([0.0, 1.0, 3.0, 70.0, 1e4, NAN])


@settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(st.sampled_from("abc"), NUMBERS, NUMBERS), max_size=6))
@example([("a", 0.0, 0.0), ("b", 0.0, 70.0), ("c", 0.0, 1.0)])  # the resample of nothing but a
def test_moments_say_what_the_scalar_functions_say_also_where_nothing_varies(rows):
    """Sums of squares lose what the scalar functions, which see all numbers, do not: constants, swaps, one person."""
    people, truth, predicted = ([row[place] for row in rows] for place in range(3))
    lines = {
        line.what: line
        for line in paired_figures(
            truth, predicted, people, (PEARSON, ICC, SLOPE), task="t", outcome="o", unit="", n_resamples=7
        )
    }
    known = [i for i in range(len(rows)) if not np.isnan(truth[i] + predicted[i])]
    pairs = [(truth[i], predicted[i]) for i in known]
    whose = [people[i] for i in known]
    judges = {
        PEARSON: lambda pairs: pearson_r(*zip(*pairs, strict=True)),
        ICC: lambda pairs: icc(np.array(pairs)),
        SLOPE: lambda pairs: (
            None if np.ptp([x for x, _ in pairs]) == 0 else stats.linregress(*zip(*pairs, strict=True)).slope
        ),
    }
    for what, judge in judges.items():
        assert_is(lines[what], judge, pairs, whose, 7, abs_=1e-6)


def test_pairs_that_are_none_are_refused():
    with pytest.raises(UsageError, match="a number is infinite"):
        number_figures([MeasuredNight("p", np.inf, 1.0)])
    with pytest.raises(UsageError, match="a true and a predicted number and a person"):
        paired_figures([1.0], [1.0, 2.0], ["p"], (ICC,), task="", outcome="", unit="")
