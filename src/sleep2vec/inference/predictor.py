"""A model that answers.

Dimension letters: L tokens, C stages, M modalities, D features.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sleep2vec.data.window import view_of_night
from sleep2vec.inference.breathing import breathing_of
from sleep2vec.inference.outcomes import outcomes_of, prognoses_of
from sleep2vec.inference.result import NightResult, lights_of
from sleep2vec.model.encoder import MAX_TOKENS
from sleep2vec.model.shipped import STAGING, model_folder
from sleep2vec.tasks.events import EventTask
from sleep2vec.tasks.finetuned import Finetuned, load_finetuned
from sleep2vec.tasks.finetuning import night_embedding
from sleep2vec.tasks.nights import NightTask
from sleep2vec.vocabulary.errors import NoUsableChannelError, UsageError
from sleep2vec.vocabulary.modalities import TOKEN_SECONDS, parse_modalities
from sleep2vec.vocabulary.night import Night
from sleep2vec.vocabulary.stages import FIVE

OVERLAP_TOKENS = 120
"""Nights longer than the model sees at once are read in windows that share an hour, faded from one to the next."""


@dataclass(frozen=True)
class _Answer:
    """What the model says of one window, or of a night.

    Attributes:
        tokens: By name, arrays whose first axis are tokens: weights, embeddings, probabilities of tasks of tokens.
        seconds: By task, probabilities whose first axis are seconds.
        nights: By task, what heads of nights say, before any softmax; and the embeddings of the night.
    """

    tokens: dict[str, NDArray[np.float32]]
    seconds: dict[str, NDArray[np.float32]]
    nights: dict[str, NDArray[np.float32]]


class Model:
    """A fine-tuned model, ready to predict; `load` makes one from its folder.

    `finetuned` holds the torch module behind it and what was fitted after it had learned.
    """

    def __init__(self, name: str, config: dict[str, Any], finetuned: Finetuned) -> None:
        self.name, self.config, self.finetuned = name, config, finetuned
        self.module = finetuned.module.eval()

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities it can read; any subset will do."""
        return self.module.modalities

    @property
    def tasks(self) -> tuple[str, ...]:
        """What it was taught."""
        return (*self.finetuned.tasks, *(("survival",) if self.finetuned.survival else ()))

    def checked_tasks(self, tasks: Sequence[str]) -> tuple[str, ...]:
        """The same, each once. Raises `UsageError` where the model was not taught one of them."""
        unknown = [task for task in tasks if task not in self.tasks]
        if unknown:
            raise UsageError(f"unknown task {unknown[0]!r}; this model does: {', '.join(self.tasks)}.")
        return tuple(dict.fromkeys(tasks))

    @property
    def simulated_only(self) -> bool:
        """Whether it was trained on simulated nights only."""
        return all(data["simulated_only"] for data in self.config["training_data"].values())

    def predict(
        self, night: Night, tasks: Sequence[str] | None = None, modalities: Iterable[str] | None = None
    ) -> NightResult:
        """Answer all tasks, or those that are named, from the modalities a night has, or from those that are named.

        Raises:
            UnknownModalityError: a name is no modality.
            NoUsableChannelError: the night has none of the modalities.
            UsageError: the model was not taught a task.
        """
        asked_tasks = self.tasks if tasks is None else self.checked_tasks(tasks)
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
        whole = {name: view_of_night(night, name, 0, night.n_tokens) for name in given}
        warnings = _warnings(night, asked, given, valid_LM) + self.finetuned.familiarity.warnings(whole)
        result = NightResult(
            night=night,
            model_name=self.name,
            simulated_weights=self.simulated_only,
            modalities=given,
            probabilities=answer.tokens.get("staging", np.full((night.n_tokens, len(FIVE)), np.nan, dtype=np.float32)),
            sensor_weights=answer.tokens["weights"],
            valid=valid_LM,
            embeddings=answer.tokens["embeddings"],
            night_embedding=answer.nights["embedding"][0],
            tasks=asked_tasks,
            least_confidence=getattr(self.finetuned.tasks.get("staging"), "least_confidence", None),
            warnings=tuple(warnings),
            versions={"sleep2vec": version("sleep2vec"), "torch": torch.__version__},
        )
        return self._with_more(result, answer)

    def _with_more(self, result: NightResult, answer: _Answer) -> NightResult:
        """What is said beside the stages."""
        night, asked = result.night, result.tasks
        decoders = {
            name: task for name, task in self.finetuned.tasks.items() if isinstance(task, EventTask) and name in asked
        }
        found = {name: task.decode(answer.seconds[name], night.grid_start_s) for name, task in decoders.items()}
        seconds = {name: task.any_event(answer.seconds[name]) for name, task in decoders.items()}
        breathing = None
        if decoders or ("staging" in asked and "spo2" in result.modalities):
            breathing = breathing_of(
                night,
                result.stages,
                found.get("respiratory"),
                found.get("arousal"),
                with_oximeter="spo2" in result.modalities,
            )
        return replace(
            result,
            events=tuple(sorted((e for events in found.values() for e in events), key=lambda event: event.onset_s)),
            seconds=seconds,
            breathing=breathing,
            outcomes=tuple(
                outcome
                for name, task in self.finetuned.tasks.items()
                if isinstance(task, NightTask) and name in asked
                for outcome in outcomes_of(task, answer.nights[name])
            ),
            prognoses=prognoses_of(self.finetuned.survival, answer.nights["pooled"], night.subject)
            if self.finetuned.survival is not None and "survival" in asked
            else (),
        )

    def _stitched(self, night: Night, given: tuple[str, ...]) -> _Answer:
        """Answers of all windows of a night, faded into each other; NaN where nothing was valid."""
        places = window_places(night.n_tokens)
        answers = [self._answer(night, given, first, n_tokens) for first, n_tokens in places]
        fades = [_fade(index, n_tokens, len(places)) for index, (_, n_tokens) in enumerate(places)]
        abstained_L = ~np.any([night.valid[name] for name in given], axis=0)

        def merged(parts: list[NDArray[np.float32]], per_token: int, abstains: bool) -> NDArray[np.float32]:
            total = np.zeros((night.n_tokens * per_token, *parts[0].shape[1:]), dtype=np.float32)
            weight = np.zeros(len(total), dtype=np.float32)
            for part, fade_L, (first, n_tokens) in zip(parts, fades, places, strict=True):
                stretch, fade = slice(first * per_token, (first + n_tokens) * per_token), np.repeat(fade_L, per_token)
                total[stretch] += fade.reshape(-1, *[1] * (total.ndim - 1)) * part
                weight[stretch] += fade
            told = (total / weight.reshape(-1, *[1] * (total.ndim - 1))).astype(np.float32)
            if abstains:
                told[np.repeat(abstained_L, per_token)] = np.nan
            return told

        # A window in which nothing can be read says nothing of the night.
        shares = np.array([float((~abstained_L[first : first + n]).sum()) for first, n in places])

        def pooled(parts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
            if not shares.any():
                return np.full_like(parts[0], np.nan)
            told = [np.where(share > 0, part, 0.0) for part, share in zip(parts, shares, strict=True)]
            return np.average(told, axis=0, weights=shares).astype(np.float32)

        return _Answer(
            {
                name: merged([answer.tokens[name] for answer in answers], 1, name != "weights")
                for name in answers[0].tokens
            },
            {
                name: merged([answer.seconds[name] for answer in answers], TOKEN_SECONDS, True)
                for name in answers[0].seconds
            },
            {name: pooled([answer.nights[name] for answer in answers]) for name in answers[0].nights},
        )

    @torch.inference_mode()
    def _answer(self, night: Night, given: tuple[str, ...], first: int, n_tokens: int) -> _Answer:
        views = {name: view_of_night(night, name, first, n_tokens) for name in given}
        answers = self.module(views, first_B=torch.tensor([first]))
        columns = [self.modalities.index(name) for name in given]
        tasks = self.finetuned.tasks
        of = {
            resolution: [name for name, task in tasks.items() if task.resolution == resolution]
            for resolution in ("token", "second", "night")
        }
        said = {
            name: tasks[name].probabilities(answers.outputs[name])[0].numpy() for name in of["token"] + of["second"]
        }
        return _Answer(
            {
                "weights": answers.weights_BML[0, columns].T.numpy(),
                "embeddings": answers.fused_BLH[0].numpy(),
                **{name: said[name] for name in of["token"]},
            },
            {name: said[name] for name in of["second"]},
            {
                "embedding": answers.windows_BD.numpy(),
                "pooled": night_embedding(answers)[None],
                **{name: answers.outputs[name].numpy() for name in of["night"]},
            },
        )


def load(folder: str | Path = STAGING) -> Model:
    """Load a fine-tuned model from its folder, or by its name one that comes with the package.

    Raises:
        ModelError: the folder is no complete model, is damaged, or holds a pretrained model without a task.
    """
    folder = model_folder(folder)
    finetuned, config = load_finetuned(folder)
    return Model(folder.resolve().name, config, finetuned)


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
