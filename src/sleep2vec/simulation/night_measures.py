"""What a laboratory reports of a night as numbers, computed from its truth: apnea indices by both hypopnea rules."""

import numpy as np

from sleep2vec.simulation.simulated_night import Truth


def measures_of(truth: Truth) -> dict[str, float]:
    """Measures by the names of `vocabulary.subject.Subject.measures`: those of the person, and of this night.

    ``ahi_3pct_or_arousal`` counts hypopneas by rule 1A of the AASM Manual (a fall of 3 % or an arousal), ``ahi_4pct``
    by rule 1B (4 %); all apneas count; both are per hour of sleep, and absent where nobody slept.
    """
    measures = {**truth.person.subject.measures, "sleep_wake_only": 0.0}
    if np.any(truth.stages_L > 0):
        by_1a, by_1b = truth.ahi_per_hour("1A"), truth.ahi_per_hour("1B")
        measures |= {"ahi_3pct_or_arousal": round(by_1a, 2), "ahi_4pct": round(by_1b, 2)}
    return measures
