"""Breathing and oxygen of a night in numbers, from the events a model found and from the night's own saturation.

Letters: L tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sleep2vec.metrics.breathing_indices import BreathingIndices, Rule, breathing_indices
from sleep2vec.metrics.desaturations import find_desaturations, oxygen_desaturation_index
from sleep2vec.metrics.event_stages import in_sleep, per_hour
from sleep2vec.metrics.hypoxia import hypoxic_burden, time_below
from sleep2vec.metrics.severity import population_of
from sleep2vec.vocabulary.events import APNEAS_AND_HYPOPNEAS, Event
from sleep2vec.vocabulary.modalities import MODALITIES
from sleep2vec.vocabulary.night import Night
from sleep2vec.vocabulary.stages import Hypnogram


@dataclass(frozen=True)
class OxygenNumbers:
    """Oxygen in predicted sleep, from the night's oximeter; None where not defined.

    Attributes:
        odi3, odi4: Desaturations of at least 3 and 4 % per hour of sleep.
        hypoxic_burden: Area under the desaturations of the respiratory events, %min per hour of sleep (Azarbarzin et
            al. 2019); None where no such events were looked for.
        below_90_percent: Share of the readable sleep with a saturation below 90 %, in %.
    """

    odi3: float | None
    odi4: float | None
    hypoxic_burden: float | None
    below_90_percent: float | None


@dataclass(frozen=True)
class Breathing:
    """A night's breathing, per hour of predicted sleep.

    Attributes:
        indices: With the hypopneas as the model finds them, that is by the rule of its training nights' scorers, and by
            the rules 1A and 1B where an oximeter was there; empty where no respiratory events were looked for.
        oxygen: None without an oximeter.
        arousal_index: None where no arousals were looked for.
    """

    indices: tuple[BreathingIndices, ...]
    oxygen: OxygenNumbers | None
    arousal_index: float | None


def breathing_of(
    night: Night,
    stages_L: Hypnogram,
    respiratory: Sequence[Event] | None,
    arousals: Sequence[Event] | None,
    *,
    with_oximeter: bool,
) -> Breathing:
    """All of `Breathing`.

    Args:
        night: with its saturation.
        stages_L: predicted, NaN where abstained.
        respiratory, arousals: what the model found; None where it did not look.
        with_oximeter: whether the saturation may be used.
    """
    oximeter = with_oximeter and "spo2" in night.samples
    falls = None
    if oximeter:
        rate_hz = MODALITIES["spo2"].rate_hz
        spo2_N, valid_L = night.samples["spo2"], night.valid["spo2"]
        valid_N = np.repeat(valid_L, len(spo2_N) // max(len(valid_L), 1))
        falls = find_desaturations(spo2_N, valid_N, rate_hz=rate_hz, start_s=night.grid_start_s)
    indices: list[BreathingIndices] = []
    rules: tuple[Rule, ...] = ("as scored", "1A", "1B") if oximeter else ("as scored",)
    for rule in rules if respiratory is not None else ():
        indices.append(
            breathing_indices(
                [event for event in respiratory or () if event.kind in APNEAS_AND_HYPOPNEAS],
                stages_L,
                rule=rule,
                hypnogram="predicted",
                desaturations=falls,
                arousals=arousals,
                spo2_valid_L=night.valid["spo2"] if oximeter else None,
                population=population_of(night.subject.age_years),
                grid_start_s=night.grid_start_s,
            )
        )
    oxygen = None
    if oximeter and falls is not None:
        at = {"valid_L": night.valid["spo2"], "grid_start_s": night.grid_start_s}
        burden = None
        if respiratory is not None:
            burden = hypoxic_burden(
                respiratory, spo2_N, stages_L, valid_N, rate_hz=rate_hz, grid_start_s=night.grid_start_s
            ).percent_min_per_hour
        oxygen = OxygenNumbers(
            odi3=oxygen_desaturation_index(falls, stages_L, least_drop_percent=3, **at),  # type: ignore[arg-type]
            odi4=oxygen_desaturation_index(falls, stages_L, least_drop_percent=4, **at),  # type: ignore[arg-type]
            hypoxic_burden=burden,
            below_90_percent=time_below(spo2_N, stages_L, valid_N, rate_hz=rate_hz),
        )
    arousal_index = None
    if arousals is not None:
        counted = in_sleep(arousals, stages_L, night.grid_start_s)
        arousal_index = per_hour(len(counted), np.asarray(stages_L > 0))
    return Breathing(tuple(indices), oxygen, arousal_index)
