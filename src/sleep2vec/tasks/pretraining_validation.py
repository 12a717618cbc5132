"""How well pretraining goes, judged on unseen people and by the same judges whatever the objective was.

Dimension letters: B windows, L tokens, N embeddings, D features.
"""

import logging

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sleep2vec.data.pairs import PairSource
from sleep2vec.metrics.collapse import Shape, diagnosed
from sleep2vec.metrics.embedding_geometry import alignment, effective_rank, spread, uniformity
from sleep2vec.metrics.retrieval import chance_of_top1, top1_accuracy
from sleep2vec.objectives import infonce

MOST_EMBEDDINGS = 2048
"""Of a modality for uniformity and rank, whose cost grows with their square: a store of any size is judged in bounded
time. Uniformity of 2,048 random embeddings is within 0.01 of that of 20,000."""
_LOGGER = logging.getLogger(__name__)
_MEANS = ("loss", "top1", "chance", "alignment", "uniformity", "rank", "spread")


@torch.no_grad()
def retrieval_by_pair(module: nn.Module, source: PairSource, temperature: float) -> dict[str, float]:
    """Numbers to log, all of projections of one batch a pair; a warning goes to the log where something collapsed.

    Of each pair, as ``validation/<number>_<first>_<second>``: the loss (plain InfoNCE), top-1 retrieval of simultaneous
    tokens where there are two candidates or more, its chance, and the alignment of partners. Of each modality, as
    ``validation/<number>_<modality>``: uniformity, spread and effective rank of its tokens. Of each of these numbers
    the mean, as ``validation/<number>``; and ``validation/collapse``, see `metrics.collapse`, with the ``most_rank``
    that any of them could have.
    """
    module.eval()
    device = next(module.parameters()).device
    numbers: dict[str, float] = {}
    shapes: dict[str, Shape] = {}
    for place, pair in enumerate(source.pairs):
        batch = source.batch(place, pair).to(device)
        (first_BLD, _), (second_BLD, _) = module(batch)
        valid_BL = batch.first.valid_BL & batch.second.valid_BL
        loss = float(infonce(first_BLD, second_BLD, temperature, valid=valid_BL))
        first, second, valid = (x.cpu().numpy() for x in (first_BLD.float(), second_BLD.float(), valid_BL))
        contested = valid & (valid.sum(axis=0) > 1)  # a single candidate is found by whoever is asked
        of_pair = {
            "loss": loss,
            "top1": top1_accuracy(first, second, contested),
            "chance": chance_of_top1(contested),
            "alignment": alignment(first[valid], second[valid]),
        }
        numbers |= {f"validation/{kind}_{'_'.join(pair)}": value for kind, value in of_pair.items()}
        for name, embedded_BLD, view in zip(pair, (first, second), (batch.first, batch.second), strict=True):
            if name not in shapes:
                shapes[name] = shape_of(embedded_BLD[view.valid_BL.cpu().numpy()])
                for kind in ("uniformity", "rank", "spread"):
                    numbers[f"validation/{kind}_{name}"] = getattr(shapes[name], kind)
    for kind in _MEANS:
        values = [value for name, value in numbers.items() if name.startswith(f"validation/{kind}_")]
        numbers[f"validation/{kind}"] = float(np.nanmean(values)) if not np.isnan(values).all() else float("nan")
    found = diagnosed(shapes, numbers["validation/top1"], numbers["validation/chance"])
    numbers["validation/collapse"] = float(found.collapse)
    numbers["validation/most_rank"] = float(min(shape.most_rank for shape in shapes.values()))
    if found.sentence is not None:
        _LOGGER.warning("%s.", found.sentence)
    return numbers


def shape_of(embedded_ND: NDArray[np.floating]) -> Shape:
    """How the embeddings of a modality lie, by at most `MOST_EMBEDDINGS` of them, evenly taken."""
    n = len(embedded_ND)
    x_ND = embedded_ND[np.linspace(0, n - 1, min(n, MOST_EMBEDDINGS)).astype(int)]
    return Shape(spread(x_ND), uniformity(x_ND), effective_rank(x_ND), max(0, min(len(x_ND) - 1, x_ND.shape[1])))
