"""Windows of nights, each one short read."""

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sleep2vec.store.manifest import ManifestRow, read_manifest
from sleep2vec.store.schema import UNSCORED
from sleep2vec.vocabulary.errors import StoreError
from sleep2vec.vocabulary.modalities import MODALITIES
from sleep2vec.vocabulary.stages import Hypnogram


class Store:
    """A store opened for reading. Nothing is read but the manifest until a window is asked for.

    Args:
        path: the store's folder.
        open_nights: how many memory maps are kept; the longest unused is closed first, so that a store of
            40,000 nights does not run out of file handles.

    Raises:
        StoreError: see `read_manifest`.
    """

    def __init__(self, path: Path, open_nights: int = 256) -> None:
        self.path = path
        self.rows: Sequence[ManifestRow] = read_manifest(path)
        self._row_of = {row.night_id: row for row in self.rows}
        self._open_nights = open_nights
        self._maps: OrderedDict[str, NDArray[np.uint8]] = OrderedDict()

    def __len__(self) -> int:
        return len(self.rows)

    def row(self, night_id: str) -> ManifestRow:
        """The manifest row of a night."""
        if night_id not in self._row_of:
            raise StoreError(f"{self.path} has no night {night_id!r}.")
        return self._row_of[night_id]

    def samples(self, night_id: str, modality: str, first: int = 0, n_tokens: int | None = None) -> NDArray[np.float32]:
        """Tokens `first` to ``first + n_tokens`` of one modality, (n_tokens, samples_per_token) in its stored unit.

        Samples of invalid tokens have no meaning.
        """
        row = self.row(night_id)
        first, n_tokens = self._clip(row, first, n_tokens)
        per_token = MODALITIES[modality].samples_per_token
        start = row.layout.signal_start(modality) + 2 * first * per_token
        raw = self._map(row)[start : start + 2 * n_tokens * per_token]
        constants = row.signals[modality]
        samples_T = raw.view("<i2").astype(np.float32)
        samples_T *= np.float32(constants.scale)
        samples_T += np.float32(constants.offset)
        return samples_T.reshape(n_tokens, per_token)

    def valid(self, night_id: str, modality: str, first: int = 0, n_tokens: int | None = None) -> NDArray[np.bool_]:
        """(n_tokens,) which tokens of one modality may be read."""
        row = self.row(night_id)
        first, n_tokens = self._clip(row, first, n_tokens)
        start = row.layout.validity_start(modality) + first
        return self._map(row)[start : start + n_tokens].astype(np.bool_)

    def stages(self, night_id: str, first: int = 0, n_tokens: int | None = None) -> Hypnogram:
        """(n_tokens,) stage codes, NaN where unscored."""
        row = self.row(night_id)
        first, n_tokens = self._clip(row, first, n_tokens)
        start = row.layout.stages_start + first
        codes_L = self._map(row)[start : start + n_tokens]
        return np.where(codes_L == UNSCORED, np.nan, codes_L).astype(np.float32)

    @staticmethod
    def _clip(row: ManifestRow, first: int, n_tokens: int | None) -> tuple[int, int]:
        n_tokens = row.n_tokens - first if n_tokens is None else n_tokens
        if first < 0 or n_tokens < 0 or first + n_tokens > row.n_tokens:
            raise IndexError(f"{row.night_id} has {row.n_tokens} tokens, not {first} to {first + n_tokens}")
        return first, n_tokens

    def _map(self, row: ManifestRow) -> NDArray[np.uint8]:
        held = self._maps.pop(row.night_id, None)
        if held is None:
            path = self.path / "nights" / f"{row.night_id}.s2v"
            try:
                held = np.memmap(path, dtype=np.uint8, mode="r")
            except (OSError, ValueError):
                raise StoreError(f"{path} is missing or empty; run `sleep2vec ingest` again.") from None
            if len(held) != row.layout.size:
                raise StoreError(f"{path} has {len(held)} bytes where the manifest says {row.layout.size}.")
            if len(self._maps) >= self._open_nights:
                self._maps.popitem(last=False)
        self._maps[row.night_id] = held
        return held
