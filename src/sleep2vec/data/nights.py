"""Batches for fine-tuning: windows of whole nights with all modalities and their labels.

Dimension letters: B windows, M modalities, L tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sleep2vec.data.window import View, Window, WindowReader


@dataclass(frozen=True)
class NightBatch:
    """Windows of nights with every modality.

    Attributes:
        views: By modality; absent modalities are invalid throughout.
        stages_BL: float codes, NaN where unscored.
        sensors_BM: Which sensor each modality of each window came from; ``""`` where it is absent.
        night_ids: Of the windows.
    """

    views: dict[str, View]
    stages_BL: Tensor
    sensors_BM: tuple[tuple[str, ...], ...]
    night_ids: tuple[str, ...]

    def pin_memory(self) -> "NightBatch":
        """The same in memory that a CUDA device copies from by itself."""
        views = {name: view.pin_memory() for name, view in self.views.items()}
        return NightBatch(views, self.stages_BL.pin_memory(), self.sensors_BM, self.night_ids)

    def to(self, device: torch.device) -> "NightBatch":
        views = {name: view.to(device) for name, view in self.views.items()}
        return NightBatch(views, self.stages_BL.to(device), self.sensors_BM, self.night_ids)


class NightSource:
    """Draws windows from some nights of a store, each batch a function of (seed, step)."""

    def __init__(
        self,
        reader: WindowReader,
        night_ids: Sequence[str],
        modalities: Sequence[str],
        batch_windows: int,
        window_tokens: int,
        seed: int,
    ) -> None:
        self._reader, self._store = reader, reader.store
        self._night_ids, self._modalities = tuple(night_ids), tuple(modalities)
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
        return self.batch_of(windows)

    def batch_of(self, windows: Sequence[Window]) -> NightBatch:
        """The given windows, padded to the longest."""
        n_tokens = max(window.n_tokens for window in windows)
        views = {name: self._reader.view(windows, name, n_tokens) for name in self._modalities}
        signals = [self._store.row(window.night_id).signals for window in windows]
        sensors_BM = tuple(
            tuple(held[name].sensor if name in held else "" for name in self._modalities) for held in signals
        )
        ids = tuple(window.night_id for window in windows)
        return NightBatch(views, self._reader.stages(windows, n_tokens), sensors_BM, ids)
