"""What goes wrong with sensors, on request and at a known time."""

from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from sleep2vec.simulation.noise import Array, Rng
from sleep2vec.simulation.sites import Channel, Site
from sleep2vec.vocabulary.errors import UsageError

FaultKind = Literal["off", "flat", "saturation", "gap", "swap", "missing"]

_ELECTRICAL = ("eeg", "eog", "emg", "ecg", "reference", "emg_leg", "mastoid_pair")


@dataclass(frozen=True)
class Fault:
    """A sensor fails.

    Attributes:
        sensor: A kind of channel (a modality, ``"thorax"``, ``"reference"``, ``"pulse"``; all its channels fail),
            the label of one channel, or an electrode (``"M1"``: every channel that is plugged into it fails).
        kind: ``"off"``: it fell off. An open electrode picks up hum and noise; a belt or cannula lies still; an
            oximeter shows 0. ``"flat"``: one constant number. ``"saturation"``: the signal runs into the
            converter's rails. ``"gap"``: nothing was recorded (NaN). ``"swap"``: the plugs of two channels were
            exchanged: each records, through its own amplifier, what the other should. ``"missing"``: the channel is
            not in the file.
        from_s, until_s: From the start of the recording; until None it lasts to the end.
        partner: Label of the other channel of a swap; `sensor` is then a label too.
    """

    sensor: str
    kind: FaultKind
    from_s: float
    until_s: float | None = None
    partner: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(FaultKind):
            raise UsageError(f"unknown kind of fault {self.kind!r}; choose from {', '.join(get_args(FaultKind))}.")
        if self.from_s < 0 or (self.until_s is not None and self.until_s <= self.from_s):
            raise UsageError(
                f"a fault of {self.sensor!r} from {self.from_s:g} s until {self.until_s} s lasts no time; "
                "give from_s >= 0 and until_s after it, or None."
            )

        if (self.kind == "swap") != (self.partner is not None):
            raise UsageError(
                f"a fault {self.kind!r} of {self.sensor!r} with the partner {self.partner!r}; "
                "a swap has the label of another channel as its partner, and nothing else has one."
            )

    def hits(self, channel: Channel) -> bool:
        """Whether the channel is one of those that fail."""
        if self.kind == "swap":
            return channel.label in (self.sensor, self.partner)
        return self.sensor in (channel.kind, channel.label, *channel.electrodes)

    def bounds(self, channel: Channel, n: int) -> slice:
        """Which of the channel's `n` samples it touches."""
        last = n if self.until_s is None else min(round(self.until_s * channel.rate_hz), n)
        return slice(min(round(self.from_s * channel.rate_hz), n), last)


def check_faults(faults: tuple[Fault, ...], site: Site) -> None:
    """Refuse a fault of a sensor that the site does not have.

    Raises:
        UsageError: naming what there is.
    """
    for fault in faults:
        if not any(fault.hits(channel) for channel in site.channels):
            known = dict.fromkeys([c.kind for c in site.channels] + [c.label for c in site.channels])
            raise UsageError(f"site {site.name} has no sensor {fault.sensor!r}; choose from {', '.join(known)}.")
        if fault.kind == "swap":
            _check_swap(fault, site)


def _check_swap(fault: Fault, site: Site) -> None:
    pair = [channel for channel in site.channels if fault.hits(channel)]
    if len(pair) != 2:
        labels = ", ".join(channel.label for channel in site.channels)
        raise UsageError(
            f"{fault.sensor!r} and {fault.partner!r} cannot be swapped at site {site.name}; "
            f"give the labels of two of its channels: {labels}."
        )
    if len({channel.kind in _ELECTRICAL for channel in pair}) == 2:
        raise UsageError(
            f"{fault.sensor!r} and {fault.partner!r} do not fit into each other's plugs; "
            "swap two electrodes, or two of the other sensors."
        )


def swapped(fault: Fault, channel: Channel, site: Site) -> Channel:
    """The channel with the plug of its partner in it: same amplifier, same label, another source."""
    other = next(c for c in site.channels if fault.hits(c) and c.label != channel.label)
    return replace(channel, source=other.source)


def apply_fault(rng: Rng, fault: Fault, channel: Channel, site: Site, samples_N: Array) -> Array:
    """The channel (N,), in its own unit, as the fault leaves it; a new array."""
    during = fault.bounds(channel, len(samples_N))
    low, high = channel.range
    n = during.stop - during.start
    broken_N = samples_N.copy()
    match fault.kind:
        case "gap":
            broken_N[during] = np.nan
        case "flat":
            broken_N[during] = 0.0
        case "saturation":
            # Ten times the signal around a rail: most of it is cut off.
            broken_N[during] = np.clip(0.9 * high + 10 * samples_N[during], low, high)
        case "off" if channel.kind in _ELECTRICAL:
            hum = np.sin(2 * np.pi * site.mains_hz * np.arange(n) / channel.rate_hz + rng.uniform(0, 2 * np.pi))
            noise = 0.3 * rng.standard_normal(n, dtype=np.float32)
            broken_N[during] = np.clip(0.25 * high * (hum + noise), low, high)
        case "off" if channel.kind in ("spo2", "pulse"):
            broken_N[during] = 0.0
        case _:
            broken_N[during] = 0.002 * high * rng.standard_normal(n, dtype=np.float32)
    return broken_N
