"""DASH-InfoNCE: contrast of simultaneous signals against weighted negatives.

Dimension letters: B windows, L tokens, D features. `s` indexes a second token of the same window.
Matrices over B are [anchor, candidate]; the positive of anchor (i, t) is candidate (i, t).
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


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


def dash_infonce(
    first: Tensor,
    second: Tensor,
    *,
    weights: Tensor | None = None,
    same_night: Tensor | None = None,
    temperature: float = 0.2,
    margin: float = 0.10,
    positive_margin: float = 0.0,
    valid: Tensor | None = None,
    temporal: TemporalNegatives | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Contrast two modalities of the same windows; the mean over valid anchors and both directions.

    Args:
        first, second: (B, L, D) or (B, D) projections of the two modalities; need not be normalised.
        weights: (B, B) weight of each candidate as a negative of each anchor, see `negative_weights`; the
            diagonal is not read. None: all 1.
        same_night: (B, B), true or 1 where the pair comes from one person: its similarity is lowered by
            `margin`. None: no such pairs.
        temperature: divides the similarities.
        margin: subtracted from the similarity of `same_night` pairs.
        positive_margin: added to the similarity of the positive.
        valid: (B, L) bool, tokens that are good in *both* modalities; the others are neither anchors nor
            candidates. None: all.
        temporal: negatives from other moments of the same window; None: none.
        generator: draws the temporal negatives; it may live on the CPU while the tokens do not.

    Returns:
        Scalar, at least float32. 0 (with a gradient of 0) when no token is valid.

    References:
        sleep2vec, arXiv:2602.13857; temporal negatives and neutral metadata are this project's.
    """
    first_BLD, second_BLD = (_at_least_float32(x if x.dim() == 3 else x[:, None]) for x in (first, second))
    valid_BL = torch.ones(first_BLD.shape[:2], dtype=torch.bool, device=first.device) if valid is None else valid
    if valid_BL.dim() == 1:
        valid_BL = valid_BL[:, None]
    # Zeros in place of invalid tokens: a NaN there would survive any mask applied after the product.
    first_BLD, second_BLD = (
        F.normalize(torch.where(valid_BL[..., None], x_BLD, 0.0), dim=-1) for x_BLD in (first_BLD, second_BLD)
    )
    bias_BB = _bias(len(first_BLD), weights, same_night, temperature, margin, positive_margin, first_BLD)
    candidates_L1B = valid_BL.T[:, None, :]
    # Autocast would round the similarities to 16 bits: at temperature 0.2 an error of 0.02 in a logit.
    with torch.autocast(first.device.type, enabled=False):
        similarity_LBB = torch.einsum("itd,jtd->tij", first_BLD, second_BLD) / temperature
        extra_forward = extra_backward = None
        if temporal is not None:
            drawn_BLL = _draw(valid_BL, temporal, generator)
            log_weight_BL = _temporal_log_weight(weights, same_night, valid_BL, drawn_BLL, temporal, first_BLD)
            within_BLL = torch.einsum("itd,isd->its", first_BLD, second_BLD) / temperature
            extra_forward = _logsumexp_where(within_BLL, drawn_BLL) + log_weight_BL
            extra_backward = _logsumexp_where(within_BLL.mT, drawn_BLL) + log_weight_BL
        forward_BL = _anchor_losses(similarity_LBB, bias_BB, candidates_L1B, extra_forward)
        backward_BL = _anchor_losses(similarity_LBB.mT, bias_BB, candidates_L1B, extra_backward)
    both_BL = torch.where(valid_BL, forward_BL + backward_BL, 0.0)
    return both_BL.sum() / (2 * valid_BL.sum()).clamp(min=1)


def infonce(
    first: Tensor,
    second: Tensor,
    temperature: float = 0.2,
    *,
    positive_margin: float = 0.0,
    valid: Tensor | None = None,
) -> Tensor:
    """Symmetric InfoNCE: `dash_infonce` with equal weights and no margin for pairs of one person.

    Returns:
        Scalar; ``log B`` when the embeddings say nothing.

    References:
        van den Oord et al. (2018), arXiv:1807.03748.
    """
    return dash_infonce(
        first, second, temperature=temperature, margin=0.0, positive_margin=positive_margin, valid=valid
    )


def _at_least_float32(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _bias(
    n: int,
    weights_BB: Tensor | None,
    same_BB: Tensor | None,
    temperature: float,
    margin: float,
    positive_margin: float,
    like: Tensor,
) -> Tensor:
    """(B, B) added to the logits: log-weights and margins."""
    self_BB = torch.eye(n, dtype=torch.bool, device=like.device)
    bias_BB = torch.zeros(n, n, dtype=like.dtype, device=like.device)
    if weights_BB is not None:
        bias_BB = bias_BB + weights_BB.to(like).log()
    if same_BB is not None:
        bias_BB = bias_BB - margin / temperature * same_BB.to(like)
    return torch.where(self_BB, positive_margin / temperature, bias_BB)


def _anchor_losses(similarity_LBB: Tensor, bias_BB: Tensor, candidates_L1B: Tensor, extra_BL: Tensor | None) -> Tensor:
    """(B, L) losses of one direction; anchors are rows."""
    logits_LBB = similarity_LBB + bias_BB
    positive_BL = logits_LBB.diagonal(dim1=1, dim2=2).T
    # The anchor itself stays in, also where it is invalid, so that no row is empty: such a row is not averaged.
    self_BB = torch.eye(len(bias_BB), dtype=torch.bool, device=bias_BB.device)
    total_BL = _logsumexp_where(logits_LBB, candidates_L1B | self_BB).T
    if extra_BL is not None:
        total_BL = torch.logaddexp(total_BL, extra_BL)
    return total_BL - positive_BL


def _logsumexp_where(logits: Tensor, kept: Tensor) -> Tensor:
    # A very negative number, not -inf: a row with nothing kept has then a finite value and no NaN gradient.
    return torch.where(kept, logits, torch.finfo(logits.dtype).min / 4).logsumexp(dim=-1)


def _draw(valid_BL: Tensor, temporal: TemporalNegatives, generator: torch.Generator | None) -> Tensor:
    """(B, L, L) bool, the moments drawn as negatives of each anchor: valid, and not too near."""
    B, L = valid_BL.shape
    position_L = torch.arange(L, device=valid_BL.device)
    far_LL = (position_L[:, None] - position_L[None, :]).abs() > temporal.exclusion_tokens
    allowed_BLL = far_LL & valid_BL[:, None, :]
    if temporal.n_drawn >= L:
        return allowed_BLL
    # On the generator's device: torch refuses a CPU generator for numbers on a GPU.
    device = valid_BL.device if generator is None else generator.device
    lottery_BLL = torch.rand(B, L, L, generator=generator, device=device).to(valid_BL.device)
    lottery_BLL = lottery_BLL.masked_fill(~allowed_BLL, -1.0)
    winners_BLN = lottery_BLL.topk(temporal.n_drawn, dim=-1).indices
    return torch.zeros_like(allowed_BLL).scatter(-1, winners_BLN, True) & allowed_BLL


def _temporal_log_weight(
    weights_BB: Tensor | None,
    same_BB: Tensor | None,
    valid_BL: Tensor,
    drawn_BLL: Tensor,
    temporal: TemporalNegatives,
    like: Tensor,
) -> Tensor:
    """(B, L) log-weight of one temporal negative, so that all drawn together weigh as `share` says."""
    n = len(valid_BL)
    others_BB = ~torch.eye(n, dtype=torch.bool, device=like.device)
    if same_BB is not None:
        others_BB = others_BB & ~same_BB.bool()
    weight_BB = torch.ones(n, n, dtype=like.dtype, device=like.device) if weights_BB is None else weights_BB.to(like)
    others_total_BL = (weight_BB * others_BB) @ valid_BL.to(like)
    tiny = torch.finfo(like.dtype).tiny  # no other people in the batch: the temporal negatives weigh nothing either
    return (temporal.share * others_total_BL / drawn_BLL.sum(dim=-1).clamp(min=1)).clamp(min=tiny).log()
