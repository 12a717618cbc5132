"""A model that answers.

Dimension letters: L tokens, C stages, M modalities, D features.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sleep2vec.data.window import view_of_night
from sleep2vec.inference.result import NightResult, lights_of
from sleep2vec.model.checkpoint import load_config, load_weights, model_config
from sleep2vec.model.encoder import MAX_TOKENS
from sleep2vec.model.shipped import STAGING, model_folder
from sleep2vec.tasks.staging import Stager
from sleep2vec.vocabulary.errors import ModelError, NoUsableChannelError, UsageError
from sleep2vec.vocabulary.modalities import TOKEN_SECONDS, parse_modalities
from sleep2vec.vocabulary.night import Night

TASKS = ("staging",)
OVERLAP_TOKENS = 120
"""Nights longer than the model sees at once are read in windows that share an hour, faded from one to the next."""


@dataclass(frozen=True)
class _Answer:
    """What the model says of one window; arrays over its tokens."""

    probabilities_LC: NDArray[np.float32]
    weights_LM: NDArray[np.float32]
    embeddings_LD: NDArray[np.float32]
    window_D: NDArray[np.float32]


class Model:
    """A fine-tuned model, ready to predict; `load` makes one from its folder.

    `stager` is the torch module behind it.
    """

    def __init__(self, name: str, config: dict[str, Any], stager: Stager) -> None:
        self.name, self.config = name, config
        self.stager = stager.eval()

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities it can read; any subset will do."""
        return self.stager.config.modalities

    @property
    def simulated_only(self) -> bool:
        """Whether it was trained on simulated nights only."""
        return all(data["simulated_only"] for data in self.config["training_data"].values())

    def predict(
        self, night: Night, tasks: Sequence[str] = TASKS, modalities: Iterable[str] | None = None
    ) -> NightResult:
        """Stage a night from the modalities it has, or from those of them that are named.

        Raises:
            UnknownModalityError: a name is no modality.
            NoUsableChannelError: the night has none of the modalities.
            UsageError: a task is not known.
        """
        unknown = [task for task in tasks if task not in TASKS]
        if unknown:
            raise UsageError(f"unknown task {unknown[0]!r}; this model does: {', '.join(TASKS)}.")
        asked = self.modalities if modalities is None else parse_modalities(modalities)
        given = tuple(name for name in asked if name in self.modalities and name in night.samples)
        if not given:
            reasons = "; ".join(f"{name}: {night.absent.get(name, 'not in this recording')}" for name in asked)
            raise NoUsableChannelError(
                f"{night.night_id} has none of the modalities asked for ({reasons}); "
                f"it has {', '.join(night.samples) or 'none at all'}."
            )
        answer = self._stitched(night, given)
        valid_LM = np.stack([night.valid[name] for name in given], axis=1)
        return NightResult(
            night=night,
            model_name=self.name,
            simulated_weights=self.simulated_only,
            modalities=given,
            probabilities=answer.probabilities_LC,
            sensor_weights=answer.weights_LM,
            valid=valid_LM,
            embeddings=answer.embeddings_LD,
            night_embedding=answer.window_D,
            warnings=tuple(_warnings(night, asked, given, valid_LM)),
            versions={"sleep2vec": version("sleep2vec"), "torch": torch.__version__},
        )

    def _stitched(self, night: Night, given: tuple[str, ...]) -> _Answer:
        """Answers of all windows of a night, faded into each other; NaN where nothing was valid."""
        places = window_places(night.n_tokens)
        answers = [self._answer(night, given, first, n_tokens) for first, n_tokens in places]
        fades = [_fade(index, n_tokens, len(places)) for index, (_, n_tokens) in enumerate(places)]
        merged = []
        for part in ("probabilities_LC", "weights_LM", "embeddings_LD"):
            total = np.zeros((night.n_tokens, getattr(answers[0], part).shape[1]), dtype=np.float32)
            weight_L = np.zeros(night.n_tokens, dtype=np.float32)
            for answer, fade_L, (first, n_tokens) in zip(answers, fades, places, strict=True):
                total[first : first + n_tokens] += fade_L[:, None] * getattr(answer, part)
                weight_L[first : first + n_tokens] += fade_L
            merged.append((total / weight_L[:, None]).astype(np.float32))
        probabilities_LC, weights_LM, embeddings_LD = merged
        abstained_L = ~np.any([night.valid[name] for name in given], axis=0)
        probabilities_LC[abstained_L] = np.nan
        embeddings_LD[abstained_L] = np.nan
        shares = np.array([n_tokens for _, n_tokens in places], dtype=np.float32)
        night_D = np.average([answer.window_D for answer in answers], axis=0, weights=shares)
        return _Answer(probabilities_LC, weights_LM, embeddings_LD, night_D.astype(np.float32))

    @torch.inference_mode()
    def _answer(self, night: Night, given: tuple[str, ...], first: int, n_tokens: int) -> _Answer:
        staged = self.stager({name: view_of_night(night, name, first, n_tokens) for name in given})
        columns = [self.modalities.index(name) for name in given]
        return _Answer(
            staged.logits_BLC[0].softmax(dim=-1).numpy(),
            staged.weights_BML[0, columns].T.numpy(),
            staged.fused_BLD[0].numpy(),
            staged.windows_BD[0].numpy(),
        )


def load(folder: str | Path = STAGING) -> Model:
    """Load a fine-tuned model from its folder, or by its name one that comes with the package.

    Raises:
        ModelError: the folder is no complete model, is damaged, or holds a pretrained model without a task.
    """
    folder = model_folder(folder)
    config = load_config(folder)
    if config.get("kind") != "staging":
        raise ModelError(
            f"{folder} holds a model of kind {config.get('kind')!r}, which answers no question yet; "
            "fine-tune it first with `sleep2vec finetune`."
        )
    stager = Stager(model_config(folder, config))
    try:
        stager.load_state_dict(load_weights(folder))
    except RuntimeError:
        raise ModelError(
            f"the weights in {folder} do not fit its config; copy the model again or, if an earlier sleep2vec made it, "
            "fine-tune again into another folder."
        ) from None
    return Model(folder.resolve().name, config, stager)


def window_places(n_tokens: int, longest: int = MAX_TOKENS, overlap: int = OVERLAP_TOKENS) -> list[tuple[int, int]]:
    """(first, n_tokens) of windows that cover a night, neighbours sharing at least `overlap` tokens."""
    if n_tokens <= longest:
        return [(0, n_tokens)]
    n_windows = -(-(n_tokens - overlap) // (longest - overlap))
    firsts = np.linspace(0, n_tokens - longest, n_windows).round().astype(int)
    return [(int(first), longest) for first in firsts]


def _fade(index: int, n_tokens: int, n_windows: int) -> NDArray[np.float32]:
    """Weights of a window's tokens: they rise and fall over the overlap, but not at the ends of the night."""
    ramp_L = np.minimum(1.0, (np.arange(n_tokens) + 1) / (OVERLAP_TOKENS + 1))
    rising_L = ramp_L if index > 0 else np.ones(n_tokens)
    falling_L = ramp_L[::-1] if index < n_windows - 1 else np.ones(n_tokens)
    return (rising_L * falling_L).astype(np.float32)


def _warnings(night: Night, asked: Sequence[str], given: Sequence[str], valid_LM: NDArray[np.bool_]) -> list[str]:
    warnings = []
    for name in asked:
        if name not in given:
            warnings.append(f"{name} was not used: {night.absent.get(name, 'the model does not read it')}")
    for name, share in zip(given, valid_LM.mean(axis=0), strict=True):
        if share < 0.5:
            warnings.append(f"only {share:.0%} of {name} is good enough to be read")
    n_abstained = int((~valid_LM.any(axis=1)).sum())
    if n_abstained:
        minutes = n_abstained * TOKEN_SECONDS / 60
        warnings.append(f"no sensor was good for {minutes:g} min ({n_abstained} epochs): the model abstains there")
    if night.n_tokens < 120:
        minutes = night.n_tokens * TOKEN_SECONDS / 60
        warnings.append(f"the recording is {minutes:g} min long; the model was trained on longer stretches of sleep")
    if any(event.kind in ("lights_off", "lights_on") for event in night.events) and lights_of(night) == (None, None):
        warnings.append("the marks of lights off and on do not fit this recording and were not used")
    return [*warnings, *night.repairs, *night.notes]
