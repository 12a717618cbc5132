"""Which sleep an event lies in, judged by the AASM's rule read second by second."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleep2vec.metrics.event_stages import asleep, event_tokens, in_sleep, sleep_hours
from sleep2vec.vocabulary.errors import UsageError
from sleep2vec.vocabulary.events import Event

STAGES = st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.0, 4.0, np.nan]), min_size=1, max_size=8)
EVENTS = st.lists(st.builds(Event, st.just("hypopnea"), st.integers(-40, 300), st.integers(1, 90)), max_size=8)


@given(STAGES, EVENTS, st.sampled_from([0.0, 7.0, -13.0]))
def test_the_first_second_of_sleep_decides(stages, events, grid_start_s):
    found = event_tokens(events, stages, grid_start_s)
    for event, token in zip(events, found, strict=True):
        slept = [
            place
            for second in range(event.onset_s, event.onset_s + event.duration_s)
            if 0 <= (place := int((second - grid_start_s) // 30)) < len(stages) and stages[place] in (1, 2, 3, 4)
        ]
        assert token == (slept[0] if slept else -1)
    assert in_sleep(events, stages, grid_start_s) == tuple(e for e, t in zip(events, found, strict=True) if t >= 0)


def test_an_event_counts_when_it_begins_or_ends_in_sleep_and_not_when_it_lies_in_wake():
    """W W N2 N2 W: epochs of 30 s, so sleep is 60 to 120 s."""
    stages = [0, 0, 2, 2, 0]
    begins, ends, between, wake = (Event("apnea", *when) for when in ((110, 20), (45, 20), (50, 90), (20, 39)))
    touches, after = Event("apnea", 40, 20), Event("apnea", 120, 12)
    assert in_sleep([begins, ends, between, wake, touches, after], stages) == (begins, ends, between)
    # 0.1 + 0.2 > 0.3: a sum of decimals has no part in the next epoch.
    assert in_sleep([Event("apnea", 59.7, 0.1 + 0.2)], stages) == ()
    assert sleep_hours(stages) == 60 / 3600


@pytest.mark.parametrize("stages", [[7.0], [[0.0, 1.0]], [-1.0]])
def test_says_what_is_wrong(stages):
    with pytest.raises(UsageError, match="one code from 0 to 4 a token"):
        asleep(stages)
