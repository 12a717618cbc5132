"""Which pairs come when: probabilities as the recipe promises them."""

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_nights import SLOW, made_night, store_of
from pydantic import ValidationError
from scipy.stats import chisquare

from sleep2vec.data.pair_schedule import PairStage, pair_weights, set_probabilities, stage_at
from sleep2vec.data.pairs import PairConfig, PairSource
from sleep2vec.data.window import WindowReader
from sleep2vec.vocabulary.errors import StoreError

PAIRS = (("ecg", "ibi"), ("ecg", "spo2"), ("ibi", "spo2"), ("eeg", "spo2"), ("eeg", "ibi"))
WEIGHTS = pair_weights(PAIRS, 0.25)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    nights = [made_night(f"n{i:02d}", i, 30, SLOW) for i in range(6)]
    return store_of(tmp_path_factory.mktemp("schedule") / "store", nights)


def source(store, n_steps=None, **settings):
    config = PairConfig(**({"batch_windows": 2, "window_tokens": 2} | settings))
    return PairSource(WindowReader(store), [row.night_id for row in store.rows], SLOW, config, 5, n_steps=n_steps)


def test_probabilities_are_the_closed_form():
    """By hand: ibi is derived from ecg, so weights are 1/4, 1, 1, 1, 1; spo2 is in three pairs of weight 1 each."""
    found = set_probabilities(PAIRS, WEIGHTS, None)
    assert np.allclose(found, [float(Fraction(w, 17)) for w in (1, 4, 4, 4, 4)], atol=1e-15)
    found = set_probabilities(PAIRS, WEIGHTS, PairStage(until=1, favour=("spo2",), share=0.7))
    rest = Fraction(3, 10)
    third = Fraction(7, 10) / 3
    by_hand = [rest / 17, *[third + rest * 4 / 17] * 3, rest * 4 / 17]
    assert np.allclose(found, [float(p) for p in by_hand], atol=1e-15)
    found = set_probabilities(PAIRS, WEIGHTS, PairStage(until=1, favour=("eeg", "ecg"), share=1.0))
    assert np.allclose(found, [float(Fraction(w, 13)) for w in (1, 4, 0, 4, 4)], atol=1e-15)


@settings(deadline=None, max_examples=200)
@given(
    st.sets(st.sampled_from(["eeg", "ecg", "ibi", "spo2"]), min_size=1),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_a_favour_is_the_share_and_what_chance_gives_of_the_rest(favour, share, derived):
    """Law of total probability; within the favoured, and within the others, the odds stay those of the weights."""
    weights = pair_weights(PAIRS, derived)
    plain = set_probabilities(PAIRS, weights, None)
    found = set_probabilities(PAIRS, weights, PairStage(until=1, favour=tuple(favour), share=share))
    inside = np.array([bool(favour & set(pair)) for pair in PAIRS])
    assert found.sum() == pytest.approx(1)
    assert found[inside].sum() == pytest.approx(share + (1 - share) * plain[inside].sum())
    for side in (inside, ~inside):
        assert np.allclose(np.outer(found[side], plain[side]), np.outer(plain[side], found[side]), atol=1e-15)


def test_stages_follow_one_another():
    stages = [PairStage(until=until, favour=("eeg",), share=until) for until in (0.3, 0.6)]
    moments = {0.0: 0.3, 0.29: 0.3, 0.3: 0.6, 0.59: 0.6, 0.6: None, 0.99: None, 1.0: None}
    for progress, share in moments.items():
        stage = stage_at(stages, progress)
        assert (stage and stage.share) == share


def test_adaptation_begins_with_the_new_sensor(store):
    """Method, section 5: new pairs alone, then in 0.7 of the batches and by chance in the rest, then as others.

    The judge is the chi-square of the pairs drawn in each third against that promise (fixed seed, so no luck).
    """
    new = {"until": 1 / 3, "favour": ["spo2"], "share": 1.0}
    made = source(store, 1800, pair_schedule=[new, new | {"until": 2 / 3, "share": 0.7}], derived_pair_weight=1.0)
    drawn = [made.draw(step).modalities for step in range(1800)]
    assert len(made.sets) == 6  # three of them with spo2
    for first, weight in ((0, 1.0), (600, 0.7), (1200, 0.0)):
        counts = Counter(drawn[first : first + 600])
        promised = {pair: (1 - weight) / 6 + ("spo2" in pair) * weight / 3 for pair in made.sets}
        possible = [pair for pair, p in promised.items() if p > 0]
        assert sum(counts[pair] for pair in possible) == 600
        if len(possible) > 1:
            expected = [600 * promised[pair] for pair in possible]
            assert chisquare([counts[pair] for pair in possible], expected).pvalue > 1e-3


def test_without_the_length_of_a_run_its_schedule_is_over(store):
    stage = {"until": 1.0, "favour": ["spo2"], "share": 1.0}
    plain, scheduled = source(store), source(store, pair_schedule=[stage])
    assert np.array_equal(plain.probabilities(0), scheduled.probabilities(0))
    begun = source(store, 10, pair_schedule=[stage])
    assert all("spo2" in begun.draw(step).modalities for step in range(10))


def test_larger_sets_are_drawn_among_those_that_nights_hold(store):
    """Of four modalities there are four sets of three; two hold resp and something it may derive from but not both."""
    made = source(store, views=3, derived_pair_weight=1.0)
    counts = Counter(made.draw(step).modalities for step in range(800))
    assert set(counts) == set(made.sets)
    assert len(made.sets) == 4
    assert chisquare(list(counts.values())).pvalue > 1e-3
    batch = made.batch(0)
    assert len(batch.views) == 3
    drawn = made.draw(0)
    for name, view in zip(batch.modalities, batch.views, strict=True):
        for b, window in enumerate(drawn.windows):
            truth = store.valid(window.night_id, name, window.first, window.n_tokens)
            assert view.valid_BL[b].tolist() == truth.tolist()


def test_mistakes_of_a_schedule_are_told(store):
    stage = {"until": 0.5, "favour": ["spo2"], "share": 1.0}
    with pytest.raises(ValidationError, match=r"a stage until 0\.2 comes after one until 0\.5"):
        PairConfig(pair_schedule=[stage, stage | {"until": 0.2}])
    with pytest.raises(ValidationError, match="unknown modality 'spo3'"):
        PairConfig(pair_schedule=[stage | {"favour": ["spo3"]}])
    with pytest.raises(StoreError, match="favours ecg, and no two nights hold one of them together"):
        source(store, pair_schedule=[stage | {"favour": ["ecg"]}])
    with pytest.raises(StoreError, match="no 5 of the modalities"):
        source(store, views=5)
