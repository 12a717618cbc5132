"""How long a run still takes, against a clock that is made up."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleep2vec.training.pace import Pace, StepTime

SECONDS = st.floats(0.01, 100)


@given(
    n_steps=st.integers(1, 60),
    validate_every=st.integers(1, 70),
    save_every=st.integers(1, 70),
    share=st.floats(0, 1),
    step_s=SECONDS,
    validate_s=SECONDS,
    save_s=SECONDS,
)
def test_a_steady_run_takes_as_long_as_was_said(n_steps, validate_every, save_every, share, step_s, validate_s, save_s):
    """The rest of the run is played through, pause by pause."""
    done = math.ceil(share * n_steps)
    pace = Pace(n_steps, {"validate": validate_every, "save": save_every})
    pace.add_step(StepTime(step_s, 0.0, 8))
    pace.add_pause("validate", validate_s)
    pace.add_pause("save", save_s)
    rest_s = 0.0
    for step in range(done + 1, n_steps + 1):
        rest_s += step_s
        rest_s += validate_s if step % validate_every == 0 or step == n_steps else 0.0
        rest_s += save_s if step % save_every == 0 or step == n_steps else 0.0
    left_s, at_least = pace.seconds_left(done)
    assert left_s == pytest.approx(rest_s)
    assert not at_least


def test_what_was_never_met_is_not_promised():
    pace = Pace(10, {"validate": 5, "save": 20})
    assert all(math.isnan(x) for x in (pace.seconds_per_step, pace.windows_per_second, pace.waiting_share))
    pace.add_step(StepTime(2.0, 0.5, 8))
    assert pace.seconds_left(4) == (12.0, True)
    pace.add_pause("validate", 3.0)
    assert pace.seconds_left(4) == (18.0, True)
    pace.add_pause("save", 1.0)
    assert pace.seconds_left(4) == (19.0, False)
    assert pace.seconds_left(10) == (0.0, False)


def test_a_slow_first_step_does_not_frighten_and_the_distant_past_is_forgotten():
    pace = Pace(1000, {})
    for seconds in (300.0, *[1.0] * 10):
        pace.add_step(StepTime(seconds, 0.0, 8))
    assert pace.seconds_per_step == 1.0
    for _ in range(50):
        pace.add_step(StepTime(2.0, 0.5, 32))
    assert (pace.seconds_per_step, pace.windows_per_second, pace.waiting_share) == (2.0, 16.0, 0.25)
