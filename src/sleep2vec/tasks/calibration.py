"""What a model has to know of its data before it learns: the usual size of each feature."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from sleep2vec.data.window import View, Window, WindowReader
from sleep2vec.model.encoder import Encoder
from sleep2vec.model.fusion import Fusion
from sleep2vec.model.rhythms import RhythmPath, rhythms_of
from sleep2vec.model.seconds import SecondPath, seconds_of
from sleep2vec.vocabulary.modalities import TOKEN_SECONDS

MAX_NIGHTS = 32
WINDOW_TOKENS = 120


@torch.no_grad()
def calibrate(
    encoder: Encoder,
    reader: WindowReader,
    night_ids: Sequence[str],
    seed: int,
    modalities: Sequence[str] | None = None,
    *,
    also: Callable[[str, Tensor], None] | None = None,
) -> None:
    """Give tokenizers the centre and spread of its features over an hour of some training nights.

    Args:
        encoder: whose tokenizers to calibrate.
        reader, night_ids: where the training nights lie, and which they are.
        seed: draws the nights and hours.
        modalities: whose tokenizers; all by default.
        also: is given the same features: (modality, (N, F)).
    """
    for name, view in _hours(reader, night_ids, seed, encoder.config.modalities if modalities is None else modalities):
        valid_NS = view.values_BLS[view.valid_BL]
        if len(valid_NS) > 1:
            features_NF = valid_NS if view.are_features else encoder.front_end(name, valid_NS)
            encoder.tokenizer(name).calibrate(features_NF)
            if also is not None:
                also(name, features_NF)


@torch.no_grad()
def calibrate_fusion(
    fusion: Fusion, encoder: Encoder, reader: WindowReader, night_ids: Sequence[str], seed: int
) -> None:
    """Give the fusion what an encoder as it is tells of an hour of some training nights, scored or not."""
    encoder.eval()
    for name, view in _hours(reader, night_ids, seed, encoder.config.modalities):
        told_ND = encoder([(name, view)])[0].tokens_BLD[view.valid_BL]
        fusion.maps.calibrate(encoder.config.modalities.index(name), told_ND)


@torch.no_grad()
def calibrate_seconds(path: SecondPath, reader: WindowReader, night_ids: Sequence[str], seed: int) -> None:
    """Give the path of seconds the centre and spread of its features over an hour of some training nights."""
    for name, view in _hours(reader, night_ids, seed, path.modalities):
        valid_BS = view.valid_BL.repeat_interleave(TOKEN_SECONDS, dim=1)
        features_NF = seconds_of(name, view)[valid_BS]
        if len(features_NF) > 1:
            path.reader(name).calibrate(features_NF)


@torch.no_grad()
def calibrate_rhythms(
    path: RhythmPath, reader: WindowReader, night_ids: Sequence[str], seed: int, window_tokens: int
) -> None:
    """Give the path of rhythms the usual size of its measures, in windows as long as those it will learn from."""
    for name, view in _hours(reader, night_ids, seed, path.names, window_tokens):
        path.reader(name).calibrate(rhythms_of(name, view)[view.valid_BL])


def _hours(
    reader: WindowReader, night_ids: Sequence[str], seed: int, modalities: Sequence[str], n_tokens: int = WINDOW_TOKENS
) -> Iterator[tuple[str, View]]:
    """(modality, view of an hour, or of so many tokens, of each of some nights that hold it), on the CPU."""
    draw = np.random.default_rng([seed, 0xCA1])
    nights = [str(night_id) for night_id in draw.permutation(np.array(night_ids))]
    for name in modalities:
        holders = [night_id for night_id in nights if name in reader.store.row(night_id).signals][:MAX_NIGHTS]
        if not holders:
            continue
        rows = [reader.store.row(night_id) for night_id in holders]
        lengths = [min(n_tokens, row.n_tokens) for row in rows]
        windows = [
            Window(row.night_id, int(draw.integers(row.n_tokens - length + 1)), length)
            for row, length in zip(rows, lengths, strict=True)
        ]
        yield name, reader.view(windows, name, max(lengths)).to(torch.device("cpu"))
