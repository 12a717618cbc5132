"""Annotation files as cohorts hand them out, written from their public descriptions and not by the package.

Every writer takes stages (five-stage codes of 30 s epochs) and events ``(kind, onset_s, duration_s)`` with kinds of
``EVENTS``, both counted from when the scoring begins, and the recording's start. ``late_s`` is how long after the
recording the scoring begins; a writer whose files cannot say so has no such argument.
"""

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import edfio
import numpy as np
import wfdb

Event = tuple[str, float, float]
# Rechtschaffen & Kales: N3 is written as stage 3 and 4 in turn.
_RK = {0: "0", 1: "1", 2: "2", 4: "5"}


def _late(start: datetime, late_s: float) -> datetime:
    return start + timedelta(seconds=late_s)


def _rk(stages: Sequence[int]) -> list[str]:
    return [_RK.get(stage, "34"[i % 2]) for i, stage in enumerate(stages)]


def nsrr_xml(path: Path, stages: Sequence[int], events: Sequence[Event], start: datetime, late_s: float = 0.0) -> None:
    """https://github.com/nsrr/edf-editor-translator/wiki: concepts are ``NSRR name|name of the device``."""
    concept = {
        "0": "Wake|0",
        "1": "Stage 1 sleep|1",
        "2": "Stage 2 sleep|2",
        "3": "Stage 3 sleep|3",
        "4": "Stage 4 sleep|4",
        "5": "REM sleep|5",
    }
    names = {
        "obstructive_apnea": ("Respiratory|Respiratory", "Obstructive apnea|Obstructive Apnea"),
        "hypopnea": ("Respiratory|Respiratory", "Hypopnea|Hypopnea"),
        "arousal": ("Arousals|Arousals", "Arousal|Arousal ()"),
        "desaturation": ("Respiratory|Respiratory", "SpO2 desaturation|SpO2 desaturation"),
    }
    rows = [
        "<ScoredEvent><EventType/><EventConcept>Recording Start Time</EventConcept><Start>0</Start>"
        f"<Duration>{late_s + 30 * len(stages):g}</Duration>"
        f"<ClockTime>00.00.00 {start:%H.%M.%S}</ClockTime></ScoredEvent>"
    ]
    rows += [
        f"<ScoredEvent><EventType>{names[kind][0]}</EventType><EventConcept>{names[kind][1]}</EventConcept>"
        f"<Start>{late_s + onset:.1f}</Start><Duration>{length:.1f}</Duration>"
        "<SignalLocation>x</SignalLocation></ScoredEvent>"
        for kind, onset, length in events
    ]
    rows += [
        f"<ScoredEvent><EventType>Stages|Stages</EventType><EventConcept>{concept[code]}</EventConcept>"
        f"<Start>{late_s + 30 * i:.1f}</Start><Duration>30.0</Duration></ScoredEvent>"
        for i, code in enumerate(_rk(stages))
    ]
    path.write_text(
        '<?xml version="1.0" encoding="UTF-8" standalone="no"?><PSGAnnotation><SoftwareVersion>Compumedics'
        "</SoftwareVersion><EpochLength>30</EpochLength><ScoredEvents>"
        + "\n".join(rows)
        + "</ScoredEvents></PSGAnnotation>",
        encoding="utf-8",
    )


def profusion_xml(path: Path, stages: Sequence[int], events: Sequence[Event], start: datetime) -> None:
    """Compumedics Profusion's export."""
    names = {
        "obstructive_apnea": "Obstructive Apnea",
        "hypopnea": "Hypopnea",
        "arousal": "Arousal (ARO RES)",
        "desaturation": "SpO2 desaturation",
    }
    rows = "".join(
        f"<ScoredEvent><Name>{names[kind]}</Name><Start>{onset}</Start><Duration>{length}</Duration>"
        "<Input>x</Input></ScoredEvent>"
        for kind, onset, length in events
    )
    codes = "".join(f"<SleepStage>{code}</SleepStage>" for code in _rk(stages))
    path.write_text(
        '<?xml version="1.0" encoding="UTF-8"?><CMPStudyConfig><EpochLength>30</EpochLength>'
        f"<ScoredEvents>{rows}</ScoredEvents><SleepStages>{codes}</SleepStages></CMPStudyConfig>"
    )


def sleep_edf_hypnogram(
    path: Path, stages: Sequence[int], events: Sequence[Event], start: datetime, late_s: float = 0.0
) -> None:
    """EDF+ annotations alone (https://www.edfplus.info), with the words of Sleep-EDF; it has no events."""
    word = {"0": "W", "5": "R"}
    annotations = [
        edfio.EdfAnnotation(30.0 * i, 30.0, f"Sleep stage {word.get(code, code)}") for i, code in enumerate(_rk(stages))
    ]
    edf = edfio.Edf([], annotations=annotations, recording=edfio.Recording(startdate=_late(start, late_s).date()))
    edf.starttime = _late(start, late_s).time()
    edf.write(path)


def boas_events(
    path: Path, stages: Sequence[int], events: Sequence[Event], start: datetime, late_s: float = 0.0
) -> None:
    """BIDS events of ds005555: digits 0-4 in `stage_hum`, the machine's opinion in `stage_ai`; no events."""
    rows = [
        f"{late_s + 30 * i:g}\t30\t{7680 * i + 1}\t{7680 * (i + 1)}\t0\t{stage}\t0" for i, stage in enumerate(stages)
    ]
    path.write_text("\n".join(["onset\tduration\tbegsample\tendsample\toffset\tstage_hum\tstage_ai", *rows]) + "\n")


def cinc2018_arousal(
    path: Path, stages: Sequence[int], events: Sequence[Event], start: datetime, late_s: float = 0.0
) -> None:
    """WFDB annotations at 200 Hz: a stage's name where it begins, events in brackets."""
    words = ("W", "N1", "N2", "N3", "R")
    names = {
        "obstructive_apnea": "resp_obstructiveapnea",
        "hypopnea": "resp_hypopnea",
        "arousal": "arousal_spontaneous",
        "desaturation": "",
    }
    # The package takes a first annotation at sample 0 for a definition; PhysioNet counts from 1.
    marks = [
        (max(1, round(200 * late_s) + 6000 * i), words[s]) for i, s in enumerate(stages) if i == 0 or s != stages[i - 1]
    ]
    for kind, onset, length in events:
        if names[kind]:
            marks += [
                (round(200 * (late_s + onset)), f"({names[kind]}"),
                (round(200 * (late_s + onset + length)), f"{names[kind]})"),
            ]
    marks.sort()
    wfdb.wrann(
        path.stem,
        path.suffix[1:],
        np.array([at for at, _ in marks]),
        symbol=['"'] * len(marks),
        aux_note=[text for _, text in marks],
        fs=200,
        write_dir=str(path.parent),
    )


def cinc2026_traces(
    path: Path, stages: Sequence[int], events: Sequence[Event], start: datetime, late_s: float = 0.0
) -> None:
    """EDF channels of codes: stages 1 N3, 2 N2, 3 N1, 4 R, 5 W a epoch; events at 1 and 2 Hz."""
    code = {0: 5, 1: 3, 2: 2, 3: 1, 4: 4}
    seconds = 30 * len(stages)
    resp, arousal = np.zeros(seconds), np.zeros(2 * seconds)
    for kind, onset, length in events:
        if kind == "arousal":
            arousal[round(2 * onset) : round(2 * (onset + length))] = 1
        elif kind != "desaturation":
            resp[round(onset) : round(onset + length)] = {"obstructive_apnea": 1, "hypopnea": 4}[kind]
    traces = [
        ("stage_expert", [code[s] for s in stages], 1 / 30),
        ("resp_expert", resp, 1),
        ("arousal_expert", arousal, 2),
    ]
    signals = [
        edfio.EdfSignal(np.asarray(x, float), rate, label=label, physical_range=(0, 10), digital_range=(0, 10))
        for label, x, rate in traces
    ]
    edf = edfio.Edf(signals, recording=edfio.Recording(startdate=_late(start, late_s).date()), data_record_duration=30)
    edf.starttime = _late(start, late_s).time()
    edf.write(path)


def isruc_text(path: Path, stages: Sequence[int], events: Sequence[Event], start: datetime) -> None:
    """One digit a line: 0 W, 1 N1, 2 N2, 3 N3, 5 R."""
    path.write_text("\n".join(str(5 if s == 4 else s) for s in stages) + "\n")


def ucddb_text(path: Path, stages: Sequence[int], events: Sequence[Event], start: datetime) -> None:
    """One digit a line, in the order of the database: 0 W, 1 REM, 2 S1, 3 S2, 4 S3, 5 S4."""
    path.write_text(
        "\n".join({0: "0", 4: "1", 1: "2", 2: "3"}.get(s, "45"[i % 2]) for i, s in enumerate(stages)) + "\n"
    )


def wsc_stg(path: Path, stages: Sequence[int], events: Sequence[Event], start: datetime, late_s: float = 0.0) -> None:
    """A table of epochs with two opinions, digits of Rechtschaffen & Kales; a log beside it tells their start."""
    rows = [f"{i + 1}\t{code}\t{code}" for i, code in enumerate(_rk(stages))]
    log = f"{_late(start, late_s):%H:%M:%S} 1\tRecording Started\n{_late(start, late_s + 90):%H:%M:%S} 4\tLights Off\n"
    (path.parent / path.name.replace(".stg.", ".log.")).write_text(log)
    path.write_text("\n".join(["Epoch\tUser-Defined Stage\tCAST-Defined Stage", *rows]) + "\n")


def wsc_allscore(
    path: Path, stages: Sequence[int], events: Sequence[Event], start: datetime, late_s: float = 0.0
) -> None:
    """Lines of clock time and words."""
    words = ("W", "N1", "N2", "N3", "R")
    names = {"obstructive_apnea": "OBSTRUCTIVE APNEA", "hypopnea": "HYPOPNEA", "arousal": "AROUSAL"}
    lines = [(30.0 * i, f"STAGE - {words[s]}") for i, s in enumerate(stages)]
    for kind, onset, length in events:
        if kind in names:
            head = "AROUSAL" if kind == "arousal" else "RESPIRATORY EVENT"
            lines.append((onset, f"{head} - DUR: {length:.1f} SEC. - {names[kind]}"))
    lines.sort()
    clock = [(_late(start, late_s) + timedelta(seconds=at)).strftime("%H:%M:%S.%f")[:-4] for at, _ in lines]
    path.write_text("\n".join(f"{time}\t{text}" for time, (_, text) in zip(clock, lines, strict=True)) + "\n")


def luna_annot(
    path: Path, stages: Sequence[int], events: Sequence[Event], start: datetime, late_s: float = 0.0
) -> None:
    """https://zzz.bwh.harvard.edu/luna/ref/annotations: class, instance, channel, start, stop (elapsed s), meta."""
    words = ("W", "N1", "N2", "N3", "R")
    rows = [f"{words[s]}\t.\t.\t{late_s + 30 * i:.3f}\t{late_s + 30 * (i + 1):.3f}\t." for i, s in enumerate(stages)]
    rows += [f"{kind}\t.\t.\t{late_s + onset:.3f}\t{late_s + onset + length:.3f}\t." for kind, onset, length in events]
    path.write_text("\n".join(["class\tinstance\tchannel\tstart\tstop\tmeta", *rows]) + "\n")


def stages_csv(
    path: Path, stages: Sequence[int], events: Sequence[Event], start: datetime, late_s: float = 0.0
) -> None:
    """STAGES: clock times, with a space before every event's name."""
    words = ("Wake", "Stage1", "Stage2", "Stage3", "REM")
    names = {
        "obstructive_apnea": "ObstructiveApnea",
        "hypopnea": "Hypopnea",
        "arousal": "Arousal",
        "desaturation": "Desaturation",
    }
    lines = [(30.0 * i, 30.0, words[s]) for i, s in enumerate(stages)] + [(on, dur, names[k]) for k, on, dur in events]
    rows = [
        f"{_late(start, late_s) + timedelta(seconds=on):%H:%M:%S},{dur:.1f}, {text}" for on, dur, text in sorted(lines)
    ]
    path.write_text("\n".join(["Start Time,Duration (seconds),Event", *rows]) + "\n")


def hsp_csv(path: Path, stages: Sequence[int], events: Sequence[Event], start: datetime, late_s: float = 0.0) -> None:
    """HSP, site S0001: epoch, clock time, duration, event."""
    words = ("W", "N1", "N2", "N3", "R")
    names = {
        "obstructive_apnea": "Obstructive_Apnea",
        "hypopnea": "Hypopnea",
        "arousal": "Arousal_(ARO_Limb)",
        "desaturation": "Oxygen_Desaturation",
    }
    lines = [(30.0 * i, 30.0, f"Sleep_stage_{words[s]}") for i, s in enumerate(stages)]
    lines += [(on, dur, names[k]) for k, on, dur in events]
    rows = [
        f"{int(on // 30) + 1},{_late(start, late_s) + timedelta(seconds=on):%H:%M:%S},{dur:g},{text}"
        for on, dur, text in sorted(lines)
    ]
    path.write_text("\n".join(["epoch,time,duration,event", *rows]) + "\n")


def nchsdb_tsv(
    path: Path, stages: Sequence[int], events: Sequence[Event], start: datetime, late_s: float = 0.0
) -> None:
    """NCH Sleep DataBank: onset, duration, description."""
    words = ("W", "N1", "N2", "N3", "R")
    names = {
        "obstructive_apnea": "Obstructive Apnea",
        "hypopnea": "Hypopnea",
        "arousal": "EEG arousal",
        "desaturation": "Oxygen Desaturation",
    }
    lines = [(30.0 * i, 30.0, f"Sleep stage {words[s]}") for i, s in enumerate(stages)]
    lines += [(on, dur, names[k]) for k, on, dur in events]
    path.write_text(
        "\n".join(["onset\tduration\tdescription", *(f"{late_s + o}\t{d}\t{t}" for o, d, t in sorted(lines))]) + "\n"
    )


def dod_json(path: Path, stages: Sequence[int], events: Sequence[Event], start: datetime) -> None:
    """Dreem Open Datasets: a list of codes 0-4, -1 where nobody scored."""
    path.write_text(json.dumps(list(stages)))


Writer = Callable[[Path, Sequence[int], Sequence[Event], datetime], None]
