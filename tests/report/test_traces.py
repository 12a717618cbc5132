"""Signals drawn as lines, judged by reading the drawing back."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleep2vec.report.time_axis import LEFT, RIGHT, TimeAxis
from sleep2vec.report.traces import Mark, Trace, fitted, moment_svg, night_traces_svg

SAMPLES = st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=5000).map(np.array)


def drawn(svg: str, name: str = "EEG") -> list[list[tuple[float, float]]]:
    """Points of each stroke of a trace, as x and y on the page."""
    path = ElementTree.fromstring(svg).find(f".//path[@data-trace='{name}']")
    strokes = []
    for stroke in (path.get("d") if path is not None else "").split("M")[1:]:
        points: list[tuple[float, float]] = []
        for command, numbers in re.findall(r"([LV]?)(-?[\d.]+(?: -?[\d.]+)?)", stroke):
            x, y = numbers.split() if " " in numbers else (points[-1][0], numbers)
            assert command in ("", "L", "V")
            points.append((float(x), float(y)))
        strokes.append(points)
    return strokes


@given(SAMPLES)
def test_the_extremes_of_a_signal_are_drawn_where_they_are(samples):
    trace = Trace("EEG", "uV", samples, -50, 50, 100.0)
    (stroke,) = drawn(moment_svg([trace], 30.0, [], "x", line_every_s=1))
    values = [50 - (y - 2.0) for _, y in stroke]  # 100 units high for 100 uV, from 2 down
    assert max(values) == pytest.approx(samples.max(), abs=0.06)
    assert min(values) == pytest.approx(samples.min(), abs=0.06)
    assert all(LEFT <= x <= RIGHT for x, _ in stroke)
    place = stroke[int(np.argmax(values))][0]
    share = (np.argmax(samples) + 0.5) / len(samples)
    at_highest = np.flatnonzero(samples >= samples.max() - 0.06)
    nearest = min(abs((i + 0.5) / len(samples) - (place - LEFT) / (RIGHT - LEFT)) for i in at_highest)
    assert nearest < 1.5 / min(len(samples), 1600), share


def test_what_is_missing_interrupts_the_line():
    samples = np.ones(3000)
    samples[1000:2000] = np.nan
    first, second = drawn(moment_svg([Trace("EEG", "uV", samples, 0, 2)], 30.0, [], "x", line_every_s=1))
    third = (RIGHT - LEFT) / 3
    assert first[-1][0] == pytest.approx(LEFT + third, abs=1)
    assert second[0][0] == pytest.approx(LEFT + 2 * third, abs=1)
    assert drawn(moment_svg([Trace("EEG", "uV", np.full(10, np.nan), 0, 2)], 30.0, [], "x", line_every_s=1)) == []


def test_marks_stand_at_their_times_in_rows_of_their_kind():
    marks = [Mark("apnea", 600, 60), Mark("arousal", 660, 6), Mark("apnea", 1800, 30)]
    figure = ElementTree.fromstring(night_traces_svg([], TimeAxis(120), marks, "x"))
    boxes = [(b.get("data-mark"), float(b.get("x")), float(b.get("width")), b.get("y")) for b in figure.iter("rect")]
    per_s = (RIGHT - LEFT) / 3600
    for kind, onset_s, length_s in (("apnea", 600, 60), ("arousal", 660, 6), ("apnea", 1800, 30)):
        expected = (LEFT + onset_s * per_s, max(0.8, length_s * per_s))
        assert any(k == kind and (x, w) == pytest.approx(expected, abs=0.02) for k, x, w, _ in boxes)
    assert len({y for kind, _, _, y in boxes if kind == "apnea"}) == 1
    assert len({y for _, _, _, y in boxes}) == 2


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50).map(np.array), st.booleans())
def test_a_fitted_range_is_never_one_number(samples, with_gap):
    if with_gap:
        samples = np.append(samples, np.nan)
    low, high = fitted(samples, 0.0)
    assert low < high
    assert low <= np.nanmin(samples) <= np.nanmax(samples) <= high


def test_a_range_of_nothing_is_still_one():
    assert fitted(np.full(4, np.nan)) == (0.0, 1.0)
