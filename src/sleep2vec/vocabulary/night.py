"""A night: what the model reads, with the story of where every number came from."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from sleep2vec.vocabulary.events import Event
from sleep2vec.vocabulary.modalities import MODALITIES, TOKEN_SECONDS
from sleep2vec.vocabulary.stages import FIVE, Hypnogram
from sleep2vec.vocabulary.subject import Subject

SIMULATED = "simulated"
"""The cohort of nights that `sleep2vec.simulation` made: what is trained on nothing else must say so."""
SIMULATED_MARK = "SIMULATED.json"
"""A file of this name in a folder of recordings says that they are simulated, whatever cohort they look like."""


def simulated_as(cohort: str | None) -> str:
    """The cohort of simulated nights that are written as `cohort` would (``"simulated-shhs1"``)."""
    return SIMULATED if cohort is None else f"{SIMULATED}-{cohort}"


def is_simulated(cohort: str | None) -> bool:
    """Whether nights of a manifest's cohort are simulated."""
    return cohort == SIMULATED or (cohort or "").startswith(f"{SIMULATED}-")


def derivation(channels: Sequence[str]) -> str:
    """Labels of the channels behind something, as a person reads them: one, the first minus the second, or axes."""
    return " minus ".join(channels) if len(channels) < 3 else f"{', '.join(channels[:-1])} and {channels[-1]}"


@dataclass(frozen=True)
class Provenance:
    """Where a modality came from and what was done to it.

    Attributes:
        channels: Labels of the channels it was computed from, as written in the file.
        reason: Why these and not others, one sentence.
        source: The sensor behind it: a modality name, or ``"ppg"`` / ``"pulse"``. IBI from the ECG has
            source ``"ecg"``: when the ECG falls off, so does it.
        steps: What was done, in order, one short phrase each (unit, reference, filter, resampling ...).
        centre, spread: Robust constants of the night (median and scaled MAD of the valid samples), in the
            stored unit; applied at the model's door where the modality is scaled by night.
        device_centre, device_spread: What was already taken out of a signal whose gain means nothing (stored in
            "robust units"), in the unit of the file: ``file = stored * device_spread + device_centre``. None elsewhere.
        faults: By detector of `harmonization.quality`, the share of tokens that it rejects. A token can have several.
    """

    channels: tuple[str, ...]
    reason: str
    source: str
    steps: tuple[str, ...]
    centre: float
    spread: float
    device_centre: float | None = None
    device_spread: float | None = None
    faults: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ChannelDecision:
    """What became of one channel of the file: the modalities it serves (maybe none), and why."""

    label: str
    kind: str | None
    used_for: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Night:
    """A night on the 30 s token grid (L tokens).

    Attributes:
        night_id: Names the night; unique within a store.
        subject: The person.
        n_tokens: L.
        grid_start_s: When token 0 begins, from the start of the recording.
        samples: By modality, (L * samples_per_token,) float32 in the stored unit; absent modalities have
            no entry. Samples of invalid tokens are 0.
        valid: By modality, (L,) bool: present and good. Nothing downstream may read an invalid token.
        provenance: By modality.
        absent: By modality that is not in `samples`: why, one sentence.
        decisions: One for each channel of the file.
        stages: (L,) codes of `vocabulary.stages.FIVE`, NaN where unscored; None when nobody scored.
        events: Times count from the start of the recording.
        start: Local time of the recording's first sample, or None.
        source: Name of the file it came from, as a person knows it.
        repairs: What the reader of the file had to mend, one sentence each.
        notes: What a person should know and may doubt (units, clocks, labels), one sentence each.
    """

    night_id: str
    subject: Subject
    n_tokens: int
    grid_start_s: float
    samples: dict[str, NDArray[np.float32]]
    valid: dict[str, NDArray[np.bool_]]
    provenance: dict[str, Provenance]
    absent: dict[str, str] = field(default_factory=dict)
    decisions: tuple[ChannelDecision, ...] = ()
    stages: Hypnogram | None = None
    events: tuple[Event, ...] = ()
    start: datetime | None = None
    cohort: str | None = None
    site: str | None = None
    source: str = ""
    repairs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def explain(self) -> str:
        """What became of each modality and each channel, in words."""
        hours = self.n_tokens * TOKEN_SECONDS / 3600
        begins = f", the first begins {self.grid_start_s:g} s into the recording" if self.grid_start_s else ""
        size = f"{self.n_tokens} tokens of {TOKEN_SECONDS} s ({hours:.2f} h){begins}"
        lines = [f"{self.night_id}: {size}", "", "Modalities"]
        for name in MODALITIES:
            if name in self.samples:
                story = self.provenance[name]
                lines.append(f"  {name:<10} {self.valid[name].mean():4.0%} valid, from {derivation(story.channels)}")
                lines += [f"             why: {story.reason}", f"             how: {'; '.join(story.steps)}"]
            else:
                lines.append(f"  {name:<10} absent: {self.absent.get(name, 'no channel for it')}")
        lines += ["", "Scoring", *(f"  {line}" for line in self._scoring_words())]
        lines += ["", "Channels"]
        width = max((len(decision.label) for decision in self.decisions), default=0)
        for decision in self.decisions:
            use = "-> " + ", ".join(decision.used_for) if decision.used_for else "not used"
            lines.append(f"  {decision.label:<{width}}  {use}: {decision.reason}")
        if self.repairs:
            lines += ["", "Repairs", *(f"  {repair}" for repair in self.repairs)]
        if self.notes:
            lines += ["", "Notes", *(f"  {note}" for note in self.notes)]
        return "\n".join(lines)

    def _scoring_words(self) -> list[str]:
        scored = {} if self.stages is None else Counter(self.stages[np.isfinite(self.stages)].astype(int).tolist())
        named = ", ".join(f"{name} {scored[code]}" for code, name in enumerate(FIVE) if code in scored)
        kinds = Counter(event.kind or "not understood" for event in self.events)
        return [
            f"stages of {sum(scored.values())} of {self.n_tokens} tokens: {named}" if scored else "no stages",
            "events: " + ", ".join(f"{kind} {n}" for kind, n in kinds.most_common()) if kinds else "no events",
        ]
