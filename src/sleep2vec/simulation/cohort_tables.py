"""The tables of people that a cohort hands out beside its recordings: the YAML's columns, in the cohort's codes."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sleep2vec.cohorts.catalog import Cohort
from sleep2vec.cohorts.schema import Column, MetadataTable
from sleep2vec.formats.xls_writer import write_xls
from sleep2vec.simulation.cohort_plan import PlannedNight
from sleep2vec.vocabulary.errors import UsageError

_VERSION = "simulated"  # where a file name has the version of the release


@dataclass(frozen=True)
class ToldNight:
    """A planned night, and what was measured in it (`vocabulary.subject.Subject.measures`)."""

    planned: PlannedNight
    measures: Mapping[str, float]


def write_cohort_tables(folder: Path, rules: Cohort, nights: Sequence[ToldNight]) -> tuple[str, ...]:
    """Write every table of the cohort; returns their paths below `folder`.

    A table of the YAML that is there twice (older names of columns) is written once, with the first of each. What is
    not known is an empty cell. Keys are what the cohort's own patterns find in the recordings' paths.

    Raises:
        UsageError: a table is of a format that is not written.
    """
    by_name: dict[str, list[MetadataTable]] = {}
    for table in rules.file.metadata:
        by_name.setdefault(table.name, []).append(table)
    written = []
    for name, tables in by_name.items():
        rows = _rows(rules, tables, nights)
        path = PurePosixPath(nights[0].planned.layout.tables) / name.replace("*", _VERSION)
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        _write(folder / path, rows)
        written.append(path.as_posix())
    return tuple(written)


def _rows(rules: Cohort, tables: Sequence[MetadataTable], nights: Sequence[ToldNight]) -> list[dict[str, str]]:
    """One row a key, in the order of the nights; the first night of a person fills a table without visits."""
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    names = list(dict.fromkeys(_names(tables)))
    for told in nights:
        relative = PurePosixPath(told.planned.recording)
        key: dict[str, str] = {}
        cells: dict[str, str] = {}
        known: set[str] = set()
        for table in tables:
            found = rules.matched(table.identity or rules.file.identity, relative)
            fields = {**found, "subject_id": told.planned.subject_id}
            if not set(table.key) <= set(fields):
                continue
            key |= {column: fields[field] for field, column in table.key.items()}
            fresh = {name: column for name, column in _columns(table).items() if name not in known}
            cells |= {column.column: _cell(name, column, told) for name, column in fresh.items()}
            known |= set(fresh)
        if key:
            rows.setdefault(tuple(key.values()), dict.fromkeys(names, "") | key | cells)
    return list(rows.values()) or [dict.fromkeys(names, "")]


def _names(tables: Sequence[MetadataTable]) -> list[str]:
    """Names of the columns: the key's, then the first that tells of each thing."""
    first: dict[str, str] = {}
    for table in tables:
        for name, column in _columns(table).items():
            first.setdefault(name, column.column)
    return [*(column for table in tables for column in table.key.values()), *first.values()]


def _columns(table: MetadataTable) -> dict[str, Column]:
    return {**table.columns, **table.measures}


def _cell(name: str, column: Column, told: ToldNight) -> str:
    """What the table says of one thing, in the cohort's codes and unit."""
    planned = told.planned
    value: str | float | None
    match name:
        case "subject_id":
            value = planned.subject_id
        case "age_years":
            value = planned.age_written_years
        case "sex":
            value = planned.person.sex
        case "family_id":
            value = planned.family_id
        case "site":
            value = planned.site
        case _:
            value = told.measures.get(name)
    if value is None:
        return ""
    if column.codes:
        return next((code for code, meaning in column.codes.items() if meaning == value), "")
    if isinstance(value, str):
        return value
    return f"{round(value / column.factor)}" if column.factor != 1 else f"{value:g}"


def _write(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    header = list(rows[0])
    lines = [[row[name] for name in header] for row in rows if any(row.values())]
    match path.suffix.lower():
        case ".csv" | ".tsv":
            text = io.StringIO()
            table = csv.writer(text, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", lineterminator="\n")
            table.writerows([header, *lines])
            path.write_text(text.getvalue(), encoding="utf-8", newline="\n")
        case ".xls":
            write_xls(path, [header, *([_number(cell) for cell in line] for line in lines)])
        case _:
            raise UsageError(f"{path}: tables are written as CSV, TSV and XLS; write this cohort's by hand.")


def _number(cell: str) -> str | float | None:
    try:
        return float(cell) if cell else None
    except ValueError:
        return cell
