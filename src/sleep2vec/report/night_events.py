"""Events of a night in rows under its hypnogram: what a model found, and what was scored.

Letters: L tokens of 30 s, S = 30 L seconds.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from sleep2vec.data.event_targets import KINDS_OF_QUESTION, QUESTIONS, Question
from sleep2vec.report.drawing import drawing, short, svg_text, time_grid
from sleep2vec.report.figures import UNKNOWN, boxes, runs
from sleep2vec.report.palette import EVENT_COLOURS, INK, NEUTRAL
from sleep2vec.report.time_axis import LEFT, RIGHT, TimeAxis
from sleep2vec.vocabulary.events import Event, EventKind
from sleep2vec.vocabulary.modalities import TOKEN_SECONDS

LANE_TITLES: MappingProxyType[EventKind, str] = MappingProxyType(
    {
        "obstructive_apnea": "obstructive apnea",
        "central_apnea": "central apnea",
        "mixed_apnea": "mixed apnea",
        "apnea": "apnea, no type",
        "hypopnea": "hypopnea",
        "arousal": "arousal",
        "desaturation": "desaturation",
    }
)
_AXIS_HEIGHT = 24.0
_PROBABILITY_HEIGHT = 20.0
_BAR, _PITCH = 9.0, 12.5
_NARROWEST = 0.8


def questions_of(found: Sequence[Event], seconds: Mapping[str, NDArray[np.floating]]) -> tuple[Question, ...]:
    """What a model looked for: it told probabilities of it, or found such events."""
    kinds = {event.kind for event in found}
    return tuple(
        question for question in QUESTIONS if question in seconds or kinds.intersection(KINDS_OF_QUESTION[question])
    )


def events_svg(
    found: Sequence[Event],
    scored: Sequence[Event],
    seconds: Mapping[str, NDArray[np.floating]],
    axis: TimeAxis,
) -> Markup:
    """A lane for each kind of event that was looked for; below each what was scored, where any of its question was.

    Above the lanes of a question stands the highest probability of each epoch. Counts are those of the events that have
    a part in the night.

    Args:
        found, scored: times from the start of the recording.
        seconds: by question, (S,) probability of an event, NaN where the model abstained.
        axis: of the L tokens.
    """
    parts: list[str] = []
    bottom = 4.0
    for question in questions_of(found, seconds):
        top = bottom
        block: list[str] = []
        if question in seconds:
            highest_L = highest_of_tokens(seconds[question])
            block.append(_probability(highest_L, axis, top, question))
            bottom += _PROBABILITY_HEIGHT + 5
        is_scored = any(event.kind in KINDS_OF_QUESTION[question] for event in scored)
        for kind in KINDS_OF_QUESTION[question]:
            own, theirs = _within(found, kind, axis), _within(scored, kind, axis)
            if kind == "apnea" and not own and not theirs:
                continue  # a model gives every apnea a type
            block += _lane(own, kind, axis, bottom, "found")
            bottom += _PITCH
            if is_scored:
                block += _lane(theirs, kind, axis, bottom - 1.5, "scored")
                bottom += _PITCH + 1.5
        if question in seconds:
            unknown = boxes(runs(np.isnan(highest_L)), axis, top, bottom - top - _PITCH + _BAR, 1.0)
            block.append(f'<path data-unknown="" fill="url(#{UNKNOWN})" d="{unknown}"/>' if unknown else "")
        parts += block
        bottom += 8
    grid = time_grid(axis, 0.0, bottom - 8)
    return drawing(bottom - 8 + _AXIS_HEIGHT, [grid, *parts], "Events of the night")


def highest_of_tokens(probability_S: NDArray[np.floating]) -> NDArray[np.float64]:
    """(L,) highest of each token's seconds, NaN where none is known."""
    seconds_LS = np.asarray(probability_S, dtype=float).reshape(-1, TOKEN_SECONDS)
    highest_L = np.where(np.isnan(seconds_LS), -1.0, seconds_LS).max(axis=1)
    return np.where(highest_L < 0, np.nan, highest_L)


def _within(events: Sequence[Event], kind: EventKind, axis: TimeAxis) -> list[Event]:
    """Of one kind, with a part in the night."""
    end_s = axis.grid_start_s + axis.n_tokens * TOKEN_SECONDS
    return [
        event
        for event in events
        if event.kind == kind and event.onset_s < end_s
        if event.onset_s >= axis.grid_start_s or event.end_s > axis.grid_start_s
    ]


def _lane(events: Sequence[Event], kind: EventKind, axis: TimeAxis, top: float, whose: str) -> list[str]:
    height, own = _BAR, whose == "found"
    title, style = (LANE_TITLES[kind], "row") if own else ("scored", "unit")
    parts = [
        f'<rect class="frame" x="{LEFT:g}" y="{top:g}" width="{RIGHT - LEFT:g}" height="{height:g}"/>',
        svg_text(LEFT - 10, top + height - 0.5, title, style),
        svg_text(RIGHT + 6, top + height - 0.5, str(len(events)), "share" if own else "count"),
    ]
    bars = "".join(
        f"M{short(x)} {top:g}h{short(max(axis.x_of(event.end_s) - x, _NARROWEST))}v{height:g}H{short(x)}Z"
        for event in events
        for x in [axis.x_of(event.onset_s)]
    )
    if bars:
        parts.append(f'<path data-{whose}="{kind}" fill="{EVENT_COLOURS[kind] if own else INK}" d="{bars}"/>')
    return parts


def _probability(highest_L: NDArray[np.float64], axis: TimeAxis, top: float, question: str) -> str:
    """Filled from 0 at the bottom to 1 at the top."""
    height = _PROBABILITY_HEIGHT
    levels = np.round(top + height * (1 - np.nan_to_num(highest_L)), 1)
    steps = "".join(f"V{short(run.value)}H{short(axis.x(run.stop))}" for run in runs(levels) if run.value is not None)
    outline = f"M{LEFT:g} {top + height:g}{steps}V{top + height:g}Z"
    return (
        f'<rect class="frame" x="{LEFT:g}" y="{top:g}" width="{RIGHT - LEFT:g}" height="{height:g}"/>'
        + svg_text(LEFT - 10, top + height / 2 + 4, "probability", "unit")
        + f'<path data-probability="{question}" fill="{NEUTRAL}" d="{outline}"/>'
    )
