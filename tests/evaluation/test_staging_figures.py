"""Staging figures, judged by scikit-learn, YASA, pingouin and a bootstrap that computes everything anew."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_bootstrap import assert_is
from sklearn import metrics as sklearn_metrics

from sleep2vec.evaluation.staging_figures import SLEEP_MEASURES, StagedNight, staging_figures, staging_plots
from sleep2vec.metrics.calibration import calibration_error, reliability
from sleep2vec.report.evaluation_plots import (
    BlandAltmanPlot,
    ConfusionPlot,
    CoveragePlot,
    HypnodensityPlot,
    ReliabilityPlot,
)
from sleep2vec.vocabulary.errors import UsageError

NAN = np.nan
R = 40
GROUPS = {5: ((0,), (1,), (2,), (3,), (4,)), 4: ((0,), (1, 2), (3,), (4,)), 3: ((0,), (1, 2, 3), (4,))}


def made_night(person, seed, n=60, unscored=0.1, abstained=0.15, **more):
    draw = np.random.default_rng(seed)
    scored = np.repeat(draw.integers(0, 5, n // 4), 4).astype(np.float32)
    logits = 1.5 * np.eye(5)[scored.astype(int)] + draw.normal(size=(n, 5))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    scored[draw.random(n) < unscored] = NAN
    probabilities[draw.random(n) < abstained, draw.integers(5)] = NAN  # one NaN is enough to have said nothing
    return StagedNight(person, scored, probabilities, **more)


NIGHTS = [made_night(f"p{i // 2 if i < 6 else i}", i) for i in range(12)]
PEOPLE = [night.person for night in NIGHTS]


def pooled(nights):
    """Codes and probabilities of the tokens that count, of all nights."""
    codes, stated = [], []
    for night in nights:
        for code, row in zip(night.scored_L.tolist(), night.probabilities_LC.tolist(), strict=True):
            if code == code and all(p == p for p in row):
                codes.append(int(code))
                stated.append(row)
    return np.array(codes), np.array(stated)


def in_classes(nights, scheme):
    codes, stated = pooled(nights)
    sums = np.stack([stated[:, list(group)].sum(axis=1) for group in GROUPS[scheme]], axis=1)
    class_of = {stage: place for place, group in enumerate(GROUPS[scheme]) for stage in group}
    return np.array([class_of[code] for code in codes]), sums.argmax(axis=1)


def line_of(lines, outcome, what):
    (found,) = [line for line in lines if (line.outcome, line.what) == (outcome, what)]
    assert found.task == "staging"
    return found


@pytest.fixture(scope="module")
def lines():
    return staging_figures(NIGHTS, n_resamples=R, seed=3)


@pytest.mark.parametrize("scheme", [5, 4, 3])
def test_agreement_is_scikit_learns_with_the_plain_interval(lines, scheme):
    judges = {
        "accuracy": lambda nights: sklearn_metrics.accuracy_score(*in_classes(nights, scheme)),
        "kappa": lambda nights: sklearn_metrics.cohen_kappa_score(*in_classes(nights, scheme)),
        "macro-F1": lambda nights: sklearn_metrics.f1_score(*in_classes(nights, scheme), average="macro"),
    }
    for what, judge in judges.items():
        assert_is(line_of(lines, f"{scheme} classes", what), judge, NIGHTS, PEOPLE, R, seed=3)


@pytest.mark.parametrize(("code", "stage"), list(enumerate(["W", "N1", "N2", "N3", "R"])))
def test_stages_are_found_and_shared_out_as_scikit_learn_and_counting_say(lines, code, stage):
    def share(nights):
        truth, predicted = in_classes(nights, 5)
        return 100 * (np.mean(predicted == code) - np.mean(truth == code))

    def f1(nights):
        return sklearn_metrics.f1_score(*in_classes(nights, 5), labels=[code], average="macro")

    assert_is(line_of(lines, stage, "F1"), f1, NIGHTS, PEOPLE, R, seed=3)
    what = "share, predicted minus scored, percentage points"
    assert_is(line_of(lines, stage, what), share, NIGHTS, PEOPLE, R, seed=3)


def test_calibration_is_that_of_the_pooled_epochs(lines):
    judges = {
        "ECE, 15 bins": lambda nights: calibration_error(*pooled(nights)),
        "NLL, nats": lambda nights: sklearn_metrics.log_loss(*pooled(nights), labels=range(5)),
        "Brier, sum over classes": lambda nights: sum(
            np.mean(np.square(np.eye(5)[pooled(nights)[0]][:, c] - pooled(nights)[1][:, c])) for c in range(5)
        ),
    }
    for what, judge in judges.items():
        assert_is(line_of(lines, "5 classes", what), judge, NIGHTS, PEOPLE, R, seed=3)


def test_coverage_is_the_answered_share_of_the_scored(lines):
    def coverage(nights):
        scored = np.concatenate([night.scored_L for night in nights])
        stated = np.concatenate([night.probabilities_LC for night in nights])
        return np.isfinite(stated[np.isfinite(scored)]).all(axis=1).mean()

    assert_is(line_of(lines, "", "coverage, share of scored epochs answered"), coverage, NIGHTS, PEOPLE, R, seed=3)


def yasa_measures(codes):
    """YASA's statistics; its latency of R counts from the start, ours from sleep onset."""
    import yasa

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = yasa.sleep_statistics(codes.astype(int), sf_hyp=1 / 30)
    names = {"TST": "TST", "SOL": "SOL", "N1": "N1", "N2": "N2", "N3": "N3", "R": "REM"}
    found = {ours: theirs[name] for ours, name in names.items()}
    return found | {"REM latency": theirs["Lat_REM"] - theirs["SOL"], "SE": 100 * theirs["TST"] / theirs["TIB"]}


def test_sleep_statistics_are_yasas_with_plain_limits_and_pingouins_icc():
    """Nights that are scored and answered throughout, since YASA has no unknown epochs."""
    import pingouin

    nights = [made_night(f"p{i}", 100 + i, n=240, unscored=0, abstained=0) for i in range(8)]
    people = [night.person for night in nights]
    lines = staging_figures(nights, n_resamples=R)
    measured = [
        (yasa_measures(night.scored_L), yasa_measures(night.probabilities_LC.argmax(axis=1))) for night in nights
    ]
    for name in measured[0][0]:
        pairs = [(truth[name], predicted[name]) for truth, predicted in measured]
        unit = SLEEP_MEASURES[name][1]

        def differences(pairs):
            return pd.Series([predicted - truth for truth, predicted in pairs], dtype=float)

        def icc(pairs):
            table = pd.DataFrame([(i, r, pair[r]) for i, pair in enumerate(pairs) for r in (0, 1)], columns=list("prx"))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return pingouin.intraclass_corr(table, "p", "r", "x").set_index("Type").loc["ICC(A,1)", "ICC"]

        judges = {
            f"bias, {unit}": lambda pairs: differences(pairs).mean(),
            f"lower limit of agreement, {unit}": lambda p: differences(p).mean() - 1.959963985 * differences(p).std(),
            f"upper limit of agreement, {unit}": lambda p: differences(p).mean() + 1.959963985 * differences(p).std(),
        }
        for what, judge in judges.items():
            assert_is(line_of(lines, name, what), judge, pairs, people, R, abs_=1e-7)
        assert line_of(lines, name, "ICC(A,1)").estimate == pytest.approx(icc(pairs), abs=1e-9)


def test_sleep_statistics_are_of_the_epochs_that_both_know():
    """By hand: ten epochs, of which one unscored and one unanswered leave eight; lights go off with the second."""
    scored = np.array([2, 0, 0, 1, 2, NAN, 4, 4, 0, 0], dtype=float)
    predicted = np.array([0, 0, 2, 2, 2, 2, 4, 0, 0, 0])
    stated = np.eye(5)[predicted]
    stated[4] = NAN
    measures = StagedNight("p", scored, stated, lights_off_s=30.0).sleep_measures
    assert measures["TST"] == (1.5, 1.5)  # N1 R R against N2 N2 R
    assert measures["SOL"] == (1.0, 0.5)
    assert measures["REM latency"] == (1.5, 2.0)
    assert measures["WASO"] == (1.0, 1.5)
    assert measures["SE"] == pytest.approx((100 / 3, 100 / 3))
    assert (measures["N1"], measures["N2"], measures["R"]) == ((0.5, 0.0), (0.0, 1.0), (1.0, 0.5))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000))
def test_what_is_unscored_or_unanswered_decides_nothing_but_the_coverage(seed):
    """Whatever stands there: scores under an abstention and statements under an unscored epoch may be anything."""
    draw = np.random.default_rng(seed)
    nights = [made_night(f"p{i}", seed + i, unscored=0.3, abstained=0.3) for i in range(3)]
    changed = []
    for night in nights:
        silent = np.isnan(night.probabilities_LC).any(axis=1)
        unscored = np.isnan(night.scored_L)
        scored = np.where(silent & ~unscored, draw.integers(0, 5, 60), night.scored_L)
        stated = np.where((unscored & ~silent)[:, None], np.eye(5)[draw.integers(0, 5, 60)], night.probabilities_LC)
        changed.append(StagedNight(night.person, scored, stated))
    assert staging_figures(nights, n_resamples=5) == staging_figures(changed, n_resamples=5)


CODES = st.sampled_from([0.0, 2.0, 4.0, NAN])


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.lists(st.tuples(CODES, CODES), max_size=6)), max_size=4))
def test_whatever_nights_are_given_each_line_is_there_and_in_its_bounds(given_nights):
    nights = []
    for person, tokens in given_nights:
        scored = np.array([code for code, _ in tokens], dtype=float)
        stated = np.array([np.eye(5)[int(code)] if code == code else [NAN] * 5 for _, code in tokens]).reshape(-1, 5)
        nights.append(StagedNight(person, scored, stated))
    lines = staging_figures(nights, n_resamples=10)
    assert len({(line.outcome, line.what) for line in lines}) == len(lines) == 3 * 3 + 10 + 3 + 1 + 4 * 9
    counted = [night for night in nights if night.counted_L.any()]
    for line in lines:
        if not line.what.startswith("coverage"):
            assert line.n_nights <= len(counted)
        if line.what in ("accuracy", "F1", "macro-F1", "ECE, 15 bins") or line.what.startswith("coverage"):
            known = [value for value in (line.low, line.estimate, line.high) if value is not None]
            assert all(0 <= value <= 1 for value in known)
        assert all(value is None or np.isfinite(value) for value in (line.estimate, line.low, line.high))
        assert line.n_people > 1 or (line.low, line.high) == (None, None)
    plots = staging_plots(nights, least_confidence=0.5)
    assert bool(plots) is bool(counted)


def test_what_was_said_to_be_impossible_costs_something_finite():
    night = StagedNight("p", np.array([0.0, 1.0]), np.eye(5)[[1, 1]])
    assert line_of(staging_figures([night]), "5 classes", "NLL, nats").estimate == pytest.approx(-np.log(1e-7) / 2)


def test_pictures_show_the_pooled_nights_and_the_worst_median_and_best_of_them():
    nights = [StagedNight(n.person, n.scored_L, n.probabilities_LC, name=f"night {i}") for i, n in enumerate(NIGHTS)]
    plots = staging_plots(nights, least_confidence=0.5)
    confusions = [plot for plot in plots if isinstance(plot, ConfusionPlot)]
    for scheme, plot in zip((5, 4, 3), confusions, strict=True):
        np.testing.assert_array_equal(plot.counts_CC, sklearn_metrics.confusion_matrix(*in_classes(NIGHTS, scheme)))
        assert len(plot.names) == scheme
    kappas = [sklearn_metrics.cohen_kappa_score(*in_classes([night], 5)) for night in NIGHTS]
    order = np.argsort(kappas, kind="stable")
    shown = [plot for plot in plots if isinstance(plot, HypnodensityPlot)]
    for plot, place in zip(shown, (order[0], order[5], order[11]), strict=True):
        assert plot.title.endswith(f"kappa {kappas[place]:.2f}: night {place}")
        np.testing.assert_array_equal(plot.scored_L, NIGHTS[place].scored_L)
        np.testing.assert_array_equal(np.isnan(plot.predicted_L), np.isnan(plot.probabilities_LC).any(axis=1))
    (bins,) = [plot for plot in plots if isinstance(plot, ReliabilityPlot)]
    theirs = reliability(*pooled(NIGHTS))
    np.testing.assert_allclose(bins.confidence_K, theirs.confidence_K)
    np.testing.assert_allclose(bins.accuracy_K, theirs.observed_K)
    np.testing.assert_array_equal(bins.counts_K, theirs.count_K)
    assert bins.calibration_error == pytest.approx(theirs.error)
    (curve,) = [plot for plot in plots if isinstance(plot, CoveragePlot)]
    codes, stated = pooled(NIGHTS)
    sure = stated.max(axis=1) >= 0.5
    wrong = stated.argmax(axis=1) != codes
    assert curve.chosen == pytest.approx((sure.mean(), wrong[sure].mean()))
    assert (curve.coverage_K[-1], curve.risk_K[-1]) == pytest.approx((1.0, wrong.mean()))
    assert len(curve.coverage_K) <= 200
    assert [plot.title for plot in plots if isinstance(plot, BlandAltmanPlot)] == ["TST", "SE", "WASO"]
    assert staging_plots(NIGHTS)[-1].chosen is None
    assert staging_plots(NIGHTS, least_confidence=1.1)[-1].chosen is None


@pytest.mark.parametrize(("scored", "stated"), [([0.0, 1.0], np.eye(5)[[0]]), ([-1.0], np.eye(5)[[0]])])
def test_what_is_no_staged_night_is_refused(scored, stated):
    with pytest.raises(UsageError, match=r"one code and 5 probabilities|one code from 0 to 4"):
        StagedNight("p", np.array(scored), stated)
