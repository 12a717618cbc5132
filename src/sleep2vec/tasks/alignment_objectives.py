"""What pretraining may minimise, one object an objective.

Where several processes share a batch, masks and draws are made for the whole of it and each takes its rows; see
`Gathering` for the rest.

Dimension letters: B windows of the whole batch, L tokens, D features, F features of a modality, N hidden tokens.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from types import MappingProxyType
from typing import Any, Protocol

import torch
from torch import Tensor

from sleep2vec.data.metadata import Metadata
from sleep2vec.data.pairs import PairBatch
from sleep2vec.model.encoder import Encoded
from sleep2vec.objectives import (
    Gathering,
    TemporalNegatives,
    dash_infonce,
    leave_one_out,
    negative_weights,
    reconstruction,
    same_person,
)
from sleep2vec.tasks.alignment import Aligner, AlignmentConfig, ObjectiveName
from sleep2vec.tasks.displacement import displaced

Parts = dict[str, Tensor]
"""``contrast`` and ``reconstruction``, as far as they are asked for, already weighted: their sum is minimised."""


class Objective(Protocol):
    """An objective of pretraining."""

    def loss(self, module: Aligner, batch: PairBatch, config: AlignmentConfig, draw: torch.Generator) -> Parts:
        """Mask, encode, compare. Over several processes, the mean of their parts is that of the whole batch."""


@dataclass(frozen=True)
class Views:
    """Projections of the whole batch, one of each a modality, and which windows of it are this process's.

    Attributes:
        restored: What reconstruction adds to the contrast, weighted; None where it is not asked for.
    """

    tokens_BLD: list[Tensor]
    windows_BD: list[Tensor]
    valid_BL: list[Tensor]
    gathering: Gathering
    restored: Tensor | None

    def parts(self, contrast: Tensor) -> Parts:
        """The contrast and what was restored, for the mean over processes."""
        found = {"contrast": contrast} | ({} if self.restored is None else {"reconstruction": self.restored})
        return {name: part * self.gathering.n_processes for name, part in found.items()}


class PairContrast:
    """Simultaneous tokens of two modalities against those of other windows; of more than two, every pair."""

    def __init__(self, terms: Callable[[AlignmentConfig, Metadata], Mapping[str, Any]], temporal: bool) -> None:
        self._terms, self._temporal = terms, temporal

    def loss(self, module: Aligner, batch: PairBatch, config: AlignmentConfig, draw: torch.Generator) -> Parts:
        views = _embedded(module, batch, config, draw)
        terms = {**self._terms(config, batch.metadata), "anchors": views.gathering.own}
        moments = _temporal(config) if self._temporal else None
        losses = []
        for one, other in combinations(range(len(batch.modalities)), 2):
            tokens_BLD, windows_BD = ((x[one], x[other]) for x in (views.tokens_BLD, views.windows_BD))
            valid_BL = views.valid_BL[one] & views.valid_BL[other]
            loss = dash_infonce(*tokens_BLD, valid=valid_BL, temporal=moments, generator=draw, **terms)
            if config.window_weight > 0:
                loss = loss + config.window_weight * dash_infonce(*windows_BD, valid=valid_BL.any(dim=1), **terms)
            losses.append(loss)
        return views.parts(torch.stack(losses).mean())


class LeaveOneOut:
    """Each modality against the mean of the others."""

    def loss(self, module: Aligner, batch: PairBatch, config: AlignmentConfig, draw: torch.Generator) -> Parts:
        views = _embedded(module, batch, config, draw)
        terms = {**_plain(config, batch.metadata), "anchors": views.gathering.own}
        loss = leave_one_out(views.tokens_BLD, valid=views.valid_BL, **terms)
        if config.window_weight > 0:
            whole_B = [valid_BL.any(dim=1) for valid_BL in views.valid_BL]
            loss = loss + config.window_weight * leave_one_out(views.windows_BD, valid=whole_B, **terms)
        return views.parts(loss)


class Reconstruction:
    """What the tokenizers read of hidden tokens, guessed from the rest of the same modality's window."""

    def loss(self, module: Aligner, batch: PairBatch, config: AlignmentConfig, draw: torch.Generator) -> Parts:
        gathering = _gathering(batch)
        batch = displaced(batch, config.displaced_tokens, draw).batch
        hidden = _hidden(batch, config.masked_share, draw)
        restored = _restored(module, batch, module.encoded(batch, hidden), hidden, gathering)
        return {"reconstruction": restored * gathering.n_processes}


def _embedded(module: Aligner, batch: PairBatch, config: AlignmentConfig, draw: torch.Generator) -> Views:
    """Displace and mask all views independently, encode, and gather of the moments they share what everybody has."""
    gathering = _gathering(batch)
    moved = displaced(batch, config.displaced_tokens, draw)
    hidden = _hidden(moved.batch, config.masked_share, draw)
    encoded = module.encoded(moved.batch, hidden)
    projected = [module.projected(view) for view in encoded]
    restored = None
    if config.reconstruction_weight > 0:
        restored = config.reconstruction_weight * _restored(module, moved.batch, encoded, hidden, gathering)
    return Views(
        [gathering.whole(tokens_BLD[:, place]) for (tokens_BLD, _), place in zip(projected, moved.shared, strict=True)],
        [gathering.whole(window_BD) for _, window_BD in projected],
        [gathering.whole(view.valid_BL[:, place]) for view, place in zip(moved.batch.views, moved.shared, strict=True)],
        gathering,
        restored,
    )


def _restored(
    module: Aligner, batch: PairBatch, encoded: Sequence[Encoded], hidden: Sequence[Tensor], gathering: Gathering
) -> Tensor:
    """How badly the decoders guess hidden tokens: this process's sum over the number of all processes together."""
    guesses, truths = [], []
    for name, view, seen, hidden_BL in zip(batch.modalities, batch.views, encoded, hidden, strict=True):
        values_NS = view.values_BLS[hidden_BL]
        features_NF = values_NS if view.are_features else module.encoder.front_end(name, values_NS)
        decoder = module.decoder(name)
        truths.append(decoder.standardised(features_NF))
        guesses.append(decoder(seen.tokens_BLD[hidden_BL]))
    n_hidden = gathering.total(torch.stack([hidden_BL.sum() for hidden_BL in hidden]).sum())
    return reconstruction(guesses, truths, n_hidden)


def _gathering(batch: PairBatch) -> Gathering:
    valid_BL = batch.first.valid_BL
    return Gathering(batch.rows, len(batch.metadata.night), valid_BL.shape[1], valid_BL.device)


def _hidden(batch: PairBatch, share: float, draw: torch.Generator) -> list[Tensor]:
    lotteries = [torch.rand(len(batch.metadata.night), view.valid_BL.shape[1], generator=draw) for view in batch.views]
    return [
        (lottery_BL[batch.rows] < share).to(view.valid_BL.device) & view.valid_BL
        for lottery_BL, view in zip(lotteries, batch.views, strict=True)
    ]


def _plain(config: AlignmentConfig, known: Metadata) -> dict[str, Any]:
    return {"temperature": config.temperature, "margin": 0.0, "positive_margin": config.positive_margin}


def _dash(config: AlignmentConfig, known: Metadata) -> dict[str, Any]:
    weights_BB = negative_weights(
        known.age,
        known.sex,
        known.site,
        known.night,
        subject=known.subject,
        same_night=config.same_night,
        age_scale_years=config.age_scale_years,
        other_sex=config.other_sex,
        same_site=config.same_site,
        other_site=config.other_site,
    )
    same_BB = same_person(known.night, known.subject)
    return {**_plain(config, known), "margin": config.margin, "weights": weights_BB, "same_night": same_BB}


def _temporal(config: AlignmentConfig) -> TemporalNegatives | None:
    chosen = config.temporal
    return TemporalNegatives(chosen.drawn, chosen.exclusion_tokens, chosen.share) if chosen.drawn > 0 else None


OBJECTIVES: MappingProxyType[ObjectiveName, Objective] = MappingProxyType(
    {
        "dash_infonce": PairContrast(_dash, temporal=True),
        "infonce": PairContrast(_plain, temporal=False),
        "leave_one_out": LeaveOneOut(),
        "reconstruction": Reconstruction(),
    }
)
