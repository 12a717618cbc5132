"""Proportional hazards: who has the event sooner, and the chance of being free of it at a time.

Dimension letters: B people of a batch, N people, E events, K distinct times with an event, T times asked for. A hazard
is ``exp(log_hazard)`` times one that all share. Times are in one unit, whichever; a row whose time or event is NaN
counts nowhere. Who is censored at a time was still at risk at it.

References:
    Cox (1972), JRSS B 34:187-220. Efron (1977), JASA 72:557-565 (ties). Breslow (1972), JRSS B 34:216-217 (baseline).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from sleep2vec.vocabulary.errors import UsageError


@dataclass(frozen=True)
class Baseline:
    """The cumulative hazard of a person whose log hazard is 0: a step function of time.

    Attributes:
        time_K: Times with an event, rising.
        log_hazard_K: Logarithm of the cumulative hazard from that time on; a logarithm, because the hazard of a person
            far from those it was fitted on may be too large or small for a number.
        last_time: When the last person was looked at; nothing is known beyond.
    """

    time_K: Tensor
    log_hazard_K: Tensor
    last_time: float


def cox_loss(log_hazard_B: Tensor, time_B: Tensor, event_B: Tensor) -> Tensor:
    """Negative log partial likelihood with Efron's ties, divided by the number of events.

    Of d events at one time the l-th (from 0) is set against those still at risk, less l / d of the d that have it.
    Only the batch's own people are set against each other: batches of many people of one cohort say most.

    Args:
        log_hazard_B: (B,) of any size; adding a number to all changes nothing.
        time_B: (B,) float, NaN where unknown.
        event_B: (B,) 1 for the event at that time, 0 for censored, NaN where unknown; or bool.

    Returns:
        Scalar, at least float32; 0 (with a gradient of 0) without an event. In O(B log B).

    Raises:
        UsageError: the shapes differ, or an event is neither 0, 1 nor NaN.
    """
    log_hazard, time, event = _known(log_hazard_B, time_B, event_B)
    if not event.any():
        return log_hazard[:0].sum()
    log_hazard = log_hazard - log_hazard.detach().max()  # a common offset would cost digits of the differences
    at_risk_K, time_K, place_E, n_events_K = _risk_sets(log_hazard, time, event)
    had_E = log_hazard[event]
    having_K = _log_sums(had_E, place_E, len(time_K))
    first_K = n_events_K.cumsum(0) - n_events_K
    nth_E = torch.arange(len(had_E), device=had_E.device) - first_K[place_E]
    share_E = nth_E.to(had_E) / n_events_K[place_E].to(had_E)
    # log(at risk - share * having it): who has it is at risk too, so that the ratio is 1 at most and nothing overflows.
    left_E = at_risk_K[place_E] + torch.log1p(-share_E * (having_K - at_risk_K)[place_E].exp())
    return (left_E - had_E).mean()


def breslow_baseline(log_hazard_N: Tensor, time_N: Tensor, event_N: Tensor) -> Baseline:
    """The baseline hazard that goes with given log hazards: at each time, events over the summed hazards at risk.

    With it, the cumulative hazards of the people add up to the number of their events. Fit it on those who taught the
    model, with the model's final log hazards, all people at once.

    Args:
        log_hazard_N, time_N, event_N: as in `cox_loss`.

    Returns:
        In float64, without a gradient. No steps where nobody had the event.

    Raises:
        UsageError: as `cox_loss`; or nobody of whom time and event are known.
    """
    log_hazard, time, event = _known(log_hazard_N.detach().double(), time_N.double(), event_N)
    if not len(time):
        raise UsageError("a baseline hazard needs people of whom time and event are known, and there are none.")
    if not event.any():
        empty = log_hazard[:0]
        return Baseline(empty, empty.clone(), float(time.max()))
    at_risk_K, time_K, _, n_events_K = _risk_sets(log_hazard, time, event)
    log_steps_K = (n_events_K.to(at_risk_K).log() - at_risk_K).flip(0)
    return Baseline(time_K.flip(0), log_steps_K.logcumsumexp(0), float(time.max()))


def log_cumulative_hazard(baseline: Baseline, times_T: Tensor) -> Tensor:
    """Logarithm of the baseline's cumulative hazard at each time.

    Returns:
        (T,) float64; -inf before the first event, NaN beyond the baseline's last time.
    """
    times = times_T.to(baseline.time_K)
    steps = torch.cat([baseline.log_hazard_K.new_full((1,), -torch.inf), baseline.log_hazard_K])
    values = steps[torch.searchsorted(baseline.time_K, times.contiguous(), right=True)]
    return values.masked_fill(times.isnan() | (times > baseline.last_time), torch.nan)


def survival_probability(log_hazard_N: Tensor, baseline: Baseline, times_T: Tensor) -> Tensor:
    """Chance of being free of the event beyond each time: ``exp(-exp(log_hazard) * cumulative hazard)``.

    Args:
        log_hazard_N: (N,).
        baseline: of the same model.
        times_T: (T,) in the baseline's unit.

    Returns:
        (N, T) float64, 0 to 1, falling with time; NaN beyond the baseline's last time.
    """
    log_hazard_N1 = log_hazard_N.to(baseline.log_hazard_K)[:, None]
    return torch.exp(-torch.exp(log_hazard_N1 + log_cumulative_hazard(baseline, times_T)))


def _known(log_hazard_B: Tensor, time_B: Tensor, event_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The rows that count, the latest first; events as bool."""
    if log_hazard_B.dim() != 1 or time_B.shape != log_hazard_B.shape or event_B.shape != log_hazard_B.shape:
        raise UsageError(
            f"proportional hazards need a log hazard, a time and an event for each person, got shapes "
            f"{tuple(log_hazard_B.shape)}, {tuple(time_B.shape)} and {tuple(event_B.shape)}."
        )
    events = event_B.to(torch.promote_types(time_B.dtype, torch.float32))
    wrong = ~events.isnan() & (events != 0) & (events != 1)
    if wrong.any():
        raise UsageError(f"an event is {events[wrong][0]:g}; give 1 for the event, 0 for censored, NaN where unknown.")
    rows = torch.nonzero(~time_B.isnan() & ~events.isnan())[:, 0]
    rows = rows[torch.argsort(time_B[rows], descending=True, stable=True)]
    dtype = torch.promote_types(log_hazard_B.dtype, torch.float32)
    return log_hazard_B[rows].to(dtype), time_B[rows], events[rows] == 1


def _risk_sets(log_hazard: Tensor, time: Tensor, event: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of rows as `_known` returns them: for each time with an event, the latest first, what is at stake.

    Returns:
        (K,) logarithm of the summed hazards at risk; (K,) times; (E,) place among them of each event; (K,) events.
    """
    time_K, place_E, n_events_K = torch.unique_consecutive(time[event], return_inverse=True, return_counts=True)
    n_at_risk_K = torch.searchsorted(-time, -time_K, right=True)
    return log_hazard.logcumsumexp(0)[n_at_risk_K - 1], time_K, place_E, n_events_K


def _log_sums(values_E: Tensor, place_E: Tensor, n_places: int) -> Tensor:
    """(K,) logarithm of the sum of ``exp(values)`` at each place; every place has a value."""
    bare_E = values_E.detach()
    largest_K = bare_E.new_full((n_places,), -torch.inf).scatter_reduce(0, place_E, bare_E, "amax")
    summed_K = values_E.new_zeros(n_places).index_add(0, place_E, (values_E - largest_K[place_E]).exp())
    return summed_K.log() + largest_K
