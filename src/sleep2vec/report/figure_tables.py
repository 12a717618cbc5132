"""Tables of what an evaluation found: all people first, then groups of them, then subsets of the sensors."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from sleep2vec.metrics.figure import Figure
from sleep2vec.report.axes import Axes, fitted_range, mark_words
from sleep2vec.report.curves import round_ticks
from sleep2vec.report.drawing import short, svg_text
from sleep2vec.report.numerals import count_text, decimals_of, interval_text, numeral

_STRIP_WIDTH, _STRIP_HEIGHT = 92.0, 16.0
EVERYBODY, EVERY_SENSOR = "all people", "all sensors"


@dataclass(frozen=True)
class FigureRow:
    """A line of the main table; `n_rows` is how many lines its outcome spans, 0 where the one above spans it."""

    outcome: str
    n_rows: int
    what: str
    estimate: str
    interval: str
    nights: str
    people: str


@dataclass(frozen=True)
class ComparedRow:
    """A line of a comparison; `style` is ``all`` for the figure that all others stand beside, ``first`` where a new
    kind of group begins."""

    name: str
    style: str
    strip: Markup
    estimate: str
    interval: str
    nights: str
    people: str


@dataclass(frozen=True)
class Comparison:
    """One figure of several groups or subsets; `scale` is the head of the strips, `beside_px` where on it the overall
    figure lies (empty where that is unknown)."""

    title: str
    kind: str
    scale: Markup
    beside_px: str
    rows: tuple[ComparedRow, ...]


def main_rows(figures: Sequence[Figure]) -> list[FigureRow]:
    """Of all people and all sensors, outcome by outcome in their first order."""
    overall = [figure for figure in figures if not figure.group and not figure.sensors]
    rows = []
    for outcome in dict.fromkeys(figure.outcome for figure in overall):
        of_outcome = [figure for figure in overall if figure.outcome == outcome]
        for i, figure in enumerate(of_outcome):
            rows.append(FigureRow(outcome, 0 if i else len(of_outcome), figure.what, *figure_texts(figure)))
    return rows


def group_comparisons(figures: Sequence[Figure]) -> list[Comparison]:
    """One for each figure that was asked of groups: everybody first, then the groups in their order."""
    return _comparisons(figures, lambda f: f.group, lambda f: f.sensors, "Group", EVERYBODY)


def sensor_comparisons(figures: Sequence[Figure]) -> list[Comparison]:
    """One for each figure that was asked of subsets of the sensors: all sensors first, then the subsets in order."""
    return _comparisons(figures, lambda f: f.sensors, lambda f: f.group, "Sensors", EVERY_SENSOR)


def figure_texts(figure: Figure, decimals: int | None = None) -> tuple[str, str, str, str]:
    """Estimate, interval, nights, people."""
    if decimals is None:
        decimals = decimals_of(figure.estimate, figure.low, figure.high)
    return (
        numeral(figure.estimate, decimals),
        interval_text(figure.low, figure.high, decimals),
        count_text(figure.n_nights),
        count_text(figure.n_people),
    )


def _comparisons(
    figures: Sequence[Figure],
    name_of: Callable[[Figure], str],
    other_of: Callable[[Figure], str],
    kind: str,
    everything: str,
) -> list[Comparison]:
    """What is compared goes by `name_of`; figures that differ in outcome, metric or `other_of` stand apart."""
    together: dict[tuple[str, str, str], list[Figure]] = {}
    for figure in figures:
        together.setdefault((figure.outcome, figure.what, other_of(figure)), []).append(figure)
    found = []
    for (outcome, what, other), some in together.items():
        parts = [figure for figure in some if name_of(figure)]
        # A group that was also asked of subsets is compared once, with the subsets.
        if not parts or (kind == "Group" and other):
            continue
        overall = next((figure for figure in some if not name_of(figure)), None)
        title = ", ".join(filter(None, (what, outcome, _spaced(other))))
        found.append(_comparison(title, kind, parts, overall, name_of, everything))
    return found


def _comparison(
    title: str,
    kind: str,
    parts: list[Figure],
    overall: Figure | None,
    name_of: Callable[[Figure], str],
    everything: str,
) -> Comparison:
    """A line for each of the parts, all with as many decimals as the first deserves."""
    rows = [*([overall] if overall is not None else []), *parts]
    known = [value for f in rows for value in (f.estimate, f.low, f.high) if value is not None and math.isfinite(value)]
    axes = Axes(fitted_range(known), (0, 1), 10, _STRIP_WIDTH - 10, 0, _STRIP_HEIGHT)
    decimals = decimals_of(rows[0].estimate, rows[0].low, rows[0].high)
    lines, before = [], None
    for figure in rows:
        name = name_of(figure)
        family = name.partition(":")[0] if ":" in name else None
        style = "all" if figure is overall else "first" if before is not None and family != before else ""
        before = family if figure is not overall else before
        lines.append(
            ComparedRow(_spaced(name) or everything, style, _strip(axes, figure), *figure_texts(figure, decimals))
        )
    at = None if overall is None else overall.estimate
    beside = short(axes.x(at)) if at is not None and math.isfinite(at) else ""
    return Comparison(title, kind, _scale(axes) if known else Markup(""), beside, tuple(lines))


def _strip(axes: Axes, figure: Figure) -> Markup:
    """Estimate and interval on the scale of the table."""
    parts, middle = [], _STRIP_HEIGHT / 2
    if figure.low is not None and figure.high is not None and math.isfinite(figure.high - figure.low):
        ends = f"M{short(axes.x(figure.low))} {middle:g}H{short(axes.x(figure.high))}"
        parts.append(f'<path class="span" d="{ends}"/>')
    if figure.estimate is not None and math.isfinite(figure.estimate):
        parts.append(f'<circle class="estimate" cx="{short(axes.x(figure.estimate))}" cy="{middle:g}" r="3.4"/>')
    return _hidden(parts)


def _scale(axes: Axes) -> Markup:
    """Round numbers over the strips, as many as can be read."""
    for about in (4, 3, 2, 1):
        marks = round_ticks(*axes.x_range, about)
        written = [mark_words(marks)(mark) for mark in marks]
        room = (
            (axes.right - axes.left) * (marks[1] - marks[0]) / (axes.x_range[1] - axes.x_range[0]) if marks[1:] else 0
        )
        if not marks[1:] or room > 7 + 6.2 * max(map(len, written)):
            break
    texts = zip(marks, written, strict=True)
    return _hidden([svg_text(round(axes.x(mark), 2), _STRIP_HEIGHT - 4, text, "time") for mark, text in texts])


def _hidden(parts: list[str]) -> Markup:
    """The numbers stand beside it: nothing to read aloud."""
    return Markup(
        f'<svg class="strip" viewBox="0 0 {_STRIP_WIDTH:g} {_STRIP_HEIGHT:g}" aria-hidden="true">{"".join(parts)}</svg>'
    )


def _spaced(names: str) -> str:
    """``eeg + eog``: a line may break there."""
    return " + ".join(part.strip() for part in names.split("+")) if "+" in names and ":" not in names else names
