"""Diagnoses: many questions with yes or no, of which a cohort's table may answer any."""

from collections.abc import Sequence
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from sleep2vec.data.scoring import Scoring
from sleep2vec.store.manifest import ManifestRow
from sleep2vec.tasks.nights import YesNoTask

PREFIX = "diagnosis."


class Diagnosis(YesNoTask):
    """Every ``diagnosis.X`` of the training nights, or of those the named ones."""

    title: ClassVar[str] = "diagnoses"

    name: str = "diagnosis"

    def values(self, row: ManifestRow) -> NDArray[np.float32]:
        # Before `prepared` has named them: is any known?
        names = self.outcomes or tuple(sorted(name.removeprefix(PREFIX) for name in diagnoses_of(row)))
        return np.array([row.measures.get(f"{PREFIX}{name}", np.nan) for name in names], dtype=np.float32)

    def prepared(self, scorings: Sequence[Scoring]) -> Self:
        found = {name.removeprefix(PREFIX) for scoring in scorings for name in diagnoses_of(scoring.row)}
        named = tuple(name for name in self.outcomes or sorted(found) if name in found)
        return super(Diagnosis, self.model_copy(update={"outcomes": named})).prepared(scorings)


def diagnoses_of(row: ManifestRow) -> list[str]:
    """Names of the measures that say whether somebody has a disease."""
    return [name for name in row.measures if name.startswith(PREFIX)]
