"""The person. Unknown is None."""

from dataclasses import dataclass
from typing import Literal

Sex = Literal["female", "male"]


@dataclass(frozen=True)
class Subject:
    """Who slept; any of it may be unknown."""

    subject_id: str | None = None
    age_years: float | None = None
    sex: Sex | None = None
