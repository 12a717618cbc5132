"""Which people train, which choose, which judge. Never a person on two sides."""

import hashlib
from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from sleep2vec.store.manifest import ManifestRow


class SplitConfig(BaseModel):
    """Shares of people kept from training, drawn by a hash of the person, so that a split survives new nights."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    validation: Annotated[float, Field(ge=0, lt=1)] = 0.1
    test: Annotated[float, Field(ge=0, lt=1)] = 0.1
    seed: int = 0


class Split(BaseModel):
    """Night ids of each side."""

    model_config = ConfigDict(frozen=True)

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]


def split_by_person(rows: Sequence[ManifestRow], config: SplitConfig) -> Split:
    """Divide nights so that all nights of a person fall on one side.

    People are ordered by a hash of (seed, person); the first share goes to test, the next to validation.
    Shares are of all people, rounded, at least one person where the share is above 0 and there are people enough;
    at least one person is left to train.
    """
    people = sorted({row.person for row in rows}, key=lambda person: _rank(person, config.seed))
    n_test = _n_people(config.test, len(people), len(people))
    n_validation = _n_people(config.validation, len(people), len(people) - n_test)
    side_of = {
        person: "test" if rank < n_test else "validation" if rank < n_test + n_validation else "train"
        for rank, person in enumerate(people)
    }
    nights: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
    for row in rows:
        nights[side_of[row.person]].append(row.night_id)
    return Split(**{side: tuple(ids) for side, ids in nights.items()})


def _n_people(share: float, total: int, available: int) -> int:
    return 0 if share == 0 or available < 2 else min(available - 1, max(1, round(share * total)))


def _rank(person: str, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed}|{person}".encode(), digest_size=8).digest()
