"""One door for every format: a file name in, a Recording with its scoring out."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path, PurePath
from typing import Any

from numpy.typing import ArrayLike

from sleep2vec.cohorts.catalog import Cohort, Identity, cohort_of
from sleep2vec.formats.annotations import read_scoring
from sleep2vec.formats.companions import Companion, FileIndex, companions_of
from sleep2vec.formats.in_memory import is_raw, recording_of_arrays, recording_of_raw
from sleep2vec.formats.recordings import read_recording
from sleep2vec.vocabulary.errors import UnreadableFileError, UsageError
from sleep2vec.vocabulary.recording import Recording
from sleep2vec.vocabulary.scoring import EVERYBODYS_WORDS, NO_DATE, Scoring
from sleep2vec.vocabulary.stages import StageSpan

_DAY_S = 86_400.0
_EPOCHS_S = (30.0, 20.0, 15.0, 10.0, 5.0)
_MIDNIGHT = datetime.combine(NO_DATE, datetime.min.time())
_MOST_WORDS = 4


def read(
    source: str | Path | Recording | Mapping[str, tuple[ArrayLike, float, str]] | Any,
    *,
    cohort: str | None = None,
    root: Path | None = None,
    companions: Sequence[Companion] | None = None,
) -> Recording:
    """Read a recording, with the stages and events of the annotation files that belong to it.

    Stages of the recording's own file come first; else those of the first companion that has some. Events of the first
    companion that has events join the recording's own. `repairs` tells what was taken from where, and which companion
    could not be used.

    Args:
        source: the file; or an ``mne.io.Raw``, or arrays (see `in_memory.recording_of_arrays`), or a recording.
        cohort: a name of the catalog or a YAML: how its scorings are named and written.
        root: the cohort's folder, for what the path below it says of person and visit; default the file's folder.
        companions: the annotation files, where they are known; None looks for them below `root`, else beside the file.

    Raises:
        UnreadableFileError: the format is not known, or the file is not what its name says.
        UsageError: arrays or a Raw that are no recording.
        RecipeError: the cohort's YAML does not fit.
    """
    if isinstance(source, Recording):
        return source
    if isinstance(source, Mapping):
        return recording_of_arrays(source)
    if is_raw(source):
        return recording_of_raw(source)
    if not isinstance(source, str | Path):
        raise UsageError(f"a {type(source).__name__} cannot be read; give a path, an mne.io.Raw, or arrays by label.")
    path = Path(source).expanduser()
    recording = read_recording(path)
    where = cohort_of(cohort)
    if companions is None:
        index = FileIndex.of(root) if root is not None else None
        companions = companions_of(path, cohort=where, index=index, identity=_identity(path, root, where))
    return _with_scoring(recording, companions, where)


def _identity(path: Path, root: Path | None, cohort: Cohort) -> Identity:
    inside = root is not None and path.is_relative_to(root)
    return cohort.identity_of(path.relative_to(root) if inside and root else PurePath(path.name))


def _with_scoring(recording: Recording, companions: Sequence[Companion], cohort: Cohort) -> Recording:
    """Stages of the first companion that has some, events of the first that has some beside the recording's own."""
    words = cohort.words if cohort.has_file else EVERYBODYS_WORDS
    wants_stages, wants_events = not recording.stages, True
    for companion in companions:
        if not (wants_stages or wants_events) or (recording.stages and not companion.certain):
            break
        try:
            scoring = read_scoring(companion.path, words, companion.dialect)
        except UnreadableFileError as error:
            what = "scoring" if companion.certain else "file"
            note = f"The {what} {companion.path.name}, found {companion.how}, was not used: {error}"
            recording = replace(recording, repairs=(*recording.repairs, note))
            continue
        taken = replace(scoring, stages=scoring.stages if wants_stages else (), events=scoring.events * wants_events)
        if taken.stages or taken.events:
            recording, used = _laid(recording, scoring, taken, companion)
            wants_stages, wants_events = wants_stages and not (used and taken.stages), not (used and taken.events)
        if wants_stages and not scoring.stages:
            recording = replace(recording, repairs=(*recording.repairs, _without_stages(companion, scoring)))
    return recording


def _without_stages(companion: Companion, scoring: Scoring) -> str:
    """Why a companion gave no stages: what it says instead."""
    unknown = Counter(event.text for event in scoring.events if event.kind is None)
    if not scoring.events:
        return f"{companion.path.name} ({scoring.dialect}) holds neither stages nor events."
    said = ", ".join(f"{text!r} {n} times" for text, n in unknown.most_common(_MOST_WORDS))
    told = f"; words that were not understood: {said}" if said else ""
    return f"{companion.path.name} ({scoring.dialect}) holds no stage that was understood{told}."


def _laid(recording: Recording, scoring: Scoring, taken: Scoring, companion: Companion) -> tuple[Recording, bool]:
    """What is taken of a scoring, on the recording's own clock; and whether it could be placed there."""
    name = companion.path.name
    scoring = _with_length_of_epoch(scoring, recording.declared_s or recording.duration_s)
    shift_s, how = _shift(recording, scoring)
    if scoring.stages and not _overlaps(scoring.stages, shift_s, recording.duration_s):
        note = f"{name} was not used: its stages (from {_told(scoring.start)}) lie outside the recording."
        return replace(recording, repairs=(*recording.repairs, note)), False
    known = {(event.kind, event.onset_s, event.text) for event in recording.events}
    shifted = [replace(event, onset_s=event.onset_s + shift_s) for event in taken.events]
    events = [*recording.events, *(event for event in shifted if (event.kind, event.onset_s, event.text) not in known)]
    what = " and ".join(word for word, part in (("stages", taken.stages), ("events", taken.events)) if part)
    note = f"{what.capitalize()} were taken from {name} ({scoring.dialect}, found {companion.how}), {how}."
    return replace(
        recording,
        stages=tuple(_moved(span, shift_s, recording.duration_s) for span in scoring.stages)
        if taken.stages
        else recording.stages,
        events=tuple(sorted(events, key=lambda event: event.onset_s)),
        repairs=(*recording.repairs, note, *(f"{name}: {repair}" for repair in scoring.repairs)),
    ), True


def _with_length_of_epoch(scoring: Scoring, duration_s: float) -> Scoring:
    """A list of stages, or a table of numbered epochs, does not say how long an epoch is: the recording does."""
    if scoring.epoch_s is not None or len(scoring.stages) < 2:
        return scoring
    assumed_s = _EPOCHS_S[0]
    numbers = [span.onset_s / assumed_s for span in scoring.stages]
    if {span.duration_s for span in scoring.stages} != {assumed_s} or any(n != round(n) for n in numbers):
        return scoring
    n = round(max(numbers)) + 1
    fitting = [epoch_s for epoch_s in _EPOCHS_S if 0.9 * duration_s <= n * epoch_s <= 1.02 * duration_s + epoch_s]
    if not fitting or fitting[0] == assumed_s:
        return scoring
    epoch_s = fitting[0]
    stages = tuple(StageSpan(i * epoch_s, epoch_s, s.stage) for i, s in zip(numbers, scoring.stages, strict=True))
    told = f"Its {n} stages were read as epochs of {epoch_s:g} s, which fill the recording's {duration_s:g} s."
    return replace(scoring, stages=stages, epoch_s=epoch_s, repairs=(*scoring.repairs, told))


def _shift(recording: Recording, scoring: Scoring) -> tuple[float, str]:
    """Seconds to add to the scoring's times, and how that is known."""
    if scoring.start is None or (scoring.start == _MIDNIGHT and recording.start is None):
        return 0.0, "counted from the recording's first sample"
    if recording.start is None:
        return 0.0, "without a shift, a start time is missing"
    duration_s = recording.declared_s or recording.duration_s
    shift_s = (scoring.start - recording.start).total_seconds()
    by_clock_s = (shift_s + _DAY_S / 2) % _DAY_S - _DAY_S / 2
    if scoring.start == _MIDNIGHT:
        return _from_midnight(scoring, by_clock_s, duration_s)
    if scoring.start.date() == NO_DATE:
        # Half a day before or more than that after: recordings last up to a day.
        by_clock_s = max((by_clock_s, by_clock_s + _DAY_S), key=lambda s: _overlap_s(scoring.stages, s, duration_s))
        if not _overlaps(scoring.stages, by_clock_s, duration_s):
            elapsed_s = (scoring.start - _MIDNIGHT).total_seconds()
            if _overlaps(scoring.stages, elapsed_s, duration_s):
                return elapsed_s, "its times counted from the recording's first sample"
        return by_clock_s, f"shifted by {by_clock_s:g} s, by the time of day"
    if _overlaps(scoring.stages, shift_s, duration_s):
        return shift_s, f"shifted by {shift_s:g} s"
    swapped_s = _with_day_and_month_exchanged(scoring.start, recording.start)
    if swapped_s is not None and _overlaps(scoring.stages, swapped_s, duration_s):
        return swapped_s, f"shifted by {swapped_s:g} s, its date read with day and month exchanged"
    if scoring.start.year != recording.start.year and _overlaps(scoring.stages, by_clock_s, duration_s):
        # Dates of shared data are moved to hide who slept, in the recording or in its scoring but not in both.
        return by_clock_s, f"shifted by {by_clock_s:g} s, by the time of day (the dates are years apart)"
    return shift_s, f"shifted by {shift_s:g} s"


def _from_midnight(scoring: Scoring, by_clock_s: float, duration_s: float) -> tuple[float, str]:
    """Times that begin at 00:00:00 count from the first sample or begin at midnight, whichever ends with the recording.

    Where both do equally well, they count from the first sample.
    """
    end_s = max((s.onset_s + s.duration_s for s in scoring.stages if math.isfinite(s.duration_s)), default=0.0)
    if not scoring.stages or by_clock_s < 0 or abs(end_s - duration_s) <= abs(end_s + by_clock_s - duration_s):
        return 0.0, "counted from the recording's first sample"
    return by_clock_s, f"shifted by {by_clock_s:g} s: it begins at midnight and ends with the recording"


def _with_day_and_month_exchanged(start: datetime, recorded: datetime) -> float | None:
    try:
        return (start.replace(month=start.day, day=start.month) - recorded).total_seconds()
    except ValueError:
        return None


def _overlap_s(stages: Sequence[StageSpan], shift_s: float, duration_s: float) -> float:
    """How much of a recording is scored when the scoring is moved by `shift_s`."""
    ends = ((span.onset_s + shift_s, span.onset_s + span.duration_s + shift_s) for span in stages)
    return sum(max(0.0, min(end_s, duration_s) - max(onset_s, 0.0)) for onset_s, end_s in ends)


def _overlaps(stages: Sequence[StageSpan], shift_s: float, duration_s: float) -> bool:
    return any(span.onset_s + shift_s < duration_s and span.onset_s + span.duration_s + shift_s > 0 for span in stages)


def _moved(span: StageSpan, shift_s: float, duration_s: float) -> StageSpan:
    onset_s = span.onset_s + shift_s
    length_s = span.duration_s if math.isfinite(span.duration_s) else max(duration_s - onset_s, 0.0)
    return StageSpan(onset_s, length_s, span.stage)


def _told(start: datetime | None) -> str:
    return "the first sample" if start is None else str(start.time() if start.date() == NO_DATE else start)
