"""Apneas and hypopneas: when breathing stops in sleep, for how long, and whether the effort goes on."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sleep2vec.simulation.noise import GRID_HZ, Rng, random_times, wander
from sleep2vec.simulation.person import Person
from sleep2vec.vocabulary.modalities import TOKEN_SECONDS

RespiratoryKind = Literal["obstructive_apnea", "central_apnea", "mixed_apnea", "hypopnea"]

_RATE_OF_STAGE = np.array([0.0, 1.3, 1.0, 0.35, 1.6])
_MIN_GAP_S = 18.0


@dataclass(frozen=True)
class RespiratoryEvent:
    """One event. `airflow` and `effort` are what is left of breathing, as a share of the breaths around it."""

    kind: RespiratoryKind
    onset_s: float
    duration_s: float
    airflow: float
    effort: float

    @property
    def end_s(self) -> float:
        return self.onset_s + self.duration_s


def draw_respiratory_events(rng: Rng, person: Person, stages_L: NDArray[np.int64]) -> tuple[RespiratoryEvent, ...]:
    """Events of a night in sleep, in order, about `person.apnea_per_hour` of them in an hour of sleep.

    They come in clusters (body position: an hour on the back, an hour on the side), more in REM, fewer in N3.
    """
    stage_G = np.repeat(stages_L, TOKEN_SECONDS * GRID_HZ)
    on_back_G = np.where(wander(rng, len(stage_G), 1800.0) > 0, 1.5, 0.5)
    weight_G = _RATE_OF_STAGE[stage_G] * on_back_G
    asleep_s = max(np.count_nonzero(stage_G) / GRID_HZ, 1.0)
    wanted_per_s = person.apnea_per_hour / 3600
    # Time taken up by an event and the breaths after it cannot start another: thinning is made up for.
    wanted_per_s /= 1 - min(wanted_per_s * 30.0, 0.75)
    rate_G = weight_G * wanted_per_s * asleep_s / max(weight_G.sum() / GRID_HZ, 1e-9)
    events: list[RespiratoryEvent] = []
    free_from_s = 0.0
    for onset_s in random_times(rng, rate_G):
        in_rem = stage_G[int(onset_s * GRID_HZ)] == 4
        duration_s = float(np.clip(rng.lognormal(np.log(25.0 if in_rem else 19.0), 0.35), 10.5, 80.0))
        kind = _kind(rng, person, in_rem)
        airflow, effort = _remains(rng, kind)
        end_s = float(onset_s) + duration_s
        if onset_s < free_from_s or end_s > len(stage_G) / GRID_HZ - 5 or stage_G[int(end_s * GRID_HZ)] == 0:
            continue
        events.append(RespiratoryEvent(kind, round(float(onset_s), 2), round(duration_s, 2), airflow, effort))
        free_from_s = end_s + _MIN_GAP_S * rng.uniform(0.8, 1.8)
    return tuple(events)


def _kind(rng: Rng, person: Person, in_rem: bool) -> RespiratoryKind:
    if rng.random() < 0.75 - 0.4 * min(person.apnea_per_hour / 50, 1.0):
        return "hypopnea"
    if rng.random() < person.central_share * (0.5 if in_rem else 1.0):
        return "central_apnea"
    return "mixed_apnea" if rng.random() < 0.1 else "obstructive_apnea"


def _remains(rng: Rng, kind: RespiratoryKind) -> tuple[float, float]:
    match kind:
        case "hypopnea":
            airflow = float(rng.uniform(0.30, 0.62))
            return airflow, min(1.0, airflow + float(rng.uniform(0.1, 0.4)))
        case "central_apnea":
            return 0.02, 0.03
        case _:
            return 0.02, float(rng.uniform(0.75, 1.2))
