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

from sleep2vec.harmonization.beat_shape import Beats
from sleep2vec.harmonization.contact import EVENNESS_BANDS_HZ, evenness, peakiness
from sleep2vec.harmonization.intervals import intervals_of
from sleep2vec.vocabulary.modalities import MODALITIES, TOKEN_SECONDS


@dataclass(frozen=True)
class Threshold:
    """A number a detector compares with, and who says so."""

    value: float
    source: str


_OURS = "ours, chosen on the recordings in tests/harmonization"
_LUNA = "counted as Luna's CHEP-MASK does (zzz.bwh.harvard.edu/luna/ref/artifacts); the share is ours"
_SIMULATED = "ours, on 8 h of noise and drift each, simulated nights of 0-110 apneas an hour and the nox recording"
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
        # An accelerometer's own noise spans 5 mg and more; one that spans nothing for an hour lies on a table.
        ("flat_span", "actigraphy"): Threshold(0.001, _OURS + " (g)"),
        ("not_worn_s", "actigraphy"): Threshold(
            3600.0, "s: the length that van Hees et al. (PLoS ONE 6:e22922, 2011) look at; sleepers lie still for less"
        ),
        # The magnitude of a sensor that works is gravity, whatever the posture; so much for calibration and movement.
        ("gravity_off", "actigraphy"): Threshold(0.5, _OURS + " (g, of a token's median)"),
        # Share of a token in accepted intervals between pulses.
        ("pulse_share", "ppg"): Threshold(
            0.5, _OURS + ": noise, white or brown, up to 0.40 (99 %); drawn pulse waves with movements from 0.42 (1 %)"
        ),
        # Share of flat seconds in a token.
        ("flat_share", "*"): Threshold(0.20, _OURS),
        # An ECG is flat between beats when it is coarsely quantised.
        ("flat_share", "ecg"): Threshold(0.70, _OURS),
        # An apnea may flatten most of a token; only a whole dead token is a fallen sensor.
        ("flat_share", "airflow"): Threshold(0.95, _OURS),
        ("flat_share", "belt"): Threshold(0.95, _OURS),
        # Share of samples at an end of the converter's range, or on a plateau at the token's own extreme.
        ("clipped_share", "*"): Threshold(0.05, _LUNA),
        # Deep breaths overrun belts and cannulas for a moment without hiding the rhythm.
        ("clipped_share", "airflow"): Threshold(0.25, _OURS),
        ("clipped_share", "belt"): Threshold(0.25, _OURS),
        # How many times the samples on a token's extreme outnumber those on the next value to make a plateau: what
        # an amplifier clips piles up, what a coarse converter rounds thins out towards its extremes.
        ("plateau", "*"): Threshold(3.0, _OURS + "; a level on the token's median is a baseline, not a plateau"),
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
        # An ECG without QRS complexes: even after its filter, and without peaks (see `contact.peakiness`). Noise that
        # falls off as 1/f is left to the detector of beats, because broad complexes at irregular times look like it.
        ("even_spectrum", "ecg"): Threshold(0.25, _OURS + ": white noise 0.35-0.97; six ECGs, also at 0 dB, below 0.2"),
        ("peakiness", "ecg"): Threshold(
            3.35, _OURS + ": noise of steady or slowly changing level below 3.3; QRS 3.4-7"
        ),
        # A chin EMG is noise by nature: an open input in its range cannot be told from it, and has no detector here.
        # A single sample this many times beyond the amplitude would ring through a filter into its neighbours.
        ("spike", "*"): Threshold(10.0, _OURS + " (times the amplitude)"),
        ("spo2_low", "spo2"): Threshold(50.0, _RANGE),
        ("spo2_high", "spo2"): Threshold(
            100.0, "a saturation ends at 100 %; 127 is the dropout code of several oximeters"
        ),
        # Around a dropout: how fast a reading may change and how far from the dropout it is doubted.
        ("spo2_slope", "spo2"): Threshold(4.0, "ours, % a second: oximeters average 3 s and more; apneas reach 1-2"),
        ("spo2_ramp_s", "spo2"): Threshold(10.0, "ours, s: the longest averaging time in common use"),
        # A reading that stands still. In healthy sleep 97 % at a resolution of 1 % may well stand for 10 minutes.
        ("frozen_s", "spo2"): Threshold(1800.0, _OURS + " (s): beyond what a healthy sleeper holds at 1 % resolution"),
        ("frozen_fine_s", "spo2"): Threshold(300.0, _OURS + " (s), where readings are finer than 0.5 %"),
        ("frozen_both_s", "spo2"): Threshold(300.0, _OURS + " (s), where a pulse rate that moves stands still with it"),
        ("frozen_s", "ibi"): Threshold(300.0, _OURS + " (s): a pulse rate moves by 1/min with every few breaths"),
        ("frozen_share", "*"): Threshold(0.5, _OURS + ": of the token"),
        # Breathing in a belt or flow (see `respiratory_rhythm`), in the better quarter of ten minutes: shares of the
        # power at one frequency. Either of the first two shows it; without the third the power is of heart beats.
        ("breath_narrow", "*"): Threshold(0.57, _SIMULATED + ": noise up to 0.54, breathing from 0.59"),
        ("breath_whole", "*"): Threshold(0.34, _SIMULATED + ": noise up to 0.30, breathing from 0.40"),
        ("breath_least", "*"): Threshold(0.05, _SIMULATED + ": heart beats alone give 0.00"),
        # A movement of the body in a breathing waveform, times what nine tenths of the night's samples stay below: a
        # sine reaches 1, a sigh 2.5.
        ("jolt", "resp"): Threshold(2.9, _OURS + "; drawn bursts of motion in benchmarks/heartbeats_and_breathing.py"),
        # Share of the power from 0.08 to 0.7 Hz within 0.04 Hz of its peak; of noise it is about 0.25.
        ("concentration", "resp"): Threshold(0.5, _OURS + "; recordings of ECG and pulse wave without any belt"),
        # Share of a token covered by accepted beat-to-beat intervals.
        ("covered_share", "*"): Threshold(
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

    def joined(self, more: Mapping[str, NDArray[np.bool_]]) -> "Verdict":
        """With what other detectors found; the same name adds up."""
        both = {name: self.faults[name] | more[name] for name in self.faults.keys() & more.keys()}
        return Verdict({**self.faults, **more, **both})

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
        "clipped": _clipped(samples_T, at_limit_T, edges_L1, rate_hz, modality),
        "amplitude": _too_large(deviation_T, edges_L1, modality, relative),
    }
    if modality in ("eeg", "eog") and rate_hz >= 2 * EVENNESS_BANDS_HZ[-1]:
        faults["no contact"] = evenness(samples_T, edges_L1, rate_hz) > threshold("even_spectrum", modality)
    return Verdict(faults)


def judge_ecg(ecg_N: NDArray[np.floating], n_tokens: int) -> dict[str, NDArray[np.bool_]]:
    """Tokens of an ECG, (N,) filtered and at its stored rate, that show no QRS complex."""
    rate_hz = MODALITIES["ecg"].rate_hz
    without_L = peakiness(ecg_N, n_tokens, rate_hz) < threshold("peakiness", "ecg")
    suspects = np.flatnonzero(without_L)
    if suspects.size:
        per_token = TOKEN_SECONDS * rate_hz
        part_N = ecg_N.reshape(n_tokens, per_token)[suspects].reshape(-1)
        edges_L1 = np.arange(len(suspects) + 1) * per_token
        without_L[suspects] = evenness(part_N, edges_L1, rate_hz) > threshold("even_spectrum", "ecg")
    return {"no contact": without_L}


def judge_pulse(beats: Beats, n_tokens: int) -> dict[str, NDArray[np.bool_]]:
    """Tokens of a pulse wave too little of which lies between beats that look like beats and follow one another."""
    middle_s, intervals_s = intervals_of(beats)
    token = np.clip((middle_s // TOKEN_SECONDS).astype(np.int64), 0, n_tokens - 1)
    share_L = np.bincount(token, weights=intervals_s, minlength=n_tokens) / TOKEN_SECONDS
    return {"no pulse": share_L < threshold("pulse_share", "ppg")}


def judge_movement(
    magnitude_T: NDArray[np.float32],
    missing_T: NDArray[np.bool_],
    edges_L1: NDArray[np.int64],
    rate_hz: float,
    *,
    with_gravity: bool,
) -> Verdict:
    """Judge the tokens of an accelerometer by its magnitude in g (T,), gaps bridged.

    Args:
        with_gravity: whether the magnitude shows gravity, which a sensor that works always does.
    """
    n_tokens = len(edges_L1) - 1
    edges_W1 = np.round(np.linspace(0, edges_L1[-1], n_tokens * TOKEN_SECONDS + 1)).astype(np.int64)
    still_W = _spans(magnitude_T, edges_W1) <= threshold("flat_span", "actigraphy")
    long_W = _in_long_runs(still_W, min(len(still_W), round(threshold("not_worn_s", "actigraphy"))))
    faults = {
        "gap": _share(missing_T, edges_L1) > threshold("missing_share", "actigraphy"),
        "not worn": long_W.reshape(n_tokens, -1).mean(axis=1) >= 0.5,
    }
    if with_gravity:
        middle_L = np.array([np.median(magnitude_T[a:b]) for a, b in pairwise(edges_L1)])
        faults["no gravity"] = np.abs(middle_L - 1.0) > threshold("gravity_off", "actigraphy")
    return Verdict(faults)


def _in_long_runs(true_W: NDArray[np.bool_], least: int) -> NDArray[np.bool_]:
    """Where runs of True are at least so long."""
    turns = np.flatnonzero(np.diff(np.concatenate([[False], true_W, [False]]))).reshape(-1, 2)
    long_W = np.zeros(len(true_W), dtype=bool)
    for start, end in turns:
        long_W[start:end] = end - start >= least
    return long_W


def judge_coverage(known_N: NDArray[np.bool_], n_tokens: int, name: str) -> dict[str, NDArray[np.bool_]]:
    """Tokens that have too few known samples, under the name of what is missing; (N,) at a stored rate."""
    covered_L = known_N.reshape(n_tokens, -1).mean(axis=1)
    return {name: covered_L < threshold("covered_share", "*")}


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
    samples_T: NDArray[np.float32],
    at_limit_T: NDArray[np.bool_] | None,
    edges_L1: NDArray[np.int64],
    rate_hz: float,
    modality: str,
) -> NDArray[np.bool_]:
    """Tokens of which too much stands at an end of the converter's range, or on a plateau within it.

    A flow that is shown without its expirations rests on a floor and still breathes: breathing channels must have a
    plateau on both sides.
    """
    limit = threshold("clipped_share", modality)
    least = 2 if modality in ("airflow", "belt") else 1
    clipped_L = _share(at_limit_T, edges_L1) > limit
    # A plateau of that share shows in some 64 samples a second as well.
    step = max(1, int(rate_hz // 64))
    thin_T, edges_L1 = samples_T[::step], -(-edges_L1 // step)
    on_extreme_L = _share_on_extremes(thin_T, edges_L1)
    for token in np.flatnonzero(~clipped_L & (on_extreme_L > limit)).tolist():
        part = thin_T[edges_L1[token] : edges_L1[token + 1]]
        # Most extremes are reached once or twice.
        found = plateaus(part, 0.02 * len(part))
        clipped_L[token] = len(found) >= least and sum(count for _, count in found) > limit * len(part)
    return clipped_L


def _share_on_extremes(samples_T: NDArray[np.float32], edges_L1: NDArray[np.int64]) -> NDArray[np.float64]:
    """(L,) share of a token's samples on its own highest or lowest value, as Luna counts them."""
    starts, lengths = edges_L1[:-1], np.diff(edges_L1)
    highest_T = np.repeat(np.maximum.reduceat(samples_T, starts), lengths)
    lowest_T = np.repeat(np.minimum.reduceat(samples_T, starts), lengths)
    return _share((samples_T == highest_T) | (samples_T == lowest_T), edges_L1)


def plateaus(samples: NDArray[np.float32], least: float) -> list[tuple[float, int]]:
    """The highest and lowest value of samples without NaN, and how many stand on it, where it is a plateau.

    It is where more than `least` samples stand on it, many more than on the next value, and the median does not: an
    amplifier clips within the converter's range, a digital ECG rests on its baseline.
    """
    found, middle = [], None
    for extreme, nearest in ((samples.max(), np.max), (samples.min(), np.min)):
        on = samples == extreme
        count = int(np.count_nonzero(on))
        if count <= least or count == len(samples):
            continue
        middle = np.median(samples) if middle is None else middle
        on_next = np.count_nonzero(samples == nearest(samples[~on]))
        if extreme != middle and count > threshold("plateau", "*") * on_next:
            found.append((float(extreme), count))
    return found


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
