"""EDF, EDF+C, EDF+D and BDF recordings, read leniently: what was mended is listed in `Recording.repairs`."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sleep2vec.formats.edf_annotations import parse_annotations, stages_and_events
from sleep2vec.formats.edf_header import ChannelHeader, EdfHeader, parse_date, read_header
from sleep2vec.formats.edf_records import Timeline, annotation_records, digital_samples, timeline_of
from sleep2vec.vocabulary.recording import Recording, Signal
from sleep2vec.vocabulary.subject import Sex, Subject

_SEX: dict[str, Sex] = {"F": "female", "M": "male"}
_PIECE = 1 << 15  # samples that stay in the processor's cache
_OLDEST_YEARS = 125.0


def read_edf(path: Path) -> Recording:
    """Read an EDF, EDF+ or BDF file. Samples stay in the file until a signal is asked for them.

    Gaps of discontinuous files are NaN, and every time counts from the first sample. A channel whose calibration
    cannot be read keeps the converter's own numbers, and has no unit then.

    Raises:
        UnreadableFileError: it is no EDF file, or its samples cannot be placed.
    """
    header = read_header(path)
    repairs = list(header.repairs)
    channels = annotation_records(header)
    timeline, time_repairs = timeline_of(header, channels[0] if channels else None)
    repairs += time_repairs
    annotations, n_garbage = [], 0
    for records in channels:
        items, garbage = parse_annotations(records)
        annotations += items
        n_garbage += garbage
    if n_garbage:
        repairs.append(f"{n_garbage} piece(s) of the annotation channel are no EDF+ annotations and were left out.")
    stages, events = stages_and_events(annotations, timeline.first_onset_s)
    start = header.start and header.start + timedelta(seconds=timeline.first_onset_s)
    signals = _signals(header, timeline, repairs)
    scored_until_s = max(
        [s.onset_s + s.duration_s for s in stages] + [e.onset_s + e.duration_s for e in events], default=0.0
    )
    return Recording(
        signals=signals,
        duration_s=timeline.duration_s if signals else scored_until_s,
        start=start,
        stages=tuple(stages),
        events=tuple(events),
        subject=_subject(header.patient, start, repairs),
        repairs=tuple(repairs),
        source=path.name,
        declared_s=_declared_s(header),
    )


def _declared_s(header: EdfHeader) -> float | None:
    """What the header promises of a file that is cut off."""
    return header.n_records_declared * header.record_s if header.n_records_declared > header.n_records else None


@dataclass(frozen=True)
class _Samples:
    """Reads one channel when called. A plain object rather than a closure, so that it can go to another process."""

    header: EdfHeader
    channel: ChannelHeader
    timeline: Timeline
    gain: float
    offset: float

    @property
    def rate_hz(self) -> float:
        return self.channel.samples_per_record / self.header.record_s

    @property
    def places(self) -> list[tuple[int, int, int]]:
        """First sample in the recording, first sample in the file, and number of samples, of each segment."""
        per_record = self.channel.samples_per_record
        return [
            (int(np.floor(s.onset_s * self.rate_hz + 0.5)), s.first_record * per_record, s.n_records * per_record)
            for s in self.timeline.segments
        ]

    @property
    def n_samples(self) -> int:
        first, _, length = self.places[-1]
        return first + length

    def __call__(self) -> NDArray[np.float32]:
        digital = digital_samples(self.header, self.channel)
        physical = np.empty(len(digital), dtype=np.float32)
        for first in range(0, len(digital), _PIECE):
            # float64 until the last step, or a large offset eats the digits of float32; in pieces, or it is slow.
            piece = np.multiply(digital[first : first + _PIECE], self.gain, dtype=np.float64)
            np.add(piece, self.offset, out=physical[first : first + _PIECE], casting="same_kind")
        if len(self.places) == 1:
            return physical
        placed = np.full(self.n_samples, np.nan, dtype=np.float32)
        for first, in_file, length in self.places:
            placed[first : first + length] = physical[in_file : in_file + length]
        return placed


def _signals(header: EdfHeader, timeline: Timeline, repairs: list[str]) -> tuple[Signal, ...]:
    signals = []
    for channel in header.channels:
        if channel.is_annotation:
            continue
        if channel.samples_per_record == 0:
            repairs.append(f"{channel.label!r} has no samples and was left out.")
            continue
        gain, offset, unit, physical_range = _calibration(channel, repairs)
        samples = _Samples(header, channel, timeline, gain, offset)
        signals.append(
            Signal(
                label=channel.label,
                rate_hz=samples.rate_hz,
                unit=unit,
                n_samples=samples.n_samples,
                load=samples,
                prefilter=channel.prefilter,
                transducer=channel.transducer,
                physical_range=physical_range,
            )
        )
    return tuple(signals)


def _calibration(channel: ChannelHeader, repairs: list[str]) -> tuple[float, float, str, tuple[float, float] | None]:
    """Gain, offset, unit and physical range of a channel."""
    digital = _span(channel.digital_min, channel.digital_max)
    physical = _span(channel.physical_min, channel.physical_max)
    if digital is None or physical is None:
        name, low = ("digital", channel.digital_min) if digital is None else ("physical", channel.physical_min)
        both_read = None not in ((channel.digital_max, low) if digital is None else (channel.physical_max, low))
        fault = f"{name} minimum and maximum {f'are both {low:g}' if both_read else 'cannot be read'}"
        repairs.append(f"{channel.label!r} has no calibration ({fault}): its samples are the converter's own numbers.")
        return 1.0, 0.0, "", digital and (min(digital), max(digital))
    gain = (physical[1] - physical[0]) / (digital[1] - digital[0])
    return gain, physical[0] - gain * digital[0], channel.unit, (min(physical), max(physical))


def _span(low: float | None, high: float | None) -> tuple[float, float] | None:
    return None if low is None or high is None or low == high else (low, high)


def _subject(patient: str, start: datetime | None, repairs: list[str]) -> Subject:
    """Read the EDF+ patient field "code sex birthdate name"; the name is not kept."""
    words = patient.split()
    if len(words) == 3 and words[0] in _SEX and (words[1] == "X" or parse_date(words[1])):
        repairs.append("The patient field lacks the code in front; it was read as sex, birthdate, name.")
        words.insert(0, "X")
    if len(words) < 3 or words[1] not in ("F", "M", "X") or not (words[2] == "X" or parse_date(words[2])):
        return Subject()  # plain EDF: free text, often a name
    code = None if words[0] == "X" else words[0]
    age_years = _age_years(parse_date(words[2]), start)
    if age_years is not None and not 0 <= age_years <= _OLDEST_YEARS:
        repairs.append(f"Birth and start date make an age of {age_years:.0f} years; it is taken as unknown.")
        age_years = None
    return Subject(code, age_years, _SEX.get(words[1]))


def _age_years(birth: date | None, start: datetime | None) -> float | None:
    """Completed years and the share of the running one, so that a birthday gives a whole number."""
    if birth is None or start is None:
        return None
    day = start.date()

    def birthday(year: int) -> date:
        leap_day = (birth.month, birth.day) == (2, 29) and not (year % 4 == 0 and (year % 100 or year % 400 == 0))
        return date(year, 3, 1) if leap_day else birth.replace(year=year)

    last = day.year if birthday(day.year) <= day else day.year - 1
    return last - birth.year + (day - birthday(last)).days / (birthday(last + 1) - birthday(last)).days
