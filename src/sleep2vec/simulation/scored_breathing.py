"""Respiratory events as the two rules for hypopneas count them.

AASM Manual, rule 1A: a hypopnea counts with a desaturation of 3 % or more or an arousal; rule 1B: with 4 % or more.
Apneas count by both.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sleep2vec.simulation.arousals import Arousal
from sleep2vec.simulation.oxygen import desaturation_of
from sleep2vec.simulation.respiratory_events import RespiratoryEvent, RespiratoryKind, with_following
from sleep2vec.vocabulary.events import HypopneaRule
from sleep2vec.vocabulary.modalities import TOKEN_SECONDS

_AROUSAL_WITHIN_S = 5.0  # of the end of the event


@dataclass(frozen=True)
class ScoredBreathing:
    """One event with the facts that scoring needs.

    Attributes:
        obstructive: Effort went on (for a hypopnea the only mark of its type).
        desaturation_percent: Depth of the fall that followed; may be below 3.
        nadir_s: When it was deepest, from the start of the night.
        arousal: Whether one began in the event or within 5 s of its end.
    """

    kind: RespiratoryKind
    onset_s: float
    duration_s: float
    obstructive: bool
    desaturation_percent: float
    nadir_s: float
    arousal: bool

    def counts(self, rule: HypopneaRule) -> bool:
        if self.kind != "hypopnea":
            return True
        if rule == "1A":
            return self.desaturation_percent >= 3.0 or self.arousal
        return self.desaturation_percent >= 4.0


def score_breathing(
    events: tuple[RespiratoryEvent, ...], spo2_G: NDArray[np.float64], arousals: tuple[Arousal, ...]
) -> tuple[ScoredBreathing, ...]:
    """All events with what followed them, in order; those that no rule counts are among them."""
    roused_s = np.array([arousal.onset_s for arousal in arousals])
    scored = []
    for event, following in with_following(events):
        fall = desaturation_of(spo2_G, event, following)
        roused = bool(((roused_s >= event.onset_s) & (roused_s <= event.end_s + _AROUSAL_WITHIN_S)).any())
        scored.append(
            ScoredBreathing(
                event.kind, event.onset_s, event.duration_s, event.obstructive, fall.drop_percent, fall.nadir_s, roused
            )
        )
    return tuple(scored)


def ahi_per_hour(scored: tuple[ScoredBreathing, ...], stages_L: NDArray[np.floating], rule: HypopneaRule) -> float:
    """Apneas and hypopneas that `rule` counts per hour of sleep (stage above 0); NaN without sleep."""
    hours = np.count_nonzero(np.asarray(stages_L) > 0) * TOKEN_SECONDS / 3600
    return sum(event.counts(rule) for event in scored) / hours if hours else float("nan")
