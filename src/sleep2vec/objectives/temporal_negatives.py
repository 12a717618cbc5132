"""Other moments of the anchor's own window as negatives.

Dimension letters: B windows, A of them whose tokens are anchors, L tokens. Matrices over L are [anchor, moment].
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TemporalNegatives:
    """Other moments of the anchor's own window as negatives, so that recognising the person does not suffice.

    Attributes:
        n_drawn: How many are drawn for each anchor.
        exclusion_tokens: Moments this close to the anchor are spared (10 tokens are 5 min).
        share: Their total weight, as a multiple of the total weight of the other people's negatives.
    """

    n_drawn: int = 32
    exclusion_tokens: int = 10
    share: float = 1.0


def draw_moments(
    valid_BL: Tensor, temporal: TemporalNegatives, generator: torch.Generator | None, anchors: slice = slice(None)
) -> Tensor:
    """Draw moments for each anchor, uniformly without replacement among those that are valid and not too near.

    Args:
        valid_BL: (B, L) bool.
        temporal: how many, and how near is too near.
        generator: on any device; None: torch's own.
        anchors: windows to draw for. What is drawn for a window does not depend on which others are asked for, so
            that processes that share a batch draw what one process would.

    Returns:
        (A, L, L) bool.

    References:
        Selection sampling: Fan, Muller and Rezucha (1962); Knuth, TAOCP volume 2, 3.4.2, algorithm S. One pass over
        the moments for all anchors at once, where sorting a lottery row by row takes three times as long.
    """
    device = torch.device("cpu") if generator is None else generator.device
    seeds_B = torch.randint(2**62, (len(valid_BL),), generator=generator, device=device).tolist()
    valid_AL = valid_BL[anchors]
    n_tokens = valid_BL.shape[1]
    position_L = torch.arange(n_tokens, device=valid_BL.device)
    far_LL = (position_L[:, None] - position_L[None, :]).abs() > temporal.exclusion_tokens
    if temporal.n_drawn >= n_tokens:
        return far_LL & valid_AL[:, None, :]
    lottery_ALL = torch.empty(len(valid_AL), n_tokens, n_tokens)  # [window, moment, anchor]: what a step reads is dense
    of_window = torch.Generator()
    for lottery_LL, seed in zip(lottery_ALL, seeds_B[anchors], strict=True):
        lottery_LL.uniform_(generator=of_window.manual_seed(seed))
    lottery_ALL = lottery_ALL.to(valid_BL.device)
    left_AL = (valid_AL.float() @ far_LL.float()).contiguous()  # moments yet to be looked at
    wanted_AL = left_AL.clamp(max=temporal.n_drawn)
    drawn_ALL = torch.empty(lottery_ALL.shape, dtype=torch.bool, device=valid_BL.device)
    for moment in range(n_tokens):
        allowed_AL = far_LL[moment] & valid_AL[:, moment, None]
        drawn_AL = (lottery_ALL[:, moment] * left_AL < wanted_AL).logical_and_(allowed_AL)
        drawn_ALL[:, moment] = drawn_AL
        wanted_AL.sub_(drawn_AL.to(wanted_AL))
        left_AL.sub_(allowed_AL.to(left_AL))
    return drawn_ALL.mT


def log_weight_of_moments(
    others_BB: Tensor, valid_BL: Tensor, drawn_ALL: Tensor, temporal: TemporalNegatives, anchors: slice
) -> Tensor:
    """(A, L) log-weight of one drawn moment, so that all drawn together weigh `share` times the other people's.

    Args:
        others_BB: weight of each window as a negative of each other, 0 where both are of one person.
        valid_BL: tokens that are candidates.
        drawn_ALL, temporal, anchors: see `draw_moments`.
    """
    others_total_AL = others_BB[anchors] @ valid_BL.to(others_BB)
    tiny = torch.finfo(others_BB.dtype).tiny  # no other people in the batch: the moments weigh nothing either
    return (temporal.share * others_total_AL / drawn_ALL.sum(dim=-1).clamp(min=1)).clamp(min=tiny).log()
