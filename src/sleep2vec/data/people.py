"""Who taught a model, so that nobody of them judges it."""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sleep2vec.store.manifest import ManifestRow
from sleep2vec.vocabulary.errors import UsageError

PEOPLE = "people"
"""Where a model's configuration keeps them."""
FITTED = "fitted_on"
"""Where it keeps those on whom temperatures and thresholds were fitted."""


def hashes_of(rows: Iterable[ManifestRow]) -> frozenset[str]:
    """Of the families (people without one are their own) of some nights; names do not travel with a model."""
    return frozenset(hashlib.blake2b(row.family.encode(), digest_size=8).hexdigest() for row in rows)


def people_of(config: Mapping[str, Any]) -> frozenset[str]:
    """Those who taught the model of this configuration; empty where it does not say."""
    return frozenset(config.get(PEOPLE, ()))


def refuse_known_people(known: Collection[str], judges: Sequence[ManifestRow], pretrained: Path) -> None:
    """Raise `UsageError` where a pretrained encoder has seen people (or their families) who are kept for judging it."""
    seen = sorted({row.person for row in judges if hashes_of([row]) & set(known)})
    if seen:
        raise UsageError(
            f"{pretrained} was pretrained on {len(seen)} of the people that this split keeps for validation or test "
            f"({', '.join(seen[:3])}{' ...' if len(seen) > 3 else ''}); use the split it was pretrained with "
            "(split.seed, split.by, split.file), or, if you mean it, add --i-know."
        )
