"""Windows of nights as tensors.

Dimension letters: B windows, M modalities, L tokens, S samples of a token.
"""

from collections.abc import Sequence
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
        samples_BLS: Scaled samples; 0 where invalid or padded.
        valid_BL: Tokens that may be read; False in the padding.
    """

    samples_BLS: Tensor
    valid_BL: Tensor

    def to(self, device: torch.device) -> "View":
        return View(self.samples_BLS.to(device, non_blocking=True), self.valid_BL.to(device, non_blocking=True))


def view_of_windows(store: Store, windows: Sequence[Window], modality: str, n_tokens: int) -> View:
    """Read one modality of several windows, each padded to `n_tokens`. A night that lacks it is invalid throughout."""
    samples_BLS = np.zeros((len(windows), n_tokens, MODALITIES[modality].samples_per_token), dtype=np.float32)
    valid_BL = np.zeros((len(windows), n_tokens), dtype=bool)
    for index, window in enumerate(windows):
        constants = store.row(window.night_id).signals.get(modality)
        if constants is None:
            continue
        place = slice(0, window.n_tokens)
        valid_BL[index, place] = store.valid(window.night_id, modality, window.first, window.n_tokens)
        raw_LS = store.samples(window.night_id, modality, window.first, window.n_tokens)
        samples_BLS[index, place] = scaled(raw_LS, modality, constants.centre, constants.spread)
    samples_BLS[~valid_BL] = 0.0
    return View(torch.from_numpy(samples_BLS), torch.from_numpy(valid_BL))


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


def stages_of_windows(store: Store, windows: Sequence[Window], n_tokens: int) -> Tensor:
    """(B, n_tokens) float stage codes, NaN where unscored or padded."""
    stages_BL = np.full((len(windows), n_tokens), np.nan, dtype=np.float32)
    for index, window in enumerate(windows):
        stages_BL[index, : window.n_tokens] = store.stages(window.night_id, window.first, window.n_tokens)
    return torch.from_numpy(stages_BL)
