"""Two axes with round marks: where a pair of numbers lies on the paper, and what is written beside."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import ArrayLike

from sleep2vec.report.curves import round_ticks
from sleep2vec.report.drawing import short, svg_text
from sleep2vec.report.numerals import numeral

PANEL_WIDTH = 480.0
SHARE = (0.0, 1.0)
_SMALLEST = 1e-6  # no unit of the field is so fine
Range = tuple[float, float]
Words = Callable[[float], str]


@dataclass(frozen=True)
class Axes:
    """A frame on the paper and the numbers at its edges; what lies outside is kept at the edge.

    Attributes:
        left, right, top, bottom: of the frame, in the unit of the view box.
        x_range, y_range: what lies there; the second number is greater than the first.
    """

    x_range: Range
    y_range: Range
    left: float = 50.0
    right: float = PANEL_WIDTH - 18
    top: float = 26.0
    bottom: float = 264.0

    def x(self, value: float) -> float:
        return self.left + (self.right - self.left) * _share(value, self.x_range)

    def y(self, value: float) -> float:
        return self.bottom - (self.bottom - self.top) * _share(value, self.y_range)

    @property
    def height(self) -> float:
        """Of the figure, with the words below the frame."""
        return self.bottom + 38

    def ruled(self, x_title: str, y_title: str, x_words: Words | None = None, y_words: Words | None = None) -> str:
        """Frame, marks, and what is counted along them; below, and above on the left."""
        return self.ruled_x(x_title, x_words) + self.ruled_y(y_title, y_words)

    def ruled_x(self, title: str, words: Words | None = None) -> str:
        marks = round_ticks(*self.x_range, 6)
        written = words or mark_words(marks)
        parts = [f'<path class="axis" d="M{self.left:g} {self.bottom:g}H{self.right:g}"/>']
        for mark in marks:
            parts.append(f'<path class="mark" d="M{short(self.x(mark))} {self.bottom:g}v4"/>')
            parts.append(svg_text(round(self.x(mark), 2), self.bottom + 16, written(mark), "time"))
        middle = (self.left + self.right) / 2
        return "".join([*parts, svg_text(middle, self.bottom + 33, title, "time title")])

    def ruled_y(self, title: str, words: Words | None = None, about: int = 5) -> str:
        marks = round_ticks(*self.y_range, about)
        written = words or mark_words(marks)
        parts = []
        for mark in marks:
            parts.append(f'<path class="rule" d="M{self.left:g} {short(self.y(mark))}H{self.right:g}"/>')
            parts.append(svg_text(self.left - 7, round(self.y(mark), 2) + 4, written(mark), "row"))
        return "".join([*parts, svg_text(2, self.top - 13, title, "title")])


def figure_svg(parts: Iterable[str], label: str, height: float, width: float = PANEL_WIDTH) -> Markup:
    """One figure; `label` is read to those who cannot see it."""
    return Markup(
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


def fitted_range(values: ArrayLike, margin: float = 0.06) -> Range:
    """From the least to the greatest with some room; 0 to 1 where no number is known."""
    known = np.asarray(values, dtype=float)
    known = known[np.isfinite(known)]
    if len(known) == 0:
        return SHARE
    low, high = float(known.min()), float(known.max())
    size = max(abs(low), abs(high))
    flat = high - low <= max(1e-6 * size, _SMALLEST)
    room = (0.1 * size if size > _SMALLEST else 1.0) if flat else margin * (high - low)
    return low - room, high + room


def line(axes: Axes, xs: Iterable[float], ys: Iterable[float]) -> str:
    """Path through the points; what is unknown breaks it."""
    parts, pen_up = [], True
    for x, y in zip(xs, ys, strict=True):
        known = math.isfinite(x) and math.isfinite(y)
        if known:
            parts.append(f"{'M' if pen_up else 'L'}{short(axes.x(x))} {short(axes.y(y))}")
        pen_up = not known
    return "".join(parts)


def dot(axes: Axes, x: float, y: float, words: str, style: str = "dot", radius: float = 3.0, more: str = "") -> str:
    """A point that tells what it is when pointed at."""
    place = f'cx="{short(axes.x(x))}" cy="{short(axes.y(y))}" r="{radius:g}"'
    return f'<circle class="{style}" {place}{more}><title>{escape(words)}</title></circle>'


def mark_words(marks: list[float]) -> Words:
    """As many decimals as tell the marks apart."""
    step = marks[1] - marks[0] if len(marks) > 1 else abs(marks[0]) if marks else 1.0
    decimals = min(max(-math.floor(math.log10(step) + 1e-9), 0), 6) if step > 0 else 0
    return lambda mark: numeral(mark, decimals)


def percent(share: float) -> str:
    """A mark of a share; with a decimal where it needs one."""
    return f"{round(100 * share, 2):g} %"


def _share(value: float, ends: Range) -> float:
    return min(max((value - ends[0]) / (ends[1] - ends[0]), 0.0), 1.0)
