"""What is wrong in a cohort's YAML beyond its shape: every mistake with its place and a guess at what was meant."""

import re
from collections.abc import Collection, Iterable, Iterator
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError

from sleep2vec.cohorts.labels import filled, plain
from sleep2vec.cohorts.schema import (
    AnnotationFile,
    ChannelOfCohort,
    CohortFile,
    Column,
    Contradiction,
    LabelRule,
    MetadataTable,
    Montage,
    ScoringRules,
    UnitRule,
)

IDENTITY_FIELDS = ("subject", "visit", "night", "site", "family")
COLUMN_FIELDS = ("subject_id", "age_years", "sex", "family_id", "site")
_MEASURE = re.compile(r"[a-z][a-z0-9_]*|(diagnosis|event|time_years)\.[a-z][a-z0-9_]*")
_FIELD = re.compile(r"{([A-Za-z_]\w*)}")
_MODEL_AT: dict[str, type[BaseModel]] = {
    "rules": LabelRule,
    "units": UnitRule,
    "contradictions": Contradiction,
    "scoring": ScoringRules,
    "files": AnnotationFile,
    "metadata": MetadataTable,
    "columns": Column,
    "measures": Column,
    "montages": Montage,
    "channels": ChannelOfCohort,
}
# What a regular expression may hold that is no text of a label.
_NOT_TEXT = re.compile(r"\\[wdbWDB]|\(\?P<\w+>|\(\?[:!=]|\[[^\]]*\]|{\d+(,\d*)?}|{[A-Za-z_]\w*}|[().|?*+^$]")


def mistakes_of_shape(error: ValidationError) -> list[str]:
    """What does not fit the schema; a name that it does not have gets a guess."""
    told = []
    for wrong in error.errors():
        place = ".".join(map(str, wrong["loc"])) or "file"
        if wrong["type"] == "extra_forbidden":
            told.append(f"{place}: there is no such field{_guess(str(wrong['loc'][-1]), _fields_at(wrong['loc']))}")
        elif wrong["type"] == "literal_error":
            names = re.findall(r"'([^']+)'", wrong["msg"])
            told.append(f"{place}: {wrong['msg']}, not {wrong['input']!r}{_guess(str(wrong['input']), names)}")
        else:
            told.append(f"{place}: {wrong['msg']}")
    return told


def mistakes_of_meaning(file: CohortFile, generic: CohortFile, taken_names: Collection[str]) -> list[str]:
    """What fits the schema and means nothing.

    Args:
        file: The cohort.
        generic: The rules behind it, whose kinds, macros and electrodes it may use.
        taken_names: Names that belong to other cohorts.
    """
    told = []
    if file.name in taken_names:
        told.append(f"name: {file.name} is a cohort of the catalog; give yours a name of its own")
    found = set()
    for i, pattern in enumerate(file.identity):
        told += _identity(f"identity.{i}", pattern)
        found |= _groups(pattern)
    told += _scoring(file, found)
    named_by_table = False
    for i, table in enumerate(file.metadata):
        told += _table(f"metadata.{i}", table, found | ({"subject_id"} if named_by_table else set()))
        named_by_table |= "subject_id" in table.columns
    return [*told, *_kinds(file, generic), *_patterns(file, generic), *_preferences(file, generic)]


def _guess(word: str, choices: Iterable[str]) -> str:
    close = get_close_matches(word, list(choices), n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _fields_at(place: tuple[int | str, ...]) -> Collection[str]:
    model: Any = next((_MODEL_AT[str(part)] for part in reversed(place[:-1]) if part in _MODEL_AT), CohortFile)
    return list(model.model_fields)


def _groups(pattern: str) -> set[str]:
    try:
        return set(re.compile(pattern).groupindex)
    except re.error:
        return set()


def _identity(place: str, pattern: str) -> list[str]:
    try:
        groups = re.compile(pattern).groupindex
    except re.error as error:
        return [f"{place}: {pattern!r} cannot be compiled: {error}"]
    known = ", ".join(IDENTITY_FIELDS)
    return [
        f"{place}: {pattern!r} names the group {name}{_guess(name, IDENTITY_FIELDS)}; known: {known}"
        for name in groups
        if name not in IDENTITY_FIELDS
    ]


def _scoring(file: CohortFile, found: set[str]) -> list[str]:
    known = {"stem", *found}
    return [
        f"scoring.files.{i}.name: {{{name}}} is found by no pattern of `identity`{_guess(name, known)}; "
        f"known: {', '.join(sorted(known))}"
        for i, scoring in enumerate(file.scoring.files)
        for name in _FIELD.findall(scoring.name)
        if name not in known
    ]


def _table(place: str, table: MetadataTable, found: set[str]) -> Iterator[str]:
    for i, pattern in enumerate(table.identity):
        yield from _identity(f"{place}.identity.{i}", pattern)
    known = set().union(*map(_groups, table.identity)) if table.identity else found
    for name in table.key:
        if name not in known:
            listed = ", ".join(sorted(known)) or "none"
            yield f"{place}.key.{name}: no pattern of `identity` finds it{_guess(name, known)}; found are: {listed}"
    for name, column in table.columns.items():
        if name not in COLUMN_FIELDS:
            listed = ", ".join(COLUMN_FIELDS)
            yield f"{place}.columns.{name}: no such field{_guess(name, COLUMN_FIELDS)}; known: {listed}"
        if name == "sex" and not set(column.codes.values()) <= {"female", "male"}:
            yield f"{place}.columns.sex.codes: values must be female or male"
    for name, column in table.measures.items():
        if not _MEASURE.fullmatch(name):
            prefixes = ("diagnosis", "event", "time_years")
            hint = _guess(name.partition(".")[0], prefixes)
            yield f"{place}.measures.{name}: expected a name as bmi, diagnosis.X, event.X or time_years.X{hint}"
        if not all(isinstance(value, int | float) for value in column.codes.values()):
            yield f"{place}.measures.{name}.codes: values must be numbers"


def _kinds(file: CohortFile, generic: CohortFile) -> Iterator[str]:
    serving = {rule.kind for rule in generic.rules if rule.taken}
    known = {*(rule.kind for rule in generic.rules), *(rule.kind for rule in generic.units)}
    named = [(f"rules.{i}", rule.kind) for i, rule in enumerate(file.rules)]
    named += [(f"units.{i}", rule.kind) for i, rule in enumerate(file.units)]
    named += [(f"contradictions.{i}", kind) for i, rule in enumerate(file.contradictions) for kind in rule.kinds]
    named += [
        (f"montages.{i}.channels.{j}", channel.kind)
        for i, montage in enumerate(file.montages)
        for j, channel in enumerate(montage.channels)
    ]
    for place, kind in named:
        if kind not in known:
            yield f"{place}.kind: there is no kind {kind!r}{_guess(kind, known)}; known: {', '.join(sorted(known))}"
    for i, rule in enumerate(file.rules):
        if rule.taken and rule.kind in known - serving:
            yield f"rules.{i}.kind: no modality is made from {rule.kind}; say `taken: false`"


def _patterns(file: CohortFile, generic: CohortFile) -> Iterator[str]:
    macros = {**generic.macros, **file.macros}
    named = [(f"macros.{name}", text) for name, text in file.macros.items()]
    named += [(f"electrodes.{name}", text) for name, text in file.electrodes.items()]
    named += [(f"units.{i}.pattern", rule.pattern) for i, rule in enumerate(file.units)]
    named += [(f"contradictions.{i}.pattern", rule.pattern) for i, rule in enumerate(file.contradictions)]
    named += [
        (f"rules.{i}.patterns.{j}", text) for i, rule in enumerate(file.rules) for j, text in enumerate(rule.patterns)
    ]
    for place, text in named:
        for name in _FIELD.findall(text):
            if name not in macros:
                yield f"{place}: {text!r} uses the macro {{{name}}}, which does not exist{_guess(name, macros)}"
        try:
            re.compile(filled(text, macros))
        except re.error as error:
            yield f"{place}: {text!r} cannot be compiled: {error}"
            continue
        lost = _lost_in_plain(text, keep="%" if place.startswith(("units", "contradictions")) else "")
        if lost:
            yield (
                f"{place}: {text!r} has {lost!r}, which no plain label has: capitals become small letters, accents go, "
                f"and all else but letters and digits becomes one space ({plain(text)!r})"
            )


def _lost_in_plain(pattern: str, keep: str) -> str:
    """Characters of a pattern that no plain label has."""
    text = _NOT_TEXT.sub(" ", pattern).replace("\\", "")
    allowed = set(plain(text, keep)) | {" "}
    return "".join(dict.fromkeys(char for char in text if char not in allowed))


def _preferences(file: CohortFile, generic: CohortFile) -> Iterator[str]:
    electrode = re.compile(filled("{scalp}|{mastoid}|[1-9]", generic.macros))
    named = {name for f in (file, generic) for name in f.electrodes}
    named |= {name for rule in file.rules for name in (rule.active, rule.reference) if name}
    for what, order in file.preferences.items():
        if what not in generic.preferences:
            listed = ", ".join(generic.preferences)
            yield f"preferences.{what}: nothing has this order{_guess(what, generic.preferences)}; known: {listed}"
            continue
        usual = generic.preferences[what]
        of_electrodes = "*" in usual
        for i, entry in enumerate(order):
            parts = [part for part in entry.split("-") if part not in ("*", "derivation")]
            right = entry in usual or (
                of_electrodes and all(part in named or electrode.fullmatch(part.lower()) for part in parts)
            )
            if not right or entry.count("-") > 1:
                told = f"{entry!r} is neither an electrode nor a derivation{_guess(entry, usual)}"
                yield f"preferences.{what}.{i}: {told}"
