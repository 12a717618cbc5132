"""A store in a few numbers."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from sleep2vec.store.manifest import ManifestRow
from sleep2vec.vocabulary.modalities import MODALITIES, TOKEN_SECONDS


def store_summary(rows: Sequence[ManifestRow]) -> dict[str, Any]:
    """Nights, people, hours, ages, sexes, sites, labels, and how many nights hold each modality and how well."""
    ages = [row.age_years for row in rows if row.age_years is not None]
    n_tokens = sum(row.n_tokens for row in rows)
    return {
        "n_nights": len(rows),
        "n_people": len({row.person for row in rows}),
        "hours": n_tokens * TOKEN_SECONDS / 3600,
        "age_years": {"min": min(ages), "median": float(np.median(ages)), "max": max(ages)} if ages else None,
        "n_age_unknown": len(rows) - len(ages),
        "sexes": dict(Counter(row.sex or "unknown" for row in rows)),
        "sites": dict(Counter(f"{row.cohort or 'unknown'}/{row.site or 'unknown'}" for row in rows)),
        "n_scored_nights": sum(row.n_scored_tokens > 0 for row in rows),
        "scored_share": sum(row.n_scored_tokens for row in rows) / max(1, n_tokens),
        "modalities": {name: _coverage(rows, name) for name in MODALITIES},
    }


def summary_words(summary: dict[str, Any]) -> str:
    """The summary for a person."""
    age = summary["age_years"]
    ages = f"{age['min']:.0f}-{age['max']:.0f} years, median {age['median']:.0f}" if age else "ages unknown"
    lines = [
        f"{summary['n_nights']} nights of {summary['n_people']} people, {summary['hours']:.1f} h, {ages}",
        "sexes: " + ", ".join(f"{sex} {n}" for sex, n in summary["sexes"].items()),
        "sites: " + ", ".join(f"{site} {n}" for site, n in summary["sites"].items()),
        f"stages: {summary['n_scored_nights']} nights, {summary['scored_share']:.0%} of all epochs",
        "",
        f"{'modality':<9}{'nights':>8}{'valid':>8}  sensors",
    ]
    for name, coverage in summary["modalities"].items():
        sensors = ", ".join(f"{sensor} {n}" for sensor, n in coverage["sensors"].items())
        share = "-" if coverage["valid_share"] is None else f"{coverage['valid_share']:.0%}"
        lines.append(f"{name:<9}{coverage['n_nights']:>8}{share:>8}  {sensors}")
    return "\n".join(lines)


def _coverage(rows: Sequence[ManifestRow], name: str) -> dict[str, Any]:
    held = [row.signals[name] for row in rows if name in row.signals]
    return {
        "n_nights": len(held),
        "valid_share": float(np.mean([signal.valid_share for signal in held])) if held else None,
        "sensors": dict(Counter(signal.sensor for signal in held)),
    }
