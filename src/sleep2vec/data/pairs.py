"""Batches for alignment: a pair of modalities first, then nights that hold both.

Every batch is a function of (seed, step) and of the store, so a resumed run meets the same batches.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field

from sleep2vec.data.metadata import Metadata, metadata_of
from sleep2vec.data.window import View, Window, WindowReader
from sleep2vec.vocabulary.errors import StoreError
from sleep2vec.vocabulary.modalities import derived_together

MIN_VALID_SHARE = 0.25
"""A night counts as holding a modality when at least this share of its tokens is valid."""


class PairConfig(BaseModel):
    """How batches are drawn."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    batch_windows: Annotated[int, Field(ge=2)] = 320
    window_tokens: Annotated[int, Field(ge=1, le=1536, description="120 tokens are one hour")] = 120
    same_night_share: Annotated[
        float, Field(ge=0, le=1, description="share of windows whose night is already in the batch")
    ] = 0.125
    keep_features: Annotated[
        bool,
        Field(description="compute what the tokenizer does not learn once a night, for all runs, and keep it on disk"),
    ] = False
    feature_folder: Annotated[Path | None, Field(description="where features are kept; STORE/features by default")] = (
        None
    )
    derived_pair_weight: Annotated[
        float, Field(ge=0, le=1, description="how often a pair of a signal and its derivative is drawn")
    ] = 0.1


@dataclass(frozen=True)
class PairBatch:
    """Some windows, seen by several modalities: two, or more where the objective contrasts one with the rest.

    Attributes:
        modalities: Of the views.
        views: One a modality; all have the same windows and tokens, (b, L, .).
        metadata: Of all B windows of the batch, also of those that other processes read.
        rows: Which of the B windows the views hold: all, unless several processes share the batch.
    """

    modalities: tuple[str, ...]
    views: tuple[View, ...]
    metadata: Metadata
    rows: slice = field(default_factory=lambda: slice(None))

    @property
    def pair(self) -> tuple[str, str]:
        """The first two modalities."""
        return self.modalities[0], self.modalities[1]

    @property
    def first(self) -> View:
        return self.views[0]

    @property
    def second(self) -> View:
        return self.views[1]

    def to(self, device: torch.device) -> "PairBatch":
        views = tuple(view.to(device) for view in self.views)
        return PairBatch(self.modalities, views, self.metadata.to(device), self.rows)


class PairSource:
    """Draws pair-first batches from some nights of a store.

    Args:
        reader: of the store where the nights lie.
        night_ids: the nights to draw from.
        modalities: pairs are drawn among these.
        config: see `PairConfig`.
        seed: with the step, decides every batch.

    Raises:
        StoreError: no pair of the modalities is held by two nights.
    """

    def __init__(
        self, reader: WindowReader, night_ids: Sequence[str], modalities: Sequence[str], config: PairConfig, seed: int
    ) -> None:
        self._reader, self._store, self._config, self._seed = reader, reader.store, config, seed
        self.nights_of_pair: dict[tuple[str, str], list[str]] = {}
        rows = [self._store.row(night_id) for night_id in night_ids]
        for first, second in combinations(modalities, 2):
            both = [
                row.night_id
                for row in rows
                if all(m in row.signals and row.signals[m].valid_share >= MIN_VALID_SHARE for m in (first, second))
            ]
            if len(both) >= 2:
                self.nights_of_pair[first, second] = both
        if not self.nights_of_pair:
            raise StoreError(
                f"{self._store.path}: no two of the modalities {', '.join(modalities)} are good in two nights at once "
                f"among the {len(rows)} chosen; ingest more nights."
            )
        self.pairs = tuple(self.nights_of_pair)
        weights = np.array([config.derived_pair_weight if derived_together(*pair) else 1.0 for pair in self.pairs])
        self._pair_probability = (
            weights / weights.sum() if weights.sum() > 0 else np.full(len(weights), 1 / len(weights))
        )

    def batch(self, step: int, pair: tuple[str, str] | None = None) -> PairBatch:
        """The batch of a step, of the pair drawn for it or of a given one."""
        draw = np.random.default_rng([self._seed, step])
        drawn_pair = self.pairs[draw.choice(len(self.pairs), p=self._pair_probability)]
        pair = pair or drawn_pair
        windows = self._windows(draw, self.nights_of_pair[pair])
        n_tokens = max(window.n_tokens for window in windows)
        views = tuple(self._reader.view(windows, modality, n_tokens) for modality in pair)
        return PairBatch(pair, views, metadata_of([self._store.row(window.night_id) for window in windows]))

    def _windows(self, draw: np.random.Generator, nights: Sequence[str]) -> list[Window]:
        """Windows of different people, and the share that joins a night of the batch without overlapping it."""
        n_joining = min(
            round(self._config.same_night_share * self._config.batch_windows), self._config.batch_windows - 1
        )
        one_night_of: dict[str, str] = {}
        for night in draw.permutation(np.array(nights)):
            one_night_of.setdefault(self._store.row(night).person, str(night))
        chosen = list(one_night_of.values())[: self._config.batch_windows - n_joining]
        fresh = [window for window in (self._window(draw, night, []) for night in chosen) if window is not None]
        taken = {window.night_id: [window] for window in fresh}
        result = list(fresh)
        # Small stores hold fewer people than a batch has windows: the rest joins nights that are there, where room is.
        for _ in range(4 * self._config.batch_windows):
            if len(result) >= self._config.batch_windows:
                break
            night = fresh[draw.integers(len(fresh))].night_id
            window = self._window(draw, night, taken[night])
            if window is not None:
                taken[night].append(window)
                result.append(window)
        return result

    def _window(self, draw: np.random.Generator, night_id: str, taken: Sequence[Window]) -> Window | None:
        """A random window of a night, or None where it would overlap a window already taken."""
        n_night = self._store.row(night_id).n_tokens
        n_tokens = min(self._config.window_tokens, n_night)
        first = int(draw.integers(n_night - n_tokens + 1))
        if any(first < other.first + other.n_tokens and other.first < first + n_tokens for other in taken):
            return None
        return Window(str(night_id), first, n_tokens)
