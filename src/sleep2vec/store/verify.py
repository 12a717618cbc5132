"""Whether a store still holds what was written."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from sleep2vec.store.manifest import read_manifest
from sleep2vec.store.schema import night_paths


def damaged_nights(store: Path) -> Iterator[tuple[str, str]]:
    """Yield ``(night_id, what is wrong)`` for every night whose file is missing or differs from its checksum."""
    for row in read_manifest(store):
        signals_path, _ = night_paths(store, row.night_id)
        if not signals_path.exists():
            yield row.night_id, "its file is missing"
            continue
        with signals_path.open("rb") as file:
            found = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
        if found != row.checksum:
            yield row.night_id, "its checksum differs: the file was changed or damaged"
