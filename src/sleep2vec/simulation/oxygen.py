"""Oxygen at the finger: what the lungs missed arrives about 20 s later."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import shift
from scipy.signal import lfilter

from sleep2vec.simulation.noise import GRID_HZ, Rng, wander
from sleep2vec.simulation.person import Person
from sleep2vec.simulation.respiratory_events import RespiratoryEvent, with_following
from sleep2vec.vocabulary.events import Event

_STORE_S = 14.0  # how fast the lungs' store of oxygen empties and fills
_PERCENT_PER_DEFICIT = 9.0
_RIPPLE_PERCENT = 0.5


def saturate(
    rng: Rng,
    person: Person,
    mixture_G5: NDArray[np.float64],
    ventilation_G: NDArray[np.float64],
    events: tuple[RespiratoryEvent, ...],
) -> NDArray[np.float64]:
    """SpO2 (G,) in %: the deficit of ventilation in events, through the lungs' store, one circulation time later."""
    n_grid = len(ventilation_G)
    missed_G = np.zeros(n_grid)
    for event in events:
        during = slice(int(event.onset_s * GRID_HZ), int(event.end_s * GRID_HZ))
        missed_G[during] = np.clip(1 - ventilation_G[during], 0.0, 1.0)
    keep = np.exp(-1.0 / (_STORE_S * GRID_HZ))
    store_G = lfilter([1 - keep], [1.0, -keep], lfilter([1 - keep**2], [1.0, -(keep**2)], missed_G))
    arrived_G = shift(store_G, person.circulation_delay_s * GRID_HZ - 7 * GRID_HZ, order=1, cval=0.0)
    level_G = person.spo2_percent - mixture_G5 @ np.array([0.0, 0.3, 0.6, 0.7, 0.9])
    level_G += 0.45 * wander(rng, n_grid, 600.0) + 0.25 * wander(rng, n_grid, 8.0)
    spo2_G = level_G - _PERCENT_PER_DEFICIT * person.desaturation_gain * arrived_G
    return np.clip(spo2_G, 50.0, 100.0)


@dataclass(frozen=True)
class Desaturation:
    """What an event took from the saturation: from the peak to the nadir, in % and s."""

    drop_percent: float
    peak_s: float
    nadir_s: float


def desaturation_of(
    spo2_G: NDArray[np.float64], event: RespiratoryEvent, following: RespiratoryEvent | None
) -> Desaturation:
    """The deepest fall between an event's onset and 45 s after its end.

    Nothing that the event after it (`following`) missed can have arrived within 15 s of that one's onset.
    """
    stop_s = event.end_s + 45 if following is None else min(event.end_s + 45, following.onset_s + 15)
    first = int(event.onset_s * GRID_HZ)
    window = spo2_G[first : min(int(stop_s * GRID_HZ), len(spo2_G))]
    lowest = int(np.argmax(np.maximum.accumulate(window) - window))
    highest_percent = float(window[: lowest + 1].max())
    # A fall begins where the saturation leaves its level for good, not at an earlier ripple.
    begins = int(np.flatnonzero(window[: lowest + 1] >= highest_percent - _RIPPLE_PERCENT)[-1])
    drop = highest_percent - float(window[lowest])
    return Desaturation(drop, (first + begins) / GRID_HZ, (first + lowest) / GRID_HZ)


def find_desaturations(
    spo2_G: NDArray[np.float64], events: tuple[RespiratoryEvent, ...], drop_percent: float = 3.0
) -> tuple[Event, ...]:
    """Falls of at least `drop_percent` that events brought, from peak to nadir."""
    found: list[Event] = []
    for event, following in with_following(events):
        fall = desaturation_of(spo2_G, event, following)
        overlaps = found and fall.peak_s < found[-1].onset_s + found[-1].duration_s
        if fall.drop_percent >= drop_percent and not overlaps:
            length_s = fall.nadir_s - fall.peak_s
            found.append(Event("desaturation", fall.peak_s, length_s, f"-{fall.drop_percent:.1f} %"))
    return tuple(found)
