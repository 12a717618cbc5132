"""Data records of an EDF file: where each one belongs in time, and the annotations it carries.

A file that calls itself EDF+D has gaps between its records, and some that call themselves EDF+C have them too. The
first annotation of each record says when the record begins ("time-keeping", EDF+ section 2.2.4); readers that ignore
it close the gaps silently, and everything after a gap is then at a wrong time.
"""

import mmap
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sleep2vec.formats.edf_header import ChannelHeader, EdfHeader, open_bytes
from sleep2vec.vocabulary.errors import UnreadableFileError

_TIME_STAMP = re.compile(rb"\0*([+-]\d+(?:[.,]\d*)?)(?:\x15[\d.,]*)?\x14\x14")
_PIECE_BYTES = 1 << 24
# Clocks of recorders that call themselves continuous are written with some rounding; a missing record is longer.
_CLOCK_ROUNDING_S = 0.01
_LONGEST_GAPS_S = 7 * 24 * 3600.0


@dataclass(frozen=True)
class Segment:
    """Records without a gap between them; `onset_s` counts from the first sample of the recording."""

    first_record: int
    n_records: int
    onset_s: float


@dataclass(frozen=True)
class Timeline:
    """Where the records belong.

    Attributes:
        segments: In order of time, without overlap; the file may have them in another order.
        duration_s: From the first sample to the last, gaps included.
        first_onset_s: When the first sample was taken, counted from the start that the header gives; annotations
            count from there too.
    """

    segments: tuple[Segment, ...]
    duration_s: float
    first_onset_s: float


def annotation_records(header: EdfHeader) -> list[list[bytes]]:
    """For each annotation channel, its bytes in each data record. Nothing else of the file is read."""
    channels = [channel for channel in header.channels if channel.is_annotation]
    return [list(_channel_records(header, channel)) for channel in channels]


def _channel_records(header: EdfHeader, channel: ChannelHeader) -> Iterator[bytes]:
    first_byte, record_bytes = header.n_bytes + channel.first_byte, header.record_bytes
    width = channel.samples_per_record * header.bytes_per_sample
    with open_bytes(header.path) as file:
        if hasattr(os, "posix_fadvise"):  # or the system reads ahead, and with it all the samples
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        for record in range(header.n_records):
            file.seek(first_byte + record * record_bytes)
            yield file.read(width)


def timeline_of(header: EdfHeader, time_keeping: list[bytes] | None) -> tuple[Timeline, tuple[str, ...]]:
    """Place the records by their time stamps.

    Args:
        header: of the file.
        time_keeping: bytes of the first annotation channel in each record, None when there is none.

    Returns:
        The timeline, and what had to be mended.
    """
    stamps_R = _time_stamps(time_keeping or [])
    known = np.flatnonzero(np.isfinite(stamps_R))
    if len(known) == 0:
        lost = header.declared_discontinuous and header.record_s > 0
        repairs = ["It calls itself discontinuous, but no record says when it begins; gaps are not known."]
        return _without_gaps(header, 0.0), tuple(repairs) if lost else ()

    first_onset_s = float(stamps_R[known[0]] - known[0] * header.record_s)
    steps = np.diff(stamps_R[known]) - np.diff(known) * header.record_s
    if abs(first_onset_s) + np.abs(steps).sum() > _LONGEST_GAPS_S:
        return _without_gaps(header, 0.0), (
            "The time stamps of its records jump by more than a week; they were not believed, gaps are not known.",
        )
    continuous = not header.declared_discontinuous and np.all(np.abs(steps) <= _CLOCK_ROUNDING_S)
    if continuous or all(channel.is_annotation for channel in header.channels):
        return _without_gaps(header, first_onset_s), ()
    return _by_stamps(header, stamps_R - first_onset_s, first_onset_s)


def _time_stamps(time_keeping: list[bytes]) -> NDArray[np.float64]:
    matches = (_TIME_STAMP.match(record) for record in time_keeping)
    return np.asarray([float(match[1].replace(b",", b".")) if match else np.nan for match in matches])


def _without_gaps(header: EdfHeader, first_onset_s: float) -> Timeline:
    return Timeline((Segment(0, header.n_records, 0.0),), header.n_records * header.record_s, first_onset_s)


def _by_stamps(
    header: EdfHeader, onsets_R: NDArray[np.float64], first_onset_s: float
) -> tuple[Timeline, tuple[str, ...]]:
    fastest_hz = max(c.samples_per_record for c in header.channels if not c.is_annotation) / header.record_s
    tolerance_s = 0.5 / fastest_hz
    pieces = _pieces(header, onsets_R, tolerance_s)
    ordered = sorted(pieces, key=lambda piece: piece.onset_s)
    segments: list[Segment] = []
    end_s, early = 0.0, 0
    for piece in ordered:
        overlaps = bool(segments) and piece.onset_s < end_s - tolerance_s
        early += piece.n_records * overlaps
        onset_s = end_s if overlaps else piece.onset_s
        segments.append(Segment(piece.first_record, piece.n_records, onset_s))
        end_s = onset_s + piece.n_records * header.record_s

    repairs = []
    missing_s = end_s - header.n_records * header.record_s
    n_gaps = sum(
        after.onset_s - (before.onset_s + before.n_records * header.record_s) > tolerance_s
        for before, after in pairwise(segments)
    )
    if n_gaps:
        repairs.append(f"The recording has {n_gaps} gap(s), {missing_s:.6g} s together; they were filled with NaN.")
        if not header.declared_discontinuous:
            repairs.append("It calls itself continuous, but the time stamps of its records are not.")
    if ordered != pieces:
        repairs.append("Its data records are not in the order of their time stamps; they were put in order.")
    if early:
        repairs.append(f"{early} data record(s) begin before the one in front ends; each was put right behind it.")
    if np.isnan(onsets_R).any():
        repairs.append(f"{np.isnan(onsets_R).sum()} data record(s) do not say when they begin; no gap was assumed.")
    return Timeline(tuple(segments), end_s, first_onset_s), tuple(repairs)


def _pieces(header: EdfHeader, onsets_R: NDArray[np.float64], tolerance_s: float) -> list[Segment]:
    """Runs of records that follow each other without a gap or a step back, in the file's order."""
    pieces: list[Segment] = []
    first, start_s = 0, 0.0
    for record in range(1, header.n_records):
        off_s = onsets_R[record] - (start_s + (record - first) * header.record_s)  # NaN: not known, so no gap
        if abs(off_s) > tolerance_s:
            pieces.append(Segment(first, record - first, start_s))
            first, start_s = record, float(onsets_R[record])
    pieces.append(Segment(first, header.n_records - first, start_s))
    return pieces


def digital_samples(header: EdfHeader, channel: ChannelHeader) -> NDArray[np.integer]:
    """The converter's numbers of one channel, (n_records * samples_per_record,) int16 (EDF) or int32 (BDF).

    Raises:
        UnreadableFileError: the file has gone or shrunk since its header was read.
    """
    shape = (header.n_records, header.record_bytes)
    try:
        records = np.memmap(header.path, np.uint8, "r", offset=header.n_bytes, shape=shape)
    except (OSError, ValueError):
        raise UnreadableFileError(
            f"{header.path} has changed or gone since it was opened; {channel.label!r} cannot be read, open it again."
        ) from None
    last_byte = channel.first_byte + channel.samples_per_record * header.bytes_per_sample
    raw = _columns(records, channel.first_byte, last_byte)
    if header.bytes_per_sample == 2:
        return raw.view("<i2").reshape(-1)
    padded = np.zeros((raw.size // 3, 4), np.uint8)
    padded[:, 1:] = raw.reshape(-1, 3)  # into the upper 24 bits, so that the shift below carries the sign
    return padded.view("<i4").reshape(-1) >> 8


def _columns(records: NDArray[np.uint8], first: int, last: int) -> NDArray[np.uint8]:
    """Bytes `first` to `last` of every record, copied a piece at a time.

    A channel lies in every page of the file. Pages are given back after each piece: the memory of a read is that of the
    channel, not of the file.
    """
    wanted = np.empty((len(records), last - first), np.uint8)
    mapped = records.base if isinstance(records.base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED") else None
    n_piece = max(1, _PIECE_BYTES // records.shape[1])
    for start in range(0, len(records), n_piece):
        piece = slice(start, start + n_piece)
        wanted[piece] = records[piece, first:last]
        if mapped is not None:
            mapped.madvise(mmap.MADV_DONTNEED)
    return wanted
