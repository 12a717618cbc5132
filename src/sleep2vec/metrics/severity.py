"""How severe sleep apnea is, by its events per hour of sleep.

Adults: 5, 15 and 30 (AASM Task Force, Sleep 22 (1999) 667). Children: 1, 5 and 10, by custom of the field. An index
of just a cut-off belongs to the class above it.
"""

from collections.abc import Sequence
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sleep2vec.metrics.agreement import Agreement, agreement
from sleep2vec.vocabulary.errors import UsageError

Severity = Literal["none", "mild", "moderate", "severe"]
Population = Literal["adults", "children"]
SEVERITIES: tuple[Severity, ...] = ("none", "mild", "moderate", "severe")
CUTOFFS_PER_HOUR: MappingProxyType[Population, tuple[float, float, float]] = MappingProxyType(
    {"adults": (5.0, 15.0, 30.0), "children": (1.0, 5.0, 10.0)}
)


ADULT_YEARS = 18.0
"""Below it the cut-offs are those of children."""


def population_of(age_years: float | None) -> Population:
    """Whose cut-offs are somebody's; of unknown age: those of adults."""
    return "children" if age_years is not None and age_years < ADULT_YEARS else "adults"


def severity(ahi_per_hour: float | None, population: Population = "adults") -> Severity | None:
    """The class of an index; None where it is not known.

    Raises:
        UsageError: an index below 0 or NaN.
    """
    if ahi_per_hour is None:
        return None
    if not ahi_per_hour >= 0:
        raise UsageError(f"{ahi_per_hour:g} is no number of events per hour; give 0 or more, or None where unknown.")
    return SEVERITIES[int(np.searchsorted(CUTOFFS_PER_HOUR[population], ahi_per_hour, side="right"))]


def severity_agreement(
    true_per_hour: Sequence[float | None],
    predicted_per_hour: Sequence[float | None],
    population: Population = "adults",
) -> Agreement:
    """Agreement (kappa and the rest, see `agreement`) of the four classes over nights; unknown ones count nowhere.

    Both must count hypopneas by the same rule.

    Raises:
        UsageError: different numbers of nights, or an index below 0.
    """
    codes = [_codes(indices, population) for indices in (true_per_hour, predicted_per_hour)]
    return agreement(codes[0], codes[1], len(SEVERITIES))


def _codes(per_hour: Sequence[float | None], population: Population) -> NDArray[np.float64]:
    named = [severity(value, population) for value in per_hour]
    return np.array([np.nan if name is None else SEVERITIES.index(name) for name in named], dtype=float)
