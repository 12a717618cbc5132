"""What a cohort's own tables say of its people: ages, sexes, families, diagnoses, times to event."""

import math
from collections.abc import Mapping
from pathlib import Path, PurePath

from sleep2vec.cohorts.catalog import Cohort
from sleep2vec.cohorts.schema import Column, MetadataTable
from sleep2vec.formats.annotation_text import number_of, rows_of, text_of
from sleep2vec.formats.companions import FileIndex
from sleep2vec.store.participants import OLDEST_YEARS, Participant
from sleep2vec.vocabulary.errors import UnreadableFileError, UsageError

_HEADER_ROWS = 5  # some tables have a caption above their header
_UNKNOWN = ("", "n/a", "na", "nan", "none", ".", "null")
_NAMES = ("subject_id", "family_id", "site")  # never numbers: 1234567 must not become 1.23457e+06
_Rows = Mapping[tuple[str, ...], Mapping[str, str]]


class CohortTables:
    """The tables that a cohort's YAML names, as far as they lie below its folder. They are read once.

    Attributes:
        notes: Which tables were used, and which of the cohort's are not there, one sentence each.

    Raises:
        UsageError: a table cannot be read, or lacks a column of its key.
    """

    def __init__(self, cohort: Cohort, folder: Path, index: FileIndex) -> None:
        self._cohort = cohort
        self._tables: list[tuple[MetadataTable, _Rows]] = []
        self.notes: list[str] = []
        for table in cohort.file.metadata:
            paths = index.named(table.name, folder / "x")
            if not paths:
                if cohort.has_file:
                    self._note(f"{table.name} is not below {folder}: what it holds stays unknown.")
                continue
            rows = _keyed(table, paths[0])
            self._tables.append((table, rows))
            self._note(f"{paths[0].relative_to(folder)}: {len(rows)} rows.")

    def _note(self, sentence: str) -> None:
        """One table may stand in the YAML twice; it is spoken of once."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def participant_of(self, relative: PurePath) -> Participant:
        """Who slept in a recording, by its path below the folder and by the tables, of which the first wins."""
        identity = self._cohort.identity_of(relative)
        file = self._cohort.file
        known = Participant(
            subject_id=identity.subject,
            site=identity.site or file.site,
            family_id=identity.family,
            visit=identity.visit or identity.night,
            cohort=self._cohort.name if self._cohort.has_file else None,
        )
        told = Participant()
        for table, rows in self._tables:
            fields = identity.fields
            if table.identity:
                fields = self._cohort.matched(table.identity, relative)
            if told.subject_id is not None:
                fields = {**fields, "subject_id": told.subject_id}
            if not set(table.key) <= set(fields):
                continue
            row = rows.get(tuple(_plain_key(fields[name]) for name in sorted(table.key)))
            if row is not None:
                told = told.before(_participant(table, row))
        # A table names people better than a path: a night code is no person.
        return told.before(known)


def _keyed(table: MetadataTable, path: Path) -> _Rows:
    rows = _rows(path)
    wanted = {column.lower() for column in table.key.values()}
    at = next((i for i, row in enumerate(rows[:_HEADER_ROWS]) if wanted <= {cell.lower() for cell in row}), None)
    if at is None:
        header = ", ".join(rows[0][:8]) if rows else "nothing"
        raise UsageError(
            f"{path} has no column {' or '.join(table.key.values())} (it begins with {header}); "
            "name the right column in the cohort file."
        )
    names = [cell.lower() for cell in rows[at]]
    keyed: dict[tuple[str, ...], Mapping[str, str]] = {}
    for row in rows[at + 1 :]:
        cells = dict(zip(names, row, strict=False))
        key = tuple(_plain_key(cells.get(table.key[name].lower(), "")) for name in sorted(table.key))
        if all(key):
            keyed.setdefault(key, cells)
    return keyed


def _rows(path: Path) -> list[list[str]]:
    try:
        if path.suffix.lower() == ".xls":
            return _excel_rows(path)
        if path.suffix.lower() == ".parquet":
            return _parquet_rows(path)
        return rows_of(text_of(path))
    except UnreadableFileError as error:
        raise UsageError(str(error)) from None


def _excel_rows(path: Path) -> list[list[str]]:
    import xlrd

    try:
        sheet = xlrd.open_workbook(path).sheet_by_index(0)
    except Exception as error:  # xlrd fails in many ways on what is no workbook
        raise UnreadableFileError(f"{path} is no Excel 97 workbook ({error}); save it as CSV.") from None
    return [[_excel_text(cell.value) for cell in row] for row in sheet.get_rows()]


def _excel_text(value: object) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def _parquet_rows(path: Path) -> list[list[str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise UnreadableFileError(f"{path} is no Parquet table ({error}).") from None
    cells = ([_excel_text(value) if value is not None else "" for value in row.values()] for row in table.to_pylist())
    return [list(table.column_names), *cells]


def _plain_key(text: str) -> str:
    """Keys are compared without case and without leading zeros: 00042, 42 and 42.0 are one."""
    plain = text.strip().lower().removesuffix(".0")
    return plain.lstrip("0") or ("0" if plain else "")


def _participant(table: MetadataTable, row: Mapping[str, str]) -> Participant:
    read = {name: _value(column, row) for name, column in table.columns.items() if name not in _NAMES}
    names = {name: _name(column, row) for name, column in table.columns.items() if name in _NAMES}
    age_years = read.get("age_years")
    if not isinstance(age_years, float) or not 0 <= age_years <= OLDEST_YEARS:
        age_years = None
    sex = read.get("sex")
    measures = {name: _value(column, row) for name, column in table.measures.items()}
    return Participant(
        subject_id=names.get("subject_id"),
        age_years=age_years,
        sex=sex if sex in ("female", "male") else None,  # type: ignore[arg-type]
        site=names.get("site"),
        family_id=names.get("family_id"),
        measures={name: value for name, value in measures.items() if isinstance(value, float)},
    )


def _value(column: Column, row: Mapping[str, str]) -> str | float | None:
    text = row.get(column.column.lower(), "").strip()
    if text.lower() in _UNKNOWN or text in column.missing:
        return None
    if column.codes:
        plain = {code.lower(): value for code, value in column.codes.items()}
        value = plain.get(text.lower(), plain.get(text.lower().removesuffix(".0")))
        return float(value) if isinstance(value, int) else value
    number = number_of(text)
    if number is None or math.isnan(number):
        return text
    return float(number >= column.at_least) if column.at_least is not None else number * column.factor


def _name(column: Column, row: Mapping[str, str]) -> str | None:
    text = row.get(column.column.lower(), "").strip()
    if text.lower() in _UNKNOWN or text in column.missing:
        return None
    return str(column.codes.get(text, text)).removesuffix(".0")
