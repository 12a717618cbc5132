"""Curves over the steps of a run as inline SVG."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

from sleep2vec.report.drawing import short, svg_text
from sleep2vec.report.run_history import Series

_TOP, _BOTTOM = 10.0, 26.0
_LEFT, _RIGHT = 52.0, 118.0
_LABEL_HEIGHT = 13.0
Place = Callable[[float], float]


@dataclass(frozen=True)
class Curve:
    """A series with its name, which stands at its end.

    Attributes:
        style: A class of the page's style sheet: ``curve``, ``points``, ``reference``.
        band: Lower and upper edge, or None.
    """

    name: str
    series: Series
    colour: str
    style: str = "curve"
    band: tuple[Series, Series] | None = None


@dataclass(frozen=True)
class Level:
    """A horizontal line to compare with, for example chance."""

    name: str
    value: float


def chart_svg(
    curves: Sequence[Curve],
    label: str,
    n_steps: int,
    levels: Sequence[Level] = (),
    width: float = 480.0,
    height: float = 170.0,
    digits: int = 2,
    shown: tuple[float | None, float | None] = (None, None),
) -> Markup:
    """One chart, each curve named at its end with its last value.

    Args:
        curves: of which at least one has a point.
        label: read to those who cannot see it.
        n_steps: where the axis ends.
        levels: lines to compare with.
        digits: of the numbers on it.
        shown: ends of the vertical axis; None is fitted to the values.
    """
    low, high = _range(curves, levels, shown)
    right = width - _RIGHT
    n_steps = max(n_steps, 1)

    def x(step: float) -> float:
        return _LEFT + (right - _LEFT) * step / n_steps

    def y(value: float) -> float:
        share = (min(max(value, low), high) - low) / (high - low)
        return _TOP + (height - _TOP - _BOTTOM) * (1 - share)

    def path(series: Series) -> str:
        parts, pen_up = [], True
        for step, value in zip(series.steps_P.tolist(), series.values_P.tolist(), strict=True):
            if math.isnan(value):
                pen_up = True
                continue
            parts.append(f"{'M' if pen_up else 'L'}{short(x(step))} {short(y(value))}")
            pen_up = False
        return "".join(parts)

    parts = []
    for tick in round_ticks(low, high, 5):
        parts.append(f'<path class="rule" d="M{_LEFT:g} {short(y(tick))}H{right:g}"/>')
        parts.append(svg_text(_LEFT - 7, y(tick) + 4, _tick_text(tick), "row"))
    for tick in round_ticks(0, n_steps, 5):
        parts.append(f'<path class="tick" d="M{short(x(tick))} {height - _BOTTOM:g}v4"/>')
        parts.append(svg_text(round(x(tick), 2), height - 8, f"{tick:,.0f}".replace(",", " "), "time"))
    named: list[tuple[float, str, str]] = []
    for level in levels:
        parts.append(f'<path class="level" d="M{_LEFT:g} {short(y(level.value))}H{right:g}"/>')
        named.append((y(level.value), f"{level.name} {level.value:.{digits}f}", ""))
    for curve in curves:
        if curve.band is not None and len(curve.band[0]):
            edges = [path(side) for side in (curve.band[0], _reversed(curve.band[1]))]
            outline = edges[0] + edges[1].replace("M", "L", 1)
            parts.append(f'<path class="band" fill="{curve.colour}" d="{outline}Z"/>')
        parts.append(_curve(curve, x, y, path(curve.series)))
        if curve.style != "points" and not math.isnan(curve.series.last):
            named.append((y(curve.series.last), f"{curve.name} {curve.series.last:.{digits}f}", curve.colour))
    for at, words, colour in apart(named, _TOP + 4, height - _BOTTOM + 4):
        style = f' style="fill:{colour}"' if colour else ""
        parts.append(f'<text class="name" x="{right + 6:g}" y="{short(at)}"{style}>{escape(words)}</text>')
    return Markup(
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


def round_ticks(low: float, high: float, about: int) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten between two numbers, about so many."""
    if not high > low:
        return [low]
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [mark * step for mark in range(first, last + 1)]


def _curve(curve: Curve, x: Place, y: Place, line: str) -> str:
    named = f'data-curve="{escape(curve.name)}" stroke="{curve.colour}"'
    if curve.style != "points" and len(curve.series) > 1:
        return f'<path class="{curve.style}" {named} d="{line}"/>'
    points = zip(curve.series.steps_P.tolist(), curve.series.values_P.tolist(), strict=True)
    dots = "".join(f"M{short(x(step))} {short(y(value))}h0" for step, value in points if not math.isnan(value))
    style = "points" if curve.style == "points" else "points single"
    return f'<path class="{style}" {named} d="{dots}"/>'


def _range(
    curves: Sequence[Curve], levels: Sequence[Level], shown: tuple[float | None, float | None]
) -> tuple[float, float]:
    parts = [curve.series.values_P for curve in curves if curve.style != "points"]
    parts += [side.values_P for curve in curves if curve.band is not None for side in curve.band]
    parts += [_middle(c.series.values_P) for c in curves if c.style == "points" and len(c.series)]
    parts.append(np.array([level.value for level in levels]))
    values = np.concatenate(parts)
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    margin = 0.06 * (high - low) or max(0.1 * abs(high), 1e-3)
    low, high = low - margin, high + margin
    return (low if shown[0] is None else shown[0], high if shown[1] is None else shown[1])


def _middle(values_P: NDArray[np.float64]) -> NDArray[np.float64]:
    """What is shown of single batches, which scatter, also far (Tukey's outer fences); the rest lies at the edge."""
    least, lower, upper, most = np.nanquantile(values_P, (0.01, 0.25, 0.75, 0.99))
    reach = 3 * (upper - lower)
    return np.array([max(least, lower - reach), min(most, upper + reach)])


def apart(named: list[tuple[float, str, str]], top: float, bottom: float) -> list[tuple[float, str, str]]:
    """Names beside their ends, moved just so far that none covers another."""
    placed: list[tuple[float, str, str]] = []
    for at, words, colour in sorted(named):
        above = placed[-1][0] + _LABEL_HEIGHT if placed else top
        placed.append((max(at + 4, above), words, colour))
    limit = bottom
    for index in range(len(placed) - 1, -1, -1):
        at, words, colour = placed[index]
        placed[index] = (min(at, limit), words, colour)
        limit = placed[index][0] - _LABEL_HEIGHT
    return placed


def _reversed(series: Series) -> Series:
    return Series(series.steps_P[::-1], series.values_P[::-1])


def _tick_text(value: float) -> str:
    return f"{value:.4g}" if abs(value) >= 1e-3 or value == 0 else f"{value:.0e}"
