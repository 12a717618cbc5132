"""Recordings that are already in memory: an ``mne.io.Raw``, or plain arrays by label."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sleep2vec.formats.edf_annotations import Annotation, stages_and_events
from sleep2vec.vocabulary.errors import UsageError
from sleep2vec.vocabulary.recording import Recording, Signal
from sleep2vec.vocabulary.stages import NotAStageError, StageSpan, stage_of
from sleep2vec.vocabulary.subject import Sex, Subject
from sleep2vec.vocabulary.units import volts_per_unit

# MNE keeps SI units; the field writes microvolts. Channels of other types have no unit that can be trusted.
_VOLTS = ("eeg", "eog", "emg", "ecg", "seeg", "ecog", "dbs")
_MICRO = 1e6
_SEX_OF_CODE: dict[int, Sex] = {1: "male", 2: "female"}  # FIFF


def recording_of_raw(raw: Any) -> Recording:
    """An ``mne.io.Raw`` as a recording. Samples are read channel by channel when they are asked for.

    Annotations become stages and events; spans whose description begins with ``BAD`` become gaps (NaN). Channels of the
    types eeg, eog, emg and ecg come in uV unless MNE remembers that the file had no volts; others as MNE has them. MNE
    resamples channels of other rates on reading, so a file is better read by `reader.read`.

    Raises:
        UsageError: it has no channels or no samples.
    """
    rate_hz, n_samples = float(raw.info["sfreq"]), int(raw.n_times)
    if not raw.ch_names or not n_samples:
        raise UsageError(f"the Raw has {len(raw.ch_names)} channels of {n_samples} samples; give one with data.")
    marks, gaps = _annotations(raw, rate_hz)
    stages, events = stages_and_events(marks)
    signals = tuple(
        Signal(
            label=name,
            rate_hz=rate_hz,
            unit=unit,
            n_samples=n_samples,
            load=partial(_raw_samples, raw, i, _MICRO if unit == "uV" else 1.0, tuple(gaps)),
        )
        for i, (name, kind) in enumerate(zip(raw.ch_names, raw.get_channel_types(), strict=True))
        if kind != "stim"
        for unit in (_unit(raw, name, kind),)
    )
    measured = raw.info["meas_date"]
    return Recording(
        signals=signals,
        duration_s=n_samples / rate_hz,
        # A crop keeps the date of the measurement and moves the first sample.
        start=None if measured is None else measured.replace(tzinfo=None) + timedelta(seconds=raw.first_samp / rate_hz),
        stages=tuple(stages),
        events=tuple(events),
        subject=_subject(raw.info.get("subject_info")),
        source=_source(raw),
    )


def recording_of_arrays(
    signals: Mapping[str, tuple[ArrayLike, float, str]],
    *,
    start: datetime | None = None,
    stages: Sequence[str | int | None] | None = None,
    epoch_s: float = 30.0,
    subject: Subject | None = None,
) -> Recording:
    """Arrays as a recording.

    Args:
        signals: by label, the samples (T,), their rate in Hz and their unit (``"uV"``, ``"mV"``, ``"%"``, ``""``).
            NaN is a gap. Channels may have different rates; all begin together.
        start: local time of the first sample.
        stages: one an epoch, as words (``"N2"``, ``"Wake"``), indices of W N1 N2 N3 R, or None where unscored.
        epoch_s: length of an epoch.
        subject: the person.

    Raises:
        UsageError: there is no signal, one is no row of numbers or has no positive rate, or a stage is none.
    """
    if not signals:
        raise UsageError("no signals were given; give {label: (samples, rate_hz, unit)} with at least one.")
    made = tuple(_array_signal(label, parts) for label, parts in signals.items())
    spans = tuple(
        StageSpan(i * epoch_s, epoch_s, _stage(stage, i))
        for i, stage in enumerate(stages if stages is not None else ())
    )
    duration_s = max(signal.n_samples / signal.rate_hz for signal in made)
    return Recording(made, duration_s, start, spans, subject=subject or Subject(), source="arrays")


def is_raw(source: Any) -> bool:
    """Whether `source` looks like an ``mne.io.Raw``, without importing MNE."""
    return all(hasattr(source, name) for name in ("get_data", "info", "ch_names", "n_times", "annotations"))


def _annotations(raw: Any, rate_hz: float) -> tuple[list[Annotation], list[tuple[int, int]]]:
    marks, gaps = [], []
    # MNE counts annotations from the measurement's first sample, and samples from the first one kept by a crop.
    offset_s = raw.first_samp / rate_hz
    for onset_s, duration_s, text in zip(
        raw.annotations.onset, raw.annotations.duration, raw.annotations.description, strict=True
    ):
        onset_s = float(onset_s) - offset_s
        if str(text).upper().startswith("BAD"):
            gaps.append((max(round(onset_s * rate_hz), 0), round((onset_s + duration_s) * rate_hz)))
        else:
            marks.append(Annotation(onset_s, float(duration_s) or None, str(text)))
    return marks, gaps


def _unit(raw: Any, name: str, kind: str) -> str:
    """MNE calls every channel of an EDF file EEG, and makes volts only of those whose unit was one."""
    written = getattr(raw, "_orig_units", None) or {}
    if name in written and volts_per_unit(written[name]) is None:
        return "" if written[name] == "n/a" else str(written[name])
    return "uV" if kind in _VOLTS else ""


def _raw_samples(raw: Any, channel: int, factor: float, gaps: tuple[tuple[int, int], ...]) -> NDArray[np.float32]:
    samples_T: NDArray[np.float32] = (factor * raw.get_data(picks=[channel])[0]).astype(np.float32)
    for first, last in gaps:
        samples_T[first:last] = np.nan
    return samples_T


def _subject(info: Any) -> Subject:
    if not info:
        return Subject()
    return Subject(subject_id=info.get("his_id") or None, sex=_SEX_OF_CODE.get(info.get("sex", 0)))


def _source(raw: Any) -> str:
    names = [name for name in getattr(raw, "filenames", ()) if name]
    return str(names[0]).replace("\\", "/").rpartition("/")[2] if names else "mne.io.Raw"


def _array_signal(label: str, parts: tuple[ArrayLike, float, str]) -> Signal:
    if not isinstance(label, str):
        raise UsageError(f"the label {label!r} is {type(label).__name__}; give the channel's name as text.")
    try:
        samples, rate_hz, unit = parts
        samples_T = np.asarray(samples, dtype=np.float32)
        rate_hz = float(rate_hz)
    except (TypeError, ValueError):
        raise UsageError(f"signal {label!r} is {type(parts).__name__}; expected (samples, rate_hz, unit).") from None
    if samples_T.ndim != 1 or not len(samples_T):
        raise UsageError(f"signal {label!r} has the shape {samples_T.shape}; expected one row of samples (T,).")
    if not (0 < rate_hz < np.inf):
        raise UsageError(f"signal {label!r} has a rate of {rate_hz:g} Hz; expected a positive number.")
    return Signal.from_array(label, samples_T, rate_hz, str(unit))


def _stage(stage: str | int | None, epoch: int) -> int | None:
    if stage is None:
        return None
    if isinstance(stage, int | np.integer) and 0 <= stage <= 4:
        return int(stage)
    try:
        return stage_of(str(stage))
    except NotAStageError:
        raise UsageError(
            f"stage {stage!r} of epoch {epoch} is none; expected W, N1, N2, N3, R, 0 to 4 or None."
        ) from None
