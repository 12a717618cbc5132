"""The wrist: how much a watch is shaken in a night."""

import numpy as np
from numpy.typing import NDArray

from sleep2vec.simulation.breathing import Breathing
from sleep2vec.simulation.noise import GRID_HZ, Array, Rng, band_noise, random_times, stretch, wander
from sleep2vec.simulation.person import Person

RATE_HZ = 32

_HAND_PER_MIN = np.array([2.5, 0.6, 0.15, 0.05, 0.35])  # by stage W N1 N2 N3 R: of the hand alone
_TURN_SHARE = 0.3  # of the body's movements after which it lies otherwise
_SENSOR_NOISE_G = 0.004


def shake(
    rng: Rng,
    person: Person,
    mixture_G5: NDArray[np.float64],
    breathing: Breathing,
    movement_G: NDArray[np.float64],
) -> Array:
    """Magnitude of the wrist's acceleration (S,) at `RATE_HZ` in g: 1 at rest, for gravity is always there.

    Movements of the body reach the wrist, most of all turns; the hand also moves alone, often awake and seldom
    asleep. Between them only the sensor's noise, its error of calibration (which changes with the posture) and a
    ripple of the breath of a few thousandths are left.
    """
    n_grid = len(mixture_G5)
    hand_G = np.zeros(n_grid)
    for onset_s in random_times(rng, person.restlessness * (mixture_G5 @ _HAND_PER_MIN) / 60):
        first = int(onset_s * GRID_HZ)
        hand_G[first : first + max(1, int(rng.lognormal(np.log(2.0), 0.7) * GRID_HZ))] += rng.lognormal(-0.5, 0.6)
    rest_g_G, ripple_G, turning_G = _posture(rng, movement_G)
    factor = RATE_HZ // GRID_HZ
    strength_S = stretch(0.10 * movement_G + 0.25 * turning_G + 0.07 * hand_G, factor)
    still_G = rest_g_G + ripple_G * np.sin(2 * np.pi * breathing.phase_G) * breathing.ventilation_G
    wrist_S = stretch(still_G * np.exp(0.001 * wander(rng, n_grid, 1800.0)), factor)
    wrist_S += strength_S * band_noise(rng, len(strength_S), RATE_HZ, 0.3, 6.0)
    wrist_S += np.float32(_SENSOR_NOISE_G) * rng.standard_normal(len(wrist_S), dtype=np.float32)
    return np.abs(wrist_S, out=wrist_S)


def _posture(
    rng: Rng, movement_G: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """(G,) each: what the sensor shows at rest in g, how much breath it feels in g, and the strength of turns."""
    n_grid = len(movement_G)
    moving_G = movement_G > 0.2
    begins = np.flatnonzero(moving_G & ~np.roll(moving_G, 1))
    turns = begins[rng.random(len(begins)) < _TURN_SHARE]
    posture_G = np.searchsorted(turns, np.arange(n_grid), side="right")
    n_postures = len(turns) + 1
    turning_G = np.zeros(n_grid)
    for first in turns:
        stop = first + int(rng.uniform(2, 6) * GRID_HZ)
        turning_G[first:stop] = movement_G[first:stop].max() if first < n_grid else 0.0
    rest_g = 1.0 + 0.012 * rng.standard_normal(n_postures)
    ripple_g = 0.0015 * rng.lognormal(0.0, 0.8, n_postures)
    return rest_g[posture_G], ripple_g[posture_G], turning_G
