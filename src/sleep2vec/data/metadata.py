"""What is known about the people of a batch, as numbers of which mostly equality counts."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
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


def metadata_of(rows: Sequence[ManifestRow]) -> Metadata:
    """Metadata of the nights that the windows of a batch came from."""
    return Metadata(
        age=torch.tensor([float("nan") if row.age_years is None else row.age_years for row in rows]).double(),
        sex=_codes([row.sex for row in rows]),
        site=_codes([None if row.site is None else f"{row.cohort}/{row.site}" for row in rows]),
        night=_codes([row.night_id for row in rows]),
        subject=_codes([row.person if row.subject_id is not None else None for row in rows]),
    )


def _codes(names: Sequence[str | None]) -> Tensor:
    code_of = {name: code for code, name in enumerate(sorted({name for name in names if name is not None}))}
    return torch.tensor([float("nan") if name is None else code_of[name] for name in names], dtype=torch.float64)
