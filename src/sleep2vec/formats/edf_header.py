"""The header of an EDF, EDF+ or BDF file, read the way clinics write it.

The layout is that of Kemp et al. (1992), doi:10.1016/0013-4694(92)90009-7, and of EDF+, Kemp & Olivan (2003),
doi:10.1016/S1388-2457(03)00123-8: 256 bytes about the recording, then 256 bytes for each signal, all of them text.
The number of the byte where a field begins is in the code as in the standard.
"""

import math
import re
from dataclasses import dataclass
from datetime import date, datetime, time
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

from sleep2vec.vocabulary.errors import UnreadableFileError

# Width of each field of a signal's header, in the order of the standard.
_FIELD_WIDTHS = {
    "label": 16,
    "transducer": 80,
    "unit": 8,
    "physical_min": 8,
    "physical_max": 8,
    "digital_min": 8,
    "digital_max": 8,
    "prefilter": 80,
    "samples_per_record": 8,
    "reserved": 32,
}
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_UTF8_LEADS = (0xC2, 0xC3)  # of the western European letters; in Latin-1 they end no word
# What EDF writers put where the start is unknown (EDF+ has no other word for it).
_NO_START = datetime(1985, 1, 1)


@dataclass(frozen=True)
class ChannelHeader:
    """What the header says of one channel; a number that could not be read is None.

    `first_byte` is where the channel's samples begin in a data record.
    """

    label: str
    transducer: str
    unit: str
    prefilter: str
    physical_min: float | None
    physical_max: float | None
    digital_min: float | None
    digital_max: float | None
    samples_per_record: int
    first_byte: int

    @property
    def is_annotation(self) -> bool:
        return self.label.lower() in ("edf annotations", "bdf annotations")


@dataclass(frozen=True)
class EdfHeader:
    """A header after mending, together with what the size of the file says.

    Attributes:
        n_records: Whole data records that the file really holds.
        n_records_declared: What its header promises, at least `n_records`.
        record_s: Length of a data record in seconds; 0 only where all channels are annotations.
        start: Time of day of the header (whole seconds; EDF+ keeps the fraction in the first annotation), or None.
        patient: The field "local patient identification".
        declared_discontinuous: Whether it calls itself EDF+D.
        repairs: What had to be mended, one sentence each.
    """

    path: Path
    bytes_per_sample: int
    n_bytes: int
    channels: tuple[ChannelHeader, ...]
    n_records: int
    n_records_declared: int
    record_s: float
    start: datetime | None
    patient: str
    declared_discontinuous: bool
    repairs: tuple[str, ...]

    @property
    def record_bytes(self) -> int:
        return self.bytes_per_sample * sum(channel.samples_per_record for channel in self.channels)


def open_bytes(path: Path) -> BinaryIO:
    """Open a file for unbuffered reading.

    Raises:
        UnreadableFileError: it is missing, a folder, or closed to this user.
    """
    try:
        if path.is_fifo() or path.is_socket() or path.is_char_device():  # opening one may wait for ever
            raise UnreadableFileError(
                f"{path} is a device or a pipe, but one recording was expected; copy it to a file."
            )
        return path.open("rb", buffering=0)
    except FileNotFoundError:
        raise UnreadableFileError(f"{path} does not exist; check the spelling and the folder.") from None
    except IsADirectoryError:
        raise UnreadableFileError(f"{path} is a folder, but one recording was expected; name a file in it.") from None
    except OSError as error:
        raise UnreadableFileError(f"{path} cannot be opened ({error.strerror}); check its permissions.") from None


def read_header(path: Path) -> EdfHeader:
    """Read and mend the header of an EDF or BDF file; the samples are not touched.

    Raises:
        UnreadableFileError: it is no EDF file, or what cannot be guessed (the layout of a record) is missing.
    """
    if path.is_dir():  # Windows reports a folder as a lack of permission
        raise UnreadableFileError(f"{path} is a folder, but one recording was expected; name a file in it.")
    with open_bytes(path) as file:
        size = path.stat().st_size
        fixed = file.read(256)
        bytes_per_sample = _bytes_per_sample(path, fixed)
        n_channels = _count(fixed[252:256])
        if n_channels is None or n_channels < 1:
            written = _plain(fixed[252:256])
            raise UnreadableFileError(
                f"{path} says that it holds {written!r} signals, where a number above 0 was expected; "
                "its header is damaged, export it again."
            )
        per_channel = file.read(256 * n_channels)
    n_bytes = 256 * (n_channels + 1)
    if len(per_channel) < 256 * n_channels:
        raise UnreadableFileError(
            f"{path} ends inside its header ({size} bytes, but {n_channels} signals need a header of {n_bytes}); "
            "it was cut off, copy or export it again."
        )

    repairs: list[str] = []
    if _count(fixed[184:192]) != n_bytes:
        repairs.append(
            f"The header calls itself {_plain(fixed[184:192])!r} bytes long; {n_channels} signals make it {n_bytes}."
        )
    foreign: list[str] = []
    patient = _text(fixed[8:88], foreign)
    recording = _text(fixed[88:168], foreign)
    channels = _channels(path, per_channel, n_channels, bytes_per_sample, foreign, repairs)
    if foreign:
        repairs.append(f"Header texts that are not ASCII were read as {', '.join(dict.fromkeys(foreign))}.")
    record_bytes = bytes_per_sample * sum(channel.samples_per_record for channel in channels)
    n_records = _n_records(path, fixed[236:244], size - n_bytes, record_bytes, repairs)
    return EdfHeader(
        path=path.absolute(),  # samples are read later, perhaps from another working directory
        bytes_per_sample=bytes_per_sample,
        n_bytes=n_bytes,
        channels=channels,
        n_records=n_records,
        n_records_declared=max(n_records, _count(fixed[236:244]) or 0),
        record_s=_record_s(path, fixed[244:252], channels, repairs),
        start=_start(fixed[168:176], fixed[176:184], recording, repairs),
        patient=patient,
        declared_discontinuous=_plain(fixed[192:236]).upper().startswith(("EDF+D", "BDF+D")),
        repairs=tuple(repairs),
    )


def _bytes_per_sample(path: Path, fixed: bytes) -> int:
    if not fixed:
        raise UnreadableFileError(f"{path} is empty (0 bytes), so it holds no recording; copy or export it again.")
    if fixed[:8] == b"\xffBIOSEMI":
        samples = 3
    elif fixed[:8].strip(b" \0") == b"0":
        samples = 2
    else:
        raise UnreadableFileError(
            f"{path} is not an EDF or BDF file: it begins with {_plain(fixed[:8])!r}, where the version '0' "
            "was expected; check what kind of file it is."
        )
    if len(fixed) < 256:
        raise UnreadableFileError(
            f"{path} ends inside its header ({len(fixed)} bytes, 256 and more were expected); "
            "it was cut off, copy or export it again."
        )
    return samples


def _channels(
    path: Path, raw: bytes, n_channels: int, bytes_per_sample: int, foreign: list[str], repairs: list[str]
) -> tuple[ChannelHeader, ...]:
    columns: dict[str, list[bytes]] = {}
    position = 0
    for field, width in _FIELD_WIDTHS.items():
        columns[field] = [raw[position + i * width : position + (i + 1) * width] for i in range(n_channels)]
        position += n_channels * width
    labels = [_text(field, foreign) for field in columns["label"]]
    counts = [
        _samples_per_record(path, label, field)
        for label, field in zip(labels, columns["samples_per_record"], strict=True)
    ]
    ends = list(accumulate(counts))

    def number(field: str, i: int) -> float | None:
        if labels[i].lower().endswith("annotations"):  # its numbers mean nothing
            return None
        end = {"min": "minimum", "max": "maximum"}[field[-3:]]
        return _number(columns[field][i], f"{field[:-4]} {end} of {labels[i]!r}", repairs)

    return tuple(
        ChannelHeader(
            label=labels[i],
            transducer=_text(columns["transducer"][i], foreign),
            unit=_text(columns["unit"][i], foreign),
            prefilter=_text(columns["prefilter"][i], foreign),
            physical_min=number("physical_min", i),
            physical_max=number("physical_max", i),
            digital_min=number("digital_min", i),
            digital_max=number("digital_max", i),
            samples_per_record=counts[i],
            first_byte=bytes_per_sample * (ends[i] - counts[i]),
        )
        for i in range(n_channels)
    )


def _samples_per_record(path: Path, label: str, field: bytes) -> int:
    count = _count(field)
    if count is None or count < 0:
        raise UnreadableFileError(
            f"{path} says that {label!r} has {_plain(field)!r} samples in a data record, where a whole number was "
            "expected; without it the place of every sample is unknown, export the file again."
        )
    return count


def _n_records(path: Path, field: bytes, data_bytes: int, record_bytes: int, repairs: list[str]) -> int:
    if record_bytes == 0 or data_bytes < record_bytes:
        raise UnreadableFileError(
            f"{path} has a header but not one whole data record ({data_bytes} bytes follow the header, a record "
            f"has {record_bytes}), so it holds no samples; copy or export it again."
        )
    declared = _count(field)
    held, rest = divmod(data_bytes, record_bytes)
    if declared is None or declared < 0:
        repairs.append(f"The header leaves the number of data records open ({_plain(field)!r}); the file holds {held}.")
    elif declared > held:
        repairs.append(f"The file is cut off: its header promises {declared} data records, it holds {held}.")
    elif declared < held:
        repairs.append(f"The header counts {declared} data records, but the file holds {held}; all were read.")
    if rest:
        repairs.append(f"{rest} bytes at the end of the file are no whole data record and were left out.")
    return held


def _record_s(path: Path, field: bytes, channels: tuple[ChannelHeader, ...], repairs: list[str]) -> float:
    record_s = _number(field, "length of a data record", repairs)
    if record_s is not None and record_s > 0:
        return record_s
    if all(channel.is_annotation for channel in channels):
        return 0.0
    raise UnreadableFileError(
        f"{path} says that a data record lasts {_plain(field)!r} s, where a number above 0 was expected; without it "
        "the sampling rates are unknown, export the file again."
    )


def _start(day: bytes, clock: bytes, recording: str, repairs: list[str]) -> datetime | None:
    """Start date and time; the EDF+ field "Startdate dd-MMM-yyyy" knows the century and goes first."""
    words = recording.split()
    plus = parse_date(words[1]) if len(words) > 1 and words[0].lower() == "startdate" else None
    short = _short_date(day)
    at = _clock(clock)
    on = plus or short
    if on is None or at is None:
        repairs.append(f"The start {_plain(day)!r} {_plain(clock)!r} is no date and time; it is taken as unknown.")
        return None
    if plus and short and plus != short:
        repairs.append(f"The header holds two start dates, {short} and {plus}; the EDF+ one ({plus}) was taken.")
    start = datetime.combine(on, at)
    if words[:2] == ["Startdate", "X"]:
        if start == _NO_START:
            return None
        repairs.append(f"The start date was removed from the file; only the time of day ({at}) means something.")
    return start


def parse_date(text: str) -> date | None:
    """Read an EDF+ date (``"24-APR-1989"``), or None."""
    match = re.fullmatch(r"(\d{1,2})-([A-Za-z]{3})-(\d{4})", text)
    if match is None or match[2].upper() not in _MONTHS:
        return None
    try:
        return date(int(match[3]), _MONTHS.index(match[2].upper()) + 1, int(match[1]))
    except ValueError:
        return None


def _short_date(field: bytes) -> date | None:
    numbers = _three_numbers(field)
    if numbers is None:
        return None
    day, month, year = numbers
    try:
        return date(year + (1900 if year >= 85 else 2000), month, day)  # the standard's window: 1985 to 2084
    except ValueError:
        return None


def _clock(field: bytes) -> time | None:
    numbers = _three_numbers(field)
    try:
        return None if numbers is None else time(*numbers)
    except ValueError:
        return None


def _three_numbers(field: bytes) -> tuple[int, int, int] | None:
    match = re.fullmatch(r"(\d{1,2})[.:/' -](\s?\d{1,2})[.:/' -](\s?\d{1,2})", _plain(field))
    return None if match is None else (int(match[1]), int(match[2]), int(match[3]))


def _plain(field: bytes) -> str:
    """A field as text for numbers and messages."""
    return field.decode("latin-1").replace("\0", " ").strip()


def _text(field: bytes, foreign: list[str]) -> str:
    """A field as readable text; the encoding is added to `foreign` where it is not ASCII."""
    field = re.sub(rb"[\x00-\x1f\x7f]", b" ", field).strip()
    if field.isascii():
        return field.decode("ascii")
    for cut in range(min(2, len(field)) + 1):  # a field of fixed width may cut the last character of UTF-8 in two
        try:
            text = field[: len(field) - cut].decode("utf-8")
        except UnicodeDecodeError:
            continue
        if cut == 0 or not text.isascii() or field[-cut] in _UTF8_LEADS:
            foreign.append("UTF-8")
            return text
    foreign.append("Latin-1")
    return field.decode("latin-1")


def _number(field: bytes, what: str, repairs: list[str]) -> float | None:
    """A number that may be written with a decimal comma; None, with a repair, where it is none."""
    written = _plain(field)
    try:
        number = float(written.replace(",", "."))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        repairs.append(f"The {what} is {written!r}, which is no number.")
        return None
    if "," in written:
        repairs.append(f"The {what} is written with a decimal comma ({written!r}); it was read as {number:g}.")
    return number


def _count(field: bytes) -> int | None:
    """A whole number, also when written like ``256.0``; None where it is none."""
    try:
        number = float(_plain(field).replace(",", "."))
    except ValueError:
        return None
    return int(number) if number.is_integer() else None
