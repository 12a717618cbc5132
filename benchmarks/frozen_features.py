"""What a frozen encoder, or the front end alone, says of the tokens of a store's nights.

Dimension letters: B windows, L tokens of a window, W windows of a night, N tokens that are kept, D features.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sleep2vec.data.window import View, Window, WindowReader
from sleep2vec.metrics.retrieval import chance_of_top1, top1_accuracy
from sleep2vec.model.checkpoint import load_config, load_weights, model_config
from sleep2vec.model.encoder import Encoder, ModelConfig
from sleep2vec.model.projection import Projection
from sleep2vec.recipes.schema import PretrainRecipe
from sleep2vec.store.manifest import ManifestRow
from sleep2vec.tasks.calibration import calibrate

Floats = NDArray[np.float32]
Representation = Callable[[str, View], Tensor]
"""(modality, view of (B, L)) -> (B, L, D)."""


@dataclass(frozen=True)
class Pretrained:
    """An encoder and its way into the alignment space; `random_model` makes one that never learned."""

    encoder: Encoder
    projection: nn.Module

    def features(self, modality: str, view: View) -> Tensor:
        return self.encoder([(modality, view)])[0].tokens_BLD

    def aligned(self, modality: str, view: View) -> Tensor:
        aligned_BLD: Tensor = self.projection(self.features(modality, view))
        return aligned_BLD


@dataclass(frozen=True)
class FrozenNight:
    """A night as a frozen model tells it.

    Attributes:
        row: Of the manifest.
        index_N: Which tokens of the night are kept.
        stages_N: Codes, NaN where unscored.
        tokens: By modality (N, D), 0 where invalid; only modalities that the night has.
        valid: By modality (N,).
        windows: By modality (W, D), the mean over all valid tokens of each window; NaN where none is.
    """

    row: ManifestRow
    index_N: NDArray[np.int64]
    stages_N: Floats
    tokens: dict[str, Floats]
    valid: dict[str, NDArray[np.bool_]]
    windows: dict[str, Floats]


def read_tokens(recipe: PretrainRecipe) -> int:
    """How long the views are that pretraining encodes: its windows, less what displacing them takes away."""
    return recipe.batches.window_tokens - recipe.alignment.displaced_tokens


def pretrained_model(folder: Path) -> Pretrained:
    """The encoder and projection that `sleep2vec pretrain` wrote into a folder."""
    config = model_config(folder, load_config(folder))
    weights = load_weights(folder)
    parts = {
        part: {key.removeprefix(part): w for key, w in weights.items() if key.startswith(part)}
        for part in ("encoder.", "projection.")
    }
    encoder = Encoder(config)
    encoder.load_state_dict(parts["encoder."])
    projection: nn.Module = nn.Identity()  # an objective that aligns nothing has none
    if parts["projection."]:
        projection = Projection(encoder.width, config.projection)
        projection.load_state_dict(parts["projection."])
    return Pretrained(encoder.eval(), projection.eval())


def random_model(config: ModelConfig, reader: WindowReader, night_ids: Sequence[str], seed: int) -> Pretrained:
    """An encoder that knows the usual size of each feature, as pretraining does at its first step, and nothing else."""
    torch.manual_seed(1_000 + seed)
    encoder = Encoder(config)
    calibrate(encoder, reader, night_ids, seed)
    return Pretrained(encoder.eval(), Projection(encoder.width, config.projection).eval())


def random_like(model: Pretrained, seed: int) -> Pretrained:
    """The same encoder before its first step: random weights, and the usual sizes that it was calibrated with."""
    config = model.encoder.config
    torch.manual_seed(1_000 + seed)
    encoder = Encoder(config)
    known = dict(model.encoder.named_buffers())
    for name, buffer in encoder.named_buffers():
        buffer.copy_(known[name])
    return Pretrained(encoder.eval(), Projection(encoder.width, config.projection).eval())


def front_end_of(encoder: Encoder) -> Representation:
    """The features before anything learned: (B, L, F)."""
    return lambda modality, view: view.values_BLS if view.are_features else encoder.front_end(modality, view.values_BLS)


def window_starts(n_tokens: int, window_tokens: int, n_windows: int | None = None) -> list[int]:
    """Where windows of a night begin: side by side, without the rest at the end; at most `n_windows`, evenly spread."""
    starts = np.arange(max(1, n_tokens // window_tokens)) * window_tokens
    if n_windows is not None and n_windows < len(starts):
        starts = starts[np.linspace(0, len(starts) - 1, n_windows).round().astype(int)]
    return [int(start) for start in starts]


def kept_tokens(n_tokens: int, window_tokens: int, n_windows: int | None = None, stride: int = 1) -> NDArray[np.int64]:
    """(N,) which tokens of a night `frozen_nights` keeps."""
    length = min(window_tokens, n_tokens)
    starts = window_starts(n_tokens, length, n_windows)
    return np.concatenate([np.arange(start, start + length) for start in starts])[::stride]


@torch.no_grad()
def frozen_nights(
    represent: Representation,
    reader: WindowReader,
    night_ids: Sequence[str],
    modalities: Sequence[str],
    window_tokens: int,
    *,
    n_windows: int | None = None,
    stride: int = 1,
) -> list[FrozenNight]:
    """Each night, read in windows of the length that pretraining had; every `stride`-th token is kept."""
    return [
        _frozen(represent, reader, reader.store.row(night_id), modalities, window_tokens, n_windows, stride)
        for night_id in night_ids
    ]


def _frozen(
    represent: Representation,
    reader: WindowReader,
    row: ManifestRow,
    modalities: Sequence[str],
    window_tokens: int,
    n_windows: int | None,
    stride: int,
) -> FrozenNight:
    length = min(window_tokens, row.n_tokens)
    windows = [Window(row.night_id, start, length) for start in window_starts(row.n_tokens, length, n_windows)]
    index_N = kept_tokens(row.n_tokens, length, n_windows, stride)
    tokens, valid, means = {}, {}, {}
    for modality in modalities:
        if modality not in row.signals:
            continue
        view = reader.view(windows, modality, length)
        valid_WL1 = view.valid_BL[..., None]
        told_WLD = torch.where(valid_WL1, represent(modality, view), 0.0)
        tokens[modality] = told_WLD.flatten(0, 1)[::stride].numpy()
        valid[modality] = view.valid_BL.flatten()[::stride].numpy()
        means[modality] = (told_WLD.sum(1) / valid_WL1.sum(1)).numpy()  # 0 / 0 is NaN, as it should be
    stages_L = reader.store.stages(row.night_id, 0, row.n_tokens)
    return FrozenNight(row, index_N, stages_L[index_N], tokens, valid, means)


@torch.no_grad()
def retrieval(
    model: Pretrained,
    reader: WindowReader,
    night_ids: Sequence[str],
    window_tokens: int,
    seed: int,
    touching: Sequence[str] | None = None,
) -> dict[str, float]:
    """How often a token of one modality finds its partner of another: among people, and among moments.

    One window a person, all of different people. ``people``: among the same moment of all windows, the own one.
    ``moments``: among the moments of its own window, the own one (also to be had by counting tokens from the
    window's edge, where pretraining cut both views alike). Both are means over pairs of modalities, with their chance;
    over those alone that hold one of `touching`, where that is given.
    """
    draw = np.random.default_rng([seed, 0x4E7])
    night_of = {reader.store.row(night_id).person: night_id for night_id in night_ids}
    rows = [row for row in map(reader.store.row, night_of.values()) if row.n_tokens >= window_tokens]
    windows = [
        Window(row.night_id, int(draw.integers(row.n_tokens - window_tokens + 1)), window_tokens) for row in rows
    ]
    told = {}
    for modality in model.encoder.config.modalities:
        view = reader.view(windows, modality, window_tokens)
        told[modality] = model.aligned(modality, view).numpy(), view.valid_BL.numpy()
    found: dict[str, list[float]] = {"people": [], "people chance": [], "moments": [], "moments chance": []}
    for (first_BLD, one_BL), (second_BLD, other_BL) in (
        (told[first], told[second])
        for first, second in combinations(told, 2)
        if touching is None or {first, second} & set(touching)
    ):
        valid_BL = one_BL & other_BL
        if not valid_BL.any():
            continue
        found["people"].append(top1_accuracy(first_BLD, second_BLD, valid_BL))
        found["people chance"].append(chance_of_top1(valid_BL))
        # The same with moments and windows exchanged.
        found["moments"].append(top1_accuracy(first_BLD.swapaxes(0, 1), second_BLD.swapaxes(0, 1), valid_BL.T))
        found["moments chance"].append(chance_of_top1(valid_BL.T))
    return {name: float(np.mean(values)) for name, values in found.items()} | {"people asked": float(len(rows))}
