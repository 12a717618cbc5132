"""Who was followed for an outcome: one night of each person, how long, and whether it happened.

Dimension letters: N nights, P people.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from sleep2vec.store.manifest import ManifestRow
from sleep2vec.vocabulary.errors import UsageError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FollowUp:
    """People of whom an outcome is known.

    Attributes:
        place_P: Which of the nights given is theirs.
        years_P: From that night to the event, or to the last look at a person who had none.
        event_P: 1 it happened, 0 it had not when last looked.
        people, families: Who it was, and whom of.
    """

    place_P: NDArray[np.int64]
    years_P: Floats
    event_P: Floats
    people: tuple[str, ...]
    families: tuple[str, ...]

    @property
    def n_people(self) -> int:
        return len(self.people)

    @property
    def n_events(self) -> int:
        return int(self.event_P.sum())


def outcomes_of(rows: Sequence[ManifestRow]) -> tuple[str, ...]:
    """Names of which some night has both ``event.X`` and ``time_years.X``, in order."""
    found = {
        name.removeprefix("event.")
        for row in rows
        for name in row.measures
        if name.startswith("event.") and f"time_years.{name.removeprefix('event.')}" in row.measures
    }
    return tuple(sorted(found))


def follow_up(rows: Sequence[ManifestRow], outcome: str, usable_N: NDArray[np.bool_]) -> FollowUp:
    """The people of whom the outcome is known, each with the first usable night.

    One night a person, because a person who stands twice in a risk set is set against himself, and because two nights
    of one person know hardly more of when he dies than one. The first is that with the longest time, whether or not
    the dates are known: the event has one date. Left out are nights that lack either measure, and those after the event
    (a negative time: it could not be foretold any more).

    Args:
        rows: nights.
        outcome: X of ``event.X``.
        usable_N: (N,) nights that may be taken.

    Returns:
        In the order of the people's names, so that the order of the nights does not matter.

    Raises:
        UsageError: an event that is neither 0 nor 1.
    """
    first: dict[str, tuple[tuple[float, datetime, str], int]] = {}
    for place, row in enumerate(rows):
        event, years = row.measures.get(f"event.{outcome}"), row.measures.get(f"time_years.{outcome}")
        if not usable_N[place] or event is None or years is None or not (isfinite(event) and isfinite(years)):
            continue
        if event not in (0, 1):
            raise UsageError(
                f"event.{outcome} of night {row.night_id} is {event:g}; give 1 where it happened, 0 where it had not "
                "when last looked, and nothing where that is unknown."
            )
        if years < 0:
            continue
        order = (-years, datetime.max if row.start is None else row.start.replace(tzinfo=None), row.night_id)
        if row.person not in first or order < first[row.person][0]:
            first[row.person] = (order, place)
    people = tuple(sorted(first))
    places = [first[person][1] for person in people]
    return FollowUp(
        place_P=np.array(places, dtype=np.int64),
        years_P=np.array([rows[place].measures[f"time_years.{outcome}"] for place in places], dtype=float),
        event_P=np.array([rows[place].measures[f"event.{outcome}"] for place in places], dtype=float),
        people=people,
        families=tuple(rows[place].family for place in places),
    )


def age_and_sex(rows: Sequence[ManifestRow]) -> tuple[Floats, list[str | None]]:
    """Ages in years, NaN where unknown, and sexes."""
    age_N = np.array([np.nan if row.age_years is None else row.age_years for row in rows], dtype=float)
    return age_N, [row.sex for row in rows]
