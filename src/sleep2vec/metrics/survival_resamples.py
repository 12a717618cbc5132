"""What `metrics.survival` judges, of many resamples of the same people at once.

A resample is how often each person was drawn. Of a pair of people only the product of their counts differs between
resamples, so that who is right about which pair is asked once, and a thousand resamples are a product of matrices.

Letters: R resamples, N people, E people with the event, K distinct times, T times asked for.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sleep2vec.vocabulary.errors import UsageError

Floats = NDArray[np.float64]

_ROWS_AT_ONCE = 512


@dataclass(frozen=True)
class Resamples:
    """People of whom all is known, and resamples of them.

    Attributes:
        time_N, event_N: As in `survival.kaplan_meier`, without NaN.
        counts_RN: How often each was drawn.
    """

    time_N: Floats
    event_N: Floats
    counts_RN: NDArray[np.int64]

    def __post_init__(self) -> None:
        shapes = (self.time_N.shape, self.event_N.shape, self.counts_RN.shape[1:])
        if len(set(shapes)) > 1 or np.isnan(self.time_N).any() or np.isnan(self.event_N).any():
            raise UsageError(
                "resamples need a known time, an event and counts for each person, got shapes "
                f"{', '.join(str(shape) for shape in shapes)}; leave out people of whom one is NaN."
            )

    def concordances(self, risk_N: ArrayLike, tau: float | None = None) -> tuple[Floats, Floats]:
        """`survival.harrell_c` and `survival.uno_c` (by each resample's own censoring), (R,) each, NaN if undefined."""
        risk = np.asarray(risk_N, dtype=float)
        inverse_RN, _ = self._inverse_censoring(np.zeros(0))
        had_E = np.flatnonzero(self.event_N == 1)
        sums = np.zeros((4, len(self.counts_RN)))
        narrow_RN = self.counts_RN.astype(np.float32)  # sums of counts are whole numbers far below 2 ** 24
        for start in range(0, len(had_E), _ROWS_AT_ONCE):
            own = had_E[start : start + _ROWS_AT_ONCE]
            same_EN = self.time_N == self.time_N[own, None]
            free_EN = (self.time_N > self.time_N[own, None]) | (same_EN & (self.event_N == 0))
            half_wins_EN = free_EN * (1 + np.sign(risk[own, None] - risk))
            asked_RE = (narrow_RN @ free_EN.T.astype(np.float32)).astype(float)
            won_RE = (narrow_RN @ half_wins_EN.T.astype(np.float32)).astype(float) / 2
            drawn_RE = self.counts_RN[:, own]
            counted_RE = (drawn_RE > 0) & (asked_RE > 0) & (self.time_N[own] < (np.inf if tau is None else tau))
            weight_RE = np.where(counted_RE, drawn_RE * np.square(inverse_RN[:, own]), 0.0)
            sums[0] += (drawn_RE * won_RE).sum(axis=1)
            sums[1] += (drawn_RE * asked_RE).sum(axis=1)
            sums[2] += (weight_RE * won_RE).sum(axis=1)
            sums[3] += (weight_RE * asked_RE).sum(axis=1)
        with np.errstate(invalid="ignore"):
            return sums[0] / sums[1], sums[2] / sums[3]  # 0 / 0 where there is no pair

    def integrated_brier(self, survival_NT: ArrayLike, times_T: ArrayLike) -> Floats:
        """`survival.integrated_brier` by each resample's own censoring, (R,), NaN where undefined."""
        survival, times = np.asarray(survival_NT, dtype=float), np.asarray(times_T, dtype=float)
        of_event_RN, of_free_RT = self._inverse_censoring(times)
        weight_RN = np.where(self.counts_RN > 0, self.counts_RN * of_event_RN, 0.0)
        had_NT = (self.time_N[:, None] <= times) & (self.event_N[:, None] == 1)
        free_NT = self.time_N[:, None] > times
        lost_RT = weight_RN @ np.where(had_NT, np.square(survival), 0.0)
        lost_RT += of_free_RT * (self.counts_RN @ np.where(free_NT, np.square(1 - survival), 0.0))
        score_RT = lost_RT / self.counts_RN.sum(axis=1)[:, None]
        mean_R: Floats = np.trapezoid(score_RT, times, axis=1) / (times[-1] - times[0])
        return mean_R

    def _inverse_censoring(self, times_T: Floats) -> tuple[Floats, Floats]:
        """One over the share not yet censored just before each person's time (R, N), and at times asked for (R, T).

        NaN where nobody is left, and at times after the resample's last.
        """
        times_K, place_N = np.unique(self.time_N, return_inverse=True)
        order_N = np.argsort(place_N, kind="stable")
        first_K = np.searchsorted(place_N[order_N], np.arange(len(times_K)))
        sorted_RN, had_N = self.counts_RN[:, order_N], self.event_N[order_N] == 1
        drawn_RK = np.add.reduceat(sorted_RN, first_K, axis=1)
        had_RK = np.add.reduceat(sorted_RN * had_N, first_K, axis=1)
        at_risk_RK = np.cumsum(drawn_RK[:, ::-1], axis=1)[:, ::-1]
        leaving_RK = (drawn_RK - had_RK) / np.maximum(at_risk_RK - had_RK, 1)
        share_RK = np.concatenate([np.ones((len(drawn_RK), 1)), np.cumprod(1 - leaving_RK, axis=1)], axis=1)
        with np.errstate(divide="ignore"):
            inverse_RK = np.where(share_RK > 0, 1 / share_RK, np.nan)
        asked_T = np.searchsorted(times_K, times_T, side="right")
        last_R = len(times_K) - np.argmax(drawn_RK[:, ::-1] > 0, axis=1)  # 1 + place of the last time drawn
        seen_RT = times_T <= times_K[last_R - 1][:, None]
        return inverse_RK[:, place_N], np.where(seen_RT, inverse_RK[:, asked_T], np.nan)
