"""EDF files whose channels are codes over time: the scoring of the George B. Moody Challenge 2026 (CAISR and experts).

A channel ``stage_*`` holds one code an epoch, or a code a second; ``resp_*``, ``arousal_*`` and ``limb_*`` hold a code
while an event lasts and 0 between events. Source of the codes: the challenge's description of its data,
https://moody-challenge.physionet.org/2026 (stages 1 N3, 2 N2, 3 N1, 4 R, 5 W, 9 and more not scored).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sleep2vec.formats.edf import read_edf
from sleep2vec.vocabulary.errors import UnreadableFileError
from sleep2vec.vocabulary.events import Event, EventKind
from sleep2vec.vocabulary.recording import Recording, Signal
from sleep2vec.vocabulary.scoring import Scoring, ScoringWords
from sleep2vec.vocabulary.stages import FIVE, StageSpan

_STAGE_OF_CODE: Mapping[str, int] = {
    code: FIVE.index(name) for code, name in {"1": "N3", "2": "N2", "3": "N1", "4": "R", "5": "W"}.items()
}
# The machine (CAISR) and the experts do not share their codes of breathing events.
_APNEAS: Mapping[int, EventKind] = {1: "obstructive_apnea", 2: "central_apnea", 3: "mixed_apnea"}
_BREATHING: Mapping[str, Mapping[int, EventKind]] = {
    "caisr": {**_APNEAS, 4: "hypopnea", 5: "rera"},
    "expert": {**_APNEAS, 4: "hypopnea", 5: "hypopnea", 6: "hypopnea", 7: "rera", 8: "apnea", 9: "hypopnea"},
}
# Whatever its code says of an arousal's cause or a limb's side, it is one.
_ANY_CODE: Mapping[str, EventKind] = {"arousal": "arousal", "limb": "limb_movement"}
_CHANNELS = {"stage", "resp", *_ANY_CODE}


def read_event_traces(path: Path, words: ScoringWords) -> Scoring:
    """Read stages and events from the channels of an EDF file.

    Raises:
        UnreadableFileError: the file is no EDF, or none of its channels is a stage or event trace.
    """
    recording = read_edf(path)
    stages: list[StageSpan] = []
    events: list[Event] = []
    traces = [signal for signal in recording.signals if _channel(signal) in _CHANNELS]
    if not traces:
        raise UnreadableFileError(
            f"{path} has no channel of codes (stage_..., resp_..., arousal_..., limb_...), but scoring was expected "
            "in such channels; name the file of annotations."
        )
    for signal in traces:
        if _channel(signal) == "stage":
            stages.extend(_stages(signal, words) if not stages else [])
        else:
            events.extend(_events(signal))
    return Scoring(
        stages=tuple(stages),
        events=tuple(sorted(events, key=lambda event: event.onset_s)),
        start=recording.start,
        dialect="EDF event traces",
        epoch_s=_epoch_s(recording),
        repairs=recording.repairs,
    )


def _channel(signal: Signal) -> str:
    return signal.label.strip().lower().partition("_")[0]


def _epoch_s(recording: Recording) -> float | None:
    rates = [signal.rate_hz for signal in recording.signals if _channel(signal) == "stage"]
    return 1 / rates[0] if rates and rates[0] <= 0.1 else None


def _stages(signal: Signal, words: ScoringWords) -> Iterator[StageSpan]:
    code_of = words.stages or _STAGE_OF_CODE
    for code, onset_s, duration_s in _runs(signal):
        yield StageSpan(onset_s, duration_s, code_of.get(str(code)))


def _events(signal: Signal) -> Iterator[Event]:
    channel, _, scorer = signal.label.strip().lower().partition("_")
    kinds = _BREATHING.get(scorer, {})
    for code, onset_s, duration_s in _runs(signal):
        if code > 0:
            kind = _ANY_CODE.get(channel) or kinds.get(code)
            yield Event(kind, onset_s, duration_s, f"{signal.label.strip()} {code}")


def _runs(signal: Signal) -> Iterator[tuple[int, float, float]]:
    """Each run of one code: the code, its onset and its duration in seconds; -1 where the file has a gap."""
    codes_T: NDArray[np.int64] = np.rint(np.nan_to_num(signal.samples, nan=-1.0)).astype(np.int64)
    if not len(codes_T):
        return
    starts = np.flatnonzero(np.r_[True, np.diff(codes_T) != 0])
    ends = np.r_[starts[1:], len(codes_T)]
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        yield int(codes_T[start]), start / signal.rate_hz, (end - start) / signal.rate_hz
