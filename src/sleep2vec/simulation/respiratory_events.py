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
# Events bring on events: the arousal that ends one overshoots, and sleep comes back to the same narrow airway.
_TRAIN_GOES_ON, _TRAIN_GOES_ON_SEVERE = 0.35, 0.93


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
    free_from_s = 0.0
    while True:
        target = np.interp(free_from_s, grid_s, hazard_G) + rng.exponential()
        if target >= hazard_G[-1]:
            return tuple(events)
        onset_s = float(np.interp(target, hazard_G, grid_s))
        train = _draw_train(rng, person, onset_s, stage_G)
        events += train
        free_from_s = train[-1].end_s + _MIN_GAP_S * rng.uniform(0.8, 1.8) if train else onset_s + 5.0


def _draw_train(rng: Rng, person: Person, onset_s: float, stage_G: NDArray[np.int64]) -> list[RespiratoryEvent]:
    """Events that follow one another at an even pace, of one length and nearly one kind; often only one."""
    in_rem = bool(stage_G[min(int(onset_s * GRID_HZ), len(stage_G) - 1)] == 4)
    length_s = float(np.clip(rng.lognormal(np.log(25.0 if in_rem else 19.0), 0.32), 10.5, 80.0))
    gap_s = _MIN_GAP_S * float(rng.uniform(0.85, 1.5))
    kind, obstructive = _kind(rng, person, in_rem)
    periodic = kind == "central_apnea" and _swings(person) and not in_rem
    if periodic:
        length_s, gap_s = 0.39 * _cycle_s(person), 0.61 * _cycle_s(person)
    goes_on = _PERIODIC_GOES_ON if periodic else _goes_on(person)
    train: list[RespiratoryEvent] = []
    while True:
        if not periodic and rng.random() < 0.25:
            kind, obstructive = _kind(rng, person, in_rem)
        event = _event(rng, kind, obstructive, periodic, onset_s, length_s * rng.lognormal(0.0, 0.12), stage_G)
        if event is None:
            return train
        train.append(event)
        onset_s = event.end_s + gap_s * rng.lognormal(0.0, 0.12)
        deep = stage_G[int(event.end_s * GRID_HZ)] == 3
        if rng.random() > goes_on * (0.7 if deep else 1.0):
            return train


def _event(
    rng: Rng,
    kind: RespiratoryKind,
    obstructive: bool,
    periodic: bool,
    onset_s: float,
    duration_s: float,
    stage_G: NDArray[np.int64],
) -> RespiratoryEvent | None:
    """An event, or None where it would not begin and end in sleep and in the night."""
    duration_s = max(duration_s, 10.5)
    place, stop = int(onset_s * GRID_HZ), int((onset_s + duration_s) * GRID_HZ)
    if stop > len(stage_G) - 5 * GRID_HZ or stage_G[place] == 0 or stage_G[stop] == 0:
        return None
    if periodic and stage_G[place] == 4:
        return None  # the swing needs the chemical control of non-REM sleep
    airflow, effort = _remains(rng, kind, obstructive)
    return RespiratoryEvent(kind, round(onset_s, 2), round(duration_s, 2), airflow, effort, obstructive, periodic)


def _rate(rng: Rng, person: Person, stage_G: NDArray[np.int64]) -> NDArray[np.float64]:
    """Chance per second (G,) that an event begins where one may; above the wanted rate, as each has a dead time."""
    on_back_G = np.where(wander(rng, len(stage_G), 1800.0) > 0, _ON_BACK, _ON_SIDE)
    weight_G = _RATE_OF_STAGE[stage_G] * on_back_G
    weight = weight_G[stage_G > 0][:: 30 * GRID_HZ]
    if not len(weight):
        return np.zeros(len(stage_G))
    wanted_per_s = person.apnea_per_hour / 3600
    # A train is cut where its person wakes up or turns: its usual length is fitted, not its closed form.
    length = 1 / (1 - 0.93 * _goes_on(person))
    if _swings(person):
        share = (1 - _hypopnea_share(person)) * person.central_share
        length += share * (1 / (1 - 0.93 * _PERIODIC_GOES_ON) - length)
    low, high = 0.0, 1.0
    for _ in range(40):
        scale = (low + high) / 2
        got_per_s = float(np.mean(scale * weight * length / (1 + scale * weight * length * _DEAD_S)))
        low, high = (scale, high) if got_per_s < wanted_per_s else (low, scale)
    return weight_G * low


def _goes_on(person: Person) -> float:
    """Chance that another event follows at once."""
    severe = min(person.apnea_per_hour / 60, 1.0)
    return _TRAIN_GOES_ON + (_TRAIN_GOES_ON_SEVERE - _TRAIN_GOES_ON) * severe


def _swings(person: Person) -> bool:
    return person.central_share >= _PERIODIC_FROM_SHARE


def _cycle_s(person: Person) -> float:
    return 28.0 + 1.7 * person.circulation_delay_s


def _hypopnea_share(person: Person) -> float:
    return 0.75 - 0.4 * min(person.apnea_per_hour / 50, 1.0)


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
