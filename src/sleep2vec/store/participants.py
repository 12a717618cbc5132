"""Who slept where: the table that lies beside a folder of recordings."""

import csv
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from sleep2vec.vocabulary.errors import UsageError
from sleep2vec.vocabulary.subject import Sex, Subject

OLDEST_YEARS = 125
_MORE = "(more cells)"
_MEASURE = re.compile(r"bmi$|(diagnosis|event|time_years)\.\w")
_COLUMNS = ("file", "night_id", "subject_id", "age_years", "sex", "site", "cohort", "family_id", "visit")
_OTHER_NAMES = {
    **dict.fromkeys(("age", "years", "age_at_visit"), "age_years"),
    **dict.fromkeys(("subject", "participant", "participant_id", "person", "patient", "patient_id"), "subject_id"),
    **dict.fromkeys(("gender",), "sex"),
    **dict.fromkeys(("family",), "family_id"),
    **dict.fromkeys(("filename", "path", "recording"), "file"),
}
_SEXES: dict[str, Sex] = {"f": "female", "female": "female", "m": "male", "male": "male"}


@dataclass(frozen=True)
class Participant:
    """One row of ``participants.csv``; anything may be unknown."""

    night_id: str | None = None
    subject_id: str | None = None
    age_years: float | None = None
    sex: Sex | None = None
    site: str | None = None
    cohort: str | None = None
    family_id: str | None = None
    visit: str | None = None
    measures: Mapping[str, float] = field(default_factory=dict)

    def completed(self, subject: Subject) -> Subject:
        """The person by this table, with what only the recording knows."""
        return Subject(
            subject_id=self.subject_id or subject.subject_id,
            age_years=self.age_years if self.age_years is not None else subject.age_years,
            sex=self.sex or subject.sex,
            family_id=self.family_id or subject.family_id,
            measures={**subject.measures, **self.measures},
        )

    def before(self, other: "Participant") -> "Participant":
        """What this row says, and `other` where it says nothing."""
        own = {name: value for name, value in vars(self).items() if value is not None}
        return Participant(**{**vars(other), **own, "measures": {**other.measures, **self.measures}})


def read_participants(folder: Path) -> dict[str, Participant]:
    """Rows of ``participants.csv`` in `folder` by their column ``file`` (path relative to the folder, or name).

    Further columns, all optional: night_id, subject_id, age_years, sex (F/M/female/male), site, cohort, family_id,
    visit, and numbers in columns called ``bmi``, ``diagnosis.X``, ``event.X`` or ``time_years.X`` (see
    `vocabulary.subject.Subject.measures`). Empty cells and ``n/a`` (BIDS) are unknown. Without the table, an
    empty dict.

    Raises:
        UsageError: the table is not UTF-8 text or has no column ``file``, a file has two rows or a row no file, or an
            age or a sex cannot be read.
    """
    path = folder / "participants.csv"
    if not path.exists():
        return {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return _participants(csv.DictReader(file, restkey=_MORE, restval="", strict=True), path)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} is not a CSV table in UTF-8 ({error}); save it again as that.") from None


def _participants(table: "csv.DictReader[str]", path: Path) -> dict[str, Participant]:
    if "file" not in (table.fieldnames or []):
        raise UsageError(f"{path} has no column 'file' (it has {', '.join(table.fieldnames or []) or 'none'}).")
    names = list(table.fieldnames or [])
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise UsageError(f"{path} has the column {', '.join(doubled)} more than once; keep one.")
    for name in names:
        near = _meant(name)
        if near is not None:
            raise UsageError(f"{path} has a column {name!r}, which is not read; did you mean {near!r}?")
    participants: dict[str, Participant] = {}
    for row in table:
        where, file = f"{path} line {table.line_num}", row["file"].strip()
        if _MORE in row:
            raise UsageError(f"{where} has more cells than the first line has columns; quote cells that hold commas.")
        if not file:
            raise UsageError(f"{where} names no file; fill in the column 'file'.")
        if Path(file).as_posix() in participants:
            raise UsageError(f"{where} names {file} a second time; keep one row a recording.")
        participants[Path(file).as_posix()] = _participant(row, where)
    return participants


def _meant(name: str) -> str | None:
    """The column that one with another name may have meant, where one is near enough."""
    if name in _COLUMNS or _MEASURE.match(name):
        return None
    plain = name.strip().lower().replace(" ", "_").replace("-", "_")
    if plain in _COLUMNS:
        return plain
    return _OTHER_NAMES.get(plain) or next(iter(get_close_matches(plain, _COLUMNS, n=1, cutoff=0.85)), None)


def _participant(row: dict[str, str], where: str) -> Participant:
    known = {column: text.strip() for column, text in row.items() if text.strip().lower() not in ("", "n/a")}
    try:
        age_years = float(known["age_years"]) if "age_years" in known else None
    except ValueError:
        age_years = math.nan
    # Tables write -1 or 999 for an unknown age; neither may pass for one.
    if age_years is not None and not 0 <= age_years <= OLDEST_YEARS:
        given, expected = known["age_years"], f"a number from 0 to {OLDEST_YEARS}"
        raise UsageError(f"{where}: age_years is {given!r}, expected {expected}, or nothing where it is unknown.")
    sex = known.get("sex", "").lower()
    if sex and sex not in _SEXES:
        raise UsageError(f"{where}: sex is {sex!r}, expected one of {', '.join(_SEXES)}, or nothing.")
    return Participant(
        night_id=known.get("night_id"),
        subject_id=known.get("subject_id"),
        age_years=age_years,
        sex=_SEXES.get(sex),
        site=known.get("site"),
        cohort=known.get("cohort"),
        family_id=known.get("family_id"),
        visit=known.get("visit"),
        measures={name: _number(known[name], name, where) for name in known if _MEASURE.match(name)},
    )


def _number(text: str, name: str, where: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UsageError(f"{where}: {name} is {text!r}, expected a number, or nothing where it is unknown.")
    return number
