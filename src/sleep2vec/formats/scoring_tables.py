"""Tables of stages and events that have a header: CSV, TSV, BIDS ``events.tsv``, Noxturnal, STAGES, HSP.

They differ in the names of their columns, and in whether a row has a stop or a duration, an elapsed time, a time of day
or the number of an epoch. Columns are found by their names.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sleep2vec.formats.annotation_text import Clock, number_of, rows_of, text_of
from sleep2vec.formats.annotation_words import plain_words
from sleep2vec.formats.edf_annotations import Annotation
from sleep2vec.formats.stage_codes import legend_beside, legend_in, scoring_of, stage_text
from sleep2vec.vocabulary.errors import UnreadableFileError
from sleep2vec.vocabulary.modalities import TOKEN_SECONDS
from sleep2vec.vocabulary.scoring import Scoring, ScoringWords

# Names of columns as `plain_words` has them, best first.
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "onset": ("onset", "start", "start time", "starttime", "start sec", "start s", "heure de debut", "startzeit",
              "hora de inicio", "inicio", "inizio", "ora di inizio", "ora inizio", "local time start",
              "stamp time local", "record time", "time"),
    "stop": ("stop", "end", "stop time", "end time", "end sec", "end s", "heure de fin", "endzeit", "hora de fin",
             "fin", "fine", "ora di fine", "ora fine"),
    "duration": ("duration", "duration (seconds)", "duration s", "duration sec", "length", "duree", "dauer",
                 "duracion", "duracao", "durata"),
    "event": ("standardised event", "description", "trial type", "event", "class", "annotation", "label", "name",
              "evenement", "ereignis", "evento", "event type"),
    "stage": ("stage hum", "sleep stage", "stage name", "user-defined stage", "stage", "stage majority", "stage ai"),
    "epoch": ("epoch", "epoch number", "epoch id"),
}  # fmt: skip
_HEADER_ROWS = 5
# A title without a meaning in the table of HSP's third site.
_UNMAPPED = ("x", "", "log", "-", "none", "n/a")
_MOST_REPEATED = 0.25


@dataclass(frozen=True)
class _Table:
    columns: Mapping[str, int]
    spare_event: int | None
    titles: list[str]
    rows: list[list[str]]

    def title(self, name: str) -> str:
        """How the table calls a column."""
        return self.titles[self.columns[name]] if name in self.columns else ""

    def cell(self, row: list[str], name: str) -> str:
        at = self.columns.get(name)
        return row[at].strip() if at is not None and at < len(row) else ""


def read_table(path: Path, words: ScoringWords) -> Scoring:
    """Read a table with a header whose columns say when and what; of a row with a stage and an event, both are kept.

    Raises:
        UnreadableFileError: it cannot be read, has no header with a time or epoch and a stage or event, or holds more
            than one night.
    """
    text = text_of(path)
    table = _table_of(path, text)
    clock = Clock(table.cell(row, "onset") for row in table.rows)
    clocks = {True: clock, False: clock.twin()}
    epoch_s = words.epoch_s or float(TOKEN_SECONDS)
    first_epoch = _first_epoch(table)
    stages: list[Annotation] = []
    events: list[Annotation] = []
    n_lost = 0
    for row in table.rows:
        stage, event = _stage_of_row(table, row), _event_of_row(table, row)
        if not (stage or event):
            continue
        # Events that are listed behind the stages of a long night begin their clock anew.
        onset_s, duration_s = _time_of_row(table, row, clocks[bool(stage)], epoch_s, first_epoch)
        if onset_s is None:
            n_lost += 1
            continue
        stages += [Annotation(onset_s, duration_s, stage)] if stage else []
        events += [Annotation(onset_s, duration_s, event)] if event else []
    if not stages and not events:
        raise UnreadableFileError(f"{path} has columns of a scoring, but no row with a time (with seconds) and a word.")
    _check_one_night(path, stages)
    repairs = (f"{n_lost} row(s) of {path.name} without a time were left out.",) if n_lost else ()
    if not stages and _is_column_of_stages(events, words):
        stages, events = [Annotation(e.onset_s, e.duration_s, stage_text(e.text)) for e in events], []
    numbered = "onset" not in table.columns
    return scoring_of(
        [*stages, *events],
        words,
        clock,
        "table of stages and events",
        repairs,
        legend=legend_beside(path, table.title("stage" if "stage" in table.columns else "event")) or legend_in(text),
        assumed_epochs=numbered and words.epoch_s is None and "duration" not in table.columns,
    )


def _first_epoch(table: _Table) -> float:
    """Number of the night's first epoch: people count from 1, programs from 0."""
    numbers = [number_of(table.cell(row, "epoch")) for row in table.rows] if "epoch" in table.columns else []
    return 0.0 if 0.0 in numbers else 1.0


def _check_one_night(path: Path, stages: list[Annotation]) -> None:
    repeated = len(stages) - len({mark.onset_s for mark in stages})
    if repeated > _MOST_REPEATED * max(len(stages), 1):
        raise UnreadableFileError(
            f"{path} has a stage for the same moment more than once in {repeated} of {len(stages)} rows: it holds "
            "several nights or scorers. Give each a file of its own."
        )


def _is_column_of_stages(marks: list[Annotation], words: ScoringWords) -> bool:
    """Whether all that a column of events holds are digits: codes of stages, whatever its title."""
    texts = {mark.text for mark in marks}
    return all(re.fullmatch(r"-?\d(\.0*)?", text) and text not in words.events for text in texts)


def looks_like_table(text: str) -> bool:
    """Whether one of the first rows is a header that `read_table` understands."""
    return _header_of([row for row in rows_of(text[:20_000]) if not row[0].startswith("#")]) is not None


def _table_of(path: Path, text: str) -> _Table:
    rows = [row for row in rows_of(text) if not row[0].startswith("#")]
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
    return _Table(columns, spare, rows[at], rows[at + 1 :])


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


def _event_of_row(table: _Table, row: list[str]) -> str:
    text = table.cell(row, "event")
    if text.lower() in _UNMAPPED and table.spare_event is not None and table.spare_event < len(row):
        text = row[table.spare_event].strip()
    return "" if text.lower() in _UNMAPPED else text


def _stage_of_row(table: _Table, row: list[str]) -> str:
    text = table.cell(row, "stage")
    return "" if text.lower() in ("", "-", "n/a", "none") else stage_text(text)


def _time_of_row(
    table: _Table, row: list[str], clock: Clock, epoch_s: float, first_epoch: float
) -> tuple[float | None, float | None]:
    onset_s = clock.seconds(table.cell(row, "onset")) if "onset" in table.columns else None
    duration_s = number_of(table.cell(row, "duration"))
    if duration_s is None and onset_s is not None and "stop" in table.columns:
        stop_s = clock.seconds(table.cell(row, "stop"))
        duration_s = None if stop_s is None else stop_s - onset_s
    if onset_s is None and "epoch" in table.columns:
        epoch = number_of(table.cell(row, "epoch"))
        if epoch is not None and epoch >= first_epoch:
            onset_s, duration_s = (epoch - first_epoch) * epoch_s, duration_s or epoch_s
    return onset_s, None if duration_s is None or duration_s < 0 else duration_s
