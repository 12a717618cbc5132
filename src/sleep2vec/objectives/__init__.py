"""What training minimises: pure functions of tensors that return a scalar."""

from sleep2vec.objectives.binary import masked_binary_cross_entropy
from sleep2vec.objectives.classification import masked_cross_entropy
from sleep2vec.objectives.cox import Baseline, breslow_baseline, cox_loss, log_cumulative_hazard, survival_probability
from sleep2vec.objectives.dash_infonce import dash_infonce, infonce
from sleep2vec.objectives.gathering import Gathering
from sleep2vec.objectives.leave_one_out import leave_one_out
from sleep2vec.objectives.negative_weights import SameNight, negative_weights, same_person
from sleep2vec.objectives.partial_labels import open_cross_entropy
from sleep2vec.objectives.reconstruction import reconstruction
from sleep2vec.objectives.temporal_negatives import TemporalNegatives

__all__ = [
    "Baseline",
    "Gathering",
    "SameNight",
    "TemporalNegatives",
    "breslow_baseline",
    "cox_loss",
    "dash_infonce",
    "infonce",
    "leave_one_out",
    "log_cumulative_hazard",
    "masked_binary_cross_entropy",
    "masked_cross_entropy",
    "negative_weights",
    "open_cross_entropy",
    "reconstruction",
    "same_person",
    "survival_probability",
]
