"""The person. Unknown is None."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Sex = Literal["female", "male"]


@dataclass(frozen=True)
class Subject:
    """Who slept; any of it may be unknown.

    Attributes:
        subject_id: Names the person within the cohort, the same for all nights and visits.
        age_years: At the night.
        sex: As the cohort's table says.
        family_id: People of one family share it.
        measures: What else is known as a number, by name: ``bmi`` (kg/m2), ``diagnosis.hypertension`` (1 yes, 0 no),
            ``event.death`` (1 it happened, 0 it had not when last looked), ``time_years.death`` (from the night to
            either), and whatever a cohort's table holds. What is unknown has no entry.
    """

    subject_id: str | None = None
    age_years: float | None = None
    sex: Sex | None = None
    family_id: str | None = None
    measures: Mapping[str, float] = field(default_factory=dict)
