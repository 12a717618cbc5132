"""Signals as lines: a whole night, a scoring epoch, the minutes around an event.

A line is drawn as the lowest and highest sample of every half pixel, so that a night of 128 Hz is as exact as the
screen and no longer than it needs to be. Letters: N samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

from sleep2vec.report.drawing import drawing, short, svg_text, time_grid
from sleep2vec.report.palette import NEUTRAL
from sleep2vec.report.time_axis import LEFT, RIGHT, TimeAxis

_AXIS_HEIGHT = 24.0
_STEPS_PER_PIXEL = 2.0
_MARK_ROW = 13.0


@dataclass(frozen=True, eq=False)
class Trace:
    """One signal of a figure.

    Attributes:
        name, unit: Written beside it.
        samples_N: (N,) from the figure's left to its right edge; NaN is left out.
        low, high: Values at the bottom and the top of its row, in `unit`; what goes beyond is cut off.
        height: Of its row.
        colour: Of its line.
    """

    name: str
    unit: str
    samples_N: NDArray[np.floating]
    low: float
    high: float
    height: float = 34.0
    colour: str = NEUTRAL


@dataclass(frozen=True)
class Mark:
    """Something that lasts from one second to another of the figure, in a row of its own kind."""

    row: str
    onset_s: float
    duration_s: float
    colour: str = NEUTRAL


def fitted(samples_N: NDArray[np.floating], share: float = 0.002) -> tuple[float, float]:
    """Low and high between which all but `share` of the samples lie on either side; never one number."""
    known = samples_N[np.isfinite(samples_N)]
    if known.size == 0:
        return 0.0, 1.0
    low, high = np.quantile(known, (share, 1 - share))
    room = 0.05 * (high - low) or 0.5
    return float(low - room), float(high + room)


def night_traces_svg(traces: Sequence[Trace], axis: TimeAxis, marks: Sequence[Mark], label: str) -> Markup:
    """Signals of a night on the axis of its hypnogram, with a row of `marks` for each of their kinds below."""
    parts, bottom = _rows(traces)
    marked, bottom = _mark_rows(marks, bottom, axis.n_tokens * 30.0)
    return drawing(bottom + _AXIS_HEIGHT, [time_grid(axis, 0.0, bottom), *parts, *marked], label)


def moment_svg(
    traces: Sequence[Trace],
    duration_s: float,
    marks: Sequence[Mark],
    label: str,
    *,
    line_every_s: float,
    label_every: int = 1,
) -> Markup:
    """Signals of some seconds or minutes, `marks` in rows below; every `label_every`-th line says its time."""
    parts, bottom = _rows(traces)
    marked, bottom = _mark_rows(marks, bottom, duration_s)
    lines = []
    for i in range(int(duration_s / line_every_s + 1e-9) + 1):
        x = LEFT + (RIGHT - LEFT) * i * line_every_s / duration_s
        lines.append(f'<path class="tick" d="M{short(x)} 0V{short(bottom + 4)}"/>')
        if i % label_every == 0:
            lines.append(f'<text class="time" x="{short(x)}" y="{short(bottom + 17)}">{i * line_every_s:g} s</text>')
    return drawing(bottom + _AXIS_HEIGHT, [*lines, *parts, *marked], label)


def _rows(traces: Sequence[Trace]) -> tuple[list[str], float]:
    parts, top = [], 2.0
    for trace in traces:
        middle = top + trace.height / 2
        parts.append(svg_text(LEFT - 10, middle + (0 if trace.unit else 4), trace.name, "row"))
        parts.append(svg_text(LEFT - 10, middle + 12, trace.unit, "unit"))
        if trace.low == -trace.high:
            parts.append(svg_text(RIGHT + 6, middle + 4, f"±{_rounded(trace.high)}", "share"))
        else:
            parts.append(svg_text(RIGHT + 6, top + 10, _rounded(trace.high), "share"))
            parts.append(svg_text(RIGHT + 6, top + trace.height, _rounded(trace.low), "share"))
        line = _line(trace, top)
        if line:
            stroke = f'fill="none" stroke="{trace.colour}" stroke-width="0.7"'
            parts.append(f'<path data-trace="{escape(trace.name)}" {stroke} d="{line}"/>')
        top += trace.height + 5.0
    return parts, top


def _rounded(value: float) -> str:
    """Three digits, and never an exponent for what a clinic's device writes."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _line(trace: Trace, top: float) -> str:
    """Up and down through the extremes of each step; a step without a sample interrupts the line."""
    n = len(trace.samples_N)
    n_steps = max(1, min(n, int((RIGHT - LEFT) * _STEPS_PER_PIXEL)))
    edges = np.linspace(0, n, n_steps + 1).astype(int)
    shown_N = np.clip(trace.samples_N, trace.low, trace.high)
    low_W = np.fmin.reduceat(shown_N, edges[:-1])
    high_W = np.fmax.reduceat(shown_N, edges[:-1])
    scale = trace.height / (trace.high - trace.low)
    strokes, is_down = [], False
    for step in np.arange(n_steps):
        if not np.isfinite(low_W[step]):
            is_down = False
            continue
        x = short(LEFT + (RIGHT - LEFT) * (step + 0.5) / n_steps)
        y_low, y_high = (f"{top + (trace.high - value) * scale:.1f}" for value in (low_W[step], high_W[step]))
        strokes.append(f"{'L' if is_down else 'M'}{x} {y_low}" + (f"V{y_high}" if y_high != y_low else ""))
        is_down = True
    return "".join(strokes)


def _mark_rows(marks: Sequence[Mark], top: float, duration_s: float) -> tuple[list[str], float]:
    parts = []
    for row in dict.fromkeys(mark.row for mark in marks):
        parts.append(svg_text(LEFT - 10, top + 9, row, "row"))
        for mark in marks:
            if mark.row == row:
                x = LEFT + (RIGHT - LEFT) * mark.onset_s / duration_s
                width = max(0.8, (RIGHT - LEFT) * mark.duration_s / duration_s)
                place = f'x="{short(x)}" y="{short(top + 1)}" width="{short(width)}" height="8"'
                parts.append(f'<rect data-mark="{escape(row)}" fill="{mark.colour}" {place}/>')
        top += _MARK_ROW
    return parts, top
