"""Breathing and oxygen of a night as rows of tables."""

from dataclasses import dataclass
from types import MappingProxyType

from sleep2vec.metrics.breathing_indices import BreathingIndices, Rule
from sleep2vec.metrics.severity import CUTOFFS_PER_HOUR, SEVERITIES
from sleep2vec.report.documents import number_text
from sleep2vec.report.numerals import UNKNOWN_TEXT

RULE_TITLES: MappingProxyType[Rule, str] = MappingProxyType(
    {"as scored": "Model's own", "1A": "Rule 1A", "1B": "Rule 1B"}
)
RULES: tuple[Rule, ...] = ("as scored", "1A", "1B")
# Attribute of BreathingIndices, its name, and what is said below it.
_BY_RULE = (
    ("ahi", "Apnea-hypopnea index (AHI)", "apneas and hypopneas"),
    ("severity", "Severity", ""),
    ("ahi_rem", "AHI in stage R", "per hour of stage R"),
    ("ahi_nrem", "AHI in NREM", "per hour of N1, N2 and N3"),
    ("ahi_supine", "AHI on the back", "per hour of sleep on the back"),
    ("hi", "Hypopnea index", "hypopneas"),
)
_APNEAS = (
    ("ai", "Apnea index", "all apneas"),
    ("oai", "Obstructive apnea index (OAI)", ""),
    ("cai", "Central apnea index (CAI)", ""),
    ("mai", "Mixed apnea index (MAI)", ""),
)


@dataclass(frozen=True)
class NightBreathing:
    """What a page says of breathing; None where it is not defined or nobody looked.

    Attributes:
        indices: By rule; empty where no respiratory events were looked for.
        arousal_index: Arousals per hour of sleep.
        oximeter: Whether there was one that could be read.
        odi3, odi4: Desaturations of at least 3 and 4 % per hour of sleep.
        hypoxic_burden: In %min per hour of sleep.
        below_90_percent: Share of the readable sleep, in %.
    """

    indices: tuple[BreathingIndices, ...] = ()
    arousal_index: float | None = None
    oximeter: bool = False
    odi3: float | None = None
    odi4: float | None = None
    hypoxic_burden: float | None = None
    below_90_percent: float | None = None

    def by(self, rule: Rule) -> BreathingIndices | None:
        """The indices of a rule."""
        return next((found for found in self.indices if found.rule == rule), None)


def rule_rows(breathing: NightBreathing) -> list[tuple[str, str, list[str]]]:
    """Name, what is counted, and a cell for each of `RULES`."""
    rows = []
    for key, name, how in _BY_RULE:
        cells = []
        for rule in RULES:
            found = breathing.by(rule)
            value = None if found is None else getattr(found, key)
            cells.append(value if isinstance(value, str) else number_text(value))
        if key == "ahi_supine" and all(cell == UNKNOWN_TEXT for cell in cells):
            how = "position not known"
        rows.append((name, how, cells))
    return rows


def single_rows(breathing: NightBreathing) -> list[tuple[str, str, str, str]]:
    """Name, how it is counted, value, unit; of what no rule for hypopneas changes."""
    own = breathing.by("as scored")
    rows = [
        (name, how, number_text(None if own is None else getattr(own, key)), "/h")
        for key, name, how in (_APNEAS if breathing.indices else ())
    ]
    rows += [
        ("Arousal index", "arousals", number_text(breathing.arousal_index), "/h"),
        ("ODI3", "falls of the saturation by 3 % or more", number_text(breathing.odi3), "/h"),
        ("ODI4", "falls by 4 % or more", number_text(breathing.odi4), "/h"),
        (
            "Hypoxic burden",
            "area under the falls that follow apneas and the model's own hypopneas",
            number_text(breathing.hypoxic_burden),
            "%min/h",
        ),
        ("Time below 90 %", "of the sleep in which the saturation could be read", _share(breathing), "%"),
    ]
    return rows


def breathing_notes(breathing: NightBreathing) -> list[str]:
    """What has to be known beside the tables, one sentence each."""
    notes = []
    population = breathing.indices[0].population if breathing.indices else None
    if population is not None:
        cutoffs = CUTOFFS_PER_HOUR[population]
        words = ", ".join(f"{name} from {cutoff:g}" for name, cutoff in zip(SEVERITIES[1:], cutoffs, strict=True))
        notes.append(f"Severity by the cut-offs for {population}: {words}.")
    if not breathing.oximeter:
        rules = "the rules 1A and 1B and " if breathing.indices else ""
        notes.append(f"No oximeter was used: {rules}all numbers of oxygen are unknown.")
    for found in breathing.indices:
        if found.n_unjudged_hypopneas:
            n = found.n_unjudged_hypopneas
            which = f"{n} hypopnea" if n == 1 else f"{n} hypopneas"
            rule = "the model's own rule" if found.rule == "as scored" else f"rule {found.rule}"
            bound = "" if found.ahi is None else " Its AHI is a lower bound."
            notes.append(f"By {rule} {which} could not be judged, because the saturation could not be read.{bound}")
    return notes


def breathing_tiles(breathing: NightBreathing) -> list[tuple[str, str, str]]:
    """What a person looks for first: name, value, unit."""
    tiles = []
    own = breathing.by("as scored")
    if own is not None:
        severity = "" if own.severity is None else f", {own.severity if own.severity != 'none' else 'below mild'}"
        tiles.append(("AHI, model's own rule", number_text(own.ahi), f"/h{severity}"))
    if breathing.oximeter:
        tiles.append(("ODI3", number_text(breathing.odi3), "/h"))
        tiles.append(("Sleep below 90 %", _share(breathing), "%"))
        if own is not None:
            tiles.append(("Hypoxic burden", number_text(breathing.hypoxic_burden), "%min/h"))
    if breathing.arousal_index is not None:
        tiles.append(("Arousal index", number_text(breathing.arousal_index), "/h"))
    return tiles


def _share(breathing: NightBreathing) -> str:
    return number_text(breathing.below_90_percent)
