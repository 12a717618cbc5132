"""Every subset of the sensors, in one pass over the nights.

What each modality says alone is computed once; for each subset only the fusion, the context and the heads are. A night
counts for a subset where it has at least one of its modalities; where it lacks some, it is read from the others.

Letters: B windows, M modalities, L tokens, N nights, Q subsets.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from sleep2vec.data.nights import NightReader
from sleep2vec.metrics.agreement import Confusion, agreement_of, confusion_matrix
from sleep2vec.model.sleep_model import Answers, Features, SleepModel
from sleep2vec.tasks.finetuned import Finetuned
from sleep2vec.tasks.finetuning import NightSequence
from sleep2vec.vocabulary.stages import FIVE

SUBSETS_AT_ONCE = 8


@dataclass(frozen=True)
class SubsetKappa:
    """How well one subset stages sleep.

    Attributes:
        modalities: Of the subset.
        kappa: Five stages, over all epochs of all nights that were scored and could be read; None where undefined.
        n_epochs: How many those are.
    """

    modalities: tuple[str, ...]
    kappa: float | None
    n_epochs: int

    @property
    def name(self) -> str:
        return "+".join(self.modalities)


def all_subsets(modalities: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """All but the empty one, the smallest first: 511 of nine."""
    return tuple(subset for n in range(1, len(modalities) + 1) for subset in combinations(modalities, n))


@torch.no_grad()
def staged_subsets(
    model: Finetuned,
    reader: NightReader,
    night_ids: Sequence[str],
    subsets: Sequence[tuple[str, ...]] | None = None,
    watch: Callable[[int, int], None] | None = None,
) -> dict[tuple[str, ...], list[Confusion]]:
    """By subset, the confusion matrix of five stages of each night."""
    subsets = all_subsets(model.module.modalities) if subsets is None else subsets
    counts: dict[tuple[str, ...], list[Confusion]] = {subset: [] for subset in subsets}
    module = model.module.eval()
    for done, batch in enumerate(NightSequence(reader, night_ids), 1):
        features = module.features(batch.views, batch.seconds, batch.first_B)
        stages_L = reader.scorings.of(batch.night_ids[0]).stages_L
        for subset, predicted_L in _staged(module, features, subsets):
            n = min(len(stages_L), len(predicted_L))  # of longer nights the model sees the beginning
            counts[subset].append(confusion_matrix(stages_L[:n], predicted_L[:n], len(FIVE)))
        if watch is not None:
            watch(done, len(night_ids))
    return counts


def kappas(counts: Mapping[tuple[str, ...], Sequence[Confusion]]) -> list[SubsetKappa]:
    """Of each subset, over all nights together."""
    found = []
    for subset, nights in counts.items():
        total = np.sum(nights, axis=0) if nights else np.zeros((len(FIVE), len(FIVE)), dtype=np.int64)
        found.append(SubsetKappa(subset, agreement_of(total).kappa, int(total.sum())))
    return found


def answers_by_subset(
    module: SleepModel, features: Features, subsets: Sequence[tuple[str, ...]], tasks: Sequence[str] | None = None
) -> Iterator[tuple[Sequence[tuple[str, ...]], Answers]]:
    """Answers of one window (B = 1) for some subsets at a time, as a batch of as many; of all tasks, or some."""
    for first in range(0, len(subsets), SUBSETS_AT_ONCE):
        some = subsets[first : first + SUBSETS_AT_ONCE]
        kept_QM = torch.tensor([[name in subset for name in module.modalities] for subset in some])
        kept_QM = kept_QM.to(features.valid_BML.device)
        yield some, module.answer(features.expanded(len(some)).only(kept_QM[:, :, None]), tasks)


def _staged(
    module: SleepModel, features: Features, subsets: Sequence[tuple[str, ...]]
) -> Iterator[tuple[tuple[str, ...], np.ndarray]]:
    for some, answers in answers_by_subset(module, features, subsets, ("staging",)):
        predicted_QL: Tensor = answers.outputs["staging"].argmax(dim=-1).float()
        predicted_QL = predicted_QL.masked_fill(~answers.readable_BL, float("nan"))
        yield from zip(some, predicted_QL.cpu().numpy(), strict=True)
