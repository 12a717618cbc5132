"""Several tasks at once, from any subset of sensors: what the loop learns with.

The loss is the weighted mean of the tasks' losses, each divided by that of the best constant answer on the training
nights: 1 is knowing nothing of a task, whatever its unit and however rare its events. A night without labels of a task
teaches the others. Stages weigh 1 and all else a tenth: every epoch has a stage, while a window has one age and, most
often, no apnea, and what so few labels say of the shared layers is mostly noise.

Dimension letters: B windows, M modalities, L tokens.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Literal, Self, overload

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from sleep2vec.data.augment import DropoutConfig, drop_modalities
from sleep2vec.data.nights import NightBatch, NightReader, NightSource
from sleep2vec.data.scoring import ScoringReader
from sleep2vec.data.window import Window
from sleep2vec.model.adapters import add_adapters
from sleep2vec.model.context import ContextName
from sleep2vec.model.encoder import MAX_TOKENS
from sleep2vec.model.fusion import FusionName
from sleep2vec.model.sleep_model import Answers, SleepModel
from sleep2vec.tasks.task import Answered, Task
from sleep2vec.training.runner import Work
from sleep2vec.vocabulary.modalities import TOKEN_SECONDS

TrainName = Literal["probe", "head", "lora", "dora", "full"]


class FinetuneConfig(BaseModel):
    """How a model is fine-tuned.

    ``train`` says what learns: ``probe`` is linear heads on a frozen encoder, ``head`` everything but the encoder,
    ``lora`` and ``dora`` adapters on the backbone as well, ``full`` all of it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    train: TrainName = "full"
    fusion: FusionName = "gated"
    mix_layers: Annotated[bool, Field(description="fuse a learned mean of the backbone's layers, not the last")] = False
    rhythms: Annotated[
        bool,
        Field(
            description="tell tokens of ibi and resp the slow rhythms around them, in windows of 2.5 to 30 min; "
            "window_tokens should then hold a night"
        ),
    ] = False
    context: Annotated[ContextName, Field(description="what lets neighbouring tokens weigh on each other")] = (
        "attention"
    )
    head_dropout: Annotated[
        float | None, Field(ge=0, lt=1, description="of rhythms, context and heads; as the encoder's by default")
    ] = None
    encoder_rate: Annotated[float, Field(gt=0, le=1, description="factor on the learning rate of the encoder")] = 0.3
    lora_rank: Annotated[int, Field(ge=1)] = 8
    lora_alpha: Annotated[int, Field(ge=1)] = 16
    dropout: DropoutConfig = DropoutConfig()
    task_weights: Annotated[
        dict[str, Annotated[float, Field(ge=0)]], Field(description="of losses, by task; else 1 for staging and 0.1")
    ] = {}

    @model_validator(mode="after")
    def _probes_read_the_encoder(self) -> Self:
        if self.train == "probe" and self.rhythms:
            raise ValueError("a probe (train: probe) reads the encoder alone; leave out rhythms, or train head")
        return self


class NightSequence(Sequence[NightBatch]):
    """Whole nights, one a batch, read when asked for; of nights longer than the model sees at once, their beginning."""

    def __init__(self, reader: NightReader, night_ids: Sequence[str]) -> None:
        self._reader, self._night_ids = reader, tuple(night_ids)

    def __len__(self) -> int:
        return len(self._night_ids)

    @overload
    def __getitem__(self, place: int) -> NightBatch: ...

    @overload
    def __getitem__(self, place: slice) -> "NightSequence": ...

    def __getitem__(self, place: int | slice) -> "NightBatch | NightSequence":
        if isinstance(place, slice):
            return NightSequence(self._reader, self._night_ids[place])
        row = self._reader.views.store.row(self._night_ids[place])
        return self._reader.batch_of([Window(row.night_id, 0, min(row.n_tokens, MAX_TOKENS))])


def let_learn(module: SleepModel, config: FinetuneConfig) -> None:
    """Freeze what does not learn; put adapters where they were asked for."""
    if config.train == "full":
        return
    module.encoder.requires_grad_(False)
    if config.train in ("lora", "dora"):
        add_adapters(module.encoder.backbone, config.lora_rank, config.lora_alpha, dora=config.train == "dora")
    mixture = getattr(module.encoder.backbone, "mixture", None)
    if isinstance(mixture, nn.Module):
        mixture.requires_grad_(True)


def finetuning_work(
    module: SleepModel,
    tasks: Mapping[str, Task],
    source: NightSource,
    validation: Sequence[NightBatch],
    scorings: ScoringReader,
    config: FinetuneConfig,
) -> Work[NightBatch]:
    """What `training.runner.train` needs to fine-tune `module`."""

    def loss(model: nn.Module, batch: NightBatch, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        heard = with_dropout(batch, config.dropout, generator)
        return combined_loss(model(heard.views, heard.seconds, heard.first_B), batch.labels, tasks, config.task_weights)

    return Work(
        module=module,
        batch=source.batch,
        to_device=NightBatch.to,
        loss=loss,
        validate=lambda averaged: {
            f"validation/{name}": value
            for name, value in validation_scores(averaged, tasks, validation, scorings).items()
        },
        rates={"encoder.": config.encoder_rate},
        windows=lambda batch: len(batch.night_ids),
    )


def combined_loss(
    answers: Answers, labels: Mapping[str, Tensor], tasks: Mapping[str, Task], weights: Mapping[str, float]
) -> tuple[Tensor, dict[str, float]]:
    """The weighted mean of the tasks' losses over those of the best constant answers; and each of them."""
    total, told, weight_sum = torch.zeros((), device=answers.readable_BL.device), {}, 0.0
    for name, task in tasks.items():
        weight = weights.get(name, task.weight)
        part = task.loss(answers.outputs[name], labels[name], answers.readable_BL) / task.chance
        total, weight_sum = total + weight * part, weight_sum + weight
        if bool(torch.isfinite(labels[name]).any()):
            told[f"train/{name}"] = float(part.detach())
    return total / max(weight_sum, 1e-9), told


def with_dropout(batch: NightBatch, config: DropoutConfig, generator: torch.Generator) -> NightBatch:
    """The batch with modalities and stretches of sensors hidden at random."""
    valid_BML = torch.stack([view.valid_BL for view in batch.views.values()], dim=1)
    kept_BML = drop_modalities(valid_BML.cpu(), batch.sensors_BM, config, generator).to(valid_BML.device)
    return batch.restricted(kept_BML)


@torch.no_grad()
def answers_of(
    module: nn.Module, tasks: Mapping[str, Task], batches: Iterable[NightBatch], scorings: ScoringReader
) -> Iterator[tuple[Answers, dict[str, Answered]]]:
    """For each batch of one whole night, what the model says and, by task, the same beside what is known.

    A night longer than the model sees at once is judged by its beginning.
    """
    module.eval()
    device = next(module.parameters()).device
    for batch in batches:
        (night_id,) = batch.night_ids
        on_device = batch.to(device)
        answers = module(on_device.views, on_device.seconds, on_device.first_B)
        scoring = scorings.of(night_id)
        yield (
            answers,
            {
                name: Answered(scoring=scoring, output=whole_output(task, answers, scoring.row.n_tokens))
                for name, task in tasks.items()
            },
        )


def whole_output(task: Task, answers: Answers, n_tokens: int) -> np.ndarray:
    """What a task's head said of the one night of a batch, NaN where it abstained or was not asked."""
    output = answers.outputs[task.name][0].float()
    readable_L = answers.readable_BL[0]
    if task.resolution == "night":
        return output.cpu().numpy() if bool(readable_L.any()) else np.full(output.shape, np.nan, dtype=np.float32)
    per_token = TOKEN_SECONDS if task.resolution == "second" else 1
    output = output.masked_fill(~readable_L.repeat_interleave(per_token)[:, None], float("nan"))
    whole = np.full((n_tokens * per_token, output.shape[1]), np.nan, dtype=np.float32)
    whole[: len(output)] = output.cpu().numpy()
    return whole


def night_embedding(answers: Answers) -> np.ndarray:
    """(D,) of the one night of a batch: what heads of nights read, or the mean [CLS]; NaN where nothing was valid."""
    embedding_BD = answers.windows_BD if answers.nights_BH is None else answers.nights_BH
    told_D = embedding_BD[0].float().cpu().numpy()
    return told_D if bool(answers.readable_BL.any()) else np.full_like(told_D, np.nan)


def validation_answers(
    module: nn.Module, tasks: Mapping[str, Task], batches: Sequence[NightBatch], scorings: ScoringReader
) -> dict[str, list[Answered]]:
    """By task, all answers to nights that have a label of it."""
    found: dict[str, list[Answered]] = {name: [] for name in tasks}
    for _, answered in answers_of(module, tasks, batches, scorings):
        for name, answer in answered.items():
            if tasks[name].knows(answer.scoring.row, scorings):
                found[name].append(answer)
    return found


def validation_scores(
    module: nn.Module, tasks: Mapping[str, Task], batches: Sequence[NightBatch], scorings: ScoringReader
) -> dict[str, float]:
    """A few numbers of every task, over all nights of unseen people, with all modalities present."""
    answers = validation_answers(module, tasks, batches, scorings)
    return scores_of(tasks, answers)


def scores_of(tasks: Mapping[str, Task], answers: Mapping[str, Sequence[Answered]]) -> dict[str, float]:
    """By ``task/number``."""
    return {
        f"{name}/{number}": value
        for name, task in tasks.items()
        if answers[name]
        for number, value in task.scores(answers[name]).items()
    }
