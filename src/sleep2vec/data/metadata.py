"""What is known about the people of a batch, as numbers of which mostly equality counts.

Dimension letters: N nights, B windows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sleep2vec.store.manifest import ManifestRow


@dataclass(frozen=True)
class Metadata:
    """(B,) float64 each, NaN where unknown; codes of sex, site, night and subject are arbitrary."""

    age: Tensor
    sex: Tensor
    site: Tensor
    night: Tensor
    subject: Tensor

    def to(self, device: torch.device) -> "Metadata":
        return Metadata(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


class MetadataTable:
    """The same of many nights, so that a batch's takes no longer in a large store."""

    def __init__(self, rows: Sequence[ManifestRow]) -> None:
        ages = [row.age_years for row in rows]
        self._columns = (
            np.array([np.nan if age is None else age for age in ages], dtype=np.float64),
            codes([row.sex for row in rows]),
            codes([None if row.site is None else site_of(row) for row in rows]),
            codes([row.night_id for row in rows]),
            codes([row.person if row.subject_id is not None else None for row in rows]),
        )

    def of(self, nights_B: Sequence[int]) -> Metadata:
        """Of the nights at these places."""
        places_B = np.asarray(nights_B, dtype=np.int64)
        return Metadata(*(torch.from_numpy(column_N[places_B]) for column_N in self._columns))


def metadata_of(rows: Sequence[ManifestRow]) -> Metadata:
    """Metadata of the nights that the windows of a batch came from."""
    return MetadataTable(rows).of(range(len(rows)))


def site_of(row: ManifestRow) -> str:
    """Two cohorts may have given their sites the same name."""
    return f"{row.cohort}/{row.site}"


def codes(names: Sequence[str | None]) -> NDArray[np.float64]:
    """A number for each name, NaN for None."""
    code_of = {name: code for code, name in enumerate(sorted({name for name in names if name is not None}))}
    return np.array([np.nan if name is None else code_of[name] for name in names], dtype=np.float64)
