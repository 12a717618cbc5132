"""The model's door: physical units in, numbers of order one out.

Dimension letters: L tokens, S samples of a token.
"""

import numpy as np
from numpy.typing import NDArray

from sleep2vec.store.manifest import SignalConstants
from sleep2vec.store.schema import FULL_SCALE
from sleep2vec.vocabulary.modalities import MODALITIES

LIMIT = 20.0
"""Scaled samples are clipped here: a movement artefact is known to be large, not how large."""


def scaled(samples_LS: NDArray[np.float32], modality: str, centre: float, spread: float) -> NDArray[np.float32]:
    """Remove centre and spread: the night's own, or the fixed ones of SpO2 and IBI, whose level is the message."""
    centre, spread = _removed(modality, centre, spread)
    result_LS = (samples_LS - np.float32(centre)) / np.float32(spread)
    return np.clip(result_LS, -LIMIT, LIMIT, out=result_LS)


def gain_and_bias(modality: str, constants: SignalConstants) -> tuple[float, float]:
    """What makes scaled samples of a store's integers: ``integer * gain + bias``, then clipped to `LIMIT`."""
    centre, spread = _removed(modality, constants.centre, constants.spread)
    return constants.scale / spread, (constants.offset - centre) / spread


def scale_integers(integers_LS: NDArray[np.int16], gain: float, bias: float, out_LS: NDArray[np.float32]) -> None:
    """Write scaled samples of a store's integers into `out_LS`; see `gain_and_bias`."""
    out_LS[:] = integers_LS
    np.multiply(out_LS, np.float32(gain), out=out_LS)
    np.add(out_LS, np.float32(bias), out=out_LS)
    if FULL_SCALE * abs(gain) + abs(bias) > LIMIT:
        np.clip(out_LS, -LIMIT, LIMIT, out=out_LS)


def _removed(modality: str, centre: float, spread: float) -> tuple[float, float]:
    table = MODALITIES[modality]
    if not table.night_scaled:
        centre, spread = table.centre, table.spread
    return centre, spread if spread > 0 else 1.0
