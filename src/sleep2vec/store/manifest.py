"""The manifest: one Parquet row a night, gathered from the nights' descriptions."""

import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sleep2vec.store.atomic import write_atomically
from sleep2vec.store.schema import (
    READABLE,
    VERSION,
    Layout,
    description_checksum,
    manifest_schema,
    night_paths,
    ordered,
)
from sleep2vec.store.writer import check_version
from sleep2vec.vocabulary.errors import StoreError
from sleep2vec.vocabulary.modalities import MODALITIES


@dataclass(frozen=True)
class SignalConstants:
    """How one night's integers become numbers, and the numbers the model's input."""

    valid_share: float
    scale: float
    offset: float
    centre: float
    spread: float
    sensor: str
    channels: str


@dataclass(frozen=True)
class ManifestRow:
    """One night of a store.

    Attributes:
        people: Within what `subject_id` and `family_id` name somebody (SHHS 1 and 2 are one); None: `cohort`.
        measures: See `vocabulary.subject.Subject`.
        events: How many of each kind were scored.
    """

    night_id: str
    subject_id: str | None
    cohort: str | None
    people: str | None
    family_id: str | None
    visit: str | None
    site: str | None
    age_years: float | None
    sex: str | None
    measures: dict[str, float]
    start: datetime | None
    grid_start_s: float
    n_tokens: int
    n_scored_tokens: int
    events: dict[str, int]
    source: str
    source_fingerprint: str
    checksum: str
    provenance_hash: str
    signals: dict[str, SignalConstants]

    @property
    def taught(self) -> str:
        """All of a night that a model learns from, as text: differs when its samples, scale, person or labels do."""
        who = (self.person, self.family, self.age_years, self.sex, self.cohort, self.site)
        counts = (sorted(self.measures.items()), sorted(self.events.items()))
        signals = sorted(self.signals.items(), key=lambda signal: signal[0])
        return repr((self.night_id, self.checksum, who, counts, signals))

    @property
    def person(self) -> str:
        """Who it was; a night of an unknown person is a person of its own."""
        if self.subject_id is None:
            return self.night_id
        return f"{self.people or self.cohort or ''}/{plain_id(self.subject_id)}"

    @property
    def family(self) -> str:
        """Who shares a home or genes; a person of no known family is one of its own."""
        return (
            self.person
            if self.family_id is None
            else f"{self.people or self.cohort or ''}/family {plain_id(self.family_id)}"
        )

    @property
    def layout(self) -> Layout:
        return Layout(self.n_tokens, ordered(tuple(self.signals)))


def plain_id(name: str) -> str:
    """An id as it is compared: tables and file names differ in case and in leading zeros (``P1``, ``p1``, ``01``)."""
    plain = name.strip().lower()
    return (plain.lstrip("0") or "0") if plain.isdigit() else plain


def write_manifest(store: Path) -> int:
    """Gather the descriptions of all complete nights into the manifest; returns their number.

    Raises:
        StoreError: a description is damaged; the manifest holds all other nights then.
    """
    rows, damaged = [], []
    for path in sorted((store / "nights").glob("*.json")):
        try:
            rows.append(description_row(path))
        except StoreError as error:
            damaged.append(str(error))
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=manifest_schema()), buffer, write_page_checksum=True)
    write_atomically(store / "manifest.parquet", buffer.getvalue())
    if damaged:
        raise StoreError(f"{len(damaged)} night(s) are not in the manifest: {damaged[0]}")
    return len(rows)


def description_row(path: Path) -> dict[str, Any]:
    """The manifest row in a night's description. Raises `StoreError` when it is damaged."""
    row: dict[str, Any] = read_description(path)["row"]
    maps = {name: sorted(row[name].items()) for name in ("measures", "events")}
    return {**row, **maps, "start": datetime.fromisoformat(row["start"]) if row["start"] else None}


def read_description(path: Path) -> dict[str, Any]:
    """All that a night's description says. Raises `StoreError` when it is not what was written."""
    try:
        description: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        whole = description["description_checksum"] == description_checksum(description)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):  # whatever flipped bits can make of JSON
        whole = False
    if not whole:
        raise StoreError(f"{path} is damaged; delete it and run `sleep2vec ingest` again.")
    return description


def description_of(store: Path, night_id: str) -> dict[str, Any] | None:
    """All that is said of a night that a store holds whole; None where it does not, or where that is damaged."""
    signals_path, description_path = night_paths(store, night_id)
    if not (signals_path.exists() and description_path.exists()):
        return None
    try:
        return read_description(description_path)
    except StoreError:
        return None


def read_manifest(store: Path) -> tuple[ManifestRow, ...]:
    """The nights of a store, in the order of their ids.

    Raises:
        StoreError: there is no store, it has another version, or its manifest is missing or damaged.
    """
    check_version(store)
    path = store / "manifest.parquet"
    if not path.exists():
        raise StoreError(f"{store} has no manifest: its ingest did not finish; run `sleep2vec ingest` again.")
    try:
        table = pq.read_table(path, page_checksum_verification=True)
        version = (table.schema.metadata or {}).get(b"sleep2vec_store_version", b"?")
        if version not in [str(readable).encode() for readable in READABLE]:
            raise StoreError(f"{path} says version {version.decode('latin-1')}, this sleep2vec reads {VERSION}.")
        return tuple(row_of(row) for row in table.to_pylist())
    except (pa.ArrowException, ValueError, KeyError, TypeError, OverflowError, MemoryError, OSError) as error:
        raise StoreError(f"{path} is damaged ({error}); run `sleep2vec ingest` again.") from None


def row_of(row: dict[str, Any]) -> ManifestRow:
    """A row as an object; columns of modalities that the night lacks are None or left out."""
    shared = {name: row[name] for name in ManifestRow.__dataclass_fields__ if name != "signals"}
    shared |= {name: dict(row[name] or {}) for name in ("measures", "events")}
    present = (name for name in MODALITIES if row.get(f"{name}_sensor") is not None)
    constants = {name: _constants(row, name, SignalConstants.__dataclass_fields__) for name in present}
    return ManifestRow(**shared, signals=constants)


def _constants(row: dict[str, Any], name: str, columns: Iterable[str]) -> SignalConstants:
    return SignalConstants(**{column: row[f"{name}_{column}"] for column in columns})
