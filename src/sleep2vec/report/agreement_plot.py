"""Bland and Altman's picture: how far a prediction lies from the truth, over its size. Letter: N nights or people."""

import numpy as np

from sleep2vec.metrics.regression import BlandAltman, bland_altman
from sleep2vec.report.axes import PANEL_WIDTH, Axes, dot, figure_svg, fitted_range
from sleep2vec.report.curves import apart
from sleep2vec.report.drawing import short
from sleep2vec.report.evaluation_plots import BlandAltmanPlot
from sleep2vec.report.numerals import count_text, decimals_of, numeral
from sleep2vec.report.palette import MAIN, NEUTRAL, SECOND
from sleep2vec.report.picture import Picture, check_lengths

_MOST_NAMED = 1000
_NAMES = 82.0


def bland_altman_picture(plot: BlandAltmanPlot) -> Picture:
    """Points, bias and limits of agreement (`metrics.regression.bland_altman`), with the intervals of all three.

    Raises:
        UsageError: not as many predictions as truths.
    """
    check_lengths(plot.title, truth_N=plot.truth_N, predicted_N=plot.predicted_N)
    truth_N, predicted_N = (np.asarray(values, dtype=float) for values in (plot.truth_N, plot.predicted_N))
    known_N = np.isfinite(truth_N) & np.isfinite(predicted_N)
    truth_N, predicted_N = truth_N[known_N], predicted_N[known_N]
    if len(truth_N) == 0:
        return Picture(plot.title, "No pair of a predicted and a true number is known.", None)
    found = bland_altman(truth_N, predicted_N)
    difference_N, mean_N = predicted_N - truth_N, (predicted_N + truth_N) / 2
    ends = () if found is None else (*found.lower_interval, *found.upper_interval)
    axes = Axes(fitted_range(mean_N), fitted_range([0.0, *difference_N, *ends]), right=PANEL_WIDTH - _NAMES)
    unit = f", {plot.unit}" if plot.unit else ""
    parts = [axes.ruled(f"mean of predicted and true{unit}", f"predicted − true{unit}")]
    parts.append(f'<path class="axis" d="M{axes.left:g} {short(axes.y(0))}H{axes.right:g}"/>')
    if found is not None:
        parts += _limits(axes, found)
    parts += _points(axes, truth_N, predicted_N)
    return Picture(
        plot.title, _words(plot, found, len(truth_N)), figure_svg(parts, f"{plot.title}: Bland-Altman", axes.height)
    )


def _points(axes: Axes, truth_N: np.ndarray, predicted_N: np.ndarray) -> list[str]:
    """Each with its numbers; where they are too many to be pointed at, one stroke for all."""
    pairs = list(zip(truth_N.tolist(), predicted_N.tolist(), strict=True))
    if len(pairs) > _MOST_NAMED:
        dots = "".join(f"M{short(axes.x((t + p) / 2))} {short(axes.y(p - t))}h0" for t, p in pairs)
        return [f'<path class="points" data-points="" stroke="{MAIN}" d="{dots}"/>']
    return [dot(axes, (t + p) / 2, p - t, f"true {t:.4g}, predicted {p:.4g}") for t, p in pairs]


def _limits(axes: Axes, found: BlandAltman) -> list[str]:
    rows = (
        ("+1.96 SD", found.upper_limit, found.upper_interval, NEUTRAL, "limit"),
        ("bias", found.bias, found.bias_interval, SECOND, "bias"),
        ("−1.96 SD", found.lower_limit, found.lower_interval, NEUTRAL, "limit"),
    )
    decimals = _decimals(found)
    parts, named = [], []
    for name, value, (low, high), colour, style in rows:
        parts.append(
            f'<path class="band" fill="{colour}" d="M{axes.left:g} {short(axes.y(low))}H{axes.right:g}'
            f'V{short(axes.y(high))}H{axes.left:g}Z"/>'
        )
        parts.append(f'<path class="{style}" d="M{axes.left:g} {short(axes.y(value))}H{axes.right:g}"/>')
        ink = colour if style == "bias" else ""
        named.append((axes.y(value), f"{name} {numeral(value, decimals, signed=True)}", ink))
    for at, words, ink in apart(named, axes.top, axes.bottom + 4):
        fill = f' style="fill:{ink}"' if ink else ""
        head, _, number = words.rpartition(" ")
        text = f'{head} <tspan class="strong">{number}</tspan>'
        parts.append(f'<text class="name" x="{axes.right + 5:g}" y="{short(at)}"{fill}>{text}</text>')
    return parts


def _words(plot: BlandAltmanPlot, found: BlandAltman | None, n: int) -> str:
    if found is None:
        return "One pair alone has neither bias nor limits."
    decimals, unit = _decimals(found), f" {plot.unit}" if plot.unit else ""
    low, high = (numeral(value, decimals, signed=True) for value in (found.lower_limit, found.upper_limit))
    return (
        f"Bias {numeral(found.bias, decimals, signed=True)}{unit}, limits of agreement {low} to {high}{unit} "
        f"(bias ± 1.96 SD); bands are their 95 % intervals. n\u00a0=\u00a0{count_text(n)}."
    )


def _decimals(found: BlandAltman) -> int:
    return decimals_of(found.bias, *found.bias_interval)
