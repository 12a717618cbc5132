"""Luna's annotation files (https://zzz.bwh.harvard.edu/luna/ref/annotations)."""

import re
from pathlib import Path

from sleep2vec.formats.annotation_text import Clock, number_of, text_of
from sleep2vec.formats.edf_annotations import Annotation
from sleep2vec.formats.stage_codes import scoring_of
from sleep2vec.vocabulary.errors import UnreadableFileError
from sleep2vec.vocabulary.modalities import TOKEN_SECONDS
from sleep2vec.vocabulary.scoring import Scoring, ScoringWords

_EPOCH = re.compile(r"e:(?:(\d+(?:\.\d+)?):)?(\d+)")


def read_luna_annot(path: Path, words: ScoringWords) -> Scoring:
    """Read class, instance, channel, start, stop, meta, parted by tabs; ``.`` is nothing.

    A stop of ``...`` means until the next row, ``+30`` is a length, ``e:5`` the fifth epoch (of 30 s), ``e:20:5`` the
    fifth of 20 s.

    Raises:
        UnreadableFileError: it cannot be read, or no row has five columns and a start.
    """
    lines = text_of(path).splitlines()
    rows = [[cell.strip() for cell in line.split("\t")] for line in lines if line.strip() and not line.startswith("#")]
    rows = [row for row in rows if row[0] != "class"]
    clock = Clock(row[3] for row in rows if len(row) > 4)
    marks = [mark for row in rows if (mark := _row(row, clock)) is not None]
    if not marks:
        raise UnreadableFileError(
            f"{path} has {len(rows)} rows, none of class, instance, channel, start and stop, parted by tabs, whose "
            "start is seconds, a time with seconds, or an epoch (e:1)."
        )
    n_lost = len(rows) - len(marks)
    repairs = (f"{n_lost} row(s) of {path.name} without a start were left out.",) if n_lost else ()
    return scoring_of(marks, words, clock, "Luna annotations", repairs)


def _row(cells: list[str], clock: Clock) -> Annotation | None:
    if len(cells) < 5:
        return None
    text = cells[0] if cells[1] in (".", "", cells[0]) else f"{cells[0]} {cells[1]}"
    epoch = _EPOCH.fullmatch(cells[3])
    if epoch:
        epoch_s = float(epoch[1] or TOKEN_SECONDS)
        last = _EPOCH.fullmatch(cells[4])
        n_epochs = int(last[2]) - int(epoch[2]) + 1 if last else 1
        return Annotation((int(epoch[2]) - 1) * epoch_s, max(n_epochs, 1) * epoch_s, text)
    onset_s = _seconds(cells[3], clock)
    if onset_s is None:
        return None
    if cells[4].startswith("+"):
        return Annotation(onset_s, number_of(cells[4].removeprefix("+")), text)
    stop_s = _seconds(cells[4], clock)
    return Annotation(onset_s, None if stop_s is None else stop_s - onset_s, text)


def _seconds(text: str, clock: Clock) -> float | None:
    """A cell's seconds; behind ``0+`` hours, minutes and seconds are elapsed and not of the day."""
    elapsed = text.removeprefix("0+")
    if elapsed == text or ":" not in elapsed:
        return clock.seconds(elapsed)
    seconds = 0.0
    for part in elapsed.split(":"):
        number = number_of(part)
        if number is None:
            return None
        seconds = 60 * seconds + number
    return seconds
