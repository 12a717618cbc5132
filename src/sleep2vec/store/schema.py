"""What a store looks like on disk, version 3.

    store.json              version and the modalities it was made with
    manifest.parquet        one row a night, see `manifest_schema`
    failures.csv            files that could not be ingested: at which step, and why
    nights/<night_id>.s2v   signals, validity and stages of one night, see `Layout`
    nights/<night_id>.json  the night's manifest row, provenance, events, and the checksum of all that; written
                            last: it completes the night

Signals are little-endian int16; ``value = integer * scale + offset`` with the constants of the manifest.
Samples of invalid tokens are not part of the contract: their validity byte is 0 and nobody may read them.

Version 3 knows two modalities more than version 2 (ppg, actigraphy), which lie behind the others. A night of version 2
is one of version 3 that lacks both, so stores of version 2 are read as they are, and become version 3 when a night is
added; a sleep2vec that knows nine modalities must not read a night of eleven, whose validity it would take from the
wrong place.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from sleep2vec.vocabulary.errors import StoreError
from sleep2vec.vocabulary.modalities import MODALITIES

VERSION = 3
READABLE = (2, 3)
UNSCORED = 255  # a byte on disk only; in memory an unscored token is NaN
FULL_SCALE = 32767

MODALITY_COLUMNS = ("valid_share", "scale", "offset", "centre", "spread")


@dataclass(frozen=True)
class Layout:
    """Where things lie in a night's file: every signal in one stretch, then validity, then stages.

    A window of one modality is one contiguous read.
    """

    n_tokens: int
    modalities: tuple[str, ...]

    def signal_start(self, modality: str) -> int:
        """First byte of the signal of `modality`."""
        before = self.modalities[: self.modalities.index(modality)]
        return 2 * self.n_tokens * sum(MODALITIES[name].samples_per_token for name in before)

    def validity_start(self, modality: str) -> int:
        """First of the L bytes, 0 or 1, that say which tokens of `modality` are valid."""
        return self._signals_end + self.n_tokens * self.modalities.index(modality)

    @property
    def stages_start(self) -> int:
        """First of the L bytes of stage codes (`UNSCORED` where unscored)."""
        return self._signals_end + self.n_tokens * len(self.modalities)

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return self.stages_start + self.n_tokens

    @property
    def _signals_end(self) -> int:
        return 2 * self.n_tokens * sum(MODALITIES[name].samples_per_token for name in self.modalities)


def manifest_schema() -> pa.Schema:
    """One row a night. Columns of a modality that a night lacks are null."""
    fields = [
        pa.field("night_id", pa.string(), nullable=False),
        pa.field("subject_id", pa.string()),
        pa.field("cohort", pa.string()),
        pa.field("people", pa.string()),
        pa.field("family_id", pa.string()),
        pa.field("visit", pa.string()),
        pa.field("site", pa.string()),
        pa.field("age_years", pa.float64()),
        pa.field("sex", pa.string()),
        pa.field("measures", pa.map_(pa.string(), pa.float64())),
        pa.field("start", pa.timestamp("us")),
        pa.field("grid_start_s", pa.float64(), nullable=False),
        pa.field("n_tokens", pa.int32(), nullable=False),
        pa.field("n_scored_tokens", pa.int32(), nullable=False),
        pa.field("events", pa.map_(pa.string(), pa.int32())),
        pa.field("source", pa.string(), nullable=False),
        pa.field("source_fingerprint", pa.string(), nullable=False),
        pa.field("checksum", pa.string(), nullable=False),
        pa.field("provenance_hash", pa.string(), nullable=False),
    ]
    for name in MODALITIES:
        fields += [pa.field(f"{name}_{column}", pa.float64()) for column in MODALITY_COLUMNS]
        fields += [pa.field(f"{name}_{column}", pa.string()) for column in ("sensor", "channels")]
    return pa.schema(fields, metadata={"sleep2vec_store_version": str(VERSION)})


def description_checksum(description: Mapping[str, Any]) -> str:
    """BLAKE2b of what a night's description says, whatever its ``description_checksum`` says."""
    rest = {key: value for key, value in description.items() if key != "description_checksum"}
    return hashlib.blake2b(json.dumps(rest, sort_keys=True).encode(), digest_size=16).hexdigest()


def check_night_id(night_id: str) -> str:
    """Return `night_id` if it can name a file on every system, else raise `StoreError`."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,150}", night_id):
        raise StoreError(
            f"night id {night_id!r} cannot name a file: use letters, digits, '.', '_' and '-', at most 151 of them."
        )
    return night_id


def night_paths(store: Path, night_id: str) -> tuple[Path, Path]:
    """Paths of a night's signals and of its description."""
    return store / "nights" / f"{night_id}.s2v", store / "nights" / f"{night_id}.json"


def ordered(modalities: Sequence[str]) -> tuple[str, ...]:
    """The order in which modalities lie in a file: that of the vocabulary."""
    return tuple(name for name in MODALITIES if name in modalities)
