"""What is known of the nights of a store beside their signals: what tasks are taught and judged by."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sleep2vec.data.event_targets import EventTargets, Question, event_targets, habitual_questions, scored_questions
from sleep2vec.store.manifest import ManifestRow
from sleep2vec.store.reader import Store
from sleep2vec.store.recent import Recent
from sleep2vec.vocabulary.events import Event
from sleep2vec.vocabulary.modalities import TOKEN_SECONDS
from sleep2vec.vocabulary.stages import Hypnogram


@dataclass(frozen=True)
class Scoring:
    """Of one night.

    Attributes:
        row: Who it was.
        stages_L: Codes of `FIVE`, NaN where unscored.
        events: Times from the start of the recording.
        answered: Questions about events that its scorer answered.
    """

    row: ManifestRow
    stages_L: Hypnogram
    events: tuple[Event, ...]
    answered: frozenset[Question]

    def event_targets(self, first: int, n_tokens: int) -> EventTargets:
        """Labels at 1 Hz of some of its tokens."""
        stages_L = self.stages_L[first : first + n_tokens]
        return event_targets(
            self.events,
            n_tokens,
            answered=self.answered,
            grid_start_s=self.row.grid_start_s + first * TOKEN_SECONDS,
            looked_at_L=np.isfinite(stages_L) if np.isfinite(self.stages_L).any() else None,
        )


class ScoringReader:
    """Reads the scorings of a store's nights, and keeps some of them."""

    def __init__(self, store: Store, kept: int = 1024) -> None:
        self.store = store
        self._scorings: Recent[Scoring] = Recent(kept)
        self._habits = _habits(store)

    def answered(self, row: ManifestRow) -> frozenset[Question]:
        """Which questions about events the night's scorer answered; from the manifest alone."""
        return scored_questions(row.events, self._habits[row.cohort or ""])

    def of(self, night_id: str) -> Scoring:
        """All that is known of a night. Raises `StoreError` where its description is damaged."""
        return self._scorings.get(night_id, lambda: self._read(night_id))

    def _read(self, night_id: str) -> Scoring:
        row = self.store.row(night_id)
        events = self.store.events(night_id) if row.events else ()
        return Scoring(row, self.store.stages(night_id), events, self.answered(row))


def _habits(store: Store) -> Mapping[str, frozenset[Question]]:
    """By cohort, what its scorers always write down."""
    counts = defaultdict(list)
    for row in store.rows:
        counts[row.cohort or ""].append(row.events)
    return defaultdict(frozenset, {cohort: habitual_questions(nights) for cohort, nights in counts.items()})
