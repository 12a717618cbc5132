"""Whether a store still holds what was written."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from sleep2vec.store.manifest import ManifestRow, description_row, read_manifest, row_of
from sleep2vec.store.schema import night_paths
from sleep2vec.vocabulary.errors import StoreError


def damaged_nights(store: Path) -> Iterator[tuple[str, str]]:
    """Yield ``(night_id, what is wrong)`` for every night that is no longer what was written.

    Signals and descriptions are compared with their checksums, the manifest with the descriptions it was made of.
    """
    rows = read_manifest(store)
    for row in rows:
        wrong = _damage(store, row)
        if wrong:
            yield row.night_id, wrong
    for night_id in sorted({path.stem for path in (store / "nights").glob("*.json")} - {row.night_id for row in rows}):
        yield night_id, "the manifest does not know it"


def _damage(store: Path, row: ManifestRow) -> str | None:
    signals_path, description_path = night_paths(store, row.night_id)
    if not signals_path.exists() or not description_path.exists():
        return f"its file {(description_path if signals_path.exists() else signals_path).name} is missing"
    try:
        described = row_of(description_row(description_path))
    except StoreError:
        return f"the checksum of {description_path.name} differs: the file was changed or damaged"
    if described != row:
        return "the manifest says something else than its description"
    with signals_path.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    if found != row.checksum:
        return f"the checksum of {signals_path.name} differs: the file was changed or damaged"
    return None
