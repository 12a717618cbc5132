"""WFDB annotation files of sleep: ``.st`` of slpdb, ``.apn`` of apnea-ecg, ``.arousal`` of the 2018 challenge.

Sources: https://physionet.org/content/slpdb (README.st), https://physionet.org/content/apnea-ecg,
https://physionet.org/content/challenge-2018.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sleep2vec.formats.annotation_text import text_of
from sleep2vec.formats.annotation_words import kind_of
from sleep2vec.vocabulary.errors import UnreadableFileError
from sleep2vec.vocabulary.events import Event, EventKind
from sleep2vec.vocabulary.modalities import TOKEN_SECONDS
from sleep2vec.vocabulary.scoring import Scoring, ScoringWords
from sleep2vec.vocabulary.stages import NotAStageError, StageSpan, stage_of

_SLPDB_STAGES: Mapping[str, int | None] = {"W": 0, "1": 1, "2": 2, "3": 3, "4": 3, "R": 4, "MT": None, "M": None}
# What happened in the epoch; an event "with arousal" is both.
_SLPDB_EVENTS: Mapping[str, tuple[EventKind, ...]] = {
    "H": ("hypopnea",),
    "HA": ("hypopnea", "arousal"),
    "OA": ("obstructive_apnea",),
    "X": ("obstructive_apnea", "arousal"),
    "CA": ("central_apnea",),
    "CAA": ("central_apnea", "arousal"),
    "L": ("limb_movement",),
    "LA": ("limb_movement", "arousal"),
    "A": ("arousal",),
}
_MINUTE_S = 60.0
_RDANN = re.compile(
    r"\s*\[?(?:(?P<hours>\d+):)?(?P<minutes>\d{1,2}):(?P<seconds>\d{2}\.\d+)\]?\s+\d+\s+\S\s+-?\d+\s+-?\d+\s+-?\d+"
    r"(?P<text>.*)"
)


def read_wfdb_stages(path: Path, words: ScoringWords) -> Scoring:
    """Read epochs of 30 s, each with a stage and the events in it (``"2 HA L"``). An event is a mark at its epoch.

    Raises:
        UnreadableFileError: it is no WFDB annotation file, or has no stage.
    """
    marks, rate_hz = _read(path)
    # The first epoch is marked at sample 1.
    return _epochs(path, [(round(sample / rate_hz, 1), text) for sample, _, text in marks], words, "WFDB stages")


def read_rdann_stages(path: Path, words: ScoringWords) -> Scoring:
    """Read the same annotations as text, as ``rdann -v`` prints them: elapsed time, sample, type, three numbers, text.

    Raises:
        UnreadableFileError: it cannot be read, or has no stage.
    """
    marks = []
    for line in text_of(path).splitlines():
        match = _RDANN.fullmatch(line)
        if match:
            seconds = 3600 * int(match["hours"] or 0) + 60 * int(match["minutes"]) + float(match["seconds"])
            marks.append((round(seconds, 1), match["text"].strip()))
    return _epochs(path, marks, words, "WFDB stages as text")


def is_rdann_text(text: str) -> bool:
    """Whether one of the first lines is such as `read_rdann_stages` reads."""
    return any(_RDANN.fullmatch(line) for line in text[:2_000].splitlines()[:5])


def _epochs(path: Path, marks: list[tuple[float, str]], words: ScoringWords, dialect: str) -> Scoring:
    stages, events, unknown = [], [], set()
    for onset_s, text in marks:
        word, *codes = text.split() or [""]
        try:
            stage = _slpdb_stage(word, words)
        except NotAStageError:
            unknown.add(text)
            continue
        stages.append(StageSpan(onset_s, float(TOKEN_SECONDS), stage))
        for code in codes:
            events += [Event(kind, onset_s, 0.0, code) for kind in _SLPDB_EVENTS.get(code, ())]
            events += [Event(None, onset_s, 0.0, code)] if code not in _SLPDB_EVENTS else []
    if not stages:
        raise UnreadableFileError(f"{path} has {len(marks)} annotations and no stage (W, 1 to 4, R) in their texts.")
    told = (f"Annotations {', '.join(sorted(map(repr, unknown))[:5])} name no stage, left out.",) if unknown else ()
    return Scoring(tuple(stages), tuple(events), None, dialect, float(TOKEN_SECONDS), told)


def _slpdb_stage(word: str, words: ScoringWords) -> int | None:
    """Raises NotAStageError."""
    if word.lower() in words.stages:
        return words.stages[word.lower()]
    return _SLPDB_STAGES[word] if word in _SLPDB_STAGES else stage_of(word)


def read_wfdb_apnea(path: Path, words: ScoringWords) -> Scoring:
    """Read minutes, each with (``A``) or without (``N``) an apnea in it; the type is not told. No stages.

    Raises:
        UnreadableFileError: it is no WFDB annotation file, or has other symbols.
    """
    marks, rate_hz = _read(path)
    wrong = {symbol for _, symbol, _ in marks} - {"A", "N"}
    if wrong:
        raise UnreadableFileError(f"{path} has the symbols {sorted(wrong)}, but A and N (apnea or not) were expected.")
    events = [Event("apnea", round(at / rate_hz, 2), _MINUTE_S, "A") for at, symbol, _ in marks if symbol == "A"]
    return Scoring((), tuple(events), None, "WFDB apnea minutes")


def read_wfdb_arousal(path: Path, words: ScoringWords) -> Scoring:
    """Read stages where they begin and events in brackets (``(resp_hypopnea`` ... ``resp_hypopnea)``).

    A stage lasts until the next one, the last until the recording ends.

    Raises:
        UnreadableFileError: it is no WFDB annotation file.
    """
    marks, rate_hz = _read(path)
    begun: list[tuple[float, int | None]] = []
    events: list[Event] = []
    opened: dict[str, list[float]] = {}
    for sample, _, text in marks:
        at_s, name = sample / rate_hz, text.strip("()")
        if text.startswith("("):
            opened.setdefault(name, []).append(at_s)
        elif text.endswith(")"):
            onsets = opened.get(name)
            if onsets:
                onset_s = onsets.pop(0)
                events.append(Event(_kind(name, words), onset_s, at_s - onset_s, name))
        else:
            try:
                begun.append((at_s, _stage(text, words)))
            except NotAStageError:
                events.append(Event(_kind(text, words), at_s, 0.0, text))
    ends_s = [*(at_s for at_s, _ in begun[1:]), math.inf]
    stages = [StageSpan(at_s, end_s - at_s, stage) for (at_s, stage), end_s in zip(begun, ends_s, strict=False)]
    n_open = sum(map(len, opened.values()))
    told = (f"{n_open} event(s) of {path.name} have no end and were left out.",) if n_open else ()
    events.sort(key=lambda event: event.onset_s)
    return Scoring(tuple(stages), tuple(events), None, "WFDB stages and arousals", None, told)


def _kind(name: str, words: ScoringWords) -> EventKind | None:
    return words.events[name.lower()] if name.lower() in words.events else kind_of(name)


def _stage(text: str, words: ScoringWords) -> int | None:
    """Raises NotAStageError."""
    return words.stages[text.lower()] if text.lower() in words.stages else stage_of(text)


def _read(path: Path) -> tuple[list[tuple[int, str, str]], float]:
    """Sample, symbol and text of every annotation, and the rate they count in."""
    import wfdb

    record = str(path.with_suffix(""))
    try:
        if not path.stat().st_size:
            raise UnreadableFileError(f"{path} is empty; WFDB annotations were expected.")
        found: Any = wfdb.rdann(record, path.suffix[1:])
    except UnreadableFileError:
        raise
    except Exception as error:  # wfdb fails in many ways on bytes that are none of its own
        raise UnreadableFileError(f"{path} is no WFDB annotation file ({type(error).__name__}: {error}).") from None
    if not found.fs:
        raise UnreadableFileError(f"{path} does not say its rate, and {record}.hea is not beside it; put it there.")
    texts = [text.rstrip("\0").strip() for text in (found.aux_note or [""] * len(found.sample))]
    return list(zip(map(int, found.sample), found.symbol, texts, strict=True)), float(found.fs)
