"""What a model's confidence is worth: whether it comes true, and what abstaining buys. Letter: K bins or steps."""

import math

import numpy as np

from sleep2vec.report.axes import SHARE, Axes, dot, figure_svg, line, percent
from sleep2vec.report.drawing import short, svg_text
from sleep2vec.report.evaluation_plots import CoveragePlot, ReliabilityPlot
from sleep2vec.report.numerals import count_text, numeral
from sleep2vec.report.palette import MAIN, SECOND
from sleep2vec.report.picture import Picture, check_lengths

_COUNTS = 46.0


def reliability_picture(plot: ReliabilityPlot) -> Picture:
    """Stated confidence against the share that was right, on a diagonal; below it how many answers each bin holds.

    Raises:
        UsageError: the bins are not as many of each.
    """
    check_lengths(plot.title, confidence_K=plot.confidence_K, accuracy_K=plot.accuracy_K, counts_K=plot.counts_K)
    bins = [
        (float(confidence), float(accuracy), int(count))
        for confidence, accuracy, count in zip(plot.confidence_K, plot.accuracy_K, plot.counts_K, strict=True)
        if math.isfinite(confidence) and math.isfinite(accuracy)
    ]
    if not bins:
        return Picture(plot.title, "No answer with a confidence.", None)
    axes = Axes(SHARE, SHARE)
    parts = [axes.ruled_y("share that was right", percent)]
    parts.append(f'<path class="level" d="{line(axes, SHARE, SHARE)}"/>')
    for confidence, accuracy, _ in bins:
        ends = f"M{short(axes.x(confidence))} {short(axes.y(confidence))}V{short(axes.y(accuracy))}"
        parts.append(f'<path class="gap" d="{ends}"/>')
    parts.append(f'<path class="curve" stroke="{MAIN}" d="{line(axes, plot.confidence_K, plot.accuracy_K)}"/>')
    for confidence, accuracy, count in bins:
        words = f"said {confidence:.1%}, right {accuracy:.1%}, of {count_text(count)}"
        parts.append(dot(axes, confidence, accuracy, words, "dot firm", 4))
    below = Axes(SHARE, (0.0, 1.0), top=axes.bottom + 12, bottom=axes.bottom + 12 + _COUNTS)
    parts.append(_counts(below, bins, len(plot.counts_K)))
    parts.append(below.ruled_x("stated confidence", percent))
    total = sum(count for _, _, count in bins)
    words = (
        "How often what was said with a confidence was right: on the diagonal always as often as said, below it the "
        f"model is too sure. Expected calibration error {numeral(plot.calibration_error, 3)}; "
        f"{count_text(total)} answers, the bars are their numbers."
    )
    return Picture(plot.title, words, figure_svg(parts, f"{plot.title}: reliability diagram", below.height))


def coverage_picture(plot: CoveragePlot) -> Picture:
    """Error rate of what is still answered when the least sure is left out.

    Raises:
        UsageError: coverage and risk are not as many.
    """
    check_lengths(plot.title, coverage_K=plot.coverage_K, risk_K=plot.risk_K)
    coverage_K, risk_K = (np.asarray(values, dtype=float) for values in (plot.coverage_K, plot.risk_K))
    known_K = np.isfinite(coverage_K) & np.isfinite(risk_K)
    chosen = plot.chosen if plot.chosen is not None and all(map(math.isfinite, plot.chosen)) else None
    if not known_K.any() and chosen is None:
        return Picture(plot.title, "No answer with a confidence.", None)
    most = max([*risk_K[known_K].tolist(), *([chosen[1]] if chosen else [])])
    axes = Axes(SHARE, (0.0, 1.12 * most if most > 1e-6 else 1.0))
    parts = [axes.ruled("answered", "wrong among the answered", percent, percent)]
    parts.append(f'<path class="curve" stroke="{MAIN}" d="{line(axes, coverage_K, risk_K)}"/>')
    words = "Share of wrong answers when the least sure are left out, from all answered (right) to few (left)."
    if chosen is not None:
        at = f"answers {chosen[0]:.1%}, wrong in {chosen[1]:.1%} of them".replace("%", " %")
        words += f" At its operating point the model {at}."
        parts.append(_operating_point(axes, chosen, at))
    else:
        words += " No operating point was fitted."
    return Picture(plot.title, words, figure_svg(parts, f"{plot.title}: risk over coverage", axes.height))


def _operating_point(axes: Axes, chosen: tuple[float, float], words: str) -> str:
    x, y = axes.x(chosen[0]), axes.y(chosen[1])
    cross = f'<path class="lead" d="M{short(x)} {axes.bottom:g}V{short(y)}H{axes.left:g}"/>'
    ring = dot(axes, *chosen, words, "ring", 5, f' stroke="{SECOND}"')
    above = y - 12 if y > axes.top + 24 else y + 20
    anchor = "end" if x > (axes.left + axes.right) / 2 else "start"
    name = f'<text class="name halo" x="{short(x)}" y="{short(above)}" text-anchor="{anchor}">operating point</text>'
    return cross + ring + name


def _counts(axes: Axes, bins: list[tuple[float, float, int]], n_bins: int) -> str:
    most = max(max(count for _, _, count in bins), 1)
    half = 0.4 * (axes.right - axes.left) / n_bins
    parts = [svg_text(axes.left - 7, axes.top + 9, count_text(most), "row small")]
    for confidence, _, count in bins:
        left, right = max(axes.x(confidence) - half, axes.left), min(axes.x(confidence) + half, axes.right)
        parts.append(
            f'<path class="bar" data-count="{count}" d="M{short(left)} {axes.bottom:g}V{short(axes.y(count / most))}'
            f'H{short(right)}V{axes.bottom:g}Z"><title>{count_text(count)} answers</title></path>'
        )
    return "".join(parts)
