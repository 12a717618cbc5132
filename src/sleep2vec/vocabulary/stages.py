"""Sleep stages, their classes and how scorers write them.

A hypnogram is a float32 array (L,), one number a token, ``NaN`` where nobody scored: an unknown stage
can then never be mistaken for Wake. Codes follow the order of `FIVE`.
"""

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from sleep2vec.vocabulary.modalities import TOKEN_SECONDS

Hypnogram = NDArray[np.float32]
Scheme = Literal[5, 4, 3]
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)

FIVE = ("W", "N1", "N2", "N3", "R")
STAGE_NAMES: MappingProxyType[Scheme, tuple[str, ...]] = MappingProxyType(
    {5: FIVE, 4: ("W", "Light", "Deep", "R"), 3: ("W", "NREM", "R")}
)
_CLASS_OF_STAGE: MappingProxyType[Scheme, tuple[int, ...]] = MappingProxyType(
    {5: (0, 1, 2, 3, 4), 4: (0, 1, 1, 2, 3), 3: (0, 1, 1, 1, 2)}
)

# Rechtschaffen & Kales stages 3 and 4 are both N3 (AASM Manual, 2007). Movement time and "?" were
# looked at and not scored: they carry no stage.
_STAGE_OF_WORD = MappingProxyType(
    {
        **dict.fromkeys(("w", "wake", "awake", "0"), 0),
        **dict.fromkeys(("n1", "1", "s1", "nrem1"), 1),
        **dict.fromkeys(("n2", "2", "s2", "nrem2"), 2),
        **dict.fromkeys(("n3", "3", "s3", "nrem3", "n4", "4", "s4", "nrem4"), 3),
        **dict.fromkeys(("r", "rem", "rems"), 4),
        **dict.fromkeys(("?", "u", "unscored", "unknown", "m", "mt", "movement", "movement time"), None),
    }
)


@dataclass(frozen=True)
class StageSpan:
    """A stretch of one stage as a scorer wrote it; `stage` is None where it was left unscored."""

    onset_s: float
    duration_s: float
    stage: int | None


class NotAStageError(ValueError):
    """The text does not name a sleep stage (not even "unscored")."""


def stage_of(text: str) -> int | None:
    """Read what a scorer wrote (``"Sleep stage 2"``, ``"N3"``, ``"Movement time"``).

    Returns:
        The index in `FIVE`, or None for a word that says the epoch is unscored.

    Raises:
        NotAStageError: `text` says nothing about the stage.
    """
    word = re.sub(r"\s+", " ", text.strip().lower())
    stripped = re.sub(r"^(sleep )?stage[ _-]*", "", word)
    # A bare digit is a stage only behind the word "stage": alone it can be any marker a device writes.
    if stripped not in _STAGE_OF_WORD or (stripped.isdigit() and stripped == word):
        raise NotAStageError(f"{text!r} is not a sleep stage")
    return _STAGE_OF_WORD[stripped]


def regroup_hypnogram(hypnogram_L: NDArray[np.floating], scheme: Scheme) -> Hypnogram:
    """Five-stage codes (L,) to the codes of `scheme` (L,); NaN stays NaN."""
    regrouped = np.full(hypnogram_L.shape, np.nan, dtype=np.float32)
    scored = np.isfinite(hypnogram_L)
    regrouped[scored] = np.asarray(_CLASS_OF_STAGE[scheme])[hypnogram_L[scored].astype(int)]
    return regrouped


def regroup_probabilities(probabilities_LC: NDArray[np.floating], scheme: Scheme) -> NDArray[np.floating]:
    """Five-stage probabilities (L, 5) to those of `scheme` (L, scheme), by adding them up."""
    summed = np.zeros((len(probabilities_LC), scheme), dtype=probabilities_LC.dtype)
    for stage, group in enumerate(_CLASS_OF_STAGE[scheme]):
        summed[:, group] += probabilities_LC[:, stage]
    return summed


def hypnogram_of(spans: list[StageSpan], grid_start_s: float, n_tokens: int) -> Hypnogram:
    """Lay scored spans on the token grid: a token has a stage when a span covers its middle.

    Args:
        spans: what was scored, times from the start of the recording.
        grid_start_s: when token 0 begins, from the start of the recording.
        n_tokens: L.

    Returns:
        (L,) codes, NaN where unscored.
    """
    hypnogram_L = np.full(n_tokens, np.nan, dtype=np.float32)
    middles_s = grid_start_s + (np.arange(n_tokens) + 0.5) * TOKEN_SECONDS
    for span in spans:
        inside = (middles_s >= span.onset_s) & (middles_s < span.onset_s + span.duration_s)
        hypnogram_L[inside] = np.nan if span.stage is None else span.stage
    return hypnogram_L
