"""Falls of the oxygen saturation: found in the trace, and counted per hour of sleep.

The AASM Manual asks for a fall of 3 % (or 4 %) "from pre-event baseline" and defines no algorithm. Ours:

- The baseline is the highest reading of the last 100 s, since the desaturation before: a slow drift is no fall. (As
  long as that of Azarbarzin et al. (2019), European Heart Journal 40:1149, for the hypoxic burden.)
- A desaturation begins where the saturation leaves that level by more than 0.5 % for good, and is there once it is 3 %
  below. Its nadir is the first lowest reading.
- It is over once the saturation has risen from the nadir by half the drop, or by 3 % where that is less: what falls
  again from there falls from a baseline of its own. A ripple at the bottom makes no second desaturation.
- `end_s` is where it is back within 1 % of its baseline. Where the next fall, the end of what can be read, or 180 s
  from the onset come first, it is not `recovered`, and ends where it was highest, the last time: a fall that stays at
  its nadir lasts until then.
- A reading that cannot be trusted ends a desaturation, and none is bridged over it.

Desaturations of 4 % are those of 3 % that are that deep, so ODI4 never exceeds ODI3. Letters: N samples, L tokens of
30 s.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sleep2vec.metrics.event_stages import asleep, in_sleep, per_hour
from sleep2vec.vocabulary.errors import UsageError

LEAST_DROP_PERCENT = 3.0
LONGEST_FALL_S = 100.0
LONGEST_S = 180.0
# Oximeters give whole or tenths of percents; a store's 16-bit integers move them by less than a thousandth.
_ROUNDING_PERCENT = 0.05
_RIPPLE_PERCENT = 0.5
_RECOVERED_PERCENT = 1.0
_LOWEST_PERCENT, _HIGHEST_PERCENT = 50.0, 100.5  # outside is a dropout code, no saturation


@dataclass(frozen=True)
class Desaturation:
    """One fall. Times from the start of the recording, see the module for what they mean.

    Attributes:
        recovered: Whether the saturation came back within 1 % of the baseline.
    """

    onset_s: float
    nadir_s: float
    end_s: float
    baseline_percent: float
    nadir_percent: float
    recovered: bool

    @property
    def drop_percent(self) -> float:
        return self.baseline_percent - self.nadir_percent

    def reaches(self, percent: float) -> bool:
        """Whether it is `percent` deep, but for rounding."""
        return self.drop_percent >= percent - _ROUNDING_PERCENT


def readable_spo2(spo2_N: ArrayLike, valid_N: ArrayLike | None = None) -> NDArray[np.float64]:
    """(N,) saturation in %, NaN where invalid or impossible (outside 50-100 %).

    Args:
        spo2_N: (N,) in %, NaN where unknown.
        valid_N: (N,) bool; the validity of tokens (L,) repeated to samples. None: all.

    Raises:
        UsageError: the lengths differ.
    """
    spo2 = np.asarray(spo2_N, dtype=float)
    valid = np.ones(spo2.shape, dtype=bool) if valid_N is None else np.asarray(valid_N, dtype=bool)
    if spo2.ndim != 1 or valid.shape != spo2.shape:
        raise UsageError(
            f"a saturation is one number a sample, (N,), with a validity of the same length; got shapes {spo2.shape} "
            f"and {valid.shape}. The validity of tokens must be repeated to samples."
        )
    with np.errstate(invalid="ignore"):
        sound = valid & (spo2 >= _LOWEST_PERCENT) & (spo2 <= _HIGHEST_PERCENT)
    return np.where(sound, spo2, np.nan)


def find_desaturations(
    spo2_N: ArrayLike,
    valid_N: ArrayLike | None = None,
    *,
    rate_hz: float = 4.0,
    least_drop_percent: float = LEAST_DROP_PERCENT,
    start_s: float = 0.0,
) -> tuple[Desaturation, ...]:
    """All falls of at least `least_drop_percent`, in order; they do not overlap.

    Args:
        spo2_N, valid_N: see `readable_spo2`.
        rate_hz: of the samples.
        least_drop_percent: 3 or more: those of 4 % are the deep ones among those of 3 %.
        start_s: when sample 0 was taken, from the start of the recording.

    Raises:
        UsageError: the lengths differ, no rate, or a drop below 3 %.
    """
    if not rate_hz > 0 or not least_drop_percent >= LEAST_DROP_PERCENT:
        raise UsageError(
            f"desaturations of {least_drop_percent:g} % in samples at {rate_hz:g} Hz: give a rate above 0 and a drop "
            f"of {LEAST_DROP_PERCENT:g} % or more, less is a ripple of the oximeter."
        )
    spo2 = readable_spo2(spo2_N, valid_N)
    found = []
    for first, stop in _stretches(np.isfinite(spo2)):
        for fall in _falls(spo2[first:stop], rate_hz):
            onset, nadir, end = (start_s + (first + place) / rate_hz for place in fall[:3])
            found.append(Desaturation(onset, nadir, end, *fall[3:]))
    return tuple(fall for fall in found if fall.reaches(least_drop_percent))


def oxygen_desaturation_index(
    desaturations: Sequence[Desaturation],
    stages_L: ArrayLike,
    *,
    least_drop_percent: float,
    valid_L: ArrayLike | None = None,
    grid_start_s: float = 0.0,
) -> float | None:
    """Desaturations per hour of sleep: ODI3 with 3 %, ODI4 with 4 %.

    One counts when any part of it, from onset to end, lies in sleep. The hours are those of sleep in which the oximeter
    could be read: of the others nobody knows how many they held.

    Args:
        desaturations: of the whole night, times from the start of the recording.
        stages_L: (L,) codes, NaN where unscored; say beside the number which hypnogram it was.
        least_drop_percent: 3 or 4.
        valid_L: (L,) bool, tokens with a readable saturation; None: all.
        grid_start_s: when token 0 begins.

    Returns:
        Per hour; None without readable sleep.
    """
    slept = asleep(stages_L)
    readable = slept if valid_L is None else slept & np.asarray(valid_L, dtype=bool)
    counted = [fall for fall in in_sleep(desaturations, stages_L, grid_start_s) if fall.reaches(least_drop_percent)]
    return per_hour(len(counted), readable)


def _stretches(sound_N: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and stop of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], sound_N.astype(np.int8), [0]])))
    return [(int(first), int(stop)) for first, stop in edges.reshape(-1, 2)]


def _falls(spo2_N: NDArray[np.float64], rate_hz: float) -> Iterator[tuple[int, int, int, float, float, bool]]:
    """Onset, nadir, end (samples), baseline, nadir (%) and whether recovered, of each fall in a readable stretch."""
    turns = []
    for top, low in _turns(spo2_N.tolist(), rate_hz):
        level = spo2_N[top] - _RIPPLE_PERCENT
        turns.append((top + int(np.flatnonzero(spo2_N[top : low + 1] >= level)[-1]), low, float(spo2_N[top])))
    following = [*(onset for onset, _, _ in turns[1:]), len(spo2_N) - 1]
    for (onset, low, baseline), last in zip(turns, following, strict=False):
        last = min(last, max(onset + round(LONGEST_S * rate_hz), low))
        rise_N = spo2_N[low : last + 1]
        back = np.flatnonzero(rise_N >= baseline - _RECOVERED_PERCENT - _ROUNDING_PERCENT)
        end = low + int(back[0] if back.size else len(rise_N) - 1 - np.argmax(rise_N[::-1]))
        yield onset, low, end, baseline, float(spo2_N[low]), bool(back.size)


def _turns(spo2_N: list[float], rate_hz: float) -> Iterator[tuple[int, int]]:
    """Where the saturation was highest before a fall of 3 %, and where lowest in it, until it rises for good."""
    fall, longest = round(LONGEST_FALL_S * rate_hz), round(LONGEST_S * rate_hz)
    tops: deque[int] = deque()  # places of the highest reading, of the highest since that one, and so on
    top = low = -1  # the fall that goes on, if any
    for here, percent in enumerate(spo2_N):
        if low < 0:
            while tops and spo2_N[tops[-1]] <= percent:
                tops.pop()
            tops.append(here)
            while tops[0] < here - fall:
                tops.popleft()
            if spo2_N[tops[0]] - percent >= LEAST_DROP_PERCENT - _ROUNDING_PERCENT:
                top, low = tops[0], here
            continue
        if percent < spo2_N[low]:
            low = here
        rise = min((spo2_N[top] - spo2_N[low]) / 2, LEAST_DROP_PERCENT)
        if percent - spo2_N[low] >= rise - _ROUNDING_PERCENT or here - top >= longest:
            yield top, low
            tops, low = deque([here]), -1
    if low >= 0:
        yield top, low
