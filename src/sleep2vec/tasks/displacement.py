"""Views that begin at different moments, so that their place in the window tells nothing.

A backbone knows how far a token is from the window's ends and from [CLS]. Two views of the same stretch share that
place, and against other moments of the same window (temporal negatives) it is all a model needs: nothing of the body.
Where each view begins somewhere else, equal places are different moments.

Dimension letters: B windows, L tokens.
"""

from dataclasses import dataclass, replace

import torch

from sleep2vec.data.pairs import PairBatch


@dataclass(frozen=True)
class Displaced:
    """A batch whose views begin at moments of their own.

    Attributes:
        batch: The views, equally long, each somewhere in the windows that were read.
        shared: For each view, the tokens that all views have seen, in the same order.
    """

    batch: PairBatch
    shared: tuple[slice, ...]


def displaced(batch: PairBatch, most_tokens: int, draw: torch.Generator) -> Displaced:
    """Cut every view out of its windows, `most_tokens` shorter, from a start between 0 and `most_tokens`.

    All windows of a view start alike, so that simultaneous tokens stay simultaneous. Of windows shorter than twice
    `most_tokens` at most half is given up. With 0 the batch comes back as it is, and nothing is drawn.
    """
    n_tokens = batch.first.valid_BL.shape[1]
    most = min(most_tokens, n_tokens // 2)
    if most == 0:
        return Displaced(batch, tuple(slice(None) for _ in batch.views))
    starts = torch.randint(most + 1, (len(batch.views),), generator=draw).tolist()
    length = n_tokens - most
    views = tuple(view.moments(start, length) for view, start in zip(batch.views, starts, strict=True))
    first, stop = max(starts), min(starts) + length
    return Displaced(replace(batch, views=views), tuple(slice(first - start, stop - start) for start in starts))
