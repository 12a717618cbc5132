"""Every dialect of annotation files, and which one a file is."""

from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

from sleep2vec.formats.annotation_text import number_of, rows_of, text_of
from sleep2vec.formats.edf_annotations import read_hypnogram
from sleep2vec.formats.event_traces import read_event_traces
from sleep2vec.formats.luna_annotations import read_luna_annot
from sleep2vec.formats.scoring_tables import looks_like_table, read_table
from sleep2vec.formats.scoring_xml import read_nsrr_xml, read_profusion_xml, read_scoring_xml
from sleep2vec.formats.stage_lists import read_dreem_json, read_stage_text, read_stanford_stages
from sleep2vec.formats.timed_lines import read_timed_lines
from sleep2vec.formats.wfdb_annotations import (
    is_rdann_text,
    read_rdann_stages,
    read_wfdb_apnea,
    read_wfdb_arousal,
    read_wfdb_stages,
)
from sleep2vec.formats.wsc_stages import read_wsc_stages
from sleep2vec.vocabulary.errors import UnreadableFileError
from sleep2vec.vocabulary.scoring import EVERYBODYS_WORDS, Scoring, ScoringWords

_Reader = Callable[[Path, ScoringWords], Scoring]

# A new dialect is one new line here.
ANNOTATION_READERS: MappingProxyType[str, _Reader] = MappingProxyType(
    {
        "edf_plus": read_hypnogram,
        "event_traces": read_event_traces,
        "nsrr_xml": read_nsrr_xml,
        "profusion_xml": read_profusion_xml,
        "stage_text": read_stage_text,
        "timed_text": read_timed_lines,
        "timed_csv": read_table,
        "luna_annot": read_luna_annot,
        "bids_events": read_table,
        "noxturnal_csv": read_table,
        "hsp_csv": read_table,
        "dreem_json": read_dreem_json,
        "stanford_stages": read_stanford_stages,
        "wfdb_st": read_wfdb_stages,
        "rdann_text": read_rdann_stages,
        "wfdb_apn": read_wfdb_apnea,
        "wfdb_arousal": read_wfdb_arousal,
        "wsc_stg": read_wsc_stages,
    }
)
_BY_ENDING: MappingProxyType[str, _Reader] = MappingProxyType(
    {
        ".hypnogram.txt": read_stanford_stages,
        ".hypnogram.sta": read_stanford_stages,
        ".xml": read_scoring_xml,
        ".json": read_dreem_json,
        ".annot": read_luna_annot,
        ".st": read_wfdb_stages,
        ".apn": read_wfdb_apnea,
        ".arousal": read_wfdb_arousal,
    }
)
_EDF_ENDINGS = (".edf", ".bdf", ".rec")


def read_scoring(path: Path, words: ScoringWords = EVERYBODYS_WORDS, dialect: str | None = None) -> Scoring:
    """Read an annotation file of any dialect.

    Args:
        path: the file.
        words: what the cohort's scorers mean by their words.
        dialect: a key of `ANNOTATION_READERS`; None finds out by the file's ending and its first lines.

    Raises:
        UnreadableFileError: it is not what its name says, or no dialect fits.
    """
    if dialect is not None and dialect not in ANNOTATION_READERS:
        raise UnreadableFileError(
            f"there is no annotation dialect {dialect!r}; known: {', '.join(ANNOTATION_READERS)}."
        )
    reader = ANNOTATION_READERS[dialect] if dialect else _reader_of(path)
    return reader(path, words)


def _reader_of(path: Path) -> _Reader:
    name = path.name.lower()
    found = next((reader for ending, reader in _BY_ENDING.items() if name.endswith(ending)), None)
    if found is not None:
        return found
    return _edf if name.endswith(_EDF_ENDINGS) else _text


def _edf(path: Path, words: ScoringWords) -> Scoring:
    try:
        return read_hypnogram(path, words)
    except UnreadableFileError:
        if "annotations" not in path.stem.lower():
            raise
    return read_event_traces(path, words)


def _text(path: Path, words: ScoringWords) -> Scoring:
    text = text_of(path)
    if is_rdann_text(text):
        return read_rdann_stages(path, words)
    if looks_like_table(text):
        return read_table(path, words)
    head = rows_of(text[:5_000])[:20]
    timed = [row for row in head if len(row) > 1 and (number_of(row[0]) is not None or ":" in row[0])]
    return read_timed_lines(path, words) if len(timed) > len(head) / 2 else read_stage_text(path, words)
