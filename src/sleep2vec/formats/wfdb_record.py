"""WFDB records (https://wfdb.io): a header ``.hea`` and its signal files, in one piece or in segments.

The header is read at once and samples when they are asked for. Files of 16-bit integers, which nearly all sleep
databases use, are memory-mapped, so that a channel costs its own bytes; other formats are left to the `wfdb` package.
"""

import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sleep2vec.formats.edf_header import open_bytes
from sleep2vec.vocabulary.errors import UnreadableFileError
from sleep2vec.vocabulary.recording import Recording, Signal
from sleep2vec.vocabulary.subject import Sex, Subject
from sleep2vec.vocabulary.units import factor_between

_MISSING_16 = -32768  # how a 16-bit file says that a sample is missing
_SEGMENT = re.compile(r"(?P<record>.+)_(?:\d{3,}|layout)")
_SEXES: dict[str, Sex] = {"f": "female", "female": "female", "m": "male", "male": "male"}
_AGE = re.compile(r"\bage\W{1,3}(\d{1,3}(?:\.\d+)?)", re.IGNORECASE)
_SEX = re.compile(r"\b(?:sex|gender)\W{1,3}(female|male|f|m)\b", re.IGNORECASE)
_SHORT_YEAR = re.compile(r"(?m)^([^#\r\n]*\s\d{1,2}/\d{1,2}/)(\d{2})[ \t]*\r?$")  # as slp32 of slpdb is dated
_SLPDB = re.compile(r"^\s*(\d{1,3})\s+([MF])\b")  # "44 M 89 32-01-89": age, sex, weight, record


def read_wfdb(path: Path) -> Recording:
    """Read a record by its header.

    Signals keep their own rates; what no segment holds is NaN. Age and sex are read from the comments where they stand.

    Raises:
        UnreadableFileError: it is no WFDB header, has no signals, or its signal files are missing or too short.
    """
    header = _header(path)
    if not header.n_sig or not header.fs:
        raise UnreadableFileError(f"{path} describes no signals; name the header of a record that has some.")
    segments = _segments(path, header)
    if any(segment.header.file_name is None for segment in segments):
        raise UnreadableFileError(f"{path} counts signals and describes none; it is cut off, copy it again.")
    for name in sorted({name for segment in segments for name in segment.header.file_name}):
        if not (path.parent / name).is_file():
            raise UnreadableFileError(f"{path} names the signal file {name}, which is not beside it; put it there.")
    rate_hz, n_frames = float(header.fs), _n_frames(path, header, segments)
    names = list(dict.fromkeys(name for segment in segments for name in segment.names))
    signals = tuple(_signal(name, segments, rate_hz, n_frames) for name in names)
    return Recording(
        signals=signals,
        duration_s=n_frames / rate_hz,
        start=_start(header),
        subject=_subject(header.comments or []),
        repairs=(*(repair for segment in segments for repair in segment.cuts()), *_pauses(header, segments)),
        source=path.name,
    )


def is_wfdb_record(path: Path) -> bool:
    """Whether a header is that of a record with signals, and not of a segment of another record."""
    try:
        with path.open("rb") as file:
            lines = (line.split() for line in file.read(4_096).decode("latin-1").splitlines())
            first = next(line for line in lines if line and not line[0].startswith("#"))
    except (OSError, StopIteration):
        return True  # reading it will tell what is wrong
    if len(first) > 1 and first[1] == "0":
        return False
    segment = _SEGMENT.fullmatch(path.stem)
    return not (segment and path.with_name(f"{segment['record']}.hea").exists())


class _Segment:
    """A piece of a record: where it begins, in frames, and its header."""

    def __init__(self, base: Path, start: int, header: Any) -> None:
        self.base, self.start, self.header = base, start, header

    def __reduce__(self) -> tuple[Any, ...]:
        return _Segment, (self.base, self.start, self.header)

    @property
    def names(self) -> list[tuple[str, int]]:
        """Label of each channel, and how many in front of it are called the same."""
        labels = self.header.sig_name
        return [(label, labels[:i].count(label)) for i, label in enumerate(labels)]

    def cuts(self) -> list[str]:
        """A sentence for each 16-bit file that holds less than the header promises.

        Raises UnreadableFileError where one holds nothing.
        """
        header, told = self.header, []
        for name in dict.fromkeys(header.file_name):
            held = self._held(name)
            if held == 0:
                raise UnreadableFileError(
                    f"{self.base.parent / name} holds no whole sample, but {header.sig_len or 'some'} were expected; "
                    "copy it again."
                )
            if held is not None and header.sig_len and held < header.sig_len:
                told.append(f"{name} is cut off: {header.sig_len} frames are promised, it holds {held}; NaN follows.")
        return told

    def _held(self, name: str) -> int | None:
        """Frames in a 16-bit signal file, None for other formats, whose reader tells."""
        header = self.header
        inside = [i for i, other in enumerate(header.file_name) if other == name]
        if any(header.fmt[i] != "16" for i in inside):
            return None
        n_bytes = (self.base.parent / name).stat().st_size - (header.byte_offset[inside[0]] or 0)
        return max(n_bytes, 0) // (2 * sum(header.samps_per_frame[i] or 1 for i in inside))

    def samples(self, channel: int) -> NDArray[np.float32]:
        """(N,) physical values of one channel, NaN where missing."""
        header = self.header
        name, form = header.file_name[channel], header.fmt[channel]
        siblings = [i for i, other in enumerate(header.file_name) if other == name]
        plain = form == "16" and not any(header.skew[i] for i in siblings)
        return self._mapped(channel, siblings) if plain else self._decoded(channel)

    def _mapped(self, channel: int, siblings: list[int]) -> NDArray[np.float32]:
        header = self.header
        path = self.base.parent / header.file_name[channel]
        per_frame = [header.samps_per_frame[i] or 1 for i in siblings]
        offset = header.byte_offset[channel] or 0
        n_frames = (path.stat().st_size - offset) // (2 * sum(per_frame))
        if header.sig_len:
            n_frames = min(n_frames, header.sig_len)
        try:
            digital_FW = np.memmap(path, "<i2", "r", offset, (n_frames, sum(per_frame)))
        except (OSError, ValueError, OverflowError) as error:
            raise UnreadableFileError(
                f"{path} cannot be read as {self.base.name}.hea describes it ({error}); copy both again."
            ) from None
        at = siblings.index(channel)
        first = sum(per_frame[:at])
        digital_N = digital_FW[:, first : first + per_frame[at]].reshape(-1)
        samples_N = digital_N.astype(np.float32)
        samples_N -= np.float32(header.baseline[channel])
        samples_N /= np.float32(header.adc_gain[channel])
        samples_N[digital_N == _MISSING_16] = np.nan
        return samples_N

    def _decoded(self, channel: int) -> NDArray[np.float32]:
        import wfdb

        try:
            with _readable(self.base) as base:
                record = wfdb.rdrecord(base, channels=[channel], smooth_frames=False)
        except Exception as error:  # wfdb fails in many ways on files that are cut or damaged
            raise UnreadableFileError(f"{self.base} cannot be decoded ({type(error).__name__}: {error}).") from None
        return np.asarray(record.e_p_signal[0], dtype=np.float32)


def _header(path: Path) -> Any:
    import wfdb

    with open_bytes(path) as file:
        if not file.read(1):
            raise UnreadableFileError(f"{path} is empty (0 bytes); a WFDB header was expected, copy it again.")
    try:
        with _readable(path.with_suffix("")) as base:
            return wfdb.rdheader(base)
    except Exception as error:  # wfdb fails in many ways on text that is no header
        told = " ".join(str(error).split())[:200]
        raise UnreadableFileError(f"{path} is no WFDB header ({type(error).__name__}: {told}).") from None


@contextmanager
def _readable(base: Path) -> Iterator[str]:
    """A record that `wfdb` can read: itself, or, where its year has two digits, a copy of its header and links."""
    header = base.with_suffix(base.suffix + ".hea")
    text = header.read_text("latin-1")
    mended = _SHORT_YEAR.sub(lambda m: f"{m[1]}{'19' if m[2] >= '85' else '20'}{m[2]}", text, count=1)
    if mended == text:
        yield str(base)
        return
    with tempfile.TemporaryDirectory(prefix="sleep2vec-") as folder:
        Path(folder, header.name).write_text(mended, "latin-1")
        for name in {line.split()[0] for line in mended.splitlines()[1:] if line.strip() and line[0] != "#"}:
            if Path(name).name == name and (base.parent / name).is_file():
                Path(folder, name).symlink_to((base.parent / name).absolute())
        yield str(Path(folder, base.name))


def _segments(path: Path, header: Any) -> list[_Segment]:
    names = getattr(header, "seg_name", None)
    if names is None:
        return [_Segment(path.with_suffix(""), 0, header)]
    found, start = [], 0
    for name, length in zip(names, header.seg_len, strict=True):
        if name != "~" and length:  # "~" is a pause, a segment of no length is the layout
            segment = _header(path.parent / f"{name}.hea")
            if getattr(segment, "seg_name", None) is not None:
                raise UnreadableFileError(f"{path} has the segment {name}, which has segments itself; split it.")
            if segment.fs != header.fs:
                raise UnreadableFileError(
                    f"{path} counts {header.fs:g} frames a second and its segment {name} {segment.fs:g}; give each "
                    "segment as a record of its own."
                )
            found.append(_Segment(path.parent / name, start, segment))
        start += length
    if not found:
        raise UnreadableFileError(f"{path} has {len(names)} segments, none of which holds a sample.")
    return found


def _pauses(header: Any, segments: list[_Segment]) -> list[str]:
    """Frames that belong to no segment."""
    if getattr(header, "seg_name", None) is None:
        return []
    pauses = [length for name, length in zip(header.seg_name, header.seg_len, strict=True) if name == "~" and length]
    missing_s = sum(pauses) / header.fs
    told = f"The recording has {len(pauses)} gap(s), {missing_s:.6g} s together; they were filled with NaN."
    return [told] if pauses else []


def _n_frames(path: Path, header: Any, segments: list[_Segment]) -> int:
    if header.sig_len:
        return int(header.sig_len)
    if len(segments) == 1 and segments[0].header.fmt[0] == "16":
        return len(segments[0].samples(0)) // (segments[0].header.samps_per_frame[0] or 1)
    raise UnreadableFileError(f"{path} does not say how many samples there are; write the number into its first line.")


def _signal(name: tuple[str, int], segments: list[_Segment], rate_hz: float, n_frames: int) -> Signal:
    holding = [(segment, segment.names.index(name)) for segment in segments if name in segment.names]
    first, channel = holding[0]
    per_frame = first.header.samps_per_frame[channel] or 1
    unit = first.header.units[channel] or ""
    pieces = [(segment, i, _factor(segment, i, unit)) for segment, i in holding]
    load: Callable[[], NDArray[np.float32]] = partial(_load, pieces, per_frame, n_frames)
    return Signal(
        label=name[0],
        rate_hz=rate_hz * per_frame,
        unit="" if unit.upper() == "NU" else unit,  # "no units"
        n_samples=n_frames * per_frame,
        load=load,
        physical_range=_physical_range(first.header, channel),
    )


def _factor(segment: _Segment, channel: int, unit: str) -> float:
    """From the segment's own unit to that of the record's first."""
    own = segment.header.units[channel] or ""
    if own == unit:
        return 1.0
    factor = factor_between(own, unit)
    if factor is None:
        raise UnreadableFileError(
            f"{segment.base} gives {segment.names[channel][0]} in {own or 'no unit'}, and an earlier segment in "
            f"{unit or 'no unit'}; give each segment as a record of its own."
        )
    return factor


def _load(pieces: list[tuple[_Segment, int, float]], per_frame: int, n_frames: int) -> NDArray[np.float32]:
    samples_T = np.full(n_frames * per_frame, np.nan, dtype=np.float32)
    for segment, channel, factor in pieces:
        piece = segment.samples(channel) * np.float32(factor)
        at = segment.start * per_frame
        samples_T[at : at + len(piece)] = piece[: len(samples_T) - at]
    return samples_T


def _physical_range(header: Any, channel: int) -> tuple[float, float] | None:
    bits, gain = header.adc_res[channel], header.adc_gain[channel]
    if not bits or not gain or not 0 < bits <= 32:  # WFDB has no wider converters
        return None
    zero = (header.adc_zero[channel] or 0) - (header.baseline[channel] or 0)
    ends = ((zero - 2 ** (bits - 1)) / gain, (zero + 2 ** (bits - 1) - 1) / gain)
    return min(ends), max(ends)


def _start(header: Any) -> datetime | None:
    if header.base_date is None or header.base_time is None:
        return None
    return datetime.combine(header.base_date, header.base_time)


def _subject(comments: list[str]) -> Subject:
    text = "\n".join(comments)
    age, sex, slpdb = _AGE.search(text), _SEX.search(text), _SLPDB.search(text)
    years = age[1] if age else slpdb[1] if slpdb else None
    word = sex[1] if sex else slpdb[2] if slpdb else ""
    return Subject(age_years=float(years) if years else None, sex=_SEXES.get(word.lower()))
