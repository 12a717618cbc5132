"""Matching of events, judged by trying every matching, by a plain augmenting path, and by hand."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleep2vec.metrics.events import ANY_KIND, EventScore, event_score, event_scores, match_events
from sleep2vec.vocabulary.errors import UsageError
from sleep2vec.vocabulary.events import Event


def event(onset_s, duration_s, kind="hypopnea"):
    return Event(kind, float(onset_s), float(duration_s))


FEW = st.lists(st.builds(event, st.integers(0, 25), st.integers(0, 12)), max_size=5)
MANY = st.lists(st.builds(event, st.integers(0, 300), st.integers(0, 40)), max_size=40)
IOUS = st.sampled_from([0.0, 0.2, 0.5, 1.0])


def shared_s(first, second):
    """Seconds that both cover, counted one by one (all times here are whole)."""
    return len(set(range(int(first.onset_s), int(first.end_s))) & set(range(int(second.onset_s), int(second.end_s))))


def same_event(first, second, least_iou):
    shared = shared_s(first, second)
    return shared > 0 and shared >= least_iou * (first.duration_s + second.duration_s - shared) - 1e-9


def best_by_trying(true, predicted, least_iou):
    """(pairs, shared seconds) of the best of all ways to match."""
    best = (0, 0)
    slots = [*range(len(predicted)), *([None] * len(true))]
    for way in set(itertools.permutations(slots, len(true))):
        pairs = [(t, p) for t, p in enumerate(way) if p is not None and same_event(true[t], predicted[p], least_iou)]
        best = max(best, (len(pairs), sum(shared_s(true[t], predicted[p]) for t, p in pairs)))
    return best


def most_by_augmenting(true, predicted, least_iou):
    """Kuhn's augmenting paths, nothing else."""
    partner = {}

    def augment(t, seen):
        for p in range(len(predicted)):
            if p not in seen and same_event(true[t], predicted[p], least_iou):
                seen.add(p)
                if p not in partner or augment(partner[p], seen):
                    partner[p] = t
                    return True
        return False

    return sum(augment(t, set()) for t in range(len(true)))


@given(st.lists(st.builds(event, st.integers(0, 25), st.integers(0, 12)), max_size=3), FEW, IOUS)
def test_no_other_matching_is_better(true, predicted, least_iou):
    matched = match_events(true, predicted, least_iou)
    assert all(same_event(true[t], predicted[p], least_iou) for t, p in matched.pairs)
    shared = sum(shared_s(true[t], predicted[p]) for t, p in matched.pairs)
    assert (len(matched.pairs), shared) == best_by_trying(true, predicted, least_iou)


@given(MANY, MANY, IOUS)
def test_as_many_pairs_as_augmenting_paths_find_and_nothing_is_lost(true, predicted, least_iou):
    matched = match_events(true, predicted, least_iou)
    assert len(matched.pairs) == most_by_augmenting(true, predicted, least_iou)
    assert sorted([*(t for t, _ in matched.pairs), *matched.missed]) == list(range(len(true)))
    assert sorted([*(p for _, p in matched.pairs), *matched.made_up]) == list(range(len(predicted)))


@given(MANY, MANY, IOUS, st.randoms(use_true_random=False), st.integers(-500, 500))
def test_order_clock_and_sides_do_not_matter(true, predicted, least_iou, random, shift_s):
    score = event_score(true, predicted, least_iou)
    shuffled = random.sample(true, len(true)), random.sample(predicted, len(predicted))
    assert event_score(*shuffled, least_iou) == score
    moved = [[replace(e, onset_s=e.onset_s + shift_s) for e in side] for side in (true, predicted)]
    assert event_score(*moved, least_iou) == score
    turned = event_score(predicted, true, least_iou)
    assert (turned.precision, turned.recall, turned.f1) == (score.recall, score.precision, score.f1)


@given(MANY, MANY, IOUS)
def test_two_nights_one_after_the_other_score_as_their_sum(first, second, least_iou):
    late = [replace(e, onset_s=e.onset_s + 1000) for e in second]
    noisy = [replace(e, onset_s=e.onset_s + 4) for e in [*first, *late]]
    split = event_score(first, noisy[: len(first)], least_iou) + event_score(late, noisy[len(first) :], least_iou)
    assert split == event_score([*first, *late], noisy, least_iou)


def test_by_hand():
    """One long prediction over three events is one hit. IoU of 10-30 and 20-40 is 10 / 30."""
    true = [event(10, 20), event(40, 20), event(70, 20)]
    one = event_score(true, [event(0, 100)])
    assert (one.precision, one.recall, one.f1) == (1.0, 1 / 3, 2 * 1 / (3 + 1))
    assert match_events([event(10, 20)], [event(20, 20)], 1 / 3).pairs == ((0, 0),)
    assert match_events([event(10, 20)], [event(20, 20)], 0.334).pairs == ()
    # Those that touch share no time, and neither does a mark.
    assert match_events([event(10, 20)], [event(30, 20), event(15, 0)]).made_up == (0, 1)
    # The pair that shares most (15 s) would leave two events alone; 2 s and 3 s make two pairs.
    assert match_events([event(0, 20), event(20, 10)], [event(5, 18), event(0, 2)]).pairs == ((0, 1), (1, 0))


def test_kinds_are_scored_by_themselves_and_together():
    true = [event(0, 20, "obstructive_apnea"), event(50, 20), event(90, 5, "arousal")]
    predicted = [event(2, 20), event(52, 20), event(200, 20)]
    scores = event_scores(true, predicted, ("obstructive_apnea", "hypopnea"))
    assert scores[ANY_KIND] == EventScore(2, 3, 2)
    assert scores["obstructive_apnea"] == EventScore(1, 0, 0)
    assert scores["hypopnea"] == EventScore(1, 3, 1)
    assert (scores["obstructive_apnea"].precision, scores["obstructive_apnea"].recall) == (None, 0.0)


def test_nothing_against_nothing_is_no_score():
    empty = sum([], EventScore())
    assert (empty.precision, empty.recall, empty.f1) == (None, None, None)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (([], [], 1.5), "IoU of 1.5 cannot be reached"),
        (([event(5, -1)], []), "begin at 5 s and end at 4 s"),
        (([event(5, np.nan)], []), "begin at 5 s and end at nan s"),
    ],
)
def test_says_what_is_wrong(arguments, sentence):
    with pytest.raises(UsageError, match=sentence):
        match_events(*arguments)
