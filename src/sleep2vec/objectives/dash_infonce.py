"""DASH-InfoNCE: contrast of simultaneous signals against weighted negatives.

Dimension letters: B windows, L tokens, D features. Matrices over B are [anchor, candidate]; the positive of anchor
(i, t) is candidate (i, t).
"""

import torch
from torch import Tensor

from sleep2vec.objectives.contrast import CHUNK_ELEMENTS, Terms, WithinWindow, contrast
from sleep2vec.objectives.temporal_negatives import TemporalNegatives, draw_moments, log_weight_of_moments


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
    anchors: slice | None = None,
    chunk_elements: int | None = None,
) -> Tensor:
    """Contrast two modalities of the same windows; the mean over valid anchors and both directions.

    Fast and small, and differentiable once: the gradients are computed along with the loss, see `contrast`.

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
        anchors: windows whose tokens are anchors; all are candidates. The sum of their losses is still divided by
            the number of valid tokens of *all* windows, so that the losses of the shares of a batch add up to its
            loss. None: all.
        chunk_elements: similarities held in memory at a time; None: what suits the device.

    Returns:
        Scalar, at least float32. 0 (with a gradient of 0) when no token is valid.

    References:
        sleep2vec, arXiv:2602.13857; temporal negatives and neutral metadata are this project's.
    """
    first_BLD, second_BLD = (x if x.dim() == 3 else x[:, None] for x in (first, second))
    valid_BL = torch.ones(first_BLD.shape[:2], dtype=torch.bool, device=first.device) if valid is None else valid
    valid_BL = valid_BL if valid_BL.dim() == 2 else valid_BL[:, None]
    place = slice(*(anchors or slice(None)).indices(len(first_BLD))[:2])
    # Autocast would round weights and similarities to 16 bits: at temperature 0.2 an error of 0.02 in a logit.
    with torch.autocast(first.device.type, enabled=False):
        like = torch.empty(0, device=first.device, dtype=torch.promote_types(first.dtype, torch.float32))
        self_BB = torch.eye(len(first_BLD), dtype=torch.bool, device=first.device)
        weight_BB = torch.ones_like(self_BB, dtype=like.dtype) if weights is None else weights.to(like)
        same_BB = torch.zeros_like(self_BB, dtype=like.dtype) if same_night is None else same_night.to(like)
        log_weight_BB = weight_BB.log() - margin / temperature * same_BB
        log_weight_BB = log_weight_BB.masked_fill(self_BB, positive_margin / temperature)
        within = None
        if temporal is not None:
            drawn_ALL = draw_moments(valid_BL, temporal, generator, place)
            others_BB = weight_BB * ~(self_BB | same_BB.bool())
            within = WithinWindow(drawn_ALL, log_weight_of_moments(others_BB, valid_BL, drawn_ALL, temporal, place))
        chunk_elements = chunk_elements or CHUNK_ELEMENTS.get(first.device.type, CHUNK_ELEMENTS["cuda"])
        terms = Terms(log_weight_BB, valid_BL, temperature, place, within, chunk_elements)
        return contrast(first_BLD, second_BLD, terms)


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
