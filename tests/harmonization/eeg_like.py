"""Noise with the 1/f spectrum that brains and eyes have, and an open amplifier input has not."""

import numpy as np
from scipy.signal import lfilter


def eeg_like(rng: np.random.Generator, n_samples: int, sd: float) -> np.ndarray:
    """(n_samples,) noise that falls off above about a hundredth of its rate; zero mean, standard deviation `sd`."""
    noise = lfilter([1.0], [1.0, -0.93], rng.standard_normal(n_samples))
    return sd * (noise - noise.mean()) / noise.std()
