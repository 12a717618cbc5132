"""How strongly each stage shows at each moment: the hidden state that all organs share.

A scorer writes one letter for 30 s; the body drifts. The state is a mixture of the five stages that follows the
hypnogram gradually, wanders within a stage, and confuses neighbours as often as human scorers do.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.special import softmax

from sleep2vec.simulation.noise import GRID_HZ, Rng, wander
from sleep2vec.vocabulary.modalities import TOKEN_SECONDS

# What a second scorer says given the first, mean of healthy sleepers and of people with apnea
# (facts/scorer_disagreement.json: DODH 25 nights, DODO 55 nights). Rows and columns: W N1 N2 N3 R.
USUAL_MIXTURE = np.array(
    [
        [0.833, 0.076, 0.066, 0.005, 0.019],
        [0.192, 0.398, 0.325, 0.008, 0.078],
        [0.025, 0.048, 0.818, 0.081, 0.029],
        [0.006, 0.004, 0.299, 0.689, 0.002],
        [0.021, 0.033, 0.082, 0.002, 0.862],
    ]
)
_EDGE_S = 10.0  # how long a change of stage takes
_EDGE_JITTER_S = 7.0  # how far it is from the scorer's line
_RESTLESS = 0.7  # spread of the logits within a stage
_MEMORY_S = 75.0


def express(rng: Rng, stages_L: NDArray[np.int64]) -> NDArray[np.float64]:
    """The mixture (G, 5) on the 4 Hz grid; rows sum to 1. `stages_L` are codes, one per 30 s."""
    n_grid = len(stages_L) * TOKEN_SECONDS * GRID_HZ
    seconds_G = np.arange(n_grid) / GRID_HZ + _EDGE_JITTER_S * wander(rng, n_grid, 60.0)
    epoch_G = np.clip((seconds_G / TOKEN_SECONDS).astype(int), 0, len(stages_L) - 1)
    logits_G5 = gaussian_filter1d(np.log(USUAL_MIXTURE)[stages_L[epoch_G]], _EDGE_S * GRID_HZ, axis=0, mode="nearest")
    for stage in range(5):
        logits_G5[:, stage] += _RESTLESS * wander(rng, n_grid, _MEMORY_S)
    return softmax(logits_G5, axis=1)
