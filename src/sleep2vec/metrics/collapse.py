"""Whether embeddings have collapsed, judged from numbers that a run logs, and said in a sentence.

Total collapse: all embeddings are nearly one point. Dimensional collapse: they differ, but in a handful of directions.
Retrieval at chance: they may differ as they like, but simultaneous signals do not find each other.

References:
    Jing et al. (2022), Understanding dimensional collapse in contrastive self-supervised learning.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from sleep2vec.metrics.embedding_geometry import uniform_uniformity

LEAST_SPREAD = 0.01
"""Below this variance on the sphere the mean similarity of two embeddings is above 0.99. At a temperature of 0.2 a
partner then outweighs a stranger by at most exp(0.01 / 0.2), 5 %: the contrast tells next to nothing apart. Uniformity
is about -4 times the spread, so above -0.04. `tiny`, trained in health on simulated nights, was never below 0.12, its
first 60 steps included."""

LEAST_RANK = 8.0
"""Fewer effective directions than this, or than a quarter of all in a narrow space. Even points spread perfectly over a
sphere of 8 dimensions reach a uniformity of -3.1 only, of -2.1 over one of 3; -3.9 is what 128 allow. The projections
of `tiny` in health kept 20 or more throughout, and had 64 to 82 before their first step."""

LEAST_RETRIEVAL = 1.25
"""Times chance. With nine modalities, 36 pairs of some 32 windows, blind guesses stay below it by 3 standard errors."""


class Collapse(IntEnum):
    """What the log calls ``validation/collapse``; the gravest counts."""

    NONE = 0
    CHANCE = 1
    DIMENSIONAL = 2
    TOTAL = 3


@dataclass(frozen=True)
class Shape:
    """How the embeddings of one modality lie.

    Attributes:
        spread, uniformity, rank: See `metrics.embedding_geometry`.
        most_rank: What the rank could be: features, or embeddings less one where these are fewer.
    """

    spread: float
    uniformity: float
    rank: float
    most_rank: int


@dataclass(frozen=True)
class Diagnosis:
    """The gravest finding, and a sentence for a person; None where there is nothing to say."""

    collapse: Collapse
    sentence: str | None


def diagnosed(shapes: Mapping[str, Shape], top1: float, chance: float) -> Diagnosis:
    """What the shapes (by modality) and the mean retrieval over pairs say; NaN says nothing."""
    total = [name for name, shape in shapes.items() if shape.spread < LEAST_SPREAD]
    narrow = [
        name
        for name, shape in shapes.items()
        if name not in total and shape.rank < min(LEAST_RANK, shape.most_rank / 4)
    ]
    at_chance = top1 < LEAST_RETRIEVAL * chance
    sentences = []
    if total:
        worst = min(total, key=lambda name: shapes[name].spread)
        sentences.append(
            f"total collapse of {_listed(total, len(shapes))}: all embeddings are nearly the same point (variance "
            f"{shapes[worst].spread:.2g} of 1, uniformity {shapes[worst].uniformity:.2g}, where 0 is one point); lower "
            "the learning rate, or look whether the signals reach the model"
        )
    if narrow:
        worst = min(narrow, key=lambda name: shapes[name].rank)
        best = uniform_uniformity(shapes[worst].most_rank)
        sentences.append(
            f"dimensional collapse of {_listed(narrow, len(shapes))}: the embeddings differ, but in "
            f"{shapes[worst].rank:.1f} of {shapes[worst].most_rank} directions (uniformity "
            f"{shapes[worst].uniformity:.2g}, {best:.2g} would be even); more negatives, a lower learning rate or a "
            "higher temperature may help"
        )
    if at_chance:
        sentences.append(
            f"simultaneous signals find each other no better than chance (top-1 {top1:.3f}, chance {chance:.3f}): "
            "nothing is aligned yet"
        )
    found = Collapse.TOTAL if total else Collapse.DIMENSIONAL if narrow else Collapse(int(at_chance))
    return Diagnosis(found, "; ".join(sentences) or None)


def _listed(names: list[str], n_all: int) -> str:
    return "every modality" if len(names) == n_all > 1 else ", ".join(names)
