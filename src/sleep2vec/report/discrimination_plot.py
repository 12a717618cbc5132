"""Receiver operating characteristics, one curve an outcome."""

import numpy as np
from markupsafe import escape

from sleep2vec.report.axes import SHARE, Axes, figure_svg, line, percent
from sleep2vec.report.evaluation_plots import RocPlot
from sleep2vec.report.numerals import numeral
from sleep2vec.report.palette import SERIES
from sleep2vec.report.picture import Column, Legend, Picture, check_lengths

_COLUMNS = (Column("Outcome", False), Column("Area under the curve"))


def roc_picture(plot: RocPlot) -> Picture:
    """All curves over the diagonal of guessing; below, their areas, largest first.

    Raises:
        UsageError: the rates of a curve are not as many.
    """
    axes, areas, strokes = Axes(SHARE, SHARE), [], []
    for i, (name, false_rate, true_rate) in enumerate(plot.curves):
        check_lengths(plot.title, false_positive_rate=false_rate, true_positive_rate=true_rate)
        colour = SERIES[i % len(SERIES)]
        path = line(axes, np.asarray(false_rate, float), np.asarray(true_rate, float))
        area = _area(np.asarray(false_rate, float), np.asarray(true_rate, float))
        areas.append((name, area, colour))
        dashed = " dashed" if i >= len(SERIES) else ""
        title = f"<title>{escape(name)}: {numeral(area, 2)}</title>"
        if path:
            strokes.append(
                f'<path class="curve{dashed}" data-curve="{escape(name)}" stroke="{colour}" d="{path}">{title}</path>'
            )
    areas.sort(key=lambda row: -1.0 if np.isnan(row[1]) else row[1], reverse=True)
    rows = tuple((name, numeral(area, 2)) for name, area, _ in areas)
    legend = Legend(_COLUMNS, rows, tuple(colour for *_, colour in areas)) if areas else None
    if not strokes:
        return Picture(plot.title, "No outcome with both answers.", None, legend)
    parts = [axes.ruled("false positive rate", "true positive rate", percent, percent)]
    parts.append(f'<path class="level" d="{line(axes, SHARE, SHARE)}"/>')
    words = "True against false positives over all thresholds; the dashed diagonal is a guess."
    label = f"{plot.title}: receiver operating characteristic"
    return Picture(plot.title, words, figure_svg([*parts, *strokes], label, axes.height), legend)


def _area(false_rate: np.ndarray, true_rate: np.ndarray) -> float:
    """By trapezoids; NaN where a rate is unknown or there are not two."""
    if len(false_rate) < 2 or not (np.isfinite(false_rate).all() and np.isfinite(true_rate).all()):
        return float("nan")
    return float(np.trapezoid(true_rate, false_rate))
