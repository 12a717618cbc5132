"""Figures of breathing, judged by nights worked by hand, scikit-learn, pingouin and the plain bootstrap."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_bootstrap import assert_is
from sklearn import metrics as sklearn_metrics

from sleep2vec.evaluation.breathing_figures import breathing_figures, breathing_plots
from sleep2vec.evaluation.breathing_nights import BreathingNight, Index, Oximetry
from sleep2vec.metrics.events import EventScore
from sleep2vec.report.evaluation_plots import BlandAltmanPlot, ConfusionPlot
from sleep2vec.vocabulary.errors import UsageError
from sleep2vec.vocabulary.events import Event

NAN = np.nan
R = 30
ALL = frozenset(("respiratory", "arousal", "desaturation"))
SCORED, OWN, PREDICTED = "scored sleep", "each its own sleep", "predicted sleep"
HOUR = np.full(120, 2.0)


def night(scored, predicted, stages=HOUR, predicted_stages=None, person="p", answered=ALL, predicts=ALL, **more):
    return BreathingNight(person, scored, predicted, stages, predicted_stages, answered, predicts, **more)


def at(kind, *onsets, duration_s=20.0):
    return [Event(kind, float(onset), duration_s) for onset in onsets]


def value(nights, outcome, what):
    (line,) = [
        line for line in breathing_figures(nights, n_resamples=5) if (line.outcome, line.what) == (outcome, what)
    ]
    return line.estimate


def ahi(rule, sleep):
    return Index("AHI", "events/h", rule, sleep)


def test_events_of_a_night_by_hand():
    """Three scored, three predicted: one the same, one of another kind that overlaps by 5 of 35 s, two without a peer.

    By any overlap two of three are found; with a seventh shared (5 / 35), less than 0.3, one.
    """
    scored = [*at("obstructive_apnea", 100), *at("hypopnea", 200, 300)]
    predicted = [*at("obstructive_apnea", 100, 215), *at("hypopnea", 400)]
    here = night(scored, predicted)
    together = f"apneas and hypopneas ({SCORED})"
    for what in ("precision", "recall", "F1"):
        assert value([here], together, f"{what} (any overlap)") == pytest.approx(2 / 3)
        assert value([here], together, f"{what} (IoU >= 0.3)") == pytest.approx(1 / 3)
    assert value([here], f"obstructive apneas ({SCORED})", "precision (any overlap)") == 0.5
    assert value([here], f"obstructive apneas ({SCORED})", "recall (any overlap)") == 1.0
    assert value([here], f"hypopneas ({SCORED})", "F1 (any overlap)") == 0.0
    assert value([here], f"central apneas ({SCORED})", "F1 (any overlap)") is None


def test_only_events_in_sleep_and_with_a_length_are_judged():
    stages = HOUR.copy()
    stages[40:80], stages[80:] = 0.0, NAN
    scored = [*at("arousal", 100, 1500, 3000), *at("arousal", 500, duration_s=0.0)]
    here = night(scored, at("arousal", 100, 1500, 3000), stages)
    assert here.event_scores["arousals", SCORED, 0.0] == EventScore(1, 1, 1)


def test_types_are_not_judged_where_the_scorer_wrote_none():
    here = night(at("apnea", 100), at("obstructive_apnea", 100))
    places = {name for name, _, _ in here.event_scores}
    assert places == {"apneas and hypopneas", "apneas", "hypopneas", "arousals", "desaturations"}
    assert here.event_scores["apneas", SCORED, 0.3] == EventScore(1, 1, 1)


def test_what_one_side_does_not_look_for_is_not_judged():
    """A model without a head for arousals has missed none, and a scorer who wrote none has not said there are none."""
    silent = night(at("arousal", 100), [], predicts={"respiratory"})
    unscored = night([], at("arousal", 100), answered={"respiratory"})
    for here in (silent, unscored):
        assert {line.task for line in breathing_figures([here], n_resamples=5)} == {"respiratory"}


def test_which_sleep_gives_the_hours():
    """Ten scored and eight predicted events in an hour of scored and half an hour of predicted sleep, by hand.

    The scorer left the last ten minutes open. Of the predicted, two begin after the half hour of predicted sleep.
    """
    stages, guessed = HOUR.copy(), HOUR.copy()
    stages[100:], guessed[60:100] = NAN, 0.0
    scored = at("hypopnea", *range(100, 2900, 290))
    here = night(scored, at("hypopnea", 100, 300, 500, 700, 900, 1100, 2000, 2600), stages, guessed)
    assert len(scored) == 10
    assert here.indices[ahi("as scored", SCORED)] == pytest.approx((10 / (50 / 60), 8 / (50 / 60)))
    assert here.indices[ahi("as scored", OWN)] == pytest.approx((10 / (50 / 60), 6 / 0.5))
    alone = night(scored, scored, None, guessed)
    # Predicted sleep is the first half hour and the last ten minutes: seven events begin before 1800 s.
    begun = sum(event.onset_s < 1800 for event in scored)
    assert alone.indices[ahi("as scored", PREDICTED)] == pytest.approx((begun / (40 / 60),) * 2)
    assert {index.sleep for index in alone.indices} == {PREDICTED}
    assert night(scored, scored, None, None).indices == {}
    assert breathing_figures([night(scored, scored, None, None)]) == []


def oximeter(*falls, n_tokens=120, rate_hz=4):
    """97 %, and below it triangles of (nadir time in s, depth in %) that take 15 s down and 15 s up."""
    seconds = np.arange(n_tokens * 30 * rate_hz) / rate_hz
    trace = np.full(len(seconds), 97.0)
    for nadir_s, depth in falls:
        trace -= depth * np.clip(1 - np.abs(seconds - nadir_s) / 15, 0, None)
    return Oximetry(trace, np.ones(len(trace), dtype=bool), rate_hz)


def test_rules_count_hypopneas_by_what_the_oximeter_and_arousals_say():
    """Five hypopneas: one falls 5 %, two 3.5 %, one only rouses, one does nothing; and an apnea that always counts."""
    hypopneas, apnea = at("hypopnea", 100, 600, 1100, 1600, 2100), at("central_apnea", 3000)
    spo2 = oximeter((140, 5.0), (640, 3.5), (1140, 3.5))
    scored = [*hypopneas, *apnea, *at("arousal", 1620, duration_s=5.0)]
    here = night(scored, scored[:2], spo2=spo2)
    assert here.indices[ahi("as scored", SCORED)] == (6.0, 2.0)
    assert here.indices[ahi("1A", SCORED)] == (5.0, 2.0)
    assert here.indices[ahi("1B", SCORED)] == (2.0, 1.0)
    # A model without arousals is compared by desaturations alone, on both sides.
    deaf = night(scored, scored, spo2=spo2, predicts={"respiratory"})
    assert deaf.indices[ahi("1A", SCORED)] == (4.0, 4.0)
    assert ahi("1A", SCORED) not in night(scored, scored).indices


def test_desaturations_are_as_deep_as_the_trace_says():
    """The scorer marked four falls (one where the trace has 2 %), the trace holds 5 %, 3.5 %, 3.5 % and 2 %."""
    spo2 = oximeter((140, 5.0), (640, 3.5), (1140, 3.5), (2000, 2.0))
    marked = at("desaturation", 125, 625, 1985, 2985, duration_s=30.0)
    here = night(marked, marked[:1], spo2=spo2, predicts={"desaturation"})
    odi = {index.name: pair for index, pair in here.indices.items()}
    assert odi == {"ODI": (4.0, 1.0), "ODI3": (2.0, 3.0), "ODI4": (1.0, 1.0)}
    blind = Oximetry(spo2.samples_N, np.arange(len(spo2.samples_N)) >= 4 * 900)
    half = {index.name: pair for index, pair in night(marked, marked, spo2=blind).indices.items()}
    assert half["ODI3"] == pytest.approx((0.0, 1 / 0.75))  # of the 45 min that can be read


def test_the_hypoxic_burden_of_half_the_events_is_half():
    falls = [(140 + 300 * i, 4.0) for i in range(10)]
    events = at("obstructive_apnea", *(100 + 300 * i for i in range(10)))
    burden = Index("hypoxic burden", "% min/h", "as scored", SCORED)
    scored, predicted = night(events, events[::2], spo2=oximeter(*falls)).indices[burden]
    assert scored == pytest.approx(2 * predicted)
    # Ten triangles of 4 % and 15 s to each side: 10 * 4 * 15 s = 10 % min in an hour; a window may cut the tails.
    assert scored == pytest.approx(10.0, rel=0.05)


def made_nights(seed, n=9):
    draw = np.random.default_rng(seed)
    nights = []
    for i in range(n):
        every = draw.integers(100, 900)
        scored = at("hypopnea", *range(50, 3500, int(every)))
        predicted = [
            Event(
                "hypopnea" if draw.random() < 0.7 else "obstructive_apnea", event.onset_s + draw.uniform(-20, 20), 20.0
            )
            for event in scored
            if draw.random() < 0.8
        ]
        guessed = np.where(draw.random(120) < 0.8, 2.0, 0.0)
        population = "children" if i == 0 else "adults"
        nights.append(night(scored, predicted, HOUR, guessed, person=f"p{i // 2}", population=population))
    return nights


NIGHTS = made_nights(0)
PEOPLE = [night.person for night in NIGHTS]


@pytest.fixture(scope="module")
def lines():
    return {(line.outcome, line.what): line for line in breathing_figures(NIGHTS, n_resamples=R, seed=2)}


def test_events_are_pooled_and_people_resampled(lines):
    def touching(nights):
        """Events of the made nights touch at most the one they came from: counting needs no matching."""
        found = n_true = n_predicted = 0
        for each in nights:
            n_true, n_predicted = n_true + len(each.scored_events), n_predicted + len(each.predicted_events)
            found += sum(
                any(abs(other.onset_s - event.onset_s) < 20 for other in each.predicted_events)
                for event in each.scored_events
            )
        return found, n_true, n_predicted

    judges = {
        "precision": lambda nights: touching(nights)[0] / touching(nights)[2],
        "recall": lambda nights: touching(nights)[0] / touching(nights)[1],
        "F1": lambda nights: 2 * touching(nights)[0] / sum(touching(nights)[1:]),
    }
    for what, judge in judges.items():
        line = lines[f"apneas and hypopneas ({SCORED})", f"{what} (any overlap)"]
        assert_is(line, judge, NIGHTS, PEOPLE, R, seed=2)
        assert line.task == "respiratory"


@pytest.mark.parametrize("sleep", [SCORED, OWN])
def test_indices_and_severity_are_compared_as_the_field_does(lines, sleep):
    import pingouin

    def pair(each):
        hours = 1.0 if sleep == SCORED else np.sum(each.stages_predicted_L > 0) / 120
        asleep = each.stages_scored_L if sleep == SCORED else each.stages_predicted_L
        tokens = [range(int(e.onset_s // 30), int(np.ceil(e.end_s / 30))) for e in each.predicted_events]
        counted = sum(any(0 <= t < 120 and asleep[t] > 0 for t in token) for token in tokens)
        return float(len(each.scored_events)), counted / hours

    pairs = [pair(each) for each in NIGHTS]

    def errors(pairs):
        return np.array([predicted - truth for truth, predicted in pairs])

    judges = {
        "bias, events/h": lambda pairs: errors(pairs).mean(),
        "MAE, events/h": lambda pairs: sklearn_metrics.mean_absolute_error(*zip(*pairs, strict=True)),
        "lower limit of agreement, events/h": lambda p: errors(p).mean() - 1.959963985 * errors(p).std(ddof=1),
        "upper limit of agreement, events/h": lambda p: errors(p).mean() + 1.959963985 * errors(p).std(ddof=1),
    }
    outcome = f"AHI (as scored, {sleep})"
    for what, judge in judges.items():
        assert_is(lines[outcome, what], judge, pairs, PEOPLE, R, seed=2, abs_=1e-7)
    table = pd.DataFrame([(i, r, each[r]) for i, each in enumerate(pairs) for r in (0, 1)], columns=list("prx"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = pingouin.intraclass_corr(table, "p", "r", "x").set_index("Type").loc["ICC(A,1)", "ICC"]
    assert lines[outcome, "ICC(A,1)"].estimate == pytest.approx(theirs, abs=1e-9)

    cutoffs = [(1, 5, 10) if i == 0 else (5, 15, 30) for i in range(len(NIGHTS))]
    classes = [tuple(sum(x >= c for c in of) for x in each) for each, of in zip(pairs, cutoffs, strict=True)]
    severity = f"severity by {outcome}"
    kappa = lines[severity, "kappa"]
    assert_is(kappa, lambda c: sklearn_metrics.cohen_kappa_score(*zip(*c, strict=True)), classes, PEOPLE, R, seed=2)
    accuracy = lines[severity, "accuracy"]
    assert_is(accuracy, lambda c: sklearn_metrics.accuracy_score(*zip(*c, strict=True)), classes, PEOPLE, R, seed=2)

    plots = {(type(plot), plot.title): plot for plot in breathing_plots(NIGHTS)}
    drawn = plots[BlandAltmanPlot, outcome]
    np.testing.assert_allclose(np.stack([drawn.truth_N, drawn.predicted_N], axis=1), pairs)
    counts = plots[ConfusionPlot, f"Severity of sleep apnea by {outcome}"].counts_CC
    np.testing.assert_array_equal(
        counts, sklearn_metrics.confusion_matrix(*zip(*classes, strict=True), labels=range(4))
    )


EVENTS = st.lists(
    st.builds(
        Event,
        st.sampled_from(["apnea", "obstructive_apnea", "hypopnea", "arousal", "desaturation", "rera", None]),
        st.floats(-50, 400),
        st.floats(0, 60),
    ),
    max_size=5,
)
STAGES = st.none() | st.lists(st.sampled_from([0.0, 2.0, 4.0, NAN]), min_size=8, max_size=8).map(np.array)
QUESTIONS = st.frozensets(st.sampled_from(sorted(ALL)))


@st.composite
def any_night(draw):
    spo2 = draw(st.none() | st.lists(st.sampled_from([NAN, 0.0, 80.0, 90.0, 97.0]), min_size=8, max_size=8))
    oximetry = None if spo2 is None else Oximetry(np.repeat(spo2, 30), np.ones(240, dtype=bool), 1)
    events = draw(EVENTS), draw(EVENTS)
    more = {"person": draw(st.sampled_from("abc")), "spo2": oximetry}
    return night(*events, draw(STAGES), draw(STAGES), answered=draw(QUESTIONS), predicts=draw(QUESTIONS), **more)


@settings(deadline=None, max_examples=60)
@given(st.lists(any_night(), max_size=4))
def test_whatever_nights_are_given_lines_are_unique_and_perfect_answers_are_perfect(nights):
    lines = breathing_figures(nights, n_resamples=5)
    assert len({(line.outcome, line.what) for line in lines}) == len(lines)
    for line in lines:
        assert all(number is None or np.isfinite(number) for number in (line.estimate, line.low, line.high))
        assert line.n_people > 1 or (line.low, line.high) == (None, None)
        assert any(sleep in line.outcome for sleep in (SCORED, OWN, PREDICTED))
    breathing_plots(nights)
    perfect = [
        BreathingNight(
            each.person, each.scored_events, each.scored_events, each.stages_scored_L, None, each.answered, ALL
        )
        for each in nights
    ]
    for line in breathing_figures(perfect, n_resamples=5):
        if line.what.startswith(("precision", "recall", "F1", "accuracy", "kappa")):
            assert line.estimate in (None, 1.0)
        elif line.what.startswith(("bias", "MAE")):
            assert line.estimate in (None, 0.0)


def test_parts_of_other_lengths_are_refused():
    with pytest.raises(UsageError, match=r"hypnograms of \[120\] tokens, 8 samples"):
        night([], [], spo2=Oximetry(np.zeros(8), np.ones(8, dtype=bool)))
    with pytest.raises(UsageError, match=r"hypnograms of \[60, 120\] tokens"):
        night([], [], HOUR, HOUR[:60])
