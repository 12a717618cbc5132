"""Batches for fine-tuning: windows of whole nights with all modalities and what is known of them.

Dimension letters: B windows, M modalities, L tokens, K labels of a night.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sleep2vec.data.scoring import Scoring, ScoringReader
from sleep2vec.data.window import View, Window, WindowReader
from sleep2vec.vocabulary.modalities import TOKEN_SECONDS


class Labeller(Protocol):
    """What a task wants to know of a night."""

    @property
    def resolution(self) -> Literal["token", "second", "night"]: ...

    def label(self, scoring: Scoring, first: int, n_tokens: int) -> NDArray[np.float32]:
        """Of some tokens of a night: (n,), (30 n,) or, of the whole night, (K,); NaN where unknown."""
        ...


@dataclass(frozen=True)
class NightBatch:
    """Windows of nights with every modality.

    Attributes:
        views: By modality; absent modalities are invalid throughout.
        labels: By task: (B, L) of tokens, (B, 30 L) of seconds or (B, K) of nights; NaN where unknown or padded.
        sensors_BM: Which sensor each modality of each window came from; ``""`` where it is absent.
        night_ids: Of the windows.
        first_B: Where in its night each window begins, in tokens.
        seconds: By modality, what heads of seconds and rhythms read, where it is kept apart; None: they read `views`.
    """

    views: dict[str, View]
    labels: dict[str, Tensor]
    sensors_BM: tuple[tuple[str, ...], ...]
    night_ids: tuple[str, ...]
    first_B: Tensor
    seconds: dict[str, View] | None = None

    def pin_memory(self) -> "NightBatch":
        """The same in memory that a CUDA device copies from by itself."""
        return replace(
            self,
            views={name: view.pin_memory() for name, view in self.views.items()},
            labels={name: label.pin_memory() for name, label in self.labels.items()},
            seconds=None if self.seconds is None else {n: view.pin_memory() for n, view in self.seconds.items()},
        )

    def to(self, device: torch.device) -> "NightBatch":
        return replace(
            self,
            views={name: view.to(device) for name, view in self.views.items()},
            labels={name: label.to(device) for name, label in self.labels.items()},
            first_B=self.first_B.to(device),
            seconds=None if self.seconds is None else {n: view.to(device) for n, view in self.seconds.items()},
        )

    def restricted(self, kept_BML: Tensor) -> "NightBatch":
        """The same with other tokens readable, modalities in the order of `views`."""
        places = {name: m for m, name in enumerate(self.views)}
        return replace(
            self,
            views={name: view.restricted(kept_BML[:, places[name]]) for name, view in self.views.items()},
            seconds=None
            if self.seconds is None
            else {name: view.restricted(kept_BML[:, places[name]]) for name, view in self.seconds.items()},
        )


@dataclass(frozen=True)
class NightReader:
    """Reads whole batches: views, what heads of seconds and rhythms read, and labels.

    Attributes:
        views: of tokens.
        modalities: which.
        scorings: what is known of the nights.
        labellers: By task.
        seconds: of seconds; None where nobody asks, or where `views` gives samples.
        heard: which modalities are read by `seconds`; None: all.
    """

    views: WindowReader
    modalities: tuple[str, ...]
    scorings: ScoringReader
    labellers: Mapping[str, Labeller] = field(default_factory=dict)
    seconds: WindowReader | None = None
    heard: tuple[str, ...] | None = None

    def batch_of(self, windows: Sequence[Window]) -> NightBatch:
        """The given windows, padded to the longest."""
        n_tokens = max(window.n_tokens for window in windows)
        store = self.views.store
        signals = [store.row(window.night_id).signals for window in windows]
        sensors_BM = tuple(
            tuple(held[name].sensor if name in held else "" for name in self.modalities) for held in signals
        )
        seconds, heard = self.seconds, self.modalities if self.heard is None else self.heard
        return NightBatch(
            {name: self.views.view(windows, name, n_tokens) for name in self.modalities},
            {name: self._labels(labeller, windows, n_tokens) for name, labeller in self.labellers.items()},
            sensors_BM,
            tuple(window.night_id for window in windows),
            torch.tensor([window.first for window in windows]),
            None if seconds is None else {name: seconds.view(windows, name, n_tokens) for name in heard},
        )

    def _labels(self, labeller: Labeller, windows: Sequence[Window], n_tokens: int) -> Tensor:
        known = [labeller.label(self.scorings.of(w.night_id), w.first, w.n_tokens) for w in windows]
        if labeller.resolution == "night":
            return torch.from_numpy(np.stack(known))
        length = n_tokens * (TOKEN_SECONDS if labeller.resolution == "second" else 1)
        padded = np.full((len(windows), length), np.nan, dtype=np.float32)
        for b, label in enumerate(known):
            padded[b, : len(label)] = label
        return torch.from_numpy(padded)


class NightSource:
    """Draws windows from some nights of a store, each batch a function of (seed, step)."""

    def __init__(
        self, reader: NightReader, night_ids: Sequence[str], batch_windows: int, window_tokens: int, seed: int
    ) -> None:
        self._reader, self._store = reader, reader.views.store
        self._night_ids = tuple(night_ids)
        self._batch_windows, self._window_tokens, self._seed = batch_windows, window_tokens, seed

    def batch(self, step: int) -> NightBatch:
        """Random windows; nights are taken in a fresh random order once all were seen."""
        n = len(self._night_ids)
        places = range(step * self._batch_windows, (step + 1) * self._batch_windows)
        rounds = range(places[0] // n, places[-1] // n + 1)
        orders = {number: np.random.default_rng([self._seed, 0, number]).permutation(n) for number in rounds}
        windows = []
        for place in places:
            draw = np.random.default_rng([self._seed, 1, place])
            row = self._store.row(self._night_ids[orders[place // n][place % n]])
            n_tokens = min(self._window_tokens, row.n_tokens)
            windows.append(Window(row.night_id, int(draw.integers(row.n_tokens - n_tokens + 1)), n_tokens))
        return self._reader.batch_of(windows)
