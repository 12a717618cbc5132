"""What the tasks of whole nights share: numbers, yes or no, and classes, one a night.

Dimension letters: B nights, N nights, K answers, C classes.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy.optimize import brentq
from torch import Tensor
from torch.nn import functional as F

from sleep2vec.data.scoring import Scoring, ScoringReader
from sleep2vec.metrics.agreement import agreement
from sleep2vec.metrics.calibration import fitted_temperature
from sleep2vec.metrics.discrimination import auroc
from sleep2vec.metrics.regression import regression
from sleep2vec.model.heads import Resolution
from sleep2vec.objectives import masked_binary_cross_entropy, masked_cross_entropy
from sleep2vec.store.manifest import ManifestRow
from sleep2vec.tasks.task import Answered, Floats, Task, entropy

_FEWEST_TO_FIT = 20


class NightTask(Task):
    """Something of a whole night, known from its manifest row."""

    resolution: ClassVar[Resolution] = "night"

    @abstractmethod
    def values(self, row: ManifestRow) -> NDArray[np.float32]:
        """(K,) what is known, NaN where not."""

    def knows(self, row: ManifestRow, scorings: ScoringReader) -> bool:
        return bool(np.isfinite(self.values(row)).any())

    def label(self, scoring: Scoring, first: int, n_tokens: int) -> NDArray[np.float32]:
        return self.values(scoring.row)

    def _sides(self, answers: Sequence[Answered]) -> tuple[Floats, Floats]:
        """(N, K) labels and (N, outputs) outputs of the nights that were answered."""
        said = [answer for answer in answers if np.isfinite(answer.output).all()]
        if not said:
            return np.empty((0, 1)), np.empty((0, self.n_outputs))
        return np.stack([answer.label(self) for answer in said]), np.stack([answer.output for answer in said])


class NumberTask(NightTask):
    """A number, such as an age.

    Attributes:
        unit: Of the number.
        centre, spread: Of the training nights.
        error: Standard deviation of the errors on validation people; None where none was fitted.
    """

    unit: str = ""
    centre: float = 0.0
    spread: Annotated[float, Field(gt=0)] = 1.0
    error: float | None = None

    @property
    def n_outputs(self) -> int:
        return 1

    def prepared(self, scorings: Sequence[Scoring]) -> Self:
        known = np.array([self.values(scoring.row)[0] for scoring in scorings], dtype=float)
        known = known[np.isfinite(known)]
        spread = float(known.std()) if len(known) else 0.0
        scaled = self.model_copy(update={"centre": float(known.mean()) if len(known) else 0.0, "spread": spread or 1.0})
        return super(NumberTask, scaled).prepared(scorings)

    def constant_loss(self, labels: Sequence[Floats]) -> float:
        scaled = (np.concatenate(labels) - self.centre) / self.spread
        z_N = scaled[np.isfinite(scaled)].astype(float)
        if not len(z_N):
            return 0.0
        # Not the mean: where the pulls of all, each at most 1, cancel out.
        best = brentq(lambda constant: np.clip(z_N - constant, -1, 1).sum(), z_N.min(), z_N.max())
        return float(F.huber_loss(torch.from_numpy(z_N), torch.full((len(z_N),), best, dtype=torch.float64)))

    def loss(self, output: Tensor, label: Tensor, readable_BL: Tensor) -> Tensor:
        known_B1 = torch.isfinite(label) & readable_BL.any(dim=1, keepdim=True)
        if not known_B1.any():
            return output.sum() * 0.0
        z_N = (label[known_B1] - self.centre) / self.spread
        return F.huber_loss(output[known_B1].float(), z_N.float())

    def probabilities(self, output: Tensor) -> Tensor:
        """(..., 1) in the unit of the number."""
        return output.float() * self.spread + self.centre

    def fitted(self, answers: Sequence[Answered]) -> Self:
        label_N1, output_N1 = self._sides(answers)
        away = (label_N1 - (output_N1 * self.spread + self.centre)).ravel()
        away = away[np.isfinite(away)]
        if len(away) < _FEWEST_TO_FIT:
            return self
        return self.model_copy(update={"error": float(np.sqrt((away**2).mean()))})

    def scores(self, answers: Sequence[Answered]) -> dict[str, float]:
        label_N1, output_N1 = self._sides(answers)
        found = regression(label_N1[:, 0], output_N1[:, 0] * self.spread + self.centre)
        numbers = {"mae": found.mean_absolute_error, "r": found.pearson_r}
        return {name: value for name, value in numbers.items() if value is not None}


class YesNoTask(NightTask):
    """Some questions with yes or no, of which each may be unknown.

    Attributes:
        outcomes: Names of the K questions.
        prevalences: Of "yes" among the training nights that know; also the thresholds above which it is "more than
            usual".
    """

    outcomes: tuple[str, ...] = ()
    prevalences: tuple[float, ...] = ()

    @property
    def n_outputs(self) -> int:
        return len(self.outcomes)

    def prepared(self, scorings: Sequence[Scoring]) -> Self:
        known_NK = np.stack([self.values(scoring.row) for scoring in scorings])
        shares = tuple(float(column[np.isfinite(column)].mean()) for column in known_NK.T)
        return super(YesNoTask, self.model_copy(update={"prevalences": shares})).prepared(scorings)

    def constant_loss(self, labels: Sequence[Floats]) -> float:
        label_NK = np.stack(labels)
        known_K = np.isfinite(label_NK).sum(axis=0)
        each = [entropy(np.array([share, 1 - share])) for share in self.prevalences]
        return float(np.average(each, weights=known_K)) if known_K.any() else 0.0

    def loss(self, output: Tensor, label: Tensor, readable_BL: Tensor) -> Tensor:
        counted_BK = readable_BL.any(dim=1, keepdim=True).expand_as(label)
        return masked_binary_cross_entropy(output, label, counted_BK)

    def probabilities(self, output: Tensor) -> Tensor:
        return (output.float() / self.temperature).sigmoid()

    def fitted(self, answers: Sequence[Answered]) -> Self:
        label_NK, output_NK = self._sides(answers)
        known = np.isfinite(label_NK)
        if known.sum() < _FEWEST_TO_FIT:
            return self
        temperature = fitted_temperature(label_NK[known], output_NK[known])
        return self.model_copy(update={"temperature": temperature or 1.0})

    def scores(self, answers: Sequence[Answered]) -> dict[str, float]:
        label_NK, output_NK = self._sides(answers)
        areas = (
            {name: auroc(label_NK[:, k], output_NK[:, k]) for k, name in enumerate(self.outcomes)}
            if len(label_NK)
            else {}
        )
        known = {f"auroc_{name}": area for name, area in areas.items() if area is not None}
        return {**known, **({"auroc": float(np.mean(list(known.values())))} if known else {})}


class ClassesTask(NightTask):
    """One of several classes.

    Attributes:
        classes: Their codes, rising; found in the training nights.
    """

    classes: tuple[float, ...] = ()

    @property
    def n_outputs(self) -> int:
        return max(2, len(self.classes))

    @abstractmethod
    def code(self, row: ManifestRow) -> float | None:
        """As the table has it; None where unknown."""

    def values(self, row: ManifestRow) -> NDArray[np.float32]:
        code = self.code(row)
        known = code is not None and (not self.classes or code in self.classes)
        place = self.classes.index(code) if known and self.classes and code is not None else 0.0
        return np.array([place if known else np.nan], dtype=np.float32)

    def prepared(self, scorings: Sequence[Scoring]) -> Self:
        codes = {code for scoring in scorings if (code := self.code(scoring.row)) is not None}
        return super(ClassesTask, self.model_copy(update={"classes": tuple(sorted(codes))})).prepared(scorings)

    def constant_loss(self, labels: Sequence[Floats]) -> float:
        known = np.concatenate(labels)
        known = known[np.isfinite(known)].astype(int)
        return entropy(np.bincount(known, minlength=self.n_outputs) / max(len(known), 1))

    def loss(self, output: Tensor, label: Tensor, readable_BL: Tensor) -> Tensor:
        return masked_cross_entropy(output[:, None], label, readable_BL.any(dim=1, keepdim=True))

    def probabilities(self, output: Tensor) -> Tensor:
        return (output.float() / self.temperature).softmax(dim=-1)

    def fitted(self, answers: Sequence[Answered]) -> Self:
        label_N1, output_NC = self._sides(answers)
        known = np.isfinite(label_N1[:, 0])
        if known.sum() < _FEWEST_TO_FIT:
            return self
        temperature = fitted_temperature(label_N1[known, 0], output_NC[known])
        return self.model_copy(update={"temperature": temperature or 1.0})

    def scores(self, answers: Sequence[Answered]) -> dict[str, float]:
        label_N1, output_NC = self._sides(answers)
        if not len(label_N1):
            return {}
        found = agreement(label_N1[:, 0], output_NC.argmax(axis=1).astype(float), self.n_outputs)
        numbers = {"accuracy": found.accuracy, "kappa": found.kappa}
        return {name: value for name, value in numbers.items() if value is not None}
