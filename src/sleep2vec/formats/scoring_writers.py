"""Scorings as public cohorts hand them out, one function a dialect: the other direction of `formats.annotations`.

Every writer takes the stages of epochs of 30 s from the recording's first sample on (codes of `stages.FIVE`, None
where nobody scored), the events, and the recording's start. What a dialect has no word for is left out. Sources of the
words are those of the cohorts' YAML files.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from xml.sax.saxutils import escape

from sleep2vec.formats.coded_scorings import (
    write_cinc2018_arousal,
    write_event_traces,
    write_sleep_edf_hypnogram,
)
from sleep2vec.vocabulary.errors import UsageError
from sleep2vec.vocabulary.events import Event, EventKind
from sleep2vec.vocabulary.modalities import TOKEN_SECONDS
from sleep2vec.vocabulary.stages import FIVE

Stages = Sequence[int | None]
Writer = Callable[[Path, Stages, Sequence[Event], datetime], None]
_Timed = tuple[float, float, str]  # onset and duration in s, and the word

_RK_CONCEPTS = {
    "0": "Wake|0",
    "1": "Stage 1 sleep|1",
    "2": "Stage 2 sleep|2",
    "3": "Stage 3 sleep|3",
    "4": "Stage 4 sleep|4",
    "5": "REM sleep|5",
    "9": "Unscored|9",
}
_NSRR_EVENTS: Mapping[EventKind | None, tuple[str, str]] = {
    "obstructive_apnea": ("Respiratory|Respiratory", "Obstructive apnea|Obstructive Apnea"),
    "central_apnea": ("Respiratory|Respiratory", "Central apnea|Central Apnea"),
    "mixed_apnea": ("Respiratory|Respiratory", "Mixed apnea|Mixed Apnea"),
    "hypopnea": ("Respiratory|Respiratory", "Hypopnea|Hypopnea"),
    "rera": ("Respiratory|Respiratory", "Respiratory effort related arousal|RERA"),
    "periodic_breathing": ("Respiratory|Respiratory", "Periodic breathing|Periodic Breathing"),
    "desaturation": ("Respiratory|Respiratory", "SpO2 desaturation|SpO2 desaturation"),
    "arousal": ("Arousals|Arousals", "Arousal|Arousal ()"),
    "limb_movement": ("Limb Movement|Limb Movement", "Limb movement - left|Limb Movement (Left)"),
}
_PROFUSION_EVENTS: Mapping[EventKind | None, str] = {
    "obstructive_apnea": "Obstructive Apnea",
    "central_apnea": "Central Apnea",
    "mixed_apnea": "Mixed Apnea",
    "hypopnea": "Hypopnea",
    "rera": "RERA",
    "periodic_breathing": "Periodic Breathing",
    "desaturation": "SpO2 desaturation",
    "arousal": "Arousal ()",
    "limb_movement": "Limb Movement (Left)",
}
_ALLSCORE_EVENTS: Mapping[EventKind | None, str] = {
    "obstructive_apnea": "OBSTRUCTIVE APNEA",
    "central_apnea": "CENTRAL APNEA",
    "mixed_apnea": "MIXED APNEA",
    "hypopnea": "HYPOPNEA",
    "rera": "RERA",
    "arousal": "AROUSAL",
}
_STAGES_EVENTS: Mapping[EventKind | None, str] = {
    "obstructive_apnea": "ObstructiveApnea",
    "central_apnea": "CentralApnea",
    "mixed_apnea": "MixedApnea",
    "hypopnea": "Hypopnea",
    "rera": "RERA",
    "desaturation": "Desaturation",
    "arousal": "Arousal",
    "limb_movement": "Left Leg",
    "lights_off": "LightsOff",
    "lights_on": "LightsOn",
}
_HSP_EVENTS: Mapping[EventKind | None, str] = {
    "obstructive_apnea": "Obstructive_Apnea",
    "central_apnea": "Central_Apnea",
    "mixed_apnea": "Mixed_Apnea",
    "hypopnea": "Hypopnea",
    "rera": "RERA",
    "desaturation": "Oxygen_Desaturation",
    "arousal": "Arousal_(ARO_Spont)",
}
_NCHSDB_EVENTS: Mapping[EventKind | None, str] = {
    "obstructive_apnea": "Obstructive Apnea",
    "central_apnea": "Central Apnea",
    "mixed_apnea": "Mixed Apnea",
    "hypopnea": "Obstructive Hypopnea",
    "rera": "RERA",
    "desaturation": "Oxygen Desaturation",
    "arousal": "EEG arousal",
}


def write_nsrr_xml(path: Path, stages: Stages, events: Sequence[Event], start: datetime) -> None:
    """NSRR's translation: every run of a stage and every event is a concept with a start and a duration in seconds.

    Source: https://github.com/nsrr/edf-editor-translator/wiki. Stages are those of Rechtschaffen & Kales.
    """
    whole_s = TOKEN_SECONDS * len(stages)
    scored = [("", "Recording Start Time", 0.0, float(whole_s), f"00.00.00 {start:%H.%M.%S}")]
    scored += [
        (*_NSRR_EVENTS[event.kind], event.onset_s, event.duration_s, "")
        for event in events
        if event.kind in _NSRR_EVENTS
    ]
    scored += [
        ("Stages|Stages", _RK_CONCEPTS[code], onset_s, length_s, "") for onset_s, length_s, code in _runs(_rk(stages))
    ]
    rows = []
    for kind, concept, onset_s, length_s, clock in scored:
        told = f"<ClockTime>{clock}</ClockTime>" if clock else ""
        rows.append(
            f"<ScoredEvent>\n<EventType>{escape(kind)}</EventType>\n<EventConcept>{escape(concept)}</EventConcept>\n"
            f"<Start>{onset_s:.1f}</Start>\n<Duration>{length_s:.1f}</Duration>\n{told}</ScoredEvent>"
        )
    _write(
        path,
        '<?xml version="1.0" encoding="UTF-8" standalone="no"?>\n<PSGAnnotation>\n'
        "<SoftwareVersion>Compumedics</SoftwareVersion>\n<EpochLength>30</EpochLength>\n<ScoredEvents>\n"
        + "\n".join(rows)
        + "\n</ScoredEvents>\n</PSGAnnotation>\n",
    )


def write_profusion_xml(path: Path, stages: Stages, events: Sequence[Event], start: datetime) -> None:
    """Compumedics Profusion's export: one stage of Rechtschaffen & Kales an epoch, events by name."""
    rows = [
        f"<ScoredEvent>\n<Name>{escape(name)}</Name>\n<Start>{onset_s:.1f}</Start>\n<Duration>{length_s:.1f}</Duration>\n"
        "<Input>ABDO RES</Input>\n</ScoredEvent>"
        for onset_s, length_s, name in _worded(events, _PROFUSION_EVENTS)
    ]
    codes = [f"<SleepStage>{code}</SleepStage>" for code in _rk(stages)]
    _write(
        path,
        '<?xml version="1.0" encoding="UTF-8"?>\n<CMPStudyConfig>\n<EpochLength>30</EpochLength>\n<ScoredEvents>\n'
        + "\n".join(rows)
        + "\n</ScoredEvents>\n<SleepStages>\n"
        + "\n".join(codes)
        + "\n</SleepStages>\n</CMPStudyConfig>\n",
    )


def write_luna_annot(path: Path, stages: Stages, events: Sequence[Event], start: datetime) -> None:
    """Luna's table (https://zzz.bwh.harvard.edu/luna/ref/annotations): class, instance, channel, start, stop, meta."""
    lines = [*_epochs(stages, (*FIVE, "?")), *((e.onset_s, e.duration_s, e.kind) for e in events if e.kind)]
    rows = [f"{word}\t.\t.\t{at_s:.3f}\t{at_s + length_s:.3f}\t." for at_s, length_s, word in sorted(lines)]
    _write(path, "\n".join(["class\tinstance\tchannel\tstart\tstop\tmeta", *rows]) + "\n")


def write_wsc_allscore(path: Path, stages: Stages, events: Sequence[Event], start: datetime) -> None:
    """The Twin system's list: time of day, then a stage or an event with its length in words."""
    lines = [(at_s, f"STAGE - {word}") for at_s, _, word in _epochs(stages, (*FIVE, "NO STAGE"))]
    for at_s, length_s, word in _worded(events, _ALLSCORE_EVENTS):
        head = word if word == "AROUSAL" else "RESPIRATORY EVENT"
        lines.append((at_s, f"{head} - DUR: {length_s:.1f} SEC. - {word}"))
    rows = [f"{start + timedelta(seconds=at_s):%H:%M:%S.%f}"[:-4] + f"\t{text}" for at_s, text in sorted(lines)]
    _write(path, "\n".join(rows) + "\n")


def write_wsc_stg(path: Path, stages: Stages, events: Sequence[Event], start: datetime) -> None:
    """The Gamma system's table of epochs: number, stage, the machine's opinion (here the same). No events."""
    rows = [f"{i}\t{code}\t{code}" for i, code in enumerate((_RK_UNSCORED.get(c, c) for c in _rk(stages)), start=1)]
    _write(path, "\n".join(["Epoch\tUser-Defined Stage\tCAST-Defined Stage", *rows]) + "\n")


_RK_UNSCORED = {"9": "7"}


def write_stages_csv(path: Path, stages: Stages, events: Sequence[Event], start: datetime) -> None:
    """STAGES: time of day in whole seconds, duration, and the event behind a space."""
    words = ("Wake", "Stage1", "Stage2", "Stage3", "REM", "UnknownStage")
    lines = sorted([*_epochs(stages, words), *_worded(events, _STAGES_EVENTS)])
    rows = [f"{_clock(start, at_s)},{length_s:.1f}, {word}" for at_s, length_s, word in lines]
    _write(path, "\n".join(["Start Time,Duration (seconds),Event", *rows]) + "\n")


def write_hsp_csv(path: Path, stages: Stages, events: Sequence[Event], start: datetime) -> None:
    """HSP, first site: epoch, time of day, duration, event, all in one table."""
    words = (*(f"Sleep_stage_{name}" for name in FIVE), "Sleep_stage_?")
    _hsp(path, [*_epochs(stages, words), *_worded(events, _HSP_EVENTS)], start)


def write_hsp_stage_csv(path: Path, stages: Stages, events: Sequence[Event], start: datetime) -> None:
    """HSP, further sites: the stages in a table of their own."""
    _hsp(path, [*_epochs(stages, ("Wake", "Stage1", "Stage2", "Stage3", "REM", "Unscored"))], start)


def write_hsp_event_csv(path: Path, stages: Stages, events: Sequence[Event], start: datetime) -> None:
    """HSP, further sites: the events in a table of their own, in the words of STAGES."""
    words = {k: w for k, w in _STAGES_EVENTS.items() if k not in ("lights_off", "lights_on")}
    _hsp(path, [*_worded(events, words)], start)


def _hsp(path: Path, lines: list[_Timed], start: datetime) -> None:
    rows = [
        f"{int(at_s // TOKEN_SECONDS) + 1},{_clock(start, at_s)},{length_s:.1f},{word}"
        for at_s, length_s, word in sorted(lines)
    ]
    _write(path, "\n".join(["epoch,time,duration,event", *rows]) + "\n")


def write_nchsdb_tsv(path: Path, stages: Stages, events: Sequence[Event], start: datetime) -> None:
    """NCH Sleep DataBank: onset and duration in seconds, description."""
    words = tuple(f"Sleep stage {name}" for name in (*FIVE, "?"))
    lines = sorted([*_epochs(stages, words), *_worded(events, _NCHSDB_EVENTS)])
    rows = [f"{at_s:.3f}\t{length_s:.3f}\t{word}" for at_s, length_s, word in lines]
    _write(path, "\n".join(["onset\tduration\tdescription", *rows]) + "\n")


def write_boas_events(path: Path, stages: Stages, events: Sequence[Event], start: datetime) -> None:
    """BIDS events of ds005555: a code an epoch (8 where nobody scored). No events; the machine's column is left out."""
    per_epoch = 256 * TOKEN_SECONDS
    rows = [
        f"{TOKEN_SECONDS * i}\t{TOKEN_SECONDS}\t{per_epoch * i + 1}\t{per_epoch * (i + 1)}\t0\t{8 if s is None else s}"
        for i, s in enumerate(stages)
    ]
    _write(path, "\n".join(["onset\tduration\tbegsample\tendsample\toffset\tstage_hum", *rows]) + "\n")


def write_ucddb_text(path: Path, stages: Stages, events: Sequence[Event], start: datetime) -> None:
    """UCDDB: a digit a line, 0 W, 1 R, 2 N1, 3 N2, 4 N3, 8 unscored. No events."""
    _write(path, "\n".join("8" if stage is None else "02341"[stage] for stage in stages) + "\n")


def write_isruc_text(path: Path, stages: Stages, events: Sequence[Event], start: datetime) -> None:
    """ISRUC: a digit a line, 0 W, 1 N1, 2 N2, 3 N3, 5 R. No events.

    Raises:
        UsageError: an epoch is unscored, which this list cannot say.
    """
    if any(stage is None for stage in stages):
        raise UsageError(
            f"{path}: ISRUC's lists of digits have none for an epoch that nobody scored; use another dialect."
        )
    _write(path, "\n".join("01235"[stage] for stage in stages if stage is not None) + "\n")


def write_dreem_json(path: Path, stages: Stages, events: Sequence[Event], start: datetime) -> None:
    """Dreem Open Datasets: a list of codes 0 to 4 in the order of `FIVE`, -1 where nobody scored. No events."""
    _write(path, json.dumps([-1 if stage is None else stage for stage in stages]))


def _rk(stages: Stages) -> list[str]:
    """Digits of Rechtschaffen & Kales; a stretch of N3 begins and ends as stage 3 and is 4 within. 9 is unscored."""
    codes = ["9" if stage is None else "01235"[stage] for stage in stages]
    for i in range(1, len(codes) - 1):
        if stages[i - 1] == stages[i] == stages[i + 1] == FIVE.index("N3"):
            codes[i] = "4"
    return codes


def _runs(codes: Sequence[str]) -> Iterator[_Timed]:
    first = 0
    for code, run in groupby(codes):
        length = len(list(run))
        yield float(TOKEN_SECONDS * first), float(TOKEN_SECONDS * length), code
        first += length


def _epochs(stages: Stages, words: Sequence[str]) -> list[_Timed]:
    """Every epoch with its word; the last of `words` is for those that nobody scored."""
    return [
        (float(TOKEN_SECONDS * i), float(TOKEN_SECONDS), words[-1 if stage is None else stage])
        for i, stage in enumerate(stages)
    ]


def _worded(events: Sequence[Event], words: Mapping[EventKind | None, str]) -> list[_Timed]:
    return [(event.onset_s, event.duration_s, words[event.kind]) for event in events if event.kind in words]


def _clock(start: datetime, at_s: float) -> str:
    """Time of day to the nearest second."""
    return f"{start + timedelta(seconds=round(at_s)):%H:%M:%S}"


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


# A new dialect is one new line here.
DIALECTS: Mapping[str, Writer] = MappingProxyType(
    {
        "nsrr_xml": write_nsrr_xml,
        "profusion_xml": write_profusion_xml,
        "luna_annot": write_luna_annot,
        "wsc_allscore": write_wsc_allscore,
        "wsc_stg": write_wsc_stg,
        "stages_csv": write_stages_csv,
        "hsp_csv": write_hsp_csv,
        "hsp_stage_csv": write_hsp_stage_csv,
        "hsp_event_csv": write_hsp_event_csv,
        "nchsdb_tsv": write_nchsdb_tsv,
        "boas_events": write_boas_events,
        "isruc_text": write_isruc_text,
        "ucddb_text": write_ucddb_text,
        "dreem_json": write_dreem_json,
        "sleep_edf_hypnogram": write_sleep_edf_hypnogram,
        "cinc2018_arousal": write_cinc2018_arousal,
        "cinc2026_traces": write_event_traces,
    }
)
