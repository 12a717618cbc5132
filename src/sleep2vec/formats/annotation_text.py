"""Text that programs of scoring export: its encoding, its columns, its ways to write a time."""

import csv
import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

from sleep2vec.vocabulary.errors import UnreadableFileError
from sleep2vec.vocabulary.scoring import NO_DATE

_LARGEST_BYTES = 200_000_000
_BYTE_ORDER_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}
_DECIMAL_COMMA = re.compile(r"\s*-?\d+,\d+[ ]+[^\s,]")  # "30,5 N2"
_CLOCK = re.compile(r"(\d{1,2}):(\d{2}):(\d{2}(?:[.,]\d+)?)\s*([AaPp][Mm])?")
_DATES = ("%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%Y/%m/%d", "%d-%b-%Y", "%d %b %Y")
_LONGEST_DAYS = 3


def text_of(path: Path) -> str:
    """The text of a file in UTF-8, UTF-16 with a byte order mark, or Latin-1.

    Raises:
        UnreadableFileError: it cannot be read, is far too large for a scoring, or holds no text.
    """
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise UnreadableFileError(f"{path} has {path.stat().st_size} bytes; no scoring of a night is that long.")
        data = path.read_bytes()
    except OSError as error:
        raise UnreadableFileError(f"{path} cannot be read: {error.strerror or error}.") from None
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS.items() if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    if "\0" in text:
        raise UnreadableFileError(f"{path} holds bytes that are no text, where a scoring was expected.")
    return text


def rows_of(text: str) -> list[list[str]]:
    """Cells of a table, without blank lines; columns are parted by what the first lines agree on: tab ; , or blanks."""
    lines = [line for line in text.splitlines() if line.strip()]
    head = lines[:5]
    mark = next((mark for mark in "\t;," if head and all(mark in line for line in head[:2])), None)
    if mark == "," and all(_DECIMAL_COMMA.match(line) for line in head):
        mark = None
    if mark is None:
        return [line.split() for line in lines]
    try:
        return [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=mark)]
    except csv.Error:  # a cell beyond all measure
        return [[cell.strip() for cell in line.split(mark)] for line in lines]


class Clock:
    """Reads times of one column, elapsed or of the day, in seconds from the first.

    Args:
        column: the texts of the column, from which the order of day and month is told: that of which all are dates, in
            order of time, within three days.

    Attributes:
        start: Local time of zero; on `NO_DATE` where only times of day are written; None where times are elapsed.
    """

    def __init__(self, column: Iterable[str] = ()) -> None:
        self.start: datetime | None = None
        self._forms = _forms_of(column)
        self._last: datetime | None = None
        self._leader = self

    def twin(self) -> "Clock":
        """Another that counts from the same moment and goes over midnight on its own."""
        twin = Clock()
        twin._forms, twin._leader = self._forms, self
        return twin

    def seconds(self, text: str, *, follows: bool = True) -> float | None:
        """Seconds of one cell, or None where it is no time.

        Args:
            follows: a time of day more than half a day before the last one is after midnight.
        """
        number = number_of(text)
        if number is not None:
            return number
        moment = self._moment(text.strip())
        if moment is None:
            return None
        if self._leader.start is None:
            self._leader.start = moment
        start = self._leader.start
        if moment.date() == NO_DATE:
            anchor = self._last if follows and self._last is not None else start
            while moment < anchor - timedelta(hours=12):
                moment += timedelta(days=1)
        self._last = moment
        return (moment - start).total_seconds()

    def _moment(self, text: str) -> datetime | None:
        match = _CLOCK.search(text)
        if match is None:
            return None
        hour, minute, second = int(match[1]), int(match[2]), float(match[3].replace(",", "."))
        if match[4]:
            hour = hour % 12 + (12 if match[4].lower() == "pm" else 0)
        if hour > 23 or minute > 59 or second >= 61:
            return None
        day = self._day(text[: match.start()].strip(" T,"))
        if day is None:
            return None
        return day + timedelta(hours=hour, minutes=minute, seconds=second)

    def _day(self, text: str) -> datetime | None:
        if not text:
            return datetime.combine(NO_DATE, datetime.min.time())
        return next((day for form in self._forms if (day := _date(text, form)) is not None), None)


def _forms_of(column: Iterable[str]) -> tuple[str, ...]:
    """The way in which all dates of a column are written, first, then the others."""
    heads = (text[: match.start()].strip(" T,") for text in column if (match := _CLOCK.search(text)))
    texts = list(dict.fromkeys(head for head in heads if head))

    def misfit(form: str) -> tuple[int, bool, bool]:
        days = [_date(text, form) for text in texts]
        known = [day for day in days if day is not None]
        ordered = all(one <= other for one, other in pairwise(known))
        together = not known or max(known) - min(known) <= timedelta(days=_LONGEST_DAYS)
        return days.count(None), not together, not ordered

    return tuple(sorted(_DATES, key=misfit)) if texts else _DATES


def _date(text: str, form: str) -> datetime | None:
    try:
        return datetime.strptime(text, form)
    except ValueError:
        return None


def number_of(text: str) -> float | None:
    """A number, with a point or a comma, or None."""
    try:
        number = float(text.strip().replace(",", "."))
    except ValueError:
        return None
    return number if abs(number) < 1e9 else None
