"""Figures as files: CSV for a spreadsheet, plain values for JSON. What is undefined is empty, or null."""

import csv
import io
import math
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from sleep2vec.metrics.figure import Figure

COLUMNS = ("task", "outcome", "what", "group", "sensors", "estimate", "low", "high", "n_nights", "n_people")
"""Names first, then numbers: as a person reads a line. All attributes of `Figure`."""


def json_rows(figures: Iterable[Figure]) -> list[dict[str, Any]]:
    """One object a figure, in the order of `COLUMNS`; None for what is undefined (also NaN, infinite)."""
    return [{column: _plain(asdict(line)[column]) for column in COLUMNS} for line in figures]


def csv_text(figures: Iterable[Figure]) -> str:
    """A table with a header; numbers with all digits, empty cells for what is undefined."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(json_rows(figures))
    return text.getvalue()


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
