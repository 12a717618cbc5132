"""How many labels of public cohorts resolve to the modality that their own sources say they are?

Every label of ``channel_aliases.json`` is read twice: by the rules of its cohort (where `sleep2vec.cohorts` has a
file for it, the generic ones behind it), and, as the baseline, by the generic rules alone. Counted apart are facts
that their collector guessed or was unsure of. Every miss is listed, and every label of another organ (leg EMG,
position, snore, PAP, status flags ...) that a modality would be made from.

    python benchmarks/channel_labels.py ../shared/facts/channel_aliases.json [--json FILE]
"""

import argparse
import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sleep2vec.cohorts.catalog import cohort_of, known_cohorts
from sleep2vec.cohorts.labels import LabelReading

# The facts' words for what serves one of the nine modalities, and the kinds of channel that are as good.
SERVES: dict[str, tuple[str, ...]] = {
    "eeg": ("eeg",),
    "eog": ("eog",),
    "emg_chin": ("chin",),
    "ecg": ("ecg",),
    "resp_airflow": ("airflow", "thermistor", "nasal_pressure"),
    "resp_nasal_pressure": ("nasal_pressure", "airflow", "thermistor"),
    "resp_abdomen": ("abdomen",),
    "resp_thorax": ("thorax",),
    "resp_sum": ("rip_sum",),
    "resp": ("abdomen", "thorax", "rip_sum", "airflow", "thermistor", "nasal_pressure"),
    "spo2": ("spo2",),
    "heart_rate": ("heart_rate",),
    "ppg": ("ppg",),
}
OTHER_KINDS = (
    *("emg_leg", "emg_other", "pap", "other", "snore", "position", "co2", "oximeter_status"),
    *("light", "resp_rate", "temperature", "marker"),
)
# Facts that name a group of cohorts, or name one otherwise.
COHORT_OF_FACT = {"shhs": "shhs1", "mros": "mros1", "cinc2026_hsp": "cinc2026"}


@dataclass(frozen=True)
class Fact:
    """One label of one cohort and what its source says it is."""

    alias: str
    modality: str
    cohort: str
    trusted: bool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = Path(os.environ.get("S2V_SHARED", "../shared"))
    parser.add_argument("facts", type=Path, nargs="?", default=shared / "facts" / "channel_aliases.json")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results = run(facts_of(options.facts))
    print(report(results))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


def facts_of(path: Path) -> list[Fact]:
    """The facts of the file; a fact is trusted unless it was guessed or its source was unsure."""
    entries = json.loads(path.read_text(encoding="utf-8"))["aliases"]
    return [
        Fact(e["alias"], e["modality"], e["cohort"], not (e.get("modality_guessed") or e.get("uncertain")))
        for e in entries
    ]


def run(facts: Iterable[Fact]) -> dict[str, Any]:
    """Counts and misses of the cohort rules and of the generic ones."""
    facts = list(facts)
    return {
        "by cohort rules": _judged(facts, generic_only=False),
        "by generic rules alone": _judged(facts, generic_only=True),
    }


def reading_of(fact: Fact, generic_only: bool = False) -> LabelReading:
    """What the rules say of a fact's label."""
    name = COHORT_OF_FACT.get(fact.cohort, fact.cohort)
    own = not generic_only and name in known_cohorts()
    return cohort_of(name if own else None).channels.read(fact.alias)


def is_right(fact: Fact, reading: LabelReading) -> bool:
    """Whether a modality would be made from the channel, and the right one."""
    return reading.taken and reading.kind in SERVES[fact.modality]


def _judged(facts: list[Fact], generic_only: bool) -> dict[str, Any]:
    serving = [(fact, reading_of(fact, generic_only)) for fact in facts if fact.modality in SERVES]
    others = [(fact, reading_of(fact, generic_only)) for fact in facts if fact.modality in OTHER_KINDS]
    certainty: dict[str, list[bool]] = {}
    for fact, reading in serving:
        if fact.trusted and reading.kind is not None:
            certainty.setdefault(reading.certainty, []).append(is_right(fact, reading))
    return {
        "trusted": _share(item for item in serving if item[0].trusted),
        "guessed or uncertain": _share(item for item in serving if not item[0].trusted),
        "right by certainty of the rule": {name: [sum(right), len(right)] for name, right in sorted(certainty.items())},
        "misses": [_miss(*item) for item in serving if item[0].trusted and not is_right(*item)],
        "misses among guessed": [_miss(*item) for item in serving if not item[0].trusted and not is_right(*item)],
        "other kinds": len([1 for fact, _ in others if fact.trusted]),
        "other kinds, guessed": len([1 for fact, _ in others if not fact.trusted]),
        "other kinds taken": [_miss(*item) for item in others if item[0].trusted and item[1].taken],
        "other kinds taken, guessed": [_miss(*item) for item in others if not item[0].trusted and item[1].taken],
    }


def _share(judged: Iterable[tuple[Fact, LabelReading]]) -> list[int]:
    right = [is_right(*item) for item in judged]
    return [sum(right), len(right)]


def _miss(fact: Fact, reading: LabelReading) -> list[str]:
    read_as = "unknown" if reading.kind is None else reading.kind if reading.taken else f"{reading.kind} (not taken)"
    return [fact.cohort, fact.alias, fact.modality, read_as]


def report(results: dict[str, Any]) -> str:
    """The figures for a person, misses last."""
    own, generic = results["by cohort rules"], results["by generic rules alone"]
    lines = [f"{'labels that resolve to the right modality':<44}{'cohort rules':>18}{'generic alone':>18}{'ratio':>8}"]
    for name in ("trusted", "guessed or uncertain"):
        (right, n), (right_generic, _) = own[name], generic[name]
        lines.append(
            f"{name:<44}{f'{right}/{n} {right / n:.1%}':>18}{f'{right_generic / n:.1%}':>18}"
            f"{right / max(1, right_generic):>8.3f}"
        )
    for name, (right, n) in own["right by certainty of the rule"].items():
        lines.append(f"{f'  of these, rule is {name!r} (trusted facts)':<44}{f'{right}/{n} {right / n:.1%}':>18}")
    for name, of in (("other kinds taken", "other kinds"), ("other kinds taken, guessed", "other kinds, guessed")):
        must = " (must be 0)" if name == "other kinds taken" else ""
        lines.append(f"{name + must:<44}{f'{len(own[name])} of {own[of]}':>18}")
    for name in ("misses", "other kinds taken", "misses among guessed", "other kinds taken, guessed"):
        lines += ["", f"{name} ({len(own[name])}): cohort, label, the source says, read as"]
        counted = Counter(map(tuple, own[name]))
        lines += [
            f"  {cohort:<14.14} {alias!r:<28} {says:<20} {read_as}" + (f" ({n} facts)" if n > 1 else "")
            for (cohort, alias, says, read_as), n in counted.items()
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
