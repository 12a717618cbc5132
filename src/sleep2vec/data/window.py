"""Windows of nights as tensors.

Dimension letters: B windows, M modalities, L tokens, S samples of a token.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

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


FrontEnd = Callable[[str, Tensor], Tensor]
"""(modality, (L, S) scaled samples) -> (L, F): what a tokenizer computes before anything learned."""


class WindowReader:
    """Reads windows of a store.

    Args:
        store: where the nights lie.
        front_end: when given, it is applied to whole nights, once, and the features are kept in memory: a token of
            3,840 samples becomes less than a hundred numbers, and no later step reads the disk. Meant for stores of up
            to some hundred nights (3 MB each); larger ones leave it to the model, on the device.
    """

    def __init__(self, store: Store, front_end: FrontEnd | None = None) -> None:
        self.store = store
        self._front_end = front_end
        self._kept: dict[tuple[str, str], Tensor] = {}

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
        return View(values_BLS, valid_BL, self._front_end is not None and any(part is not None for part in parts))

    def stages(self, windows: Sequence[Window], n_tokens: int) -> Tensor:
        """(B, n_tokens) float stage codes, NaN where unscored or padded."""
        stages_BL = np.full((len(windows), n_tokens), np.nan, dtype=np.float32)
        for index, window in enumerate(windows):
            stages_BL[index, : window.n_tokens] = self.store.stages(window.night_id, window.first, window.n_tokens)
        return torch.from_numpy(stages_BL)

    def _values(self, window: Window, modality: str) -> Tensor | None:
        if modality not in self.store.row(window.night_id).signals:
            return None
        if self._front_end is None:
            return self._samples(window, modality)
        key = (window.night_id, modality)
        if key not in self._kept:
            whole = Window(window.night_id, 0, self.store.row(window.night_id).n_tokens)
            self._kept[key] = self._front_end(modality, self._samples(whole, modality))
        return self._kept[key][window.first : window.first + window.n_tokens]

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
