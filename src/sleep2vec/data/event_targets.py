"""Scored events as labels at 1 Hz, beside the tokens they lie in.

A second is labelled by what covers its middle. Three questions are asked of it: which respiratory class, whether an
arousal, whether a desaturation. NaN is "nobody knows", and never "no event":

- A question is answered in a night only where its events were scored: the night has such an event (`scored_questions`),
  or its cohort's scorers are known to write them down (`habitual_questions`) and the night has events of some kind. A
  night without any annotated event was not scored for events; a cohort without one desaturation did not score them.
- A token that nobody looked at (unscored in the hypnogram) is unknown, but for the seconds in which an event stands.
- An event without a duration is a mark: something was there, and how long is not known. Seconds around it, as many as
  the shortest such event has, are unknown.
- An apnea whose type the scorer did not write is `UNTYPED_APNEA`: no "none", no hypopnea, and one of three types
  (`allowed_classes`).

Letters: L tokens of 30 s, S = 30 L seconds, C respiratory classes.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sleep2vec.vocabulary.errors import UsageError
from sleep2vec.vocabulary.events import APNEAS_AND_HYPOPNEAS, Event, EventKind
from sleep2vec.vocabulary.modalities import TOKEN_SECONDS

RESPIRATORY_CLASSES: tuple[EventKind | None, ...] = (
    None,
    "obstructive_apnea",
    "central_apnea",
    "mixed_apnea",
    "hypopnea",
)
UNTYPED_APNEA = len(RESPIRATORY_CLASSES)
"""A label, and no class: nothing predicts it."""
_HYPOPNEA = RESPIRATORY_CLASSES.index("hypopnea")

Question = Literal["respiratory", "arousal", "desaturation"]
QUESTIONS: tuple[Question, ...] = get_args(Question)
KINDS_OF_QUESTION: MappingProxyType[Question, tuple[EventKind, ...]] = MappingProxyType(
    {"respiratory": APNEAS_AND_HYPOPNEAS, "arousal": ("arousal",), "desaturation": ("desaturation",)}
)
# Two breaths or 10 s of a respiratory event, 3 s of an arousal (AASM Manual); for desaturations ours.
_SHORTEST_S: MappingProxyType[Question, float] = MappingProxyType(
    {"respiratory": 10.0, "arousal": 3.0, "desaturation": 10.0}
)
# Where events overlap the later of this order holds: what meets the criteria of an apnea is one (AASM Manual).
_RANK: MappingProxyType[str, int] = MappingProxyType(
    {"hypopnea": 0, "apnea": 1, "mixed_apnea": 2, "central_apnea": 2, "obstructive_apnea": 2}
)
_HABIT_SHARE = 0.5

Labels = NDArray[np.float32]


@dataclass(frozen=True)
class EventTargets:
    """Labels of S seconds, NaN where unknown.

    Attributes:
        respiratory_S: Codes of `RESPIRATORY_CLASSES`, or `UNTYPED_APNEA`.
        arousal_S, desaturation_S: 0 or 1.
    """

    respiratory_S: Labels
    arousal_S: Labels
    desaturation_S: Labels


def scored_questions(counts: Mapping[str, int], habitual: Collection[Question] = frozenset()) -> frozenset[Question]:
    """Which questions the scoring of a night answers.

    Args:
        counts: Events by kind, as the manifest of a store has them.
        habitual: What the night's cohort always scores, from `habitual_questions`: somebody without one apnea has none.
    """
    present = {question for question, kinds in KINDS_OF_QUESTION.items() if any(counts.get(kind, 0) for kind in kinds)}
    return frozenset(present | set(habitual)) if present else frozenset()


def habitual_questions(counts_of_nights: Iterable[Mapping[str, int]]) -> frozenset[Question]:
    """What scorers of a cohort write down: the questions answered in half or more of its nights with any event."""
    answered = [answers for counts in counts_of_nights if (answers := scored_questions(counts))]
    n_nights = Counter(question for answers in answered for question in answers)
    return frozenset(question for question, n in n_nights.items() if n >= _HABIT_SHARE * len(answered))


def event_targets(
    events: Sequence[Event],
    n_tokens: int,
    *,
    answered: Collection[Question],
    grid_start_s: float = 0.0,
    looked_at_L: ArrayLike | None = None,
) -> EventTargets:
    """Labels of a night, or of any stretch of its tokens.

    Args:
        events: times from the start of the recording; kinds that no question asks for are passed over.
        n_tokens: L.
        answered: from `scored_questions`; the others are NaN throughout.
        grid_start_s: when token 0 begins, from the start of the recording.
        looked_at_L: (L,) bool, tokens that a scorer looked at: ``np.isfinite(stages)``. None: all, as for a night whose
            events were scored and whose stages were not.

    Raises:
        UsageError: `looked_at_L` of another length, or a question that nobody asks.
    """
    looked_L = np.ones(n_tokens, dtype=bool) if looked_at_L is None else np.asarray(looked_at_L, dtype=bool)
    unknown = set(answered) - set(QUESTIONS)
    if looked_L.shape != (n_tokens,) or unknown:
        raise UsageError(
            f"targets of {n_tokens} tokens need to know of each whether it was looked at, got shape {looked_L.shape}; "
            f"questions are {', '.join(QUESTIONS)}" + (f", not {', '.join(sorted(unknown))}." if unknown else ".")
        )
    labels = {}
    for question, kinds in KINDS_OF_QUESTION.items():
        label_S = np.full(n_tokens * TOKEN_SECONDS, np.nan, dtype=np.float32)
        if question in answered:
            label_S[np.repeat(looked_L, TOKEN_SECONDS)] = 0.0
            _paint(label_S, [event for event in events if event.kind in kinds], grid_start_s, _SHORTEST_S[question])
        labels[question] = label_S
    return EventTargets(labels["respiratory"], labels["arousal"], labels["desaturation"])


def allowed_classes(respiratory_S: ArrayLike) -> NDArray[np.bool_]:
    """(S, C) which classes a label leaves open: one where it is known, three for an untyped apnea, all where NaN.

    A loss that asks for the summed probability of the allowed classes learns all that was scored: an untyped apnea
    teaches apnea and not its type, and an unknown second teaches nothing.
    """
    label_S = np.asarray(respiratory_S, dtype=float)
    classes_C = np.arange(len(RESPIRATORY_CLASSES))
    apnea_C = (classes_C > 0) & (classes_C != _HYPOPNEA)
    return np.asarray(
        (label_S[:, None] == classes_C) | np.isnan(label_S)[:, None] | ((label_S == UNTYPED_APNEA)[:, None] & apnea_C)
    )


def _paint(label_S: Labels, events: Sequence[Event], grid_start_s: float, shortest_s: float) -> None:
    """Write events into labels. Marks first, events over them, and what holds in an overlap last."""
    for event in sorted(
        events, key=lambda event: (event.duration_s > 0, _RANK.get(event.kind or "", 0), event.onset_s)
    ):
        around_s = 0.0 if event.duration_s > 0 else shortest_s
        first, stop = (
            int(np.clip(np.ceil(time_s - grid_start_s - 0.5), 0, len(label_S)))
            for time_s in (event.onset_s - around_s, event.end_s + around_s)
        )
        label_S[first:stop] = np.nan if around_s else _code(event.kind)


def _code(kind: EventKind | None) -> int:
    if kind == "apnea":
        return UNTYPED_APNEA
    return RESPIRATORY_CLASSES.index(kind) if kind in RESPIRATORY_CLASSES else 1
