"""Text that programs of scoring export: its encoding, its columns, its ways to write a time."""

import csv
import re
from datetime import datetime, timedelta
from pathlib import Path

from sleep2vec.vocabulary.errors import UnreadableFileError
from sleep2vec.vocabulary.scoring import NO_DATE

_LARGEST_BYTES = 200_000_000
_BYTE_ORDER_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}
_CLOCK = re.compile(r"(\d{1,2}):(\d{2}):(\d{2}(?:[.,]\d+)?)\s*([AaPp][Mm])?")
_DATES = ("%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%Y/%m/%d")


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
    if mark is None:
        return [line.split() for line in lines]
    try:
        return [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=mark)]
    except csv.Error:  # a cell beyond all measure
        return [[cell.strip() for cell in line.split(mark)] for line in lines]


class Clock:
    """Reads times of one column, elapsed or of the day, in seconds from the first.

    Attributes:
        start: Local time of zero; on `NO_DATE` where only times of day are written; None where times are elapsed.
    """

    def __init__(self) -> None:
        self.start: datetime | None = None
        self._day_format: str | None = None
        self._last: datetime | None = None

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
        if self.start is None:
            # "00:00:00" at the head is where counting starts, not midnight.
            self.start = moment
        if moment.date() == NO_DATE:
            anchor = self._last if follows and self._last is not None else self.start
            while moment < anchor - timedelta(hours=12):
                moment += timedelta(days=1)
        self._last = moment
        return (moment - self.start).total_seconds()

    @property
    def is_elapsed(self) -> bool:
        """Whether the times began at 00:00:00 without a date, so that they count from the recording's first sample."""
        return self.start is None or self.start == datetime.combine(NO_DATE, datetime.min.time())

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
        for form in (self._day_format,) if self._day_format else _DATES:
            try:
                day = datetime.strptime(text, form)
            except ValueError:
                continue
            self._day_format = form
            return day
        return None


def number_of(text: str) -> float | None:
    """A number, with a point or a comma, or None."""
    try:
        number = float(text.strip().replace(",", "."))
    except ValueError:
        return None
    return number if abs(number) < 1e9 else None
