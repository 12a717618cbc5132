"""Apneas, by type where a scorer wrote it, and hypopneas, at 1 Hz.

What a hypopnea is follows the scorers of the training nights: the model learns which falls of airflow they counted. The
rules 1A and 1B can be applied afterwards where desaturations and arousals are known (`metrics.hypopneas`).

Dimension letters: B windows, L tokens, S seconds, C classes of `RESPIRATORY_CLASSES`.
"""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sleep2vec.data.event_targets import RESPIRATORY_CLASSES, UNTYPED_APNEA, Question
from sleep2vec.data.scoring import Scoring
from sleep2vec.metrics.calibration import tempered
from sleep2vec.objectives import open_cross_entropy
from sleep2vec.tasks.event_decoding import decode_respiratory_events
from sleep2vec.tasks.events import EventTask
from sleep2vec.tasks.task import Floats, entropy
from sleep2vec.vocabulary.events import Event
from sleep2vec.vocabulary.modalities import TOKEN_SECONDS

_N_CLASSES = len(RESPIRATORY_CLASSES)
_HYPOPNEA = RESPIRATORY_CLASSES.index("hypopnea")


class Respiratory(EventTask):
    """Which respiratory event each second lies in."""

    title: ClassVar[str] = "respiratory events"
    question: ClassVar[Question] = "respiratory"

    name: str = "respiratory"

    @property
    def n_outputs(self) -> int:
        return _N_CLASSES

    def label(self, scoring: Scoring, first: int, n_tokens: int) -> NDArray[np.float32]:
        return scoring.event_targets(first, n_tokens).respiratory_S

    def constant_loss(self, labels: Sequence[Floats]) -> float:
        known = np.concatenate([label[np.isfinite(label)] for label in labels]).astype(int)
        count_C = np.bincount(known, minlength=_N_CLASSES + 1)
        n_none, n_hypopneas, n_untyped = count_C[0], count_C[_HYPOPNEA], count_C[UNTYPED_APNEA]
        typed_C = np.delete(count_C, [0, _HYPOPNEA, UNTYPED_APNEA])
        n_typed = typed_C.sum()
        which = entropy(np.array([n_none, n_typed + n_untyped, n_hypopneas]) / max(len(known), 1))
        # Apneas without a type ask for none: those that have one say which.
        return which + n_typed / max(len(known), 1) * entropy(typed_C / max(n_typed, 1))

    def loss(self, output: Tensor, label: Tensor, readable_BL: Tensor) -> Tensor:
        known_BS = readable_BL.repeat_interleave(TOKEN_SECONDS, dim=1) & torch.isfinite(label)
        return open_cross_entropy(output[known_BS], _allowed(label[known_BS]))

    def probabilities(self, output: Tensor) -> Tensor:
        return (output.float() / self.temperature).softmax(dim=-1)

    def told(self, output: Floats) -> Floats:
        return tempered(output, self.temperature)

    def any_event(self, probabilities: Floats) -> Floats:
        return 1 - probabilities[:, 0]

    def decode(self, probabilities_S: Floats, grid_start_s: float) -> tuple[Event, ...]:
        return decode_respiratory_events(probabilities_S, self.decoding, grid_start_s)


def _allowed(label_N: Tensor) -> Tensor:
    """(N, C) which classes a known label leaves open, as `event_targets.allowed_classes`."""
    classes_C = torch.arange(_N_CLASSES, device=label_N.device)
    typed_C = (classes_C > 0) & (classes_C != _HYPOPNEA)
    return (label_N[:, None] == classes_C) | ((label_N[:, None] == UNTYPED_APNEA) & typed_C)
