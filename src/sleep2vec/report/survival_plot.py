"""Kaplan-Meier curves of groups of predicted risk. Letter: K steps."""

import math

import numpy as np
from markupsafe import escape

from sleep2vec.report.axes import PANEL_WIDTH, SHARE, Axes, figure_svg, percent
from sleep2vec.report.curves import apart
from sleep2vec.report.drawing import short
from sleep2vec.report.evaluation_plots import KaplanMeierPlot, SurvivalStep
from sleep2vec.report.numerals import UNKNOWN_TEXT, count_text, interval_text, numeral
from sleep2vec.report.palette import risk_colours
from sleep2vec.report.picture import Column, Legend, Picture, check_lengths

_NAMES, _LONGEST_NAME = 92.0, 15
_COLUMNS = (Column("Group", False), Column("People"), Column("Events"), Column("Until, years"), Column("Without event"))


def kaplan_meier_picture(plot: KaplanMeierPlot) -> Picture:
    """Steps of each group with their band; below how many people and events each rests on, and where it ends.

    Raises:
        UsageError: the steps of a group are not as many of each.
    """
    for group in plot.groups:
        check_lengths(
            plot.title, years_K=group.years_K, survival_K=group.survival_K, low_K=group.low_K, high_K=group.high_K
        )
    steps = [_steps(group) for group in plot.groups]
    colours = risk_colours(len(plot.groups)) if plot.groups else ()
    legend = Legend(_COLUMNS, tuple(map(_row, plot.groups, steps)), colours)
    drawn = [step_K4 for step_K4 in steps if len(step_K4) > 1]
    if not drawn:
        return Picture(plot.title, "No group with a known course.", None, legend if plot.groups else None)
    lowest = min(float(np.nanmin(step_K4[:, 1:])) for step_K4 in drawn)
    floor = max(math.floor(lowest * 10 - 0.2) / 10, 0.0) if lowest > 0.5 else 0.0
    longest = max(float(step_K4[-1, 0]) for step_K4 in drawn)
    axes = Axes((0.0, longest if longest > 1e-6 else 1.0), (floor, SHARE[1]), right=PANEL_WIDTH - _NAMES)
    bands, curves, named = [], [], []
    for group, step_K4, colour in zip(plot.groups, steps, colours, strict=True):
        if len(step_K4) < 2:
            continue
        bands.append(_band(axes, step_K4, colour))
        curve = stairs(axes, step_K4[:, 0], step_K4[:, 1])
        title = f"<title>{escape(group.name)}</title>"
        curves.append(
            f'<path class="curve" data-group="{escape(group.name)}" stroke="{colour}" d="{curve}">{title}</path>'
        )
        named.append((axes.y(float(step_K4[-1, 1])), _shortened(group.name), colour))
    parts = [axes.ruled("years", "without event", y_words=percent), *bands, *curves]
    for at, name, colour in apart(named, axes.top, axes.bottom + 4):
        swatch = f'<tspan style="fill:{colour}">●</tspan>'
        parts.append(f'<text class="name" x="{axes.right + 6:g}" y="{short(at)}">{swatch} {escape(name)}</text>')
    words = "Kaplan-Meier by group of predicted risk; the bands are pointwise intervals."
    if floor > 0:
        words += f" The axis begins at {percent(floor)}."
    return Picture(plot.title, words, figure_svg(parts, f"{plot.title}: Kaplan-Meier curves", axes.height), legend)


def stairs(axes: Axes, xs: np.ndarray, ys: np.ndarray, backwards: bool = False) -> str:
    """A path that keeps its height until the next step; drawn from its end it continues another path."""
    corners = [(xs[0], ys[0])]
    for x, before, y in zip(xs[1:], ys[:-1], ys[1:], strict=True):
        corners += [(x, before), (x, y)] if before != y else [(x, y)]
    places = [f"{short(axes.x(float(x)))} {short(axes.y(float(y)))}" for x, y in corners]
    if backwards:
        return "L" + "L".join(reversed(places))
    return "M" + "L".join(places)


def _band(axes: Axes, step_K4: np.ndarray, colour: str) -> str:
    """Between low and high, as far as both are known."""
    known_K4 = step_K4[np.isfinite(step_K4).all(axis=1)]
    if len(known_K4) == 0:
        return ""
    outline = stairs(axes, known_K4[:, 0], known_K4[:, 3])
    outline += stairs(axes, known_K4[:, 0], known_K4[:, 2], backwards=True)
    return f'<path class="band" fill="{colour}" d="{outline}Z"/>'


def _steps(group: SurvivalStep) -> np.ndarray:
    """(K, 4): years, survival, low, high of known steps, from everybody at time 0 on."""
    columns = (group.years_K, group.survival_K, group.low_K, group.high_K)
    table_K4 = np.column_stack([np.asarray(values_K, dtype=float) for values_K in columns])
    table_K4 = table_K4[np.isfinite(table_K4[:, :2]).all(axis=1)]
    if len(table_K4) == 0 or table_K4[0, 0] > 0:
        table_K4 = np.vstack([[0.0, 1.0, 1.0, 1.0], table_K4])
    return table_K4


def _row(group: SurvivalStep, step_K4: np.ndarray) -> tuple[str, ...]:
    people = (group.name, count_text(group.n_people), count_text(group.n_events))
    if len(step_K4) < 2:
        return (*people, UNKNOWN_TEXT, UNKNOWN_TEXT)
    years, survival, low, high = step_K4[-1].tolist()
    return (*people, numeral(years, 1), f"{numeral(survival, 2)} ({interval_text(low, high, 2)})")


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"
