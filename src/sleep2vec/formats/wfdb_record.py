"""WFDB records (https://wfdb.io): a header ``.hea`` and its signal files, in one piece or in segments.

The header is read at once and samples when they are asked for. Files of 16-bit integers, which nearly all sleep
databases use, are memory-mapped, so that a channel costs its own bytes; other formats are left to the `wfdb` package.
"""

import re
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sleep2vec.vocabulary.errors import UnreadableFileError
from sleep2vec.vocabulary.recording import Recording, Signal
from sleep2vec.vocabulary.subject import Sex, Subject

_MISSING_16 = -32768  # how a 16-bit file says that a sample is missing
_SEGMENT = re.compile(r"(?P<record>.+)_(?:\d{3,}|layout)")
_SEXES: dict[str, Sex] = {"f": "female", "female": "female", "m": "male", "male": "male"}
_AGE = re.compile(r"\bage\W{1,3}(\d{1,3}(?:\.\d+)?)", re.IGNORECASE)
_SEX = re.compile(r"\b(?:sex|gender)\W{1,3}(female|male|f|m)\b", re.IGNORECASE)
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
    for name in sorted({name for segment in segments for name in (segment.header.file_name or [])}):
        if not (path.parent / name).is_file():
            raise UnreadableFileError(f"{path} names the signal file {name}, which is not beside it; put it there.")
    rate_hz, n_frames = float(header.fs), _n_frames(path, header, segments)
    labels = list(dict.fromkeys(name for segment in segments for name in segment.header.sig_name))
    signals = tuple(_signal(label, segments, rate_hz, n_frames) for label in labels)
    return Recording(
        signals=signals,
        duration_s=n_frames / rate_hz,
        start=_start(header),
        subject=_subject(header.comments or []),
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
        digital_FW = np.memmap(path, "<i2", "r", offset, (n_frames, sum(per_frame)))
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
            record = wfdb.rdrecord(str(self.base), channels=[channel], smooth_frames=False)
        except Exception as error:  # wfdb fails in many ways on files that are cut or damaged
            raise UnreadableFileError(f"{self.base} cannot be decoded ({type(error).__name__}: {error}).") from None
        return np.asarray(record.e_p_signal[0], dtype=np.float32)


def _header(path: Path) -> Any:
    import wfdb

    try:
        return wfdb.rdheader(str(path.with_suffix("")))
    except Exception as error:  # wfdb fails in many ways on text that is no header
        told = " ".join(str(error).split())[:200]
        raise UnreadableFileError(f"{path} is no WFDB header ({type(error).__name__}: {told}).") from None


def _segments(path: Path, header: Any) -> list[_Segment]:
    names = getattr(header, "seg_name", None)
    if names is None:
        return [_Segment(path.with_suffix(""), 0, header)]
    found, start = [], 0
    for name, length in zip(names, header.seg_len, strict=True):
        if name != "~" and length:  # "~" is a pause, a segment of no length is the layout
            segment = _header(path.parent / f"{name}.hea")
            found.append(_Segment(path.parent / name, start, segment))
        start += length
    if not found:
        raise UnreadableFileError(f"{path} has {len(names)} segments, none of which holds a sample.")
    return found


def _n_frames(path: Path, header: Any, segments: list[_Segment]) -> int:
    if header.sig_len:
        return int(header.sig_len)
    if len(segments) == 1 and segments[0].header.fmt[0] == "16":
        return len(segments[0].samples(0)) // (segments[0].header.samps_per_frame[0] or 1)
    raise UnreadableFileError(f"{path} does not say how many samples there are; write the number into its first line.")


def _signal(label: str, segments: list[_Segment], rate_hz: float, n_frames: int) -> Signal:
    holding = [
        (segment, segment.header.sig_name.index(label)) for segment in segments if label in segment.header.sig_name
    ]
    first, channel = holding[0]
    per_frame = first.header.samps_per_frame[channel] or 1
    load: Callable[[], NDArray[np.float32]] = partial(_load, holding, per_frame, n_frames)
    unit = first.header.units[channel] or ""
    return Signal(
        label=label,
        rate_hz=rate_hz * per_frame,
        unit="" if unit.upper() == "NU" else unit,  # "no units"
        n_samples=n_frames * per_frame,
        load=load,
        physical_range=_physical_range(first.header, channel),
    )


def _load(holding: list[tuple[_Segment, int]], per_frame: int, n_frames: int) -> NDArray[np.float32]:
    samples_T = np.full(n_frames * per_frame, np.nan, dtype=np.float32)
    for segment, channel in holding:
        piece = segment.samples(channel)
        at = segment.start * per_frame
        samples_T[at : at + len(piece)] = piece[: len(samples_T) - at]
    return samples_T


def _physical_range(header: Any, channel: int) -> tuple[float, float] | None:
    bits, gain = header.adc_res[channel], header.adc_gain[channel]
    if not bits or not gain:
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
