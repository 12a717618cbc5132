"""Which tokens are good: named detectors, and the one table of their thresholds.

Detectors look at samples in the stored unit before any filter, so that what is bad can be taken out before a
filter spreads it. Letters: T samples at the recording's rate, L tokens, W windows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from sleep2vec.vocabulary.modalities import TOKEN_SECONDS


@dataclass(frozen=True)
class Threshold:
    """A number a detector compares with, and who says so."""

    value: float
    source: str


_BANDS_HZ = (1.0, 4.0, 10.0, 20.0, 35.0)
_OURS = "ours, chosen on the recordings in tests/harmonization"
_LUNA = "counted as Luna's CHEP-MASK does (zzz.bwh.harvard.edu/luna/ref/artifacts); the share is ours"
_RANGE = "the range oximeters are specified for starts at 70 %; 50 % leaves room for deep desaturations (ours)"

# (detector, modality) -> threshold; modality "*" where no own line stands.
THRESHOLDS: Mapping[tuple[str, str], Threshold] = MappingProxyType(
    {
        # Share of a token without a sample.
        ("missing_share", "*"): Threshold(0.10, _OURS),
        # Shorter runs of lost or impossible readings are bridged by the last value.
        ("missing_share", "spo2"): Threshold(0.20, _OURS),
        # Span (max - min) within one second below which the input is dead: a fraction of amplifier noise.
        ("flat_span", "eeg"): Threshold(0.5, _OURS + " (uV)"),
        ("flat_span", "eog"): Threshold(0.5, _OURS + " (uV)"),
        ("flat_span", "emg"): Threshold(0.05, _OURS + " (uV): the chin in REM sleep is quiet, not dead"),
        ("flat_span", "ecg"): Threshold(0.002, _OURS + " (mV)"),
        # Breathing channels have no unit: a fraction of the night's typical span of a second.
        ("flat_span", "airflow"): Threshold(1e-3, _OURS + " (relative)"),
        ("flat_span", "belt"): Threshold(1e-3, _OURS + " (relative)"),
        ("flat_span", "ppg"): Threshold(1e-3, _OURS + " (relative)"),
        # Share of flat seconds in a token.
        ("flat_share", "*"): Threshold(0.20, _OURS),
        # An ECG is flat between beats when it is coarsely quantised.
        ("flat_share", "ecg"): Threshold(0.70, _OURS),
        # An apnea may flatten most of a token; only a whole dead token is a fallen sensor.
        ("flat_share", "airflow"): Threshold(0.95, _OURS),
        ("flat_share", "belt"): Threshold(0.95, _OURS),
        # Share of samples at an end of the converter's range.
        ("clipped_share", "*"): Threshold(0.05, _LUNA),
        # Deep breaths overrun belts and cannulas for a moment without hiding the rhythm.
        ("clipped_share", "airflow"): Threshold(0.25, _OURS),
        ("clipped_share", "belt"): Threshold(0.25, _OURS),
        # |sample - straight line of the token| beyond which it is not physiology, and the share of such samples.
        ("amplitude", "eeg"): Threshold(500.0, _OURS + " (uV): K-complexes and delta stay below 300"),
        ("amplitude", "eog"): Threshold(1000.0, _OURS + " (uV)"),
        ("amplitude", "emg"): Threshold(2000.0, _OURS + " (uV)"),
        ("amplitude", "ecg"): Threshold(10.0, _OURS + " (mV)"),
        # Without a unit: times the night's typical deviation of a token.
        ("amplitude", "airflow"): Threshold(30.0, _OURS + " (relative)"),
        ("amplitude", "belt"): Threshold(30.0, _OURS + " (relative)"),
        ("amplitude", "ppg"): Threshold(30.0, _OURS + " (relative)"),
        ("amplitude_share", "*"): Threshold(0.10, _OURS),
        # Smallest over largest power density of the bands of `evenness`. Brains and eyes follow 1/f, also under the
        # muscle of a restless waker; the noise of an input without an electrode is even.
        ("even_spectrum", "eeg"): Threshold(
            0.6, _OURS + ": 99 % of six real ucddb nights stay below 0.45; white noise 0.8"
        ),
        ("even_spectrum", "eog"): Threshold(0.6, _OURS + ": as for the EEG"),
        # A single sample this many times beyond the amplitude would ring through a filter into its neighbours.
        ("spike", "*"): Threshold(10.0, _OURS + " (times the amplitude)"),
        ("spo2_low", "spo2"): Threshold(50.0, _RANGE),
        ("spo2_high", "spo2"): Threshold(
            100.0, "a saturation ends at 100 %; 127 is the dropout code of several oximeters"
        ),
        # Share of the power from 0.08 to 0.7 Hz within 0.04 Hz of its peak; of noise it is about 0.25.
        ("concentration", "resp"): Threshold(0.5, _OURS + "; recordings of ECG and pulse wave without any belt"),
        # Share of a token covered by accepted beat-to-beat intervals.
        ("covered_share", "ibi"): Threshold(
            0.9, _OURS + ": what is bridged is off by the respiratory change, 30-50 ms RMS; 3 s of it make 10 ms"
        ),
    }
)


def threshold(detector: str, modality: str) -> float:
    """The number `detector` uses for `modality`; infinity where it does not apply."""
    entry = THRESHOLDS.get((detector, modality)) or THRESHOLDS.get((detector, "*"))
    return entry.value if entry else float("inf")


@dataclass(frozen=True, eq=False)
class Verdict:
    """What the detectors found.

    Attributes:
        faults: By detector, (L,) bool, the tokens it rejects.
    """

    faults: dict[str, NDArray[np.bool_]]

    @property
    def bad_L(self) -> NDArray[np.bool_]:
        bad: NDArray[np.bool_] = np.logical_or.reduce(list(self.faults.values()))
        return bad

    @property
    def shares(self) -> dict[str, float]:
        """By detector, the share of tokens it rejects, where it rejects any."""
        return {name: float(fault_L.mean()) for name, fault_L in self.faults.items() if fault_L.any()}

    def describe(self) -> str:
        """The share of bad tokens and why, for a person."""
        found = [f"{name} {share:.0%}" for name, share in self.shares.items()]
        return "every token good" if not found else "bad tokens: " + ", ".join(found)


def judge_waveform(
    samples_T: NDArray[np.float32],
    at_limit_T: NDArray[np.bool_] | None,
    missing_T: NDArray[np.bool_] | None,
    edges_L1: NDArray[np.int64],
    rate_hz: float,
    modality: str,
) -> Verdict:
    """Judge the tokens of a waveform.

    Args:
        samples_T: (T,) samples in the stored unit without NaN (gaps bridged).
        at_limit_T: (T,) at an end of the converter's range, or None where that is unknown.
        missing_T: (T,) gaps, or None where there is none.
        edges_L1: (L + 1,) first sample of each token, and the end; the first is 0.
        rate_hz: rate of the samples.
        modality: whose thresholds hold (also ``"ppg"``).
    """
    deviation_T = _without_line(samples_T, edges_L1)
    relative = modality in ("airflow", "belt", "ppg")
    faults = {
        "gap": _share(missing_T, edges_L1) > threshold("missing_share", modality),
        "flat": _flat(samples_T, edges_L1, rate_hz, modality, relative),
        "clipped": _clipped(samples_T, at_limit_T, edges_L1) > threshold("clipped_share", modality),
        "amplitude": _too_large(deviation_T, edges_L1, modality, relative),
    }
    if ("even_spectrum", modality) in THRESHOLDS and rate_hz >= 2 * _BANDS_HZ[-1]:
        faults["no contact"] = evenness(samples_T, edges_L1, rate_hz) > threshold("even_spectrum", modality)
    return Verdict(faults)


def judge_spo2(samples_N: NDArray[np.float32], n_tokens: int) -> Verdict:
    """Judge the tokens of an oxygen saturation, (N,) in percent at a stored rate, with NaN in gaps."""
    missing_LS = ~np.isfinite(samples_N).reshape(n_tokens, -1)
    lost_LS = missing_LS | impossible_spo2(samples_N).reshape(n_tokens, -1)
    limit = threshold("missing_share", "spo2")
    return Verdict({"gap": missing_LS.mean(axis=1) > limit, "range": lost_LS.mean(axis=1) > limit})


def impossible_spo2(samples_T: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(T,) readings no saturation has: dropout codes (0, 127) and everything outside 50-100 %."""
    # Files round: 100.2 % is a scaled 100.
    low, high = threshold("spo2_low", "spo2"), threshold("spo2_high", "spo2") + 0.5
    impossible_T: NDArray[np.bool_] = (samples_T < low) | (samples_T > high)
    return impossible_T


def judge_coverage(known_N: NDArray[np.bool_], n_tokens: int) -> Verdict:
    """Tokens that have too few known samples; (N,) at a stored rate, whole tokens."""
    covered_L = known_N.reshape(n_tokens, -1).mean(axis=1)
    return Verdict({"too few beats": covered_L < threshold("covered_share", "ibi")})


def evenness(samples_T: NDArray[np.float32], edges_L1: NDArray[np.int64], rate_hz: float) -> NDArray[np.float64]:
    """(L,) smallest of the power densities in four bands between 1 and 35 Hz over the largest: white noise is near 1.

    Densities are medians over the seconds of a token, so that a burst passes. Mains hum lies outside of the bands.
    """
    second = int(rate_hz)
    frequency_F = np.fft.rfftfreq(second, 1 / rate_hz)
    window_S = np.hanning(second)
    even_L = np.zeros(len(edges_L1) - 1)
    for token, (start, end) in enumerate(pairwise(edges_L1)):
        n_seconds = (end - start) // second
        seconds_WS = samples_T[start : start + n_seconds * second].reshape(n_seconds, second)
        seconds_WS = seconds_WS - seconds_WS.mean(axis=1, keepdims=True, dtype=np.float64)
        power_F = np.median(np.abs(np.fft.rfft(seconds_WS * window_S)) ** 2, axis=0)
        densities = [power_F[(frequency_F >= low) & (frequency_F <= high)].mean() for low, high in pairwise(_BANDS_HZ)]
        even_L[token] = min(densities) / max(densities) if max(densities) > 0 else 0.0
    return even_L


def _share(mask_T: NDArray[np.bool_] | None, edges_L1: NDArray[np.int64]) -> NDArray[np.float64]:
    if mask_T is None or not mask_T.any():
        return np.zeros(len(edges_L1) - 1)
    counts_L = np.add.reduceat(mask_T, edges_L1[:-1], dtype=np.int64)
    share_L: NDArray[np.float64] = counts_L / np.diff(edges_L1)
    return share_L


def _spans(samples_T: NDArray[np.float32], edges: NDArray[np.int64]) -> NDArray[np.float32]:
    """max - min between neighbouring edges."""
    starts = edges[:-1]
    spans: NDArray[np.float32] = np.maximum.reduceat(samples_T, starts) - np.minimum.reduceat(samples_T, starts)
    return spans


def _flat(
    samples_T: NDArray[np.float32], edges_L1: NDArray[np.int64], rate_hz: float, modality: str, relative: bool
) -> NDArray[np.bool_]:
    n_tokens = len(edges_L1) - 1
    edges_W1 = np.round(np.linspace(0, edges_L1[-1], n_tokens * TOKEN_SECONDS + 1)).astype(np.int64)
    span_LW = _spans(samples_T, edges_W1).reshape(n_tokens, TOKEN_SECONDS)
    limit = threshold("flat_span", modality)
    if relative:
        moving = span_LW[span_LW > 0]
        limit *= float(np.median(moving)) if moving.size else 1.0
    # "Not above" so that an exactly constant second is flat even where the limit is 0.
    flat_L: NDArray[np.bool_] = (span_LW <= limit).mean(axis=1) > threshold("flat_share", modality)
    return flat_L


def _clipped(
    samples_T: NDArray[np.float32], at_limit_T: NDArray[np.bool_] | None, edges_L1: NDArray[np.int64]
) -> NDArray[np.float64]:
    if at_limit_T is not None:
        return _share(at_limit_T, edges_L1)
    # Without a known range: samples on the token's own extremes, as Luna counts them, where they are a plateau.
    starts, lengths = edges_L1[:-1], np.diff(edges_L1)
    highest_T = np.repeat(np.maximum.reduceat(samples_T, starts), lengths)
    lowest_T = np.repeat(np.minimum.reduceat(samples_T, starts), lengths)
    return _share((samples_T == highest_T) | (samples_T == lowest_T), edges_L1)


def _too_large(
    deviation_T: NDArray[np.float32], edges_L1: NDArray[np.int64], modality: str, relative: bool
) -> NDArray[np.bool_]:
    starts = edges_L1[:-1]
    size_T = np.abs(deviation_T)
    limit = threshold("amplitude", modality)
    if relative:
        typical_L = np.add.reduceat(size_T, starts, dtype=np.float64) / np.diff(edges_L1)
        alive = typical_L[typical_L > 0]
        limit *= float(np.median(alive)) if alive.size else 1.0
    spiked_L = np.maximum.reduceat(size_T, starts) > limit * threshold("spike", modality)
    too_large_L: NDArray[np.bool_] = spiked_L | (
        _share(size_T > limit, edges_L1) > threshold("amplitude_share", modality)
    )
    return too_large_L


def _without_line(samples_T: NDArray[np.float32], edges_L1: NDArray[np.int64]) -> NDArray[np.float32]:
    """Remove each token's mean and slope (from the means of its halves): drift of an electrode is no fault."""
    starts, lengths = edges_L1[:-1], np.diff(edges_L1)
    middles = starts + lengths // 2
    halves = np.stack([starts, middles], axis=1).reshape(-1)
    sums = np.add.reduceat(samples_T, halves, dtype=np.float64).reshape(-1, 2)
    first_L, second_L = sums[:, 0] / (lengths // 2), sums[:, 1] / (lengths - lengths // 2)
    slope_L = (second_L - first_L) / (lengths / 2)
    place_T = np.arange(edges_L1[-1], dtype=np.float32) - np.repeat((starts + lengths / 2).astype(np.float32), lengths)
    level_T = np.repeat(((first_L + second_L) / 2).astype(np.float32), lengths)
    deviation_T: NDArray[np.float32] = samples_T - level_T - place_T * np.repeat(slope_L.astype(np.float32), lengths)
    return deviation_T


def bridge(samples_T: NDArray[np.float32], hole_T: NDArray[np.bool_], rate_hz: float) -> NDArray[np.float32]:
    """A copy of `samples_T` (T,) with straight lines across the holes, from and to the level of half a second.

    What stood in the holes leaves no trace. All holes: zeros.
    """
    if not hole_T.any():
        return samples_T
    bridged_T = samples_T.copy()
    turns = np.flatnonzero(np.diff(np.concatenate([[False], hole_T, [False]])))
    reach = max(1, int(rate_hz / 2))
    known_T = ~hole_T
    for start, end in turns.reshape(-1, 2):
        before = samples_T[max(0, start - reach) : start][known_T[max(0, start - reach) : start]]
        after = samples_T[end : end + reach][known_T[end : end + reach]]
        left = before.mean() if before.size else (after.mean() if after.size else 0.0)
        right = after.mean() if after.size else left
        bridged_T[start:end] = np.linspace(left, right, end - start, dtype=np.float32)
    return bridged_T
