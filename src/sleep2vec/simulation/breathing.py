"""Breathing: one respiratory phase drives airflow at the nose and effort at both belts."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from sleep2vec.simulation.noise import GRID_HZ, Array, Rng, band_noise, stretch, wander
from sleep2vec.simulation.person import Person
from sleep2vec.simulation.respiratory_events import RespiratoryEvent, with_following

RATE_HZ = 32
_INSPIRATION = 0.42  # share of a breath

# By stage W N1 N2 N3 R: rate against the person's own, its irregularity, and that of the depth.
_RATE = np.array([1.04, 1.01, 0.98, 0.99, 1.03])
_RATE_SPREAD = np.array([0.18, 0.11, 0.060, 0.030, 0.14])
_DEPTH_SPREAD = np.array([0.40, 0.25, 0.14, 0.075, 0.34])
_DEPTH = np.array([1.05, 1.0, 0.95, 0.97, 0.85])


@dataclass(frozen=True)
class Breathing:
    """A night of breathing. S samples at `RATE_HZ`, G grid points, K breaths.

    Attributes:
        phase_G: Breaths since the start; the fraction is the place in the breath, 0 where inspiration begins.
        ventilation_G: Depth of breathing at the nose, 1 is this person's usual.
        flow_S: Nasal pressure, inspiration positive, about 1 at the peak of a usual breath.
        thorax_S, abdomen_S: Stretch of the belts, about 1 from end to end of a usual breath.
        onsets_s: (K,) when inspirations begin (also of the efforts that an apnea hides).
    """

    phase_G: NDArray[np.float64]
    ventilation_G: NDArray[np.float64]
    flow_S: Array
    thorax_S: Array
    abdomen_S: Array
    onsets_s: NDArray[np.float64]


def breathe(
    rng: Rng,
    person: Person,
    mixture_G5: NDArray[np.float64],
    events: tuple[RespiratoryEvent, ...],
    arousal_G: NDArray[np.float64],
    movement_G: NDArray[np.float64],
) -> Breathing:
    """A night of breathing from the state of the brain and the respiratory events."""
    n_grid = len(mixture_G5)
    unrest_G = person.breath_irregularity * np.exp(0.35 * wander(rng, n_grid, 150.0))
    log_rate_G = np.log(mixture_G5 @ _RATE) + unrest_G * (mixture_G5 @ _RATE_SPREAD) * wander(rng, n_grid, 6.0)
    log_rate_G += 0.05 * wander(rng, n_grid, 1800.0) + 0.12 * arousal_G
    rate_hz_G = person.breath_hz * np.exp(np.clip(log_rate_G, -0.6, 0.6))
    phase_G = rng.random() + np.concatenate([[0.0], np.cumsum(rate_hz_G[:-1]) / GRID_HZ])
    whole = np.arange(np.ceil(phase_G[0]), np.floor(phase_G[-1]) + 1)
    onsets_s = np.interp(whole, phase_G, np.arange(n_grid) / GRID_HZ)

    airflow_G, effort_G, paradox_G = _event_courses(rng, events, n_grid)
    flatness_G = _flow_limitation(rng, person, mixture_G5, events, arousal_G)
    depth_G = (mixture_G5 @ _DEPTH) * np.exp(unrest_G * (mixture_G5 @ _DEPTH_SPREAD) * wander(rng, n_grid, 5.0))
    depth_G *= np.exp(0.15 * wander(rng, n_grid, 1200.0)) * (1 + 0.45 * arousal_G)
    ventilation_G = depth_G * airflow_G

    factor = RATE_HZ // GRID_HZ
    phase_S = _stretch_exactly(phase_G, factor)
    flow_S = stretch(ventilation_G, factor) * _flow_of_phase(phase_S, stretch(flatness_G, factor))
    # A cannula reads pressure, which grows with a power of flow above one (Bernoulli).
    flow_S = np.sign(flow_S) * np.abs(flow_S) ** np.float32(1.35)
    body = stretch(depth_G * effort_G, factor)
    thorax_S, abdomen_S = _belts(rng, person, phase_S, body, stretch(paradox_G, factor), mixture_G5)
    shake_S = stretch(movement_G, factor)
    for belt_S in (flow_S, thorax_S, abdomen_S):
        belt_S += shake_S * 0.9 * band_noise(rng, len(shake_S), RATE_HZ, 0.05, 1.5)
        belt_S += 0.03 * rng.standard_normal(len(belt_S), dtype=np.float32)
    return Breathing(phase_G, ventilation_G, flow_S, thorax_S, abdomen_S, onsets_s)


def _event_courses(
    rng: Rng, events: tuple[RespiratoryEvent, ...], n_grid: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """What events leave of airflow and of effort, and how far the belts move against each other, (G,) each."""
    airflow_G, effort_G, paradox_G = np.ones(n_grid), np.ones(n_grid), np.zeros(n_grid)
    for event, following in with_following(events):
        first, last = int(event.onset_s * GRID_HZ), int(event.end_s * GRID_HZ)
        during = slice(first, last)
        airflow_G[during], effort_G[during] = event.airflow, event.effort
        if event.obstructive:
            # Efforts grow against the narrow airway, and chest and belly move against each other.
            closed = event.kind != "hypopnea"
            effort_G[during] *= np.linspace(0.65 if closed else 0.9, 1.3 if closed else 1.1, last - first)
            paradox_G[during] = 1.0 if closed else 0.25
            if event.kind == "mixed_apnea":
                effort_G[first : first + (last - first) // 2] = 0.03
        recovery_s, size = rng.uniform(6, 14), rng.uniform(1.25, 1.75)
        if event.periodic:
            # Breathing swells and fades until the next event of the train, or over half a minute after its last.
            recovery_s = 30.0 if following is None else min(following.onset_s - event.end_s, 30.0)
        stop = min(last + round(recovery_s * GRID_HZ), n_grid)
        swell = np.sin(np.pi * (np.arange(stop - last) + 0.5) / max(stop - last, 1)) if event.periodic else 1.0
        airflow_G[last:stop] = effort_G[last:stop] = 0.15 + (size - 0.15) * swell
    edge = 0.5 * GRID_HZ
    return gaussian_filter1d(airflow_G, edge), gaussian_filter1d(effort_G, edge), gaussian_filter1d(paradox_G, edge)


def _flow_limitation(
    rng: Rng,
    person: Person,
    mixture_G5: NDArray[np.float64],
    events: tuple[RespiratoryEvent, ...],
    arousal_G: NDArray[np.float64],
) -> NDArray[np.float64]:
    """How flat inspirations are cut by a narrow airway, (G,), 0 round to 1 flat.

    All of it in obstructive hypopneas; between events for minutes, the more the more apnea a person has; never in
    wakefulness, nor in arousals and the breaths after them.
    """
    n_grid = len(mixture_G5)
    tendency = min(person.apnea_per_hour * (1 - person.central_share) / 30, 1.0)
    flatness_G = np.clip(0.6 * wander(rng, n_grid, 240.0) + tendency - 0.5, 0.0, 0.9)
    for event in events:
        first, last = int(event.onset_s * GRID_HZ), int(event.end_s * GRID_HZ)
        if event.obstructive and event.kind == "hypopnea":
            flatness_G[first:last] = 1.0
        flatness_G[last : last + 10 * GRID_HZ] = 0.0
    return gaussian_filter1d(flatness_G * (1 - mixture_G5[:, 0]) * np.clip(1 - arousal_G, 0, 1), 0.5 * GRID_HZ)


def _stretch_exactly(phase_G: NDArray[np.float64], factor: int) -> Array:
    """The place in the breath (S,), 0..1: float32 has no room for thousands of breaths and the fraction."""
    step_G = np.append(np.diff(phase_G), 0.0)
    fine = phase_G[:, None] + step_G[:, None] * (np.arange(factor) / factor)
    return np.mod(fine.reshape(-1), 1.0).astype(np.float32)


def _flow_of_phase(phase_S: Array, flatness_S: Array) -> Array:
    """Flow at a place of the breath: a short inspiration, a longer expiration that fades. Integrates to zero.

    A limited inspiration draws the same volume along a plateau, which is lower than the round peak.
    """
    inspiring = phase_S < _INSPIRATION
    place = phase_S / np.float32(_INSPIRATION)
    into = np.sin(np.pi * place)
    if flatness_S.any():
        # 1 - u^8 has the mean 8/9 over -1 < u < 1, the half sine 2 / pi.
        square = np.square(np.square(2 * place - 1))
        plateau = (1 - square * square) * np.float32(2 / np.pi * 9 / 8)
        into += flatness_S * (plateau - into)
    out_place = (phase_S - _INSPIRATION) / (1 - _INSPIRATION)
    # sin(pi x) (1 - 0.6 x) has the mean 0.7 * 2 / pi; the factor makes what goes out equal to what came in.
    out = -np.sin(np.pi * out_place) * (1 - 0.6 * out_place) * (_INSPIRATION / (1 - _INSPIRATION) / 0.7)
    return np.where(inspiring, into, out).astype(np.float32)


def _volume_of_phase(phase_S: Array) -> Array:
    """Lung volume, -0.5 .. 0.5, at a place of the breath: the integral of a flow like `_flow_of_phase`'s."""
    rising = -np.cos(np.pi * phase_S / _INSPIRATION)
    out_place = np.maximum(phase_S - _INSPIRATION, 0) / (1 - _INSPIRATION)
    falling = np.cos(np.pi * out_place ** np.float32(0.8))
    return (0.5 * np.where(phase_S < _INSPIRATION, rising, falling)).astype(np.float32)


def _belts(
    rng: Rng, person: Person, phase_S: Array, body_S: Array, paradox_S: Array, mixture_G5: NDArray[np.float64]
) -> tuple[Array, Array]:
    """Thorax and abdomen. In REM the intercostal muscles slacken, so the chest moves less."""
    chest_S = stretch(person.thorax_share * (1 - 0.35 * mixture_G5[:, 4]), len(phase_S) // len(mixture_G5))
    lag = np.float32(0.04 + 0.02 * rng.random())
    volume_S = _volume_of_phase(phase_S)
    lagged_S = _volume_of_phase(np.mod(phase_S - lag, np.float32(1.0)))
    thorax_S = 2 * chest_S * body_S * volume_S * (1 - 1.7 * paradox_S)
    abdomen_S = 2 * (1 - chest_S) * body_S * lagged_S
    drift_hz = (0.002, 0.03)
    thorax_S += 0.15 * band_noise(rng, len(phase_S), RATE_HZ, *drift_hz)
    abdomen_S += 0.15 * band_noise(rng, len(phase_S), RATE_HZ, *drift_hz)
    return thorax_S.astype(np.float32), abdomen_S.astype(np.float32)
