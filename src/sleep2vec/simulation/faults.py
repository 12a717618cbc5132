"""What goes wrong with sensors, on request and at a known time."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from sleep2vec.simulation.noise import Array, Rng
from sleep2vec.simulation.sites import Channel, Site
from sleep2vec.vocabulary.errors import UsageError

FaultKind = Literal["off", "flat", "saturation", "gap"]

_ELECTRICAL = ("eeg", "eog", "emg", "ecg", "reference")


@dataclass(frozen=True)
class Fault:
    """A sensor fails.

    Attributes:
        sensor: A kind of channel (a modality, ``"thorax"``, ``"reference"``, ``"pulse"``; all its channels fail)
            or the label of one channel.
        kind: ``"off"``: it fell off. An open electrode picks up hum and noise; a belt or cannula lies still; an
            oximeter shows 0. ``"flat"``: one constant number. ``"saturation"``: the signal runs into the
            converter's rails. ``"gap"``: nothing was recorded (NaN).
        from_s, until_s: From the start of the recording; until None it lasts to the end.
    """

    sensor: str
    kind: FaultKind
    from_s: float
    until_s: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(FaultKind):
            raise UsageError(f"unknown kind of fault {self.kind!r}; choose from {', '.join(get_args(FaultKind))}.")
        if self.from_s < 0 or (self.until_s is not None and self.until_s <= self.from_s):
            raise UsageError(
                f"a fault of {self.sensor!r} from {self.from_s:g} s until {self.until_s} s lasts no time; "
                "give from_s >= 0 and until_s after it, or None."
            )

    def hits(self, channel: Channel) -> bool:
        return self.sensor in (channel.kind, channel.label)


def check_faults(faults: tuple[Fault, ...], site: Site) -> None:
    """Refuse a fault of a sensor that the site does not have.

    Raises:
        UsageError: naming what there is.
    """
    for fault in faults:
        if not any(fault.hits(channel) for channel in site.channels):
            known = dict.fromkeys([c.kind for c in site.channels] + [c.label for c in site.channels])
            raise UsageError(f"site {site.name} has no sensor {fault.sensor!r}; choose from {', '.join(known)}.")


def apply_fault(rng: Rng, fault: Fault, channel: Channel, site: Site, samples_N: Array) -> Array:
    """The channel (N,), in its own unit, as the fault leaves it; a new array."""
    first = min(round(fault.from_s * channel.rate_hz), len(samples_N))
    last = len(samples_N) if fault.until_s is None else min(round(fault.until_s * channel.rate_hz), len(samples_N))
    low, high = channel.range
    n = last - first
    broken_N = samples_N.copy()
    match fault.kind:
        case "gap":
            broken_N[first:last] = np.nan
        case "flat":
            broken_N[first:last] = 0.0
        case "saturation":
            # Ten times the signal around a rail: most of it is cut off.
            broken_N[first:last] = np.clip(0.9 * high + 10 * samples_N[first:last], low, high)
        case "off" if channel.kind in _ELECTRICAL:
            hum = np.sin(2 * np.pi * site.mains_hz * np.arange(n) / channel.rate_hz + rng.uniform(0, 2 * np.pi))
            noise = 0.3 * rng.standard_normal(n, dtype=np.float32)
            broken_N[first:last] = np.clip(0.25 * high * (hum + noise), low, high)
        case "off" if channel.kind in ("spo2", "pulse"):
            broken_N[first:last] = 0.0
        case _:
            broken_N[first:last] = 0.002 * high * rng.standard_normal(n, dtype=np.float32)
    return broken_N
