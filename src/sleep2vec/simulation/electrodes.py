"""Electrodes on the skin: what mixture of brain, eyes, muscle and heart each of them feels."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from sleep2vec.simulation.brain import RATE_HZ, Brain
from sleep2vec.simulation.eyes import Eyes
from sleep2vec.simulation.noise import GRID_HZ, Array, Rng, resample, stretch
from sleep2vec.simulation.person import Person

# Weights of (slow, alpha, fast, broad, horizontal eyes, vertical eyes, muscle, ECG in uV per mV).
# Eyes: each EOG electrode feels half of what lies between the two. Central leads feel a tenth of a blink.
ELECTRODES: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        "C4": (1.00, 0.60, 1.00, 1.00, 0.03, 0.06, 0.05, 1.0),
        "C3": (0.97, 0.58, 0.97, 0.95, -0.03, 0.06, 0.05, 1.0),
        "F4": (1.20, 0.35, 0.80, 0.95, 0.06, 0.20, 0.10, 1.0),
        "O2": (0.65, 1.20, 0.40, 0.95, 0.00, 0.01, 0.06, 1.0),
        "M1": (0.10, 0.10, 0.10, 0.10, -0.02, 0.00, 0.12, -6.0),
        "M2": (0.10, 0.10, 0.10, 0.10, 0.02, 0.00, 0.12, 3.0),
        "E1": (0.60, 0.15, 0.35, 0.45, -0.50, -0.45, 0.12, 2.0),
        "E2": (0.60, 0.15, 0.35, 0.45, 0.50, 0.55, 0.12, 2.0),
    }
)


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
        self._seeds = dict(zip(ELECTRODES, seed.spawn(len(ELECTRODES) + 1), strict=False))
        common = np.random.default_rng(seed.spawn(1)[0])
        self._noise_uv = person.electrode_noise_uv * noise_gain
        self._movement_G = movement_G
        # Muscle of the head follows the chin, but its fibres are not the chin's.
        n = len(brain.broad_S)
        head_S = stretch(chin_uv_G, RATE_HZ // GRID_HZ) * common.standard_normal(n, dtype=np.float32)
        self._sources = (
            brain.slow_S,
            brain.alpha_S,
            brain.fast_S,
            brain.broad_S,
            eyes.horizontal_S,
            eyes.vertical_S,
            head_S,
            ecg_mv_S,
        )
        self._kept: dict[str, Array] = {}

    def potential(self, electrode: str) -> Array:
        """(S,) float32 in uV at `brain.RATE_HZ`, against an ideal reference."""
        if electrode not in self._kept:
            weights = ELECTRODES[electrode]
            total_S = np.zeros(len(self._sources[0]), dtype=np.float32)
            for weight, source_S in zip(weights, self._sources, strict=True):
                if weight:
                    total_S += np.float32(weight) * source_S
            self._add_noise(np.random.default_rng(self._seeds[electrode]), total_S)
            self._kept[electrode] = total_S
        return self._kept[electrode]

    def between(self, plus: str, minus: str) -> Array:
        """What an amplifier sees between two electrodes, (S,) in uV."""
        return self.potential(plus) - self.potential(minus)

    def _add_noise(self, rng: Rng, total_S: Array) -> None:
        """Contact noise, in place: white, a slow drift, and the swings of moving cables."""
        noise_S = rng.standard_normal(len(total_S), dtype=np.float32)
        noise_S *= np.float32(self._noise_uv * 0.8)
        total_S += noise_S
        slow_G = self._noise_uv * 2.0 * rng.standard_normal(len(self._movement_G))
        slow_G += 35.0 * self._movement_G * rng.standard_normal(len(self._movement_G))
        total_S += resample(slow_G.astype(np.float32), GRID_HZ, RATE_HZ, len(total_S))
