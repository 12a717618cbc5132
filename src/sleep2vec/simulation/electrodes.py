"""Electrodes on the skin: what mixture of brain, eyes, muscle and heart each of them feels."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from sleep2vec.simulation.brain import RATE_HZ, Brain
from sleep2vec.simulation.eyes import Eyes
from sleep2vec.simulation.noise import GRID_HZ, Array, Rng, resample, stretch, wander
from sleep2vec.simulation.person import Person

# Weights of (slow, alpha, fast, frontal, broad, side, depth, horizontal eyes, vertical eyes, muscle, ECG in uV per mV).
# Eyes: each EOG electrode feels half of what lies between the two. Central leads feel a tenth of a blink, those above
# the eyes as much as an EOG electrode; temporal ones lie on a muscle.
ELECTRODES: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        "C4": (1.00, 0.60, 1.00, 0.45, 0.75, 0.35, 0.00, 0.03, 0.06, 0.07, 1.0),
        "C3": (0.97, 0.58, 0.97, 0.45, 0.75, -0.35, 0.00, -0.03, 0.06, 0.07, 1.0),
        "Cz": (1.10, 0.60, 1.05, 0.50, 0.75, 0.00, 0.00, 0.00, 0.05, 0.04, 1.0),
        "F4": (1.20, 0.35, 0.60, 1.00, 0.75, 0.30, 0.30, 0.06, 0.20, 0.12, 1.0),
        "F3": (1.20, 0.35, 0.60, 1.00, 0.75, -0.30, 0.30, -0.06, 0.20, 0.12, 1.0),
        "Fz": (1.30, 0.35, 0.65, 1.05, 0.75, 0.00, 0.35, 0.00, 0.20, 0.08, 1.0),
        "Fp1": (1.05, 0.25, 0.40, 0.85, 0.75, -0.20, 0.45, -0.08, 0.50, 0.16, 1.0),
        "Fp2": (1.05, 0.25, 0.40, 0.85, 0.75, 0.20, 0.45, 0.08, 0.50, 0.16, 1.0),
        "Fpz": (1.05, 0.25, 0.40, 0.90, 0.75, 0.00, 0.50, 0.00, 0.52, 0.14, 1.0),
        "Pz": (0.85, 0.90, 0.90, 0.25, 0.75, 0.00, -0.30, 0.00, 0.02, 0.04, 1.0),
        "O2": (0.65, 1.20, 0.40, 0.10, 0.75, 0.30, -0.45, 0.00, 0.01, 0.08, 1.0),
        "O1": (0.65, 1.20, 0.40, 0.10, 0.75, -0.30, -0.45, 0.00, 0.01, 0.08, 1.0),
        "Oz": (0.65, 1.25, 0.40, 0.10, 0.75, 0.00, -0.50, 0.00, 0.01, 0.08, 1.0),
        "T3": (0.55, 0.40, 0.40, 0.25, 0.75, -0.50, 0.00, -0.04, 0.03, 0.25, 0.0),
        "T4": (0.55, 0.40, 0.40, 0.25, 0.75, 0.50, 0.00, 0.04, 0.03, 0.25, 2.0),
        "M1": (0.10, 0.10, 0.10, 0.05, 0.10, -0.10, -0.10, -0.02, 0.00, 0.12, -6.0),
        "M2": (0.10, 0.10, 0.10, 0.05, 0.10, 0.10, -0.10, 0.02, 0.00, 0.12, 3.0),
        "E1": (0.65, 0.15, 0.30, 0.45, 0.40, -0.15, 0.30, -0.50, -0.45, 0.15, 2.0),
        "E2": (0.65, 0.15, 0.30, 0.45, 0.40, 0.15, 0.30, 0.50, 0.55, 0.15, 2.0),
    }
)
_MUSCLE = 9  # its place among the weights


class Scalp:
    """Potentials of the electrodes of one person in one night, made when first asked for.

    Every electrode has its own noise, drawn from its own generator: asking for one more electrode changes no other.
    """

    def __init__(
        self,
        seed: np.random.SeedSequence,
        person: Person,
        brain: Brain,
        eyes: Eyes,
        chin_uv_G: NDArray[np.float64],
        ecg_mv_S: Array,
        movement_G: NDArray[np.float64],
        noise_gain: float,
    ) -> None:
        # One generator an electrode, found by its name: a longer table leaves the old electrodes as they were.
        self._seeds = {
            name: np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, *name.encode()))
            for name in ELECTRODES
        }
        self._noise_uv = person.electrode_noise_uv * noise_gain
        self._movement_G = movement_G
        self._chin_uv_G = chin_uv_G
        self._sources = (
            brain.slow_S,
            brain.alpha_S,
            brain.fast_S,
            brain.frontal_S,
            brain.broad_S,
            brain.side_S,
            brain.depth_S,
            eyes.horizontal_S,
            eyes.vertical_S,
            ecg_mv_S,
        )
        self._kept: dict[str, Array] = {}

    def potential(self, electrode: str) -> Array:
        """(S,) float32 in uV at `brain.RATE_HZ`, against an ideal reference."""
        if electrode not in self._kept:
            weights = list(ELECTRODES[electrode])
            muscle = weights.pop(_MUSCLE)
            total_S = np.zeros(len(self._sources[0]), dtype=np.float32)
            for weight, source_S in zip(weights, self._sources, strict=True):
                if weight:
                    total_S += np.float32(weight) * source_S
            self._add_noise(np.random.default_rng(self._seeds[electrode]), muscle, total_S)
            self._kept[electrode] = total_S
        return self._kept[electrode]

    def between(self, plus: str, minus: str) -> Array:
        """What an amplifier sees between two electrodes, (S,) in uV."""
        return self.potential(plus) - self.potential(minus)

    def _add_noise(self, rng: Rng, muscle: float, total_S: Array) -> None:
        """Muscle and contact noise, in place: white, a slow drift, and the swings of moving cables.

        Muscle of the head follows the chin, but its fibres are not the chin's, and each electrode lies on its own.
        """
        noise_S = rng.standard_normal(len(total_S), dtype=np.float32)
        noise_S *= stretch(np.hypot(0.35 * self._noise_uv, muscle * self._chin_uv_G), RATE_HZ // GRID_HZ)
        total_S += noise_S
        slow_G = self._noise_uv * 4.0 * wander(rng, len(self._movement_G), 3.0)
        slow_G += 35.0 * self._movement_G * rng.standard_normal(len(self._movement_G))
        total_S += resample(slow_G.astype(np.float32), GRID_HZ, RATE_HZ, len(total_S))
