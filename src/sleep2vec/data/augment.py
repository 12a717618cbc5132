"""Sensors that are missing, on purpose, so that one model learns to do without any of them.

Dimension letters: B windows, M modalities, L tokens.
"""

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor


class DropoutConfig(BaseModel):
    """How often training hides modalities and lets sensors fall off."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    subset_probability: Annotated[float, Field(ge=0, le=1, description="windows that keep only a random subset")] = 0.8
    fall_off_probability: Annotated[float, Field(ge=0, le=1, description="windows in which one sensor falls off")] = 0.3


def drop_modalities(
    valid_BML: Tensor, sensors_BM: Sequence[Sequence[str]], config: DropoutConfig, generator: torch.Generator
) -> Tensor:
    """Hide modalities of each window, and stretches of sensors.

    Of the modalities a window has, a number from one to all is drawn uniformly, then which: small subsets are as
    frequent as large ones. A sensor that falls off takes everything derived from it along, from a random token to
    the end or, as often, from the start to a random token. A window never loses its last valid modality.

    Args:
        valid_BML: (B, M, L) bool.
        sensors_BM: the sensor behind each modality.
        config: how often.
        generator: decides everything; on the CPU.

    Returns:
        (B, M, L) bool, never True where `valid_BML` is False.
    """
    B, _, L = valid_BML.shape
    kept_BML = valid_BML.clone()
    for b in range(B):
        present = torch.nonzero(valid_BML[b].any(dim=-1))[:, 0].tolist()
        if not present:
            continue
        if _chance(generator) < config.subset_probability:
            n_kept = int(torch.randint(1, len(present) + 1, (), generator=generator))
            order = torch.randperm(len(present), generator=generator).tolist()
            for place in order[n_kept:]:
                kept_BML[b, present[place]] = False
        if _chance(generator) < config.fall_off_probability:
            kept_BML[b] = _without_one_sensor(kept_BML[b], sensors_BM[b], L, generator)
    return kept_BML


def _without_one_sensor(
    valid_ML: Tensor, sensors_M: Sequence[str], n_tokens: int, generator: torch.Generator
) -> Tensor:
    present = [m for m in range(len(sensors_M)) if valid_ML[m].any()]
    sensors = sorted({sensors_M[m] for m in present})
    if len(sensors) < 2:
        return valid_ML
    fallen = sensors[int(torch.randint(len(sensors), (), generator=generator))]
    moment = int(torch.randint(n_tokens, (), generator=generator))
    stretch = slice(moment, None) if _chance(generator) < 0.5 else slice(None, moment)
    result_ML = valid_ML.clone()
    for m in present:
        if sensors_M[m] == fallen:
            result_ML[m, stretch] = False
    return result_ML


def _chance(generator: torch.Generator) -> float:
    return float(torch.rand((), generator=generator))
