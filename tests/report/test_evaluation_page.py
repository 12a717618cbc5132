"""The page of an evaluation: its tables, its words, and that it is whole whatever the numbers.

Judges: `html.parser` and ElementTree, decimal arithmetic, and the scales written over the strips.
"""

import re
from dataclasses import fields, replace
from decimal import Decimal
from itertools import combinations
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from page_reader import read_html

from sleep2vec.metrics.figure import Figure
from sleep2vec.report.evaluation import EvaluationPage, evaluation_html, sections_of
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
from sleep2vec.report.figure_tables import group_comparisons, sensor_comparisons
from sleep2vec.report.numerals import decimals_of, interval_text, numeral

HOSTILE = "<script>alert(1)</script>\"'&\x00\x1b\udcff\u202e<img src=http://evil.example/x onerror=y>"
PLAIN = "<script>alert(1)</script>\"'&"  # how it begins once it is read as text
FETCHES = {"src", "xlink:href", "srcset", "action", "data", "poster", "background", "formaction"}


def number_of(text: str) -> float:
    share = 0.01 if text.endswith("%") else 1.0
    return float(re.sub(r"[ %]", "", text.replace("−", "-"))) * share


def figure(what="kappa", estimate=0.7, low=0.6, high=0.8, nights=20, people=12, **where) -> Figure:
    return Figure(what, estimate, low, high, nights, people, **where)


def page(figures=(), plots=None, **more) -> EvaluationPage:
    return EvaluationPage("store", "model", more.pop("simulated_weights", False), (), figures, plots or {}, **more)


def table_rows(html: str) -> list[list[str]]:
    body = ElementTree.fromstring(html[html.index("<body>") : html.index("</body>") + 7])
    return [[" ".join("".join(c.itertext()).split()) for c in row if c.tag in ("td", "th")] for row in body.iter("tr")]


# --- tables -----------------------------------------------------------------------------------------------------


def test_every_figure_stands_in_the_table_of_its_task_and_outcome():
    figures = [
        figure("kappa", 0.7421, 0.7301, 0.7529, 1412, 371, task="staging"),
        figure("ICC", None, None, None, task="respiratory"),
        figure("AUROC", 0.81, 0.74, 0.88, task="diagnosis", outcome="stroke"),
        figure("AUROC", 0.66, 0.6, float("nan"), task="diagnosis", outcome="diabetes"),
        figure("Brier score", 0.081, 0.0744, 0.0899, task="diagnosis", outcome="stroke"),
        figure("AHI error", -1.23, -2.6, 0.1, task="respiratory"),
    ]
    rows = table_rows(evaluation_html(page(figures)))
    assert ["kappa", "0.742", "0.730 to 0.753", "1 412", "371"] in rows
    assert ["ICC", "–", "–", "20", "12"] in rows
    assert ["AHI error", "−1.2", "−2.6 to 0.1", "20", "12"] in rows
    at = rows.index(["stroke", "AUROC", "0.81", "0.74 to 0.88", "20", "12"])
    assert rows[at + 1] == ["Brier score", "0.081", "0.074 to 0.090", "20", "12"]  # outcomes stay together
    assert rows[at + 2] == ["diabetes", "AUROC", "0.660", "0.600 to –", "20", "12"]


def test_groups_stand_beside_everybody_on_one_scale():
    figures = [
        figure(estimate=0.70, low=0.66, high=0.74),
        figure(estimate=0.62, low=0.55, high=0.68, nights=9, people=5, group="sex: female"),
        figure(estimate=0.76, low=None, high=None, group="sex: male"),
        figure(estimate=None, low=None, high=None, nights=0, people=0, group="age: above 65"),
    ]
    rows = table_rows(evaluation_html(page(figures)))
    at = next(i for i, row in enumerate(rows) if row[0] == "all people")
    assert [[row[0], *row[2:]] for row in rows[at:]] == [
        ["all people", "0.700", "0.660 to 0.740", "20", "12"],
        ["sex: female", "0.620", "0.550 to 0.680", "9", "5"],
        ["sex: male", "0.760", "–", "20", "12"],
        ["age: above 65", "–", "–", "0", "0"],
    ]
    (found,) = group_comparisons(figures)
    marks = [(float(text.get("x")), float(text.text)) for text in ElementTree.fromstring(found.scale).iter("text")]
    scale = np.polyfit(*np.array(marks).T, 1)
    assert np.polyval(scale, float(found.beside_px)) == pytest.approx(0.70, abs=0.001)
    for row, of in zip(found.rows, figures, strict=True):
        strip = ElementTree.fromstring(row.strip)
        dots = [np.polyval(scale, float(dot.get("cx"))) for dot in strip.iter("circle")]
        assert dots == ([] if of.estimate is None else [pytest.approx(of.estimate, abs=0.001)])
        ends = [float(x) for path in strip.iter("path") for x in re.findall(r"[MH]([-\d.]+)", path.get("d"))]
        expected = [] if of.low is None else [of.low, of.high]
        assert np.polyval(scale, ends).tolist() == pytest.approx(expected, abs=0.001)
    assert [row.style for row in found.rows] == ["all", "", "", "first"]  # a line where age begins


def test_subsets_of_sensors_have_a_table_of_their_own_for_each_group():
    figures = [
        figure(),
        figure(sensors="eeg+eog"),
        figure(sensors="ibi"),
        figure(group="sex: male"),
        figure(group="sex: male", sensors="ibi"),
        figure("accuracy"),
    ]
    named = {found.title: [row.name for row in found.rows] for found in sensor_comparisons(figures)}
    assert named == {"kappa": ["all sensors", "eeg + eog", "ibi"], "kappa, sex: male": ["all sensors", "ibi"]}
    assert [found.title for found in group_comparisons(figures)] == ["kappa"]
    assert not any("eeg" in "".join(row) for row in table_rows(evaluation_html(page(figures[:1]))))


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e3))
def test_a_number_is_printed_to_two_digits_of_its_interval(low, width):
    decimals = decimals_of(low, low, low + width)
    text = interval_text(low, low + width, decimals)
    for printed, value in zip(map(number_of, text.split(" to ")), (low, low + width), strict=True):
        assert abs(printed - value) <= 0.5001 * 10.0**-decimals + 1e-9
    true_width = Decimal(low + width) - Decimal(low)
    if 1 <= decimals < 4 and width > 1e-9 * abs(low):
        assert 10 <= true_width * 10**decimals < 101


def test_what_is_unknown_is_a_dash_and_nothing_has_no_sign():
    assert [numeral(value, 1) for value in (None, float("nan"), -0.04, -2.26, 12345.0)] == [
        "–", "–", "0.0", "−2.3", "12 345.0"
    ]  # fmt: skip
    assert numeral(float("-inf"), 2) == "−∞"
    assert numeral(0.5, 1, signed=True) == "+0.5"


# --- the whole --------------------------------------------------------------------------------------------------

MODALITY_NAMES = ("eeg", "eog", "emg", "ecg", "airflow", "belt", "spo2", "ibi", "resp")
SUBSETS = [members for size in range(1, 10) for members in combinations(MODALITY_NAMES, size)]
NUMBERS = st.one_of(st.floats(-1e9, 1e9), st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 1.0, 1e-300]))
MAYBE = st.one_of(st.none(), NUMBERS)
STAGES = st.sampled_from([0.0, 1.0, 2.0, 3.0, 4.0, np.nan])


@st.composite
def any_page(draw) -> EvaluationPage:
    n = draw(st.integers(0, 6))
    values = [draw(arrays.arrays(np.float64, n, elements=NUMBERS)) for _ in range(4)]
    counts = draw(arrays.arrays(np.int64, n, elements=st.integers(0, 10**9)))
    stages = [draw(arrays.arrays(np.float64, n, elements=STAGES)) for _ in range(2)]
    words = draw(st.sampled_from(["x", HOSTILE, ""]))
    pair = draw(st.one_of(st.none(), st.tuples(NUMBERS, NUMBERS)))
    subsets = tuple("+".join(SUBSETS[i * 40]) for i in range(n))
    plots = [
        ConfusionPlot(words, tuple(words for _ in range(n)), np.tile(counts, (n, 1)) if n else np.zeros((0, 0), int)),
        HypnodensityPlot(words, np.tile(values[0][:, None], (1, 5)), *stages),
        BlandAltmanPlot(words, words, values[0], values[1]),
        ReliabilityPlot(words, values[0], values[1], counts, draw(MAYBE)),
        CoveragePlot(words, values[0], values[1], pair),
        KaplanMeierPlot(words, (SurvivalStep(words, 3, 1, np.sort(np.abs(values[0])), *values[1:]),)),
        RocPlot(words, ((words, values[0], values[1]),)),
        SubsetPlot(words, words, subsets, values[0], draw(st.sampled_from([None, True, False]))),
    ]
    figures = [
        Figure(words, draw(MAYBE), draw(MAYBE), draw(MAYBE), n, n, task, words, group, sensors)
        for task in ("", words)
        for group in ("", words)
        for sensors in ("", "eeg+ibi")
    ]
    return page(figures, {words: plots}, warnings=(words,), versions={words: words}, simulated_weights=n % 2 == 0)


@settings(deadline=None, max_examples=60)
@given(any_page())
def test_whatever_the_numbers_the_page_is_whole_and_nothing_is_fetched(given_page):
    html = evaluation_html(given_page)
    reader = read_html(html)
    ids = {attributes.get("id") for _, attributes in reader.tags}
    for tag, attributes in reader.tags:
        assert tag not in ("script", "img", "iframe", "object", "link")
        assert not FETCHES & set(attributes)
        assert not any(name.startswith("on") for name in attributes)
        assert attributes.get("href", "#task-1").removeprefix("#") in ids | {"task-1"}
        places = [attributes.get(name) or "" for name in ("d", "x", "y", "cx", "cy", "width", "height", "viewbox")]
        assert not re.search("nan|inf|e[+-]?[0-9]", " ".join(places))
        if attributes.get("role") == "img":
            assert attributes["aria-label"]
    assert not re.search(r"\b(nan|None|inf)\b", reader.text)


def test_words_from_anywhere_are_shown_and_never_obeyed():
    places = ({}, {"group": HOSTILE}, {"sensors": HOSTILE})
    figures = [figure(HOSTILE, task=HOSTILE, outcome=HOSTILE, **where) for where in places]
    two = np.array([0.0, 1.0])
    plots = {
        HOSTILE: [
            ConfusionPlot(HOSTILE, (HOSTILE, "b"), np.eye(2, dtype=int)),
            BlandAltmanPlot(HOSTILE, HOSTILE, two, two + 1),
            KaplanMeierPlot(HOSTILE, (SurvivalStep(HOSTILE, 2, 1, two, 1 - two / 2, 0 * two, two),)),
            RocPlot(HOSTILE, ((HOSTILE, two, two),)),
            SubsetPlot(HOSTILE, HOSTILE, (HOSTILE, "eeg"), two),
        ]
    }
    hostile = EvaluationPage(
        HOSTILE, HOSTILE, False, ((HOSTILE, HOSTILE),), figures, plots, (HOSTILE,), {HOSTILE: HOSTILE}
    )
    reader = read_html(evaluation_html(hostile))
    assert not {"script", "img"} & {tag for tag, _ in reader.tags}
    assert not {"\x00", "\x1b", "\udcff", "\u202e"} & set(reader.text)
    assert reader.text.count(PLAIN) > 30
    for name in (each.name for each in fields(EvaluationPage)):  # each of them reaches the page
        if name != "simulated_weights":
            less = replace(hostile, **{name: type(getattr(hostile, name))()})
            assert read_html(evaluation_html(less)).text.count(PLAIN) < reader.text.count(PLAIN)


def test_a_page_says_of_whom_simulated_weights_speak_and_what_it_was_made_from():
    facts = (("Store", "mesa-test"), ("Command", "sleep2vec evaluate --model m --store mesa-test --out here"))
    made = EvaluationPage("t", "staging-tiny", True, facts, warnings=("No EEG.",), versions={"numpy": "2.4"})
    text = read_html(evaluation_html(made)).text
    assert "trained on simulated nights only" in text
    assert "say nothing of a person" in text
    assert "say nothing of a person" in read_html(evaluation_html(replace(made, warnings=()))).text
    real = read_html(evaluation_html(replace(made, simulated_weights=False))).text
    assert "imulated" not in real
    for words in (
        "Model staging-tiny",
        "Store mesa-test",
        facts[1][1],
        "No EEG.",
        "numpy 2.4",
        "Nothing was evaluated",
    ):
        assert words in real


def test_the_contents_show_what_the_field_asks_for_first():
    """Kappa before accuracy, F1 before precision, a C-index before how many died; else the first figure there is."""
    told = {
        "staging": ("accuracy", "kappa"),
        "arousal": ("precision", "F1"),
        "survival": ("people with the event", "Harrell's C, embedding"),
        "custom": ("dose",),
    }
    figures = [figure(what, task=task) for task, names in told.items() for what in names]
    shown = {section.name: section.headline for section in sections_of(page(figures))}
    assert [row.what for row in shown.values()] == ["kappa", "F1", "Harrell's C, embedding", "dose"]


def test_contents_lead_to_every_task_where_there_is_more_than_one():
    figures = [figure(task="staging"), figure("MAE", 7.0, None, None, task="age")]
    plots = {"survival": [KaplanMeierPlot("x", ())], "staging": []}
    reader = read_html(evaluation_html(page(figures, plots)))
    links = [attributes["href"] for tag, attributes in reader.tags if tag == "a"]
    sections = [attributes["id"] for tag, attributes in reader.tags if "id" in attributes and tag == "section"]
    assert links == [f"#{name}" for name in sections]
    assert len(links) == 3
    headings = [reader.text.index(name) for name in ("Staging", "Age", "Survival")]
    assert headings == sorted(headings)
    one = read_html(evaluation_html(page(figures[:1])))
    assert not [tag for tag, _ in one.tags if tag in ("a", "nav")]
