"""Rows of a manifest made up in memory, for tests of what reads no signals."""

from datetime import datetime

from sleep2vec.store.manifest import ManifestRow


def made_row(
    night_id: str,
    *,
    person: str | None = None,
    family: str | None = None,
    age: float | None = 50.0,
    sex: str | None = "female",
    start: datetime | None = None,
    **measures: float,
) -> ManifestRow:
    """A night; ``death=(event, years)`` is short for ``event.death`` and ``time_years.death``."""
    known: dict[str, float] = {}
    for name, value in measures.items():
        if isinstance(value, tuple):
            known |= {f"event.{name}": value[0], f"time_years.{name}": value[1]}
        else:
            known[name] = value
    return ManifestRow(
        night_id=night_id,
        subject_id=night_id if person is None else person,
        cohort="made",
        people=None,
        family_id=family,
        visit=None,
        site="here",
        age_years=age,
        sex=sex,
        measures=known,
        start=start,
        grid_start_s=0.0,
        n_tokens=900,
        n_scored_tokens=0,
        events={},
        source="",
        source_fingerprint="",
        checksum="",
        provenance_hash="",
        signals={},
    )
