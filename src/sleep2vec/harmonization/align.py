"""The token grid of one night, and how samples of any rate are laid on it.

Letters: T samples at a recording's rate, L tokens, S samples of a token, N samples at a stored rate.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sleep2vec.vocabulary.errors import RecordingTooShortError
from sleep2vec.vocabulary.modalities import MODALITIES, TOKEN_SECONDS
from sleep2vec.vocabulary.recording import Recording

# The grid starts on a sample of the slowest stored rate, so that every modality starts on one of its samples.
_PHASE_STEP_S = 1.0 / min(modality.rate_hz for modality in MODALITIES.values())


@dataclass(frozen=True)
class Grid:
    """L tokens of 30 s from `start_s`, counted from the recording's first sample."""

    start_s: float
    n_tokens: int

    def edges_of(self, rate_hz: float) -> NDArray[np.int64]:
        """(L + 1,) index of the sample at which each token begins, at `rate_hz`."""
        times_s = self.start_s + np.arange(self.n_tokens + 1) * TOKEN_SECONDS
        return np.round(times_s * rate_hz).astype(np.int64)

    def times_of(self, rate_hz: float) -> NDArray[np.float64]:
        """(N,) times of the stored samples at `rate_hz`, from the recording's first sample."""
        return self.start_s + np.arange(self.n_tokens * TOKEN_SECONDS * round(rate_hz)) / rate_hz

    def take(self, samples_T: NDArray[np.float32], rate_hz: float) -> NDArray[np.float32]:
        """The grid's part of a waveform at its own rate; what the channel lacks at its end is NaN.

        It begins at the sample nearest to the grid's start, at most half a sample off (see `late_of`).
        """
        edges = self.edges_of(rate_hz)
        part_T = samples_T[edges[0] : edges[-1]]
        missing = int(edges[-1] - edges[0]) - len(part_T)
        return part_T if missing <= 0 else np.concatenate([part_T, np.full(missing, np.nan, dtype=np.float32)])

    def late_of(self, rate_hz: float) -> float:
        """How far the grid begins after the first sample that `take` gives, in samples at `rate_hz`, -0.5 to 0.5."""
        return self.start_s * rate_hz - float(self.edges_of(rate_hz)[0])

    def fit(self, samples_N: NDArray[np.floating], rate_hz: int) -> NDArray[np.float32]:
        """Samples at a stored rate that begin with the grid, cut or lengthened to it by the odd sample."""
        wanted = self.n_tokens * TOKEN_SECONDS * rate_hz
        fitted_N = np.empty(wanted, dtype=np.float32)
        fitted_N[: len(samples_N)] = samples_N[:wanted]
        fitted_N[len(samples_N) :] = samples_N[-1]
        return fitted_N


def grid_of(recording: Recording) -> Grid:
    """Tokens in phase with the first scored epoch, else with the start of the recording.

    Only the phase comes from the scoring: what was recorded before the first scored epoch is kept. The
    phase is rounded to a quarter of a second, a sample of the slowest stored rate.

    Raises:
        RecordingTooShortError: not one whole token fits.
    """
    scored = [span for span in recording.stages if span.stage is not None] or list(recording.stages)
    onset_s = min((span.onset_s for span in scored), default=0.0)
    start_s = round(onset_s / _PHASE_STEP_S) * _PHASE_STEP_S % TOKEN_SECONDS
    # A tenth of a millisecond forgives rounding in the header's duration, not a missing sample.
    n_tokens = int((recording.duration_s - start_s + 1e-4) // TOKEN_SECONDS)
    if n_tokens < 1:
        phase = f" from the first scored epoch's phase ({start_s:g} s)" if start_s else ""
        raise RecordingTooShortError(
            f"{recording.source} holds {recording.duration_s:.1f} s; one {TOKEN_SECONDS} s token needs "
            f"{TOKEN_SECONDS} s{phase}. Give a longer recording."
        )
    return Grid(start_s, n_tokens)
