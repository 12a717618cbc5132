"""Excel worksheets of the oldest kind (BIFF2): a stream of records, enough for a table that old readers open.

Sleep-EDF hands out its tables of people as ``.xls``. Source: the layouts of the records BOF, CODEPAGE, NUMBER, LABEL
and EOF in "OpenOffice.org's Documentation of the Microsoft Excel File Format".
"""

import struct
from collections.abc import Sequence
from pathlib import Path

from sleep2vec.vocabulary.errors import UsageError

_BOF, _EOF, _CODEPAGE, _NUMBER, _LABEL = 0x0009, 0x000A, 0x0042, 0x0003, 0x0004
_WORKSHEET = struct.pack("<HH", 2, 0x0010)
_LATIN_1 = struct.pack("<H", 1252)
_PLAIN = b"\0\0\0"  # no protection, the first format and font
_LONGEST = 255


def write_xls(path: Path, rows: Sequence[Sequence[str | float | None]]) -> None:
    """Write one sheet; None is an empty cell, text is Latin-1.

    Raises:
        UsageError: a text is longer than 255 letters or not Latin-1, or the table is too large for such a sheet.
    """
    if len(rows) > 0xFFFF or any(len(row) > 0xFF for row in rows):
        raise UsageError(f"{path}: an old Excel sheet holds 65,535 rows of 255 columns; write CSV instead.")
    records = [_record(_BOF, _WORKSHEET), _record(_CODEPAGE, _LATIN_1)]
    for at, row in enumerate(rows):
        for column, value in enumerate(row):
            place = struct.pack("<HH", at, column) + _PLAIN
            if isinstance(value, str):
                records.append(_record(_LABEL, place + _text(value, path)))
            elif value is not None:
                records.append(_record(_NUMBER, place + struct.pack("<d", value)))
    path.write_bytes(b"".join([*records, _record(_EOF, b"")]))


def _record(kind: int, content: bytes) -> bytes:
    return struct.pack("<HH", kind, len(content)) + content


def _text(text: str, path: Path) -> bytes:
    try:
        letters = text.encode("latin-1")
    except UnicodeEncodeError:
        raise UsageError(
            f"{path}: {text!r} has letters that an old Excel sheet cannot hold; write CSV instead."
        ) from None
    if len(letters) > _LONGEST:
        raise UsageError(f"{path}: a cell of {len(letters)} letters; an old Excel sheet holds {_LONGEST}.")
    return bytes([len(letters)]) + letters
