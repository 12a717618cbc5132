"""Survival, judged by scikit-survival, lifelines, slow plain counting and people whose censoring is undone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lifelines import KaplanMeierFitter
from lifelines.utils import concordance_index
from sksurv import metrics as sksurv_metrics
from sksurv.util import Surv

from sleep2vec.metrics.survival import (
    brier_over_time,
    censoring_curve,
    harrell_c,
    integrated_brier,
    kaplan_meier,
    uno_c,
)
from sleep2vec.vocabulary.errors import UsageError

NAN = float("nan")
SEEDS = st.integers(0, 1_000_000)
# Few times and few risks: ties of every kind.
TIES = st.lists(
    st.tuples(st.sampled_from([0.0, 1, 2, 2, 3, 4, NAN]), st.sampled_from([0.0, 1, 1, NAN]), st.integers(-2, 2)),
    min_size=1,
    max_size=30,
)


def columns(people):
    time, event, risk = (np.array(column, dtype=float) for column in zip(*people, strict=True))
    known = ~np.isnan(time) & ~np.isnan(event)
    return time, event, risk, known


def untied_cohort(seed, n=40):
    """Events at even times, censorings at odd ones: no event ties with a censoring, where packages differ."""
    generator = np.random.default_rng(seed)
    event = generator.random(n) < 0.5
    time = 2.0 * generator.integers(1, 15, n) + ~event
    return time, event, generator.integers(-3, 4, n).astype(float)


def plain_censoring(time, event, at, beyond):
    """Share not censored up to (`beyond`: and at) a time, one factor after the other; events leave first."""
    share = 1.0
    for moment in sorted(set(time)):
        if moment < at or (beyond and moment == at):
            free = sum(t > moment or (t == moment and not e) for t, e in zip(time, event, strict=True))
            censored = sum(t == moment and not e for t, e in zip(time, event, strict=True))
            share *= 1 - censored / free if free else 1.0
    return share


def plain_uno(time, event, risk, tau):
    won = asked = 0.0
    for i in range(len(time)):
        if not event[i] or time[i] >= tau:
            continue
        weight = plain_censoring(time, event, time[i], beyond=False) ** -2
        for j in range(len(time)):
            if time[j] > time[i] or (time[j] == time[i] and not event[j]):
                asked += weight
                won += weight * (1.0 if risk[i] > risk[j] else 0.5 if risk[i] == risk[j] else 0.0)
    return won / asked if asked else None


@settings(deadline=None)
@given(TIES)
def test_harrells_c_is_that_of_scikit_survival_and_lifelines(people):
    time, event, risk, known = columns(people)
    ours = harrell_c(time, event, risk)
    time, event, risk = time[known], event[known].astype(bool), risk[known]
    if plain_uno(time, event, risk, np.inf) is None:
        assert ours is None
        return
    assert ours == pytest.approx(sksurv_metrics.concordance_index_censored(event, time, risk)[0], abs=1e-12)
    assert ours == pytest.approx(concordance_index(time, -risk, event), abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.integers(100, 700))
def test_many_people_are_counted_as_few_are(seed, n):
    """Blocks of every length, risks with and without ties, against lifelines."""
    generator = np.random.default_rng(seed)
    time, event = generator.integers(0, 60, n).astype(float), generator.random(n) < 0.4
    for risk in (generator.normal(size=n), generator.integers(0, 20, n).astype(float)):
        assert harrell_c(time, event, risk) == pytest.approx(concordance_index(time, -risk, event), abs=1e-12)


def test_harrells_c_of_a_worked_example():
    """Times 1, 2+, 3: the first is comparable with both, the censored one with nobody after it. One of two in order."""
    assert harrell_c([1, 2, 3], [1, 0, 1], [0.5, 0.9, 0.1]) == 0.5
    # An event at the time of a censoring is a pair, two events at one time are none.
    assert harrell_c([2, 2], [1, 0], [1.0, 0.0]) == 1.0
    assert harrell_c([2, 2], [1, 1], [1.0, 0.0]) is None
    assert harrell_c([1, 2], [0, 1], [1.0, 0.0]) is None


@settings(deadline=None)
@given(SEEDS, st.sampled_from([None, 7.0, 12.0, 21.0]))
def test_unos_c_is_that_of_scikit_survival(seed, tau):
    time, event, risk = untied_cohort(seed)
    others = untied_cohort(seed + 1, 60)
    ours = uno_c(time, event, risk, tau=tau)
    if ours is None:
        assert plain_uno(time, event, risk, np.inf if tau is None else tau) is None
        return
    people = Surv.from_arrays(event, time)
    assert ours == pytest.approx(sksurv_metrics.concordance_index_ipcw(people, people, risk, tau)[0], abs=1e-9)
    borrowed = uno_c(time, event, risk, tau=tau, censoring=censoring_curve(*others[:2]))
    try:
        theirs = sksurv_metrics.concordance_index_ipcw(Surv.from_arrays(others[1], others[0]), people, risk, tau)[0]
    except ValueError:  # people beyond the others' last look, be they asked for or not
        return
    assert borrowed == pytest.approx(theirs, abs=1e-9)


@settings(deadline=None)
@given(TIES, st.sampled_from([np.inf, 2.0, 3.5]))
def test_unos_c_of_tied_times_counts_one_pair_after_the_other(people, tau):
    time, event, risk, known = columns(people)
    ours = uno_c(time, event, risk, tau=tau)
    plain = plain_uno(time[known], event[known] == 1, risk[known], tau)
    assert ours == (None if plain is None else pytest.approx(plain, abs=1e-12))


def test_unos_c_undoes_the_censoring_and_harrells_does_not():
    """A risk that is good early and blind late: censoring hides the late pairs from Harrell's c, not from Uno's."""
    generator = np.random.default_rng(0)
    n = 40_000
    time = generator.integers(1, 11, n).astype(float)
    risk = np.where(time <= 5, -time, -8) + generator.normal(size=n)
    censored = np.minimum(generator.geometric(0.2, n), 12).astype(float)
    seen, event = np.minimum(time, censored), time <= censored
    truth = harrell_c(time, np.ones(n), risk)
    assert uno_c(seen, event, risk) == pytest.approx(truth, abs=0.01)
    assert harrell_c(seen, event, risk) > truth + 0.03


@settings(deadline=None)
@given(TIES, st.sampled_from([0.8, 0.95]))
def test_kaplan_meier_is_lifelines(people, level):
    time, event, _, known = columns(people)
    ours = kaplan_meier(time, event, level)
    if not known.any():
        assert np.isnan(ours.at([0.0, 1.0])).all()
        return
    fitter = KaplanMeierFitter(alpha=1 - level).fit(time[known], event[known])
    asked = np.array([0.0, 0.5, 1, 2, 3, 3.5, 4])
    theirs = fitter.survival_function_at_times(asked).to_numpy()
    inside = asked <= time[known].max()
    np.testing.assert_allclose(ours.at(asked)[inside], theirs[inside], atol=1e-12)
    ended = theirs[-1] == 0
    np.testing.assert_array_equal(np.isnan(ours.at(asked)), ~inside & ~ended)
    ends = fitter.confidence_interval_.loc[ours.time_K].to_numpy()
    partly = (ours.survival_K > 0) & (ours.survival_K < 1)
    np.testing.assert_allclose(ours.low_K[partly], ends[partly, 0], atol=1e-9)
    np.testing.assert_allclose(ours.high_K[partly], ends[partly, 1], atol=1e-9)
    assert (ours.low_K[ours.survival_K == 1] == 1).all()
    assert np.isnan(ours.high_K[ours.survival_K == 0]).all()
    table = fitter.event_table.loc[ours.time_K]
    np.testing.assert_array_equal(ours.events_K, table["observed"])
    np.testing.assert_array_equal(ours.at_risk_K, table["at_risk"])


def test_a_curve_without_censoring_is_the_share_that_is_left():
    time = np.random.default_rng(0).integers(1, 9, 50).astype(float)
    curve = kaplan_meier(time, np.ones(50))
    asked = np.arange(0, 12)
    np.testing.assert_allclose(curve.at(asked), [(time > moment).mean() for moment in asked], atol=1e-12)
    np.testing.assert_allclose(curve.before(asked), [(time >= moment).mean() for moment in asked], atol=1e-12)


@settings(deadline=None)
@given(TIES)
def test_the_censoring_curve_lets_events_leave_first(people):
    time, event, _, known = columns(people)
    curve, time, event = censoring_curve(time, event), time[known], event[known] == 1
    for at in (0.0, 1.0, 2.0, 2.5, 4.0):
        if len(time) and at <= time.max():
            assert curve.at([at])[0] == pytest.approx(plain_censoring(time, event, at, beyond=True), abs=1e-12)
            assert curve.before([at])[0] == pytest.approx(plain_censoring(time, event, at, beyond=False), abs=1e-12)


@settings(deadline=None)
@given(SEEDS)
def test_brier_scores_are_those_of_scikit_survival(seed):
    time, event, _ = untied_cohort(seed)
    others = untied_cohort(seed + 1, 60)
    times = np.arange(time.min() + 1, min(time.max(), others[0].max(), 26) - 2)
    stated = np.sort(np.random.default_rng(seed).random((len(time), len(times))), axis=1)[:, ::-1]
    people = Surv.from_arrays(event, time)
    _, theirs = sksurv_metrics.brier_score(people, people, stated, times)
    np.testing.assert_allclose(brier_over_time(time, event, stated, times), theirs, atol=1e-12)
    theirs = sksurv_metrics.integrated_brier_score(people, people, stated, times)
    assert integrated_brier(time, event, stated, times) == pytest.approx(theirs, abs=1e-12)
    borrowed = integrated_brier(time, event, stated, times, censoring=censoring_curve(*others[:2]))
    try:
        theirs = sksurv_metrics.integrated_brier_score(Surv.from_arrays(others[1], others[0]), people, stated, times)
    except ValueError:  # people beyond the others' last look, be they asked for or not
        return
    assert borrowed == pytest.approx(theirs, abs=1e-12)


def test_the_brier_score_undoes_the_censoring_even_where_all_times_are_tied():
    """Whole years, one in four lost each year, and also in the year of the event: as if nobody had been lost."""
    generator = np.random.default_rng(2)
    n = 300_000
    time, lost = generator.geometric(0.25, n).astype(float), generator.geometric(0.25, n).astype(float)
    stated, times = np.tile([0.9, 0.6, 0.2], (n, 1)), [1.0, 2.0, 4.0]
    uncensored = brier_over_time(time, np.ones(n), stated, times)
    free = 0.75 ** np.array(times)
    said = np.array([0.9, 0.6, 0.2])
    closed_form = free * (1 - said) ** 2 + (1 - free) * said**2
    np.testing.assert_allclose(uncensored, closed_form, atol=0.003)
    seen = np.minimum(time, lost)
    np.testing.assert_allclose(brier_over_time(seen, time <= lost, stated, times), closed_form, atol=0.006)


def test_one_half_for_everybody_scores_a_quarter_and_unknown_people_count_nowhere():
    time, event, _ = untied_cohort(3)
    times = [4.0, 9.0, 15.0]
    half = np.full((len(time), 3), 0.5)
    uncensored = np.ones(len(time))
    assert integrated_brier(time, uncensored, half, times) == pytest.approx(0.25, abs=1e-12)
    stated = np.random.default_rng(0).random((len(time), 3))
    expected = brier_over_time(time, event, stated, times)
    time, event = np.append([NAN, 3.0, 3.0], time), np.append([1.0, NAN, 1.0], event)
    stated = np.append([[0.1] * 3, [0.1] * 3, [0.1, NAN, 0.1]], stated, axis=0)
    np.testing.assert_allclose(brier_over_time(time, event, stated, times), expected, atol=1e-12)


def test_what_cannot_be_judged_is_undefined():
    assert harrell_c([], [], []) is None
    assert uno_c([1.0, 2.0], [0, 0], [0.1, 0.2]) is None
    short = censoring_curve([1.0, 1.5], [1, 0])
    assert uno_c([1.0, 2.0, 3.0], [1, 1, 1], [3.0, 2.0, 1.0], censoring=short) is None
    assert uno_c([1.0, 2.0, 3.0], [1, 1, 1], [3.0, 2.0, 1.0], censoring=short, tau=1.2) == 1.0
    # All have been lost by the time 3: what became of them is unknown.
    scores = brier_over_time([1.0, 2.0, 3.0], [1, 0, 0], np.full((3, 2), 0.5), [2.0, 3.0])
    assert np.isnan(scores).tolist() == [False, True]
    assert integrated_brier([1.0, 2.0, 3.0], [1, 0, 0], np.full((3, 2), 0.5), [2.0, 3.0]) is None
    assert np.isnan(brier_over_time([NAN], [1], [[0.5]], [1.0])).all()


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: harrell_c([1, 2], [1, 1], [0.5]), "a time and an event"),
        (lambda: kaplan_meier([-1.0], [1]), "a time is -1"),
        (lambda: kaplan_meier([np.inf], [1]), "a time is inf"),
        (lambda: kaplan_meier([1.0], [2]), "an event is 2"),
        (lambda: kaplan_meier([1.0], [1], 0.0), "between 0 and 1, got 0"),
        (lambda: brier_over_time([1.0], [1], [[0.5, 0.5]], [1.0]), "stated shares"),
        (lambda: brier_over_time([1.0], [1], [[1.5]], [1.0]), "1.5 is no probability"),
        (lambda: brier_over_time([1.0], [1], [[0.5]], [np.inf]), "not finite"),
        (lambda: integrated_brier([1.0], [1], [[0.5]], [1.0]), "at least two times"),
        (lambda: integrated_brier([1.0], [1], [[0.5, 0.5]], [2.0, 2.0]), "later than the one before"),
    ],
)
def test_says_what_is_wrong(call, sentence):
    with pytest.raises(UsageError, match=sentence):
        call()
