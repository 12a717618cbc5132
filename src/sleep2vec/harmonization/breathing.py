"""A breathing waveform from whatever recorded breathing.

Letters: N samples at the stored rate of 4 Hz, L tokens, G segments of two tokens, F frequencies.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d

from sleep2vec.harmonization.beat_shape import Beats
from sleep2vec.harmonization.filters import BANDS, Band, apply_band
from sleep2vec.harmonization.intervals import intervals_of, intervals_on_grid, on_grid
from sleep2vec.harmonization.quality import threshold
from sleep2vec.vocabulary.modalities import MODALITIES, TOKEN_SECONDS

_RATE_HZ = MODALITIES["resp"].rate_hz
# Adults breathe 6-30 times a minute; what beats show of it is judged there, against all that a stored waveform holds.
_BREATHS_HZ = (0.1, 0.5)
_SEEN_HZ = (0.08, 0.7)
# Waves of blood pressure (Mayer) stand around 0.1 Hz; the high-frequency band of heart rate variability, which follows
# breathing, begins at 0.15 Hz (Task Force of the ESC and NASPE, Circulation 93 (1996)).
_ABOVE_PRESSURE_HZ = 0.15
_RESPIRATORY = Band(_ABOVE_PRESSURE_HZ, None, low_order=4)
# Successive intervals that differ by more than this share of themselves on average are no sinus rhythm (ours): their
# pattern is not breathing's.
_MOST_UNEVEN, _BEATS_AROUND = 0.25, 15
_JOLT_MARGIN_S = 1.5
# A segment has a spectrum where this share of it is known (ours).
_KNOWN_SHARE = 0.7
# The peaks of the two segments of a token agree within this (ours).
_SAME_HZ = 0.05
# Where fewer tokens than this share show breathing, chance did: of 34 drawn quarter hours without breathing, none
# showed it in more than 0.13 (ours).
_LEAST_SHOWN = 0.2


def breathing_band(samples_N: NDArray[np.float32], rate_hz: float) -> NDArray[np.floating]:
    """The 0.05-0.7 Hz of a breathing signal (N,) without NaN; zero phase."""
    return apply_band(samples_N, rate_hz, BANDS["resp"])


def jolts(band_N: NDArray[np.floating], valid_L: NDArray[np.bool_], rate_hz: int) -> NDArray[np.bool_]:
    """(N,) samples of a breathing waveform, whole tokens, within 1.5 s of a swing too large for a breath.

    What moves is kept in the belt and the airflow; breaths cannot be read from it.
    """
    size_LS = np.abs(band_N).reshape(len(valid_L), -1)
    # What breaths reach, also where they come in short trains between apneas.
    typical = float(np.quantile(size_LS[valid_L], 0.9)) if valid_L.any() else 0.0
    large_N = np.abs(band_N) > threshold("jolt", "resp") * typical
    jolted_N: NDArray[np.bool_] = maximum_filter1d(large_N, 2 * round(_JOLT_MARGIN_S * rate_hz) + 1)
    return jolted_N if typical > 0 else np.zeros(len(band_N), dtype=bool)


def breathing_of_beats(
    beats: Beats, grid_times_N: NDArray[np.float64], of_pulse: bool
) -> tuple[NDArray[np.float32], str]:
    """Respiration derived from the beats of an ECG or a pulse wave.

    The height of the beats and the respiratory change of the intervals between them are laid on the grid by the beats'
    times; the one that shows breathing in more tokens is taken (Moody et al., Computers in Cardiology 12 (1985), for
    the heights). A token shows breathing when

    - its spectrum, with that of its neighbours, has one frequency, between 6 and 30 a minute (9 and 30 for intervals
      and for a pulse wave, in which slower waves are of blood pressure as well);
    - no other breathing frequency can look the same: beats sample breathing once each, so that f and (heart rate - f)
      cannot be told apart, and the second must be faster than 30 a minute.

    Args:
        beats: In seconds of the grid.
        grid_times_N: (N,) whole tokens at 4 Hz.
        of_pulse: Whether the beats are those of a pulse wave.

    Returns:
        (N,) float32, 0.05-0.7 Hz, NaN where no breathing shows, and what it is, for a person.
    """
    slowest_G = _slowest_rates(beats, grid_times_N)
    sound = beats.sound
    heights_N = on_grid(beats.times_s[sound], beats.heights[sound], grid_times_N)
    if of_pulse:
        heights_N = _filtered(heights_N, _RESPIRATORY)
    intervals_N = _filtered(on_grid(*_even_intervals(beats), grid_times_N), _RESPIRATORY)
    by_height = _shown(heights_N, slowest_G, _ABOVE_PRESSURE_HZ if of_pulse else _BREATHS_HZ[0])
    by_interval = _shown(intervals_N, slowest_G, _ABOVE_PRESSURE_HZ)
    if not (by_height.tokens_L.any() or by_interval.tokens_L.any()):
        return np.full(len(grid_times_N), np.nan, dtype=np.float32), "no breathing shows in the beats"
    if by_height.score >= by_interval.score:
        chosen_N, shown_L, what = heights_N, by_height.tokens_L, "height of the beats"
    else:
        chosen_N, shown_L, what = intervals_N, by_interval.tokens_L, "respiratory change of beat-to-beat intervals"
    band_N = _filtered(chosen_N, BANDS["resp"])
    band_N[~np.repeat(shown_L, len(band_N) // len(shown_L))] = np.nan
    return band_N, what


@dataclass(frozen=True, eq=False)
class _Shown:
    """(L,) which tokens show breathing, and how well all do: their share times the mean concentration."""

    tokens_L: NDArray[np.bool_]
    score: float


def _filtered(samples_N: NDArray[np.float32], band: Band) -> NDArray[np.float32]:
    """A band of (N,) samples with NaN, which stay NaN."""
    known_N = np.isfinite(samples_N)
    if not known_N.any():
        return samples_N
    filled_N = _bridged(samples_N)
    banded_N = apply_band(filled_N - np.float32(np.median(filled_N)), _RATE_HZ, band)
    return np.where(known_N, banded_N, np.nan).astype(np.float32)


def _bridged(samples_N: NDArray[np.float32]) -> NDArray[np.float32]:
    """Straight lines across the NaN of (N,) samples, some of which are known."""
    known_N = np.isfinite(samples_N)
    places_N = np.arange(len(samples_N))
    return np.interp(places_N, places_N[known_N], samples_N[known_N]).astype(np.float32)


def _even_intervals(beats: Beats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Middles and lengths of the accepted intervals where they change as little as in sinus rhythm."""
    middles_s, intervals_s = intervals_of(beats)
    if len(intervals_s) < _BEATS_AROUND:
        return middles_s[:0], intervals_s[:0]
    around = np.ones(_BEATS_AROUND) / _BEATS_AROUND
    jumps_s = np.abs(np.diff(intervals_s, prepend=intervals_s[0]))
    uneven = np.convolve(jumps_s, around, "same") / np.convolve(intervals_s, around, "same") > _MOST_UNEVEN
    return middles_s[~uneven], intervals_s[~uneven]


def _segments(samples_N: NDArray[np.float32]) -> NDArray[np.float32]:
    """(G, 2 tokens of samples): each token with the next one."""
    per_token = TOKEN_SECONDS * _RATE_HZ
    segments: NDArray[np.float32] = np.lib.stride_tricks.sliding_window_view(samples_N, 2 * per_token)[::per_token]
    return segments


def _slowest_rates(beats: Beats, grid_times_N: NDArray[np.float64]) -> NDArray[np.float64]:
    """(G,) heart rate, Hz, that nine tenths of the time of each segment exceed; NaN where intervals are unknown."""
    intervals_N = intervals_on_grid(beats, grid_times_N)
    if len(intervals_N) < 2 * TOKEN_SECONDS * _RATE_HZ or not np.isfinite(intervals_N).any():
        return np.full(max(0, len(intervals_N) // (TOKEN_SECONDS * _RATE_HZ) - 1), np.nan)
    known_G = np.isfinite(_segments(intervals_N)).mean(axis=1) >= _KNOWN_SHARE
    long_s_G = np.quantile(_segments(_bridged(intervals_N)), 0.9, axis=1)
    return np.where(known_G, 1.0 / long_s_G, np.nan)


def _shown(samples_N: NDArray[np.float32], slowest_G: NDArray[np.float64], lowest_hz: float) -> _Shown:
    """In which tokens (N,) samples derived from beats show a breathing frequency of at least `lowest_hz`."""
    n_tokens = len(samples_N) // (TOKEN_SECONDS * _RATE_HZ)
    if n_tokens < 2 or not np.isfinite(samples_N).any():
        return _Shown(np.zeros(n_tokens, dtype=bool), 0.0)
    segments_GS = _segments(_bridged(samples_N))
    segments_GS = segments_GS - segments_GS.mean(axis=1, keepdims=True)
    power_GF = np.abs(np.fft.rfft(segments_GS * np.hanning(segments_GS.shape[1]))) ** 2
    power_GF[np.isfinite(_segments(samples_N)).mean(axis=1) < _KNOWN_SHARE] = 0.0
    hz_F = np.fft.rfftfreq(segments_GS.shape[1], 1 / _RATE_HZ)
    seen_F = (hz_F >= _SEEN_HZ[0] - 1e-9) & (hz_F <= _SEEN_HZ[1])
    # A token stands in the segment that begins with it and in the one that ends with it.
    power_LF = (np.pad(power_GF, ((1, 0), (0, 0))) + np.pad(power_GF, ((0, 1), (0, 0))))[:, seen_F]
    slowest_L = np.fmin(np.append(np.nan, slowest_G), np.append(slowest_G, np.nan))
    peak_hz_L = hz_F[seen_F][power_LF.argmax(axis=1)]
    # Chance has a highest frequency too, but not the same one twice.
    peak_hz_G = hz_F[seen_F][power_GF[:, seen_F].argmax(axis=1)]
    off_hz_L = np.fmax(
        np.abs(np.append(np.nan, peak_hz_G) - peak_hz_L), np.abs(np.append(peak_hz_G, np.nan) - peak_hz_L)
    )
    near_LF = np.abs(hz_F[seen_F] - peak_hz_L[:, None]) <= 0.04
    with np.errstate(divide="ignore", invalid="ignore"):
        concentration_L = np.nan_to_num((power_LF * near_LF).sum(axis=1) / power_LF.sum(axis=1))
    shown_L = (concentration_L >= threshold("concentration", "resp")) & (peak_hz_L >= lowest_hz - 1e-9)
    # Also true of the peak itself: above half the heart rate it is its own mirror image that is slower.
    shown_L &= off_hz_L <= _SAME_HZ
    shown_L &= (peak_hz_L <= _BREATHS_HZ[1]) & (slowest_L - peak_hz_L > _BREATHS_HZ[1])
    shown_L &= shown_L.mean() >= _LEAST_SHOWN
    return _Shown(shown_L, float((shown_L * concentration_L).mean()))
