"""A task from a column of the metadata, by recipe alone.

The columns are the measures of a store's manifest (`vocabulary.subject.Subject.measures`), which hold what a cohort's
table says of its people and nights as numbers.
"""

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from sleep2vec.store.manifest import ManifestRow
from sleep2vec.tasks.nights import ClassesTask, NumberTask


class CustomConfig(BaseModel):
    """One of them, as a recipe says it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", description="key of its results")]
    column: Annotated[str, Field(min_length=1, description="a measure of the manifest, such as bmi")]
    kind: Literal["regression", "classification"]
    unit: str = ""

    def task(self) -> "CustomNumber | CustomClasses":
        if self.kind == "regression":
            return CustomNumber(name=self.name, column=self.column, unit=self.unit)
        return CustomClasses(name=self.name, column=self.column)


class CustomNumber(NumberTask):
    """A number of a column."""

    title: ClassVar[str] = "number of a column"

    column: str

    def values(self, row: ManifestRow) -> NDArray[np.float32]:
        return np.array([row.measures.get(self.column, np.nan)], dtype=np.float32)


class CustomClasses(ClassesTask):
    """The classes of a column."""

    title: ClassVar[str] = "classes of a column"

    column: str

    def code(self, row: ManifestRow) -> float | None:
        value: Any = row.measures.get(self.column)
        return None if value is None else float(value)
