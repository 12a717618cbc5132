"""A figure of every subset of modalities: how much is lost with fewer sensors, and which one matters most.

Letter: N subsets.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sleep2vec.report.axes import Axes, dot, figure_svg, fitted_range
from sleep2vec.report.curves import apart
from sleep2vec.report.drawing import short, svg_text
from sleep2vec.report.evaluation_plots import SubsetPlot
from sleep2vec.report.numerals import count_text, decimals_of, numeral
from sleep2vec.report.palette import PALE, modality_colour
from sleep2vec.report.picture import Column, Legend, Picture, check_lengths
from sleep2vec.vocabulary.modalities import MODALITIES

_WIDTH, _NAMES = 1000.0, 170.0
_RADIUS, _APART = 2.6, 5.6
_LONGEST_NAME = 23


@dataclass(frozen=True)
class Subset:
    """One subset of modalities and its figure."""

    members: frozenset[str]
    value: float


@dataclass(frozen=True)
class Extremes:
    """Three of several subsets, by value."""

    low: Subset
    median: Subset
    high: Subset


def subset_picture(plot: SubsetPlot) -> Picture:
    """A strip of points for each number of modalities; lowest, median and highest by name.

    Raises:
        UsageError: not as many values as subsets.
    """
    check_lengths(plot.title, subsets=plot.subsets, values_N=plot.values_N)
    subsets = [
        Subset(frozenset(part.strip() for part in names.split("+") if part.strip()), float(value))
        for names, value in zip(plot.subsets, plot.values_N, strict=True)
        if math.isfinite(value)
    ]
    if not subsets:
        return Picture(plot.title, "No subset with a known figure.", None, wide=True)
    everything = frozenset().union(*(subset.members for subset in subsets))
    by_size = {
        size: [subset for subset in subsets if len(subset.members) == size]
        for size in sorted({len(subset.members) for subset in subsets})
    }
    values = [subset.value for subset in subsets]
    decimals = decimals_of(None, min(values), max(values))
    telling = most_telling(subsets)
    axes = Axes(
        (min(by_size) - 0.5, max(by_size) + 0.5), fitted_range(values), left=56, right=_WIDTH - _NAMES, bottom=306
    )
    parts = [axes.ruled_y(plot.what)]
    parts += _names(axes, extremes(subsets), _words_of(plot), decimals, everything)
    for size, some in by_size.items():
        parts.append(_strip(axes, size, some, telling, decimals))
    middle = (axes.left + axes.right) / 2
    parts.append(svg_text(middle, axes.bottom + 50, "modalities (number of subsets)", "time title"))
    label = f"{plot.title}: {plot.what} of {len(subsets)} subsets of modalities"
    words = (
        f"{plot.what}: each point is one of {count_text(len(subsets))} subsets of modalities, by how many it has. "
        "The strokes are medians."
    )
    if telling is not None:
        words += f" In colour: subsets with {_title(telling)}, whose presence changes the figure most."
    if len(subsets) < len(plot.subsets):
        words += f" {count_text(len(plot.subsets) - len(subsets))} subsets have no figure."
    figure = figure_svg(parts, label, axes.bottom + 58, _WIDTH)
    return Picture(plot.title, words, figure, _legend(plot, by_size, decimals, everything), wide=True)


def extremes(subsets: Sequence[Subset]) -> Extremes:
    """The lowest, the (lower) median and the highest; of equals, the first by name."""
    ordered = sorted(subsets, key=lambda subset: (subset.value, ordered_names(subset.members)))
    return Extremes(ordered[0], ordered[(len(ordered) - 1) // 2], ordered[-1])


def most_telling(subsets: Sequence[Subset]) -> str | None:
    """The modality with which the mean differs most from that without; None where none is ever missing."""
    found: list[tuple[float, str]] = []
    for name in ordered_names(frozenset().union(*(subset.members for subset in subsets))):
        having = [subset.value for subset in subsets if name in subset.members]
        lacking = [subset.value for subset in subsets if name not in subset.members]
        if lacking:
            found.append((abs(float(np.mean(having)) - float(np.mean(lacking))), name))
    return max(found, key=lambda row: row[0])[1] if found else None


def ordered_names(members: frozenset[str]) -> list[str]:
    """In the order of the table of modalities, strangers last."""
    order = list(MODALITIES)
    return sorted(members, key=lambda name: (order.index(name) if name in order else len(order), name))


def subset_name(members: frozenset[str], everything: frozenset[str]) -> str:
    """``eeg + ibi``; what lacks a few of many is named by what it lacks."""
    missing = everything - members
    if not missing and len(everything) > 2:
        return f"all {len(everything)}"
    if len(everything) > 4 and 2 * len(missing) <= len(members):
        return "all but " + ", ".join(ordered_names(missing))
    return " + ".join(ordered_names(members)) or "none"


def _strip(axes: Axes, size: int, subsets: list[Subset], telling: str | None, decimals: int) -> str:
    """Points of one number of modalities, beside each other where they are alike; a stroke at their median."""
    room = 0.82 * (axes.x(size + 0.5) - axes.x(size - 0.5))
    rows: dict[int, list[Subset]] = {}
    for subset in sorted(subsets, key=lambda s: (telling not in s.members, ordered_names(s.members))):
        rows.setdefault(round(axes.y(subset.value) / _APART), []).append(subset)
    parts = []
    for row in rows.values():
        step = min(_APART, room / len(row))
        for i, subset in enumerate(row):
            aside = (i - (len(row) - 1) / 2) * step
            colour = modality_colour(telling) if telling in subset.members and telling is not None else PALE
            words = f"{' + '.join(ordered_names(subset.members)) or 'none'}: {numeral(subset.value, decimals)}"
            x_N = size + aside / (axes.x(size + 0.5) - axes.x(size - 0.5))
            parts.append(dot(axes, x_N, subset.value, words, "subset", _RADIUS, f' fill="{colour}"'))
    y = short(axes.y(float(np.median([subset.value for subset in subsets]))))
    ends = f"M{short(axes.x(size) - room / 2)} {y}H{short(axes.x(size) + room / 2)}"
    parts.append(f'<path class="median" data-size="{size}" d="{ends}"/>')
    parts.append(svg_text(round(axes.x(size), 2), axes.bottom + 16, f"{size}", "time ink"))
    parts.append(svg_text(round(axes.x(size), 2), axes.bottom + 30, f"({count_text(len(subsets))})", "time"))
    return "".join(parts)


def _names(
    axes: Axes, three: Extremes, words: tuple[str, str, str], decimals: int, everything: frozenset[str]
) -> list[str]:
    """Lowest, median and highest of all beside the frame, each with a line to its height."""
    chosen = dict(zip(words, (three.low, three.median, three.high), strict=True))
    parts = [
        f'<path class="lead" d="M{axes.left:g} {short(axes.y(subset.value))}H{axes.right:g}"/>'
        for subset in chosen.values()
    ]
    # Two lines each: set apart on paper of half the height, where each takes one.
    named = [(axes.y(subset.value) / 2 - 5, word, "") for word, subset in chosen.items()]
    for half, word, _ in apart(named, axes.top / 2, (axes.bottom - 13) / 2):
        subset, at = chosen[word], 2 * half
        name = subset_name(subset.members, everything)
        name = name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"
        parts.append(svg_text(axes.right + 8, round(at, 2), f"{word} {numeral(subset.value, decimals)}", "name strong"))
        parts.append(svg_text(axes.right + 8, round(at + 13, 2), name, "name"))
    return parts


def _words_of(plot: SubsetPlot) -> tuple[str, str, str]:
    if plot.more_is_better is None:
        return "lowest", "median", "highest"
    return ("worst", "median", "best") if plot.more_is_better else ("best", "median", "worst")


def _legend(plot: SubsetPlot, by_size: dict[int, list[Subset]], decimals: int, everything: frozenset[str]) -> Legend:
    """Lowest, median and highest of each number of modalities, by name."""
    words = _words_of(plot)
    columns = (Column("Modalities", False), Column("Subsets"), *(Column(word.capitalize(), False) for word in words))
    rows = []
    for size, some in by_size.items():
        row = [f"{size}", count_text(len(some))]
        three = extremes(some)
        for subset in (three.low, three.median, three.high):
            row.append(f"{numeral(subset.value, decimals)} {subset_name(subset.members, everything)}")
        rows.append(tuple(row))
    return Legend(columns, tuple(rows))


def _title(name: str) -> str:
    return MODALITIES[name].title if name in MODALITIES else name
