"""Windows of nights as tensors.

Dimension letters: B windows, M modalities, L tokens, S samples of a token.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sleep2vec.data.buffers import Buffers
from sleep2vec.data.features import FeatureCache, FrontEnd
from sleep2vec.data.scaling import LIMIT, gain_and_bias, scale_integers, scaled
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
        scaling_B2: Where `values_BLS` are integers of a store, what makes scaled samples of each window's (see
            `gain_and_bias`); `to` does that, on the device. Nobody reads a view before.
    """

    values_BLS: Tensor
    valid_BL: Tensor
    are_features: bool = False
    scaling_B2: Tensor | None = None

    def to(self, device: torch.device) -> "View":
        values_BLS, valid_BL = (x.to(device, non_blocking=True) for x in (self.values_BLS, self.valid_BL))
        if self.scaling_B2 is None:
            return View(values_BLS, valid_BL, self.are_features)
        gain_B, bias_B = self.scaling_B2.to(device, non_blocking=True).unbind(dim=1)
        values_BLS = values_BLS.float().mul_(gain_B[:, None, None]).add_(bias_B[:, None, None]).clamp_(-LIMIT, LIMIT)
        return View(values_BLS.masked_fill_(~valid_BL[..., None], 0.0), valid_BL)

    def pin_memory(self) -> "View":
        """The same in memory that a CUDA device copies from by itself."""
        scaling_B2 = None if self.scaling_B2 is None else self.scaling_B2.pin_memory()
        return View(self.values_BLS.pin_memory(), self.valid_BL.pin_memory(), self.are_features, scaling_B2)

    def rows(self, rows_N: Tensor) -> "View":
        """Only some windows of the batch."""
        scaling_B2 = None if self.scaling_B2 is None else self.scaling_B2[rows_N]
        return View(self.values_BLS[rows_N], self.valid_BL[rows_N], self.are_features, scaling_B2)

    def moments(self, first: int, n_tokens: int) -> "View":
        """Only some tokens of every window."""
        place = slice(first, first + n_tokens)
        return View(self.values_BLS[:, place], self.valid_BL[:, place], self.are_features, self.scaling_B2)

    def restricted(self, valid_BL: Tensor) -> "View":
        """The same values with other tokens readable."""
        return View(self.values_BLS, valid_BL, self.are_features, self.scaling_B2)


class WindowReader:
    """Reads windows of a store.

    Args:
        store: where the nights lie.
        front_end: when given, it is applied to whole nights, once for all runs, and the features are kept on disk (see
            `FeatureCache`): a token of 3,840 samples becomes less than a hundred numbers.
        feature_folder: where they are kept; ``STORE/features`` by default.
        as_integers: leave samples as the store's integers, for a device to scale: half as much to copy, see `View`.
    """

    def __init__(
        self,
        store: Store,
        front_end: FrontEnd | None = None,
        feature_folder: Path | None = None,
        *,
        as_integers: bool = False,
    ) -> None:
        self.store = store
        self._features = None if front_end is None else FeatureCache(store, front_end, feature_folder)
        self._as_integers = as_integers
        self._buffers = Buffers()

    def prepare(self, night_ids: Sequence[str], modalities: Sequence[str]) -> int:
        """Compute with all cores what is to be kept of some nights and is not there; returns how many files."""
        return 0 if self._features is None else self._features.prepare(night_ids, modalities)

    def expect(self, windows: Sequence[Window], modalities: Sequence[str]) -> None:
        """Tell the system what will be read, so that a cold disk works on all of it at once."""
        for modality in modalities:
            if not self._keeps(modality):
                for _, window in self._holders(windows, modality):
                    self.store.expect(window.night_id, modality, window.first, window.n_tokens)

    def view(self, windows: Sequence[Window], modality: str, n_tokens: int) -> View:
        """One modality of several windows, each padded to `n_tokens`; a night that lacks it is invalid throughout."""
        holders = self._holders(windows, modality)
        valid_BL = np.zeros((len(windows), n_tokens), dtype=np.bool_)
        for b, window in holders:
            valid_BL[b, : window.n_tokens] = self.store.valid(window.night_id, modality, window.first, window.n_tokens)
        if holders and self._keeps(modality):
            return View(self._features_of(holders, modality, valid_BL), torch.from_numpy(valid_BL), are_features=True)
        if self._as_integers:
            return self._integers_of(holders, modality, valid_BL)
        return View(self._samples_of(holders, modality, valid_BL), torch.from_numpy(valid_BL))

    def stages(self, windows: Sequence[Window], n_tokens: int) -> Tensor:
        """(B, n_tokens) float stage codes, NaN where unscored or padded."""
        stages_BL = np.full((len(windows), n_tokens), np.nan, dtype=np.float32)
        for index, window in enumerate(windows):
            stages_BL[index, : window.n_tokens] = self.store.stages(window.night_id, window.first, window.n_tokens)
        return torch.from_numpy(stages_BL)

    def _holders(self, windows: Sequence[Window], modality: str) -> list[tuple[int, Window]]:
        """The windows whose night has the modality, and their places."""
        return [(b, window) for b, window in enumerate(windows) if modality in self.store.row(window.night_id).signals]

    def _keeps(self, modality: str) -> bool:
        return self._features is not None and self._features.holds(modality)

    def _features_of(self, holders: Sequence[tuple[int, Window]], modality: str, valid_BL: NDArray[np.bool_]) -> Tensor:
        assert self._features is not None
        parts = [self._features.window(w.night_id, modality, w.first, w.n_tokens) for _, w in holders]
        values_BLF = self._buffers.empty((*valid_BL.shape, parts[0].shape[1]), np.float32)
        for (b, window), part_LF in zip(holders, parts, strict=True):
            values_BLF[b, : window.n_tokens] = part_LF
        values_BLF[~valid_BL] = 0.0
        return torch.from_numpy(values_BLF)

    def _samples_of(self, holders: Sequence[tuple[int, Window]], modality: str, valid_BL: NDArray[np.bool_]) -> Tensor:
        values_BLS = self._buffers.empty((*valid_BL.shape, MODALITIES[modality].samples_per_token), np.float32)
        for b, window in holders:
            gain, bias = gain_and_bias(modality, self.store.row(window.night_id).signals[modality])
            integers_LS = self.store.integers(window.night_id, modality, window.first, window.n_tokens)
            scale_integers(integers_LS, gain, bias, values_BLS[b, : window.n_tokens])
        values_BLS[~valid_BL] = 0.0
        return torch.from_numpy(values_BLS)

    def _integers_of(self, holders: Sequence[tuple[int, Window]], modality: str, valid_BL: NDArray[np.bool_]) -> View:
        values_BLS = self._buffers.empty((*valid_BL.shape, MODALITIES[modality].samples_per_token), np.int16)
        scaling_B2 = np.zeros((len(valid_BL), 2), dtype=np.float32)
        for b, window in holders:
            scaling_B2[b] = gain_and_bias(modality, self.store.row(window.night_id).signals[modality])
            values_BLS[b, : window.n_tokens] = self.store.integers(
                window.night_id, modality, window.first, window.n_tokens
            )
        values_BLS[~valid_BL] = 0
        return View(torch.from_numpy(values_BLS), torch.from_numpy(valid_BL), scaling_B2=torch.from_numpy(scaling_B2))


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
