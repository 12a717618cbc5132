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
APNEAS: tuple[EventKind, ...] = ("obstructive_apnea", "central_apnea", "mixed_apnea", "apnea")
APNEAS_AND_HYPOPNEAS: tuple[EventKind, ...] = (*APNEAS, "hypopnea")
"""What the AHI counts."""

HypopneaRule = Literal["1A", "1B"]
"""Which hypopneas count (AASM Manual): with a desaturation of 3 % or an arousal (1A), or with one of 4 % (1B)."""


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

    @property
    def end_s(self) -> float:
        return self.onset_s + self.duration_s
