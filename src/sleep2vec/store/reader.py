"""Windows of nights, each one short read."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sleep2vec.store.manifest import ManifestRow, read_description, read_manifest
from sleep2vec.store.night_file import NightFile
from sleep2vec.store.recent import Recent
from sleep2vec.store.schema import UNSCORED, night_paths
from sleep2vec.vocabulary.errors import StoreError
from sleep2vec.vocabulary.events import Event
from sleep2vec.vocabulary.modalities import MODALITIES
from sleep2vec.vocabulary.stages import Hypnogram


class Store:
    """A store opened for reading. Nothing is read but the manifest until a window is asked for.

    Args:
        path: the store's folder.
        open_nights: how many files are kept open; the longest unused is closed first, so that a store of 40,000 nights
            does not run out of handles.

    Raises:
        StoreError: see `read_manifest`.
    """

    def __init__(self, path: Path, open_nights: int = 256) -> None:
        self.path = path
        self.rows: Sequence[ManifestRow] = read_manifest(path)
        self._row_of = {row.night_id: row for row in self.rows}
        self._files: Recent[NightFile] = Recent(open_nights)

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
        integers_LS = self.integers(night_id, modality, first, n_tokens)
        constants = self.row(night_id).signals[modality]
        samples_LS = integers_LS.astype(np.float32)
        samples_LS *= np.float32(constants.scale)
        samples_LS += np.float32(constants.offset)
        return samples_LS

    def integers(self, night_id: str, modality: str, first: int = 0, n_tokens: int | None = None) -> NDArray[np.int16]:
        """The same as it lies on the disk: ``value = integer * scale + offset`` with the constants of its row."""
        row = self.row(night_id)
        start, n_bytes = self._stretch(row, modality, first, n_tokens)
        per_token = MODALITIES[modality].samples_per_token
        return self._file(row).read(start, n_bytes).view("<i2").reshape(-1, per_token)

    def expect(self, night_id: str, modality: str, first: int = 0, n_tokens: int | None = None) -> None:
        """Tell the system that these samples will be asked for soon: a cold disk works best on many reads at a time."""
        row = self.row(night_id)
        self._file(row).expect(*self._stretch(row, modality, first, n_tokens))

    def valid(self, night_id: str, modality: str, first: int = 0, n_tokens: int | None = None) -> NDArray[np.bool_]:
        """(n_tokens,) which tokens of one modality may be read."""
        row = self.row(night_id)
        first, n_tokens = self._clip(row, first, n_tokens)
        start = row.layout.validity_start(modality) + first
        return self._file(row).read(start, n_tokens).astype(np.bool_)

    def stages(self, night_id: str, first: int = 0, n_tokens: int | None = None) -> Hypnogram:
        """(n_tokens,) stage codes, NaN where unscored."""
        row = self.row(night_id)
        first, n_tokens = self._clip(row, first, n_tokens)
        start = row.layout.stages_start + first
        codes_L = self._file(row).read(start, n_tokens)
        return np.where(codes_L == UNSCORED, np.nan, codes_L).astype(np.float32)

    def events(self, night_id: str) -> tuple[Event, ...]:
        """What was scored beside the stages, times from the start of the recording.

        Raises:
            StoreError: the night's description is damaged.
        """
        description = read_description(night_paths(self.path, self.row(night_id).night_id)[1])
        return tuple(Event(**event) for event in description["events"])

    @staticmethod
    def _clip(row: ManifestRow, first: int, n_tokens: int | None) -> tuple[int, int]:
        n_tokens = row.n_tokens - first if n_tokens is None else n_tokens
        if first < 0 or n_tokens < 0 or first + n_tokens > row.n_tokens:
            raise IndexError(f"{row.night_id} has {row.n_tokens} tokens, not {first} to {first + n_tokens}")
        return first, n_tokens

    def _stretch(self, row: ManifestRow, modality: str, first: int, n_tokens: int | None) -> tuple[int, int]:
        """First byte and number of bytes of a window."""
        first, n_tokens = self._clip(row, first, n_tokens)
        bytes_per_token = 2 * MODALITIES[modality].samples_per_token
        return row.layout.signal_start(modality) + first * bytes_per_token, n_tokens * bytes_per_token

    def _file(self, row: ManifestRow) -> NightFile:
        return self._files.get(
            row.night_id, lambda: NightFile(self.path / "nights" / f"{row.night_id}.s2v", row.layout.size)
        )
