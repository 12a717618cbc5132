"""What can be read from the frozen embeddings of unseen people: the site, the person, age, sex, and sleep stages.

Read are the encoder's features, which downstream tasks get, not the projections, which only the contrast sees. Each
modality is read alone: which of them a site records would give it away, and that is no property of an embedding.

Dimension letters: B windows of a batch, N windows, T tokens, L tokens of a window, D features, M modalities.
"""

import copy
import importlib.util
import logging
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from sleep2vec.data.window import Window, WindowReader
from sleep2vec.metrics.probes import Probe, class_probe, number_probe, reidentification, stage_probe
from sleep2vec.model.encoder import MAX_TOKENS, Encoder
from sleep2vec.store.manifest import ManifestRow
from sleep2vec.vocabulary.stages import FIVE

_LOGGER = logging.getLogger(__name__)
_AT_ONCE = 64
TRAINED, UNTRAINED = "probes", "untrained"
"""Prefixes in the log: of the encoder as it is, and of the same encoder before its first step."""
_ASKED = ("site", "sex", "age", "person_within", "person_across", "stage")
KINDS = ("mean", "cls")
"""Embeddings of a window: the mean of its valid tokens, and [CLS] (trained where `window_weight` is above 0)."""


class ProbeConfig(BaseModel):
    """What the probes may cost: so many people and windows, whatever the store holds."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    when: Literal["validation", "end", "never"] = "validation"
    people: Annotated[int, Field(ge=4, description="of those kept for validation, at most; two nights of each")] = 64
    windows_per_night: Annotated[int, Field(ge=2, description="evenly over the night; its halves judge each other")] = 4
    window_tokens: Annotated[int, Field(ge=1, le=MAX_TOKENS)] = 60
    stage_tokens: Annotated[int, Field(ge=0, description="scored tokens for the stage probe; 0: no stage probe")] = 2000
    seed: Annotated[int, Field(ge=0)] = 0


@dataclass(frozen=True)
class ProbeWindow:
    """A window to embed, whose night is the `visit`-th of its person, in the first (0) or last (1) part of it or in
    neither (-1)."""

    window: Window
    row: ManifestRow
    visit: int
    part: int


@dataclass(frozen=True)
class Embeddings:
    """Frozen embeddings, rows of NaN where a modality has nothing valid.

    Attributes:
        windows: By kind (`KINDS`): (M, N, D).
        tokens_MTD: Of the tokens of `stages_T`.
        stages_T: Codes of `FIVE`.
        owner_T: Which of the N windows a token belongs to.
    """

    windows: dict[str, NDArray[np.float32]]
    tokens_MTD: NDArray[np.float32]
    stages_T: NDArray[np.int64]
    owner_T: NDArray[np.int64]


class Probing:
    """Probes an encoder, and once the encoder it began as.

    Args:
        reader: of the store.
        night_ids: of the people kept for validation.
        encoder: as it is before its first step: random features are a strong baseline. A copy is kept until then.
        config: see `ProbeConfig`.
    """

    def __init__(self, reader: WindowReader, night_ids: Sequence[str], encoder: Encoder, config: ProbeConfig) -> None:
        self._reader, self._config = reader, config
        self._windows = probe_windows([reader.store.row(night_id) for night_id in night_ids], config)
        self._untrained: Encoder | None = copy.deepcopy(encoder)
        self._reference: dict[str, float] = {}
        self._possible = bool(self._windows) and importlib.util.find_spec("sklearn") is not None
        if not self._windows:
            _LOGGER.warning(
                "nothing is probed: no night kept for validation is as long as three windows of %d tokens; "
                "set probes.window_tokens lower, or probes.when: never.",
                config.window_tokens,
            )
        elif not self._possible:
            _LOGGER.warning("probes need scikit-learn, which sleep2vec[train] brings; nothing is probed.")

    def __call__(self, module: nn.Module) -> dict[str, float]:
        """Numbers to log of a module's encoder, under ``probes/``, and of its beginning, under ``untrained/``."""
        encoder = module.encoder
        assert isinstance(encoder, Encoder)
        if not self._possible:
            return {}
        if self._untrained is not None:
            untrained = self._untrained.to(next(encoder.parameters()).device)
            self._reference = self._numbers(untrained, UNTRAINED)
            self._untrained = None
            left_out = [
                of for of in _ASKED if not any(name.startswith(f"{UNTRAINED}/{of}_") for name in self._reference)
            ]
            if left_out:
                _LOGGER.warning(
                    "not probed, because too few people, sites or nights are kept for validation: %s.",
                    ", ".join(left_out),
                )
        return {**self._numbers(encoder, TRAINED), **self._reference}

    def _numbers(self, encoder: Encoder, prefix: str) -> dict[str, float]:
        embedded = embed(encoder, self._reader, self._windows, self._config)
        return {f"{prefix}/{name}": value for name, value in probe_numbers(embedded, self._windows, encoder).items()}


def probe_windows(rows: Sequence[ManifestRow], config: ProbeConfig) -> list[ProbeWindow]:
    """Windows of some people, spread over at most two nights of each; nights shorter than three windows have none."""
    nights: dict[str, list[ManifestRow]] = {}
    for row in rows:
        if row.n_tokens >= 3 * config.window_tokens:
            nights.setdefault(row.person, []).append(row)
    people = np.random.default_rng([config.seed, 0x9B0]).permutation(np.array(sorted(nights)))[: config.people]
    return [
        placed
        for person in people.tolist()
        for visit, row in enumerate(nights[person][:2])
        for placed in _windows_of(row, visit, config)
    ]


def _windows_of(row: ManifestRow, visit: int, config: ProbeConfig) -> list[ProbeWindow]:
    """Between the windows of the first part and those of the last lies at least a window: neighbours are alike."""
    length = config.window_tokens
    last = (row.n_tokens - length) // 2 - length  # where the last window of the first part may begin
    n_each = min(config.windows_per_night // 2, last // length + 1)
    early = np.linspace(0, last, n_each).astype(int).tolist() if n_each > 1 else [0]
    placed = [(first, 0) for first in early]
    if config.windows_per_night % 2:
        placed.append(((row.n_tokens - length) // 2, -1))
    placed += [(row.n_tokens - length - first, 1) for first in reversed(early)]
    return [ProbeWindow(Window(row.night_id, first, length), row, visit, part) for first, part in placed]


@torch.no_grad()
def embed(encoder: Encoder, reader: WindowReader, windows: Sequence[ProbeWindow], config: ProbeConfig) -> Embeddings:
    """Encode every modality of every window, each alone."""
    encoder.eval()
    device = next(encoder.parameters()).device
    stages_NL = reader.stages([placed.window for placed in windows], config.window_tokens).numpy()
    scored = np.flatnonzero(np.isfinite(stages_NL))
    chosen_T = scored[np.linspace(0, len(scored) - 1, min(config.stage_tokens, len(scored))).astype(int)]
    parts: dict[str, list[NDArray[np.float32]]] = {kind: [] for kind in (*KINDS, "token")}
    for name in encoder.config.modalities:
        found: dict[str, list[NDArray[np.float32]]] = {kind: [] for kind in parts}
        for start in range(0, len(windows), _AT_ONCE):
            batch = [placed.window for placed in windows[start : start + _AT_ONCE]]
            view = reader.view(batch, name, config.window_tokens).to(device)
            (encoded,) = encoder([(name, view)])
            valid_BL1 = view.valid_BL[..., None]
            hole = torch.full_like(encoded.tokens_BLD, float("nan"))
            mean_BD = (encoded.tokens_BLD * valid_BL1).sum(1) / valid_BL1.sum(1)  # 0 / 0 is NaN, as it should be
            cls_BD = torch.where(valid_BL1.any(1), encoded.window_BD, hole[:, 0])
            tokens_BLD = torch.where(valid_BL1, encoded.tokens_BLD, hole).flatten(0, 1)
            own_T = chosen_T[(chosen_T >= start * view.valid_BL.shape[1])] - start * view.valid_BL.shape[1]
            own_T = own_T[own_T < len(tokens_BLD)]
            for kind, value in (("mean", mean_BD), ("cls", cls_BD), ("token", tokens_BLD[torch.from_numpy(own_T)])):
                found[kind].append(value.float().cpu().numpy())
        for kind, values in found.items():
            parts[kind].append(np.concatenate(values))
    return Embeddings(
        windows={kind: np.stack(parts[kind]) for kind in KINDS},
        tokens_MTD=np.stack(parts["token"]),
        stages_T=stages_NL.ravel()[chosen_T].astype(np.int64),
        owner_T=chosen_T // config.window_tokens,
    )


def probe_numbers(embedded: Embeddings, windows: Sequence[ProbeWindow], encoder: Encoder) -> dict[str, float]:
    """Every probe that these windows allow, by name; what cannot be asked (one site, say) is left out."""
    rows = [placed.row for placed in windows]
    families_N = _codes([row.family for row in rows])
    people_N = _codes([row.person for row in rows])
    visits_N, parts_N = (np.array([getattr(placed, of) for placed in windows]) for of in ("visit", "part"))
    names = encoder.config.modalities
    numbers: dict[str, float] = {}
    for kind in KINDS:
        x_MND = embedded.windows[kind]
        for target, known in (
            ("site", [None if row.site is None else (row.cohort, row.site) for row in rows]),
            ("sex", [row.sex for row in rows]),
        ):
            held = _held(known)
            probe = class_probe(list(x_MND[:, held]), _codes([known[n] for n in held]), families_N[held])
            numbers |= _told(target, kind, probe, names)
        held = _held([row.age_years for row in rows])
        ages = np.array([rows[n].age_years for n in held], dtype=float)
        found = number_probe(list(x_MND[:, held]), ages, families_N[held])
        for target, probe in zip(("age", "age_error"), found or (None, None), strict=True):
            numbers |= _told(target, kind, probe, names)
        # Within the first night, and between the nights (then all parts of them).
        one = np.flatnonzero((visits_N == 0) & (parts_N >= 0))
        numbers |= _told(
            "person_within", kind, reidentification(list(x_MND[:, one]), people_N[one], parts_N[one]), names
        )
        numbers |= _told("person_across", kind, reidentification(list(x_MND), people_N, visits_N), names)
    return numbers | _stages_told(embedded, families_N, names)


def _stages_told(embedded: Embeddings, families_N: NDArray[np.int64], names: Sequence[str]) -> dict[str, float]:
    """Kappa from the mean of the modalities a token has, and from each alone."""
    if len(embedded.stages_T) == 0:
        return {}
    people_T = families_N[embedded.owner_T]
    alone = stage_probe(list(embedded.tokens_MTD), embedded.stages_T, people_T, len(FIVE))
    present_MT1 = np.isfinite(embedded.tokens_MTD).all(axis=2, keepdims=True)
    n_T1 = present_MT1.sum(axis=0)
    mean_TD = np.where(present_MT1, embedded.tokens_MTD, 0).sum(axis=0) / np.where(n_T1 > 0, n_T1, np.nan)
    together = stage_probe([mean_TD], embedded.stages_T, people_T, len(FIVE))
    return _told("stage", "token", alone, names) | _told("stage", "token", together, ())


def _told(target: str, kind: str, probe: Probe | None, names: Sequence[str]) -> dict[str, float]:
    """``site_mean`` with its ``_low`` and ``_high``, ``site_mean_eeg`` of one modality, ``site_chance``."""
    if probe is None or probe.score.estimate is None:
        return {}
    score, name = probe.score, f"{target}_{kind}"
    numbers = {name: score.estimate, f"{name}_low": score.low, f"{name}_high": score.high}
    numbers |= {f"{name}_{view}": value for view, value in zip(names, probe.by_view, strict=False)}
    numbers[f"{target}_chance"] = probe.chance
    return {name: value for name, value in numbers.items() if value is not None}


def _codes(names: Sequence[Hashable]) -> NDArray[np.int64]:
    code_of = {name: code for code, name in enumerate(sorted(set(names), key=str))}
    return np.array([code_of[name] for name in names], dtype=np.int64)


def _held(values: Sequence[object]) -> NDArray[np.int64]:
    """Places of the values that are known."""
    # NaN, which a number may be that a table knows as unknown, is not itself.
    return np.array([n for n, value in enumerate(values) if value is not None and value == value], dtype=np.int64)
