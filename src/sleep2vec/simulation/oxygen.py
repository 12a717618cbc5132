"""Oxygen at the finger: what the lungs missed arrives about 20 s later."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import shift
from scipy.signal import lfilter

from sleep2vec.simulation.noise import GRID_HZ, Rng, wander
from sleep2vec.simulation.person import Person
from sleep2vec.simulation.respiratory_events import RespiratoryEvent
from sleep2vec.vocabulary.events import Event

_STORE_S = 14.0  # how fast the lungs' store of oxygen empties and fills
_PERCENT_PER_DEFICIT = 9.0


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


def find_desaturations(
    spo2_G: NDArray[np.float64], events: tuple[RespiratoryEvent, ...], drop_percent: float = 3.0
) -> tuple[Event, ...]:
    """Falls of at least `drop_percent` from the peak around an event to the lowest point within 45 s of its end."""
    found: list[Event] = []
    for event in events:
        first = int(event.onset_s * GRID_HZ)
        stop = min(int((event.end_s + 45) * GRID_HZ), len(spo2_G))
        lowest = first + int(np.argmin(spo2_G[first:stop]))
        highest = first + int(np.argmax(spo2_G[first : lowest + 1]))
        drop = float(spo2_G[highest] - spo2_G[lowest])
        overlaps = found and highest / GRID_HZ < found[-1].onset_s + found[-1].duration_s
        if drop >= drop_percent and not overlaps:
            found.append(Event("desaturation", highest / GRID_HZ, (lowest - highest) / GRID_HZ, f"-{drop:.1f} %"))
    return tuple(found)
