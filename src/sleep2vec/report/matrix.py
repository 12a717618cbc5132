"""A number of every pair of modalities as a picture."""

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup, escape

from sleep2vec.report.drawing import svg_text
from sleep2vec.report.palette import depth_colour

_CELL_WIDTH, _CELL_HEIGHT = 54.0, 32.0
_LEFT, _TOP = 74.0, 24.0
_STYLE = (
    "svg{font:11.5px Inter,'Segoe UI',Arial,sans-serif}text{fill:#1b2733}.row{text-anchor:end}.time,.cell"
    "{text-anchor:middle}.cell.dark{fill:#fff}.share{fill:#5b6875;font-size:11px}"
)


def retrieval_svg(top1: Mapping[tuple[str, str], float], chance: float | None, modalities: Sequence[str]) -> Markup:
    """Top-1 retrieval of each pair: white at chance, dark where partners always find each other.

    The shade is the logarithm of how many times chance it is, so that a pair of 10 % differs from one of 3 %.

    Args:
        top1: by pair, in either order; NaN is written as an en dash.
        chance: what a blind guess gets; None shades from 0.
        modalities: in the order of rows and columns.
    """
    parts = [svg_text(_LEFT + (i + 0.5) * _CELL_WIDTH, 15, name, "time") for i, name in enumerate(modalities)]
    for row, first in enumerate(modalities):
        y = _TOP + row * _CELL_HEIGHT
        parts.append(svg_text(_LEFT - 9, y + _CELL_HEIGHT / 2 + 4, first, "row"))
        for column, second in enumerate(modalities):
            x = _LEFT + column * _CELL_WIDTH
            value = top1.get((first, second), top1.get((second, first)))
            parts.append(_cell(x, y, None if first == second else value, chance, f"{first}_{second}"))
    width, height = _LEFT + len(modalities) * _CELL_WIDTH + 2, _TOP + len(modalities) * _CELL_HEIGHT
    parts.append(_key(height + 12, chance))
    return Markup(
        f'<svg viewBox="0 0 {width:g} {height + 44:g}" role="img" aria-label="Top-1 retrieval of each pair">'
        f"{''.join(parts)}</svg>"
    )


def standalone(figure: Markup) -> str:
    """A figure as a file of its own."""
    begin, _, rest = str(figure).partition(">")
    return f'{begin} xmlns="http://www.w3.org/2000/svg"><style>{_STYLE}</style>{rest}'


def shade(value: float, chance: float | None) -> float:
    """0 at chance and below, 1 where every partner is found."""
    if chance is None or not 0 < chance < 1:
        return min(max(value, 0.0), 1.0)
    return min(max(1 - math.log(max(value, 1e-9)) / math.log(chance), 0.0), 1.0)


def _cell(x: float, y: float, value: float | None, chance: float | None, pair: str) -> str:
    known = value is not None and not math.isnan(value)
    level = shade(value, chance) if known and value is not None else 0.0
    colour = depth_colour(level) if known else "#fff"
    box = (
        f'<rect x="{x + 1:g}" y="{y + 1:g}" width="{_CELL_WIDTH - 2:g}" height="{_CELL_HEIGHT - 2:g}" fill="{colour}"/>'
    )
    if value is None:
        return ""
    words = f"{value:.2f}" if known else "–"
    style = "cell dark" if level > 0.55 else "cell"
    middle = (x + _CELL_WIDTH / 2, y + _CELL_HEIGHT / 2 + 4)
    return f'{box}<text class="{style}" data-pair="{escape(pair)}" x="{middle[0]:g}" y="{middle[1]:g}">{words}</text>'


def _key(y: float, chance: float | None) -> str:
    """The shades from chance to 1, with words at both ends."""
    n, width = 24, 168.0
    boxes = "".join(
        f'<rect x="{_LEFT + i * width / n:g}" y="{y:g}" width="{width / n + 0.5:g}" height="9" fill="{colour}"/>'
        for i, colour in enumerate(depth_colour(i / (n - 1)) for i in range(n))
    )
    low = "0" if chance is None else f"chance, {chance:.3f}"
    return (
        boxes
        + svg_text(_LEFT, y + 23, low, "share")
        + f'<text class="share" x="{_LEFT + width:g}" y="{y + 23:g}" text-anchor="end">1, always</text>'
    )
