"""Scored events: what happened, when and for how long."""

from dataclasses import dataclass
from typing import Literal

EventKind = Literal[
    "obstructive_apnea",
    "central_apnea",
    "mixed_apnea",
    "apnea",  # the scorer did not say of which type
    "hypopnea",
    "rera",
    "periodic_breathing",
    "arousal",
    "desaturation",
    "limb_movement",
    "lights_off",
    "lights_on",
]


@dataclass(frozen=True)
class Event:
    """One scored event.

    Attributes:
        kind: What it is, or None for an annotation whose meaning is not known; `text` keeps its words.
        onset_s: From the start of the recording.
        duration_s: 0 for a mark.
        text: The annotation as it was written.
    """

    kind: EventKind | None
    onset_s: float
    duration_s: float
    text: str = ""
