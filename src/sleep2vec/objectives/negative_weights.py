"""Weights of the negatives in DASH-InfoNCE: the more alike two people, the harder the negative counts.

Dimension letters: B windows of the batch. Matrices are [anchor, negative].
"""

from typing import Literal

import torch
from torch import Tensor

SameNight = Literal["margin", "suppress"]


def same_person(night_B: Tensor, subject_B: Tensor | None = None) -> Tensor:
    """(B, B) bool, True where two *different* windows come from one night, or from one person.

    Such pairs are physiologically close and may be false negatives. Without `subject_B` only windows of the
    same night count; NaN subjects are unknown and match nobody.
    """
    alike_BB = night_B[:, None] == night_B[None, :]
    if subject_B is not None:
        alike_BB = alike_BB | (subject_B[:, None] == subject_B[None, :])
    return alike_BB & ~torch.eye(len(night_B), dtype=torch.bool, device=night_B.device)


def negative_weights(
    age: Tensor,
    sex: Tensor,
    site: Tensor,
    night: Tensor,
    *,
    subject: Tensor | None = None,
    same_night: SameNight = "margin",
    age_scale_years: float = 20.0,
    other_sex: float = 0.8,
    same_site: float = 1.3,
    other_site: float = 0.8,
    floor: float = 1e-6,
) -> Tensor:
    """How much each window of a batch counts as a negative for each other one.

    The raw weight of a pair is ``exp(-|age difference| / age_scale_years)``, times `other_sex` where the sexes
    differ, times `same_site` or `other_site`, plus `floor`. Every row is scaled so that its negatives (another
    person's windows) average 1. A factor that is unknown for a pair is replaced by the row's mean of that factor
    over the known pairs, else 1: a person without metadata is neither favoured nor hidden.

    Args:
        age: (B,) years, NaN where unknown.
        sex: (B,) codes of which only equality counts, NaN where unknown.
        site: (B,) codes of which only equality counts, NaN where unknown.
        night: (B,) codes; equal for windows of one night.
        subject: (B,) codes; equal for windows of one person; NaN where unknown.
        same_night: what becomes of pairs of one person. ``"margin"``: weight 1, so that the loss's margin
            weakens them (the paper's formula). ``"suppress"``: raw weight `floor`, which all but removes them
            (the authors' code).
        age_scale_years, other_sex, same_site, other_site, floor: see above; the paper's values by default.

    Returns:
        (B, B) float64 weights, 1 on the diagonal. All 1 when nothing is known.

    References:
        sleep2vec, arXiv:2602.13857, section on DASH-InfoNCE.
    """
    if same_night not in ("margin", "suppress"):
        raise ValueError(f"same_night is {same_night!r}; choose 'margin' or 'suppress'")
    age_B, sex_B, site_B = (values.to(torch.float64) for values in (age, sex, site))
    close_BB = same_person(night, subject)
    self_BB = torch.eye(len(night), dtype=torch.bool, device=night.device)
    negative_BB = ~close_BB & ~self_BB

    age_factor_BB = torch.exp(-(age_B[:, None] - age_B[None, :]).abs() / age_scale_years)
    sex_factor_BB = _factor_of_equality(sex_B, 1.0, other_sex)
    site_factor_BB = _factor_of_equality(site_B, same_site, other_site)
    raw_BB = torch.full_like(age_factor_BB, 1.0)
    for factor_BB in (age_factor_BB, sex_factor_BB, site_factor_BB):
        raw_BB = raw_BB * _filled_with_row_mean(factor_BB, negative_BB)
    raw_BB = raw_BB + floor
    if same_night == "suppress":
        raw_BB = torch.where(close_BB, floor, raw_BB)

    n_negatives_B1 = negative_BB.sum(dim=1, keepdim=True)
    mean_B1 = (raw_BB * negative_BB).sum(dim=1, keepdim=True) / n_negatives_B1.clamp(min=1)
    weights_BB = raw_BB / mean_B1.clamp(min=floor)
    if same_night == "margin":
        weights_BB = torch.where(close_BB, 1.0, weights_BB)
    return torch.where(self_BB | (n_negatives_B1 == 0), 1.0, weights_BB)


def _factor_of_equality(codes_B: Tensor, same: float, other: float) -> Tensor:
    difference_BB = codes_B[:, None] - codes_B[None, :]
    # Not where(.., same, other): of two plain numbers torch makes float32, and 0.8 is then off by 1e-8.
    factor_BB = torch.full_like(difference_BB, other).masked_fill(difference_BB == 0, same)
    return torch.where(difference_BB.isnan(), torch.nan, factor_BB)


def _filled_with_row_mean(factor_BB: Tensor, negative_BB: Tensor) -> Tensor:
    known_BB = negative_BB & factor_BB.isfinite()
    n_known_B1 = known_BB.sum(dim=1, keepdim=True)
    total_B1 = torch.where(known_BB, factor_BB, 0.0).sum(dim=1, keepdim=True)
    mean_B1 = torch.where(n_known_B1 > 0, total_B1 / n_known_B1.clamp(min=1), 1.0)
    return torch.where(factor_BB.isfinite(), factor_BB, mean_B1)
