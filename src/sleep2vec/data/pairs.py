"""Batches for alignment: a pair of modalities first, then nights that hold both.

Every batch is a function of (seed, step) and of the store, so a resumed run meets the same batches, and so do several
processes, each of which reads its own windows of a batch only.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from sleep2vec.data.lottery import Dice, nights_of_different_people
from sleep2vec.data.metadata import Metadata, MetadataTable, site_of
from sleep2vec.data.pair_schedule import PairStage, in_order, pair_weights, set_probabilities, stage_at
from sleep2vec.data.window import View, Window, WindowReader
from sleep2vec.store.manifest import ManifestRow
from sleep2vec.vocabulary.errors import StoreError

MIN_VALID_SHARE = 0.25
"""A night counts as holding a modality when at least this share of its tokens is valid."""

Balance = Literal["nights", "cohorts", "sites"]
_GROUP_OF: dict[Balance, Callable[[ManifestRow], str]] = {
    "nights": lambda row: "",
    "cohorts": lambda row: str(row.cohort),
    "sites": site_of,
}


class PairConfig(BaseModel):
    """How batches are drawn."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    batch_windows: Annotated[int, Field(ge=2)] = 320
    window_tokens: Annotated[int, Field(ge=1, le=1536, description="120 tokens are one hour")] = 120
    views: Annotated[
        int,
        Field(ge=2, description="modalities of a batch: pairs, or larger sets where one is contrasted with the rest"),
    ] = 2
    balance: Annotated[
        Balance,
        Field(
            description="a batch's next person comes from any night with equal chance, or from any cohort or site, as "
            "long as it has people left"
        ),
    ] = "nights"
    pair_schedule: Annotated[
        tuple[PairStage, ...],
        AfterValidator(in_order),
        Field(description="parts of the run in which some pairs come more often; after the last, all come alike"),
    ] = ()
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

    def pin_memory(self) -> "PairBatch":
        """The same in memory that a CUDA device copies from by itself."""
        views = tuple(view.pin_memory() for view in self.views)
        return PairBatch(self.modalities, views, self.metadata, self.rows)

    def to(self, device: torch.device) -> "PairBatch":
        views = tuple(view.to(device) for view in self.views)
        return PairBatch(self.modalities, views, self.metadata.to(device), self.rows)


@dataclass(frozen=True)
class PairDraw:
    """What a batch will hold: which modalities, and which windows of which nights (their places in the source)."""

    modalities: tuple[str, ...]
    windows: tuple[Window, ...]
    nights: tuple[int, ...]

    @property
    def n_tokens(self) -> int:
        """Of the longest window, to which all are padded."""
        return max(window.n_tokens for window in self.windows)


def _all_of(n: int) -> slice:
    return slice(0, n)


class PairSource:
    """Draws pair-first batches from some nights of a store.

    Args:
        reader: of the store where the nights lie.
        night_ids: the nights to draw from.
        modalities: pairs are drawn among these.
        config: see `PairConfig`.
        seed: with the step, decides every batch.
        n_steps: batches of the whole run, which ``config.pair_schedule`` divides; without, the schedule is over.
        share: which of a batch's n windows this process reads; all by default.

    Attributes:
        pairs: pairs of modalities that nights of at least two people hold.
        sets: what a batch can align: the pairs, or the larger sets where ``config.views`` asks for them.

    Raises:
        StoreError: nothing that a batch could align is held by two people, or a stage of the schedule favours that.
    """

    def __init__(
        self,
        reader: WindowReader,
        night_ids: Sequence[str],
        modalities: Sequence[str],
        config: PairConfig,
        seed: int,
        *,
        n_steps: int | None = None,
        share: Callable[[int], slice] = _all_of,
    ) -> None:
        self._reader, self._config, self._seed = reader, config, seed
        self._n_steps, self._share = n_steps, share
        rows = [reader.store.row(night_id) for night_id in night_ids]
        self._ids = [row.night_id for row in rows]
        self._metadata = MetadataTable(rows)
        self._n_tokens_of = np.array([row.n_tokens for row in rows], dtype=np.int64)
        self._person_of = _numbered([row.person for row in rows])
        self._group_of = _numbered([_GROUP_OF[config.balance](row) for row in rows])
        self._held = {name: np.array([_holds(row, name) for row in rows], dtype=np.bool_) for name in modalities}
        self._groups_of: dict[tuple[str, ...], list[NDArray[np.int64]]] = {}
        self.pairs = self._held_by_two_people(2)
        self.sets = self.pairs if config.views == 2 else self._held_by_two_people(config.views)
        if not self.sets:
            number = "two" if config.views == 2 else str(config.views)
            raise StoreError(
                f"{reader.store.path}: no {number} of the modalities {', '.join(modalities)} are good at once in "
                f"nights of two people among the {len(rows)} nights chosen; ingest more people."
            )
        weights = pair_weights(self.sets, config.derived_pair_weight)
        self._probabilities = {
            stage: set_probabilities(self.sets, weights, stage) for stage in (None, *config.pair_schedule)
        }

    def probabilities(self, step: int) -> NDArray[np.float64]:
        """Of each of the `sets`, at a step."""
        progress = 1.0 if self._n_steps is None else step / self._n_steps
        return self._probabilities[stage_at(self._config.pair_schedule, progress)]

    def nights_of(self, modalities: Sequence[str]) -> list[str]:
        """The nights that hold all of some modalities."""
        return [self._ids[place] for place in np.flatnonzero(self._holders(modalities))]

    def draw(self, step: int, modalities: tuple[str, ...] | None = None) -> PairDraw:
        """What the batch of a step holds, in all processes together: nothing is read for it."""
        draw = np.random.default_rng([self._seed, step])
        drawn = self.sets[draw.choice(len(self.sets), p=self.probabilities(step))]
        names = modalities or drawn
        dice = Dice(draw)
        n = self._config.batch_windows
        n_joining = min(round(self._config.same_night_share * n), n - 1)
        nights = nights_of_different_people(self._groups(names), self._person_of, n - n_joining, dice)
        windows = [self._window(night, dice) for night in nights]
        for night, window in self._joining(nights, windows, dice):
            nights.append(night)
            windows.append(window)
        return PairDraw(names, tuple(windows), tuple(nights))

    def batch(self, step: int, modalities: tuple[str, ...] | None = None) -> PairBatch:
        """The batch of a step, of the modalities drawn for it or of given ones; the views hold this process's share."""
        drawn = self.draw(step, modalities)
        rows = self._share(len(drawn.windows))
        windows = drawn.windows[rows]
        self._reader.expect(windows, drawn.modalities)
        views = tuple(self._reader.view(windows, name, drawn.n_tokens) for name in drawn.modalities)
        return PairBatch(drawn.modalities, views, self._metadata.of(drawn.nights), rows)

    def _joining(self, nights: Sequence[int], windows: Sequence[Window], dice: Dice) -> list[tuple[int, Window]]:
        """Windows that share a night with one of the batch without overlapping it, until the batch is full.

        Small stores hold fewer people than a batch has windows: then more than the share join, where there is room.
        """
        taken = {night: [window] for night, window in zip(nights, windows, strict=True)}
        fresh = tuple(nights)
        joining: list[tuple[int, Window]] = []
        for _ in range(4 * self._config.batch_windows):
            if len(fresh) + len(joining) >= self._config.batch_windows:
                break
            night = fresh[dice.below(len(fresh))]
            window = self._window(night, dice)
            if not any(_overlap(window, other) for other in taken[night]):
                taken[night].append(window)
                joining.append((night, window))
        return joining

    def _window(self, night: int, dice: Dice) -> Window:
        n_night = int(self._n_tokens_of[night])
        n_tokens = min(self._config.window_tokens, n_night)
        return Window(self._ids[night], dice.below(n_night - n_tokens + 1), n_tokens)

    def _held_by_two_people(self, n_modalities: int) -> tuple[tuple[str, ...], ...]:
        sets = combinations(self._held, n_modalities)
        return tuple(names for names in sets if len(np.unique(self._person_of[self._holders(names)])) >= 2)

    def _holders(self, modalities: Sequence[str]) -> NDArray[np.bool_]:
        return np.logical_and.reduce([self._held[name] for name in modalities])

    def _groups(self, modalities: tuple[str, ...]) -> list[NDArray[np.int64]]:
        """The nights that hold all of the modalities, by what is balanced."""
        if modalities not in self._groups_of:
            nights = np.flatnonzero(self._holders(modalities))
            groups = self._group_of[nights]
            self._groups_of[modalities] = [nights[groups == group] for group in np.unique(groups)]
        return self._groups_of[modalities]


def _holds(row: ManifestRow, modality: str) -> bool:
    return modality in row.signals and row.signals[modality].valid_share >= MIN_VALID_SHARE


def _overlap(one: Window, other: Window) -> bool:
    return one.first < other.first + other.n_tokens and other.first < one.first + one.n_tokens


def _numbered(names: Sequence[str]) -> NDArray[np.int64]:
    number_of = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([number_of[name] for name in names], dtype=np.int64)
