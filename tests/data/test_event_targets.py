"""Labels at 1 Hz, judged by reading the rules one second at a time, and by what must hold for any night."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleep2vec.data.event_targets import (
    QUESTIONS,
    RESPIRATORY_CLASSES,
    UNTYPED_APNEA,
    allowed_classes,
    event_targets,
    habitual_questions,
    scored_questions,
)
from sleep2vec.vocabulary.errors import UsageError
from sleep2vec.vocabulary.events import Event

KINDS = (
    "obstructive_apnea",
    "central_apnea",
    "mixed_apnea",
    "apnea",
    "hypopnea",
    "rera",
    "arousal",
    "desaturation",
    None,
)
EVENTS = st.lists(
    st.builds(Event, st.sampled_from(KINDS), st.floats(-50, 200), st.one_of(st.just(0.0), st.floats(1, 60))), max_size=8
)
CODE = {kind: code for code, kind in enumerate(RESPIRATORY_CLASSES) if kind} | {"apnea": UNTYPED_APNEA}


def slow_label(events, second, looked_at):
    """What stands in the middle of a second, by the text of the module."""
    middle = second + 0.5
    label = 0.0 if looked_at else np.nan
    respiratory = [event for event in events if event.kind in CODE]
    if any(e.duration_s == 0 and e.onset_s - 10 <= middle < e.onset_s + 10 for e in respiratory):
        label = np.nan
    over = [e for e in respiratory if e.duration_s > 0 and e.onset_s <= middle < e.onset_s + e.duration_s]
    for rank in (["hypopnea"], ["apnea"], ["obstructive_apnea", "central_apnea", "mixed_apnea"]):
        ranked = [e for e in over if e.kind in rank]
        if ranked:
            label = CODE[max(ranked, key=lambda e: e.onset_s).kind]
    return label


@given(EVENTS, st.lists(st.booleans(), min_size=5, max_size=5))
def test_every_second_says_what_stands_in_its_middle(events, looked_at):
    events = [replace(e, onset_s=e.onset_s + 0.001 * place) for place, e in enumerate(events)]  # no two at once
    targets = event_targets(events, 5, answered=QUESTIONS, looked_at_L=looked_at)
    slow = [slow_label(events, second, looked_at[second // 30]) for second in range(150)]
    np.testing.assert_array_equal(targets.respiratory_S, slow)
    roused = [e for e in events if e.kind == "arousal" and e.duration_s > 0]
    inside = [any(e.onset_s <= second + 0.5 < e.end_s for e in roused) for second in range(150)]
    assert (targets.arousal_S == 1).tolist() == inside


@given(EVENTS, st.lists(st.booleans(), min_size=6, max_size=6), st.integers(0, 6), st.sampled_from([0.0, 7.5, -100.0]))
def test_parts_of_a_night_are_labelled_as_the_whole(events, looked_at, cut, grid_start_s):
    options = {"answered": ("respiratory", "desaturation")}
    whole = event_targets(events, 6, grid_start_s=grid_start_s, looked_at_L=looked_at, **options)
    first = event_targets(events, cut, grid_start_s=grid_start_s, looked_at_L=looked_at[:cut], **options)
    second = event_targets(
        events, 6 - cut, grid_start_s=grid_start_s + 30 * cut, looked_at_L=looked_at[cut:], **options
    )
    for name in ("respiratory_S", "arousal_S", "desaturation_S"):
        joined = np.concatenate([getattr(first, name), getattr(second, name)])
        np.testing.assert_array_equal(joined, getattr(whole, name))
    assert np.isnan(whole.arousal_S).all()


def test_what_is_an_apnea_is_no_hypopnea():
    """In whatever order: an obstructive apnea stands, over an untyped one, over a hypopnea."""
    events = [Event("obstructive_apnea", 5.0, 5.0), Event("apnea", 3.0, 12.0), Event("hypopnea", 8.0, 20.0)]
    for order in (events, events[::-1]):
        label = event_targets(order, 1, answered=("respiratory",)).respiratory_S
        assert (
            label.tolist() == [0.0] * 3 + [UNTYPED_APNEA] * 2 + [1.0] * 5 + [UNTYPED_APNEA] * 5 + [4.0] * 13 + [0.0] * 2
        )


def test_what_nobody_scored_is_unknown_and_not_nothing():
    night = {"obstructive_apnea": 12, "hypopnea": 30, "lights_off": 1}
    assert scored_questions(night) == {"respiratory"}
    assert scored_questions({"lights_off": 1}) == scored_questions({}) == frozenset()
    targets = event_targets([Event("hypopnea", 30.0, 20.0)], 3, answered=scored_questions(night))
    assert np.isnan(targets.arousal_S).all()
    assert targets.respiratory_S.tolist() == [0.0] * 30 + [4.0] * 20 + [0.0] * 40
    unseen = event_targets([Event("hypopnea", 25.0, 10.0)], 3, answered=QUESTIONS, looked_at_L=[False, True, False])
    assert np.isnan(unseen.respiratory_S).tolist() == [True] * 25 + [False] * 35 + [True] * 30


def test_a_cohorts_habit_answers_for_somebody_who_has_none():
    """Three nights with arousals and apneas, one with arousals alone, two without any event; one desaturation."""
    nights = [{"arousal": 5, "hypopnea": 9}] * 2 + [
        {"arousal": 5, "apnea": 1, "desaturation": 1},
        {"arousal": 4},
        {},
        {},
    ]
    habit = habitual_questions(nights)
    assert habit == {"arousal", "respiratory"}
    assert scored_questions({"arousal": 4}, habit) == {"arousal", "respiratory"}
    assert scored_questions({}, habit) == frozenset()  # nobody annotated that night
    assert habitual_questions([]) == habitual_questions([{}]) == frozenset()


def test_an_untyped_apnea_teaches_apnea_and_no_type():
    targets = event_targets([Event("apnea", 0.0, 10.0)], 1, answered=("respiratory",))
    allowed = allowed_classes(np.append(targets.respiratory_S[[0, 29]], [4.0, np.nan]))
    names = [[RESPIRATORY_CLASSES[c] for c in np.flatnonzero(row)] for row in allowed]
    assert names == [
        ["obstructive_apnea", "central_apnea", "mixed_apnea"], [None], ["hypopnea"], list(RESPIRATORY_CLASSES),
    ]  # fmt: skip


def test_says_what_is_wrong():
    with pytest.raises(UsageError, match=r"targets of 3 tokens .* got shape \(2,\)"):
        event_targets([], 3, answered=(), looked_at_L=[True, True])
    with pytest.raises(UsageError, match="not snoring"):
        event_targets([], 3, answered=("snoring",))
