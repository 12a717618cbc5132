"""Which channels can serve a modality, best first, and the derivation of one from two.

Letters: T samples at the recording's rate.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from sleep2vec.harmonization.channel_match import Channel
from sleep2vec.harmonization.quality import plateaus
from sleep2vec.harmonization.units import conversion_of
from sleep2vec.vocabulary.units import volts_per_unit

# Kinds whose electrodes may be subtracted from one another, and from which others.
_MINUS: dict[str, tuple[str, ...]] = {
    "eeg": ("reference",),
    "eog": ("reference", "eog"),
    "chin": ("chin",),
    "ecg": ("ecg",),
}


@dataclass(frozen=True)
class Candidate:
    """One channel, or the first minus the second of two, that can serve as `kind`.

    Attributes:
        kind: Kind of channel.
        channels: One, or two to subtract.
        title: The derivation (``"C4-M1"``), or the label.
        reason: Why it stands where it does among the candidates.
    """

    kind: str
    channels: tuple[Channel, ...]
    title: str
    reason: str

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(channel.label for channel in self.channels)


@dataclass(frozen=True, eq=False)
class Trace:
    """A candidate's samples in the stored unit.

    Attributes:
        samples_T: (T,) float32, NaN in gaps.
        rate_hz: Their rate.
        at_limit_T: (T,) bool, samples at the end of the converter's range; None where the range is unknown.
        steps: What was done so far.
        doubts: What a person should know.
    """

    samples_T: NDArray[np.float32]
    rate_hz: float
    at_limit_T: NDArray[np.bool_] | None
    steps: tuple[str, ...]
    doubts: tuple[str, ...]


def electrode_candidates(kind: str, channels: Iterable[Channel], preferences: tuple[str, ...]) -> list[Candidate]:
    """Candidates for a kind recorded with electrodes (eeg, eog, chin, ecg), best first."""
    usable = [channel for channel in channels if channel.usable]
    own = [channel for channel in usable if channel.reading.kind == kind]
    others = [channel for channel in usable if channel.reading.kind in _MINUS[kind]]
    ranked: list[tuple[tuple[int, int, int, int], Candidate]] = []
    for channel in own:
        place = _place(channel.reading.active, channel.reading.reference, preferences)
        ranked.append(((place, 0, channel.reading.rank, channel.index), _direct(channel)))
    for plus, minus in permutations({channel.index: channel for channel in own + others}.values(), 2):
        if (
            plus.reading.kind == kind
            and minus.reading.kind in _MINUS[kind]
            and _subtractable(plus, minus)
            and _common_reference(kind, usable)
        ):
            place = _place(plus.reading.active, minus.reading.active, preferences)
            if place < len(preferences):
                ranked.append(((place, 1, plus.reading.rank, plus.index), _derived(plus, minus)))
    return [candidate for _, candidate in sorted(ranked, key=lambda item: item[0])]


def sensor_candidates(kinds: tuple[str, ...], channels: Iterable[Channel]) -> list[Candidate]:
    """Candidates among kinds that need no derivation (breathing, oximetry), best kind first."""
    usable = [channel for channel in channels if channel.usable and channel.reading.kind in kinds]
    usable.sort(key=lambda channel: (kinds.index(channel.reading.kind or ""), channel.reading.rank, channel.index))
    return [_direct(channel) for channel in usable]


def _direct(channel: Channel) -> Candidate:
    active, reference = channel.reading.active, channel.reading.reference
    title = f"{active}-{reference}" if active and reference else channel.label
    reason = f"{channel.label} is {channel.reading.reason}"
    if active and not reference:
        reason += ", against the recording's own reference"
    return Candidate(channel.reading.kind or "", (channel,), title, reason)


def _derived(plus: Channel, minus: Channel) -> Candidate:
    title = f"{plus.reading.active}-{minus.reading.active}"
    reason = f"{title} derived: {plus.label} minus {minus.label}, recorded against a common reference"
    return Candidate(plus.reading.kind or "", (plus, minus), title, reason)


def _subtractable(plus: Channel, minus: Channel) -> bool:
    """Both name one electrode, no reference, and their samples mean the same: equal rates and like units."""
    named = plus.reading.active and minus.reading.active and not plus.reading.reference and not minus.reading.reference
    same_rate = plus.signal.rate_hz == minus.signal.rate_hz
    known = [volts_per_unit(channel.signal.unit) is not None for channel in (plus, minus)]
    like_units = all(known) or plus.signal.unit.strip() == minus.signal.unit.strip()
    return bool(named) and plus.reading.active != minus.reading.active and same_rate and like_units


def _common_reference(kind: str, channels: list[Channel]) -> bool:
    """Whether lone electrodes are against one reference.

    Where the EEG is stored as derivations and no reference electrode is, an eye channel named "LOC" has been
    referenced by the device already, to what nobody wrote down: it is used as it is.
    """
    if kind != "eog":
        return True
    if any(channel.reading.kind == "reference" for channel in channels):
        return True
    return any(c.reading.kind == "eeg" and c.reading.active and not c.reading.reference for c in channels)


def _place(active: str | None, reference: str | None, preferences: tuple[str, ...]) -> int:
    for place, preference in enumerate(preferences):
        if preference == "derivation":
            if active is None:
                return place
            continue
        wanted, _, against = preference.partition("-")
        if wanted not in ("*", active):
            continue
        if wanted == "*" or against == (reference or "") or (against == "*" and reference):
            return place
    return len(preferences)


def trace_of(candidate: Candidate) -> Trace:
    """Read the candidate's channels, bring them to the stored unit, and subtract where there are two."""
    if len(candidate.channels) == 1:
        return _load(candidate.channels[0])
    first, second = (_with_rails(_load(channel)) for channel in candidate.channels)
    length = min(len(first.samples_T), len(second.samples_T))
    at_limit_T = None
    limits = [trace.at_limit_T[:length] for trace in (first, second) if trace.at_limit_T is not None]
    if limits:
        at_limit_T = np.logical_or.reduce(limits)
    steps = (*dict.fromkeys(first.steps + second.steps), " minus ".join(candidate.labels))
    doubts = tuple(dict.fromkeys(first.doubts + second.doubts))
    difference_T = first.samples_T[:length] - second.samples_T[:length]
    return Trace(difference_T, first.rate_hz, at_limit_T, steps, doubts)


def _with_rails(trace: Trace) -> Trace:
    """Count as limits the plateaus that a whole channel ends in: once it is subtracted, they show no more."""
    known_T = trace.samples_T[np.isfinite(trace.samples_T)]
    at_limit_T = trace.at_limit_T
    # A second on it is less than 5 % of a token.
    for value, _ in plateaus(known_T, trace.rate_hz) if known_T.size else ():
        on_T = trace.samples_T == np.float32(value)
        at_limit_T = on_T if at_limit_T is None else at_limit_T | on_T
    return replace(trace, at_limit_T=at_limit_T)


def _load(channel: Channel) -> Trace:
    signal = channel.signal
    samples_T = np.asarray(signal.samples, dtype=np.float32)
    conversion = conversion_of(signal, samples_T, channel.reading.kind or "")
    at_limit_T = None
    if signal.physical_range is not None:
        low, high = sorted(signal.physical_range)
        # Half a step of a 16-bit converter forgives rounding in float32.
        margin = (high - low) / 2**17
        at_limit_T = (samples_T <= low + margin) | (samples_T >= high - margin) if high > low else None
    if conversion.factor != 1.0:
        samples_T = samples_T * np.float32(conversion.factor)
    doubts = (conversion.doubt,) if conversion.doubt else ()
    return Trace(samples_T, signal.rate_hz, at_limit_T, (conversion.step,), doubts)
