"""Decoding, judged by a plain walk over the seconds, by hand, and by going from events to labels and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleep2vec.data.event_targets import RESPIRATORY_CLASSES, event_targets
from sleep2vec.metrics.event_stages import in_sleep
from sleep2vec.tasks.arousal import Arousal
from sleep2vec.tasks.event_decoding import (
    RESPIRATORY,
    Decoding,
    decode_events,
    decode_respiratory_events,
    event_spans,
)
from sleep2vec.vocabulary.errors import UsageError
from sleep2vec.vocabulary.events import Event

PIECES = st.lists(st.tuples(st.sampled_from([0.0, 0.3, 0.5, 0.9, np.nan]), st.integers(1, 14)), max_size=12).map(
    lambda pieces: np.repeat([p for p, _ in pieces], [n for _, n in pieces]) if pieces else np.zeros(0)
)
DECODINGS = st.builds(
    Decoding, st.sampled_from([0.2, 0.5, 0.6]), st.sampled_from([0.0, 2.0, 3.0]), st.sampled_from([3.0, 10.0])
)


def slow_spans(probability, decoding):
    """Walk the seconds: an event goes on through a gap that is short and has no NaN."""
    spans, first, last, gap_seen = [], None, None, True
    for second, p in enumerate([*probability, np.nan]):
        if first is not None and p >= decoding.threshold and (second - last - 1 > decoding.merge_gap_s or not gap_seen):
            spans.append((first, last + 1))
            first = None
        if p >= decoding.threshold:
            first, last, gap_seen = second if first is None else first, second, True
        elif np.isnan(p):
            gap_seen = False
    if first is not None:
        spans.append((first, last + 1))
    return [list(span) for span in spans if span[1] - span[0] >= decoding.shortest_s]


@given(PIECES, DECODINGS)
def test_a_plain_walk_finds_the_same(probability, decoding):
    assert event_spans(probability, decoding).tolist() == slow_spans(probability, decoding)


@given(PIECES, PIECES, DECODINGS, st.integers(1, 60))
def test_nights_apart_are_decoded_apart(first, second, decoding, abstained_s):
    joined = event_spans(np.concatenate([first, np.full(abstained_s, np.nan), second]), decoding)
    later = event_spans(second, decoding) + len(first) + abstained_s
    assert joined.tolist() == [*event_spans(first, decoding).tolist(), *later.tolist()]


def spans(text, decoding=RESPIRATORY):
    """``#`` is an event, ``.`` none, ``?`` was abstained from."""
    return event_spans([{"#": 0.9, ".": 0.1, "?": np.nan}[c] for c in text], decoding).tolist()


def test_by_hand():
    assert spans("#" * 10) == [[0, 10]]
    assert spans("#" * 9) == []
    assert spans("####...####") == [[0, 11]]  # a gap of 3 s is bridged, and the whole is long enough
    assert spans("####....####") == []
    assert spans("####.?.####") == []  # what was not seen is never bridged
    assert spans("##########.?.##########") == [[0, 10], [13, 23]]
    assert spans("..###..", Arousal().decoding) == [[2, 5]]
    assert spans("..##..", Arousal().decoding) == []
    assert spans("######", Decoding(shortest_s=6.0)) == [[0, 6]]  # a child who breathes 20 times a minute
    assert event_spans([0.5] * 10, RESPIRATORY).tolist() == [[0, 10]]  # at the threshold


def test_the_type_is_that_of_most_probability_not_of_most_seconds():
    """Six seconds of 0.5 against 0.4 for central, five of 0.9 for obstructive."""
    probability = np.zeros((20, 5))
    probability[:, 0] = 1.0
    probability[4:10] = [0.1, 0.4, 0.5, 0.0, 0.0]
    probability[10:15] = [0.1, 0.9, 0.0, 0.0, 0.0]
    assert decode_respiratory_events(probability, grid_start_s=100.0) == (Event("obstructive_apnea", 104.0, 11.0),)
    # No class needs to reach the threshold by itself: that something happened is certain.
    probability[4:15] = [0.1, 0.2, 0.2, 0.2, 0.3]
    assert decode_respiratory_events(probability) == (Event("hypopnea", 4.0, 11.0),)
    probability[9] = np.nan
    assert decode_respiratory_events(probability) == ()


EVENTS = st.lists(
    st.tuples(st.sampled_from(RESPIRATORY_CLASSES[1:]), st.integers(4, 40), st.integers(10, 60)), max_size=6
)


@given(EVENTS, st.sampled_from([0.0, 12.25]))
def test_labels_of_events_decode_to_the_events(drawn, grid_start_s):
    events, clock = [], grid_start_s
    for kind, gap_s, duration_s in drawn:
        events.append(Event(kind, clock + gap_s, float(duration_s)))
        clock += gap_s + duration_s
    targets = event_targets(events, 30, answered=("respiratory",), grid_start_s=grid_start_s)
    certain = np.eye(5)[targets.respiratory_S.astype(int)]
    assert decode_respiratory_events(certain, grid_start_s=grid_start_s) == tuple(events)


def test_events_of_one_kind_and_what_lies_in_sleep():
    probability = np.zeros(120)
    probability[[*range(5, 12), *range(58, 63), *range(100, 104)]] = 0.8
    roused = decode_events(probability, "arousal", Arousal().decoding, grid_start_s=60.0)
    assert [(e.kind, e.onset_s, e.duration_s) for e in roused] == [
        ("arousal", 65.0, 7.0), ("arousal", 118.0, 5.0), ("arousal", 160.0, 4.0),
    ]  # fmt: skip
    assert in_sleep(roused, [0.0, 2.0, 0.0, 0.0], grid_start_s=60.0) == roused[1:2]


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: event_spans([0.2, 1.4], RESPIRATORY), "probabilities between 0 and 1.* with a 1.4"),
        (lambda: event_spans([[0.2]], RESPIRATORY), r"\(S,\).* shape \(1, 1\)"),
        (lambda: decode_respiratory_events(np.full((4, 5), 0.5)), "sums up to 2.5; apply a softmax"),
        (lambda: decode_respiratory_events(np.ones((4, 1))), r"5 probabilities a second.*shape \(4, 1\)"),
        (lambda: Decoding(threshold=0.0), "threshold above 0"),
        (lambda: Decoding(merge_gap_s=-1.0), "times of 0 or more"),
    ],
)
def test_says_what_is_wrong(call, sentence):
    with pytest.raises(UsageError, match=sentence):
        call()
