"""EDF+C files: recordings with their scoring, and scorings alone.

What is written here is never wrong: a range too narrow for the samples is widened, text that is not ASCII is spelled
in ASCII, and the file appears under its name only when it is complete. The same input gives the same bytes.
"""

import math
import os
import unicodedata
from collections.abc import Iterable
from datetime import date, datetime, time
from decimal import ROUND_CEILING, ROUND_FLOOR, Context
from pathlib import Path
from typing import BinaryIO

import edfio
import numpy as np
from numpy.typing import NDArray

from sleep2vec.formats.annotation_words import EVENT_WORDS, kind_of
from sleep2vec.vocabulary.errors import UsageError
from sleep2vec.vocabulary.events import Event
from sleep2vec.vocabulary.recording import Recording, Signal
from sleep2vec.vocabulary.stages import FIVE, StageSpan
from sleep2vec.vocabulary.subject import Subject

_DIGITAL = (-32768, 32767)
_LONGEST_RECORD_S = 60
_PIECE = 1 << 15
_IN_ASCII = str.maketrans({"µ": "u", "μ": "u", "°": "deg", "\u2126": "Ohm", "Ω": "Ohm", "–": "-", "−": "-", "ß": "ss"})


def write_edf(path: Path, recording: Recording, *, birthdate: date | None = None, equipment: str = "") -> None:
    """Write a recording as EDF+C: signals as 16-bit integers at their own rates, stages, events, subject and start.

    The quantisation step is the written physical range / 65,535; the range is the signal's `physical_range`, widened
    where samples leave it, or that of its samples. EDF knows no missing sample: NaN is written as the value nearest
    to 0 and marked by an annotation ``"No signal: LABEL"``. Where the lengths fit no common data record, the end is
    filled up with each signal's last value. The age of the subject is kept only as a birthdate. `equipment` says in the
    header what recorded it.

    Raises:
        UsageError: EDF cannot hold it (no signals, rates that fit no data record, a date out of bounds), or
            the folder cannot be written.
    """
    if not recording.signals:
        raise UsageError(f"{path}: a recording without signals has no EDF; use write_annotations for a scoring alone.")
    record_s, n_records = _records(recording.signals)
    signals, ranges, gaps = [], [], []
    for signal in recording.signals:
        samples_T = signal.samples
        per_record = round(signal.rate_hz * record_s)
        ranges.append(_physical_range(signal, samples_T))
        signals.append(_edf_signal(signal, samples_T, per_record * n_records, per_record / record_s, ranges[-1]))
        gaps += _gaps(signal, samples_T)
    annotations = [*_annotations(recording.stages, recording.events), *gaps]
    start, subject = recording.start, recording.subject
    _write(path, signals, annotations, start, subject, birthdate, record_s, ranges, equipment=equipment)


def write_annotations(
    path: Path,
    stages: Iterable[StageSpan],
    events: Iterable[Event],
    start: datetime | None,
    *,
    duration_s: float | None = None,
    subject: Subject | None = None,
    birthdate: date | None = None,
    scored_by: str = "",
) -> None:
    """Write a scoring alone, as an EDF+C file that has only annotations (``*-Hypnogram.edf`` of Sleep-EDF).

    Args:
        path: where to.
        stages, events: times count from `start`.
        start: of the recording that was scored, so that readers can lay the two over each other.
        duration_s: of that recording; written as the EDF+ text "Recording ends".
        subject: code and sex are written.
        birthdate: of the subject, where known.
        scored_by: who or what scored, for the header's field of the investigator.

    Raises:
        UsageError: the start is out of EDF's years, or the folder cannot be written.
    """
    annotations = _annotations(stages, events)
    if duration_s is not None:
        annotations.append(edfio.EdfAnnotation(duration_s, None, "Recording ends"))
    _write(
        path,
        [],
        annotations or [edfio.EdfAnnotation(0, None, "")],
        start,
        subject or Subject(),
        birthdate,
        None,
        [],
        scored_by,
    )


def _write(
    path: Path,
    signals: list[edfio.EdfSignal],
    annotations: list[edfio.EdfAnnotation],
    start: datetime | None,
    subject: Subject,
    birthdate: date | None,
    record_s: float | None,
    ranges: list[tuple[str, str]],
    scored_by: str = "",
    equipment: str = "",
) -> None:
    if start is not None and not 1985 <= start.year <= 2084:
        raise UsageError(f"{path}: EDF holds start dates from 1985 to 2084, not {start:%Y-%m-%d}; shift the date.")
    sex = {"female": "F", "male": "M"}.get(subject.sex or "", "X")
    code = "_".join(_ascii(subject.subject_id or "X", 50).split()) or "X"
    edf = edfio.Edf(
        signals,
        patient=edfio.Patient(code=code, sex=sex, birthdate=birthdate),  # type: ignore[arg-type]
        recording=edfio.Recording(
            startdate=start and start.date(),
            investigator_technician_code="_".join(_ascii(scored_by, 50).split()) or "X",
            equipment_code="_".join(_ascii(equipment, 30).split()) or "X",
        ),
        starttime=start.time() if start else time(0, 0, 0),
        data_record_duration=record_s,
        annotations=annotations,
    )
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        with unfinished.open("wb") as file:
            edf.write(file)
            _state_ranges(file, ranges, n_channels=len(signals) + 1)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror}); check the folder and its free space.") from None
    finally:
        unfinished.unlink(missing_ok=True)


def _state_ranges(file: BinaryIO, ranges: list[tuple[str, str]], n_channels: int) -> None:
    """Write the physical ranges into a finished header (its columns of minima and maxima).

    edfio rounds bounds outwards in binary, so -0.00327 becomes -0.00328 and a file written twice drifts, and it has no
    exponent, so a range of microvolts in V cannot be stated.
    """
    minima_at = 256 + n_channels * (16 + 80 + 8)
    for column_at, bounds in (
        (minima_at, [r[0] for r in ranges]),
        (minima_at + 8 * n_channels, [r[1] for r in ranges]),
    ):
        file.seek(column_at)
        file.write("".join(bound.ljust(8) for bound in bounds).encode("ascii"))


def _records(signals: tuple[Signal, ...]) -> tuple[float, int]:
    """Length in seconds and number of data records; about 1 s, and without a rest where there is such a length."""
    together_s = signals[0].n_samples / signals[0].rate_hz
    if all(math.isclose(s.n_samples, s.rate_hz * together_s, rel_tol=1e-9) for s in signals):
        common = math.gcd(*(s.n_samples for s in signals))
        small = [n for n in range(1, math.isqrt(common) + 1) if common % n == 0]
        counts = sorted({*small, *(common // n for n in small)}, key=lambda n: abs(math.log(together_s / n)))
        exact = [n for n in counts if _fits_header(together_s / n)]
        if exact and together_s / exact[0] <= _LONGEST_RECORD_S:
            return float(f"{together_s / exact[0]:.15g}"), exact[0]
    for seconds in range(1, _LONGEST_RECORD_S + 1):
        if all(math.isclose(s.rate_hz * seconds, round(s.rate_hz * seconds), rel_tol=1e-9) for s in signals):
            return float(seconds), max(math.ceil(s.n_samples / round(s.rate_hz * seconds)) for s in signals)
    rates = ", ".join(dict.fromkeys(f"{s.rate_hz:g}" for s in signals))
    raise UsageError(
        f"The rates {rates} Hz have no common data record of at most {_LONGEST_RECORD_S} s with a whole number of "
        "samples each, which EDF needs; resample them to whole rates first."
    )


def _fits_header(number: float) -> bool:
    return len(f"{number:.15g}") <= 8 and math.isclose(float(f"{number:.15g}"), number, rel_tol=1e-12)


def _edf_signal(
    signal: Signal, samples_T: NDArray[np.float32], n_written: int, rate_hz: float, physical: tuple[str, str]
) -> edfio.EdfSignal:
    digital_T = np.zeros(n_written, np.int16)
    _quantise(samples_T, float(physical[0]), float(physical[1]), digital_T)
    return edfio.EdfSignal.from_digital(
        digital_T,
        rate_hz,
        label=_ascii(signal.label, 16),
        transducer_type=_ascii(signal.transducer, 80),
        physical_dimension=_ascii(signal.unit, 8),
        digital_range=_DIGITAL,
        prefiltering=_ascii(signal.prefilter, 80),
    )


def _quantise(samples_T: NDArray[np.float32], low: float, high: float, digital_T: NDArray[np.int16]) -> None:
    """Fill `digital_T`, which may be longer than `samples_T`; in pieces that stay in the processor's cache."""
    step = (high - low) / (_DIGITAL[1] - _DIGITAL[0])
    nearest_zero = min(max(0.0, low), high)
    for first in range(0, len(samples_T), _PIECE):
        piece = samples_T[first : first + _PIECE].astype(np.float64)
        if not np.isfinite(piece.sum()):
            np.nan_to_num(piece, copy=False, nan=nearest_zero, posinf=high, neginf=low)
        piece -= low
        piece /= step
        np.rint(piece, out=piece)
        piece += _DIGITAL[0]
        digital_T[first : first + len(piece)] = np.clip(piece, *_DIGITAL, out=piece)
    digital_T[len(samples_T) :] = digital_T[len(samples_T) - 1]


def _physical_range(signal: Signal, samples_T: NDArray[np.float32]) -> tuple[str, str]:
    """The range as the header will state it, so that the samples are quantised by what a reader computes with."""
    finite = samples_T[np.isfinite(samples_T)]
    bounds = [float(bound) for bound in signal.physical_range or ()]
    for end in [finite.min(), finite.max()] if len(finite) else []:
        # A sample at the very end of the range lies beyond it by the rounding of float32.
        if not bounds or not np.float32(min(bounds)) <= end <= np.float32(max(bounds)):
            bounds.append(float(end))
    low, high = min(bounds, default=0.0), max(bounds, default=1.0)
    if low == high:
        high = low + max(1.0, abs(low) * 1e-3)
    return _header_number(low, ROUND_FLOOR), _header_number(high, ROUND_CEILING)


def _header_number(number: float, rounding: str) -> str:
    """The number in the 8 characters of a header field, with as many digits as they hold."""
    for digits in range(8, 0, -1):
        rounded = Context(prec=digits, rounding=rounding).create_decimal(repr(number)).normalize()
        for text in (f"{rounded:f}", f"{rounded:E}".replace("E+", "E")):
            if len(text) <= 8:
                return text
    raise AssertionError(f"{number!r} has a digit and an exponent that fit 8 characters")


def _gaps(signal: Signal, samples_T: NDArray[np.float32]) -> list[edfio.EdfAnnotation]:
    """One annotation for each stretch without samples; stretches less than a second apart are one."""
    missing = np.flatnonzero(~np.isfinite(samples_T))
    if len(missing) == 0:
        return []
    breaks = np.flatnonzero(np.diff(missing) > signal.rate_hz + 1)
    firsts, lasts = missing[np.r_[0, breaks + 1]], missing[np.r_[breaks, len(missing) - 1]]
    text = _one_line(f"No signal: {signal.label}")
    return [
        edfio.EdfAnnotation(_seconds(first / signal.rate_hz), _seconds((last + 1 - first) / signal.rate_hz), text)
        for first, last in zip(firsts, lasts, strict=True)
    ]


def _annotations(stages: Iterable[StageSpan], events: Iterable[Event]) -> list[edfio.EdfAnnotation]:
    written = [
        edfio.EdfAnnotation(
            _seconds(span.onset_s),
            _seconds(span.duration_s),
            f"Sleep stage {'?' if span.stage is None else FIVE[span.stage]}",
        )
        for span in stages
    ]
    for event in events:
        text = _one_line(event.text)
        if event.kind is not None and kind_of(text) != event.kind:  # a reader must find the kind in the words
            text = f"{EVENT_WORDS[event.kind]}{': ' if text else ''}{text}"
        written.append(edfio.EdfAnnotation(_seconds(event.onset_s), _seconds(event.duration_s) or None, text))
    return written


def _seconds(value: float) -> float:
    return round(float(value), 9)


def _one_line(text: str) -> str:
    """Without the control characters that separate annotations."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _ascii(text: str, width: int) -> str:
    """Text as an EDF header holds it: printable ASCII, at most `width` characters."""
    plain = unicodedata.normalize("NFKD", text.translate(_IN_ASCII)).encode("ascii", "ignore").decode("ascii")
    return _one_line(plain)[:width].rstrip()
