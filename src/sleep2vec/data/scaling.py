"""The model's door: physical units in, numbers of order one out.

Dimension letters: L tokens, S samples of a token.
"""

import numpy as np
from numpy.typing import NDArray

from sleep2vec.vocabulary.modalities import MODALITIES

LIMIT = 20.0
"""Scaled samples are clipped here: a movement artefact is known to be large, not how large."""


def scaled(samples_LS: NDArray[np.float32], modality: str, centre: float, spread: float) -> NDArray[np.float32]:
    """Remove centre and spread: the night's own, or the fixed ones of SpO2 and IBI, whose level is the message."""
    table = MODALITIES[modality]
    if not table.night_scaled:
        centre, spread = table.centre, table.spread
    result_LS = (samples_LS - np.float32(centre)) / np.float32(spread if spread > 0 else 1.0)
    return np.clip(result_LS, -LIMIT, LIMIT, out=result_LS)
