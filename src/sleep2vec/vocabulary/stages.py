"""Sleep stages, their classes and how scorers write them.

A hypnogram is a float32 array (L,), one number a token, ``NaN`` where nobody scored: an unknown stage
can then never be mistaken for Wake. Codes follow the order of `FIVE`.
"""

import re
from collections.abc import Sequence
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
        **dict.fromkeys(("w", "wk", "wake", "awake", "0", "wach", "eveil", "éveil", "vigilia", "sdo:wakestate"), 0),
        **dict.fromkeys(("despierto", "despierta", "veglia", "acordado", "eveille", "éveillé"), 0),
        **dict.fromkeys(("n1", "1", "s1", "nrem1", "sdo:nonrapideyemovementsleep-n1"), 1),
        **dict.fromkeys(("n2", "2", "s2", "nrem2", "sdo:nonrapideyemovementsleep-n2"), 2),
        **dict.fromkeys(("n3", "3", "s3", "nrem3", "n4", "4", "s4", "nrem4", "sws"), 3),
        **dict.fromkeys(("sdo:nonrapideyemovementsleep-n3", "sdo:nonrapideyemovementsleep-n4"), 3),
        **dict.fromkeys(("r", "rem", "rems", "sdo:rapideyemovementsleep"), 4),
        **dict.fromkeys(("?", "u", "unscored", "unknown", "m", "mt", "movement", "movement time", "mvt"), None),
        **dict.fromkeys(("no stage", "not scored", "unknownstage"), None),
    }
)
# Digits of Rechtschaffen & Kales as nearly every program writes them; 6 is movement time, 7 to 9 and -1 unscored.
RK_CODES: MappingProxyType[str, int | None] = MappingProxyType(
    {"0": 0, "1": 1, "2": 2, "3": 3, "4": 3, "5": 4, **dict.fromkeys(("6", "7", "8", "9", "-1"))}
)
# Digits in the order of `FIVE`.
FIVE_CODES: MappingProxyType[str, int | None] = MappingProxyType(
    {**{str(code): code for code in range(5)}, **dict.fromkeys(("-1", "-2", "5", "6", "7", "8", "9"))}
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
    word = re.sub(r"[\s_]+", " ", text.strip().lower()).split("|")[0].strip()
    stripped = re.sub(r"^(sleep )?stage[ -]*|^sleep ", "", word).removesuffix(" sleep")
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


def hypnogram_of(spans: Sequence[StageSpan], grid_start_s: float, n_tokens: int) -> Hypnogram:
    """Lay scored spans on the token grid: a token has the stage that fills most of it.

    At least half of the token must be scored, and of two stages with equal portions the earlier is taken. Epochs of
    20 s and 15 s come to tokens of 30 s by this rule, and epochs that begin off the grid keep their stage. Where spans
    overlap the later one of the list holds.

    Args:
        spans: what was scored, times from the start of the recording; a duration may be infinite.
        grid_start_s: when token 0 begins, from the start of the recording.
        n_tokens: L.

    Returns:
        (L,) codes, NaN where unscored.
    """
    starts_s = grid_start_s + np.arange(n_tokens + 1) * float(TOKEN_SECONDS)
    cuts_s, stage_of_cut = _without_overlap(spans, starts_s[0], starts_s[-1])
    edges_s = np.unique(np.concatenate([starts_s, cuts_s]))
    pieces_s = np.diff(edges_s)
    middles_s = edges_s[:-1] + pieces_s / 2
    stage_P = stage_of_cut[np.searchsorted(cuts_s, middles_s, side="right")]
    token_P = np.clip(np.searchsorted(starts_s, middles_s, side="right") - 1, 0, max(n_tokens - 1, 0))
    portion_L5 = np.zeros((n_tokens, len(FIVE)))
    first_L5 = np.full((n_tokens, len(FIVE)), np.inf)
    scored = np.isfinite(stage_P)
    at = (token_P[scored], stage_P[scored].astype(int))
    np.add.at(portion_L5, at, pieces_s[scored])
    np.minimum.at(first_L5, at, middles_s[scored])
    portion_L5 = portion_L5.round(6)  # sums of decimals: halves must be equal
    most_L1 = portion_L5.max(axis=1, keepdims=True)
    winner_L = np.where(portion_L5 == most_L1, first_L5, np.inf).argmin(axis=1)
    enough_L = portion_L5.sum(axis=1) >= TOKEN_SECONDS / 2
    return np.where(enough_L, winner_L, np.nan).astype(np.float32)


def _without_overlap(
    spans: Sequence[StageSpan], from_s: float, until_s: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Times (C,) at which the stage changes, and the stages (C + 1,) before, between and after them; NaN unscored."""
    onsets_s = np.array([span.onset_s for span in spans])
    ends_s = np.array([span.onset_s + span.duration_s for span in spans])
    cuts_s = np.unique(np.clip(np.concatenate([onsets_s, ends_s]), from_s, until_s))
    stages = np.full(len(cuts_s) + 1, np.nan)
    for span, onset_s, end_s in zip(spans, onsets_s, ends_s, strict=True):
        first, last = np.searchsorted(cuts_s, np.clip([onset_s, end_s], from_s, until_s))
        stages[first + 1 : last + 1] = np.nan if span.stage is None else span.stage
    return cuts_s, stages
