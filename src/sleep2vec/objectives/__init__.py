"""What training minimises: pure functions of tensors that return a scalar."""

from sleep2vec.objectives.classification import masked_cross_entropy
from sleep2vec.objectives.dash_infonce import dash_infonce, infonce
from sleep2vec.objectives.negative_weights import SameNight, negative_weights, same_person
from sleep2vec.objectives.temporal_negatives import TemporalNegatives

__all__ = [
    "SameNight",
    "TemporalNegatives",
    "dash_infonce",
    "infonce",
    "masked_cross_entropy",
    "negative_weights",
    "same_person",
]
