"""Proportional hazards with a ridge: the fit, and how hard to pull, chosen on people left out.

What is least is ``-log partial likelihood + sum(penalty * weight^2) / 2``. The likelihood is summed over events, not
averaged, so that a penalty is one over the variance that weights are believed to have, with many people as with few.

Dimension letters: P people, C columns, E events, K distinct times with an event, F folds.

References:
    Verweij & van Houwelingen (1993), Statistics in Medicine 12:2305-2314 (cross-validated partial likelihood), and
        (1994), Statistics in Medicine 13:2427-2436 (the ridge).
    Efron (1977), JASA 72:557-565 (ties).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from sleep2vec.objectives import cox_loss

Floats = NDArray[np.float64]

_MOST_STEPS = 100
_MOST_HALVINGS = 40
_CLOSE = 1e-8  # of the objective: what the last step gains; what is left after it is about the square of that


@dataclass(frozen=True)
class Choice:
    """What people left out say of penalties.

    Attributes:
        penalty: The best; of equally good ones the largest.
        gains: For every penalty in the order given, by how much the cross-validated log partial likelihood is above
            that of a model that sets nobody apart.
    """

    penalty: float
    gains: tuple[float, ...]


def person_folds(
    people: Sequence[str], families: Sequence[str], event_P: Floats, n_folds: int, seed: int
) -> NDArray[np.int64]:
    """The fold of each person, by a hash, so that neither the order of people nor new ones move the others far.

    A family stays together. Families with an event are dealt out first, one after the other, then those without: every
    fold has about as many of either.
    """
    had: dict[str, bool] = {}
    for family, event in zip(families, event_P, strict=True):
        had[family] = had.get(family, False) or event == 1

    def order(family: str) -> tuple[bool, bytes]:
        return not had[family], hashlib.blake2b(f"{seed} {family}".encode(), digest_size=8).digest()

    fold_of = {family: place % n_folds for place, family in enumerate(sorted(had, key=order))}
    return np.array([fold_of[family] for _, family in zip(people, families, strict=True)], dtype=np.int64)


def ridge_cox(
    x_PC: Floats, years_P: Floats, event_P: Floats, penalty_C: Floats, start_C: Floats | None = None
) -> Floats:
    """The weights at which the penalised partial likelihood (Efron's ties) is best, by Newton's method in float64.

    Args:
        x_PC: (P, C) finite.
        years_P, event_P: (P,) as in `objectives.cox_loss`, all known.
        penalty_C: (C,) above 0: there is one best answer then, whatever the columns are.
        start_C: where to begin; from 0 by default.

    Returns:
        (C,); 0 without an event.
    """
    order_P = np.argsort(-years_P, kind="stable")
    x_PC, years_P, event_P = x_PC[order_P], years_P[order_P], event_P[order_P]
    weights_C = np.zeros(x_PC.shape[1]) if start_C is None else start_C.copy()
    if not event_P.any() or not len(weights_C):
        return np.zeros(x_PC.shape[1])
    value, slope_P = _loss(x_PC @ weights_C, years_P, event_P)
    value += _pull(weights_C, penalty_C)
    for _ in range(_MOST_STEPS):
        slope_C = x_PC.T @ slope_P + penalty_C * weights_C
        curve_CC = _curvature(x_PC, x_PC @ weights_C, years_P, event_P, slope_P) + np.diag(penalty_C)
        step_C = -cho_solve(cho_factor(curve_CC), slope_C)
        gain = -float(slope_C @ step_C)
        if gain <= _CLOSE * max(1.0, abs(value)):
            return weights_C + step_C
        size = 1.0
        for _ in range(_MOST_HALVINGS):
            tried_C = weights_C + size * step_C
            tried, slope_P = _loss(x_PC @ tried_C, years_P, event_P)
            tried += _pull(tried_C, penalty_C)
            if tried <= value - 1e-4 * size * gain:
                break
            size /= 2
        else:
            return weights_C  # as good as float64 can tell
        weights_C, value = tried_C, tried
    return weights_C


def choose_penalty(
    x_PC: Floats,
    years_P: Floats,
    event_P: Floats,
    fold_P: NDArray[np.int64],
    penalties: Sequence[float],
    fixed_C: Floats,
) -> Choice:
    """The penalty with the best cross-validated partial likelihood.

    A fold's share is the likelihood of all people less that of the others, by weights fitted on the others: those left
    out are set against everybody, so that a fold needs no events of its own.

    Args:
        x_PC, years_P, event_P: as in `ridge_cox`.
        fold_P: (P,) from `person_folds`.
        penalties: above 0.
        fixed_C: (C,) the penalty of columns that have their own; NaN where the chosen one holds.
    """
    order = sorted(range(len(penalties)), key=lambda place: -penalties[place])
    gains = np.zeros(len(penalties))
    for fold in np.unique(fold_P):
        out_P = fold_P == fold
        parts = ((np.ones(len(fold_P), dtype=bool), 1), (~out_P, -1))
        nobody_apart = sum(sign * _likelihood(np.zeros(own.sum()), years_P[own], event_P[own]) for own, sign in parts)
        weights_C = np.zeros(x_PC.shape[1])
        for place in order:  # from the hardest pull on: each begins where the last ended
            penalty_C = np.where(np.isnan(fixed_C), penalties[place], fixed_C)
            weights_C = ridge_cox(x_PC[~out_P], years_P[~out_P], event_P[~out_P], penalty_C, weights_C)
            told_P = x_PC @ weights_C
            gains[place] += sum(sign * _likelihood(told_P[own], years_P[own], event_P[own]) for own, sign in parts)
            gains[place] -= nobody_apart
    best = max(order, key=lambda place: gains[place])  # the first of equals: the largest penalty
    return Choice(penalties[best], tuple(gains.tolist()))


def _likelihood(told_P: Floats, years_P: Floats, event_P: Floats) -> float:
    """Log partial likelihood of log hazards, summed over events."""
    with torch.no_grad():
        loss = cox_loss(*(torch.from_numpy(column) for column in (told_P, years_P, event_P)))
    return -float(loss) * float(event_P.sum())


def _loss(told_P: Floats, years_P: Floats, event_P: Floats) -> tuple[float, Floats]:
    """Negative log partial likelihood, summed over events, and its slope along each log hazard."""
    told = torch.from_numpy(told_P).requires_grad_()
    loss = cox_loss(told, torch.from_numpy(years_P), torch.from_numpy(event_P)) * float(event_P.sum())
    loss.backward()
    assert told.grad is not None
    return float(loss.detach()), told.grad.numpy()


def _pull(weights_C: Floats, penalty_C: Floats) -> float:
    return float((penalty_C * weights_C**2).sum() / 2)


def _curvature(x_PC: Floats, told_P: Floats, years_P: Floats, event_P: Floats, slope_P: Floats) -> Floats:
    """(C, C) second derivative of the negative log partial likelihood; people stand with the longest time first.

    For each event it is the variance of the columns among those at risk, weighted by hazard. The mean of squares,
    summed over events, needs of each person only the hazard that all events lay on him: the slope, and 1 for his own.
    """
    hazard_P = np.exp(told_P - told_P.max())
    of_risk_PC = np.cumsum(hazard_P[:, None] * x_PC, axis=0)
    had_E = np.flatnonzero(event_P == 1)
    at_risk_E = np.searchsorted(-years_P, -years_P[had_E], side="right") - 1
    _, first_K, place_E = np.unique(-years_P[had_E], return_index=True, return_inverse=True)
    n_K = np.diff(np.append(first_K, len(had_E)))
    share_E = (np.arange(len(had_E)) - first_K[place_E]) / n_K[place_E]
    own_KC = np.add.reduceat(hazard_P[had_E, None] * x_PC[had_E], first_K)
    own_K = np.add.reduceat(hazard_P[had_E], first_K)
    total_E = np.cumsum(hazard_P)[at_risk_E] - share_E * own_K[place_E]
    summed_EC = of_risk_PC[at_risk_E] - share_E[:, None] * own_KC[place_E]
    mean_EC = summed_EC / np.maximum(total_E, np.finfo(float).tiny)[:, None]
    curve_CC: Floats = (x_PC * (slope_P + event_P)[:, None]).T @ x_PC - mean_EC.T @ mean_EC
    return curve_CC
