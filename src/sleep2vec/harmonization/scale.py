"""Robust centre and spread of a night."""

import numpy as np
from numpy.typing import NDArray

# The median absolute deviation of a normal distribution is 1/1.4826 of its standard deviation.
MAD_TO_SD = 1.4826


def robust_scale(
    samples_N: NDArray[np.floating], valid_L: NDArray[np.bool_], most: int = 400_000
) -> tuple[float, float]:
    """Median and 1.4826 * MAD of the samples of valid tokens.

    Args:
        samples_N: (L * S,), whole tokens.
        valid_L: (L,) tokens to count.
        most: at most about so many samples are looked at, evenly spread: the error of a median of 400,000
            is below 0.3 % of the spread.

    Returns:
        Centre and spread in the samples' unit; (0, 1) where no token is valid, spread 1 where it would be 0.
    """
    counted_LS = samples_N.reshape(len(valid_L), -1)[valid_L]
    if counted_LS.size == 0:
        return 0.0, 1.0
    # An odd step does not beat with the even number of samples in a second.
    step = counted_LS.size // most + 1
    counted = counted_LS.reshape(-1)[:: step + (step + 1) % 2].astype(np.float64)
    centre = float(np.median(counted))
    spread = MAD_TO_SD * float(np.median(np.abs(counted - centre)))
    return centre, spread if spread > 0 else 1.0
