"""Sleep stages: five classes of every token; four and three are sums of the five.

Dimension letters: B windows, L tokens, N tokens of all nights, C stages.
"""

from collections.abc import Sequence
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sleep2vec.data.scoring import Scoring, ScoringReader
from sleep2vec.metrics.abstention import operating_point, risk_coverage
from sleep2vec.metrics.agreement import agreement
from sleep2vec.metrics.calibration import fitted_temperature, tempered
from sleep2vec.model.heads import Resolution
from sleep2vec.objectives import masked_cross_entropy
from sleep2vec.store.manifest import ManifestRow
from sleep2vec.tasks.task import Answered, Floats, Task, entropy
from sleep2vec.vocabulary.stages import FIVE


class Staging(Task):
    """Which stage each token is.

    Attributes:
        risk: Share of wrong epochs that is borne.
        least_confidence: Below this probability of the likeliest stage the answer is doubtful: what is left has at most
            `risk` wrong, on validation people. None where no threshold reaches that, or none was fitted.
    """

    resolution: ClassVar[Resolution] = "token"
    title: ClassVar[str] = "sleep stages"
    weight: ClassVar[float] = 1.0

    name: str = "staging"
    risk: float = 0.1
    least_confidence: float | None = None

    @property
    def n_outputs(self) -> int:
        return len(FIVE)

    def knows(self, row: ManifestRow, scorings: ScoringReader) -> bool:
        return row.n_scored_tokens > 0

    def label(self, scoring: Scoring, first: int, n_tokens: int) -> NDArray[np.float32]:
        return scoring.stages_L[first : first + n_tokens]

    def constant_loss(self, labels: Sequence[Floats]) -> float:
        scored = np.concatenate([label[np.isfinite(label)] for label in labels])
        return entropy(np.bincount(scored.astype(int), minlength=len(FIVE)) / max(len(scored), 1))

    def loss(self, output: Tensor, label: Tensor, readable_BL: Tensor) -> Tensor:
        return masked_cross_entropy(output, label, readable_BL)

    def probabilities(self, output: Tensor) -> Tensor:
        return (output.float() / self.temperature).softmax(dim=-1)

    def fitted(self, answers: Sequence[Answered]) -> Self:
        scored_N, logits_NC = self._judged(answers)
        temperature = fitted_temperature(scored_N, logits_NC) if len(scored_N) else None
        if temperature is None:
            return self
        told_NC = tempered(logits_NC, temperature)
        curve = risk_coverage((told_NC.argmax(axis=1) != scored_N).astype(float), told_NC.max(axis=1))
        point = operating_point(curve, self.risk)
        return self.model_copy(
            update={"temperature": temperature, "least_confidence": None if point is None else float(point.threshold)}
        )

    def scores(self, answers: Sequence[Answered]) -> dict[str, float]:
        scored_N, logits_NC = self._judged(answers)
        if not len(scored_N):
            return {}
        judged = agreement(scored_N, logits_NC.argmax(axis=1).astype(float), len(FIVE))
        numbers = {"accuracy": judged.accuracy, "kappa": judged.kappa, "macro_f1": judged.macro_f1}
        return {name: value for name, value in numbers.items() if value is not None}

    def _judged(self, answers: Sequence[Answered]) -> tuple[Floats, Floats]:
        """Stages and logits of the tokens that were scored and answered."""
        if not answers:
            return np.empty(0), np.empty((0, len(FIVE)))
        scored_N = np.concatenate([answer.label(self) for answer in answers])
        logits_NC = np.concatenate([answer.output for answer in answers])
        both = np.isfinite(scored_N) & np.isfinite(logits_NC).all(axis=1)
        return scored_N[both], logits_NC[both]
