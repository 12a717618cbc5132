"""What a laboratory reports of a night as numbers, computed from its truth: apnea indices by both hypopnea rules."""

import numpy as np
from numpy.typing import NDArray

from sleep2vec.simulation.noise import GRID_HZ
from sleep2vec.simulation.simulated_night import Truth
from sleep2vec.vocabulary.events import Event
from sleep2vec.vocabulary.modalities import TOKEN_SECONDS

_APNEAS = ("obstructive_apnea", "central_apnea", "mixed_apnea", "apnea")
_AROUSAL_WITHIN_S = 5.0
_DESATURATION_WITHIN_S = 45.0


def measures_of(truth: Truth) -> dict[str, float]:
    """Measures by the names of `vocabulary.subject.Subject.measures`: those of the person, and of this night.

    ``ahi_3pct_or_arousal`` counts hypopneas by rule 1A of the AASM Manual (a fall of 3 % or an arousal), ``ahi_4pct``
    by rule 1B (4 %); all apneas count; both are per hour of sleep, and absent where nobody slept.
    """
    measures = {**truth.person.subject.measures, "sleep_wake_only": 0.0}
    asleep_h = np.count_nonzero(truth.stages_L > 0) * TOKEN_SECONDS / 3600
    if asleep_h:
        arousals_s = np.array([event.onset_s for event in truth.events if event.kind == "arousal"])
        n_1a = n_1b = 0
        for event in truth.events:
            if event.kind in _APNEAS:
                n_1a, n_1b = n_1a + 1, n_1b + 1
            elif event.kind == "hypopnea":
                fall = _fall(truth.spo2_G, event)
                n_1a += fall >= 3 or _rouses(event, arousals_s)
                n_1b += fall >= 4
        measures |= {"ahi_3pct_or_arousal": round(n_1a / asleep_h, 2), "ahi_4pct": round(n_1b / asleep_h, 2)}
    return measures


def _fall(spo2_G: NDArray[np.float64], event: Event) -> float:
    """From the peak to the lowest point until 45 s after the event's end, in %."""
    until_s = event.onset_s + event.duration_s + _DESATURATION_WITHIN_S
    around_G = spo2_G[int(event.onset_s * GRID_HZ) : int(until_s * GRID_HZ)]
    lowest = int(np.argmin(around_G))
    return float(around_G[: lowest + 1].max() - around_G[lowest])


def _rouses(event: Event, arousals_s: NDArray[np.float64]) -> bool:
    end_s = event.onset_s + event.duration_s
    return bool(np.any((arousals_s >= event.onset_s) & (arousals_s <= end_s + _AROUSAL_WITHIN_S)))
