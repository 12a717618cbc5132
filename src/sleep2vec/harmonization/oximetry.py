"""Which readings of an oximeter are to be believed.

Letters: N samples at the stored rate, L tokens.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sleep2vec.harmonization.quality import Verdict, threshold

_FINE_PERCENT = 0.5


def judge_spo2(
    held_N: NDArray[np.float32],
    n_tokens: int,
    rate_hz: int,
    reading_s: float,
    pulses: Callable[[], list[NDArray[np.float32]]] = list,
) -> tuple[Verdict, NDArray[np.bool_]]:
    """Judge the tokens of an oxygen saturation, held at a stored rate.

    Args:
        held_N: (N,) in percent, NaN in gaps.
        n_tokens: L.
        rate_hz: rate of `held_N`.
        reading_s: seconds from one reading of the device to the next.
        pulses: gives pulse rates (N,) of the recording on the same grid, NaN where unknown; only asked for where the
            saturation stands still for long.

    Returns:
        The verdict, and (N,) which samples are no saturation and must be replaced.
    """
    missing_N = ~np.isfinite(held_N)
    lost_N = impossible_spo2(held_N)
    lost_N |= ramps(held_N, lost_N, rate_hz, reading_s)
    limit = threshold("missing_share", "spo2")
    frozen_N = _frozen(np.where(lost_N, np.float32(np.nan), held_N), rate_hz, pulses)
    return (
        Verdict(
            {
                "gap": _by_token(missing_N, n_tokens) > limit,
                "range": _by_token(missing_N | lost_N, n_tokens) > limit,
                "frozen": _by_token(frozen_N, n_tokens) > threshold("frozen_share", "spo2"),
            }
        ),
        missing_N | lost_N,
    )


def impossible_spo2(samples_T: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(T,) readings no saturation has: dropout codes (0, 127) and everything outside 50-100 %."""
    # Files round: 100.2 % is a scaled 100.
    low, high = threshold("spo2_low", "spo2"), threshold("spo2_high", "spo2") + 0.5
    impossible_T: NDArray[np.bool_] = (samples_T < low) | (samples_T > high)
    return impossible_T


def ramps(held_N: NDArray[np.float32], lost_N: NDArray[np.bool_], rate_hz: int, reading_s: float) -> NDArray[np.bool_]:
    """(N,) readings beside an impossible one that an averaging oximeter fell or rose through.

    Outward from each impossible reading, for 10 s at most, as long as the reading changes faster than 4 % a second.
    """
    ramp_N = np.zeros(len(held_N), dtype=bool)
    lag = max(1, round(max(1.0, reading_s) * rate_hz))
    steepest = threshold("spo2_slope", "spo2") * lag / rate_hz
    reach = round(threshold("spo2_ramp_s", "spo2") * rate_hz)
    for values_N, doubted_N, ramped_N in ((held_N, lost_N, ramp_N), (held_N[::-1], lost_N[::-1], ramp_N[::-1])):
        begins = np.flatnonzero(doubted_N[1:] & ~doubted_N[:-1])
        for last in begins.tolist():
            first = max(0, last + 1 - reach)
            before = values_N[np.maximum(np.arange(first, last + 1) - lag, 0)]
            steep = np.abs(values_N[first : last + 1] - before) > steepest
            slow = np.flatnonzero(~steep)
            ramped_N[first + (slow[-1] + 1 if slow.size else 0) : last + 1] = True
    return ramp_N


def stands_still(values_N: NDArray[np.float32], longest: int) -> NDArray[np.bool_]:
    """(N,) samples in runs of one value of more than `longest` samples; NaN is no value."""
    changes = np.flatnonzero(~(values_N[1:] == values_N[:-1])) + 1
    edges = np.concatenate([[0], changes, [len(values_N)]])
    lengths = np.diff(edges)
    return np.repeat(lengths > longest, lengths)


def _frozen(
    values_N: NDArray[np.float32], rate_hz: int, pulses: Callable[[], list[NDArray[np.float32]]]
) -> NDArray[np.bool_]:
    steps = np.abs(np.diff(values_N[np.isfinite(values_N)]))
    steps = steps[steps > 0]
    fine = steps.size > 0 and float(np.median(steps)) < _FINE_PERCENT
    longest_s = threshold("frozen_fine_s" if fine else "frozen_s", "spo2")
    frozen_N = stands_still(values_N, round(longest_s * rate_hz))
    both = round(threshold("frozen_both_s", "spo2") * rate_hz)
    still_N = stands_still(values_N, both)
    if (still_N & ~frozen_N).any():
        for pulse_N in pulses():
            held_N = stands_still(pulse_N, both)
            # A pulse channel that never moves says nothing of the moment the oximeter froze.
            if held_N.any() and not held_N[np.isfinite(pulse_N)].all():
                frozen_N |= _longer_than(still_N & held_N, both)
    return frozen_N


def _longer_than(mask_N: NDArray[np.bool_], longest: int) -> NDArray[np.bool_]:
    return mask_N & stands_still(mask_N.astype(np.float32), longest)


def _by_token(mask_N: NDArray[np.bool_], n_tokens: int) -> NDArray[np.float64]:
    share_L: NDArray[np.float64] = mask_N.reshape(n_tokens, -1).mean(axis=1)
    return share_L
