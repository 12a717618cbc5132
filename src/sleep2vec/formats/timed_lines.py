"""Lines without a header that begin with a time: stages and events of the Wisconsin Sleep Cohort, of watches."""

import re
from itertools import pairwise
from pathlib import Path

from sleep2vec.formats.annotation_text import Clock, number_of, rows_of, text_of
from sleep2vec.formats.edf_annotations import Annotation
from sleep2vec.formats.stage_codes import legend_in, scoring_of, stage_text
from sleep2vec.vocabulary.errors import UnreadableFileError
from sleep2vec.vocabulary.scoring import Scoring, ScoringWords

_LENGTH_IN_WORDS = re.compile(r"-?\s*DUR:\s*([\d.]+)\s*SEC\.?\s*-?\s*", re.IGNORECASE)


def read_timed_lines(path: Path, words: ScoringWords) -> Scoring:
    """Read lines of a time (clock or seconds), perhaps a stop or a length, and a stage or event.

    ``23:05:30.00<tab>STAGE - N2`` (Wisconsin Sleep Cohort), ``30 2`` (seconds and code), ``0 30 N1``. Whether a second
    number is when the line's stage stops or how long it lasts is told by where the next line begins.

    Raises:
        UnreadableFileError: it cannot be read, or fewer than half of its lines are such.
    """
    text = text_of(path)
    rows = [row for row in rows_of(text) if not row[0].startswith("#")]
    clock = Clock(row[0] for row in rows)
    lasting = _second_is_length(rows)
    marks = [mark for row in rows if (mark := _line(row, clock, lasting)) is not None]
    if not rows or len(marks) < len(rows) / 2:
        raise UnreadableFileError(
            f"{path} is no list of times and stages: {len(marks)} of its {len(rows)} lines begin with a time (with "
            "seconds) and go on with a word."
        )
    repairs: tuple[str, ...] = ()
    if len(marks) < len(rows):
        repairs = (f"{len(rows) - len(marks)} line(s) of {path.name} without a time were left out.",)
    return scoring_of(marks, words, clock, "lines of times and stages", repairs, legend=legend_in(text))


def _second_is_length(rows: list[list[str]]) -> bool:
    """Whether the second of three columns is a length rather than a stop: then it leads to the next line's time."""
    clock = Clock(row[0] for row in rows)
    numbers = [
        (onset_s, second_s)
        for row in rows
        if len(row) > 2
        and (onset_s := clock.seconds(row[0])) is not None
        and (second_s := number_of(row[1])) is not None
    ]
    pairs = list(pairwise(numbers))
    as_length = sum(onset_s + second_s == after_s for (onset_s, second_s), (after_s, _) in pairs)
    as_stop = sum(second_s == after_s for (_, second_s), (after_s, _) in pairs)
    return as_length > as_stop


def _line(row: list[str], clock: Clock, lasting: bool) -> Annotation | None:
    if len(row) < 2:
        return None
    onset_s = clock.seconds(row[0])
    if onset_s is None:
        return None
    rest, duration_s = row[1:], None
    if len(rest) > 1:
        length_s = number_of(rest[0]) if lasting or number_of(row[0]) is None else None
        stop_s = clock.seconds(rest[0]) if length_s is None else None
        if length_s is not None and (lasting or number_of(rest[1]) is None):
            rest, duration_s = rest[1:], length_s
        elif stop_s is not None and stop_s >= onset_s:
            rest, duration_s = rest[1:], stop_s - onset_s
    text = " ".join(rest)
    in_words = _LENGTH_IN_WORDS.search(text)
    if in_words:
        duration_s = number_of(in_words[1])
        text = (text[: in_words.start()] + " " + text[in_words.end() :]).strip()
    return Annotation(onset_s, duration_s, stage_text(text))
