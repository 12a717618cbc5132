"""Actigraphy: how strongly a sensor on the body is shaken, four times a second, in g.

Letters: T samples at the recording's rate, N samples at the stored rate, L tokens, C axes.

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
- Four root mean squares a second hold the energy of every movement, where samples of a wave at 4 Hz would hold only what
  is slower than 2 Hz.

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
from sleep2vec.harmonization.quality import Verdict, bridge, judge_worn, missing_share, threshold
from sleep2vec.harmonization.waveform import Outcome, outcome_of
from sleep2vec.vocabulary.modalities import MODALITIES, TOKEN_SECONDS
from sleep2vec.vocabulary.night import Provenance

_AXES = ("X", "Y", "Z")
# At rest a sensor shows gravity, within its error of calibration, or nothing where the device took gravity out.
_GRAVITY_G, _NO_GRAVITY_G = (0.8, 1.25), 0.3
# Where the header has no unit, what gravity is in it tells (m/s2, mg); within the tolerance that no two of them share.
_GRAVITY_IN = (("g", 1.0), ("m/s2", 9.80665), ("mg", 1000.0))


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
    """Dynamic acceleration (see the top of this file), or why the channels are no acceleration (one sentence).

    Args:
        candidate: three axes, or one magnitude.
        grid: of the night.
    """
    traces = [trace_of(replace(candidate, channels=(channel,))) for channel in candidate.channels]
    rate_hz, edges_L1 = traces[0].rate_hz, grid.edges_of(traces[0].rate_hz)
    magnitude_T = grid.take(_magnitude([trace.samples_T for trace in traces]), rate_hz)
    edges_L1 = edges_L1 - edges_L1[0]
    missing_T = ~np.isfinite(magnitude_T)
    rest = float(np.median(magnitude_T[~missing_T])) if not missing_T.all() else 0.0
    factor, said = _gravity(rest, is_known=candidate.channels[0].unit_is_known)
    if factor is None:
        return said
    magnitude_T = bridge(magnitude_T, missing_T, rate_hz) * np.float32(factor)
    with_gravity = rest * factor > _NO_GRAVITY_G
    faults = {
        "gap": missing_share(missing_T, edges_L1) > threshold("missing_share", "actigraphy"),
        **judge_worn(magnitude_T, edges_L1, rate_hz, with_gravity=with_gravity),
    }
    verdict = Verdict(faults)
    hole_T = missing_T | np.repeat(verdict.bad_L, np.diff(edges_L1))
    moved_T: NDArray[np.floating] = bridge(magnitude_T, hole_T, rate_hz)
    steps = [*dict.fromkeys(step for trace in traces for step in trace.steps), *said_steps(candidate, said)]
    if with_gravity:
        moved_T = apply_band(moved_T, rate_hz, BANDS["actigraphy"])
        steps.append(describe(BANDS["actigraphy"], rate_hz))
    late_s = grid.late_of(rate_hz) / rate_hz
    stored_hz = MODALITIES["actigraphy"].rate_hz
    stored_N = rms_in_bins(moved_T, rate_hz, stored_hz, grid.n_tokens * TOKEN_SECONDS * stored_hz, late_s)
    steps += [f"root mean square of each {1 / stored_hz:g} s", verdict.describe()]
    story = Provenance(candidate.labels, candidate.reason, "actigraphy", tuple(steps), 0.0, 1.0)
    doubts = tuple(dict.fromkeys(doubt for trace in traces for doubt in trace.doubts))
    channels = tuple(channel.index for channel in candidate.channels)
    return outcome_of(stored_N, verdict, "actigraphy", story, channels, doubts)
