"""Whether a belt or a flow shows breathing.

Seen over ten minutes: an apnea is a message and leaves breaths before and behind it; a belt that fell off, or an
amplifier's noise, shows none in ten minutes. Letters: N samples at the stored rate, L tokens, K segments.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sleep2vec.harmonization.quality import threshold
from sleep2vec.vocabulary.modalities import TOKEN_SECONDS

SEGMENT_S, _HOP_S = 40, 20
STRETCH_S = 600
# Below this nothing is decided: too few segments to tell a rhythm from chance.
SHORTEST_S = 300
_SLOWEST_HZ, _FASTEST_HZ, _TOP_HZ = 0.1, 0.7, 1.5
_NEAR_HZ = 0.025
_LEAST_SEGMENTS = 7


@dataclass(frozen=True, eq=False)
class Rhythm:
    """How much of one frequency (and its harmonics) a waveform is, in segments of 40 s, 20 s apart.

    Attributes:
        narrow_K: Share of the power from 0.1 to 0.7 Hz (weighted by f^1.5, between the spectra of noise and drift)
            that lies at the strongest frequency and its double. NaN where a segment touches a bad token.
        whole_K: The same from 0.1 to 1.5 Hz (weighted by f^2, as of the derivative), harmonics up to the third.
    """

    narrow_K: NDArray[np.float64]
    whole_K: NDArray[np.float64]

    @property
    def strength(self) -> float:
        """Median of `narrow_K`, 0 to 1; 0 where nothing is known."""
        known_K = self.narrow_K[np.isfinite(self.narrow_K)]
        return float(np.median(known_K)) if known_K.size else 0.0


def rhythm_of(waveform_N: NDArray[np.floating], bad_L: NDArray[np.bool_], rate_hz: int) -> Rhythm:
    """Look for a rhythm in a breathing waveform (N,) without NaN, whole tokens at `rate_hz`."""
    length, hop = SEGMENT_S * rate_hz, _HOP_S * rate_hz
    if len(waveform_N) < length:
        return Rhythm(np.zeros(0), np.zeros(0))
    segments_KS = np.lib.stride_tricks.sliding_window_view(waveform_N, length)[::hop].astype(np.float64)
    segments_KS -= segments_KS.mean(axis=1, keepdims=True)
    slope_S = np.linspace(-1.0, 1.0, length)
    segments_KS -= np.outer(segments_KS @ slope_S / (slope_S @ slope_S), slope_S)
    power_KF = np.abs(np.fft.rfft(segments_KS * np.hanning(length))) ** 2
    bad_N = np.repeat(bad_L, TOKEN_SECONDS * rate_hz)
    touched_K = np.lib.stride_tricks.sliding_window_view(bad_N, length)[::hop].any(axis=1)
    narrow_K = _share_of_one(power_KF, 1.5, _FASTEST_HZ, n_harmonics=2)
    whole_K = _share_of_one(power_KF, 2.0, _TOP_HZ, n_harmonics=3)
    return Rhythm(np.where(touched_K, np.nan, narrow_K), np.where(touched_K, np.nan, whole_K))


def _share_of_one(power_KF: NDArray[np.float64], weight: float, top_hz: float, n_harmonics: int) -> NDArray[np.float64]:
    """(K,) share of the weighted power up to `top_hz` at the strongest breathing frequency and its multiples."""
    hz = np.arange(power_KF.shape[1]) / SEGMENT_S
    weighted_KF = np.where((hz >= _SLOWEST_HZ - 1e-9) & (hz <= top_hz + 1e-9), power_KF * hz**weight, 0.0)
    total_K = weighted_KF.sum(axis=1)
    peak_K = np.where(hz <= _FASTEST_HZ + 1e-9, weighted_KF, 0.0).argmax(axis=1)
    near = round(_NEAR_HZ * SEGMENT_S)
    sums_KF = np.cumsum(np.pad(weighted_KF, ((0, 0), (near + 1, near))), axis=1)
    around_KF = sums_KF[:, 2 * near + 1 :] - sums_KF[:, : -2 * near - 1]
    of_one_K = np.zeros(len(power_KF))
    for harmonic in range(1, n_harmonics + 1):
        place_K = peak_K * harmonic
        inside_K = place_K < around_KF.shape[1]
        of_one_K[inside_K] += around_KF[inside_K, place_K[inside_K]]
    share_K: NDArray[np.float64] = np.divide(of_one_K, total_K, out=np.zeros_like(of_one_K), where=total_K > 0)
    return share_K


def without_breathing(rhythm: Rhythm, n_tokens: int) -> NDArray[np.bool_]:
    """(L,) tokens in whose ten minutes even the better quarter of the segments shows no rhythm of breathing.

    Recordings below five minutes are not judged.
    """
    n_segments = len(rhythm.narrow_K)
    if n_tokens * TOKEN_SECONDS < SHORTEST_S or not np.isfinite(rhythm.narrow_K).any():
        return np.zeros(n_tokens, dtype=bool)
    wanted = min(n_segments, (STRETCH_S - SEGMENT_S) // _HOP_S + 1)
    middles_s = (np.arange(n_tokens) + 0.5) * TOKEN_SECONDS
    first_L = np.clip(np.round((middles_s - STRETCH_S / 2) / _HOP_S).astype(np.int64), 0, n_segments - wanted)
    narrow_L, whole_L = (_upper_quartile(values_K, first_L, wanted) for values_K in (rhythm.narrow_K, rhythm.whole_K))
    narrow_enough_L = (narrow_L >= threshold("breath_narrow", "*")) & (whole_L >= threshold("breath_least", "*"))
    return ~(narrow_enough_L | (whole_L >= threshold("breath_whole", "*")))


def _upper_quartile(values_K: NDArray[np.float64], first_L: NDArray[np.int64], wanted: int) -> NDArray[np.float64]:
    """(L,) of the known among `wanted` values from each first; of the whole night's where hardly any are known."""
    ordered_LK = np.sort(np.lib.stride_tricks.sliding_window_view(values_K, wanted)[first_L], axis=1)
    known_L = np.isfinite(ordered_LK).sum(axis=1)
    place_L = np.round(0.75 * np.maximum(known_L - 1, 0)).astype(np.int64)
    quartile_L = ordered_LK[np.arange(len(first_L)), place_L]
    of_the_night = np.percentile(values_K[np.isfinite(values_K)], 75)
    least = min(_LEAST_SEGMENTS, wanted)
    return np.where(known_L >= least, quartile_L, of_the_night)
