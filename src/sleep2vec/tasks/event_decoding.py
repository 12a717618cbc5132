"""From probabilities at 1 Hz to events.

Seconds at or above a threshold are runs; runs no more than a gap apart are one event, unless a second between them was
abstained from (NaN): what was not seen is never bridged. Runs that are too short then are dropped. The AASM Manual asks
for 10 s of an apnea or hypopnea (children: two breaths) and 3 s of an arousal. Which events count is another question:
`metrics.event_stages.in_sleep` keeps those with a part in sleep, and `metrics.hypopneas` applies the rules 1A and 1B.

Desaturations are found in the saturation itself (`metrics.desaturations`) where a night has one.

Letters: S seconds, C respiratory classes, E events.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sleep2vec.data.event_targets import RESPIRATORY_CLASSES
from sleep2vec.vocabulary.errors import UsageError
from sleep2vec.vocabulary.events import Event, EventKind


@dataclass(frozen=True)
class Decoding:
    """How seconds become events. It is fitted on validation nights and stored with the model.

    Attributes:
        threshold: Least probability of a second in an event.
        merge_gap_s: Longest gap within one event.
        shortest_s: Shorter ones are dropped.
    """

    threshold: float = 0.5
    merge_gap_s: float = 3.0
    shortest_s: float = 10.0

    def __post_init__(self) -> None:
        if not (0 < self.threshold <= 1 and self.merge_gap_s >= 0 and self.shortest_s >= 0):
            raise UsageError(
                f"events cannot be decoded with {self}: give a threshold above 0 and up to 1, and times of 0 or more."
            )


RESPIRATORY = Decoding()


def event_spans(probability_S: ArrayLike, decoding: Decoding) -> NDArray[np.int64]:
    """(E, 2) first second of each event and the one after its last, in order.

    Args:
        probability_S: (S,) of an event in each second, NaN where abstained.
        decoding: threshold, gaps, lengths.

    Raises:
        UsageError: no list of probabilities.
    """
    probability = _checked(np.asarray(probability_S, dtype=float), 1)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (probability >= decoding.threshold).astype(np.int8), [0]])))
    first_E, stop_E = edges[::2], edges[1::2]
    abstained_S1 = np.concatenate([[0], np.cumsum(np.isnan(probability))])
    # One event where the gap is short and every second of it was seen.
    joined = (first_E[1:] - stop_E[:-1] <= decoding.merge_gap_s) & (
        abstained_S1[first_E[1:]] == abstained_S1[stop_E[:-1]]
    )
    begins, ends = np.ones(len(first_E), dtype=bool), np.ones(len(first_E), dtype=bool)
    begins[1:], ends[:-1] = ~joined, ~joined
    spans_E2 = np.stack([first_E[begins], stop_E[ends]], axis=1)
    return spans_E2[spans_E2[:, 1] - spans_E2[:, 0] >= decoding.shortest_s]


def decode_events(
    probability_S: ArrayLike, kind: EventKind, decoding: Decoding, grid_start_s: float = 0.0
) -> tuple[Event, ...]:
    """Events of one kind; `grid_start_s` is when second 0 begins, from the start of the recording.

    Arguments and errors as in `event_spans`.
    """
    spans_E2 = event_spans(probability_S, decoding)
    return tuple(Event(kind, grid_start_s + first, float(stop - first)) for first, stop in spans_E2.tolist())


def decode_respiratory_events(
    probability_SC: ArrayLike, decoding: Decoding = RESPIRATORY, grid_start_s: float = 0.0
) -> tuple[Event, ...]:
    """Apneas and hypopneas: where "none" leaves enough probability, of the type with the most of it inside the event.

    Args:
        probability_SC: (S, C) in the order of `RESPIRATORY_CLASSES`, each row summing to 1; NaN where abstained.
        decoding: its threshold is on the summed probability of all classes but "none".
        grid_start_s: when second 0 begins, from the start of the recording.

    Raises:
        UsageError: no probabilities of five classes, or rows that do not sum to 1.
    """
    probability = _checked(np.asarray(probability_SC, dtype=float), 2)
    total_S = probability.sum(axis=1)
    if probability.shape[1] != len(RESPIRATORY_CLASSES) or (np.abs(total_S - 1) > 1e-3).any():
        raise UsageError(
            f"respiratory events need {len(RESPIRATORY_CLASSES)} probabilities a second that sum to 1, got an array of "
            f"shape {probability.shape} with sums up to {np.nanmax(total_S, initial=0):g}; apply a softmax first."
        )
    # Of a row with any NaN the sum is NaN: the second is abstained from.
    spans_E2 = event_spans(np.clip(total_S - probability[:, 0], 0, 1), decoding)
    types = [RESPIRATORY_CLASSES[1 + int(probability[a:b, 1:].sum(axis=0).argmax())] for a, b in spans_E2]
    return tuple(
        Event(kind, grid_start_s + first, float(stop - first))
        for kind, (first, stop) in zip(types, spans_E2.tolist(), strict=True)
    )


def _checked(probability: NDArray[np.float64], n_axes: int) -> NDArray[np.float64]:
    wrong = (probability < 0) | (probability > 1 + 1e-6)
    if probability.ndim != n_axes or wrong.any():
        raise UsageError(
            f"events are decoded from probabilities between 0 and 1, {'(S,)' if n_axes == 1 else '(S, C)'}, NaN where "
            f"abstained; got an array of shape {probability.shape}"
            + (f" with a {probability[wrong][0]:g}." if wrong.any() else ".")
        )
    return probability
