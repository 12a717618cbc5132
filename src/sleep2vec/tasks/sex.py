"""Sex as the night shows it."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from sleep2vec.store.manifest import ManifestRow
from sleep2vec.tasks.nights import YesNoTask


class Sex(YesNoTask):
    """Whether the person is male, as the cohort's table says."""

    title: ClassVar[str] = "sex"

    name: str = "sex"
    outcomes: tuple[str, ...] = ("male",)

    def values(self, row: ManifestRow) -> NDArray[np.float32]:
        return np.array([np.nan if row.sex is None else float(row.sex == "male")], dtype=np.float32)
