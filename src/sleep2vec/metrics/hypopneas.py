"""Which hypopneas count: the rules 1A and 1B of the AASM Manual.

Both ask for a fall of airflow by 30 % for 10 s. Rule 1A (recommended) counts it with a desaturation of 3 % or more *or*
an arousal, rule 1B (acceptable, and Medicare's) with a desaturation of 4 % or more. The two about halve or double an
AHI: no number stands without its rule. The Manual says "associated with" and gives no window. Ours:

- A desaturation is that of the last event which ended in the 45 s before its nadir: blood takes 10 to 30 s from the
  lungs to the finger, and the lungs' store some more. Where none ended by then, it is that of an event in which the
  nadir lies. Apneas take theirs too, so that a hypopnea does not count by an apnea's desaturation.
- An arousal is that of an event if it begins in it or within 5 s of its end.

Letters: E events, L tokens of 30 s.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sleep2vec.metrics.desaturations import Desaturation
from sleep2vec.vocabulary.events import Event, HypopneaRule
from sleep2vec.vocabulary.modalities import TOKEN_SECONDS

NADIR_WITHIN_S = 45.0
AROUSAL_WITHIN_S = 5.0
DROP_PERCENT_OF_RULE: dict[HypopneaRule, float] = {"1A": 3.0, "1B": 4.0}


def deepest_drops(events: Sequence[Event], desaturations: Sequence[Desaturation]) -> NDArray[np.float64]:
    """(E,) by event the deepest desaturation that is its own, in %; 0 where it has none.

    Args:
        events: all apneas and hypopneas, in any order.
        desaturations: of the same clock.
    """
    onsets_E = np.array([event.onset_s for event in events])
    ends_E = np.array([event.end_s for event in events])
    drops_E = np.zeros(len(events))
    for fall in desaturations:
        ended_E = (ends_E <= fall.nadir_s) & (fall.nadir_s <= ends_E + NADIR_WITHIN_S)
        during_E = (onsets_E < fall.nadir_s) & (fall.nadir_s < ends_E)
        its_E = ended_E if ended_E.any() else during_E
        if its_E.any():
            owner = int(np.argmax(np.where(its_E, ends_E, -np.inf)))
            drops_E[owner] = max(drops_E[owner], fall.drop_percent)
    return drops_E


def with_arousal(events: Sequence[Event], arousals: Sequence[Event]) -> NDArray[np.bool_]:
    """(E,) which events an arousal belongs to."""
    roused_s = np.sort([arousal.onset_s for arousal in arousals])
    first_E = np.searchsorted(roused_s, [event.onset_s for event in events], side="left")
    stop_E = np.searchsorted(roused_s, [event.end_s + AROUSAL_WITHIN_S for event in events], side="right")
    return np.asarray(stop_E > first_E)


def counting(
    events: Sequence[Event],
    rule: HypopneaRule,
    desaturations: Sequence[Desaturation] | None,
    arousals: Sequence[Event] | None,
    spo2_valid_L: ArrayLike | None = None,
    grid_start_s: float = 0.0,
) -> tuple[bool | None, ...]:
    """By event whether `rule` counts it; None where what the rule asks for is not known.

    Args:
        events: all apneas and hypopneas; an apnea always counts.
        rule: ``"1A"`` or ``"1B"``.
        desaturations: of 3 % or more (`desaturations.find_desaturations`); None without an oximeter.
        arousals: scored or predicted; None where nobody looked for them. Rule 1B does not ask.
        spo2_valid_L: (L,) bool, tokens whose saturation can be read: a hypopnea without a desaturation is not known to
            lack one where a token between its onset and 45 s after its end cannot. None: all.
        grid_start_s: when token 0 begins.
    """
    least = DROP_PERCENT_OF_RULE[rule]
    falls = [fall for fall in desaturations or () if fall.reaches(least)]
    fell_E = deepest_drops(events, falls) > 0
    roused_E = with_arousal(events, arousals or ()) if rule == "1A" else np.zeros(len(events), dtype=bool)
    seen_E = _oximeter_saw(events, spo2_valid_L, grid_start_s) & (desaturations is not None)
    looked_E = seen_E & (rule == "1B" or arousals is not None)
    return tuple(
        True if event.kind != "hypopnea" or fell or roused else (False if looked else None)
        for event, fell, roused, looked in zip(events, fell_E, roused_E, looked_E, strict=True)
    )


def _oximeter_saw(events: Sequence[Event], spo2_valid_L: ArrayLike | None, grid_start_s: float) -> NDArray[np.bool_]:
    if spo2_valid_L is None:
        return np.ones(len(events), dtype=bool)
    valid_L = np.asarray(spo2_valid_L, dtype=bool)
    lost_L1 = np.concatenate([[0], np.cumsum(~valid_L)])
    onsets_E = np.array([event.onset_s for event in events]) - grid_start_s
    ends_E = np.array([event.end_s for event in events]) + NADIR_WITHIN_S - grid_start_s
    first_E = np.clip(np.floor(onsets_E / TOKEN_SECONDS), 0, len(valid_L)).astype(int)
    stop_E = np.clip(np.ceil(ends_E / TOKEN_SECONDS), 0, len(valid_L)).astype(int)
    return np.asarray(lost_L1[np.maximum(stop_E, first_E)] == lost_L1[first_E])
