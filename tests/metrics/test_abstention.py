"""Abstention, judged by counting who answers at each threshold and by curves known in closed form."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sleep2vec.metrics.abstention import operating_point, risk_coverage
from sleep2vec.vocabulary.errors import UsageError

NAN = float("nan")
ANSWERS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.0, 1.0, 0.3, NAN]),
        st.sampled_from([0.2, 0.5, 0.5, 0.9, NAN]) | st.floats(-3, 3),
    ),
    min_size=1,
    max_size=40,
)


@settings(deadline=None)
@given(ANSWERS, st.floats(0, 1))
def test_the_curve_counts_who_answers_at_each_threshold(answers, wanted):
    """The definition, one threshold after the other; the chosen one is the boldest of those that are good enough."""
    known = [(loss, sure) for loss, sure in answers if not np.isnan(loss) and not np.isnan(sure)]
    curve = risk_coverage(*zip(*answers, strict=True))
    good_enough = []
    assert curve.threshold_K.tolist() == sorted({sure for _, sure in known}, reverse=True)
    for place, threshold in enumerate(curve.threshold_K):
        answered = [loss for loss, sure in known if sure >= threshold]
        assert curve.coverage_K[place] == pytest.approx(len(answered) / len(known), abs=1e-12)
        assert curve.risk_K[place] == pytest.approx(np.mean(answered), abs=1e-12)
        if curve.risk_K[place] <= wanted:
            good_enough.append((len(answered) / len(known), threshold))
    of_each = [curve.risk_K[curve.threshold_K.tolist().index(sure)] for _, sure in known]
    assert curve.area == (pytest.approx(np.mean(of_each), abs=1e-12) if known else None)
    chosen = operating_point(curve, wanted)
    assert (chosen is None) == (not good_enough)
    if chosen is not None:
        assert (chosen.coverage, chosen.threshold) == (pytest.approx(max(good_enough)[0]), max(good_enough)[1])
        assert chosen.risk <= wanted


def test_who_knows_his_mistakes_has_the_area_of_the_oracle():
    """All mistakes least sure: no risk up to coverage 1 - e, then 1 - (1 - e) / c; area e + (1 - e) log(1 - e)."""
    n, share = 20_000, 0.3
    losses = np.repeat([0.0, 1.0], [round(n * (1 - share)), round(n * share)])
    curve = risk_coverage(losses, -np.arange(n))
    assert curve.area == pytest.approx(share + (1 - share) * np.log(1 - share), abs=1e-4)
    point = operating_point(curve, 0.0)
    assert (point.coverage, point.risk) == (pytest.approx(1 - share), 0.0)
    # A risk of 0.1 is met where 0.7 / c = 0.9.
    assert operating_point(curve, 0.1).coverage == pytest.approx(0.7 / 0.9, abs=1e-4)


def test_who_does_not_know_his_mistakes_risks_the_same_everywhere():
    generator = np.random.default_rng(0)
    losses = (generator.random(40_000) < 0.2).astype(float)
    assert risk_coverage(losses, generator.random(40_000)).area == pytest.approx(0.2, abs=0.01)
    alike = risk_coverage(losses, np.zeros(40_000))
    assert (alike.coverage_K.tolist(), alike.area) == ([1.0], pytest.approx(losses.mean()))


def test_nobody_known_is_undefined():
    curve = risk_coverage([NAN, 1.0], [0.5, NAN])
    assert (curve.area, len(curve.risk_K), operating_point(curve, 1.0)) == (None, 0, None)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: risk_coverage([0, 1], [0.5]), "one loss and one confidence"),
        (lambda: risk_coverage([-1], [0.5]), "a loss is -1"),
        (lambda: risk_coverage([np.inf], [0.5]), "a loss is inf"),
        (lambda: operating_point(risk_coverage([0], [0.5]), -0.1), "at least 0, got -0.1"),
    ],
)
def test_says_what_is_wrong(call, sentence):
    with pytest.raises(UsageError, match=sentence):
        call()
