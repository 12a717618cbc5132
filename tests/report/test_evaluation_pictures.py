"""Pictures of an evaluation, read back by the numbers written along their axes.

Judges: scikit-learn, scikit-survival, pandas and numpy.
"""

import re
from itertools import chain, combinations
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix, roc_auc_score, roc_curve
from sksurv.nonparametric import kaplan_meier_estimator

from sleep2vec.report.evaluation import picture_of
from sleep2vec.report.evaluation_plots import (
    BlandAltmanPlot,
    ConfusionPlot,
    CoveragePlot,
    HypnodensityPlot,
    KaplanMeierPlot,
    ReliabilityPlot,
    RocPlot,
    SubsetPlot,
    SurvivalStep,
)
from sleep2vec.report.palette import risk_colours
from sleep2vec.vocabulary.errors import UsageError


class Paper:
    """A figure and the scales that are written along it."""

    def __init__(self, svg: str, factor: float = 1.0) -> None:
        self.svg = ElementTree.fromstring(svg)
        self.x_line = self._scale("time", "x", 0.0) if factor else None
        self.y_line = self._scale("row", "y", 4.0)

    def _scale(self, style: str, axis: str, baseline: float):
        marks = [
            (float(text.get(axis)) - baseline, number_of(text.text))
            for text in self.svg.iter("text")
            if text.get("class") == style and re.fullmatch(r"−?[\d. ]+( %)?", text.text or "")
        ]
        assert len(marks) >= 2
        at, value = np.array(marks).T
        line = np.polyfit(at, value, 1)
        np.testing.assert_allclose(np.polyval(line, at), value, atol=1e-3 * np.ptp(value))  # an even scale
        return line

    def points(self, places) -> np.ndarray:
        """(N, 2) numbers at (N, 2) places."""
        places = np.asarray(places, dtype=float).reshape(-1, 2)
        return np.column_stack([np.polyval(self.x_line, places[:, 0]), np.polyval(self.y_line, places[:, 1])])

    def dots(self, style: str) -> np.ndarray:
        found = [dot for dot in self.svg.iter("circle") if dot.get("class") == style]
        return self.points([(dot.get("cx"), dot.get("cy")) for dot in found])

    def paths(self, style: str):
        return [path for path in self.svg.iter("path") if style in path.get("class", "").split()]

    def corners(self, path) -> np.ndarray:
        return self.points(corners_of(path))

    def heights(self, style: str) -> list[float]:
        """Of horizontal lines."""
        return [float(np.polyval(self.y_line, corners_of(path)[0][1])) for path in self.paths(style)]

    @property
    def words(self) -> list[str]:
        return ["".join(text.itertext()) for text in self.svg.iter("text")]


def corners_of(path) -> list[tuple[float, float]]:
    """Places of an absolute path of M, L, H and V."""
    x = y = 0.0
    found = []
    for kind, numbers in re.findall(r"([MLHV])([-\d. ]+)", path.get("d")):
        values = [float(number) for number in numbers.split()]
        x, y = (values[0], y) if kind == "H" else (x, values[0]) if kind == "V" else values
        found.append((x, y))
    return found


def number_of(text: str) -> float:
    share = 0.01 if text.endswith("%") else 1.0
    return float(re.sub(r"[ %]", "", text.replace("−", "-"))) * share


@settings(deadline=None, max_examples=40)
@given(arrays.arrays(np.int64, (4, 4), elements=st.integers(0, 10**6)))
def test_cells_of_the_confusion_matrix_add_up_to_its_edges(counts_CC):
    names = ("none", "mild", "moderate (15–30)", "severe")
    picture = picture_of(ConfusionPlot("x", names, counts_CC))
    if counts_CC.sum() == 0:
        assert picture.figure is None
        return
    svg = ElementTree.fromstring(picture.figure)
    cells = [[text.text for text in group.findall("text")] for group in svg.findall("g")]
    drawn = np.array([int(count.replace(" ", "")) for _, count in cells]).reshape(4, 4)
    assert drawn.tolist() == counts_CC.tolist()
    totals = [int(t.text.replace(" ", "")) for t in svg.iter("text") if "total" in t.get("class") and t.text != "all"]
    expected = list(chain.from_iterable(zip(drawn.sum(axis=1), drawn.sum(axis=0), strict=True)))
    assert totals == [*expected, drawn.sum()]


def test_shares_of_the_confusion_matrix_are_those_of_scikit_learn_with_scored_in_rows():
    rng = np.random.default_rng(0)
    scored, predicted = rng.integers(0, 3, 500), rng.integers(0, 3, 500)
    predicted[scored == 1] = 2
    names = ("W", "N", "R")
    svg = ElementTree.fromstring(picture_of(ConfusionPlot("x", names, confusion_matrix(scored, predicted))).figure)
    for group, share in zip(
        svg.findall("g"), confusion_matrix(scored, predicted, normalize="true").ravel(), strict=True
    ):
        assert group.findall("text")[0].text == f"{share:.0%}".replace("%", " %")
    hint = svg.findall("g")[5].find("title").text
    assert hint == f"scored N, predicted R: {(scored == 1).sum()}"


@pytest.mark.parametrize("n", [40, 1500])
def test_bland_altman_draws_differences_bias_and_limits_where_the_axes_say(n):
    rng = np.random.default_rng(1)
    truth, predicted = rng.gamma(2, 8, n), rng.gamma(2, 8, n)
    truth[3], predicted[7] = np.nan, np.nan
    picture = picture_of(BlandAltmanPlot("AHI", "events/h", truth, predicted))
    paper, known = Paper(picture.figure), ~np.isnan(truth + predicted)
    difference = (predicted - truth)[known]
    expected = np.column_stack([((predicted + truth) / 2)[known], difference])
    if n <= 1000:
        drawn = paper.dots("dot")
    else:
        (stroke,) = [path for path in paper.paths("points") if path.get("d")]
        drawn = paper.points([place.split() for place in re.findall(r"M([-\d. ]+)h0", stroke.get("d"))])
    np.testing.assert_allclose(drawn, expected, atol=0.1)
    spread = difference.std(ddof=1)
    assert paper.heights("bias") == [pytest.approx(difference.mean(), abs=0.1)]
    limits = [difference.mean() + 1.96 * spread, difference.mean() - 1.96 * spread]
    assert paper.heights("limit") == pytest.approx(limits, abs=0.1)
    said = re.match(r"Bias ([+−]?[\d.]+) events/h, limits of agreement (\S+) to (\S+) events/h", picture.words).groups()
    assert [number_of(word) for word in said] == pytest.approx([difference.mean(), *limits[::-1]], abs=0.5)
    assert f"bias {said[0]}" in paper.words
    assert f"−1.96 SD {said[1]}" in paper.words
    assert picture.words.endswith(f"n\u00a0=\u00a0{n - 2:,}.".replace(",", " "))


def test_reliability_is_scikit_learns_calibration_curve_on_square_axes():
    rng = np.random.default_rng(2)
    said = rng.random(4000) ** 0.5
    right = rng.random(4000) < said**2
    accuracy, confidence = calibration_curve(right, said, n_bins=10)
    counts = np.histogram(said, bins=10, range=(0, 1))[0]
    with_empty = [np.append(values, np.nan) for values in (confidence, accuracy)]
    picture = picture_of(ReliabilityPlot("x", *with_empty, np.append(counts, 0), 0.0834))
    paper = Paper(picture.figure)
    np.testing.assert_allclose(paper.dots("dot firm"), np.column_stack([confidence, accuracy]), atol=2e-3)
    np.testing.assert_allclose(paper.corners(paper.paths("level")[0]), [[0, 0], [1, 1]], atol=2e-3)
    bars = [np.array(corners_of(bar)) for bar in paper.paths("bar")]
    heights = np.array([np.ptp(bar[:, 1]) for bar in bars])
    np.testing.assert_allclose(heights / heights.max(), counts / counts.max(), atol=2e-3)
    assert "calibration error 0.083; 4 000 answers" in picture.words


def test_the_operating_point_lies_on_the_curve_it_was_taken_from():
    coverage, risk = np.linspace(0.1, 1, 10), np.linspace(0.02, 0.2, 10)
    risk[0] = np.nan
    picture = picture_of(CoveragePlot("x", coverage, risk, (0.9, 0.18)))
    paper = Paper(picture.figure)
    np.testing.assert_allclose(paper.dots("ring"), [[0.9, 0.18]], atol=1e-3)
    (curve,) = paper.paths("curve")
    np.testing.assert_allclose(paper.corners(curve), np.column_stack([coverage, risk])[1:], atol=2e-3)
    assert "answers 90.0 %, wrong in 18.0 % of them" in picture.words
    without = picture_of(CoveragePlot("x", coverage, risk, None))
    assert "No operating point was fitted" in without.words
    assert not Paper(without.figure).paths("lead")


def test_kaplan_meier_steps_are_those_of_scikit_survival():
    rng = np.random.default_rng(3)
    groups, expected = [], {}
    for name, rate in (("low", 0.03), ("high <risk>", 0.2)):
        event, ending = rng.exponential(1 / rate, 80), rng.uniform(2, 12, 80)
        years, survival, (low, high) = kaplan_meier_estimator(
            event <= ending, np.minimum(event, ending), conf_type="log-log"
        )
        low[-1] = np.nan  # an interval that is not known at the end
        groups.append(SurvivalStep(name, 80, int((event <= ending).sum()), years, survival, low, high))
        expected[name] = (years, survival)
    picture = picture_of(KaplanMeierPlot("x", tuple(groups)))
    paper = Paper(picture.figure)
    for path in paper.paths("curve"):
        years, survival = expected.pop(path.get("data-group"))
        corners = paper.corners(path)
        np.testing.assert_allclose(corners[0], [0, 1], atol=5e-3)
        moves = np.abs(np.diff(corners_of(path), axis=0))
        assert (moves.min(axis=1) == 0).all()  # along an axis, never slanted
        for year, share in zip(years, survival, strict=True):  # the height when a step is done
            here = corners[np.abs(corners[:, 0] - year) < 0.02]
            assert here[:, 1].min() - 5e-3 <= share <= here[:, 1].max() + 5e-3
        fallen = corners[1:][(np.diff(corners[:, 1]) < -1e-3)]
        steps = survival[np.diff(survival, prepend=1.0) < 0]
        np.testing.assert_allclose(fallen[:, 1], steps, atol=5e-3)
    assert expected == {}
    last = groups[1]
    assert picture.legend.rows[1][:4] == ("high <risk>", "80", str(last.n_events), f"{last.years_K[-1]:.1f}")
    assert picture.legend.rows[1][4].startswith(f"{last.survival_K[-1]:.2f} (– to")
    for path, group in zip(paper.paths("band"), groups, strict=True):
        heights = paper.corners(path)[:, 1]
        assert heights.min() == pytest.approx(np.nanmin(group.low_K), abs=5e-3)


def test_roc_curves_and_areas_are_those_of_scikit_learn():
    rng = np.random.default_rng(4)
    curves, areas = [], {}
    for name, gap in (("stroke", 0.3), ("diabetes & co", 1.5)):
        truth = rng.random(200) < 0.4
        score = rng.normal(gap * truth, 1)
        false_rate, true_rate, _ = roc_curve(truth, score)
        curves.append((name, false_rate, true_rate))
        areas[name] = f"{roc_auc_score(truth, score):.2f}"
    picture = picture_of(RocPlot("x", (*curves, ("asked of nobody", np.array([]), np.array([])))))
    paper = Paper(picture.figure)
    for path, (name, false_rate, true_rate) in zip(paper.paths("curve"), curves, strict=True):
        assert path.get("data-curve") == name
        np.testing.assert_allclose(paper.corners(path), np.column_stack([false_rate, true_rate]), atol=2e-3)
    best_first = [("diabetes & co", areas["diabetes & co"]), ("stroke", areas["stroke"]), ("asked of nobody", "–")]
    assert picture.legend.rows == tuple(best_first)


MODALITY_NAMES = ("eeg", "eog", "emg", "ecg", "airflow", "belt", "spo2", "ibi", "resp")
SUBSETS = [members for size in range(1, 10) for members in combinations(MODALITY_NAMES, size)]


def test_all_511_subsets_lie_at_their_number_and_figure_and_the_extremes_are_named():
    rng = np.random.default_rng(5)
    values = np.array([0.3 + 0.04 * len(s) + 0.2 * ("ecg" in s) + rng.normal(0, 0.02) for s in SUBSETS])
    plot = SubsetPlot("x", "kappa", tuple("+".join(s) for s in SUBSETS), values, more_is_better=True)
    picture = picture_of(plot)
    svg = ElementTree.fromstring(picture.figure)
    sizes = {float(t.get("x")): int(t.text) for t in svg.iter("text") if t.get("class") == "time ink"}
    x_line = np.polyfit(list(sizes), list(sizes.values()), 1)
    y_line = Paper(picture.figure, factor=0).y_line
    table = pd.DataFrame({"size": list(map(len, SUBSETS)), "value": values}, index=[" + ".join(s) for s in SUBSETS])
    dots = {dot.find("title").text.split(":")[0]: dot for dot in svg.iter("circle")}
    assert set(dots) == set(table.index)
    for name, dot in dots.items():
        assert round(np.polyval(x_line, float(dot.get("cx")))) == table["size"][name]
        assert np.polyval(y_line, float(dot.get("cy"))) == pytest.approx(table["value"][name], abs=2e-3)
        assert (dot.get("fill") == "#a8433f") == ("ecg" in name)
    medians = {int(p.get("data-size")): corners_of(p)[0][1] for p in svg.iter("path") if p.get("class") == "median"}
    drawn = {size: np.polyval(y_line, at) for size, at in medians.items()}
    assert drawn == pytest.approx(table.groupby("size")["value"].median().to_dict(), abs=2e-3)
    by_size = table.groupby("size")["value"]
    for row, (size, worst), best in zip(picture.legend.rows, by_size.idxmin().items(), by_size.idxmax(), strict=True):
        assert row[:2] == (str(size), str((table["size"] == size).sum()))
        for cell, name in ((row[2], worst), (row[4], best)):
            number, _, words = cell.partition(" ")
            assert float(number) == pytest.approx(table["value"][name], abs=0.0051)
            lacking = set(MODALITY_NAMES) - set(name.split(" + "))
            shown = set(words.removeprefix("all but ").split(", ")) if "all but" in words else lacking
            assert shown == lacking
            assert "all" in words or words == name
    words = [text.text for text in svg.iter("text")]
    assert f"best {values.max():.2f}" in words
    assert f"worst {values.min():.2f}" in words
    assert table["value"].idxmin() in words


@pytest.mark.parametrize(("better", "first"), [(None, "Lowest"), (True, "Worst"), (False, "Best")])
def test_what_is_best_depends_on_which_way_is_better(better, first):
    picture = picture_of(SubsetPlot("x", "error", ("eeg", "ibi", "eeg+ibi"), np.array([2.0, 1.0, np.nan]), better))
    assert picture.legend.columns[2].name == first
    assert picture.legend.rows == (("1", "2", "1.0 ibi", "1.0 ibi", "2.0 eeg"),)
    assert "1 subsets have no figure" in picture.words


def test_a_night_shows_the_model_above_and_the_scorer_below():
    scored, predicted = np.array([0.0, 0, 4, np.nan, 2]), np.array([0.0, 1, 4, 2, np.nan])
    probabilities = np.full((5, 5), 0.2)
    picture = picture_of(HypnodensityPlot("x", probabilities, scored, predicted))
    (last,) = re.findall(r'<svg[^>]*aria-label="Hypnogram.*', str(picture.figure))
    panels = {group.get("data-scorer"): group for group in ElementTree.fromstring(last).iter("g")}
    drawn = {
        name: {p.get("data-stage") for p in panel.iter("path") if p.get("data-stage")} for name, panel in panels.items()
    }
    assert drawn == {"model": {"W", "N1", "R", "N2"}, "scored": {"W", "R", "N2"}}
    assert "agree in 67 % of 3 epochs" in picture.words


def test_colours_of_risk_go_from_blue_to_red_and_none_comes_twice():
    for n in range(2, 6):
        colours = risk_colours(n)
        assert len(set(colours)) == n
        red, blue = (np.array([int(c[at : at + 2], 16) for c in colours]) for at in (1, 5))
        assert red[0] < blue[0]
        assert red[-1] > blue[-1]
    assert len(risk_colours(1)) == 1
    assert len(risk_colours(12)) == 12


@pytest.mark.parametrize(
    ("plot", "sentence"),
    [
        (BlandAltmanPlot("TST", "min", np.zeros(3), np.zeros(2)), "'TST' needs as many of each, got truth_N 3, pred"),
        (ConfusionPlot("E", ("W", "R"), np.zeros((3, 3), int)), r"'E' needs counts of shape \(2, 2\) for its 2 names"),
        (HypnodensityPlot("N", np.zeros((2, 4)), np.zeros(2), np.zeros(2)), r"probabilities of \(2, 5\), got \(2, 4\)"),
        (HypnodensityPlot("N", np.zeros((1, 5)), np.array([7.0]), np.zeros(1)), "a scored number that is no sleep"),
        (SubsetPlot("S", "kappa", ("eeg",), np.zeros(2)), "'S' needs as many of each, got subsets 1, values_N 2"),
        ("a word", "no picture is drawn of a str; give one of ConfusionPlot"),
    ],
)
def test_what_does_not_belong_together_is_named(plot, sentence):
    with pytest.raises(UsageError, match=sentence):
        picture_of(plot)
