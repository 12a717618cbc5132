"""One harmonised night into a store."""

import hashlib
import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sleep2vec.store.atomic import write_atomically
from sleep2vec.store.schema import (
    FULL_SCALE,
    READABLE,
    UNSCORED,
    VERSION,
    check_night_id,
    description_checksum,
    night_paths,
    ordered,
)
from sleep2vec.vocabulary.errors import StoreError
from sleep2vec.vocabulary.modalities import MODALITIES
from sleep2vec.vocabulary.night import Night, derivation


@dataclass(frozen=True)
class Origin:
    """Where a night came from, told so that nothing of the machine or its users is in the store.

    Attributes:
        fingerprint: Changes when the recording, its scoring or what is said of it does; begins with the recording's
            name and ``|``.
        file: Path of the recording below the cohort's folder, with ``/``.
        folder: A hash of the cohort's folder: another folder's file of the same name is another recording.
        people, visit: See `manifest.ManifestRow`.
    """

    fingerprint: str = ""
    file: str | None = None
    folder: str | None = None
    people: str | None = None
    visit: str | None = None


def check_place(store: Path) -> None:
    """Refuse a place in which no store can be, or one of another version. Writes nothing.

    Raises:
        StoreError: the folder holds something else, or a store of another version.
    """
    if (store / "store.json").exists():
        check_version(store)
    elif store.is_file():
        raise StoreError(f"{store} is a file; name an empty or a new folder.")
    elif store.exists() and any(not path.name.startswith(".store.json.") for path in store.iterdir()):
        raise StoreError(f"{store} exists, is not empty and is not a store; name an empty or a new folder.")


def create_store(store: Path) -> None:
    """Make an empty store, or check that `store` is one that this version may add to; it is of this version then.

    Raises:
        StoreError: see `check_place`.
    """
    check_place(store)
    marker = store / "store.json"
    # The marker first: a kill before it leaves nothing that could be taken for somebody else's folder, nor nights that
    # an older sleep2vec would misread.
    if not marker.exists() or _version_of(marker) != VERSION:
        description = {"sleep2vec_store_version": VERSION, "modalities": {n: asdict(m) for n, m in MODALITIES.items()}}
        write_atomically(marker, json.dumps(description, indent=1).encode())
    (store / "nights").mkdir(exist_ok=True)


def check_version(store: Path) -> None:
    """Raise `StoreError` unless `store` is a store of a version that is read."""
    marker = store / "store.json"
    if not marker.exists():
        raise StoreError(f"{store} is not a store (it has no store.json); make one with `sleep2vec ingest`.")
    version = _version_of(marker)
    if version not in READABLE:
        raise StoreError(
            f"{store} is a store of version {version}, this sleep2vec reads version {VERSION}; "
            "ingest the recordings again into a new folder."
        )


def _version_of(marker: Path) -> object:
    try:
        return json.loads(marker.read_text())["sleep2vec_store_version"]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError):
        raise StoreError(f"{marker} is damaged; ingest the recordings again into a new folder.") from None


def write_night(store: Path, night: Night, origin: Origin = Origin()) -> dict[str, Any]:
    """Write `night` and return its manifest row. The night exists once its description does.

    Args:
        store: made by `create_store`.
        night: harmonised.
        origin: where it came from.

    Raises:
        StoreError: the night id cannot name a file, or valid samples are not finite.
    """
    signals_path, description_path = night_paths(store, check_night_id(night.night_id))
    modalities = ordered(tuple(night.samples))
    row: dict[str, Any] = {
        "night_id": night.night_id,
        "subject_id": night.subject.subject_id,
        "cohort": night.cohort,
        "people": origin.people,
        "family_id": night.subject.family_id,
        "visit": origin.visit,
        "site": night.site,
        "age_years": night.subject.age_years,
        "sex": night.subject.sex,
        "measures": dict(sorted(night.subject.measures.items())),
        "start": night.start.isoformat() if night.start else None,
        "grid_start_s": night.grid_start_s,
        "n_tokens": night.n_tokens,
        "n_scored_tokens": 0 if night.stages is None else int(np.isfinite(night.stages).sum()),
        "events": dict(sorted(Counter(event.kind for event in night.events if event.kind).items())),
        "source_fingerprint": origin.fingerprint,
    }
    parts = []
    for name in modalities:
        integers, scale, offset = quantise(night.samples[name], night.valid[name], night.night_id, name)
        parts.append(integers.tobytes())
        story = night.provenance[name]
        row |= {
            f"{name}_valid_share": float(night.valid[name].mean()),
            f"{name}_scale": scale,
            f"{name}_offset": offset,
            f"{name}_centre": story.centre,
            f"{name}_spread": story.spread,
            f"{name}_sensor": story.source,
            f"{name}_channels": derivation(story.channels),
        }
    parts += [night.valid[name].astype(np.uint8).tobytes() for name in modalities]
    parts.append(_stage_bytes(night))
    content = b"".join(parts)

    provenance = {name: asdict(night.provenance[name]) for name in modalities}
    row["checksum"] = hashlib.blake2b(content, digest_size=16).hexdigest()
    row["provenance_hash"] = hashlib.blake2b(
        json.dumps([provenance, night.absent], sort_keys=True).encode(), digest_size=16
    ).hexdigest()
    row["source"] = origin.fingerprint.split("|")[0] or "memory"
    description: dict[str, Any] = {
        "row": row,
        "file": origin.file,
        "folder": origin.folder,
        "modalities": modalities,
        "provenance": provenance,
        "absent": night.absent,
        "decisions": [asdict(decision) for decision in night.decisions],
        "events": [asdict(event) for event in night.events],
        "repairs": night.repairs,
        "notes": night.notes,
    }
    description["description_checksum"] = description_checksum(description)
    description_path.unlink(missing_ok=True)  # a night being replaced is not there while its signals change
    write_atomically(signals_path, content)
    write_atomically(description_path, json.dumps(description).encode())
    return row


def quantise(
    samples_T: NDArray[np.float32], valid_L: NDArray[np.bool_], night_id: str, name: str
) -> tuple[NDArray[np.int16], float, float]:
    """Samples (T,) as int16 with ``value = integer * scale + offset``, exact to half a `scale` where valid."""
    tokens_LS = samples_T.reshape(len(valid_L), -1)
    good = tokens_LS[valid_L]
    if not np.isfinite(good).all():
        raise StoreError(f"{night_id}: valid {name} tokens hold values that are not finite; this is a bug, report it.")
    low, high = (float(good.min()), float(good.max())) if good.size else (0.0, 0.0)
    offset = (high + low) / 2
    scale = (high - low) / (2 * FULL_SCALE) or 1.0
    integers_LS = np.zeros(tokens_LS.shape, dtype="<i2")
    integers_LS[valid_L] = np.clip(np.rint((good - offset) / scale), -FULL_SCALE, FULL_SCALE)
    return integers_LS.reshape(-1), scale, offset


def _stage_bytes(night: Night) -> bytes:
    codes_L = np.full(night.n_tokens, UNSCORED, dtype=np.uint8)
    if night.stages is not None:
        scored_L = np.isfinite(night.stages)
        codes_L[scored_L] = night.stages[scored_L].astype(np.uint8)
    return codes_L.tobytes()
