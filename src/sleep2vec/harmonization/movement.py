"""Actigraphy: how strongly a sensor on the body is shaken, four times a second, in g.

Letters: T samples at the recording's rate, N samples at the stored rate, L tokens.

What is stored is the dynamic acceleration: the root mean square, over each quarter of a second, of the magnitude of the
acceleration without its slow part, 0.25 to 5 Hz. Why so:

- The magnitude of three axes is the same however the watch is worn, and is all that some devices write; a watch and a
  belt recorder then mean the same by a number. What it costs is told by van Hees et al. (PLoS ONE 8:e61691, 2013): to a
  magnitude, a push across gravity counts less than one along it.
- Gravity, an error of calibration that changes with the posture, and the breath are slower than 0.25 Hz and go with
  the high pass, as in that paper's HFEN; no threshold is subtracted (as ENMO's 1 g would be), so a poor calibration
  neither hides movements nor makes them, which is what Bakrania et al. (PLoS ONE 11:e0164045, 2016) found of MAD.
- A wrist moves up to 3-4 Hz in sleep and waking (Redmond & Hegge, Behav Res Methods 17:659-669, 1985); the upper end
  makes devices of 20 and 100 samples a second, whose noise has other bandwidths, speak alike.
- Four root mean squares a second hold the energy of every movement; samples of a wave at 4 Hz would hold only what is
  slower than 2 Hz.

Counts of a device have no unit and stay out: no factor brings them to g.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sleep2vec.harmonization.align import Grid
from sleep2vec.harmonization.channel_match import Channel
from sleep2vec.harmonization.filters import BANDS, apply_band, describe
from sleep2vec.harmonization.montage import Candidate, sensor_candidates, trace_of
from sleep2vec.harmonization.quality import bridge, judge_movement
from sleep2vec.harmonization.waveform import Outcome, outcome_of
from sleep2vec.vocabulary.modalities import MODALITIES, TOKEN_SECONDS
from sleep2vec.vocabulary.night import Provenance, derivation
from sleep2vec.vocabulary.units import g_per_unit

_AXES = ("X", "Y", "Z")
# At rest a sensor shows gravity, within its error of calibration, or nothing where the device took gravity out.
_GRAVITY_G, _NO_GRAVITY_G = (0.8, 1.25), 0.3
# Where the header has no unit, what gravity comes to in it tells which it is, within an error of calibration.
_GRAVITY_IN, _GRAVITY_TOLERANCE = (("g", 1.0), ("m/s2", 9.80665), ("mg", 1000.0)), 0.1


def movement_candidates(channels: Iterable[Channel]) -> list[Candidate]:
    """Three axes of one device first, then magnitudes; an axis alone is none, because it turns with the body."""
    direct = sensor_candidates(("actigraphy",), channels)
    axes = {axis: [c.channels[0] for c in direct if c.channels[0].reading.active == axis] for axis in _AXES}
    alone = [candidate for candidate in direct if candidate.channels[0].reading.active is None]
    triples = [
        Candidate("actigraphy", triple, "acceleration", "three axes of acceleration: their magnitude")
        for triple in zip(*axes.values(), strict=False)
        if len({(channel.signal.rate_hz, channel.signal.unit.strip()) for channel in triple}) == 1
    ]
    return triples + alone


def movement(candidate: Candidate, grid: Grid) -> Outcome | str:
    """Dynamic acceleration (see the top of this file), or why the channels hold none (one sentence).

    Args:
        candidate: three axes, or one magnitude.
        grid: of the night.
    """
    traces = [trace_of(replace(candidate, channels=(channel,))) for channel in candidate.channels]
    rate_hz = traces[0].rate_hz
    magnitude_T = grid.take(_magnitude([trace.samples_T for trace in traces]), rate_hz)
    missing_T = ~np.isfinite(magnitude_T)
    rest = float(np.median(magnitude_T[~missing_T])) if not missing_T.all() else 0.0
    scale, said = _scale(rest, g_per_unit(candidate.channels[0].signal.unit) is not None)
    if scale is None:
        return f"{derivation(candidate.labels)}: {said}"
    edges_L1 = grid.edges_of(rate_hz)
    edges_L1 = edges_L1 - edges_L1[0]
    filled_T = bridge(magnitude_T, missing_T, rate_hz) * np.float32(scale)
    with_gravity = rest * scale > _NO_GRAVITY_G
    verdict = judge_movement(filled_T, missing_T, edges_L1, rate_hz, with_gravity=with_gravity)
    moved_T: NDArray[np.floating] = bridge(filled_T, missing_T | np.repeat(verdict.bad_L, np.diff(edges_L1)), rate_hz)
    steps = [*dict.fromkeys(step for trace in traces for step in trace.steps), said]
    if with_gravity:
        moved_T = apply_band(moved_T, rate_hz, BANDS["actigraphy"])
        steps.append(describe(BANDS["actigraphy"], rate_hz))
    stored_hz = MODALITIES["actigraphy"].rate_hz
    n_stored = grid.n_tokens * TOKEN_SECONDS * stored_hz
    stored_N = rms_of_bins(moved_T, rate_hz / stored_hz, n_stored, grid.late_of(rate_hz))
    steps += [f"root mean square of each {1 / stored_hz:g} s", verdict.describe()]
    story = Provenance(candidate.labels, candidate.reason, "actigraphy", tuple(steps), 0.0, 1.0)
    channels = tuple(channel.index for channel in candidate.channels)
    return outcome_of(stored_N, verdict, "actigraphy", story, channels)


def rms_of_bins(values_T: NDArray[np.floating], width: float, n_bins: int, late: float = 0.0) -> NDArray[np.float64]:
    """Root mean square of bins of `width` samples, which need not be whole: a sample on an edge counts on both sides.

    Args:
        values_T: (T,), each standing for the time from half a sample before it to half a sample behind.
        n_bins: N.
        late: how far the first bin begins after the first sample, in samples.

    Returns:
        (N,); 0 where a bin has no sample.
    """
    edges_T1 = np.arange(len(values_T) + 1) - 0.5
    energy_T1 = np.concatenate([[0.0], np.cumsum(np.square(values_T, dtype=np.float64))])
    bins_N1 = np.clip(late + width * np.arange(n_bins + 1), edges_T1[0], edges_T1[-1])
    energy_N, covered_N = np.diff(np.interp(bins_N1, edges_T1, energy_T1)), np.diff(bins_N1)
    rms_N: NDArray[np.float64] = np.sqrt(
        np.divide(energy_N, covered_N, out=np.zeros(n_bins), where=covered_N > 0).clip(min=0.0)
    )
    return rms_N


def _magnitude(axes: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Length of the vector; NaN where an axis is."""
    length = min(map(len, axes))
    squares_T = np.zeros(length, dtype=np.float32)
    for axis_T in axes:
        squares_T += np.square(axis_T[:length])
    return np.sqrt(squares_T, out=squares_T)


def _scale(rest: float, unit_is_known: bool) -> tuple[float | None, str]:
    """What the magnitude is multiplied with to be in g, and why; None where it cannot be told, and why.

    Args:
        rest: the median of the magnitude: a body is at rest for most of a night.
        unit_is_known: whether `rest` is in g already.
    """
    if unit_is_known:
        if _GRAVITY_G[0] <= rest <= _GRAVITY_G[1]:
            return 1.0, f"{rest:.2f} g at rest is gravity"
        if rest <= _NO_GRAVITY_G:
            return 1.0, f"{rest:.2g} g at rest: the device has taken gravity out"
        return None, f"{rest:.3g} g at rest is neither gravity nor none: this is no acceleration in g"
    for unit, gravity in _GRAVITY_IN:
        if abs(rest / gravity - 1) <= _GRAVITY_TOLERANCE:
            return 1 / gravity, f"{rest:.3g} at rest is gravity in {unit}"
    return (
        None,
        f"no unit in the header, and {rest:.3g} at rest is no gravity: counts of a device cannot be brought to g",
    )
