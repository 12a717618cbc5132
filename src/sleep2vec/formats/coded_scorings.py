"""Scorings that are no text: EDF+ annotations, EDF channels of codes, WFDB annotations. See `scoring_writers`."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby
from pathlib import Path

import edfio
import numpy as np
from numpy.typing import NDArray

from sleep2vec.vocabulary.events import Event, EventKind
from sleep2vec.vocabulary.modalities import TOKEN_SECONDS
from sleep2vec.vocabulary.stages import FIVE

Stages = Sequence[int | None]

_WFDB_RATE_HZ = 200
_WFDB_EVENTS: Mapping[EventKind | None, str] = {
    "obstructive_apnea": "resp_obstructiveapnea",
    "central_apnea": "resp_centralapnea",
    "mixed_apnea": "resp_mixedapnea",
    "hypopnea": "resp_hypopnea",
    "periodic_breathing": "resp_cheynestokesbreath",
    "rera": "arousal_rera",
    "arousal": "arousal_spontaneous",
}
# Codes of the challenge's experts (https://moody-challenge.physionet.org/2026): W N1 N2 N3 R, and breathing.
_TRACE_STAGES = (5, 3, 2, 1, 4)
_TRACE_UNSCORED = 9
_TRACE_BREATHING: Mapping[EventKind | None, int] = {
    "obstructive_apnea": 1,
    "central_apnea": 2,
    "mixed_apnea": 3,
    "hypopnea": 4,
    "rera": 7,
    "apnea": 8,
}


def write_sleep_edf_hypnogram(path: Path, stages: Stages, events: Sequence[Event], start: datetime) -> None:
    """Sleep-EDF: annotations alone (https://www.edfplus.info), one a run of a stage, in words of 1968. No events."""
    words = ["W", "1", "2", "3", "R"]
    coded = ["?" if stage is None else words[stage] for stage in stages]
    annotations, first = [], 0
    for word, run in groupby(coded):
        length = len(list(run))
        annotations.append(
            edfio.EdfAnnotation(float(TOKEN_SECONDS * first), float(TOKEN_SECONDS * length), f"Sleep stage {word}")
        )
        first += length
    edf = edfio.Edf([], annotations=annotations, recording=edfio.Recording(startdate=start.date()))
    edf.starttime = start.time()
    edf.write(path)


def write_event_traces(path: Path, stages: Stages, events: Sequence[Event], start: datetime) -> None:
    """CinC 2026: EDF channels of codes, stages once an epoch, breathing and legs at 1 Hz, arousals at 2 Hz."""
    seconds = TOKEN_SECONDS * len(stages)
    traces = {
        "stage_expert": np.array([_TRACE_UNSCORED if s is None else _TRACE_STAGES[s] for s in stages], float),
        "resp_expert": np.zeros(seconds),
        "arousal_expert": np.zeros(2 * seconds),
        "limb_expert": np.zeros(seconds),
    }
    for event in events:
        if event.kind == "arousal":
            _mark(traces["arousal_expert"], 2, event, 1)
        elif event.kind == "limb_movement":
            _mark(traces["limb_expert"], 1, event, 1)
        elif event.kind in _TRACE_BREATHING:
            _mark(traces["resp_expert"], 1, event, _TRACE_BREATHING[event.kind])
    signals = [
        edfio.EdfSignal(trace, len(trace) / seconds, label=label, physical_range=(0, 10), digital_range=(0, 10))
        for label, trace in traces.items()
    ]
    edf = edfio.Edf(signals, recording=edfio.Recording(startdate=start.date()), data_record_duration=TOKEN_SECONDS)
    edf.starttime = start.time()
    edf.write(path)


def _mark(trace_N: NDArray[np.float64], rate_hz: int, event: Event, code: int) -> None:
    trace_N[round(rate_hz * event.onset_s) : round(rate_hz * (event.onset_s + event.duration_s))] = code


def write_cinc2018_arousal(path: Path, stages: Stages, events: Sequence[Event], start: datetime) -> None:
    """CinC 2018: WFDB annotations at 200 Hz, a stage's name where it begins, events in brackets.

    The path ends in the annotator's name (``tr03-0005.arousal``).
    """
    import wfdb

    per_epoch = _WFDB_RATE_HZ * TOKEN_SECONDS
    # The challenge tells of "undefined" epochs without the word for them; U is read as such by everybody.
    names = ["U" if stage is None else FIVE[stage] for stage in stages]
    # PhysioNet counts from 1, and a first annotation at sample 0 is read as the file's own definition.
    marks = [(max(1, per_epoch * i), names[i]) for i in range(len(names)) if i == 0 or names[i] != names[i - 1]]
    for event in events:
        if event.kind in _WFDB_EVENTS:
            name, end_s = _WFDB_EVENTS[event.kind], event.onset_s + event.duration_s
            marks += [(round(_WFDB_RATE_HZ * event.onset_s), f"({name}"), (round(_WFDB_RATE_HZ * end_s), f"{name})")]
    marks.sort()
    wfdb.wrann(
        path.stem,
        path.suffix[1:],
        np.array([at for at, _ in marks]),
        symbol=['"'] * len(marks),
        aux_note=[text for _, text in marks],
        fs=_WFDB_RATE_HZ,
        write_dir=str(path.parent),
    )
