"""A breathing waveform from whatever recorded breathing.

Letters: N samples at the stored rate of 4 Hz.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from sleep2vec.harmonization.filters import BANDS, Band, apply_band
from sleep2vec.harmonization.heartbeats import Beats, intervals_of, on_grid
from sleep2vec.harmonization.quality import threshold

# Adults breathe 6-30 times a minute; what an ECG shows of it is judged there.
_BREATHS_HZ = (0.1, 0.5)
_RESPIRATORY = Band(0.15, None, low_order=4)


def breathing_band(samples_N: NDArray[np.float32], rate_hz: float) -> NDArray[np.floating]:
    """The 0.05-0.7 Hz of a breathing signal (N,) without NaN; zero phase."""
    return apply_band(samples_N, rate_hz, BANDS["resp"])


def breathing_of_beats(beats: Beats, grid_times_N: NDArray[np.float64]) -> tuple[NDArray[np.float32], str]:
    """Respiration derived from an ECG or a pulse wave.

    The height of the beats and the respiratory change of the intervals between them are laid on the grid by the beats'
    times; the one whose power from 0.1 to 0.5 Hz is more of one frequency is taken (Moody et al., Computers in
    Cardiology 12 (1985), for the heights).

    Returns:
        (N,) float32 with NaN where beats are missing (everywhere, where neither shows any breathing), and what it is,
        for a person.
    """
    heights_N = on_grid(beats.times_s, beats.heights, grid_times_N)
    intervals_N = _without_slow_waves(on_grid(*intervals_of(beats), grid_times_N))
    by_height, by_interval = _concentration(heights_N), _concentration(intervals_N)
    if max(by_height, by_interval) < threshold("concentration", "resp"):
        return np.full(len(grid_times_N), np.nan, dtype=np.float32), "no breathing shows in the beats"
    if by_height >= by_interval:
        return heights_N, "height of the beats"
    return intervals_N, "respiratory change of beat-to-beat intervals"


def _without_slow_waves(intervals_N: NDArray[np.float32], rate_hz: float = 4.0) -> NDArray[np.float32]:
    """The respiratory part of intervals (N,) with NaN: the waves of blood pressure around 0.1 Hz taken out.

    The high-frequency band of heart rate variability begins at 0.15 Hz (Task Force, Circulation 93 (1996)).
    """
    known_N = np.isfinite(intervals_N)
    if not known_N.any():
        return intervals_N
    places_N = np.arange(len(intervals_N))
    filled_N = np.interp(places_N, places_N[known_N], intervals_N[known_N])
    return np.where(known_N, apply_band(filled_N, rate_hz, _RESPIRATORY), np.nan).astype(np.float32)


def shows_breathing(waveform_N: NDArray[np.float32], n_tokens: int) -> NDArray[np.bool_]:
    """(L,) in which tokens, each seen with its neighbours, a waveform derived from beats has one frequency."""
    per_token = len(waveform_N) // n_tokens
    limit = threshold("concentration", "resp")
    shown_L = np.zeros(n_tokens, dtype=bool)
    for token in range(n_tokens):
        first, last = max(0, min(token - 1, n_tokens - 3)), min(n_tokens, max(token + 2, 3))
        shown_L[token] = _concentration(waveform_N[first * per_token : last * per_token]) >= limit
    return shown_L


def _concentration(waveform_N: NDArray[np.float32], rate_hz: float = 4.0) -> float:
    """Share of the power of breathing frequencies that lies within 0.04 Hz of their peak, 0 to 1."""
    known = waveform_N[np.isfinite(waveform_N)]
    if len(known) < 60 * rate_hz:
        return 0.0
    hz, power = signal.welch(known - known.mean(), rate_hz, nperseg=int(60 * rate_hz))
    breaths = (hz >= _BREATHS_HZ[0]) & (hz <= _BREATHS_HZ[1])
    total = power[breaths].sum()
    if total <= 0:
        return 0.0
    peak_hz = hz[breaths][power[breaths].argmax()]
    return float(power[breaths & (np.abs(hz - peak_hz) <= 0.04)].sum() / total)
