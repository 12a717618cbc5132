"""What a channel's label and unit say, by the rules of one cohort."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from sleep2vec.cohorts.schema import Certainty, CohortFile, Contradiction, LabelRule, UnitRule


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


_DUPLICATE = re.compile(r"-(\d{1,2})\s*$")
_UNKNOWN = LabelReading(None, False, "its label is not known")


@dataclass(frozen=True)
class ChannelRules:
    """Compiled rules of one cohort, with the generic ones behind them."""

    name: str
    preferences: Mapping[str, tuple[str, ...]]
    _units: tuple[tuple[re.Pattern[str], UnitRule, str], ...]
    _contradictions: tuple[tuple[re.Pattern[str], Contradiction], ...]
    _rules: tuple[tuple[re.Pattern[str], LabelRule, str], ...]
    _electrodes: tuple[tuple[re.Pattern[str], str], ...]
    _suffix: re.Pattern[str]

    def read(self, label: str, unit: str = "", *, is_duplicate: bool = False) -> LabelReading:
        """What a channel called `label`, measured in `unit`, is. Never raises.

        Args:
            label, unit: as the file has them.
            is_duplicate: whether the label ends in the number of a duplicate (see `duplicates_in`), and not in its own.
        """
        plain_unit = plain(unit, keep="%")
        for pattern, unit_rule, cohort in self._units:
            if plain_unit and pattern.fullmatch(plain_unit):
                return LabelReading(unit_rule.kind, False, unit_rule.reason, cohort=cohort)
        return self._possible(self._read_label(label, is_duplicate), unit, plain_unit)

    def _read_label(self, label: str, is_duplicate: bool) -> LabelReading:
        # A rule may want the suffix ("emg1 eg" is an export, "l eg" is not), so the label as it is comes first.
        text, bare = plain(label), plain(_DUPLICATE.sub("", label))
        is_duplicate |= label.rstrip().endswith("-0")
        forms = [] if is_duplicate else [text, self._suffix.sub("", text)]
        readings = [self._read_form(form) for form in dict.fromkeys([*forms, bare, self._suffix.sub("", bare)])]
        known = [reading for reading in readings if reading.kind is not None]
        return next((reading for reading in known if reading.certainty != "guess"), known[0] if known else _UNKNOWN)

    def _read_form(self, form: str) -> LabelReading:
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

    def _possible(self, reading: LabelReading, unit: str, plain_unit: str) -> LabelReading:
        """The reading, or that it cannot be because of the unit."""
        for pattern, contradiction in self._contradictions if reading.taken else ():
            if reading.kind in contradiction.kinds and pattern.fullmatch(plain_unit):
                told = f"{reading.reason} by its label, but in {unit.strip()}: {contradiction.reason}"
                return replace(reading, taken=False, reason=told)
        return reading

    def _electrode(self, text: str | None) -> str | None:
        if not text:
            return None
        for pattern, name in self._electrodes:
            if pattern.fullmatch(text):
                return name
        return text.capitalize()


def plain(text: str, keep: str = "") -> str:
    """A label without case, accents and punctuation (but for `keep`): ``"EEG_C3-A2"`` -> ``"eeg c3 a2"``."""
    decomposed = unicodedata.normalize("NFKD", text.lower())
    letters = "".join(char for char in decomposed if not unicodedata.combining(char))
    return " ".join(re.findall(rf"[a-z0-9\u03a9\u03c9\u00b0{re.escape(keep)}]+", letters))


def duplicates_in(labels: Iterable[str]) -> frozenset[str]:
    """Labels that end in the number of a duplicate: MNE calls channels of one label ``ECG-0``, ``ECG-1``.

    Nobody numbers electrodes from 0, so where there is an ``ECG-0``, ``ECG-1`` is its twin and no first electrode.
    """
    found = {label: match for label in labels if (match := _DUPLICATE.search(label.strip()))}
    first = {label.strip()[: match.start()] for label, match in found.items() if match[1] == "0"}
    return frozenset(label for label, match in found.items() if label.strip()[: match.start()] in first)


def compile_rules(own: CohortFile | None, generic: CohortFile) -> ChannelRules:
    """The rules of `own` in front of the generic ones; both have been checked (`mistakes.mistakes_of_meaning`)."""
    files = [file for file in (own, generic) if file is not None]
    macros = {name: macro for file in reversed(files) for name, macro in file.macros.items()}
    electrodes = {name: pattern for file in files for name, pattern in file.electrodes.items()} | generic.electrodes
    suffixes = [suffix for file in files for suffix in file.suffixes]

    def compiled(pattern: str) -> re.Pattern[str]:
        return re.compile(filled(pattern, macros))

    return ChannelRules(
        name=files[0].name,
        preferences=MappingProxyType({**generic.preferences, **files[0].preferences}),
        _units=tuple((compiled(rule.pattern), rule, file.name) for file in files for rule in file.units),
        _contradictions=tuple((compiled(rule.pattern), rule) for file in files for rule in file.contradictions),
        _rules=tuple(
            (compiled(pattern), rule, file.name) for file in files for rule in file.rules for pattern in rule.patterns
        ),
        _electrodes=tuple((compiled(pattern), name) for name, pattern in electrodes.items()),
        _suffix=re.compile(rf" ({'|'.join(map(re.escape, suffixes))})$" if suffixes else r"(?!)"),
    )


def filled(pattern: str, macros: Mapping[str, str]) -> str:
    """A pattern with ``{name}`` replaced by what the macro stands for."""
    for name, macro in macros.items():
        pattern = pattern.replace(f"{{{name}}}", f"(?:{macro})")
    return pattern
