"""Annotations of EDF+ files: sleep stages and events.

A time-stamped annotation list (TAL) is ``+onset[\\x15duration]\\x14text\\x14...\\x14\\0`` (EDF+ section 2.2.2); the
words are read by `formats.annotation_words`.
"""

import math
import re
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

from sleep2vec.formats.annotation_words import kind_of
from sleep2vec.formats.edf_header import read_header
from sleep2vec.formats.edf_records import annotation_records, timeline_of
from sleep2vec.vocabulary.errors import UnreadableFileError
from sleep2vec.vocabulary.events import Event
from sleep2vec.vocabulary.modalities import TOKEN_SECONDS
from sleep2vec.vocabulary.scoring import EVERYBODYS_WORDS, Scoring, ScoringWords
from sleep2vec.vocabulary.stages import NotAStageError, StageSpan, stage_of

_PIECE = re.compile(rb"[^\0]+")
_TAL = re.compile(rb"([+-]\d+(?:[.,]\d*)?)(?:\x15(\d*(?:[.,]\d*)?))?\x14(.*)\x14", re.DOTALL)

_LATEST_S = 1e9  # 30 years: behind it stands no time but garbage


@dataclass(frozen=True)
class Annotation:
    """One annotation; times in seconds from the start in the header, `duration_s` None where not written."""

    onset_s: float
    duration_s: float | None
    text: str


def parse_annotations(records: list[bytes]) -> tuple[list[Annotation], int]:
    """Read the annotations of one annotation channel.

    Args:
        records: its bytes in each data record.

    Returns:
        The annotations with a text, and the number of pieces that are not annotations.
    """
    found: list[Annotation] = []
    n_garbage = 0
    for record in records:
        for piece in _PIECE.findall(record):
            match = _TAL.fullmatch(piece)
            onset_s = float(match[1].replace(b",", b".")) if match else math.inf
            if match is None or abs(onset_s) > _LATEST_S:
                n_garbage += 1
                continue
            duration = (match[2] or b"").replace(b",", b".").rstrip(b".")
            texts = (_decoded(text) for text in match[3].split(b"\x14"))
            found += [Annotation(onset_s, float(duration) if duration else None, text) for text in texts if text]
    return found, n_garbage


def _decoded(text: bytes) -> str:
    try:
        return text.decode("utf-8").strip()
    except UnicodeDecodeError:
        return text.decode("latin-1").strip()


def stages_and_events(
    annotations: list[Annotation], zero_s: float = 0.0, words: ScoringWords = EVERYBODYS_WORDS
) -> tuple[list[StageSpan], list[Event]]:
    """Sort annotations into scored stages and everything else, both in order of time.

    A stage without a duration lasts until the next one. Where the same stage is written twice in a row the list has
    one entry an epoch, and none lasts longer than 30 s: what follows is then a hole in the scoring.

    Args:
        annotations: in any order.
        zero_s: the annotations' time of the recording's first sample.
        words: what the cohort means by its own.
    """
    stages: list[tuple[float, float | None, int | None]] = []
    events: list[Event] = []
    for item in sorted(annotations, key=lambda item: item.onset_s):
        onset_s = round(item.onset_s - zero_s, 9)  # the difference of two decimals, not of their binary neighbours
        word = item.text.strip().lower()
        if word in words.stages:
            stages.append((onset_s, item.duration_s or None, words.stages[word]))
        elif word not in words.events and _is_stage(item):
            stages.append((onset_s, item.duration_s or None, stage_of(item.text)))
        else:
            kind = words.events[word] if word in words.events else kind_of(item.text)
            events.append(Event(kind, onset_s, item.duration_s or 0.0, item.text))
    return _spans(stages), events


def _is_stage(item: Annotation) -> bool:
    try:
        stage = stage_of(item.text)
    except NotAStageError:
        return False
    # "Movement" or "?" without "stage" is an unscored epoch where it lasts whole epochs, and a remark elsewhere.
    bare = not re.search(r"stage|movement time", item.text.lower())
    return not (stage is None and bare and (not item.duration_s or item.duration_s % TOKEN_SECONDS))


def _spans(stages: list[tuple[float, float | None, int | None]]) -> list[StageSpan]:
    per_epoch = any(
        first[1] is None and second[1] is None and first[2] == second[2] for first, second in pairwise(stages)
    )
    spans = []
    for i, (onset_s, duration_s, stage) in enumerate(stages):
        if duration_s is None:
            later = next((other[0] for other in stages[i + 1 :] if other[0] > onset_s), None)
            until_next_s = TOKEN_SECONDS if later is None else round(later - onset_s, 9)
            duration_s = float(min(until_next_s, TOKEN_SECONDS) if per_epoch else until_next_s)
        spans.append(StageSpan(onset_s, duration_s, stage))
    return spans


def read_hypnogram(path: Path, words: ScoringWords = EVERYBODYS_WORDS) -> Scoring:
    """Read the annotations of an EDF+ or BDF+ file, with or without signals (``SC4001EC-Hypnogram.edf``).

    Raises:
        UnreadableFileError: it is no EDF file, or has no annotation channel.
    """
    header = read_header(path)
    channels = annotation_records(header)
    if not channels:
        raise UnreadableFileError(
            f"{path} has no 'EDF Annotations' channel, so it holds no hypnogram; name an EDF+ file with annotations."
        )
    timeline, _ = timeline_of(header, channels[0])
    annotations = [item for records in channels for item in parse_annotations(records)[0]]
    stages, events = stages_and_events(annotations, timeline.first_onset_s, words)
    start = header.start and header.start + timedelta(seconds=timeline.first_onset_s)
    return Scoring(tuple(stages), tuple(events), start, "EDF+ annotations")
