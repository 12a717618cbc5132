import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleep2vec.harmonization.align import grid_of
from sleep2vec.vocabulary.errors import RecordingTooShortError
from sleep2vec.vocabulary.recording import Recording
from sleep2vec.vocabulary.stages import StageSpan


def test_only_the_phase_comes_from_the_scoring():
    recording = Recording((), duration_s=3610.0, stages=(StageSpan(612.0, 30.0, 2),))

    grid = grid_of(recording)

    # 612 = 20 * 30 + 12: what lies before the first scored epoch is kept, 119 tokens end at 3582 s.
    assert (grid.start_s, grid.n_tokens) == (12.0, 119)


def test_an_unscored_span_does_not_anchor_the_grid_when_a_scored_one_is_there():
    spans = (StageSpan(7.0, 5.0, None), StageSpan(60.0, 30.0, 0))

    assert grid_of(Recording((), 600.0, stages=spans)).start_s == 0.0


@given(onset_s=st.floats(0, 1e5), duration_s=st.floats(61, 2e5), rate_hz=st.floats(0.5, 1024))
def test_the_grid_lies_inside_the_recording_and_in_phase(onset_s, duration_s, rate_hz):
    grid = grid_of(Recording((), duration_s, stages=(StageSpan(onset_s, 30.0, 1),)))

    assert 0.0 <= grid.start_s < 30.0
    assert grid.start_s + 30 * grid.n_tokens <= duration_s + 1e-3
    assert grid.start_s + 30 * (grid.n_tokens + 1) > duration_s - 1e-3
    off_s = (onset_s - grid.start_s) % 30.0
    assert min(off_s, 30.0 - off_s) <= 0.125 + 1e-6
    edges = grid.edges_of(rate_hz)
    assert abs(edges[-1] / rate_hz - grid.start_s - 30 * grid.n_tokens) <= 0.5 / rate_hz + 1e-6


@pytest.mark.parametrize("duration_s", [0.0, 1.0, 29.9])
def test_too_short_says_what_was_given_and_what_is_needed(duration_s):
    with pytest.raises(RecordingTooShortError, match=rf"holds {duration_s:.1f} s; one 30 s token needs 30 s"):
        grid_of(Recording((), duration_s))
