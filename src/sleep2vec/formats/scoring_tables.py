"""Tables of stages and events: CSV, TSV, BIDS ``events.tsv``, Luna ``.annot``, Noxturnal, STAGES, HSP.

They differ in the names of their columns, and in whether a row has a stop or a duration, an elapsed time, a time of day
or the number of an epoch. Columns are found by their names.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sleep2vec.formats.annotation_text import Clock, number_of, rows_of, text_of
from sleep2vec.formats.annotation_words import plain_words
from sleep2vec.formats.edf_annotations import Annotation, stages_and_events
from sleep2vec.vocabulary.errors import UnreadableFileError
from sleep2vec.vocabulary.modalities import TOKEN_SECONDS
from sleep2vec.vocabulary.scoring import Scoring, ScoringWords
from sleep2vec.vocabulary.stages import RK_CODES

# Names of columns as `plain_words` has them, best first.
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "onset": ("onset", "start", "start time", "starttime", "start sec", "start s", "heure de debut", "startzeit",
              "hora de inicio", "local time start", "stamp time local", "record time", "time"),
    "stop": ("stop", "end", "stop time", "end time", "end sec", "end s", "heure de fin", "endzeit", "hora de fin"),
    "duration": ("duration", "duration (seconds)", "duration s", "duration sec", "length", "duree", "dauer",
                 "duracion"),
    "event": ("standardised event", "description", "trial type", "event", "class", "annotation", "label", "name",
              "evenement", "ereignis", "evento", "event type"),
    "stage": ("stage hum", "sleep stage", "stage name", "user-defined stage", "stage", "stage majority", "stage ai"),
    "epoch": ("epoch", "epoch number", "epoch id"),
}  # fmt: skip
_HEADER_ROWS = 5
# A title without a meaning in the table of HSP's third site.
_UNMAPPED = ("x", "", "log", "-", "none", "n/a")
_LENGTH_IN_WORDS = re.compile(r"-?\s*DUR:\s*([\d.]+)\s*SEC\.?\s*-?\s*", re.IGNORECASE)


@dataclass(frozen=True)
class _Table:
    columns: Mapping[str, int]
    spare_event: int | None
    rows: list[list[str]]

    def cell(self, row: list[str], name: str) -> str:
        at = self.columns.get(name)
        return row[at].strip() if at is not None and at < len(row) else ""


def read_table(path: Path, words: ScoringWords) -> Scoring:
    """Read a table with a header whose columns say when and what.

    Raises:
        UnreadableFileError: it cannot be read, or has no header with a time or epoch and a stage or event.
    """
    table = _table_of(path)
    clock, epoch_s = Clock(), words.epoch_s or float(TOKEN_SECONDS)
    marks: list[Annotation] = []
    n_lost = 0
    for row in table.rows:
        text = _text_of_row(table, row)
        if not text:
            continue
        onset_s, duration_s = _time_of_row(table, row, clock, epoch_s)
        if onset_s is None:
            n_lost += 1
            continue
        marks.append(Annotation(onset_s, duration_s, text))
    if not marks:
        raise UnreadableFileError(f"{path} has columns of a scoring, but no row with a time and a word.")
    repairs = (f"{n_lost} row(s) of {path.name} without a time were left out.",) if n_lost else ()
    return _scoring(marks, words, clock, "table of stages and events", repairs)


def read_timed_lines(path: Path, words: ScoringWords) -> Scoring:
    """Read lines without a header: a time (clock or seconds), a stage or event, perhaps a length between or in words.

    ``23:05:30.00<tab>STAGE - N2`` (Wisconsin Sleep Cohort), ``30 2`` (seconds and code), ``0 30 N1`` (start, stop).

    Raises:
        UnreadableFileError: it cannot be read, or fewer than half of its lines are such.
    """
    rows = [row for row in rows_of(text_of(path)) if not row[0].startswith("#")]
    clock = Clock()
    marks = [mark for row in rows if (mark := _line(row, clock)) is not None]
    if not rows or len(marks) < len(rows) / 2:
        raise UnreadableFileError(
            f"{path} is no list of times and stages: {len(marks)} of its {len(rows)} lines begin with a time and go on "
            "with a word."
        )
    repairs: tuple[str, ...] = ()
    if len(marks) < len(rows):
        repairs = (f"{len(rows) - len(marks)} line(s) of {path.name} without a time were left out.",)
    return _scoring(marks, words, clock, "lines of times and stages", repairs)


def read_luna_annot(path: Path, words: ScoringWords) -> Scoring:
    """Read a Luna annotation file: class, instance, channel, start, stop, meta, parted by tabs; ``.`` is nothing.

    A stop of ``...`` means until the next row. Source: https://zzz.bwh.harvard.edu/luna/ref/annotations

    Raises:
        UnreadableFileError: it cannot be read, or no row has six columns.
    """
    clock = Clock()
    marks = []
    for line in text_of(path).splitlines():
        cells = [cell.strip() for cell in line.split("\t")]
        if line.startswith("#") or len(cells) < 5 or cells[0] == "class":
            continue
        onset_s = clock.seconds(cells[3].removeprefix("0+"))
        if onset_s is None:
            continue
        stop_s = clock.seconds(cells[4].removeprefix("0+"))
        text = cells[0] if cells[1] in (".", "", cells[0]) else f"{cells[0]} {cells[1]}"
        marks.append(Annotation(onset_s, None if stop_s is None else stop_s - onset_s, text))
    if not marks:
        raise UnreadableFileError(f"{path} has no row of class, instance, channel, start and stop, parted by tabs.")
    return _scoring(marks, words, clock, "Luna annotations", ())


def looks_like_table(text: str) -> bool:
    """Whether one of the first rows is a header that `read_table` understands."""
    return _header_of(rows_of(text[:20_000])) is not None


def _table_of(path: Path) -> _Table:
    rows = rows_of(text_of(path))
    found = _header_of(rows)
    if found is None:
        seen = ", ".join(rows[0][:8]) if rows else "nothing"
        raise UnreadableFileError(
            f"{path} begins with {seen!r}, but a header was expected that names a time or epoch (onset, start, epoch) "
            "and a stage or event (stage, event, description)."
        )
    at, columns = found
    spare = None
    if "event" in columns:  # HSP: what could not be standardised is told in the text beside
        names = [plain_words(cell) for cell in rows[at]]
        spare = next((names.index(n) for n in ("text", "description") if n in names), None)
    return _Table(columns, spare, rows[at + 1 :])


def _header_of(rows: list[list[str]]) -> tuple[int, dict[str, int]] | None:
    for at, row in enumerate(rows[:_HEADER_ROWS]):
        names = [plain_words(cell) for cell in row]
        columns = {
            role: names.index(found)
            for role, known in _COLUMNS.items()
            if (found := next((name for name in known if name in names), None)) is not None
        }
        if {"onset", "epoch"} & set(columns) and {"stage", "event"} & set(columns):
            return at, columns
    return None


def _text_of_row(table: _Table, row: list[str]) -> str:
    text = table.cell(row, "event")
    if text.lower() in _UNMAPPED and table.spare_event is not None and table.spare_event < len(row):
        text = row[table.spare_event].strip()
    if "event" in table.columns:
        return "" if text.lower() in _UNMAPPED else text
    return _stage_text(table.cell(row, "stage"))


def _stage_text(text: str) -> str:
    """A bare digit or word in a column of stages is a stage; `stage_of` wants to be told so."""
    bare = re.fullmatch(r"-?\d(\.0)?|\?|u|unknown|unscored|m|mt|movement", text, re.IGNORECASE)
    return f"Stage {text}" if bare else text


def _time_of_row(table: _Table, row: list[str], clock: Clock, epoch_s: float) -> tuple[float | None, float | None]:
    onset_s = clock.seconds(table.cell(row, "onset")) if "onset" in table.columns else None
    duration_s = number_of(table.cell(row, "duration"))
    if duration_s is None and onset_s is not None and "stop" in table.columns:
        stop_s = clock.seconds(table.cell(row, "stop"))
        duration_s = None if stop_s is None else stop_s - onset_s
    if onset_s is None and "epoch" in table.columns:
        epoch = number_of(table.cell(row, "epoch"))
        if epoch is not None and epoch >= 0:
            onset_s, duration_s = max(epoch - 1, 0.0) * epoch_s, duration_s or epoch_s
    return onset_s, None if duration_s is None or duration_s < 0 else duration_s


def _line(row: list[str], clock: Clock) -> Annotation | None:
    if len(row) < 2:
        return None
    onset_s = clock.seconds(row[0])
    if onset_s is None:
        return None
    rest, duration_s = row[1:], None
    if len(rest) > 1:
        stop_s = clock.seconds(rest[0])
        if stop_s is not None and stop_s >= onset_s and number_of(rest[1]) is None:
            rest, duration_s = rest[1:], stop_s - onset_s
    text = " ".join(rest)
    in_words = _LENGTH_IN_WORDS.search(text)
    if in_words:
        duration_s = number_of(in_words[1])
        text = (text[: in_words.start()] + " " + text[in_words.end() :]).strip()
    return Annotation(onset_s, duration_s, _stage_text(text))


def _scoring(
    marks: list[Annotation], words: ScoringWords, clock: Clock, dialect: str, repairs: tuple[str, ...]
) -> Scoring:
    marks, told = _with_codes(marks, words)
    stages, events = stages_and_events(marks, 0.0, words)
    start = None if clock.is_elapsed else clock.start
    lengths = {span.duration_s for span in stages}
    epoch_s = lengths.pop() if len(lengths) == 1 else None
    return Scoring(tuple(stages), tuple(events), start, dialect, epoch_s, (*repairs, *told))


def _with_codes(marks: list[Annotation], words: ScoringWords) -> tuple[list[Annotation], tuple[str, ...]]:
    """Digits as the cohort's words have them, else by `codes_of`."""
    digits = {m[1] for mark in marks if (m := re.fullmatch(r"Stage (-?\d)(?:\.0)?", mark.text))}
    if not digits:
        return marks, ()
    codes, told = codes_of(digits, words)
    names = {0: "W", 1: "N1", 2: "N2", 3: "N3", 4: "R", None: "?"}
    spelled = []
    for mark in marks:
        match = re.fullmatch(r"Stage (-?\d)(?:\.0)?", mark.text)
        text = f"Sleep stage {names[codes.get(match[1])]}" if match else mark.text
        spelled.append(Annotation(mark.onset_s, mark.duration_s, text))
    return spelled, told


def codes_of(digits: set[str], words: ScoringWords) -> tuple[Mapping[str, int | None], tuple[str, ...]]:
    """What the digits of a hypnogram mean, and what a person should know of it.

    The cohort's words win. Without them digits are those of Rechtschaffen & Kales, where 5 is REM and 4 is N3; a file
    with 4 and without 5 might count 4 as REM, and says so.
    """
    own = {digit: words.stages[digit] for digit in digits if digit in words.stages}
    if own:
        return own, ()
    if "4" in digits and "5" not in digits:
        told = (
            "Digits 0 to 4 without a 5: 4 was read as stage 4 (N3), as Rechtschaffen & Kales count; if it means REM, "
            "say so in a cohort file (scoring: stages: {'4': R}).",
        )
        return RK_CODES, told
    told = (
        "Digits were read as Rechtschaffen & Kales count (0 W, 1 N1, 2 N2, 3 and 4 N3, 5 R); if they mean something "
        "else, say so in a cohort file.",
    )
    return RK_CODES, told
