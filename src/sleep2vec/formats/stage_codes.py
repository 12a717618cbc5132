"""Digits of hypnograms: what they mean, by the cohort, by the file, or by how they follow each other."""

import json
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from sleep2vec.formats.annotation_text import Clock, text_of
from sleep2vec.formats.edf_annotations import Annotation, stages_and_events
from sleep2vec.vocabulary.errors import UnreadableFileError
from sleep2vec.vocabulary.scoring import Scoring, ScoringWords
from sleep2vec.vocabulary.stages import FIVE, FIVE_CODES, RK_CODES, NotAStageError, stage_of

Codes = Mapping[str, int | None]

_BARE = re.compile(r"-?\d(\.0*)?|\?|u|unknown|unscored|m|mt|movement", re.IGNORECASE)
_REM_ABROAD = ("sp", "mor", "paradoxal")  # sommeil paradoxal, movimientos oculares rapidos: elsewhere anything
_STAGE_DIGIT = re.compile(r"Stage (-?\d)(?:\.0*)?")
_LEGEND = re.compile(r"(?<![\d.])(-?\d)\s*[:=]\s*([A-Za-z][A-Za-z0-9 ]*)")
_LEAST_LEGEND = 3
_FOLDERS_ABOVE = 4


def stage_text(text: str) -> str:
    """A bare digit or word in a column of stages is a stage; `stage_of` wants to be told so."""
    plain = text.strip().lower()
    if plain in _REM_ABROAD:
        return "Sleep stage R"
    return f"Stage {text}" if _BARE.fullmatch(text) else text


def scoring_of(
    marks: list[Annotation],
    words: ScoringWords,
    clock: Clock,
    dialect: str,
    repairs: tuple[str, ...],
    *,
    legend: Codes | None = None,
    assumed_epochs: bool = False,
) -> Scoring:
    """Marks as stages and events.

    Args:
        marks: digits of stages are written ``Stage 2``.
        clock: that read the marks' times.
        legend: see `codes_of`.
        assumed_epochs: whether the length of an epoch was assumed and not told.
    """
    marks, told = _spelled(marks, words, legend)
    stages, events = stages_and_events(marks, 0.0, words)
    lengths = {span.duration_s for span in stages}
    epoch_s = lengths.pop() if len(lengths) == 1 and not assumed_epochs else None
    return Scoring(tuple(stages), tuple(events), clock.start, dialect, epoch_s, (*repairs, *told))


def _spelled(
    marks: list[Annotation], words: ScoringWords, legend: Codes | None = None
) -> tuple[list[Annotation], tuple[str, ...]]:
    """Marks whose digits (``Stage 4``) became words, and what a person should know of it."""
    found = [(mark, match[1]) for mark in marks if (match := _STAGE_DIGIT.fullmatch(mark.text))]
    codes, told = codes_of([digit for _, digit in sorted(found, key=lambda pair: pair[0].onset_s)], words, legend)
    digit_of = {id(mark): digit for mark, digit in found}
    return [
        Annotation(mark.onset_s, mark.duration_s, _word(codes.get(digit_of[id(mark)])))
        if id(mark) in digit_of
        else mark
        for mark in marks
    ], told


def codes_of(digits: Sequence[str], words: ScoringWords, legend: Codes | None = None) -> tuple[Codes, tuple[str, ...]]:
    """What the digits of a hypnogram mean, and what a person should know of it.

    The cohort's words win, then what the file itself explains. Without either digits are those of Rechtschaffen &
    Kales, where 5 is REM and 4 is N3. A hypnogram with 4 and without 5 may count 4 as REM. Stage 4 grows out of
    stage 3 and REM hardly ever does, so where most stretches of 4 do not follow a 3, 4 is REM.

    Args:
        digits: in order of time.
        words: the cohort's.
        legend: by digit, where the file or one beside it says what it means.
    """
    if not digits:
        return {}, ()
    own = {digit: words.stages[digit] for digit in digits if digit in words.stages}
    if own:
        return own, ()
    if legend:
        meant = ", ".join(f"{digit} {_name(legend[digit])}" for digit in sorted(set(digits)) if digit in legend)
        unknown = sorted(set(digits) - set(legend))
        left_out = f"; {', '.join(unknown)} it does not explain: unscored" if unknown else ""
        return legend, (f"Digits were read as the scoring itself explains them ({meant}{left_out}).",)
    if "4" in digits and "5" not in digits:
        return _codes_without_five(digits)
    return RK_CODES, (
        "Digits were read as Rechtschaffen & Kales count (0 W, 1 N1, 2 N2, 3 and 4 N3, 5 R); if they mean something "
        "else, say so in a cohort file.",
    )


def _codes_without_five(digits: Sequence[str]) -> tuple[Codes, tuple[str, ...]]:
    scored = [digit for digit in digits if digit in "01234"]
    before = [one for one, other in pairwise(scored) if other == "4" != one]
    from_three = before.count("3")
    if before and from_three < len(before) / 2:
        return FIVE_CODES, (
            f"Digits 0 to 4 without a 5: 4 was read as REM, because {len(before) - from_three} of its {len(before)} "
            "stretches do not follow a 3, as stage 4 would; if it means N3, say so in a cohort file (scoring: stages: "
            "{'4': N3}).",
        )
    return RK_CODES, (
        "Digits 0 to 4 without a 5: 4 was read as stage 4 (N3), as Rechtschaffen & Kales count; if it means REM, say "
        "so in a cohort file (scoring: stages: {'4': R}).",
    )


def legend_in(text: str) -> Codes:
    """What comment lines of a hypnogram say of its digits (``# 0: Wake, 1: N1, 4: REM``); empty where they do not."""
    comments = "\n".join(line for line in text.splitlines() if line.lstrip().startswith("#"))
    return _understood(_LEGEND.findall(comments))


def legend_beside(path: Path, column: str) -> Codes:
    """What a BIDS sidecar says of the digits of a column of ``*_events.tsv``, under ``Levels``."""
    for sidecar in sidecars_of(path):
        try:
            told = json.loads(text_of(sidecar))
        except (ValueError, RecursionError, UnreadableFileError):
            continue
        columns = {name.lower(): facts for name, facts in told.items()} if isinstance(told, dict) else {}
        facts = columns.get(column.lower())
        levels = facts.get("Levels") if isinstance(facts, dict) else None
        if isinstance(levels, dict):
            return _understood([(str(k), v) for k, v in levels.items() if isinstance(v, str)])
    return {}


def sidecars_of(path: Path) -> tuple[Path, ...]:
    """The JSON files that explain a BIDS ``*_events.tsv``: its own, then those that it inherits from the folders above.

    Above, only names are tried that BIDS asks for: folders of many thousand people are not searched.
    """
    if not path.name.lower().endswith("_events.tsv"):
        return ()
    shared = [part for part in path.stem.split("_")[:-1] if not part.startswith(("sub-", "ses-"))]
    task = [part for part in shared if part.startswith("task-")]
    names = dict.fromkeys("_".join([*parts, "events.json"]) for parts in (shared, task, []))
    above = [folder / name for folder in list(path.parents)[:_FOLDERS_ABOVE] for name in names]
    return tuple(found for found in (path.with_suffix(".json"), *above) if found.is_file())


def _understood(pairs: Sequence[tuple[str, str]]) -> Codes:
    """Digits whose explanation is a stage; nothing where too few are for it to be a legend of stages."""
    legend: dict[str, int | None] = {}
    for digit, words in pairs:
        try:
            legend[digit.strip()] = stage_of(words)
        except NotAStageError:
            continue
    return legend if len(legend) >= _LEAST_LEGEND else {}


def _word(stage: int | None) -> str:
    return f"Sleep stage {_name(stage)}"


def _name(stage: int | None) -> str:
    return "?" if stage is None else FIVE[stage]
