"""What every task of a fine-tuned model is: labels, a head, an objective, and what was fitted on validation people.

A task is a frozen pydantic object. What it learned of its training nights (the mean age, which diagnoses there are) and
of its validation nights (temperature, thresholds) are its fields, so that it travels in the checkpoint's JSON.

Dimension letters: B windows, L tokens, S seconds, K outputs, N what was judged, C classes.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from sleep2vec.data.scoring import Scoring, ScoringReader
from sleep2vec.model.heads import HeadShape, Resolution
from sleep2vec.store.manifest import ManifestRow

Floats = NDArray[np.floating[Any]]


class Task(BaseModel):
    """Base of all tasks.

    Attributes:
        name: Key of its head, its labels and its results.
        chance: Loss of the best constant answer on the training nights; the loss is divided by it, so that 1 is knowing
            nothing, whatever the task.
        temperature: Divides logits before they become probabilities; fitted on validation people, but for events, which
            have thresholds.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    resolution: ClassVar[Resolution]
    title: ClassVar[str]
    weight: ClassVar[float] = 0.1
    """How much it has to say in what all tasks share, beside the others of its run; staging says 1. Its own head learns
    as fast with any weight, because Adam divides by the size of the gradient."""

    name: str
    chance: Annotated[float, Field(gt=0)] = 1.0
    temperature: Annotated[float, Field(gt=0)] = 1.0

    @property
    @abstractmethod
    def n_outputs(self) -> int:
        """How many numbers its head gives."""

    @property
    def head(self) -> HeadShape:
        return HeadShape(resolution=self.resolution, n_outputs=self.n_outputs)

    @abstractmethod
    def knows(self, row: ManifestRow, scorings: ScoringReader) -> bool:
        """Whether a night has a label, from the manifest alone."""

    @abstractmethod
    def label(self, scoring: Scoring, first: int, n_tokens: int) -> NDArray[np.float32]:
        """See `data.nights.Labeller`."""

    def prepared(self, scorings: Sequence[Scoring]) -> Self:
        """With what is to be known of the labels of the training nights."""
        labels = [self.label(scoring, 0, scoring.row.n_tokens) for scoring in scorings]
        # Nothing to tell apart in the training nights: the task cannot be learned, and must not weigh without end.
        return self.model_copy(update={"chance": max(self.constant_loss(labels), 0.02)})

    @abstractmethod
    def constant_loss(self, labels: Sequence[Floats]) -> float:
        """Loss of the best constant answer."""

    @abstractmethod
    def loss(self, output: Tensor, label: Tensor, readable_BL: Tensor) -> Tensor:
        """Mean over what is known and readable; 0 with a gradient of 0 where nothing is."""

    @abstractmethod
    def probabilities(self, output: Tensor) -> Tensor:
        """What the head says, in the words of the task; float32, in the shape that `scores` and reports expect."""

    def fitted(self, answers: Sequence["Answered"]) -> Self:
        """With temperature and thresholds from validation people; as it was where they tell too little."""
        return self

    @abstractmethod
    def scores(self, answers: Sequence["Answered"]) -> dict[str, float]:
        """A few numbers to watch while it learns."""


class Answered(BaseModel):
    """What a model said of a night, beside what is known of it.

    Attributes:
        scoring: Of the night.
        output: Of its head, (L, K), (S, K) or (K,), NaN where abstained.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, frozen=True)

    scoring: Scoring
    output: Floats

    def label(self, task: Task) -> NDArray[np.float32]:
        return task.label(self.scoring, 0, self.scoring.row.n_tokens)


def entropy(share_C: Floats) -> float:
    """Of a distribution, in nats."""
    known = share_C[share_C > 0]
    return float(-(known * np.log(known)).sum())
