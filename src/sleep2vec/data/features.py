"""What a tokenizer computes before anything learned, kept on disk: once for all runs.

A night's features of one modality lie in one flat file, float32, so that a window is one short read:

    <folder>/<modality>-<fingerprint of the front end>/<night>.<fingerprint of the night>.f32

followed in the file by a checksum of the name and the numbers. Float16 would halve them, and was refused: some log
powers differ between tokens by less than a hundredth of their size, and lost a tenth of a standard deviation (ten
simulated nights; `docs/decisions.md`).

Dimension letters: N tokens of the probe, L tokens, S samples of a token, F features.
"""

import hashlib
import os
import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from joblib import cpu_count
from numpy.typing import NDArray
from torch import Tensor

from sleep2vec.data.scaling import gain_and_bias, scale_integers, scaled
from sleep2vec.store.atomic import remove_leftovers
from sleep2vec.store.manifest import ManifestRow
from sleep2vec.store.reader import Store
from sleep2vec.vocabulary.errors import StoreError
from sleep2vec.vocabulary.modalities import MODALITIES

FrontEnd = Callable[[str, Tensor], Tensor]
"""(modality, (L, S) scaled samples) -> (L, F): what a tokenizer computes before anything learned."""

FOLDER = "features"
"""Below the store, where no other folder is named."""

_DIGEST_BYTES = 16
_FLOAT_BYTES = 4
_PROBE_ROUNDING = 1e-3


class FeatureCache:
    """Features of a store's nights, computed when first asked for.

    Several runs may share a folder: files are written under another name and renamed, and nobody changes one that is
    there. One that is damaged or cut short is made again.

    Args:
        store: where the nights lie.
        front_end: what to keep. A front end that changes nothing (`mlp`) is not kept: the store holds the samples.
        folder: where; ``STORE/features`` by default. A store that cannot be written needs another.
    """

    def __init__(self, store: Store, front_end: FrontEnd, folder: Path | None = None) -> None:
        self._store, self._front_end = store, front_end
        self._folder = store.path / FOLDER if folder is None else folder
        self._place_of: dict[str, Path | None] = {}
        self._width_of: dict[Path, int] = {}  # of the files that this process found whole

    def holds(self, modality: str) -> bool:
        """Whether features of a modality are worth keeping: its front end does something."""
        return self._place(modality) is not None

    def window(self, night_id: str, modality: str, first: int, n_tokens: int) -> NDArray[np.float32]:
        """(n_tokens, F) features of a window of a night that has the modality."""
        row = self._store.row(night_id)
        path = self._path(row, modality)
        width = self._width_of.get(path) or self._checked(path, row, modality)
        try:
            features_T = _read(path, first * width, n_tokens * width)
        except OSError:  # somebody emptied the folder while this run went on
            self._checked(path, row, modality)
            features_T = _read(path, first * width, n_tokens * width)
        return features_T.reshape(n_tokens, width)

    def prepare(self, night_ids: Sequence[str], modalities: Collection[str], workers: int | None = None) -> int:
        """Compute what is missing of some nights, with all cores, and return how many files that were."""
        places = [place for place in map(self._place, modalities) if place is not None]
        for place in places:
            remove_leftovers(place)
        rows = [self._store.row(night_id) for night_id in night_ids]
        missing = [
            (row, modality)
            for row in rows
            for modality in modalities
            if modality in row.signals and self.holds(modality) and not self._path(row, modality).exists()
        ]
        with ThreadPoolExecutor(workers or cpu_count()) as pool:
            for _ in pool.map(lambda job: self._make(self._path(*job), *job), missing):
                pass
        return len(missing)

    def _checked(self, path: Path, row: ManifestRow, modality: str) -> int:
        """The width of a file that is whole; it is made first where it is not."""
        content = path.read_bytes() if path.exists() else b""
        if not _is_whole(content, path.name, row.n_tokens):
            content = self._make(path, row, modality)
        self._width_of[path] = (len(content) - _DIGEST_BYTES) // (row.n_tokens * _FLOAT_BYTES)
        return self._width_of[path]

    def _make(self, path: Path, row: ManifestRow, modality: str) -> bytes:
        integers_LS = self._store.integers(row.night_id, modality)
        samples_LS = np.empty(integers_LS.shape, dtype=np.float32)
        scale_integers(integers_LS, *gain_and_bias(modality, row.signals[modality]), samples_LS)
        with torch.no_grad():
            features_LF = self._front_end(modality, torch.from_numpy(samples_LS))
        numbers = features_LF.cpu().numpy().astype("<f4").tobytes()
        content = numbers + _digest(path.name, numbers)
        temporary = path.with_name(f".{path.name}.{threading.get_native_id()}.{os.getpid()}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(content)  # no fsync: whatever a power cut leaves does not fit its checksum
            os.replace(temporary, path)
        except OSError as error:
            raise StoreError(
                f"features cannot be kept in {self._folder} ({error.strerror}); name a folder that can be written as "
                "feature_folder in the recipe, or set keep_features: false."
            ) from None
        finally:
            with suppress(OSError):  # where nothing can be written, nothing has to go
                temporary.unlink(missing_ok=True)
        return content

    def _path(self, row: ManifestRow, modality: str) -> Path:
        place = self._place(modality)
        assert place is not None  # callers ask `holds` first
        constants = row.signals[modality]
        parts = (row.checksum, constants.scale, constants.offset, constants.centre, constants.spread)
        return place / f"{row.night_id}.{_short('|'.join(map(repr, parts)).encode())}.f32"

    def _place(self, modality: str) -> Path | None:
        if modality not in self._place_of:
            print_ = _fingerprint(self._front_end, modality)
            self._place_of[modality] = None if print_ is None else self._folder / f"{modality}-{print_}"
        return self._place_of[modality]


def _fingerprint(front_end: FrontEnd, modality: str) -> str | None:
    """What scaling and a front end make of known signals, as a name; None where a front end leaves them as they are.

    It tells front ends apart by what they do, so that nobody has to remember to count up a version.
    """
    probe_NS = torch.from_numpy(scaled(_probe(MODALITIES[modality].samples_per_token), modality, 0.0, 1.0))
    with torch.no_grad():
        features_NF = front_end(modality, probe_NS).cpu()
    if features_NF.shape == probe_NS.shape and torch.equal(features_NF, probe_NS):
        return None
    # Rounded, because another machine's FFT differs in the last digits.
    steps_NF = np.rint(features_NF.double().numpy() / _PROBE_ROUNDING).astype("<i8")
    return _short(repr((modality, steps_NF.shape)).encode() + steps_NF.tobytes())


def _probe(samples_per_token: int) -> NDArray[np.float32]:
    """(N, S) sweeps through all frequencies, from silence to beyond the limit of scaling, on levels of their own."""
    place_S = np.arange(samples_per_token) / samples_per_token
    sweep_S = np.sin(0.5 * np.pi * samples_per_token * place_S**2)
    amplitudes_N = np.array([0.0, 1e-3, 0.03, 1.0, 5.0, 300.0])
    levels_N = np.array([0.0, 0.5, 90.0, -0.3, 0.0, 1.0])
    return (levels_N[:, None] + amplitudes_N[:, None] * sweep_S).astype(np.float32)


def _read(path: Path, first: int, n_numbers: int) -> NDArray[np.float32]:
    return np.fromfile(path, dtype="<f4", count=n_numbers, offset=_FLOAT_BYTES * first)


def _short(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def _digest(name: str, numbers: bytes) -> bytes:
    return hashlib.blake2b(numbers, digest_size=_DIGEST_BYTES, key=name.encode()[-64:]).digest()


def _is_whole(content: bytes, name: str, n_tokens: int) -> bool:
    numbers = content[:-_DIGEST_BYTES]
    fits = len(numbers) > 0 and len(numbers) % (n_tokens * _FLOAT_BYTES) == 0
    return fits and content[-_DIGEST_BYTES:] == _digest(name, numbers)
