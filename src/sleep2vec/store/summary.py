"""A store in a few numbers."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from sleep2vec.store.manifest import ManifestRow
from sleep2vec.vocabulary.modalities import MODALITIES, TOKEN_SECONDS

_MOST_CHANNELS = 4
_YES_OR_NO = ("diagnosis.", "event.")


def store_summary(rows: Sequence[ManifestRow]) -> dict[str, Any]:
    """Nights, people, hours, ages, sexes, sites, labels; which channels made each modality; what which cohort lacks."""
    people = _first_nights(rows)
    ages = [row.age_years for row in people if row.age_years is not None]
    n_tokens = sum(row.n_tokens for row in rows)
    cohorts = sorted({_cohort(row) for row in rows})
    return {
        "n_nights": len(rows),
        "n_people": len({row.person for row in rows}),
        "n_families": len({row.family for row in rows}),
        "hours": n_tokens * TOKEN_SECONDS / 3600,
        "age_years": {"min": min(ages), "median": float(np.median(ages)), "max": max(ages)} if ages else None,
        "n_age_unknown": len(people) - len(ages),
        "n_nights_of_unknown_people": sum(row.subject_id is None for row in rows),
        "sexes": dict(Counter(row.sex or "unknown" for row in people)),
        "sites": dict(Counter(f"{_cohort(row)}/{row.site or 'unknown'}" for row in rows)),
        "n_scored_nights": sum(row.n_scored_tokens > 0 for row in rows),
        "scored_share": sum(row.n_scored_tokens for row in rows) / max(1, n_tokens),
        "modalities": {name: _coverage(rows, name) for name in MODALITIES},
        "cohorts": {cohort: _cohort_summary([row for row in rows if _cohort(row) == cohort]) for cohort in cohorts},
        "events": _event_coverage(rows),
        "n_yes": dict(sorted(Counter(name for row in rows for name in row.measures if _is_yes(name, row)).items())),
        "measures": dict(sorted(Counter(name for row in rows for name in row.measures).items())),
    }


def summary_words(summary: dict[str, Any]) -> str:
    """The summary for a person."""
    age = summary["age_years"]
    ages = f"{age['min']:.0f}-{age['max']:.0f} years, median {age['median']:.0f}" if age else "ages unknown"
    unknown = f" (unknown of {summary['n_age_unknown']})" if age and summary["n_age_unknown"] else ""
    nobodies = summary["n_nights_of_unknown_people"]
    strangers = f" ({nobodies} nights without a subject id, each counted as a person)" if nobodies else ""
    lines = [
        f"{summary['n_nights']} nights of {summary['n_people']} people{strangers}, {summary['hours']:.1f} h, "
        f"{ages}{unknown}",
        "sexes: " + ", ".join(f"{sex} {n}" for sex, n in summary["sexes"].items()),
        "sites: " + ", ".join(f"{site} {n}" for site, n in summary["sites"].items()),
        "",
        f"{'modality':<11}{'nights':>8}{'valid':>8}  made from (nights)",
    ]
    for name, coverage in summary["modalities"].items():
        share = "-" if coverage["valid_share"] is None else f"{coverage['valid_share']:.0%}"
        lines.append(f"{name:<11}{coverage['n_nights']:>8}{share:>8}  {_channels_words(coverage['channels'])}")
    return "\n".join([*lines, *_missing_words(summary["cohorts"]), *_label_words(summary)])


def _first_nights(rows: Sequence[ManifestRow]) -> list[ManifestRow]:
    """One night of each person: the one at which they were youngest, as far as that is known."""
    first_of: dict[str, ManifestRow] = {}
    for row in sorted(rows, key=lambda row: (row.age_years is None, row.age_years or 0.0, row.sex is None)):
        first_of.setdefault(row.person, row)
    return list(first_of.values())


def _cohort(row: ManifestRow) -> str:
    return row.cohort or "unknown"


def _coverage(rows: Sequence[ManifestRow], name: str) -> dict[str, Any]:
    held = [row.signals[name] for row in rows if name in row.signals]
    return {
        "n_nights": len(held),
        "valid_share": float(np.mean([signal.valid_share for signal in held])) if held else None,
        "sensors": dict(Counter(signal.sensor for signal in held)),
        "channels": dict(Counter(signal.channels for signal in held).most_common()),
    }


def _cohort_summary(rows: Sequence[ManifestRow]) -> dict[str, Any]:
    return {
        "n_nights": len(rows),
        "n_people": len({row.person for row in rows}),
        "hours": sum(row.n_tokens for row in rows) * TOKEN_SECONDS / 3600,
        "missing": {name: sum(name not in row.signals for row in rows) for name in MODALITIES},
        "n_scored_nights": sum(row.n_scored_tokens > 0 for row in rows),
        "scored_share": sum(row.n_scored_tokens for row in rows) / max(1, sum(row.n_tokens for row in rows)),
    }


def _event_coverage(rows: Sequence[ManifestRow]) -> dict[str, dict[str, int]]:
    kinds = sorted({kind for row in rows for kind in row.events})
    return {
        kind: {
            "n_nights": sum(kind in row.events for row in rows),
            "n_events": sum(row.events.get(kind, 0) for row in rows),
        }
        for kind in kinds
    }


def _channels_words(channels: dict[str, int]) -> str:
    told = [f"{label} {n}" for label, n in list(channels.items())[:_MOST_CHANNELS]]
    more = len(channels) - len(told)
    return ", ".join([*told, *([f"and {more} more"] if more > 0 else [])]) or "-"


def _missing_words(cohorts: dict[str, Any]) -> list[str]:
    width = max([len("cohort"), *(min(len(name), 24) for name in cohorts)])
    head = f"{'cohort':<{width}}{'nights':>8}" + "".join(f"{name:>{max(9, len(name) + 1)}}" for name in MODALITIES)
    lines = ["", "nights without each modality", head]
    for name, cohort in cohorts.items():
        n = cohort["n_nights"]
        cells = {m: f"{missing / n:.0%}" if missing else "-" for m, missing in cohort["missing"].items()}
        told = "".join(f"{cell:>{max(9, len(m) + 1)}}" for m, cell in cells.items())
        lines.append(f"{name[:24]:<{width}}{n:>8}{told}")
    return lines


def _label_words(summary: dict[str, Any]) -> list[str]:
    lines = ["", f"{'label':<22}{'nights':>8}  how much"]
    lines.append(f"{'stages':<22}{summary['n_scored_nights']:>8}  {summary['scored_share']:.0%} of all epochs")
    lines += [
        f"{kind:<22}{found['n_nights']:>8}  {found['n_events']} events" for kind, found in summary["events"].items()
    ]
    for measure, n in summary["measures"].items():
        yes = f"  {summary['n_yes'].get(measure, 0)} yes" if measure.startswith(_YES_OR_NO) else ""
        lines.append(f"{measure:<22}{n:>8}{yes}")
    return lines


def _is_yes(measure: str, row: ManifestRow) -> bool:
    return measure.startswith(_YES_OR_NO) and row.measures[measure] == 1
