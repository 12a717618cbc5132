"""Figures, judged by reading the drawing back and by itertools' run-length encoding of the input."""

from datetime import datetime
from itertools import groupby
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleep2vec.report.figures import hypnodensity_svg, hypnogram_svg, runs, share_text, validity_svg, weights_svg
from sleep2vec.report.palette import MODALITY_COLOURS, STAGE_COLOURS, STAGE_ROWS
from sleep2vec.report.time_axis import LEFT, RIGHT, TimeAxis
from sleep2vec.vocabulary.modalities import MODALITIES
from sleep2vec.vocabulary.stages import FIVE

STAGES = st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.0, 4.0, np.nan]), min_size=1, max_size=120).map(np.array)


def encoded(values) -> list[tuple[int, int, float | None]]:
    """Start, stop and value of each run, by the standard library."""
    found, start = [], 0
    for value, group in groupby(None if np.isnan(v) else float(v) for v in values):
        stop = start + len(list(group))
        found.append((start, stop, value))
        start = stop
    return found


def tokens(x_text: str, axis: TimeAxis) -> int:
    return round((float(x_text) - LEFT) / (RIGHT - LEFT) * axis.n_tokens)


def spans(path: str, axis: TimeAxis) -> list[tuple[int, int]]:
    """Tokens from and to of every ``M x y H x`` of a path."""
    strokes = [stroke.replace("v", "H").split("H") for stroke in path.split("M")[1:]]
    return [(tokens(stroke[0].split()[0], axis), tokens(stroke[1], axis)) for stroke in strokes]


@given(STAGES)
def test_a_hypnogram_draws_each_run_of_a_stage_once(stages_L):
    axis = TimeAxis(len(stages_L))
    drawing = ElementTree.fromstring(hypnogram_svg(stages_L, axis, reference_L=stages_L[::-1]))
    for scorer, expected_L in (("model", stages_L), ("reference", stages_L[::-1])):
        panel = drawing.find(f"g[@data-scorer='{scorer}']")
        drawn = [
            (*span, float(FIVE.index(path.get("data-stage"))))
            for path in panel.iter("path")
            if path.get("data-stage")
            for span in spans(path.get("d"), axis)
        ]
        unknown = panel.find("path[@data-unknown]")
        drawn += [] if unknown is None else [(*span, None) for span in spans(unknown.get("d"), axis)]
        assert sorted(drawn, key=lambda run: run[0]) == encoded(expected_L)
        assert len(list(panel.iter("path"))) <= 12  # five stages, five rules, risers, hatching: never one per token


@given(STAGES)
def test_the_strip_marks_the_epochs_that_differ(stages_L):
    axis, reference_L = TimeAxis(len(stages_L)), np.roll(stages_L, 1)
    drawing = ElementTree.fromstring(hypnogram_svg(stages_L, axis, reference_L))
    marked = np.zeros(len(stages_L), dtype=bool)
    strip = drawing.find("path[@data-differ]")
    for start, stop in [] if strip is None else spans(strip.get("d"), axis):
        marked[start:stop] = True
    expected = [a != b and not np.isnan(a) and not np.isnan(b) for a, b in zip(stages_L, reference_L, strict=True)]
    assert marked.tolist() == expected


def test_the_rows_stand_in_the_order_of_the_aasm():
    """AASM hypnogram: Wake on top, then R, N1, N2, N3; R stands out by a thicker bar."""
    axis = TimeAxis(5)
    drawing = ElementTree.fromstring(hypnogram_svg(np.arange(5.0), axis))
    bars = {path.get("data-stage"): path for path in drawing.iter("path") if path.get("data-stage")}
    heights = {name: float(path.get("d").split("H")[0].split()[1]) for name, path in bars.items()}
    assert sorted(heights, key=heights.get) == ["W", "R", "N1", "N2", "N3"]
    widths = {name: float(path.get("stroke-width")) for name, path in bars.items()}
    assert all(widths["R"] > widths[name] for name in ("W", "N1", "N2", "N3"))


def steps(path: str, axis: TimeAxis, top: float = 6.0, height: float = 118.0) -> np.ndarray:
    """Height of an area's upper edge at each token, as a share of the figure."""
    edge = np.full(axis.n_tokens, np.nan)
    start = 0
    for piece in path.rstrip("Z").split("V")[1:-1]:
        y, x = piece.split("H")
        stop = tokens(x, axis)
        edge[start:stop] = 1 - (float(y) - top) / height
        start = stop
    return edge


def test_stacked_areas_are_the_running_sums_of_their_input():
    axis, rng = TimeAxis(200), np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(5), size=200)
    probabilities[50:60] = np.nan
    drawing = ElementTree.fromstring(hypnodensity_svg(probabilities, axis))
    total = np.zeros(200)
    for name in reversed(STAGE_ROWS):
        total += np.nan_to_num(probabilities[:, FIVE.index(name)])
        path = drawing.find(f"path[@data-stage='{name}']")
        assert path.get("fill") == STAGE_COLOURS[name]
        np.testing.assert_allclose(steps(path.get("d"), axis), total, atol=0.06 / 118)  # drawn to 0.1 pixel
    assert spans(drawing.find("path[@data-unknown]").get("d"), axis) == [(50, 60)]


def test_weights_of_abstained_tokens_are_hatched_not_drawn():
    axis, weights = TimeAxis(4), np.array([[0.25, 0.75], [np.nan, np.nan], [0.0, 0.0], [1.0, 0.0]])
    abstained = np.array([False, True, True, False])
    drawing = ElementTree.fromstring(weights_svg(weights, ("eeg", "ibi"), axis, abstained))
    first, both = (drawing.find(f"path[@data-modality='{name}']").get("d") for name in ("eeg", "ibi"))
    np.testing.assert_allclose(steps(first, axis), [0.25, 0, 0, 1], atol=0.06 / 118)
    np.testing.assert_allclose(steps(both, axis), [1, 0, 0, 1], atol=0.06 / 118)
    assert spans(drawing.find("path[@data-unknown]").get("d"), axis) == [(1, 3)]


@given(st.lists(st.booleans(), min_size=1, max_size=80).map(np.array))
def test_a_validity_strip_draws_the_runs_of_its_input(valid_L):
    axis = TimeAxis(len(valid_L))
    drawing = ElementTree.fromstring(validity_svg(valid_L[:, None], ("eeg",), axis))
    drawn = []
    for attribute, value in (("data-valid", 1.0), ("data-invalid", 0.0)):
        path = drawing.find(f"path[@{attribute}='eeg']")
        drawn += [] if path is None else [(*span, value) for span in spans(path.get("d"), axis)]
    assert sorted(drawn) == encoded(valid_L)


@given(STAGES)
def test_runs_are_the_run_length_encoding(stages_L):
    assert [(run.start, run.stop, run.value) for run in runs(stages_L)] == encoded(stages_L)


def test_every_stage_and_modality_has_its_own_colour():
    assert set(STAGE_COLOURS) == set(FIVE) == set(STAGE_ROWS)
    assert set(MODALITIES) <= set(MODALITY_COLOURS)
    colours = [*STAGE_COLOURS.values(), *MODALITY_COLOURS.values()]
    assert len(set(colours)) == len(colours)


def test_clock_times_cross_midnight():
    """A recording from 22:10:00 whose grid begins 20 min later: the first round hour is 23:00, 30 min in."""
    axis = TimeAxis(480, grid_start_s=1200.0, start=datetime(2024, 3, 14, 22, 10))
    ticks = list(axis.ticks())
    hours = [tick for tick in ticks if tick.label.endswith(":00")]
    assert [tick.label for tick in hours] == ["23:00", "00:00", "01:00", "02:00"]
    assert [tick.label for tick in ticks if tick.midnight] == ["00:00"]
    assert hours[0].x == pytest.approx(LEFT + (RIGHT - LEFT) * 60 / 480)
    assert (axis.when(0), axis.when(180)) == ("22:30:00", "00:00:00")


def test_without_a_clock_the_axis_counts_from_the_start_of_the_recording():
    axis = TimeAxis(120, grid_start_s=900.0)
    assert axis.when(0) == "0:15:00"
    assert next(tick.label for tick in axis.ticks()) == "0:15"
    assert not any(tick.midnight for tick in axis.ticks())


@given(st.integers(1, 30_000), st.floats(0, 100_000), st.booleans())
def test_the_axis_has_a_few_ticks_within_the_figure(n_tokens, grid_start_s, clock):
    axis = TimeAxis(n_tokens, grid_start_s, datetime(2020, 2, 29, 23, 59, 59) if clock else None)
    ticks = list(axis.ticks())
    assert 1 <= len(ticks) <= 13
    assert all(LEFT - 1e-6 <= tick.x <= RIGHT + 1e-6 for tick in ticks)
    # No two ticks may read the same, or nobody could tell one day from the next without a date between them.
    days = "".join("|" if tick.midnight else f" {tick.label}" for tick in ticks).split("|")
    assert all(len(set(day.split())) == len(day.split()) for day in days)
    assert len({tick.label for tick in ticks if tick.midnight}) == sum(tick.midnight for tick in ticks)


def test_a_recording_of_several_days_shows_dates():
    axis = TimeAxis(3 * 2880, start=datetime(2024, 2, 28, 12, 0))
    assert [tick.label for tick in axis.ticks() if tick.midnight] == ["29 Feb", "1 Mar", "2 Mar"]


@pytest.mark.parametrize(
    ("share", "text"), [(0, "0 %"), (0.001, "< 1 %"), (0.5, "50 %"), (0.9999, "> 99 %"), (1, "100 %")]
)
def test_a_share_never_rounds_to_all_or_nothing(share, text):
    assert share_text(share) == text
