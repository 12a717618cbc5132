"""Apneas and hypopneas: when breathing stops in sleep, for how long, and whether the effort goes on."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sleep2vec.simulation.noise import GRID_HZ, Rng, wander
from sleep2vec.simulation.person import Person
from sleep2vec.vocabulary.modalities import TOKEN_SECONDS

RespiratoryKind = Literal["obstructive_apnea", "central_apnea", "mixed_apnea", "hypopnea"]

_RATE_OF_STAGE = np.array([0.0, 1.3, 1.0, 0.35, 1.6])
_MIN_GAP_S = 18.0
_DEAD_S = 43.0  # an event and the breaths after it: no other can begin
_ON_BACK, _ON_SIDE = 1.75, 0.25
# From this share of central events on a person's breathing can swing up and down by itself (Cheyne and Stokes).
_PERIODIC_FROM_SHARE = 0.35
_PERIODIC_GOES_ON = 0.85


@dataclass(frozen=True)
class RespiratoryEvent:
    """One event. `airflow` and `effort` are what is left of breathing, as a share of the breaths around it.

    Attributes:
        obstructive: The airway narrows or closes, so effort goes on (in a mixed apnea: in its second half).
        periodic: One of a train in which breathing swells and fades between the events.
    """

    kind: RespiratoryKind
    onset_s: float
    duration_s: float
    airflow: float
    effort: float
    obstructive: bool = True
    periodic: bool = False

    @property
    def end_s(self) -> float:
        return self.onset_s + self.duration_s


def with_following(
    events: tuple[RespiratoryEvent, ...],
) -> Iterator[tuple[RespiratoryEvent, RespiratoryEvent | None]]:
    """Each event and the one after it, None after the last."""
    return zip(events, (*events[1:], None), strict=False)


def draw_respiratory_events(rng: Rng, person: Person, stages_L: NDArray[np.int64]) -> tuple[RespiratoryEvent, ...]:
    """Events of a night in sleep, in order, about `person.apnea_per_hour` of them in an hour of sleep.

    They come in clusters (body position: an hour on the back, an hour on the side), more in REM, fewer in N3, and
    where they are dense, one follows the other every 40 to 60 s. People with many central ones have trains of them
    with a cycle that grows with the circulation time.
    """
    stage_G = np.repeat(stages_L, TOKEN_SECONDS * GRID_HZ)
    rate_G = _rate(rng, person, stage_G)
    hazard_G = np.concatenate([[0.0], np.cumsum(rate_G) / GRID_HZ])
    grid_s = np.arange(len(hazard_G)) / GRID_HZ
    events: list[RespiratoryEvent] = []
    free_from_s, beat_on_s = 0.0, None
    while True:
        target = np.interp(free_from_s, grid_s, hazard_G) + rng.exponential()
        if beat_on_s is None and target >= hazard_G[-1]:
            return tuple(events)
        onset_s = float(np.interp(target, hazard_G, grid_s)) if beat_on_s is None else beat_on_s
        event = _draw_event(rng, person, onset_s, stage_G, periodic=beat_on_s is not None)
        free_from_s, beat_on_s = onset_s + 5.0, None
        if event is None:
            continue
        events.append(event)
        free_from_s = event.end_s + _MIN_GAP_S * rng.uniform(0.8, 1.8)
        if event.kind == "central_apnea" and _swings(person) and rng.random() < _PERIODIC_GOES_ON:
            beat_on_s = event.onset_s + _cycle_s(person) * rng.uniform(0.93, 1.07)


def _rate(rng: Rng, person: Person, stage_G: NDArray[np.int64]) -> NDArray[np.float64]:
    """Chance per second (G,) that an event begins where one may; above the wanted rate, as each has a dead time."""
    on_back_G = np.where(wander(rng, len(stage_G), 1800.0) > 0, _ON_BACK, _ON_SIDE)
    weight_G = _RATE_OF_STAGE[stage_G] * on_back_G
    weight = weight_G[stage_G > 0][:: 30 * GRID_HZ]
    if not len(weight):
        return np.zeros(len(stage_G))
    wanted_per_s = person.apnea_per_hour / 3600
    if _swings(person):
        # Each central apnea brings on some more.
        wanted_per_s /= 1 + _central_apnea_share(person) * _PERIODIC_GOES_ON / (1 - _PERIODIC_GOES_ON)
    low, high = 0.0, 1.0
    for _ in range(40):
        scale = (low + high) / 2
        got_per_s = float(np.mean(scale * weight / (1 + scale * weight * _DEAD_S)))
        low, high = (scale, high) if got_per_s < wanted_per_s else (low, scale)
    return weight_G * low


def _swings(person: Person) -> bool:
    return person.central_share >= _PERIODIC_FROM_SHARE


def _cycle_s(person: Person) -> float:
    return 28.0 + 1.7 * person.circulation_delay_s


def _central_apnea_share(person: Person) -> float:
    return (1 - _hypopnea_share(person)) * person.central_share


def _hypopnea_share(person: Person) -> float:
    return 0.75 - 0.4 * min(person.apnea_per_hour / 50, 1.0)


def _draw_event(
    rng: Rng, person: Person, onset_s: float, stage_G: NDArray[np.int64], periodic: bool
) -> RespiratoryEvent | None:
    """An event that begins here, or None where it would not begin and end in sleep and in the night."""
    place = int(onset_s * GRID_HZ)
    if place >= len(stage_G):
        return None
    in_rem = bool(stage_G[place] == 4)
    duration_s = float(np.clip(rng.lognormal(np.log(25.0 if in_rem else 19.0), 0.35), 10.5, 80.0))
    kind, obstructive = _kind(rng, person, in_rem)
    if periodic:
        kind, obstructive = "central_apnea", False
        duration_s = _cycle_s(person) * float(rng.uniform(0.34, 0.44))
    end_s = onset_s + duration_s
    if end_s > len(stage_G) / GRID_HZ - 5 or stage_G[place] == 0 or stage_G[int(end_s * GRID_HZ)] == 0:
        return None
    if periodic and in_rem:
        return None  # the swing needs the chemical control of non-REM sleep
    airflow, effort = _remains(rng, kind, obstructive)
    swinging = kind == "central_apnea" and _swings(person)
    return RespiratoryEvent(kind, round(onset_s, 2), round(duration_s, 2), airflow, effort, obstructive, swinging)


def _kind(rng: Rng, person: Person, in_rem: bool) -> tuple[RespiratoryKind, bool]:
    hypopnea = rng.random() < _hypopnea_share(person)
    central = rng.random() < person.central_share * (0.5 if in_rem else 1.0)
    if hypopnea:
        return "hypopnea", not central
    if central:
        return "central_apnea", False
    return ("mixed_apnea" if rng.random() < 0.1 else "obstructive_apnea"), True


def _remains(rng: Rng, kind: RespiratoryKind, obstructive: bool) -> tuple[float, float]:
    """Airflow and effort that are left. Behind a narrow airway effort stays or grows; without drive both fall."""
    match kind:
        case "hypopnea":
            airflow = float(rng.uniform(0.30, 0.62))
            return airflow, float(rng.uniform(0.85, 1.15)) if obstructive else airflow
        case "central_apnea":
            return 0.02, 0.03
        case _:
            return 0.02, float(rng.uniform(0.75, 1.2))
