"""How far a night is from those a model learned from: what is read there may be wrong with great confidence.

A night's character in a modality is the mean over its valid tokens of what the spectral tokenizer computes before
anything is learned: levels and powers of bands, in which a wrong unit, another electrode or another device shows. Its
distance is in standard deviations between training nights, as root mean square over the features.

Dimension letters: N nights, L tokens, F features.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from sleep2vec.data.window import View, Window, WindowReader
from sleep2vec.model.encoder import MAX_TOKENS
from sleep2vec.model.tokenizers import SpectralTokenizer
from sleep2vec.vocabulary.modalities import MODALITIES

MOST_NIGHTS = 256
_FEWEST_NIGHTS = 8
_SLACK = 1.25
_LEAST_SPREAD = 0.02  # in units of features, which are logarithms and scaled levels
_PREFIX = "familiarity."


@dataclass(frozen=True)
class Familiarity:
    """What is usual, by modality.

    Attributes:
        centre_F, spread_F: Of the characters of training nights.
        limit: The largest distance of a reference night, and a quarter more: beyond it a night is far.
    """

    centre_F: Mapping[str, Tensor]
    spread_F: Mapping[str, Tensor]
    limit: Mapping[str, float]

    def distance(self, modality: str, character_F: Tensor) -> float | None:
        """Of a night, in standard deviations between training nights; None where the modality was not judged."""
        if modality not in self.limit:
            return None
        away_F = (character_F - self.centre_F[modality]) / self.spread_F[modality]
        return float(away_F.square().mean().sqrt())

    def warnings(self, views: Mapping[str, View]) -> list[str]:
        """A sentence for each modality in which a night (B = 1) is far from what the model learned from."""
        found = []
        for name, view in views.items():
            if name not in self.limit or not bool(view.valid_BL.any()):
                continue
            distance = self.distance(name, character(name, view))
            if distance is not None and distance > self.limit[name]:
                found.append(
                    f"{name} is unlike the nights that the model learned from (at a distance of {distance:.1f}, usual "
                    f"up to {self.limit[name]:.1f}): check its unit, channel and filters, and doubt the answer"
                )
        return found

    def tensors(self) -> dict[str, Tensor]:
        """For a checkpoint; `from_tensors` reads them."""
        parts = {f"{_PREFIX}{name}.centre_F": value for name, value in self.centre_F.items()}
        parts |= {f"{_PREFIX}{name}.spread_F": value for name, value in self.spread_F.items()}
        limits = {name: torch.tensor(value, dtype=torch.float64) for name, value in self.limit.items()}
        return parts | {f"{_PREFIX}{name}.limit": value for name, value in limits.items()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> "Familiarity":
        parts: dict[str, dict[str, Any]] = defaultdict(dict)
        for name, value in tensors.items():
            if name.startswith(_PREFIX):
                modality, kind = name.removeprefix(_PREFIX).split(".")
                parts[kind][modality] = value
        limits = {name: float(value) for name, value in parts["limit"].items()}
        return cls(parts["centre_F"], parts["spread_F"], limits)


@torch.no_grad()
def character(modality: str, view: View) -> Tensor:
    """(F,) of one night or window; float32."""
    tokens = view.values_BLS[view.valid_BL]
    # A spectral tokenizer's own features are these.
    features_NF = tokens if view.are_features else _front_end(modality).front_end(tokens.float())
    return features_NF.float().mean(dim=0)


def familiarity(
    reader: WindowReader, modalities: Sequence[str], taught: Sequence[str], others: Sequence[str]
) -> Familiarity:
    """What is usual in training nights, and how far nights of other people lie from it.

    Args:
        reader: of samples, or of the features of a spectral tokenizer.
        modalities: which.
        taught: training nights; so many of them are read.
        others: validation nights; with fewer than eight the training nights say how far is far.
    """
    centres, spreads, limits = {}, {}, {}
    for name in modalities:
        taught_NF = _characters(reader, name, taught)
        if len(taught_NF) < _FEWEST_NIGHTS:
            continue
        centres[name] = taught_NF.mean(dim=0)
        spreads[name] = taught_NF.std(dim=0).clamp(min=_LEAST_SPREAD)
        others_NF = _characters(reader, name, others)
        judged_NF = others_NF if len(others_NF) >= _FEWEST_NIGHTS else taught_NF
        away_NF = (judged_NF - centres[name]) / spreads[name]
        limits[name] = _SLACK * float(away_NF.square().mean(dim=1).sqrt().max())
    return Familiarity(centres, spreads, limits)


def _characters(reader: WindowReader, modality: str, night_ids: Sequence[str]) -> Tensor:
    rows = [reader.store.row(night_id) for night_id in night_ids]
    holders = [row for row in rows if modality in row.signals][:MOST_NIGHTS]
    found = []
    for row in holders:
        n_tokens = min(row.n_tokens, MAX_TOKENS)
        view = reader.view([Window(row.night_id, 0, n_tokens)], modality, n_tokens)
        if bool(view.valid_BL.any()):
            found.append(character(modality, view.to(torch.device("cpu"))))
    return torch.stack(found) if found else torch.empty(0, 0)


@cache
def _front_end(modality: str) -> SpectralTokenizer:
    return SpectralTokenizer(MODALITIES[modality], 1, 0.0)
