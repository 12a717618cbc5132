"""Figures of a night as inline SVG: sharp at every size, a few kB, no script.

Letters: L tokens, C classes (`vocabulary.stages.FIVE`), M modalities. Neighbouring tokens of one value are one
stroke, so a night is a handful of paths. Every text is escaped. The hatching of what is unknown is the pattern
`UNKNOWN`, which the page defines once (`pattern_definitions`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

from sleep2vec.report.drawing import drawing, short, svg_text, time_grid
from sleep2vec.report.palette import INK, STAGE_COLOURS, STAGE_ROWS, modality_colour
from sleep2vec.report.time_axis import LEFT, RIGHT, TimeAxis
from sleep2vec.vocabulary.stages import FIVE

UNKNOWN = "unknown"
_ROW, _BAR = 25.0, 9.0
_AXIS_HEIGHT = 24.0
_STRIP_ROW = 18.0
_LONGEST_LABEL = 20
_DOUBT = "#b3741a"


@dataclass(frozen=True)
class Run:
    """Tokens start .. stop - 1 share one value; None is NaN."""

    start: int
    stop: int
    value: float | None


def runs(values_L: NDArray[np.floating] | NDArray[np.bool_]) -> list[Run]:
    """Run-length encoding of (L,); neighbouring NaN are one run."""
    values = np.asarray(values_L, dtype=float)
    if len(values) == 0:
        return []
    differs = (values[1:] != values[:-1]) & ~(np.isnan(values[1:]) & np.isnan(values[:-1]))
    edges = [0, *(np.flatnonzero(differs) + 1).tolist(), len(values)]
    return [
        Run(start, stop, None if np.isnan(values[start]) else float(values[start])) for start, stop in pairwise(edges)
    ]


def pattern_definitions() -> Markup:
    """The hatching that all figures of a page refer to."""
    return Markup(
        '<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs>'
        f'<pattern id="{UNKNOWN}" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        '<rect width="5" height="5" fill="#eef0f2"/><rect width="1.4" height="5" fill="#b4bcc5"/></pattern>'
        "</defs></svg>"
    )


def hypnogram_svg(
    stages_L: NDArray[np.floating],
    axis: TimeAxis,
    reference_L: NDArray[np.floating] | None = None,
    lights_s: tuple[float | None, float | None] = (None, None),
    scorers: tuple[str, str] = ("model", "reference"),
    doubtful_L: NDArray[np.bool_] | None = None,
) -> Markup:
    """Stages over the night, Wake on top (AASM order); below it the reference scoring and where the two differ.

    Args:
        stages_L: codes, NaN where the model abstained.
        axis: of the same L tokens.
        reference_L: codes of a person, NaN where unscored; None draws the first scorer alone.
        lights_s: lights off and on, from the start of the recording.
        scorers: who made `stages_L` and `reference_L`.
        doubtful_L: epochs in which the first scorer was not sure, marked below its panel; None draws no such strip.
    """
    panel = _ROW * len(STAGE_ROWS)
    top = 16.0
    parts = [_hypnogram_panel(stages_L, axis, top, scorers[0])]
    bottom = top + panel
    if doubtful_L is not None:
        parts.append(_strip(doubtful_L, axis, bottom + 8, "doubtful", _DOUBT))
        bottom += 18
    if reference_L is not None:
        strip = bottom + (10 if doubtful_L is None else 4)
        both = ~np.isnan(stages_L) & ~np.isnan(reference_L)
        parts.append(_strip(both & (stages_L != reference_L), axis, strip, "differ", INK))
        bottom = strip + 18
        parts.append(_hypnogram_panel(reference_L, axis, bottom, scorers[1]))
        bottom += panel
    grid = time_grid(axis, top, bottom)
    names = scorers if reference_L is not None else scorers[:1]
    return drawing(
        bottom + _AXIS_HEIGHT, [grid, *parts, _lights(axis, lights_s, top, bottom)], "Hypnogram: " + ", ".join(names)
    )


def hypnodensity_svg(probabilities_LC: NDArray[np.floating], axis: TimeAxis) -> Markup:
    """Probability of each stage over the night, stacked; rows that hold a NaN are hatched (abstained).

    Args:
        probabilities_LC: (L, 5) in the order of `FIVE`, each row adding up to 1.
    """
    layers = [(name, STAGE_COLOURS[name], probabilities_LC[:, FIVE.index(name)]) for name in reversed(STAGE_ROWS)]
    unknown_L = np.isnan(probabilities_LC).any(axis=1)
    return _stacked(layers, unknown_L, axis, "stage", "Hypnodensity: probability of each stage")


def weights_svg(
    weights_LM: NDArray[np.floating], modalities: Sequence[str], axis: TimeAxis, abstained_L: NDArray[np.bool_]
) -> Markup:
    """Share of each modality in the answer, stacked; hatched where the model abstained.

    Args:
        weights_LM: columns as `modalities`; each row adds up to 1, or is 0 or NaN where nothing was valid.
    """
    layers = [(name, modality_colour(name), weights_LM[:, m]) for m, name in enumerate(modalities)]
    return _stacked(layers, abstained_L, axis, "modality", "Weight of each sensor over the night")


def validity_svg(
    valid_LM: NDArray[np.bool_], modalities: Sequence[str], axis: TimeAxis, title_of: Callable[[str], str] = str
) -> Markup:
    """One row per modality: its colour where the signal was present and good, hatched where not.

    Args:
        valid_LM: columns as `modalities`.
        title_of: what to write beside a row.
    """
    top, parts = 4.0, []
    for m, name in enumerate(modalities):
        y, height = top + m * _STRIP_ROW, _STRIP_ROW - 6
        found = runs(valid_LM[:, m])
        good = boxes(found, axis, y, height, 1.0)
        bad = boxes(found, axis, y, height, 0.0)
        parts.append(svg_text(LEFT - 10, y + height - 2, _shortened(title_of(name)), "row"))
        if bad:
            parts.append(f'<path data-invalid="{escape(name)}" fill="url(#{UNKNOWN})" d="{bad}"/>')
        if good:
            parts.append(f'<path data-valid="{escape(name)}" fill="{modality_colour(name)}" d="{good}"/>')
        parts.append(svg_text(RIGHT + 6, y + height - 2, share_text(valid_LM[:, m].mean()), "share"))
    bottom = top + len(modalities) * _STRIP_ROW
    return drawing(bottom + _AXIS_HEIGHT, [time_grid(axis, top, bottom), *parts], "Valid signal of each modality")


def share_text(share: float) -> str:
    """A share as a percentage that never rounds up to all or down to nothing."""
    if 0 < share < 0.005:
        return "< 1 %"
    if 0.995 <= share < 1:
        return "> 99 %"
    return f"{share:.0%}".replace("%", " %")


def _strip(marked_L: NDArray[np.bool_], axis: TimeAxis, top: float, name: str, colour: str) -> str:
    """Epochs of which something is true, as boxes in a row."""
    frame = f'<rect class="frame" x="{LEFT:g}" y="{top:g}" width="{RIGHT - LEFT:g}" height="8"/>'
    words = svg_text(LEFT - 10, top + 7.5, name, "row")
    marked = boxes(runs(marked_L), axis, top, 8, 1.0)
    return frame + words + (f'<path data-{name}="" fill="{colour}" d="{marked}"/>' if marked else "")


def _hypnogram_panel(stages_L: NDArray[np.floating], axis: TimeAxis, top: float, scorer: str) -> str:
    """Bars of each stage, thin risers between them, hatching where there is no stage."""
    row_of = {FIVE.index(name): top + (row + 0.5) * _ROW for row, name in enumerate(STAGE_ROWS)}
    panel = _ROW * len(STAGE_ROWS)
    found = runs(stages_L)
    parts = [f'<g data-scorer="{scorer}">']
    unknown = boxes(found, axis, top, panel, None)
    if unknown:
        parts.append(f'<path data-unknown="" fill="url(#{UNKNOWN})" d="{unknown}"/>')
    for name in STAGE_ROWS:
        y = row_of[FIVE.index(name)]
        parts.append(f'<path class="rule" d="M{LEFT:g} {y:g}H{RIGHT:g}"/>')
        parts.append(svg_text(LEFT - 10, y + 4, name, "row strong" if name == "R" else "row"))
    parts.append(f'<text class="panel" x="0" y="{top + 10:g}">{escape(scorer)}</text>')
    risers = "".join(
        f"M{short(axis.x(after.start))} {row_of[int(before.value)]:g}V{row_of[int(after.value)]:g}"
        for before, after in pairwise(found)
        if before.value is not None and after.value is not None
    )
    parts.append(f'<path class="riser" d="{risers}"/>' if risers else "")
    for name in STAGE_ROWS:
        code, y = FIVE.index(name), row_of[FIVE.index(name)]
        bars = "".join(f"M{short(axis.x(r.start))} {y:g}H{short(axis.x(r.stop))}" for r in found if r.value == code)
        if bars:
            colour, width = STAGE_COLOURS[name], _BAR + 3 if name == "R" else _BAR
            parts.append(
                f'<path data-stage="{name}" fill="none" stroke="{colour}" stroke-width="{width:g}" d="{bars}"/>'
            )
    return "".join([*parts, "</g>"])


def _stacked(
    layers: list[tuple[str, str, NDArray[np.floating]]],
    unknown_L: NDArray[np.bool_],
    axis: TimeAxis,
    kind: str,
    label: str,
) -> Markup:
    """Stacked areas from the bottom up. The whole stack is drawn first and the lower ones over it: one edge each."""
    top, height = 6.0, 118.0
    stack_LN = np.cumsum([np.where(unknown_L, 0.0, np.nan_to_num(values)) for _, _, values in layers], axis=0).T
    parts = [f'<rect class="frame" x="{LEFT:g}" y="{top:g}" width="{RIGHT - LEFT:g}" height="{height:g}"/>']
    for n, (name, colour, _) in reversed(list(enumerate(layers))):
        edges = np.round(top + height * (1 - np.clip(stack_LN[:, n], 0, 1)), 1)
        steps = "".join(f"V{short(r.value)}H{short(axis.x(r.stop))}" for r in runs(edges) if r.value is not None)
        outline = f"M{LEFT:g} {top + height:g}{steps}V{top + height:g}Z"
        parts.append(f'<path data-{kind}="{escape(name)}" fill="{colour}" d="{outline}"/>')
    unknown = boxes(runs(unknown_L), axis, top, height, 1.0)
    if unknown:
        parts.append(f'<path data-unknown="" fill="url(#{UNKNOWN})" d="{unknown}"/>')
    parts += [svg_text(LEFT - 10, top + height * (1 - at) + 4, f"{at:.0%}", "row") for at in (0.0, 0.5, 1.0)]
    grid = time_grid(axis, top, top + height, faint=True)
    return drawing(top + height + _AXIS_HEIGHT, [*parts, grid], label)


def boxes(found: list[Run], axis: TimeAxis, y: float, height: float, value: float | None) -> str:
    """One box for each run of `value`."""
    return "".join(
        f"M{short(axis.x(run.start))} {y:g}H{short(axis.x(run.stop))}v{height:g}H{short(axis.x(run.start))}Z"
        for run in found
        if run.value == value
    )


def _lights(axis: TimeAxis, lights_s: tuple[float | None, float | None], top: float, bottom: float) -> str:
    """Lights off and on as dashed lines."""
    parts = []
    for time_s, name in zip(lights_s, ("lights off", "lights on"), strict=True):
        if time_s is not None:
            x = axis.x_of(time_s)
            anchor = "start" if x < (LEFT + RIGHT) / 2 else "end"
            parts.append(f'<path class="lights" d="M{short(x)} {top - 6:g}V{bottom:g}"/>')
            parts.append(f'<text class="lights" x="{short(x)}" y="{top - 8:g}" text-anchor="{anchor}">{name}</text>')
    return "".join(parts)


def _shortened(text: str) -> str:
    """What fits beside a figure; the table of sensors holds the whole."""
    return text if len(text) <= _LONGEST_LABEL else text[: _LONGEST_LABEL - 1] + "…"
