"""The oracle: how well anybody could do, who knew the causes of every outcome.

Who knows all causes of an outcome knows all there is but luck. For each diagnosis the best achievable AUROC, and for
each event the best achievable C-index, are those of the true risk on a large draw of people. Below them stand what a
perfect reader of the night can do, who does not know weight and diagnoses that no signal shows, and what age and sex
alone can do, which needs no night: between the two lies what a night is worth. Above them, with the shortcut dial on,
stands a cheat who also knows the site.

Of diagnoses the true probabilities are known, and AUROC is taken in expectation over them, without the luck of who fell
ill. (That the ranking by true probability, or hazard, is best is the lemma of Neyman and Pearson.) C-index is Harrell's
(1982, JAMA 247:2543), on drawn times with their censoring. Letters: P people, C causes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sleep2vec.simulation.outcomes import CAUSES, DIAGNOSES, EVENTS, SHOWN, causes_of, risk
from sleep2vec.simulation.person import Person
from sleep2vec.vocabulary.errors import UsageError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Ceiling:
    """What can be reached for one outcome in one population.

    Attributes:
        outcome: ``diagnosis.X`` (AUROC) or ``event.X`` (C-index).
        share: Of people who have it, or to whom it happened while followed.
        best: Of somebody who knows all causes.
        night: Of somebody who knows age, sex and the causes that a night shows (by least squares, so a little low);
            1 for a disease that shows itself.
        age_and_sex: Of somebody who knows age and sex alone.
        with_site: Of somebody who knows all causes and the site; equal to `best` without a shortcut.
    """

    outcome: str
    share: float
    best: float
    night: float
    age_and_sex: float
    with_site: float


def ceilings(people: Sequence[Person], shifts: Sequence[float] | None = None) -> tuple[Ceiling, ...]:
    """The best achievable figure of each outcome on these people; some thousands are needed for two digits.

    Args:
        people: With outcomes (`outcomes.draw_outcomes`).
        shifts: What the shortcut dial added for each of them (`outcomes.site_shift`); None: nothing.

    Raises:
        UsageError: somebody has no outcomes.
    """
    without = next((p for p in people if f"time_years.{next(iter(EVENTS))}" not in p.measures), None)
    if without is not None or not len(people):
        raise UsageError("the oracle needs people with outcomes; draw them with outcomes.draw_outcomes.")
    causes_PC = causes_of(people)
    shift_P = np.zeros(len(people)) if shifts is None else np.asarray(shifts, dtype=float)
    found = []
    for name, effects in DIAGNOSES.items():
        known_P = risk(effects, causes_PC)
        cheat_P = known_P if name in SHOWN else known_P + shift_P
        chance_P, fair_P = 1 / (1 + np.exp(-cheat_P)), 1 / (1 + np.exp(-known_P))
        scores_P = (known_P, given_night(known_P, causes_PC), given_age_and_sex(fair_P, causes_PC), cheat_P)
        best, night, poor, cheat = (expected_auroc(chance_P, score_P) for score_P in scores_P)
        night = 1.0 if name in SHOWN else night
        found.append(Ceiling(f"diagnosis.{name}", float(chance_P.mean()), best, night, poor, cheat))
    for name, effects in EVENTS.items():
        known_P = risk(effects, causes_PC)
        years_P = np.array([p.measures[f"time_years.{name}"] for p in people])
        happened_P = np.array([p.measures[f"event.{name}"] for p in people]) == 1.0
        scores_P = (
            known_P, given_night(known_P, causes_PC), given_age_and_sex(np.exp(known_P), causes_PC),
            known_P + shift_P / 2,
        )  # fmt: skip
        four = (concordance(years_P, happened_P, score_P) for score_P in scores_P)
        found.append(Ceiling(f"event.{name}", float(happened_P.mean()), *four))
    return tuple(found)


def expected_auroc(chance_P: Array, score_P: Array) -> float:
    """AUROC of a score, in expectation over people who are ill with independent probabilities `chance_P`.

    The expected number of pairs (one ill, one not) that the score ranks rightly, half of those it ties, by that of all
    such pairs of two different people. NaN where no such pair can be.
    """
    order = np.argsort(score_P, kind="stable")
    ill, well = chance_P[order], 1 - chance_P[order]
    _, first = np.unique(score_P[order], return_index=True)
    ill_T, well_T = np.add.reduceat(ill, first), np.add.reduceat(well, first)
    own_T = np.add.reduceat(ill * well, first)  # nobody is compared with himself
    below_T = np.cumsum(well_T) - well_T
    right = float((ill_T * below_T).sum() + 0.5 * (ill_T * well_T - own_T).sum())
    pairs = float(ill.sum() * well.sum() - own_T.sum())
    return right / pairs if pairs > 0 else float("nan")


def concordance(years_P: Array, happened_P: NDArray[np.bool_], score_P: Array) -> float:
    """Harrell's C: of pairs of which one is known to have had the event first, the share that the score ranks so.

    Tied scores count half; pairs with equal times count only where one of them was censored. NaN without any pair.
    """
    right, pairs = 0.0, 0
    order = np.argsort(years_P, kind="stable")
    years_P, happened_P, score_P = years_P[order], happened_P[order], score_P[order]
    for place in np.flatnonzero(happened_P):
        after = int(np.searchsorted(years_P, years_P[place], side="right"))
        level = slice(int(np.searchsorted(years_P, years_P[place], side="left")), after)
        others = np.concatenate([score_P[after:], score_P[level][~happened_P[level]]])
        right += np.count_nonzero(others < score_P[place]) + 0.5 * np.count_nonzero(others == score_P[place])
        pairs += len(others)
    return float(right / pairs) if pairs else float("nan")


def given_night(value_P: Array, causes_PC: Array) -> Array:
    """The quadratic function of age, sex and the causes that a night shows which is nearest to a value, (P,)."""
    names = (*CAUSES, *DIAGNOSES)
    seen_PC = causes_PC[:, [names.index(name) for name in ("decades", "male", *SHOWN)]]
    one_P1 = np.ones((len(value_P), 1))
    linear_PC = np.concatenate([one_P1, seen_PC], axis=1)
    every = np.triu_indices(linear_PC.shape[1])
    design_PQ = linear_PC[:, every[0]] * linear_PC[:, every[1]]
    weights_Q, *_ = np.linalg.lstsq(design_PQ, value_P, rcond=None)
    fitted_P: Array = design_PQ @ weights_Q
    return fitted_P


def given_age_and_sex(value_P: Array, causes_PC: Array, width_years: float = 2.0) -> Array:
    """The mean of a value among people of the same sex and about the same age, (P,): the best guess without a night.

    A local straight line in age (bell weights of that standard deviation) on a grid of years, for each sex.
    """
    age_P = 50 + 10 * causes_PC[:, CAUSES.index("decades")]
    male_P = causes_PC[:, CAUSES.index("male")]
    guess_P = np.empty(len(value_P))
    for sex in (0.0, 1.0):
        own = male_P == sex
        if not own.any():
            continue
        grid = np.arange(np.floor(age_P[own].min()), np.ceil(age_P[own].max()) + 1)
        fitted = [_local_line(age_P[own] - year, value_P[own], width_years) for year in grid]
        guess_P[own] = np.interp(age_P[own], grid, fitted)
    return guess_P


def _local_line(from_here_P: Array, value_P: Array, width: float) -> float:
    """The height at 0 of the line through values around it."""
    weight_P = np.exp(-0.5 * (from_here_P / width) ** 2) + 1e-12
    total = weight_P.sum()
    x, y = (weight_P @ from_here_P) / total, (weight_P @ value_P) / total
    spread = weight_P @ (from_here_P - x) ** 2
    slope = (weight_P @ ((from_here_P - x) * (value_P - y))) / max(float(spread), 1e-9)
    return float(y - slope * x)
