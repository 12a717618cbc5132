"""The label rules of cohorts: YAML in, frozen objects out."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from types import MappingProxyType

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from sleep2vec.vocabulary.errors import RecipeError

GENERIC = "generic"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class UnitRule(_Strict):
    """A unit that settles a channel's kind whatever its label."""

    kind: str
    pattern: str
    reason: str


class LabelRule(_Strict):
    """Patterns of plain labels that mean one kind of channel."""

    kind: str
    reason: str
    patterns: tuple[str, ...]
    rank: int = 0
    taken: bool = True


class CohortFile(_Strict):
    """One YAML of this folder, as written."""

    name: str
    suffixes: tuple[str, ...] = ()
    macros: dict[str, str] = {}
    electrodes: dict[str, str] = {}
    units: tuple[UnitRule, ...] = ()
    rules: tuple[LabelRule, ...] = ()
    preferences: dict[str, tuple[str, ...]] = {}


@dataclass(frozen=True)
class LabelReading:
    """What a label says.

    Attributes:
        kind: Kind of channel, or None when no rule knows the label.
        taken: Whether a modality may be made from this kind.
        rank: Order among channels of one kind, 0 first.
        active, reference: Electrodes, by their modern names, as far as the label tells.
        reason: What the rule says of it.
    """

    kind: str | None
    taken: bool
    reason: str
    rank: int = 0
    active: str | None = None
    reference: str | None = None


_UNKNOWN = LabelReading(None, False, "its label is not known")


@dataclass(frozen=True)
class ChannelRules:
    """Compiled rules of one cohort, with the generic ones behind them."""

    name: str
    preferences: Mapping[str, tuple[str, ...]]
    _units: tuple[tuple[re.Pattern[str], UnitRule], ...]
    _rules: tuple[tuple[re.Pattern[str], LabelRule], ...]
    _electrodes: tuple[tuple[re.Pattern[str], str], ...]
    _suffix: re.Pattern[str]

    def read(self, label: str, unit: str = "") -> LabelReading:
        """What a channel called `label`, measured in `unit`, is. Never raises."""
        plain_unit = plain(unit)
        for pattern, unit_rule in self._units:
            if plain_unit and pattern.fullmatch(plain_unit):
                return LabelReading(unit_rule.kind, False, unit_rule.reason)
        # A rule may want the suffix ("emg1 eg" is an export, "l eg" is not), so the label as it is comes first.
        text = plain(label)
        for form in dict.fromkeys((text, self._suffix.sub("", text))):
            for pattern, rule in self._rules:
                found = pattern.fullmatch(form)
                if found:
                    groups = found.groupdict()
                    active, reference = self._electrode(groups.get("active")), self._electrode(groups.get("reference"))
                    return LabelReading(rule.kind, rule.taken, rule.reason, rule.rank, active, reference)
        return _UNKNOWN

    def _electrode(self, text: str | None) -> str | None:
        if not text:
            return None
        for pattern, name in self._electrodes:
            if pattern.fullmatch(text):
                return name
        return text.capitalize()


def plain(text: str) -> str:
    """A label without case, accents and punctuation: ``"EEG_C3-A2"`` -> ``"eeg c3 a2"``."""
    decomposed = unicodedata.normalize("NFKD", text.lower())
    letters = "".join(char for char in decomposed if not unicodedata.combining(char))
    return " ".join(re.findall(r"[a-z0-9\u03a9\u03c9\u00b0]+", letters))


@lru_cache
def rules_of(cohort: str | None = None) -> ChannelRules:
    """The rules of `cohort`, or the generic ones where the cohort has none of its own.

    Raises:
        RecipeError: the cohort's YAML does not fit the schema or holds a pattern that cannot be compiled.
    """
    generic = _load(GENERIC)
    own = _load(cohort.lower()) if cohort and cohort.lower() in known_cohorts() - {GENERIC} else None
    if own is None:
        return _compile(generic)
    merged = CohortFile(
        name=own.name,
        suffixes=generic.suffixes + own.suffixes,
        macros={**generic.macros, **own.macros},
        electrodes={**own.electrodes, **generic.electrodes},
        units=own.units + generic.units,
        rules=own.rules + generic.rules,
        preferences={**generic.preferences, **own.preferences},
    )
    return _compile(merged)


@lru_cache
def known_cohorts() -> frozenset[str]:
    """Names of the cohorts that have a file here."""
    files = resources.files(__package__).iterdir()
    return frozenset(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml"))


def _load(name: str) -> CohortFile:
    text = resources.files(__package__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    try:
        return CohortFile.model_validate(yaml.safe_load(text))
    except (yaml.YAMLError, ValidationError) as error:
        raise RecipeError(f"the label rules cohorts/{name}.yaml cannot be read: {error}") from error


def _compile(file: CohortFile) -> ChannelRules:
    def compiled(pattern: str) -> re.Pattern[str]:
        for name, macro in file.macros.items():
            pattern = pattern.replace(f"{{{name}}}", f"(?:{macro})")
        try:
            return re.compile(pattern)
        except re.error as error:
            raise RecipeError(f"pattern {pattern!r} of cohorts/{file.name}.yaml cannot be compiled: {error}") from error

    return ChannelRules(
        name=file.name,
        preferences=MappingProxyType(file.preferences),
        _units=tuple((compiled(rule.pattern), rule) for rule in file.units),
        _rules=tuple((compiled(pattern), rule) for rule in file.rules for pattern in rule.patterns),
        _electrodes=tuple((compiled(pattern), name) for name, pattern in file.electrodes.items()),
        _suffix=re.compile(rf" ({'|'.join(map(re.escape, file.suffixes))})$" if file.suffixes else r"(?!)"),
    )
