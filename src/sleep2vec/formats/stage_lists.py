"""Hypnograms that are only a list of stages, one an epoch: text, Dreem's JSON, Stanford's output."""

import json
import re
from pathlib import Path

from sleep2vec.formats.annotation_text import text_of
from sleep2vec.formats.stage_codes import codes_of, legend_in
from sleep2vec.vocabulary.errors import UnreadableFileError
from sleep2vec.vocabulary.modalities import TOKEN_SECONDS
from sleep2vec.vocabulary.scoring import Scoring, ScoringWords
from sleep2vec.vocabulary.stages import FIVE_CODES, NotAStageError, StageSpan, stage_of

_STANFORD_EPOCH_S = 15.0
_CODE = re.compile(r"-?\d(\.0*)?")


def read_stage_text(path: Path, words: ScoringWords) -> Scoring:
    """Read one stage a line, as a digit or a word; the first line may be a title.

    The file does not say how long an epoch is: `words.epoch_s`, else 30 s, which `reader.read` corrects by the length
    of the recording.

    Raises:
        UnreadableFileError: it cannot be read, or a line is no stage.
    """
    return _listed(path, words, words.epoch_s, "list of stages")


def read_stanford_stages(path: Path, words: ScoringWords) -> Scoring:
    """Read the output of stanford-stages: ``.hypnogram.txt`` has one digit every 15 s, ``.hypnogram.sta`` every 30 s.

    Raises:
        UnreadableFileError: it cannot be read, or a line is no stage.
    """
    epoch_s = float(TOKEN_SECONDS) if path.suffix.lower() == ".sta" else _STANFORD_EPOCH_S
    return _listed(path, words, epoch_s, "output of stanford-stages")


def read_dreem_json(path: Path, words: ScoringWords) -> Scoring:
    """Read a hypnogram of the Dreem Open Datasets: a JSON list of codes 0 to 4 in the order W N1 N2 N3 R, else -1.

    Raises:
        UnreadableFileError: it is no JSON, or no list of whole numbers.
    """
    try:
        codes = json.loads(text_of(path))
    except (ValueError, RecursionError) as error:
        raise UnreadableFileError(f"{path} is no JSON ({error}); a list of stages was expected.") from None
    if (
        not isinstance(codes, list)
        or not codes
        or not all(isinstance(c, int) and not isinstance(c, bool) for c in codes)
    ):
        raise UnreadableFileError(f"{path} holds no JSON list of whole numbers, one an epoch of 30 s.")
    meaning = {**FIVE_CODES, **words.stages}
    epoch_s = words.epoch_s or float(TOKEN_SECONDS)
    spans = [StageSpan(i * epoch_s, epoch_s, meaning.get(str(code))) for i, code in enumerate(codes)]
    return Scoring(tuple(spans), dialect="list of stages of the Dreem Open Datasets", epoch_s=epoch_s)


def _listed(path: Path, words: ScoringWords, epoch_s: float | None, dialect: str) -> Scoring:
    text = text_of(path)
    lines, n_blank = _lines_of(text)
    if lines and not _is_stage(lines[0], words):
        lines = lines[1:]  # a title
    wrong = next((line for line in lines if line and not _is_stage(line, words)), None)
    if wrong is not None or not lines:
        what = f"the line {wrong[:40]!r}" if wrong is not None else "no line"
        raise UnreadableFileError(f"{path} holds {what}, where one sleep stage a line was expected.")
    digits = [_digit(line) for line in lines if _CODE.fullmatch(line) and line.lower() not in words.stages]
    codes, told = codes_of(digits, words, legend_in(text))
    if n_blank:
        told = (*told, f"{n_blank} empty line(s) between stages were taken as epochs that nobody scored.")
    step_s = epoch_s or float(TOKEN_SECONDS)
    spans = []
    for i, line in enumerate(lines):
        word = line.lower()
        if word in words.stages:
            stage = words.stages[word]
        elif not line:
            stage = None
        else:
            stage = codes.get(_digit(line)) if _CODE.fullmatch(line) else stage_of(line)
        spans.append(StageSpan(i * step_s, step_s, stage))
    return Scoring(tuple(spans), (), None, dialect, epoch_s, told)


def _lines_of(text: str) -> tuple[list[str], int]:
    """Lines without comments; empty ones inside are epochs, and counted, unless every second line is empty."""
    lines = [line.strip() for line in text.strip().splitlines() if not line.startswith("#")]
    while lines and not lines[0]:
        lines = lines[1:]
    n_blank = lines.count("")
    if n_blank and all(not line for line in lines[1::2]):
        lines, n_blank = [line for line in lines if line], 0
    return lines, n_blank


def _digit(line: str) -> str:
    return line.partition(".")[0]


def _is_stage(line: str, words: ScoringWords) -> bool:
    if _CODE.fullmatch(line) or line.lower() in words.stages:
        return True
    try:
        stage_of(line)
    except NotAStageError:
        return False
    return True
