"""Age as the night shows it."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from sleep2vec.store.manifest import ManifestRow
from sleep2vec.tasks.nights import NumberTask


class Age(NumberTask):
    """Years, at the night."""

    title: ClassVar[str] = "age"

    name: str = "age"
    unit: str = "years"

    def values(self, row: ManifestRow) -> NDArray[np.float32]:
        return np.array([np.nan if row.age_years is None else row.age_years], dtype=np.float32)
