"""Detected events against scored ones: which of them are the same event.

Two events can be the same when they overlap, by any shared time, or by a share of the time that either covers
(intersection over union, IoU). Each is matched at most once; as many pairs are made as can be, and of all ways to make
so many the one with the most shared time. Everything unmatched was missed or made up.

Give both sides the same night and the same rules: only events in sleep (`event_stages.in_sleep`), only where both
looked, hypopneas by one rule. Letters: T true events, P predicted events.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from sleep2vec.metrics.event_stages import Timed
from sleep2vec.vocabulary.errors import UsageError
from sleep2vec.vocabulary.events import Event

ANY_KIND = "any kind"
_ROUNDING = 1e-9  # an IoU of just the threshold is enough, whatever decimals add up to


@dataclass(frozen=True)
class Matching:
    """Which true event is which predicted one.

    Attributes:
        pairs: (true, predicted) places in the given lists, by the true one.
        missed: Places of true events without a partner.
        made_up: Places of predicted events without one.
    """

    pairs: tuple[tuple[int, int], ...]
    missed: tuple[int, ...]
    made_up: tuple[int, ...]


@dataclass(frozen=True)
class EventScore:
    """How well events were found. Sums of nights are scores too: ``sum(scores, EventScore())``."""

    n_true: int = 0
    n_predicted: int = 0
    n_matched: int = 0

    def __add__(self, other: "EventScore") -> "EventScore":
        return EventScore(
            self.n_true + other.n_true, self.n_predicted + other.n_predicted, self.n_matched + other.n_matched
        )

    @property
    def precision(self) -> float | None:
        """Share of the predicted that are true; None if nothing was predicted."""
        return self.n_matched / self.n_predicted if self.n_predicted else None

    @property
    def recall(self) -> float | None:
        """Share of the true that were found; None if there was nothing to find."""
        return self.n_matched / self.n_true if self.n_true else None

    @property
    def f1(self) -> float | None:
        """Harmonic mean of both, 2 TP / (2 TP + FP + FN); None if neither side has an event."""
        n = self.n_true + self.n_predicted
        return 2 * self.n_matched / n if n else None


def match_events(true: Sequence[Timed], predicted: Sequence[Timed], least_iou: float = 0.0) -> Matching:
    """Match events one to one.

    Args:
        true, predicted: in any order, also overlapping one another. A mark, without duration, overlaps nothing.
        least_iou: 0: any overlap will do; else the intersection must be this share of the union.

    Raises:
        UsageError: a threshold outside 0 to 1, or an event that ends before it begins.
    """
    if not 0 <= least_iou <= 1:
        raise UsageError(f"an IoU of {least_iou:g} cannot be reached; give 0 (any overlap) to 1.")
    shared_TP, union_TP = _overlaps(_bounds(true), _bounds(predicted))
    fits_TP = (shared_TP > 0) & (shared_TP >= (least_iou - _ROUNDING) * union_TP)
    rows, columns = np.flatnonzero(fits_TP.any(axis=1)), np.flatnonzero(fits_TP.any(axis=0))
    fits, shared = fits_TP[np.ix_(rows, columns)], shared_TP[np.ix_(rows, columns)]
    # Shared time is at most a share of one pair's worth: one pair more is worth more than any shared time.
    worth = np.where(fits, 1 + shared / (1 + shared.sum()), 0)
    chosen = [
        (int(rows[t]), int(columns[p])) for t, p in zip(*linear_sum_assignment(-worth), strict=True) if fits[t, p]
    ]
    matched_true, matched_predicted = {t for t, _ in chosen}, {p for _, p in chosen}
    return Matching(
        pairs=tuple(sorted(chosen)),
        missed=tuple(place for place in range(len(true)) if place not in matched_true),
        made_up=tuple(place for place in range(len(predicted)) if place not in matched_predicted),
    )


def event_score(true: Sequence[Timed], predicted: Sequence[Timed], least_iou: float = 0.0) -> EventScore:
    """Score events of one night, whatever their kinds; arguments and errors as in `match_events`."""
    return EventScore(len(true), len(predicted), len(match_events(true, predicted, least_iou).pairs))


def event_scores(
    true: Sequence[Event], predicted: Sequence[Event], kinds: Iterable[str], least_iou: float = 0.0
) -> dict[str, EventScore]:
    """Score each of `kinds` by itself, and under `ANY_KIND` all of them together, whatever their kinds.

    An apnea found as a hypopnea is a hit of any kind, a missed apnea, and a made-up hypopnea. Arguments and errors as
    in `match_events`.
    """
    wanted = tuple(kinds)

    def score(of: Sequence[str]) -> EventScore:
        true_of, predicted_of = ([event for event in side if event.kind in of] for side in (true, predicted))
        return event_score(true_of, predicted_of, least_iou)

    return {ANY_KIND: score(wanted), **{kind: score((kind,)) for kind in wanted}}


def _bounds(events: Sequence[Timed]) -> NDArray[np.float64]:
    bounds_E2 = np.array([(event.onset_s, event.end_s) for event in events], dtype=float).reshape(-1, 2)
    wrong = ~(bounds_E2[:, 1] >= bounds_E2[:, 0])
    if wrong.any():
        onset_s, end_s = bounds_E2[wrong][0]
        raise UsageError(
            f"an event cannot begin at {onset_s:g} s and end at {end_s:g} s; give a duration of 0 or more."
        )
    return bounds_E2


def _overlaps(
    true_T2: NDArray[np.float64], predicted_P2: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(T, P) shared time and union of each pair, in s."""
    starts_TP = np.maximum(true_T2[:, None, 0], predicted_P2[None, :, 0])
    stops_TP = np.minimum(true_T2[:, None, 1], predicted_P2[None, :, 1])
    shared_TP = np.clip(stops_TP - starts_TP, 0, None)
    lengths_TP = np.diff(true_T2, axis=1) + np.diff(predicted_P2, axis=1).T
    return shared_TP, lengths_TP - shared_TP
