"""Stages of the Wisconsin Sleep Cohort's older system: a table of epochs, and a log that tells when they begin."""

import re
from dataclasses import replace
from datetime import datetime, time
from pathlib import Path

from sleep2vec.formats.annotation_text import text_of
from sleep2vec.formats.scoring_tables import read_table
from sleep2vec.vocabulary.errors import UnreadableFileError
from sleep2vec.vocabulary.scoring import NO_DATE, Scoring, ScoringWords

_ENDING = re.compile(r"\.stg\.txt$", re.IGNORECASE)
_STARTED = re.compile(r"^\s*(\d{1,2}):(\d{2}):(\d{2})\b[^\t]*\t\s*Recording Started\s*(?:\t|$)", re.IGNORECASE)


def read_wsc_stages(path: Path, words: ScoringWords) -> Scoring:
    """Read ``X.stg.txt`` (epoch, stage, the program's stage); ``X.log.txt`` beside it says when its first epoch begins.

    Lines of the log are ``22:30:00 1<tab>Recording Started``. Without a log, or one that tells no start, epochs count
    from the recording's first sample, and that is said.

    Raises:
        UnreadableFileError: it is no such table, or its log tells of several starts: a recording that was interrupted,
            of which nothing says where it lies on the recording.
    """
    scoring = read_table(path, words)
    logs = [log for log in path.parent.iterdir() if log.name.lower() == _ENDING.sub(".log.txt", path.name).lower()]
    starts = sorted({t for log in logs for t in _starts_in(text_of(log))}) if logs and logs[0] != path else []
    if len(starts) > 1:
        raise UnreadableFileError(
            f"{logs[0].name} tells of {len(starts)} starts ({', '.join(map(str, starts))}): which of them the first "
            f"epoch of {path.name} belongs to is not known."
        )
    if not starts:
        missing = f"{logs[0].name} tells no start" if logs else "no log (.log.txt) lies beside it"
        told = f"{missing}: its epochs were counted from the recording's first sample."
        return replace(scoring, repairs=(*scoring.repairs, told))
    told = f"its first epoch begins at {starts[0]}, as {logs[0].name} says."
    return replace(scoring, start=datetime.combine(NO_DATE, starts[0]), repairs=(*scoring.repairs, told))


def _starts_in(log: str) -> list[time]:
    found = [match for line in log.splitlines() if (match := _STARTED.match(line))]
    return [time(int(m[1]) % 24, int(m[2]) % 60, int(m[3]) % 60) for m in found]
