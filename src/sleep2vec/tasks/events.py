"""What the tasks of events share: labels of seconds, a threshold that is fitted, events that are decoded.

Dimension letters: B windows, L tokens, S seconds, N seconds of all nights.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import expit
from torch import Tensor

from sleep2vec.data.event_targets import KINDS_OF_QUESTION, Question
from sleep2vec.data.scoring import Scoring, ScoringReader
from sleep2vec.metrics.discrimination import auroc
from sleep2vec.metrics.events import EventScore, event_score
from sleep2vec.model.heads import Resolution
from sleep2vec.objectives import masked_binary_cross_entropy
from sleep2vec.store.manifest import ManifestRow
from sleep2vec.tasks.event_decoding import Decoding, decode_events
from sleep2vec.tasks.task import Answered, Floats, Task, entropy
from sleep2vec.vocabulary.events import Event
from sleep2vec.vocabulary.modalities import TOKEN_SECONDS

THRESHOLDS = tuple(float(t) for t in np.arange(0.1, 0.85, 0.05).round(2))
LEAST_IOU = 0.3
_WATCHED_SECONDS = 200_000  # of which numbers are shown while it learns


class EventTask(Task):
    """Events of one question.

    Attributes:
        threshold: Least probability of a second in an event; fitted on validation people for the best F1 of events that
            share `LEAST_IOU` with a scored one.
        merge_gap_s, shortest_s: See `event_decoding.Decoding`.
    """

    resolution: ClassVar[Resolution] = "second"
    question: ClassVar[Question]

    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    merge_gap_s: Annotated[float, Field(ge=0)] = 3.0
    shortest_s: Annotated[float, Field(ge=0)] = 10.0

    @property
    def decoding(self) -> Decoding:
        return Decoding(self.threshold, self.merge_gap_s, self.shortest_s)

    def knows(self, row: ManifestRow, scorings: ScoringReader) -> bool:
        return self.question in scorings.answered(row)

    def true_events(self, scoring: Scoring) -> tuple[Event, ...]:
        """What was scored, of the kinds that the question asks for."""
        return tuple(event for event in scoring.events if event.kind in KINDS_OF_QUESTION[self.question])

    @abstractmethod
    def decode(self, probabilities_S: Floats, grid_start_s: float) -> tuple[Event, ...]:
        """Probabilities, as `probabilities` gives them, to events; NaN where abstained."""

    @abstractmethod
    def told(self, output: Floats) -> Floats:
        """The same as `probabilities`, of an array."""

    @abstractmethod
    def any_event(self, probabilities: Floats) -> Floats:
        """(S,) the probability that a second lies in an event, of whichever kind."""

    def fitted(self, answers: Sequence[Answered]) -> Self:
        judged = [answer for answer in answers if self.question in answer.scoring.answered]
        if not any(self.true_events(answer.scoring) for answer in judged):
            return self
        told = [self.told(answer.output) for answer in judged]

        def f1(threshold: float) -> float:
            return self.model_copy(update={"threshold": threshold}).event_score(judged, told).f1 or 0.0

        return self.model_copy(update={"threshold": max(THRESHOLDS, key=f1)})

    def event_score(self, answers: Sequence[Answered], told: Sequence[Floats]) -> EventScore:
        """How the decoded events of some nights agree with the scored ones."""
        parts = (
            event_score(self.true_events(answer.scoring), self.decode(said, answer.scoring.row.grid_start_s), LEAST_IOU)
            for answer, said in zip(answers, told, strict=True)
        )
        return sum(parts, EventScore())

    def scores(self, answers: Sequence[Answered]) -> dict[str, float]:
        judged = [answer for answer in answers if self.question in answer.scoring.answered]
        if not judged:
            return {}
        told = [self.told(answer.output) for answer in judged]
        label_N = np.concatenate([answer.label(self) for answer in judged])
        said_N = np.concatenate([self.any_event(said) for said in told])
        known_N = np.isfinite(label_N) & np.isfinite(said_N)
        step = max(1, int(known_N.sum()) // _WATCHED_SECONDS)
        area = auroc(label_N[known_N][::step] > 0, said_N[known_N][::step])
        numbers = {"auroc": area, "event_f1": self.event_score(judged, told).f1}
        return {name: value for name, value in numbers.items() if value is not None}


class BinaryEventTask(EventTask):
    """One kind of event: yes or no of each second."""

    @property
    def n_outputs(self) -> int:
        return 1

    def label(self, scoring: Scoring, first: int, n_tokens: int) -> NDArray[np.float32]:
        targets = scoring.event_targets(first, n_tokens)
        return targets.arousal_S if self.question == "arousal" else targets.desaturation_S

    def constant_loss(self, labels: Sequence[Floats]) -> float:
        known = np.concatenate([label[np.isfinite(label)] for label in labels])
        share = float(known.mean()) if len(known) else 0.0
        return entropy(np.array([share, 1 - share]))

    def loss(self, output: Tensor, label: Tensor, readable_BL: Tensor) -> Tensor:
        readable_BS = readable_BL.repeat_interleave(TOKEN_SECONDS, dim=1)
        return masked_binary_cross_entropy(output[..., 0], label, readable_BS)

    def probabilities(self, output: Tensor) -> Tensor:
        return (output[..., 0].float() / self.temperature).sigmoid()

    def told(self, output: Floats) -> Floats:
        return np.asarray(expit(np.asarray(output[..., 0], dtype=float) / self.temperature))

    def any_event(self, probabilities: Floats) -> Floats:
        return probabilities

    def decode(self, probabilities_S: Floats, grid_start_s: float) -> tuple[Event, ...]:
        (kind,) = KINDS_OF_QUESTION[self.question]
        return decode_events(probabilities_S, kind, self.decoding, grid_start_s)
