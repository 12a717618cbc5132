"""How well a risk, or a probability of going free of an event, foretells who has it and when.

Letters: N people, K distinct times, T times asked for. A time is that of the event (event 1) or of the last look at a
person who had none (event 0, censored); all times are in one unit, whichever. Who is censored at a time lived through
it: among equal times the events come first. Where a number of a person is NaN, the person counts nowhere. What is
undefined is None, or NaN in an array.

References:
    Kaplan & Meier (1958), JASA 53:457-481; Greenwood (1926); Kalbfleisch & Prentice (1980) for the log-log interval.
    Harrell, Lee & Mark (1996), Statistics in Medicine 15:361-387 (c).
    Uno et al. (2011), Statistics in Medicine 30:1105-1117 (c by inverse weights).
    Graf et al. (1999), Statistics in Medicine 18:2529-2545 (Brier score by inverse weights); Gerds & Schumacher (2006),
        Biometrical Journal 48:1029-1040 (the weight of an event is that just before it).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from sleep2vec.vocabulary.errors import UsageError

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class KaplanMeier:
    """A share that falls in steps: of people still free of the event.

    Attributes:
        time_K: Times at which somebody had the event or was censored, rising.
        survival_K: Share beyond that time.
        low_K, high_K: Its interval, NaN where the share is 0.
        at_risk_K: People seen up to that time.
        events_K: Events at that time.
    """

    time_K: Floats
    survival_K: Floats
    low_K: Floats
    high_K: Floats
    at_risk_K: Counts
    events_K: Counts

    def at(self, times_T: ArrayLike) -> Floats:
        """Share beyond each time, (T,); NaN where nobody was looked at any more, unless all had the event before."""
        return self._stepped(times_T, "right")

    def before(self, times_T: ArrayLike) -> Floats:
        """Share up to each time: as `at`, without the step at the time itself."""
        return self._stepped(times_T, "left")

    def _stepped(self, times_T: ArrayLike, side: Literal["left", "right"]) -> Floats:
        times = np.asarray(times_T, dtype=float)
        share = np.concatenate([[1.0], self.survival_K])[np.searchsorted(self.time_K, times, side=side)]
        last = self.time_K[-1] if len(self.time_K) else -np.inf
        return np.where(np.isnan(times) | ((times > last) & (share > 0)), np.nan, share)


def kaplan_meier(time_N: ArrayLike, event_N: ArrayLike, level: float = 0.95) -> KaplanMeier:
    """Share of people free of the event, with Greenwood's variance.

    The interval is of ``log(-log(share))``, so that it stays between 0 and 1; it holds at each time, not for the whole
    curve. Before the first event it is 1 to 1.

    Args:
        time_N: (N,) at least 0, NaN where unknown.
        event_N: (N,) 1 for the event, 0 for censored, NaN where unknown.
        level: of the interval, between 0 and 1.

    Raises:
        UsageError: the lengths differ, a time is negative or infinite, an event is neither 0, 1 nor NaN, or a level
            outside (0, 1).
    """
    if not 0 < level < 1:
        raise UsageError(f"a level lies between 0 and 1, got {level:g}.")
    time, event = _known(time_N, event_N)
    times_K, events_K, at_risk_K = _table(time, event)
    survival_K: Floats = np.cumprod(1 - events_K / at_risk_K, dtype=np.float64)
    left_K = at_risk_K - events_K
    with np.errstate(divide="ignore", invalid="ignore"):
        greenwood_K = np.cumsum(np.where(events_K > 0, events_K / (at_risk_K * left_K), 0.0))
        width_K = ndtri((1 + level) / 2) * np.sqrt(greenwood_K) / -np.log(survival_K)
        # The wide exponent makes the smaller share; 0 / 0 before the first event and at a share of 0.
        low_K, high_K = survival_K ** np.exp(width_K), survival_K ** np.exp(-width_K)
    for end_K in (low_K, high_K):
        end_K[survival_K == 1] = 1.0
        end_K[survival_K == 0] = np.nan
    return KaplanMeier(times_K, survival_K, low_K, high_K, at_risk_K, events_K)


def censoring_curve(time_N: ArrayLike, event_N: ArrayLike) -> KaplanMeier:
    """Share of people not yet censored, for weights by the inverse; who had the event left before the censoring.

    Its ``events_K`` are censorings, and its ``at_risk_K`` people who had no event up to and at the time. Arguments and
    errors as in `kaplan_meier`.
    """
    time, event = _known(time_N, event_N)
    times_K, events_K, at_risk_K = _table(time, event)
    free_K = at_risk_K - events_K
    censored_K = free_K - np.append(at_risk_K[1:], 0)
    share_K = np.cumprod(1 - censored_K / np.maximum(free_K, 1))
    unknown_K = np.full(len(times_K), np.nan)
    return KaplanMeier(times_K, share_K, unknown_K, unknown_K, free_K, censored_K)


def harrell_c(time_N: ArrayLike, event_N: ArrayLike, risk_N: ArrayLike) -> float | None:
    """Share of comparable pairs in which who had the event first has the higher risk.

    A pair is comparable when one had the event while the other was still free of it: at an earlier time, or at the
    time at which the other was censored. Two events at one time are no pair. Equal risks are half a success.

    Args:
        time_N, event_N: as in `kaplan_meier`.
        risk_N: (N,) higher for who is expected to have the event sooner, for example log hazards; NaN where unknown.

    Returns:
        0 to 1, 0.5 for a risk that knows nothing; None without a comparable pair. It depends on how people were
        censored: compare it within one cohort, or use `uno_c`. In O(N log^2 N).

    Raises:
        UsageError: as `kaplan_meier`.
    """
    time, event, risk = _known(time_N, event_N, risk_N)
    comparable_N, half_wins_N = _pairs(time, event, risk)
    return _ratio(half_wins_N / 2, comparable_N)


def uno_c(
    time_N: ArrayLike,
    event_N: ArrayLike,
    risk_N: ArrayLike,
    *,
    tau: float | None = None,
    censoring: KaplanMeier | None = None,
) -> float | None:
    """As `harrell_c`, each pair weighted so that it does not depend on the censoring.

    The weight is one over the squared share not yet censored just before the earlier time of the pair.

    Args:
        time_N, event_N, risk_N: as in `harrell_c`.
        tau: only events before this time count; where few are still seen, weights are large and the figure uncertain.
            None: all.
        censoring: `censoring_curve` of other people, for example those of training; None: of these.

    Returns:
        0 to 1; None without a comparable pair, or where an event that counts lies beyond the censoring curve.

    Raises:
        UsageError: as `kaplan_meier`.
    """
    time, event, risk = _known(time_N, event_N, risk_N)
    curve = censoring_curve(time, event) if censoring is None else censoring
    comparable_N, half_wins_N = _pairs(time, event, risk)
    counted_N = (comparable_N > 0) & (time < (np.inf if tau is None else tau))
    weights_N = np.square(_inverse(curve.before(time[counted_N])))
    if np.isnan(weights_N).any():
        return None
    return _ratio(weights_N * half_wins_N[counted_N] / 2, weights_N * comparable_N[counted_N])


def brier_over_time(
    time_N: ArrayLike,
    event_N: ArrayLike,
    survival_NT: ArrayLike,
    times_T: ArrayLike,
    *,
    censoring: KaplanMeier | None = None,
) -> Floats:
    """Mean squared distance of the stated share from what became of people, at each time.

    Who had the event up to a time should have got 0, who is known to be free beyond it 1; who was censored before is
    replaced by the weight of others, one over the share not yet censored (just before the event; at the time).

    Args:
        time_N, event_N: as in `kaplan_meier`.
        survival_NT: (N, T) stated probability of being free beyond each time; a person with a NaN is left out.
        times_T: (T,) finite, at least 0.
        censoring: `censoring_curve` of other people; None: of these.

    Returns:
        (T,) 0.25 for who always says one half; NaN where the censoring curve has ended, and without a person.

    Raises:
        UsageError: as `kaplan_meier`, what is no probability, or a time that is negative or not finite.
    """
    time, event, survival_NT, times = _stated(time_N, event_N, survival_NT, times_T)
    if not len(time):
        return np.full(len(times), np.nan)
    curve = censoring_curve(time, event) if censoring is None else censoring
    of_event_N, of_free_T = _inverse(curve.before(time)), _inverse(curve.at(times))
    had_NT = (time[:, None] <= times) & (event[:, None] == 1)
    free_NT = time[:, None] > times
    lost_NT = np.where(had_NT, of_event_N[:, None] * np.square(survival_NT), 0.0)
    lost_NT += np.where(free_NT, of_free_T * np.square(1 - survival_NT), 0.0)
    # A time whose own weight is unknown cannot be judged, even if nobody is left to be weighted by it.
    return np.where(np.isnan(of_free_T), np.nan, lost_NT.mean(axis=0))


def integrated_brier(
    time_N: ArrayLike,
    event_N: ArrayLike,
    survival_NT: ArrayLike,
    times_T: ArrayLike,
    *,
    censoring: KaplanMeier | None = None,
) -> float | None:
    """Mean of `brier_over_time` between the first and the last time, by trapezoids.

    Arguments, errors as in `brier_over_time`; at least two times, rising. None where one of them cannot be judged.
    """
    times = np.asarray(times_T, dtype=float)
    if times.ndim != 1 or len(times) < 2 or not (np.diff(times) > 0).all():
        raise UsageError("an integrated Brier score needs at least two times, each later than the one before.")
    score_T = brier_over_time(time_N, event_N, survival_NT, times, censoring=censoring)
    if np.isnan(score_T).any():
        return None
    return float(np.trapezoid(score_T, times) / (times[-1] - times[0]))


def _table(time_N: Floats, event_N: Floats) -> tuple[Floats, Counts, Counts]:
    """Distinct times, events at each, people seen up to each."""
    times_K, place_N, seen_K = np.unique(time_N, return_inverse=True, return_counts=True)
    events_K = np.bincount(place_N[event_N == 1], minlength=len(times_K))
    at_risk_K = len(time_N) - np.cumsum(seen_K) + seen_K
    return times_K, events_K.astype(np.int64), at_risk_K.astype(np.int64)


def _pairs(time_N: Floats, event_N: Floats, risk_N: Floats) -> tuple[Counts, Counts]:
    """For each person with the event: the people still free of it, and twice the number of those with a lower risk.

    Equal risks count once, so that all numbers are whole. People without the event have 0 and 0.
    """
    times_K, place_N = np.unique(time_N, return_inverse=True)
    # Among equal times events come first: an order of 2 K places in which everybody later is still free.
    order_N = 2 * place_N + (event_N == 0)
    people_at = np.bincount(order_N, minlength=2 * len(times_K))
    later_N = (len(time_N) - np.cumsum(people_at))[order_N]
    _, rank_N = np.unique(risk_N, return_inverse=True)
    lower_N, higher_N = _later_and_lower(order_N, rank_N), _later_and_lower(order_N, -rank_N)
    had_N = event_N == 1
    return np.where(had_N, later_N, 0), np.where(had_N, later_N + lower_N - higher_N, 0)


def _later_and_lower(order_N: Counts, rank_N: Counts) -> Counts:
    """For each person, how many come later in the order and lower in rank; all people of all blocks at once.

    People stand in order. Blocks of 1, 2, 4, .. of them are paired with their right neighbours, so that each pair of
    people meets exactly once; a sorted row of the right blocks tells how many of one are lower.
    """
    n = len(order_N)
    # Equal places stand in rising rank: nobody behind is lower, so equals are never counted.
    standing_N = np.lexsort((rank_N, order_N))
    rank_N = rank_N[standing_N] - rank_N.min(initial=0)
    stride = int(rank_N.max(initial=0)) + 1
    position_N = np.arange(n)
    found_N = np.zeros(n, dtype=np.int64)
    size = 1
    while size < n:
        pair_N, right_N = position_N // (2 * size), (position_N // size) % 2 == 1
        key_N = pair_N * stride + rank_N
        sorted_right = np.sort(key_N[right_N])
        asked = key_N[~right_N]
        start = np.searchsorted(sorted_right, pair_N[~right_N] * stride)
        found_N[~right_N] += np.searchsorted(sorted_right, asked) - start
        size *= 2
    unsorted_N = np.empty(n, dtype=np.int64)
    unsorted_N[standing_N] = found_N
    return unsorted_N


def _inverse(share: Floats) -> Floats:
    """The weight of who stands for others; NaN where nobody is left to stand for them."""
    return 1 / np.where(share > 0, share, np.nan)


def _ratio(won_N: NDArray[np.floating], asked_N: NDArray[np.generic]) -> float | None:
    asked = float(asked_N.sum())
    return float(won_N.sum()) / asked if asked > 0 else None


def _known(time_N: ArrayLike, event_N: ArrayLike, *others: ArrayLike) -> tuple[Floats, ...]:
    columns = [np.asarray(column, dtype=float) for column in (time_N, event_N, *others)]
    time, event = columns[:2]
    if time.ndim != 1 or any(column.shape != time.shape for column in columns):
        raise UsageError(
            "survival needs a time and an event (and a risk) for each person, got shapes "
            f"{', '.join(str(column.shape) for column in columns)}."
        )
    wrong = (time < 0) | np.isinf(time)
    if wrong.any():
        raise UsageError(f"a time is {time[wrong][0]:g}; give finite times from 0 on, and NaN where unknown.")
    wrong = ~np.isnan(event) & (event != 0) & (event != 1)
    if wrong.any():
        raise UsageError(f"an event is {event[wrong][0]:g}; give 1 for the event, 0 for censored, NaN where unknown.")
    known = ~np.any([np.isnan(column) for column in columns], axis=0)
    return tuple(column[known] for column in columns)


def _stated(
    time_N: ArrayLike, event_N: ArrayLike, survival_NT: ArrayLike, times_T: ArrayLike
) -> tuple[Floats, Floats, Floats, Floats]:
    survival, times = np.asarray(survival_NT, dtype=float), np.asarray(times_T, dtype=float)
    n = len(np.asarray(time_N))
    if times.ndim != 1 or survival.shape != (n, len(times)):
        raise UsageError(
            f"{n} people and times of shape {times.shape} need stated shares (people, times), got {survival.shape}."
        )
    if not np.isfinite(times).all() or (times < 0).any():
        raise UsageError("a time to judge at is negative or not finite; give finite times from 0 on.")
    wrong = (survival < 0) | (survival > 1)
    if wrong.any():
        raise UsageError(f"{survival[wrong][0]:g} is no probability of being free of the event; give 0 to 1.")
    # The row number goes along, to find the shares of those who are known.
    whole_N = np.where(np.isnan(survival).any(axis=1), np.nan, np.arange(n))
    time, event, rows = _known(time_N, event_N, whole_N)
    return time, event, survival[rows.astype(int)], times
