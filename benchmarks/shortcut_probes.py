"""What `shortcut.py` asks of a frozen representation, on people of seen sites (in) and of a site held out (out).

Dimension letters: B windows, D features.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from frozen_features import (
    Floats,
    FrozenNight,
    Pretrained,
    Representation,
    frozen_nights,
    kept_tokens,
    retrieval,
)
from linear_probes import Standard, auroc, balanced_accuracy, logistic, stage_counts, stage_reader
from sleep2vec.data.window import WindowReader
from sleep2vec.metrics.probes import reidentification
from sleep2vec.vocabulary.modalities import CORE
from study_figures import kappa_of

SENSOR_SETS = {"EEG": ("eeg",), "IBI + RESP": ("ibi", "resp"), "all nine": CORE}
SHORTCUT = "asthma"
"""A diagnosis that nothing in a night tells: only the site does, where the dial is up."""
NIGHT_PENALTY = 0.3
"""Of probes of windows and nights, of which there are fewer than features."""
_FEWEST_CASES = 5
_PROBE_TOKENS = 6000
_STRIDE = 4


@dataclass(frozen=True)
class Judges:
    """Night ids: who teaches the probes (pretraining's own people), who judges, and whose stages are known."""

    taught: Sequence[str]
    inside: Sequence[str]
    outside: Sequence[str]
    labelled: Sequence[str]


def measured(
    represent: Representation,
    model: Pretrained | None,
    reader: WindowReader,
    judges: Judges,
    modalities: Sequence[str],
    window_tokens: int,
    n_windows: int,
    seed: int,
) -> dict[str, float]:
    """Every measure by name; what cannot be asked (too few cases of a diagnosis, say) is left out.

    Args:
        represent: what is judged.
        model: where it has an alignment space, for retrieval.
        reader, judges: the nights.
        modalities, window_tokens: of pretraining.
        n_windows: of each night.
        seed: draws the halves of the held-out site and the windows of retrieval.
    """
    told = {
        side: frozen_nights(represent, reader, ids, modalities, window_tokens, n_windows=n_windows, stride=_STRIDE)
        for side, ids in (("taught", judges.taught), ("in", judges.inside), ("out", judges.outside))
    }
    numbers = site_numbers(told["taught"], told["in"], told["out"], modalities, seed)
    for side in ("in", "out"):
        numbers |= subject_numbers(told[side], modalities, side)
    tokens = sum(len(kept_tokens(reader.store.row(night_id).n_tokens, window_tokens)) for night_id in judges.labelled)
    stride = max(1, -(-tokens // _PROBE_TOKENS))
    labelled = frozen_nights(represent, reader, judges.labelled, modalities, window_tokens, stride=stride)
    numbers |= stage_numbers(labelled, told["in"], told["out"])
    numbers |= diagnosis_numbers(told["taught"], told["in"], told["out"], modalities)
    if model is not None:
        for side, ids in (("in", judges.inside), ("out", judges.outside)):
            found = retrieval(model, reader, ids, window_tokens, seed)
            for what in ("people", "moments"):
                numbers[f"retrieval, {what}, {side}"] = found[what]
                numbers[f"retrieval, {what}, {side}, chance"] = found[f"{what} chance"]
    return {name: value for name, value in numbers.items() if np.isfinite(value)}


def site_numbers(
    taught: Sequence[FrozenNight],
    inside: Sequence[FrozenNight],
    outside: Sequence[FrozenNight],
    modalities: Sequence[str],
    seed: int,
) -> dict[str, float]:
    """Balanced accuracy of the site of an hour, the mean over modalities; people apart."""
    people = sorted({night.row.person for night in outside})
    order = np.random.default_rng([seed, 0x517E]).permutation(len(people))
    known = {people[place] for place in order[: len(people) // 2]}
    half = [night for night in outside if night.row.person in known]
    rest = [night for night in outside if night.row.person not in known]
    numbers = {}
    for name, teachers, judges in (
        ("site, in", taught, inside),
        ("new site", [*taught, *half], [*inside, *rest]),
    ):
        sites = sorted({night.row.site or "" for night in teachers})
        scores = [_site_score(teachers, judges, modality, sites) for modality in modalities]
        numbers[name] = float(np.nanmean(scores)) if len(sites) > 1 else float("nan")
        numbers[f"{name}, chance"] = 1 / len(sites)
    return numbers


def _site_score(
    teachers: Sequence[FrozenNight], judges: Sequence[FrozenNight], modality: str, sites: Sequence[str]
) -> float:
    x_BD, y_B = _hours(teachers, modality, sites)
    asked_BD, true_B = _hours(judges, modality, sites)
    if len(np.unique(y_B)) < 2 or len(true_B) == 0:
        return float("nan")
    standard = Standard([_whole(modality, x_BD)], (modality,))
    read = logistic(standard(_whole(modality, x_BD), len(x_BD)), y_B, len(sites), penalty=NIGHT_PENALTY, balanced=True)
    told_B = read(standard(_whole(modality, asked_BD), len(asked_BD))).argmax(axis=1)
    return balanced_accuracy(true_B, told_B)


def _hours(nights: Sequence[FrozenNight], modality: str, sites: Sequence[str]) -> tuple[Floats, NDArray[np.int64]]:
    """Windows (B, D) of the nights that have the modality and a token of it, and their sites."""
    x, y = [], []
    for night in nights:
        if modality in night.windows and (night.row.site or "") in sites:
            x_WD = night.windows[modality]
            x_WD = x_WD[np.isfinite(x_WD).all(axis=1)]
            x.append(x_WD)
            y += [sites.index(night.row.site or "")] * len(x_WD)
    return (np.concatenate(x) if x else np.zeros((0, 1), dtype=np.float32)), np.array(y, dtype=np.int64)


def _whole(modality: str, x_BD: Floats) -> dict[str, tuple[Floats, NDArray[np.bool_]]]:
    return {modality: (x_BD, np.ones(len(x_BD), dtype=bool))}


def subject_numbers(nights: Sequence[FrozenNight], modalities: Sequence[str], side: str) -> dict[str, float]:
    """Balanced accuracy of the person of an hour, by readers of the other half of the night."""
    people = sorted({night.row.person for night in nights})
    lengths = [len(next(iter(night.windows.values()))) for night in nights]
    person_B = np.repeat([people.index(night.row.person) for night in nights], lengths)
    half_B = np.concatenate([(np.arange(n) >= n / 2).astype(np.int64) for n in lengths])
    views = []
    for modality in modalities:
        width = next((night.windows[modality].shape[1] for night in nights if modality in night.windows), 1)
        unknown = (np.full((n, width), np.nan) for n in lengths)
        x = [night.windows.get(modality, hole_WD) for night, hole_WD in zip(nights, unknown, strict=True)]
        views.append(np.concatenate(x))
    probe = reidentification(views, person_B, half_B)
    if probe is None or probe.score.estimate is None:
        return {}
    return {f"subject, {side}": probe.score.estimate, f"subject, {side}, chance": probe.chance}


def stage_numbers(
    labelled: Sequence[FrozenNight], inside: Sequence[FrozenNight], outside: Sequence[FrozenNight]
) -> dict[str, float]:
    numbers = {}
    for name, modalities in SENSOR_SETS.items():
        read = stage_reader(labelled, modalities)
        for side, nights in (("in", inside), ("out", outside)):
            kappa = kappa_of([stage_counts(night, read(night), modalities) for night in nights])
            numbers[f"stage, {name}, {side}"] = float("nan") if kappa is None else kappa
    return numbers


def diagnosis_numbers(
    taught: Sequence[FrozenNight],
    inside: Sequence[FrozenNight],
    outside: Sequence[FrozenNight],
    modalities: Sequence[str],
) -> dict[str, float]:
    """AUROC of each diagnosis with enough cases on all sides, and the mean over those that a body causes."""
    standard = Standard([_night_parts(night) for night in taught], modalities)

    def features(nights: Sequence[FrozenNight]) -> Floats:
        return np.concatenate([standard(_night_parts(night), 1) for night in nights])

    numbers: dict[str, float] = {}
    names = sorted({name for night in taught for name in night.row.measures if name.startswith("diagnosis.")})
    for name in names:
        groups = [[night for night in side if name in night.row.measures] for side in (taught, inside, outside)]
        truths = [np.array([night.row.measures[name] == 1 for night in nights], dtype=bool) for nights in groups]
        if min(min(truth.sum(), (~truth).sum()) for truth in truths) < _FEWEST_CASES:
            continue
        read = logistic(features(groups[0]), truths[0].astype(np.int64), 2, penalty=NIGHT_PENALTY)
        for side, nights, truth in (("in", groups[1], truths[1]), ("out", groups[2], truths[2])):
            numbers[f"diagnosis, {name.partition('.')[2]}, {side}"] = auroc(truth, read(features(nights))[:, 1]) or 0.0
    for side in ("in", "out"):
        told = [value for name, value in numbers.items() if name.endswith(f", {side}") and SHORTCUT not in name]
        if told:
            numbers[f"diagnosis, mean but {SHORTCUT}, {side}"] = float(np.mean(told))
    return numbers


def _night_parts(night: FrozenNight) -> dict[str, tuple[Floats, NDArray[np.bool_]]]:
    """The mean over the windows of a night, one sample."""
    parts = {}
    for name, x_WD in night.windows.items():
        known_WD = x_WD[np.isfinite(x_WD).all(axis=1)]
        mean_1D = known_WD.mean(axis=0, keepdims=True) if len(known_WD) else np.zeros((1, x_WD.shape[1]), "f4")
        parts[name] = mean_1D, np.array([len(known_WD) > 0])
    return parts
