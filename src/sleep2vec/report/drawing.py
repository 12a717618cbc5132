"""Strokes that all figures share: inline SVG in the unit of `time_axis.FIGURE_WIDTH`."""

from collections.abc import Sequence

from markupsafe import Markup, escape

from sleep2vec.report.time_axis import FIGURE_WIDTH, TimeAxis


def drawing(height: float, parts: Sequence[str], label: str) -> Markup:
    """One figure, `height` high; `label` is read to those who cannot see it."""
    return Markup(
        f'<svg viewBox="0 0 {FIGURE_WIDTH:g} {height:g}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


def svg_text(x: float, y: float, text: str, style: str) -> str:
    """Words at a place; `style` is a class of the page's style sheet."""
    return f'<text class="{style}" x="{x:g}" y="{y:g}">{escape(text)}</text>'


def time_grid(axis: TimeAxis, top: float, bottom: float, faint: bool = False) -> str:
    """Vertical lines at round times, their labels below."""
    parts = []
    for tick in axis.ticks():
        style = "tick midnight" if tick.midnight else "tick"
        parts.append(f'<path class="{style}{" over" if faint else ""}" d="M{short(tick.x)} {top:g}V{bottom + 4:g}"/>')
        parts.append(f'<text class="time" x="{short(tick.x)}" y="{bottom + 17:g}">{escape(tick.label)}</text>')
    return "".join(parts)


def short(number: float) -> str:
    """Two decimals at most: a hundredth of a pixel is finer than any printer."""
    return f"{number:.2f}".rstrip("0").rstrip(".")
