"""How well pretraining goes, judged on unseen people and by the same judges whatever the objective was.

Dimension letters: B windows, L tokens, D features.
"""

import numpy as np
import torch
from torch import nn

from sleep2vec.data.pairs import PairSource
from sleep2vec.metrics.retrieval import top1_accuracy
from sleep2vec.objectives import infonce


@torch.no_grad()
def retrieval_by_pair(module: nn.Module, source: PairSource, temperature: float) -> dict[str, float]:
    """Plain InfoNCE and top-1 retrieval of simultaneous tokens for every pair of modalities, on unseen people.

    The judge is the same whatever the training objective was, so that runs compare.
    """
    module.eval()
    device = next(module.parameters()).device
    numbers = {}
    for place, pair in enumerate(source.pairs):
        batch = source.batch(place, pair).to(device)
        (first_BLD, _), (second_BLD, _) = module(batch)
        valid_BL = batch.first.valid_BL & batch.second.valid_BL
        name = "_".join(pair)
        numbers[f"validation/loss_{name}"] = float(infonce(first_BLD, second_BLD, temperature, valid=valid_BL))
        first, second, valid = (x.cpu().numpy() for x in (first_BLD.float(), second_BLD.float(), valid_BL))
        numbers[f"validation/top1_{name}"] = top1_accuracy(first, second, valid)
    for kind in ("loss", "top1"):
        values = [value for name, value in numbers.items() if name.startswith(f"validation/{kind}_")]
        numbers[f"validation/{kind}"] = float(np.nanmean(values)) if not np.isnan(values).all() else float("nan")
    return numbers
