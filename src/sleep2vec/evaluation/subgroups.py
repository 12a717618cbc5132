"""The same figures of parts of a cohort: by age, sex, site and severity of sleep apnea.

Who is unknown is a group of its own: a model may be worse just there, and the groups of one kind then add up to all.
Letters: N nights.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from sleep2vec.metrics.figure import Figure
from sleep2vec.metrics.severity import SEVERITIES, population_of, severity
from sleep2vec.store.manifest import ManifestRow
from sleep2vec.vocabulary.errors import UsageError

Masks = dict[str, NDArray[np.bool_]]
NightT = TypeVar("NightT")

UNKNOWN = "unknown"
AGE_BANDS: tuple[tuple[str, float], ...] = (
    ("under 18", 18),
    ("18-39", 40),
    ("40-59", 60),
    ("60-79", 80),
    ("80 and over", np.inf),
)
"""By name the age at which the next band begins."""
LEAST_PEOPLE = 5
"""With fewer, an interval would say less than it seems to."""


def subgroups(rows: Sequence[ManifestRow], ahi_per_hour: Sequence[float | None] | None = None) -> Masks:
    """Who is in which group.

    Args:
        rows: (N,) one a night.
        ahi_per_hour: (N,) by scored events, None or NaN where not known; None: not a kind of group. Severity is by the
            cut-offs of adults, below 18 years by those of children.

    Returns:
        By name (``"sex: female"``) a mask (N,). Groups without a night are left out; each night is in one group of
        every kind.

    Raises:
        UsageError: another number of indices than of nights, or one below 0.
    """
    kinds = {
        "age": [_age_band(row.age_years) for row in rows],
        "sex": [row.sex or UNKNOWN for row in rows],
        "site": [_site(row) for row in rows],
    }
    if ahi_per_hour is not None:
        if len(ahi_per_hour) != len(rows):
            raise UsageError(f"{len(rows)} nights need as many indices, got {len(ahi_per_hour)}.")
        kinds["apnea"] = [_severity(row, ahi) for row, ahi in zip(rows, ahi_per_hour, strict=True)]
    order: dict[str, Sequence[str]] = {"age": [name for name, _ in AGE_BANDS], "apnea": SEVERITIES}
    masks: Masks = {}
    for kind, names in kinds.items():
        known = [*order.get(kind, ()), *sorted(set(names) - {UNKNOWN} - set(order.get(kind, ()))), UNKNOWN]
        for name in known:
            mask_N = np.array([each == name for each in names], dtype=bool)
            if mask_N.any():
                masks[f"{kind}: {name}"] = mask_N
    return masks


def by_group(
    function: Callable[[list[NightT]], list[Figure]],
    nights: Sequence[NightT],
    groups: Mapping[str, NDArray[np.bool_]],
) -> list[Figure]:
    """The figures of each group, with its name.

    A figure of fewer than `LEAST_PEOPLE` people is listed without its interval.

    Args:
        function: of a list of nights, for example `staging_figures`.
        nights: (N,).
        groups: from `subgroups`, of the same nights.

    Raises:
        UsageError: a mask of another length.
    """
    lines = []
    for name, mask_N in groups.items():
        if mask_N.shape != (len(nights),):
            raise UsageError(f"the group {name!r} is of {mask_N.shape} nights, and there are {len(nights)}.")
        for line in function([night for night, inside in zip(nights, mask_N, strict=True) if inside]):
            few = line.n_people < LEAST_PEOPLE
            lines.append(replace(line, group=name, low=None if few else line.low, high=None if few else line.high))
    return lines


def _age_band(age_years: float | None) -> str:
    if age_years is None or np.isnan(age_years):
        return UNKNOWN
    return next(name for name, until in AGE_BANDS if age_years < until)


def _site(row: ManifestRow) -> str:
    """With its cohort: two cohorts may both have a site 1."""
    if row.site is None:
        return UNKNOWN
    return row.site if row.cohort is None else f"{row.cohort} {row.site}"


def _severity(row: ManifestRow, ahi_per_hour: float | None) -> str:
    if ahi_per_hour is None or np.isnan(ahi_per_hour):
        return UNKNOWN
    return severity(ahi_per_hour, population_of(row.age_years)) or UNKNOWN
