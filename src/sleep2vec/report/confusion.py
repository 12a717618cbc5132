"""The confusion matrix as a picture. Letter: C classes."""

from markupsafe import escape

from sleep2vec.report.axes import PANEL_WIDTH, figure_svg
from sleep2vec.report.drawing import short, svg_text
from sleep2vec.report.evaluation_plots import ConfusionPlot
from sleep2vec.report.figures import share_text
from sleep2vec.report.numerals import UNKNOWN_TEXT, count_text
from sleep2vec.report.palette import depth_colour
from sleep2vec.report.picture import Picture
from sleep2vec.vocabulary.errors import UsageError

_TOP, _LEAST_LEFT, _TOTALS = 42.0, 48.0, 62.0
_HEIGHT, _WIDEST = 40.0, 76.0
_LETTER, _LINE, _LONGEST_NAME = 6.3, 13.0, 18
_DARK_FROM = 0.5


def confusion_picture(plot: ConfusionPlot) -> Picture:
    """Rows as scored, columns as predicted: the share of the row, below it the count; totals at the edges.

    Raises:
        UsageError: the counts are not as many as the names in both directions.
    """
    n_classes = len(plot.names)
    if plot.counts_CC.shape != (n_classes, n_classes):
        raise UsageError(
            f"the picture {plot.title!r} needs counts of shape {(n_classes, n_classes)} for its {n_classes} names, "
            f"got {plot.counts_CC.shape}."
        )
    total = int(plot.counts_CC.sum())
    if total == 0:
        return Picture(plot.title, "Nothing was both scored and predicted.", None)
    right = int(plot.counts_CC.trace())
    words = (
        "Rows as scored, columns as predicted: the share of each row, below it the count. "
        f"{share_text(right / total)} of {count_text(total)} agree."
    )
    left = max(18 + _LETTER * min(max(map(len, plot.names)), _LONGEST_NAME), _LEAST_LEFT)
    width = min(_WIDEST, (PANEL_WIDTH - left - _TOTALS) / n_classes)
    heads = [_lines(name, int(width / _LETTER)) for name in plot.names]
    top = _TOP + _LINE * (max(map(len, heads)) - 1)
    edge, floor = left + n_classes * width, top + n_classes * _HEIGHT
    parts = [svg_text(left + n_classes * width / 2, 12, "predicted", "time title")]
    parts.append(svg_text(left - 9, 12, "scored", "row title"))
    for i, name in enumerate(plot.names):
        centre, counts = left + (i + 0.5) * width, plot.counts_CC[i].tolist()
        middle = top + (i + 0.5) * _HEIGHT
        for up, words_of_line in enumerate(reversed(heads[i])):
            parts.append(_name(centre, top - 9 - up * _LINE, words_of_line, name, "time ink"))
        parts.append(_name(left - 9, middle + 4, _shortened(name, _LONGEST_NAME), name, "row"))
        for j, count in enumerate(counts):
            hint = f"scored {name}, predicted {plot.names[j]}"
            parts.append(_cell(left + j * width, top + i * _HEIGHT, width, count, sum(counts), hint))
        parts.append(svg_text(edge + 8, middle + 4, count_text(sum(counts)), "total"))
        parts.append(svg_text(centre, floor + 16, count_text(int(plot.counts_CC[:, i].sum())), "time total"))
    parts.append(svg_text(edge + 8, top - 9, "all", "total"))
    parts.append(svg_text(left - 9, floor + 16, "all", "row total"))
    parts.append(svg_text(edge + 8, floor + 16, count_text(total), "total"))
    label = f"{plot.title}: confusion matrix, {right} of {total} agree"
    return Picture(plot.title, words, figure_svg(parts, label, floor + 24))


def _cell(x: float, y: float, width: float, count: int, total: int, hint: str) -> str:
    share = count / total if total else 0.0
    style = "cell dark" if share > _DARK_FROM else "cell"
    centre = x + width / 2
    return (
        f'<g><title>{escape(hint)}: {count_text(count)}</title><rect x="{short(x + 1)}" y="{short(y + 1)}" '
        f'width="{short(width - 2)}" height="{_HEIGHT - 2:g}" fill="{depth_colour(share)}"/>'
        + svg_text(round(centre, 2), y + 18, share_text(share) if total else UNKNOWN_TEXT, style)
        + svg_text(round(centre, 2), y + 32, count_text(count), f"{style} count")
        + "</g>"
    )


def _name(x: float, y: float, shown: str, name: str, style: str) -> str:
    return f'<text class="{style}" x="{short(x)}" y="{y:g}">{escape(shown)}<title>{escape(name)}</title></text>'


def _lines(name: str, fits: int) -> list[str]:
    """A name over a column: on two lines where one is too narrow."""
    first, _, rest = name.partition(" ")
    if len(name) <= fits or not rest:
        return [_shortened(name, fits)]
    return [_shortened(first, fits), _shortened(rest, fits)]


def _shortened(name: str, fits: int) -> str:
    return name if len(name) <= fits else name[: max(fits - 1, 1)] + "…"
