"""Windows of nights as tensors.

Dimension letters: B windows, M modalities, L tokens, S samples of a token.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sleep2vec.data.features import FeatureCache, FrontEnd
from sleep2vec.data.scaling import scaled
from sleep2vec.store.reader import Store
from sleep2vec.vocabulary.modalities import MODALITIES
from sleep2vec.vocabulary.night import Night


@dataclass(frozen=True)
class Window:
    """A stretch of a night of a store: tokens `first` to ``first + n_tokens``."""

    night_id: str
    first: int
    n_tokens: int


@dataclass(frozen=True)
class View:
    """One modality of a batch of windows.

    Attributes:
        values_BLS: Scaled samples, or features of them (see `FrontEnd`); 0 where invalid or padded.
        valid_BL: Tokens that may be read; False in the padding.
        are_features: Whether `values_BLS` already went through the front end.
    """

    values_BLS: Tensor
    valid_BL: Tensor
    are_features: bool = False

    def to(self, device: torch.device) -> "View":
        values_BLS, valid_BL = (x.to(device, non_blocking=True) for x in (self.values_BLS, self.valid_BL))
        return View(values_BLS, valid_BL, self.are_features)

    def rows(self, rows_N: Tensor) -> "View":
        """Only some windows of the batch."""
        return View(self.values_BLS[rows_N], self.valid_BL[rows_N], self.are_features)

    def restricted(self, valid_BL: Tensor) -> "View":
        """The same values with other tokens readable."""
        return View(self.values_BLS, valid_BL, self.are_features)


class WindowReader:
    """Reads windows of a store.

    Args:
        store: where the nights lie.
        front_end: when given, it is applied to whole nights, once for all runs, and the features are kept on disk (see
            `FeatureCache`): a token of 3,840 samples becomes less than a hundred numbers.
        feature_folder: where they are kept; ``STORE/features`` by default.
    """

    def __init__(self, store: Store, front_end: FrontEnd | None = None, feature_folder: Path | None = None) -> None:
        self.store = store
        self._features = None if front_end is None else FeatureCache(store, front_end, feature_folder)

    def prepare(self, night_ids: Sequence[str], modalities: Sequence[str]) -> int:
        """Compute with all cores what is to be kept of some nights and is not there; returns how many files."""
        return 0 if self._features is None else self._features.prepare(night_ids, modalities)

    def view(self, windows: Sequence[Window], modality: str, n_tokens: int) -> View:
        """One modality of several windows, each padded to `n_tokens`; a night that lacks it is invalid throughout."""
        parts = [self._values(window, modality) for window in windows]
        width = next((part.shape[1] for part in parts if part is not None), MODALITIES[modality].samples_per_token)
        values_BLS = torch.zeros(len(windows), n_tokens, width)
        valid_BL = torch.zeros(len(windows), n_tokens, dtype=torch.bool)
        for index, (window, part_LS) in enumerate(zip(windows, parts, strict=True)):
            if part_LS is None:
                continue
            place = slice(0, window.n_tokens)
            valid_L = torch.from_numpy(self.store.valid(window.night_id, modality, window.first, window.n_tokens))
            valid_BL[index, place] = valid_L
            values_BLS[index, place] = torch.where(valid_L[:, None], part_LS, 0.0)
        return View(values_BLS, valid_BL, self._keeps(modality) and any(part is not None for part in parts))

    def stages(self, windows: Sequence[Window], n_tokens: int) -> Tensor:
        """(B, n_tokens) float stage codes, NaN where unscored or padded."""
        stages_BL = np.full((len(windows), n_tokens), np.nan, dtype=np.float32)
        for index, window in enumerate(windows):
            stages_BL[index, : window.n_tokens] = self.store.stages(window.night_id, window.first, window.n_tokens)
        return torch.from_numpy(stages_BL)

    def _values(self, window: Window, modality: str) -> Tensor | None:
        if modality not in self.store.row(window.night_id).signals:
            return None
        if self._features is None or not self._features.holds(modality):
            return self._samples(window, modality)
        return self._features.window(window.night_id, modality, window.first, window.n_tokens)

    def _keeps(self, modality: str) -> bool:
        return self._features is not None and self._features.holds(modality)

    def _samples(self, window: Window, modality: str) -> Tensor:
        constants = self.store.row(window.night_id).signals[modality]
        raw_LS = self.store.samples(window.night_id, modality, window.first, window.n_tokens)
        return torch.from_numpy(scaled(raw_LS, modality, constants.centre, constants.spread))


def view_of_night(night: Night, modality: str, first: int, n_tokens: int) -> View:
    """The same for a night in memory, which must have the modality; B is 1."""
    place = slice(first, first + n_tokens)
    story = night.provenance[modality]
    valid_L = night.valid[modality][place]
    samples_LS = scaled(
        night.samples[modality].reshape(night.n_tokens, -1)[place], modality, story.centre, story.spread
    )
    samples_LS[~valid_L] = 0.0
    return View(torch.from_numpy(samples_LS)[None], torch.from_numpy(valid_L.copy())[None])
