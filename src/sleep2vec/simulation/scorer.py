"""The scorer: what a human writes who looks at the night, as far from another human as humans are.

Five scorers of the same nights agree with a mean pairwise kappa of 0.70 in healthy sleepers and 0.68 in people with
apnea (`facts/scorer_disagreement.json`: DODH, 25 nights; DODO, 55 nights). Their errors are no coin flips per epoch:
a doubtful stretch is doubtful for everybody, a habit lasts all night, and a scorer stays with a stage until something
speaks against it. Here each scorer has an opinion on every stage, the sum of

- what the true stage looks like to humans (`_LOOKS`),
- how far the body strays from it at that moment, which all scorers see alike (the hidden state of `expression`,
  whose changes of stage are gradual: most doubt is near them),
- this scorer's habits of the night, a taste that drifts within some ten minutes, and a little chance,

and writes the stage of the strongest opinion, unless the last one is nearly as strong. `_LOOKS` is fitted so that two
scorers of one simulated night disagree as the facts say (`benchmarks/simulation_scorers.py` fits and measures it; were
errors independent, a scorer given the truth would be the square root of the matrix of one scorer given another).
"""

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from sleep2vec.simulation.expression import USUAL_MIXTURE
from sleep2vec.simulation.noise import GRID_HZ, Rng
from sleep2vec.simulation.person import Person
from sleep2vec.vocabulary.modalities import TOKEN_SECONDS
from sleep2vec.vocabulary.stages import Hypnogram

# Opinion on W N1 N2 N3 R (columns) of somebody who looks at true W N1 N2 N3 R (rows); log odds against the best.
_LOOKS_HEALTHY = np.array(
    [
        [0.000, -2.148, -2.787, -3.861, -3.287],
        [-1.742, 0.000, -1.028, -3.875, -1.820],
        [-3.009, -2.435, 0.000, -2.281, -2.808],
        [-3.569, -4.432, -1.760, 0.000, -4.197],
        [-3.192, -2.569, -2.345, -4.084, 0.000],
    ]
)
_LOOKS_APNEA = np.array(
    [
        [0.000, -2.654, -3.258, -4.960, -3.596],
        [-1.688, 0.000, -0.888, -4.003, -2.092],
        [-3.085, -2.458, 0.000, -1.984, -2.736],
        [-4.223, -4.451, -1.198, 0.000, -4.283],
        [-3.000, -2.804, -2.258, -4.312, 0.000],
    ]
)
_APNEA_FROM, _APNEA_FULL = 5.0, 20.0  # events an hour between which one table fades into the other
_STRAY = 0.8
_HABIT = 0.3
_TASTE = 0.8
_TASTE_EPOCHS = 20.0
_CHANCE = 0.1
_STAY = 0.6  # by how much another stage must be stronger
_WITH_LIGHTS = 0.7  # share of nights whose first and last epochs, lights on, are left unscored
_MOVEMENT_TIME = 0.3  # share of epochs full of movement that are written as movement time (an old habit)


def score_stages(
    rng: Rng,
    person: Person,
    stages_L: NDArray[np.number],
    mixture_G5: NDArray[np.float64],
    movement_G: NDArray[np.float64] | None = None,
) -> Hypnogram:
    """One scorer's hypnogram (L,) float32 of a night; another `rng` is another scorer.

    Args:
        rng: The scorer's own randomness.
        person: Nights with apnea are harder to agree on.
        stages_L: The true codes.
        mixture_G5: The hidden state on the 4 Hz grid.
        movement_G: How much the body moves, to leave epochs unscored that movement hides; None hides none.

    Returns:
        Codes of `vocabulary.stages.FIVE`; NaN before lights off, after lights on, and in movement time.
    """
    true_L = np.asarray(stages_L).astype(int)
    written_L = judge(rng, looks_to(person), true_L, mixture_G5).astype(np.float32)
    if movement_G is not None:
        hidden_L = (movement_G > 0.25).reshape(len(true_L), -1).mean(axis=1) > 0.5
        written_L[hidden_L & (rng.random(len(true_L)) < _MOVEMENT_TIME)] = np.nan
    before, after = _unscored_ends(rng, true_L)
    written_L[:before] = np.nan
    written_L[len(written_L) - after :] = np.nan
    return written_L


def looks_to(person: Person) -> NDArray[np.float64]:
    """What each true stage of this person looks like to scorers: log odds (5, 5), rows the truth."""
    with_apnea = np.clip((person.apnea_per_hour - _APNEA_FROM) / (_APNEA_FULL - _APNEA_FROM), 0, 1)
    looks_55: NDArray[np.float64] = (1 - with_apnea) * _LOOKS_HEALTHY + with_apnea * _LOOKS_APNEA
    return looks_55


def judge(
    rng: Rng, looks_55: NDArray[np.float64], true_L: NDArray[np.int64], mixture_G5: NDArray[np.float64]
) -> NDArray[np.int64]:
    """The stage (L,) that one scorer gives to every epoch."""
    n = len(true_L)
    seen_L5 = mixture_G5.reshape(n, TOKEN_SECONDS * GRID_HZ, 5).mean(axis=1)
    stray_L5 = np.log(seen_L5) - np.log(USUAL_MIXTURE)[true_L]
    keep = np.exp(-1 / _TASTE_EPOCHS)
    kicks_L5 = rng.standard_normal((n, 5)) * np.sqrt(1 - keep**2)
    taste_L5, _ = lfilter([1.0], [1.0, -keep], kicks_L5, axis=0, zi=keep * rng.standard_normal((1, 5)))
    own_L5 = _HABIT * rng.standard_normal(5) + _TASTE * taste_L5 + _CHANCE * rng.standard_normal((n, 5))
    return _stay(looks_55[true_L] + _STRAY * stray_L5 + own_L5)


def _stay(opinions_L5: NDArray[np.float64]) -> NDArray[np.int64]:
    """The strongest opinion of each epoch, unless that of the epoch before is nearly as strong."""
    best_L = opinions_L5.argmax(axis=1).tolist()
    now, written = best_L[0], []
    for best, opinion in zip(best_L, opinions_L5.tolist(), strict=True):
        if opinion[best] > opinion[now] + _STAY:
            now = best
        written.append(now)
    return np.array(written)


def _unscored_ends(rng: Rng, true_L: NDArray[np.int64]) -> tuple[int, int]:
    """Epochs before lights off and after lights on: of the wake before sleep and after it, at most half each."""
    asleep = np.flatnonzero(true_L)
    drawn, with_lights = rng.integers(1, 11, size=2), rng.random() < _WITH_LIGHTS
    if not with_lights or not len(asleep):
        return 0, 0
    return min(int(drawn[0]), int(asleep[0]) // 2), min(int(drawn[1]), (len(true_L) - 1 - int(asleep[-1])) // 2)
