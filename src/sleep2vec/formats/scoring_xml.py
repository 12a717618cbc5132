"""Scorings in XML: the NSRR's translation, and Compumedics Profusion's own export.

XML of strangers is parsed without entities, document types and network (defusedxml).
"""

from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from sleep2vec.formats.annotation_text import number_of
from sleep2vec.formats.edf_annotations import Annotation, stages_and_events
from sleep2vec.vocabulary.errors import UnreadableFileError
from sleep2vec.vocabulary.modalities import TOKEN_SECONDS
from sleep2vec.vocabulary.scoring import Scoring, ScoringWords
from sleep2vec.vocabulary.stages import RK_CODES, StageSpan

_LARGEST_BYTES = 100_000_000
_NSRR, _PROFUSION = "PSGAnnotation", "CMPStudyConfig"


def read_nsrr_xml(path: Path, words: ScoringWords) -> Scoring:
    """Read NSRR annotations: stages and events alike are runs with a concept, a start and a duration in seconds.

    Raises:
        UnreadableFileError: it is no such XML, or one that must not be parsed.
    """
    root = _root(path)
    if _tag(root) != _NSRR:
        raise _wrong_root(path, root, _NSRR, "NSRR")
    marks, n_lost = [], 0
    for event in _all(root, "ScoredEvent"):
        concept = _text(event, "EventConcept")
        if not concept or concept == "Recording Start Time":
            continue
        onset_s = number_of(_text(event, "Start"))
        if onset_s is None:
            n_lost += 1
            continue
        duration_s = number_of(_text(event, "Duration"))
        marks.append(Annotation(onset_s, None if duration_s is None else max(duration_s, 0.0), concept))
    stages, events = stages_and_events(marks, 0.0, words)
    return Scoring(tuple(stages), tuple(events), None, "NSRR XML", _epoch_s(root), _lost(n_lost, path))


def read_profusion_xml(path: Path, words: ScoringWords) -> Scoring:
    """Read a Compumedics Profusion export: one stage an epoch, events with a name, a start and a duration.

    Stages are digits of Rechtschaffen & Kales.

    Raises:
        UnreadableFileError: it is no such XML, or one that must not be parsed.
    """
    root = _root(path)
    if _tag(root) != _PROFUSION:
        raise _wrong_root(path, root, _PROFUSION, "Compumedics Profusion")
    epoch_s = _epoch_s(root) or float(TOKEN_SECONDS)
    stages, unknown = [], set()
    for i, element in enumerate(_all(root, "SleepStage")):
        code = (element.text or "").strip()
        known = words.stages.get(code, RK_CODES.get(code))
        if code not in words.stages and code not in RK_CODES:
            unknown.add(code)
        stages.append(StageSpan(i * epoch_s, epoch_s, known))
    marks, n_lost = [], 0
    for event in _all(root, "ScoredEvent"):
        name, onset_s = _text(event, "Name"), number_of(_text(event, "Start"))
        if onset_s is None:
            n_lost += 1
        elif name:
            marks.append(Annotation(onset_s, number_of(_text(event, "Duration")), name))
    _, events = stages_and_events(marks, 0.0, words)
    told = (f"Stages {', '.join(map(repr, sorted(unknown)))} are unknown, left unscored.",) if unknown else ()
    return Scoring(
        tuple(stages), tuple(events), None, "Compumedics Profusion XML", epoch_s, (*_lost(n_lost, path), *told)
    )


def read_scoring_xml(path: Path, words: ScoringWords) -> Scoring:
    """Read one of the two, told by its first element."""
    return read_nsrr_xml(path, words) if _tag(_root(path)) == _NSRR else read_profusion_xml(path, words)


def _root(path: Path) -> Element:
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import parse

    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise UnreadableFileError(f"{path} has {path.stat().st_size} bytes; no scoring of a night is that long.")
        root: Element | None = parse(path, forbid_dtd=True).getroot()
    except DefusedXmlException as error:
        kind = type(error).__name__
        raise UnreadableFileError(
            f"{path} declares a document type or entities ({kind}), which a scoring does not need and which can harm; "
            "it was not parsed. Export it again."
        ) from None
    except (ParseError, ValueError, LookupError, OSError) as error:
        raise UnreadableFileError(f"{path} is no well-formed XML ({error}); export it again.") from None
    if root is None:
        raise UnreadableFileError(f"{path} is an XML file without an element; export it again.")
    return root


def _wrong_root(path: Path, root: Element, expected: str, who: str) -> UnreadableFileError:
    return UnreadableFileError(f"{path} begins with <{_tag(root)}>, but a scoring of {who} begins with <{expected}>.")


def _tag(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _all(root: Element, tag: str) -> Iterator[Element]:
    return (element for element in root.iter() if _tag(element) == tag)


def _text(element: Element, tag: str) -> str:
    return next(((child.text or "").strip() for child in element if _tag(child) == tag), "")


def _epoch_s(root: Element) -> float | None:
    length_s = number_of(next(((e.text or "") for e in _all(root, "EpochLength")), ""))
    return length_s if length_s is not None and 0 < length_s <= 300 else None


def _lost(n_lost: int, path: Path) -> tuple[str, ...]:
    return (f"{n_lost} event(s) of {path.name} without a start were left out.",) if n_lost else ()
