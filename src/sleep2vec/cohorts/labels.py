"""What a channel's label and unit say, by the rules of one cohort."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sleep2vec.cohorts.schema import Certainty, CohortFile, LabelRule, UnitRule
from sleep2vec.vocabulary.errors import RecipeError


@dataclass(frozen=True)
class LabelReading:
    """What a label says.

    Attributes:
        kind: Kind of channel, or None when no rule knows the label.
        taken: Whether a modality may be made from this kind.
        rank: Order among channels of one kind, 0 first.
        active, reference: Electrodes, by their modern names, as far as the label tells.
        reason: What the rule says of it.
        certainty: How far the rule can be trusted.
        cohort: Whose rule it was: a cohort's name, or ``"generic"``.
    """

    kind: str | None
    taken: bool
    reason: str
    rank: int = 0
    active: str | None = None
    reference: str | None = None
    certainty: Certainty = "sure"
    cohort: str = ""


_UNKNOWN = LabelReading(None, False, "its label is not known")


@dataclass(frozen=True)
class ChannelRules:
    """Compiled rules of one cohort, with the generic ones behind them."""

    name: str
    preferences: Mapping[str, tuple[str, ...]]
    _units: tuple[tuple[re.Pattern[str], UnitRule, str], ...]
    _rules: tuple[tuple[re.Pattern[str], LabelRule, str], ...]
    _electrodes: tuple[tuple[re.Pattern[str], str], ...]
    _suffix: re.Pattern[str]

    def read(self, label: str, unit: str = "") -> LabelReading:
        """What a channel called `label`, measured in `unit`, is. Never raises."""
        plain_unit = plain(unit)
        for pattern, unit_rule, cohort in self._units:
            if plain_unit and pattern.fullmatch(plain_unit):
                return LabelReading(unit_rule.kind, False, unit_rule.reason, cohort=cohort)
        # A rule may want the suffix ("emg1 eg" is an export, "l eg" is not), so the label as it is comes first.
        text = plain(label)
        for form in dict.fromkeys((text, self._suffix.sub("", text))):
            for pattern, rule, cohort in self._rules:
                found = pattern.fullmatch(form)
                if found:
                    groups = found.groupdict()
                    active = rule.active or self._electrode(groups.get("active"))
                    reference = rule.reference or self._electrode(groups.get("reference"))
                    return LabelReading(
                        rule.kind, rule.taken, rule.reason, rule.rank, active, reference, rule.certainty, cohort
                    )
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


def compile_rules(own: CohortFile | None, generic: CohortFile) -> ChannelRules:
    """The rules of `own` in front of the generic ones.

    Raises:
        RecipeError: a pattern cannot be compiled.
    """
    files = [file for file in (own, generic) if file is not None]
    macros = {name: macro for file in reversed(files) for name, macro in file.macros.items()}
    electrodes = {name: pattern for file in files for name, pattern in file.electrodes.items()} | generic.electrodes
    suffixes = [suffix for file in files for suffix in file.suffixes]

    def compiled(pattern: str) -> re.Pattern[str]:
        for name, macro in macros.items():
            pattern = pattern.replace(f"{{{name}}}", f"(?:{macro})")
        try:
            return re.compile(pattern)
        except re.error as error:
            raise RecipeError(f"pattern {pattern!r} of cohort {files[0].name} cannot be compiled: {error}") from error

    return ChannelRules(
        name=files[0].name,
        preferences=MappingProxyType({**generic.preferences, **files[0].preferences}),
        _units=tuple((compiled(rule.pattern), rule, file.name) for file in files for rule in file.units),
        _rules=tuple(
            (compiled(pattern), rule, file.name) for file in files for rule in file.rules for pattern in rule.patterns
        ),
        _electrodes=tuple((compiled(pattern), name) for name, pattern in electrodes.items()),
        _suffix=re.compile(rf" ({'|'.join(map(re.escape, suffixes))})$" if suffixes else r"(?!)"),
    )
