"""Leave-one-out contrast: each modality against what the others say together.

Dimension letters: M modalities, B windows, L tokens, D features.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from sleep2vec.objectives.dash_infonce import dash_infonce
from sleep2vec.objectives.temporal_negatives import TemporalNegatives


def leave_one_out(
    views: Sequence[Tensor],
    *,
    weights: Tensor | None = None,
    same_night: Tensor | None = None,
    temperature: float = 0.2,
    margin: float = 0.0,
    positive_margin: float = 0.0,
    valid: Sequence[Tensor] | None = None,
    temporal: TemporalNegatives | None = None,
    generator: torch.Generator | None = None,
    anchors: slice | None = None,
) -> Tensor:
    """Contrast each modality with the mean of the others' unit vectors; the mean over valid anchors of all modalities.

    A modality's token counts where it is valid and at least one other is; the mean is of the valid others alone. With
    two views this is `dash_infonce` of the two; without weights and margins, `infonce`.

    Args:
        views: M >= 2 of (B, L, D) or (B, D); need not be normalised.
        valid: (B, L) or (B,) bool for each view; None: all.
        weights, same_night, temperature, margin, positive_margin, temporal, generator, anchors: see `dash_infonce`.

    Returns:
        Scalar, at least float32. 0 (with a gradient of 0) when no token counts.

    Raises:
        ValueError: fewer than two views.

    References:
        Thapa et al., SleepFM (2024), arXiv:2405.17766; validity, weights and margins are this project's.
    """
    if len(views) < 2:
        raise ValueError(f"{len(views)} view given; leaving one out needs at least 2")
    views_MBLD = [view if view.dim() == 3 else view[:, None] for view in views]
    flags = [torch.ones_like(view[..., 0], dtype=torch.bool) for view in views_MBLD] if valid is None else valid
    valid_MBL = [flag if flag.dim() == 2 else flag[:, None] for flag in flags]
    units_MBLD = [_unit(view_BLD, valid_BL) for view_BLD, valid_BL in zip(views_MBLD, valid_MBL, strict=True)]
    terms = []
    for left_out, (view_BLD, valid_BL) in enumerate(zip(views_MBLD, valid_MBL, strict=True)):
        others = [m for m in range(len(views)) if m != left_out]
        # The sum in place of the mean: the objective reads directions alone.
        others_BLD = torch.stack([units_MBLD[m] for m in others]).sum(dim=0)
        counted_BL = valid_BL & torch.stack([valid_MBL[m] for m in others]).any(dim=0)
        loss = dash_infonce(
            view_BLD,
            others_BLD,
            weights=weights,
            same_night=same_night,
            temperature=temperature,
            margin=margin,
            positive_margin=positive_margin,
            valid=counted_BL,
            temporal=temporal,
            generator=generator,
            anchors=anchors,
        )
        terms.append((loss, counted_BL.sum()))
    losses_M, counts_M = (torch.stack(column) for column in zip(*terms, strict=True))
    return (losses_M * counts_M).sum() / counts_M.sum().clamp(min=1)


def _unit(view_BLD: Tensor, valid_BL: Tensor) -> Tensor:
    at_least_float32 = torch.promote_types(view_BLD.dtype, torch.float32)
    return F.normalize(torch.where(valid_BL[..., None], view_BLD, 0.0).to(at_least_float32), dim=-1)
