"""One sensor's samples: read, judged, freed of what is bad, filtered and laid on the grid.

Letters: T samples at the recording's rate, N samples at the stored rate, L tokens.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from sleep2vec.harmonization.align import Grid
from sleep2vec.harmonization.filters import BANDS, apply_band, describe, mains_of, remove_mains
from sleep2vec.harmonization.montage import Candidate, trace_of
from sleep2vec.harmonization.oximetry import judge_spo2
from sleep2vec.harmonization.quality import Verdict, bridge, judge_coverage, judge_ecg, judge_waveform
from sleep2vec.harmonization.resample import hold, resample
from sleep2vec.harmonization.respiratory_rhythm import rhythm_of, without_breathing
from sleep2vec.harmonization.scale import robust_scale
from sleep2vec.vocabulary.modalities import MODALITIES
from sleep2vec.vocabulary.night import Provenance

# Modalities whose sensors pick up the hum of the mains.
_ELECTRODES = ("eeg", "eog", "emg", "ecg")


@dataclass(frozen=True, eq=False)
class Prepared:
    """A candidate's samples on the grid's time, at their own rate, with nothing bad left in them.

    Attributes:
        samples_T: (T,) float32 without NaN; bad tokens and gaps are straight lines.
        hole_T: (T,) bool, those lines.
        rate_hz: The recording's own rate.
        late: How far the grid begins after the first sample, in samples, -0.5 to 0.5.
        verdict: Of the tokens.
    """

    candidate: Candidate
    samples_T: NDArray[np.float32]
    hole_T: NDArray[np.bool_]
    rate_hz: float
    late: float
    verdict: Verdict
    steps: tuple[str, ...]
    doubts: tuple[str, ...]

    @property
    def begins_s(self) -> float:
        """When the first sample stands, from the grid's start."""
        return -self.late / self.rate_hz


@dataclass(frozen=True, eq=False)
class Outcome:
    """A modality as the night keeps it. `samples_N` holds no NaN and 0 in invalid tokens.

    Attributes:
        hum_hz: What was taken out as hum of the mains.
    """

    samples_N: NDArray[np.float32]
    valid_L: NDArray[np.bool_]
    provenance: Provenance
    channels: tuple[int, ...]
    doubts: tuple[str, ...] = ()
    faults: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    hum_hz: tuple[float, ...] = ()

    @property
    def valid_share(self) -> float:
        return float(self.valid_L.mean())


def prepare(candidate: Candidate, grid: Grid, modality: str) -> Prepared:
    """Read a candidate and take out what the detectors reject, before any filter can spread it."""
    trace = trace_of(candidate)
    part_T = grid.take(trace.samples_T, trace.rate_hz)
    edges_L1 = grid.edges_of(trace.rate_hz)
    at_limit_T = None
    if trace.at_limit_T is not None:
        at_limit_T = np.zeros(len(part_T), dtype=bool)
        recorded = trace.at_limit_T[edges_L1[0] : edges_L1[-1]]
        at_limit_T[: len(recorded)] = recorded
    edges_L1 = edges_L1 - edges_L1[0]
    missing_T = ~np.isfinite(part_T)
    filled_T = bridge(part_T, missing_T, trace.rate_hz)
    verdict = judge_waveform(filled_T, at_limit_T, missing_T, edges_L1, trace.rate_hz, modality)
    hole_T = missing_T
    if verdict.bad_L.any():
        hole_T = missing_T | np.repeat(verdict.bad_L, np.diff(edges_L1))
        filled_T = bridge(part_T, hole_T, trace.rate_hz)
    late = grid.late_of(trace.rate_hz)
    return Prepared(candidate, filled_T, hole_T, trace.rate_hz, late, verdict, trace.steps, trace.doubts)


def finish(prepared: Prepared, grid: Grid, modality: str, source: str) -> Outcome:
    """Resample, filter and lay a prepared waveform on the grid; judge what can only be seen then."""
    kind = MODALITIES[modality]
    steps = [*prepared.steps]
    samples_N: NDArray[np.floating] = resample(prepared.samples_T, prepared.rate_hz, kind.rate_hz, prepared.late)
    if prepared.rate_hz != kind.rate_hz:
        steps.append(f"{prepared.rate_hz:g} to {kind.rate_hz} Hz" + _missing_top(prepared.rate_hz, kind.rate_hz))
    samples_N = apply_band(samples_N, kind.rate_hz, BANDS[modality])
    steps.append(describe(BANDS[modality], kind.rate_hz))
    hum_hz = mains_of(samples_N, kind.rate_hz) if modality in _ELECTRODES else ()
    for mains_hz in hum_hz:
        samples_N = remove_mains(samples_N, kind.rate_hz, mains_hz)
        steps.append(f"mains of {mains_hz:g} Hz removed")
    fitted_N = grid.fit(samples_N, kind.rate_hz)
    verdict = prepared.verdict.joined(_content(fitted_N, prepared.verdict.bad_L, modality))
    steps.append(verdict.describe())
    channels = tuple(channel.index for channel in prepared.candidate.channels)
    story = Provenance(prepared.candidate.labels, prepared.candidate.reason, source, tuple(steps), 0.0, 1.0)
    return replace(outcome_of(fitted_N, verdict, modality, story, channels, prepared.doubts), hum_hz=hum_hz)


def _content(stored_N: NDArray[np.float32], bad_L: NDArray[np.bool_], modality: str) -> dict[str, NDArray[np.bool_]]:
    """Tokens that do not hold what the sensor is for, by the name of what is missing."""
    if modality == "ecg":
        return judge_ecg(stored_N, len(bad_L))
    if modality in ("belt", "airflow"):
        rhythm = rhythm_of(stored_N, bad_L, MODALITIES[modality].rate_hz)
        return {"no breathing": without_breathing(rhythm, len(bad_L)) & ~bad_L}
    return {}


def saturation(candidate: Candidate, grid: Grid, pulses: Callable[[], list[NDArray[np.float32]]] = list) -> Outcome:
    """SpO2 at 4 Hz: each reading held until the next; lost or impossible ones replaced by the last good one.

    Args:
        candidate: The oximeter's channel.
        grid: Of the night.
        pulses: See `oximetry.judge_spo2`.
    """
    trace = trace_of(candidate)
    rate_hz = MODALITIES["spo2"].rate_hz
    # Held first: one reading a second is too coarse to be cut where the grid begins.
    held_N = hold(trace.samples_T, trace.rate_hz, grid.times_of(rate_hz))
    verdict, lost_N = judge_spo2(held_N, grid.n_tokens, rate_hz, 1 / trace.rate_hz, pulses)
    held_N = _last_good(np.where(lost_N, np.float32(np.nan), held_N))
    steps = (*trace.steps, f"held from {trace.rate_hz:g} to {rate_hz} Hz", verdict.describe())
    return outcome_of(
        np.minimum(held_N, 100.0),
        verdict,
        "spo2",
        Provenance(candidate.labels, candidate.reason, "spo2", steps, 0.0, 1.0),
        tuple(channel.index for channel in candidate.channels),
        trace.doubts,
    )


def from_values(
    values_N: NDArray[np.floating],
    modality: str,
    n_tokens: int,
    provenance: Provenance,
    channels: tuple[int, ...],
    missing: str = "too few beats",
    faults: Mapping[str, NDArray[np.bool_]] | None = None,
) -> Outcome:
    """A derived modality at its stored rate, (N,) with NaN where unknown; tokens need enough known samples.

    Args:
        values_N: The samples.
        modality: What they are.
        n_tokens: L.
        provenance: Their story so far.
        channels: Indices of the channels behind them.
        missing: What is missing where samples are, as a report names it.
        faults: By name, (L,) tokens for which another reason is known; `missing` names the rest.
    """
    known_N = np.isfinite(values_N)
    verdict = Verdict(dict(faults or {}))
    uncovered = judge_coverage(known_N, n_tokens, missing)
    verdict = verdict.joined({missing: uncovered[missing] & ~verdict.bad_L} if faults else uncovered)
    places_N = np.arange(len(values_N))
    filled_N = np.zeros(len(values_N), dtype=np.float32)
    if known_N.any():
        filled_N[:] = np.interp(places_N, places_N[known_N], values_N[known_N])
    steps = (*provenance.steps, verdict.describe())
    story = Provenance(provenance.channels, provenance.reason, provenance.source, steps, 0.0, 1.0)
    return outcome_of(filled_N, verdict, modality, story, channels)


def outcome_of(
    samples_N: NDArray[np.floating],
    verdict: Verdict,
    modality: str,
    story: Provenance,
    channels: tuple[int, ...],
    doubts: tuple[str, ...] = (),
) -> Outcome:
    """Scale what has no unit, note the robust constants, and put 0 where nothing may be read."""
    valid_L = ~verdict.bad_L
    centre, spread = robust_scale(samples_N, valid_L)
    steps = story.steps
    device_centre = device_spread = None
    stored_N = np.asarray(samples_N, dtype=np.float32)
    if MODALITIES[modality].unit == "robust units":
        stored_N = (stored_N - np.float32(centre)) / np.float32(spread)
        steps = (*steps, f"centred on {centre:.3g} and divided by the night's robust spread {spread:.3g}")
        device_centre, device_spread, centre, spread = centre, spread, 0.0, 1.0
    stored_LS = np.where(valid_L[:, None], stored_N.reshape(len(valid_L), -1), np.float32(0.0))
    told = Provenance(
        story.channels,
        story.reason,
        story.source,
        steps,
        centre,
        spread,
        device_centre,
        device_spread,
        verdict.shares,
    )
    return Outcome(stored_LS.reshape(-1), valid_L, told, channels, doubts, verdict.faults)


def _last_good(held_N: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each NaN replaced by the last value before it, the first ones by the first value; zeros if there is none."""
    known_N = np.isfinite(held_N)
    if not known_N.any():
        return np.zeros_like(held_N)
    last_N = np.maximum.accumulate(np.where(known_N, np.arange(len(held_N)), 0))
    carried_N: NDArray[np.float32] = np.where(np.isfinite(held_N[last_N]), held_N[last_N], held_N[known_N.argmax()])
    return carried_N


def _missing_top(from_hz: float, to_hz: float) -> str:
    return f" (nothing above {from_hz / 2:g} Hz in the file)" if from_hz < to_hz else ""
