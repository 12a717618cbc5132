"""The contrast itself: its value and its gradients in one pass over small pieces of the similarities.

What autograd would keep (logits, log-softmax and masks, L x B x B each, for either direction) is never built. A piece
of similarities is made once, serves both directions (the second is its transpose), and leaves behind its part of the
loss and of the gradients of the embeddings, which is all that is kept.

Nothing is masked by -inf: exp of numbers that underflow costs this CPU ten times exp of others, so what does not count
is multiplied by 0 afterwards.

Dimension letters: B windows, A of them whose tokens are anchors, L tokens, D features. Matrices over B are
[anchor, candidate]; those over L twice are [moment in the first view, moment in the second].
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK_ELEMENTS = {"cpu": 2**19, "cuda": 2**25}
"""Similarities made at a time: on a CPU so few that they stay in the cache (320 windows: 5 tokens, 2 MB)."""

SAFE_EXPONENT = 40.0
"""Up to here exp needs no maximum taken off first: e^-40 and sums of e^40 are well inside float32's e^-87 to e^88."""


@dataclass(frozen=True)
class WithinWindow:
    """Moments of the anchor's own window as further negatives.

    Attributes:
        drawn_ALL: bool, [window, anchor's moment, candidate's moment].
        log_weight_AL: of each one drawn.
    """

    drawn_ALL: Tensor
    log_weight_AL: Tensor


@dataclass(frozen=True)
class Terms:
    """What a contrast is made of, beside the embeddings.

    Attributes:
        log_weight_BB: Added to the logits: log-weights and margins; on the diagonal the positive's margin.
        valid_BL: Tokens that are anchors and candidates.
        temperature: Divides the similarities.
        anchors: Windows whose losses are summed: all, or the share of one process.
        within: See `WithinWindow`; None: no such negatives.
        chunk_elements: Similarities made at a time.
    """

    log_weight_BB: Tensor
    valid_BL: Tensor
    temperature: float
    anchors: slice
    within: WithinWindow | None
    chunk_elements: int

    @property
    def all_are_anchors(self) -> bool:
        return self.anchors == slice(0, len(self.valid_BL))

    def exponents_are_safe(self) -> bool:
        largest = self.log_weight_BB.diagonal().abs().amax() if len(self.valid_BL) else 0.0
        return 1 / self.temperature + float(largest) <= SAFE_EXPONENT


def contrast(first_BLD: Tensor, second_BLD: Tensor, terms: Terms) -> Tensor:
    """Sum of the losses of the anchors in both directions, over twice the number of valid tokens of *all* windows.

    Args:
        first_BLD, second_BLD: embeddings; normalised here.
        terms: see `Terms`. The caller switches autocast off.

    Returns:
        Scalar of the dtype of ``terms.log_weight_BB``, in which everything is computed.
    """
    with_gradient = torch.is_grad_enabled() and (first_BLD.requires_grad or second_BLD.requires_grad)
    loss: Tensor = _Contrast.apply(first_BLD, second_BLD, terms, with_gradient)
    return loss


class _Contrast(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, first_BLD: Tensor, second_BLD: Tensor, terms: Terms, with_gradient: bool) -> Tensor:
        views = tuple(_View(x_BLD, terms, with_gradient) for x_BLD in (first_BLD, second_BLD))
        loss = _Pass(views[0], views[1], terms).run()
        if with_gradient:
            ctx.save_for_backward(*(view.gradient_BLD for view in views))
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        first_BLD, second_BLD = ctx.saved_tensors
        return first_BLD * gradient, second_BLD * gradient, None, None


class _View:
    """One view's embeddings, read piece by piece as unit vectors, and the gradient that gathers beside them."""

    def __init__(self, tokens_BLD: Tensor, terms: Terms, with_gradient: bool) -> None:
        self.tokens_BLD, self.valid_BL, self.dtype = tokens_BLD, terms.valid_BL, terms.log_weight_BB.dtype
        self.inverse_norm_BL = torch.ones_like(self.valid_BL, dtype=self.dtype)
        for windows in pieces(len(tokens_BLD), terms.chunk_elements // max(1, tokens_BLD[0].numel())):
            norm_BL = self.unit(windows).norm(dim=-1)
            # A vector of length zero has no direction: it stays zero and gets no gradient.
            self.inverse_norm_BL[windows] = torch.where(norm_BL > 1e-12, 1 / norm_BL, 0.0)
        self.gradient_BLD = torch.zeros_like(tokens_BLD, dtype=self.dtype) if with_gradient else None

    def unit(self, windows: slice = slice(None), tokens: slice = slice(None)) -> Tensor:
        """Unit vectors, (windows, tokens, D); zeros in place of invalid tokens: a NaN would survive any later mask."""
        place = (windows, tokens)
        part_BLD = torch.where(self.valid_BL[place][..., None], self.tokens_BLD[place], 0.0).to(self.dtype)
        return part_BLD.mul_(self.inverse_norm_BL[place][..., None])

    def unit_by_token(self, tokens: slice) -> Tensor:
        """(tokens, B, D), contiguous."""
        return self.unit(tokens=tokens).transpose(0, 1).contiguous()

    def turn_gradient(self, windows: slice) -> None:
        """From the gradient of the unit vectors to that of the embeddings: without what would change their length."""
        assert self.gradient_BLD is not None
        unit_BLD, gradient_BLD = self.unit(windows), self.gradient_BLD[windows]
        along_BL1 = (unit_BLD * gradient_BLD).sum(dim=-1, keepdim=True)
        gradient_BLD.addcmul_(unit_BLD, along_BL1, value=-1).mul_(self.inverse_norm_BL[windows][..., None])


class _Pass:
    """One evaluation of a contrast."""

    def __init__(self, first: _View, second: _View, terms: Terms) -> None:
        self.first, self.second, self.terms = first, second, terms
        n_windows, n_tokens = terms.valid_BL.shape
        self.valid_AL = terms.valid_BL[terms.anchors]
        self.scale = 0.5 / terms.valid_BL.sum().clamp(min=1).to(first.dtype)
        self.some_invalid = not bool(terms.valid_BL.all())
        self.with_gradient = first.gradient_BLD is not None
        # By direction, the logarithm of what stands below the fraction, +inf where the token is no anchor, ...
        self.log_total_2AL = torch.full_like(first.inverse_norm_BL[terms.anchors], torch.inf).repeat(2, 1, 1)
        # ... and what the moments of the anchor's own window give to it.
        self.log_within_2AL: Tensor | None = None
        self.safe = terms.exponents_are_safe()
        width = max(n_tokens, first.tokens_BLD.shape[-1])
        self.tokens_at_once = max(1, terms.chunk_elements // max(1, n_windows * len(self.valid_AL)))
        self.windows_at_once = max(1, terms.chunk_elements // max(1, n_tokens * width))

    def run(self) -> Tensor:
        """The loss; the gradients are left in the views."""
        n_windows, n_tokens = self.terms.valid_BL.shape
        losses_AL = torch.zeros_like(self.log_total_2AL[0])
        if self.terms.within is not None:
            self.log_within_2AL = torch.empty_like(self.log_total_2AL)
            for windows in pieces(len(self.valid_AL), self.windows_at_once):
                self.weigh_own_moments(self.terms.within, windows)
        if self.terms.all_are_anchors and self.safe:
            weight_BB = self.terms.log_weight_BB.exp()
            for tokens in pieces(n_tokens, self.tokens_at_once):
                losses_AL[:, tokens] += self.both_directions(tokens, weight_BB, weight_BB.T.contiguous())
        else:
            for tokens in pieces(n_tokens, self.tokens_at_once):
                for direction in (0, 1):
                    losses_AL[:, tokens] += self.one_direction(direction, tokens)
        if self.with_gradient:
            if self.terms.within is not None:
                for windows in pieces(len(self.valid_AL), self.windows_at_once):
                    self.pull_own_moments(self.terms.within, windows)
            for view in (self.first, self.second):
                for windows in pieces(n_windows, self.windows_at_once):
                    view.turn_gradient(windows)
        return losses_AL.sum() * self.scale

    def both_directions(self, tokens: slice, weight_BB: Tensor, weight_of_transpose_BB: Tensor) -> Tensor:
        """(B, tokens) losses of both directions from one matrix of similarities a token."""
        first_LBD, second_LBD = self.first.unit_by_token(tokens), self.second.unit_by_token(tokens)
        valid_LB = self.terms.valid_BL[:, tokens].T
        backward_LBB = torch.bmm(first_LBD / self.terms.temperature, second_LBD.mT)
        positive_LB = backward_LBB.diagonal(dim1=1, dim2=2) + self.terms.log_weight_BB.diagonal()
        backward_LBB.exp_()
        if self.some_invalid:
            backward_LBB.mul_(valid_LB[:, :, None]).mul_(valid_LB[:, None, :])
        forward_LBB = backward_LBB * weight_BB
        backward_LBB.mul_(weight_of_transpose_BB)
        total_2LB = torch.stack((forward_LBB.sum(dim=-1), backward_LBB.sum(dim=-2)))
        if self.log_within_2AL is not None:
            total_2LB += self.log_within_2AL[..., tokens].mT.exp()
        log_total_2LB = torch.where(valid_LB, total_2LB.log(), torch.inf)
        self.log_total_2AL[..., tokens] = log_total_2LB.mT
        if self.with_gradient:
            share_2LB = torch.where(valid_LB, self.scale / self.terms.temperature / total_2LB, 0.0)
            pull_LBB = forward_LBB.mul_(share_2LB[0, :, :, None]).addcmul_(backward_LBB, share_2LB[1, :, None, :])
            pull_LBB.diagonal(dim1=1, dim2=2).sub_(valid_LB * (2 * self.scale / self.terms.temperature))
            assert self.first.gradient_BLD is not None
            assert self.second.gradient_BLD is not None
            self.first.gradient_BLD[:, tokens] += torch.bmm(pull_LBB, second_LBD).transpose(0, 1)
            self.second.gradient_BLD[:, tokens] += torch.bmm(pull_LBB.mT, first_LBD).transpose(0, 1)
        return torch.where(valid_LB, log_total_2LB.sum(dim=0) - 2 * positive_LB, 0.0).T

    def one_direction(self, direction: int, tokens: slice) -> Tensor:
        """(A, tokens) losses of one direction, of some windows' anchors or at temperatures that need a maximum."""
        anchor, candidate = (self.first, self.second) if direction == 0 else (self.second, self.first)
        rows, temperature = self.terms.anchors, self.terms.temperature
        valid_LB = self.terms.valid_BL[:, tokens].T
        valid_LA = valid_LB[:, rows]
        anchor_LAD, candidate_LBD = anchor.unit_by_token(tokens)[:, rows], candidate.unit_by_token(tokens)
        logits_LAB = torch.bmm(anchor_LAD / temperature, candidate_LBD.mT).add_(self.terms.log_weight_BB[rows])
        positive_LA = logits_LAB.diagonal(offset=rows.start, dim1=1, dim2=2).clone()
        log_sum_LA = self.exponentiate(logits_LAB, valid_LB[:, None, :])
        log_total_LA = log_sum_LA
        if self.log_within_2AL is not None:
            log_total_LA = torch.logaddexp(log_sum_LA, self.log_within_2AL[direction][:, tokens].T)
        log_total_LA = torch.where(valid_LA, log_total_LA, torch.inf)
        self.log_total_2AL[direction][:, tokens] = log_total_LA.T
        if self.with_gradient:
            share_LA = torch.where(valid_LA, (log_sum_LA - log_total_LA).exp(), 0.0)
            pull_LAB = logits_LAB.mul_((share_LA / logits_LAB.sum(dim=-1).clamp(min=1e-30))[..., None])
            pull_LAB.diagonal(offset=rows.start, dim1=1, dim2=2).sub_(valid_LA.to(pull_LAB))
            pull_LAB.mul_(self.scale / temperature)
            assert anchor.gradient_BLD is not None
            assert candidate.gradient_BLD is not None
            anchor.gradient_BLD[rows, tokens] += torch.bmm(pull_LAB, candidate_LBD).transpose(0, 1)
            candidate.gradient_BLD[:, tokens] += torch.bmm(pull_LAB.mT, anchor_LAD).transpose(0, 1)
        return torch.where(valid_LA, log_total_LA - positive_LA, 0.0).T

    def weigh_own_moments(self, within: WithinWindow, windows: slice) -> None:
        """The log of what the drawn moments of the own window add below the fraction, in either direction."""
        assert self.log_within_2AL is not None
        drawn_ALL = within.drawn_ALL[windows]
        for direction, logits_ALL in enumerate(self.own_moments(windows)[2:]):
            log_sum_AL = self.exponentiate(logits_ALL, drawn_ALL)
            self.log_within_2AL[direction, windows] = log_sum_AL + within.log_weight_AL[windows]

    def pull_own_moments(self, within: WithinWindow, windows: slice) -> None:
        """What the drawn moments add to the gradients."""
        first_ALD, second_ALD, *both = self.own_moments(windows)
        valid_AL1 = self.valid_AL[windows][..., None]
        for direction, logits_ALL in enumerate(both):
            part_AL1 = (within.log_weight_AL[windows] - self.log_total_2AL[direction, windows])[..., None]
            # Of what is drawn nothing exceeds 1; the rest may, and is multiplied by 0.
            logits_ALL.add_(torch.where(valid_AL1, part_AL1, 0.0)).clamp_(max=0).exp_()
            logits_ALL.mul_(within.drawn_ALL[windows]).mul_(valid_AL1 * (self.scale / self.terms.temperature))
        pull_ALL = both[0].add_(both[1].mT)
        place = self.among_all(windows)
        assert self.first.gradient_BLD is not None
        assert self.second.gradient_BLD is not None
        self.first.gradient_BLD[place] += torch.bmm(pull_ALL, second_ALD)
        self.second.gradient_BLD[place] += torch.bmm(pull_ALL.mT, first_ALD)

    def own_moments(self, windows: slice) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Unit vectors of some anchors' windows, and their logits in both directions, [.., anchor, moment]."""
        first_ALD, second_ALD = (view.unit(self.among_all(windows)) for view in (self.first, self.second))
        forward_ALL = torch.bmm(first_ALD / self.terms.temperature, second_ALD.mT)
        return first_ALD, second_ALD, forward_ALL, forward_ALL.mT.contiguous()

    def exponentiate(self, logits: Tensor, counted: Tensor) -> Tensor:
        """Turn logits into exponentials, 0 where not counted and up to a factor a row; return the log of their sums."""
        if self.safe:
            return logits.exp_().mul_(counted).sum(dim=-1).log()
        largest = torch.where(counted, logits, -torch.inf).amax(dim=-1, keepdim=True)
        largest = torch.where(largest > -torch.inf, largest, 0.0)  # a row of nothing
        logits.sub_(largest).clamp_(max=0).exp_().mul_(counted)
        return logits.sum(dim=-1).log() + largest[..., 0]

    def among_all(self, windows: slice) -> slice:
        """Where some of the anchors' windows stand among all."""
        return slice(self.terms.anchors.start + windows.start, self.terms.anchors.start + windows.stop)


def pieces(n: int, at_once: int) -> Iterator[slice]:
    """0 to n in slices of at most `at_once`, and at least 1."""
    for start in range(0, n, max(1, at_once)):
        yield slice(start, min(n, start + max(1, at_once)))
