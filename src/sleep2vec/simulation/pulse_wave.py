"""The pulse wave at the finger (photoplethysmogram): each beat arrives late, and arousals squeeze it."""

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from sleep2vec.simulation.breathing import Breathing
from sleep2vec.simulation.heart import Heart, add_gaussians
from sleep2vec.simulation.noise import GRID_HZ, Array, Rng, at, band_noise, stretch, wander
from sleep2vec.simulation.person import Person

RATE_HZ = 128

_SQUEEZE = 0.75  # of a usual arousal, on the logarithm of the amplitude at its worst
_SQUEEZE_PEAK_S = 8.0
_DELAY_SHARE = 0.12  # how much a squeeze hurries the pulse


def draw_pulse_wave(
    rng: Rng,
    person: Person,
    heart: Heart,
    breathing: Breathing,
    arousal_G: NDArray[np.float64],
    movement_G: NDArray[np.float64],
) -> Array:
    """Infrared pulse wave (S,) at `RATE_HZ`, about 1 from foot to peak, upright (more blood is up).

    Two bells a beat: the systolic one, and the reflected one behind the dicrotic notch, which merge as vessels
    stiffen. The foot comes `person.pulse_delay_s` after the R peak. Vasoconstriction after an arousal (Haba-Rubio et
    al. 2005), or a movement, makes the wave small for half a minute and a little earlier; breathing moves its
    baseline, its size and its time; a beat that came early had less time to fill.
    """
    n_grid = len(arousal_G)
    squeeze_G = _squeeze(arousal_G + 0.5 * movement_G)
    size_G = person.pulse_gain * np.exp(
        0.25 * wander(rng, n_grid, 900.0) + 0.08 * wander(rng, n_grid, 15.0) - squeeze_G
    )
    breath_G = np.sin(2 * np.pi * breathing.phase_G) * np.clip(breathing.ventilation_G, 0.0, 2.0)
    delay_G = person.pulse_delay_s * np.exp(
        0.03 * wander(rng, n_grid, 600.0) - _DELAY_SHARE * squeeze_G + 0.02 * breath_G
    )

    times_K = heart.beat_times_s
    intervals_K = np.diff(times_K, prepend=2 * times_K[0] - times_K[1])
    fill_K = np.clip(intervals_K / np.median(intervals_K), 0.3, 1.3)
    stretch_K = np.sqrt(np.clip(intervals_K, 0.5, 1.5))
    height_K = at(size_G, times_K) * fill_K**0.7 * (1 - 0.06 * at(breath_G, times_K))
    foot_K = times_K + at(delay_G, times_K)
    stiff = person.vessel_stiffness
    pulse_S = np.zeros(n_grid * RATE_HZ // GRID_HZ, dtype=np.float32)
    # centre (s after the foot), width (s), height; the foot is where the systolic bell is at a hundredth.
    waves = (
        (0.165 * stretch_K, 0.055 * stretch_K, height_K),
        ((0.41 - 0.09 * stiff) * stretch_K, 0.085 * stretch_K, (0.42 + 0.12 * stiff) * height_K),
    )
    for centre_K, width_K, size_K in waves:
        add_gaussians(pulse_S, RATE_HZ, foot_K + centre_K, width_K, size_K)
    factor = RATE_HZ // GRID_HZ
    pulse_S += stretch(0.15 * person.pulse_gain * (-breath_G - 1.5 * squeeze_G), factor)
    shake_S = stretch(movement_G, factor)
    pulse_S += shake_S * np.float32(1.2) * band_noise(rng, len(pulse_S), RATE_HZ, 0.2, 5.0)
    pulse_S += np.float32(0.01) * rng.standard_normal(len(pulse_S), dtype=np.float32)
    return pulse_S


def _squeeze(arousal_G: NDArray[np.float64]) -> NDArray[np.float64]:
    """Vasoconstriction (G,): a second or two after its cause, at its worst after 8 s, gone after 30 s."""
    x = np.arange(0, 6 * _SQUEEZE_PEAK_S, 1 / GRID_HZ) / _SQUEEZE_PEAK_S
    kernel = (x * np.exp(1 - x)) ** 2
    # An arousal lasts about 7 s: its drive adds up to its strength.
    return _SQUEEZE * fftconvolve(np.minimum(arousal_G, 2.0), kernel / (7.0 * GRID_HZ))[: len(arousal_G)]
