"""What else lies in a recording: position, snoring, legs, gases, the machine's flow, lamps and flags.

No task of the project reads these, but files of clinics have them, and a rule that picks channels must not take them
for something else. Each is the plain signal that such a sensor gives, and follows the body where that is cheap.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import numpy as np

from sleep2vec.simulation.breathing import RATE_HZ as BREATH_RATE_HZ
from sleep2vec.simulation.noise import GRID_HZ, Array, Rng, random_times, stretch, wander

if TYPE_CHECKING:
    from sleep2vec.simulation.sensors import Body

_NOISE_HZ = 128
_INSPIRATION = 0.42  # share of a breath, as `breathing` has it


@dataclass(frozen=True)
class Accessory:
    """One sensor.

    Attributes:
        draw: Gives its samples and their rate in Hz.
        measures: ``"microvolts"``; ``"its unit"`` (codes, %, mmHg, degrees); or ``"nothing known"``: 1 is usual, and
            the channel's gain says nothing.
        is_stepwise: Whether it jumps: such samples are held, not interpolated.
    """

    draw: Callable[[Rng, "Body"], tuple[Array, float]]
    measures: Literal["microvolts", "its unit", "nothing known"] = "its unit"
    is_stepwise: bool = False


def _position(rng: Rng, body: "Body") -> tuple[Array, float]:
    """Codes 0 to 3, kept for 40 minutes in the mean."""
    turns_s = random_times(rng, np.full(body.duration_s * GRID_HZ, 1 / 2400))
    codes = np.cumsum(np.append(rng.integers(0, 4), rng.integers(1, 4, len(turns_s)))) % 4
    return codes[np.searchsorted(turns_s, np.arange(body.duration_s))].astype(np.float32), 1.0


def _leg(rng: Rng, body: "Body") -> tuple[Array, float]:
    """Tone of 3 uV, and trains of movements of 0.5-4 s, 20 to 40 s apart."""
    loud_G = np.full(body.duration_s * GRID_HZ, 3.0)
    for train_s in random_times(rng, np.full(len(loud_G), 1.2 / 3600)):
        for move_s in train_s + np.cumsum(rng.uniform(20, 40, rng.integers(3, 15))):
            first = int(move_s * GRID_HZ)
            loud_G[first : first + rng.integers(2, 17)] += rng.uniform(20, 80)
    return _loud(rng, loud_G)


def _breathing_muscle(rng: Rng, body: "Body") -> tuple[Array, float]:
    """Intercostal muscle, louder while the effort grows."""
    inspiring_G = np.mod(body.breathing.phase_G, 1.0) < _INSPIRATION
    return _loud(rng, 3.0 + 4.0 * inspiring_G)


def _snore(rng: Rng, body: "Body") -> tuple[Array, float]:
    """A rattle in inspiration, for minutes at a time."""
    n_grid = len(body.spo2_G)
    level_G = np.clip(np.exp(1.2 * wander(rng, n_grid, 600.0) - 1.0), 0, 3)
    level_G *= np.clip(body.breathing.ventilation_G, 0, 2)
    inspiring_G = np.mod(body.breathing.phase_G, 1.0) < _INSPIRATION
    return _loud(rng, 0.05 + level_G * inspiring_G)


def _open_input(rng: Rng, body: "Body") -> tuple[Array, float]:
    return _loud(rng, np.full(len(body.spo2_G), 0.05))


def _loud(rng: Rng, loudness_G: np.ndarray) -> tuple[Array, float]:
    factor = _NOISE_HZ // GRID_HZ
    return stretch(loudness_G, factor) * rng.standard_normal(len(loudness_G) * factor, dtype=np.float32), _NOISE_HZ


def _chin_envelope(rng: Rng, body: "Body") -> tuple[Array, float]:
    """Rectified and smoothed over a second, as the recorders of Sleep-EDF's cassettes did."""
    return np.abs(body.chin_uv_S).reshape(body.duration_s, -1).mean(axis=1), 1.0


def _accelerometer(rng: Rng, body: "Body") -> tuple[Array, float]:
    """One axis in g: gravity by posture, and the sensor's noise."""
    posture, _ = _position(rng, body)
    tilt_G = np.array([-0.9, -0.2, 0.4, 0.95])[np.repeat(posture.astype(int), GRID_HZ)]
    return stretch(tilt_G, 8) + 0.004 * rng.standard_normal(len(tilt_G) * 8, dtype=np.float32), 32.0


def _carbon_dioxide(rng: Rng, body: "Body") -> tuple[Array, float]:
    """Capnogram in mmHg: air in inspiration, the plateau of the lungs at the end of expiration."""
    place_S = np.mod(stretch(body.breathing.phase_G, BREATH_RATE_HZ // GRID_HZ), np.float32(1.0))
    level_S = stretch(41.0 + 1.5 * wander(rng, len(body.spo2_G), 900.0), BREATH_RATE_HZ // GRID_HZ)
    open_S = stretch(np.clip(body.breathing.ventilation_G * 4, 0, 1), BREATH_RATE_HZ // GRID_HZ)
    return (level_S * open_S * np.clip((place_S - 0.5) * 8, 0, 1)).astype(np.float32), BREATH_RATE_HZ


def _machine(rng: Rng, body: "Body") -> tuple[Array, float]:
    """A PAP machine that is not in use: its zero."""
    return 0.01 * rng.standard_normal(body.duration_s * GRID_HZ, dtype=np.float32), GRID_HZ


def _breaths_per_minute(rng: Rng, body: "Body") -> tuple[Array, float]:
    at_s = np.interp(np.arange(-30, body.duration_s), np.arange(len(body.spo2_G)) / GRID_HZ, body.breathing.phase_G)
    return np.round(2 * (at_s[30:] - at_s[:-30])).astype(np.float32), 1.0


def _tidal_volume(rng: Rng, body: "Body") -> tuple[Array, float]:
    return np.round(450 * body.breathing.ventilation_G[::GRID_HZ]).astype(np.float32), 1.0


def _temperature(rng: Rng, body: "Body") -> tuple[Array, float]:
    """Of the core in degrees C: half a degree down until the small hours (clock time is not known here)."""
    hours = np.arange(body.duration_s) / 3600
    drift = 0.05 * wander(rng, body.duration_s, 1800.0, 1.0)
    return (36.9 - 0.4 * np.sin(np.pi * np.minimum(hours, 12) / 12) + drift).astype(np.float32), 1.0


def _light(rng: Rng, body: "Body") -> tuple[Array, float]:
    """Nearly dark; somebody switches a lamp on for minutes, once or twice."""
    lamp = np.full(body.duration_s, 0.02, dtype=np.float32)
    for on_s in random_times(rng, np.full(body.duration_s * GRID_HZ, 0.2 / 3600)):
        lamp[int(on_s) : int(on_s) + rng.integers(60, 400)] = 1.0
    return lamp, 1.0


def _zero(rng: Rng, body: "Body") -> tuple[Array, float]:
    """A status that is fine all night, a button that nobody presses."""
    return np.zeros(body.duration_s, dtype=np.float32), 1.0


ACCESSORIES: Mapping[str, Accessory] = MappingProxyType(
    {
        "position": Accessory(_position, is_stepwise=True),
        "leg": Accessory(_leg, "microvolts"),
        "breathing_muscle": Accessory(_breathing_muscle, "microvolts"),
        "snore": Accessory(_snore, "nothing known"),
        "open_input": Accessory(_open_input, "nothing known"),
        "chin_envelope": Accessory(_chin_envelope, "microvolts"),
        "accelerometer": Accessory(_accelerometer),
        "co2": Accessory(_carbon_dioxide),
        "pap": Accessory(_machine, "nothing known"),
        "resp_rate": Accessory(_breaths_per_minute, is_stepwise=True),
        "volume": Accessory(_tidal_volume, is_stepwise=True),
        "temperature": Accessory(_temperature),
        "light": Accessory(_light, "nothing known", is_stepwise=True),
        "zero": Accessory(_zero, is_stepwise=True),
    }
)
