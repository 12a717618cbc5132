"""What a fine-tuned model says of the tokens of a store's nights.

Dimension letters: B windows, L tokens, C stages.
"""

from collections.abc import Sequence

import torch

from frozen_features import Floats
from sleep2vec.data.window import Window, WindowReader
from sleep2vec.model.sleep_model import SleepModel


def tuning(steps: int, more: Sequence[str]) -> list[str]:
    """Settings of every fine-tuning of a study."""
    return [f"run.steps={steps}", f"run.validate_every={steps}", f"run.save_every={steps}", *more]


@torch.no_grad()
def staged(
    module: SleepModel, reader: WindowReader, night_id: str, modalities: Sequence[str], window_tokens: int
) -> Floats:
    """(L, C) probabilities of a night, read in windows side by side; NaN where nothing is valid.

    The reader gives samples where the model reads more of them than its tokens (rhythms).
    """
    n_tokens = reader.store.row(night_id).n_tokens
    windows = [
        Window(night_id, first, min(window_tokens, n_tokens - first)) for first in range(0, n_tokens, window_tokens)
    ]
    views = {name: reader.view(windows, name, window_tokens) for name in modalities}
    answer = module(views, first_B=torch.tensor([window.first for window in windows]))
    told_BLC = answer.outputs["staging"].softmax(dim=-1).masked_fill(~answer.readable_BL[..., None], float("nan"))
    told_LC: Floats = told_BLC.flatten(0, 1)[:n_tokens].numpy()
    return told_LC
