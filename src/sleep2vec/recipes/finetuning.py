"""A fine-tuning recipe, run."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sleep2vec.data.nights import NightReader, NightSource
from sleep2vec.data.people import FITTED, PEOPLE, hashes_of, people_of, refuse_known_people
from sleep2vec.data.scoring import ScoringReader
from sleep2vec.data.splits import Split, split_nights
from sleep2vec.data.window import WindowReader
from sleep2vec.model.adapters import merge_adapters
from sleep2vec.model.checkpoint import (
    load_config,
    load_weights,
    model_config,
    save_checkpoint,
    structure_of,
    weights_digest,
)
from sleep2vec.model.encoder import ModelConfig
from sleep2vec.model.seconds import second_features
from sleep2vec.model.shipped import model_folder
from sleep2vec.model.sleep_model import SleepModel, SleepModelConfig
from sleep2vec.recipes.card import TrainingData, card_text, training_data
from sleep2vec.recipes.finished import check_place, finished_scores
from sleep2vec.recipes.loading import recipe_text
from sleep2vec.recipes.schema import FinetuneRecipe
from sleep2vec.recipes.start import note_start
from sleep2vec.store.manifest import ManifestRow
from sleep2vec.store.reader import Store
from sleep2vec.tasks.calibration import calibrate, calibrate_fusion, calibrate_rhythms, calibrate_seconds
from sleep2vec.tasks.familiarity import familiarity
from sleep2vec.tasks.finetuned import KIND, Finetuned
from sleep2vec.tasks.finetuning import (
    NightSequence,
    answers_of,
    finetuning_work,
    let_learn,
    night_embedding,
    scores_of,
    validation_answers,
)
from sleep2vec.tasks.registry import tasks_of
from sleep2vec.tasks.staging import Staging
from sleep2vec.tasks.survival import SurvivalModel, fit_survival
from sleep2vec.tasks.task import Task
from sleep2vec.training.resume import discard_state, newest_state
from sleep2vec.training.runner import Progress, fingerprint_of, train
from sleep2vec.training.work import HOW_NOT_WHAT
from sleep2vec.training.world import World, joined_world
from sleep2vec.vocabulary.errors import ModelError, StoreError

ENCODER_PREFIX = "encoder."
_NIGHTS_TO_PREPARE = 512
"""So many training nights say what is usual of a label."""
_NIGHTS_TO_FIT = 512
"""So many validation nights decide on temperatures and thresholds."""


def run_finetuning(
    recipe: FinetuneRecipe, watch: Callable[[Progress], None] | None = None, *, i_know: bool = False
) -> dict[str, float]:
    """Fine-tune the tasks of a recipe, write the model into ``recipe.out``, return its scores on validation people.

    Several processes that `torchrun` started share the work; the main one writes, the others return nothing.
    """
    with joined_world(recipe.run.device) as world:
        return _run(recipe, world, watch, i_know)


def _run(
    recipe: FinetuneRecipe, world: World, watch: Callable[[Progress], None] | None, i_know: bool
) -> dict[str, float]:
    check_place(recipe.out)
    store = Store(recipe.store)
    start = None if recipe.pretrained is None else model_folder(recipe.pretrained)
    split = split_nights(store.rows, recipe.split, i_know=i_know)
    known = frozenset() if start is None else people_of(load_config(start))
    if not i_know and start is not None:
        judges = [store.row(night_id) for night_id in (*split.validation, *split.test)]
        refuse_known_people(known, judges, start)
    scorings = ScoringReader(store)
    labelled = labelled_nights(recipe, scorings, split)
    tasks = prepared_tasks(recipe, scorings, labelled)
    made_of = _made_of(recipe, start, tasks)
    fingerprint = fingerprint_of(
        recipe.model_dump_json(
            exclude={"out": True, "store": True, "pretrained": True, "feature_folder": True, "run": set(HOW_NOT_WHAT)}
        ),
        None if start is None else weights_digest(start),
        structure_of(lambda: SleepModel(made_of)),
        split.model_dump_json(),
        *(row.taught for row in store.rows),
    )
    earlier = finished_scores(recipe.out, fingerprint)
    if earlier is not None:
        return earlier
    torch.manual_seed(recipe.run.seed)
    module, history = _start(made_of, start)
    carried = frozenset() if start is None else _carry_on(module, start)
    reader = _reader(recipe, module, scorings, tasks)
    for kept, names in ((reader.views, module.modalities), (reader.seconds, module.heard_by_seconds)):
        if kept is not None:
            kept.prepare((*labelled, *split.validation), names)
    if newest_state(recipe.out) is None:  # else the run goes on with what it had begun with
        if recipe.pretrained is None:
            calibrate(module.encoder, reader.views, split.train, recipe.run.seed)
        if "fusion.modality_MD" not in carried:
            calibrate_fusion(module.fusion, module.encoder, reader.views, split.train, recipe.run.seed)
        if module.seconds is not None and not any(name.startswith("seconds.") for name in carried):
            calibrate_seconds(module.seconds, reader.seconds or reader.views, split.train, recipe.run.seed)
        if module.rhythms is not None and not any(name.startswith("rhythms.") for name in carried):
            fine = reader.seconds or reader.views
            calibrate_rhythms(module.rhythms, fine, split.train, recipe.run.seed, recipe.window_tokens)
    let_learn(module, recipe.finetuning)
    source = NightSource(reader, labelled, recipe.batch_windows, recipe.window_tokens, recipe.run.seed)
    validation = NightSequence(_unlabelled(reader), split.validation)
    work = finetuning_work(module, tasks, source, validation, scorings, recipe.finetuning)
    if world.main:
        sides = {"training": labelled, "validation": split.validation}
        note_start(recipe.out, recipe, {side: [store.row(night_id) for night_id in ids] for side, ids in sides.items()})
    averaged = train(work, recipe.run, recipe.optimizer, recipe.out, fingerprint, watch, world)
    if not world.main:
        return {}
    learned = SleepModel(made_of).to(next(averaged.parameters()).device)
    merge_adapters(averaged)
    learned.load_state_dict(averaged.state_dict())
    fitted, scores = fitted_model(recipe, learned, tasks, reader, split, labelled)
    taught = [store.row(night_id) for night_id in labelled]
    _save(
        recipe,
        fitted,
        {
            "fingerprint": fingerprint,
            "training_data": {**history, _use(history): training_data(taught).as_dict()},
            "scores": scores,
            PEOPLE: sorted(known | hashes_of(taught)),
            FITTED: sorted(hashes_of(store.row(night_id) for night_id in split.validation)),
        },
    )
    return scores


def fitted_model(
    recipe: FinetuneRecipe,
    module: SleepModel,
    tasks: Mapping[str, Task],
    reader: NightReader,
    split: Split,
    labelled: Sequence[str],
) -> tuple[Finetuned, dict[str, float]]:
    """What is fitted once the model has learned, and its scores on validation people.

    Temperatures, thresholds and the limits of the familiar come from validation people; survival from the embeddings of
    all training nights.
    """
    scorings, unlabelled = reader.scorings, _unlabelled(reader)
    validation = NightSequence(unlabelled, split.validation[:_NIGHTS_TO_FIT])
    answers = validation_answers(module, tasks, validation, scorings)
    fitted = {name: task.fitted(answers[name]) for name, task in tasks.items()}
    scores = scores_of(fitted, answers)
    survival = None
    if "survival" in recipe.tasks:
        survival = _survival(recipe, module, unlabelled, labelled)
    usual = familiarity(reader.views, module.modalities, labelled, split.validation)
    return Finetuned(module, fitted, usual, survival), scores


def _survival(
    recipe: FinetuneRecipe, module: SleepModel, reader: NightReader, night_ids: Sequence[str]
) -> SurvivalModel:
    rows: list[ManifestRow] = [reader.views.store.row(night_id) for night_id in night_ids]
    followed = [row for row in rows if any(name.startswith("event.") for name in row.measures)]
    batches = NightSequence(reader, [row.night_id for row in followed])
    told = [night_embedding(answers) for answers, _ in answers_of(module, {}, batches, reader.scorings)]
    embeddings_ND = np.stack(told) if told else np.empty((0, 1))
    return fit_survival(embeddings_ND, followed, recipe.survival)


def _save(recipe: FinetuneRecipe, fitted: Finetuned, told: Mapping[str, Any]) -> None:
    """Write the model and drop the state of the run."""
    titles = [task.title for task in fitted.tasks.values()] + (["survival"] if fitted.survival else [])
    config = {**fitted.told(), "recipe": recipe.model_dump(mode="json"), **told}
    card = card_text(
        f"sleep2vec {fitted.module.config.encoder.size}, {', '.join(fitted.tasks)}",
        f"{', '.join(titles).capitalize()}, from any subset of its modalities.",
        [(use, TrainingData(**facts)) for use, facts in told["training_data"].items()],
        told["scores"],
        recipe_text(recipe),
    )
    save_checkpoint(recipe.out, fitted.tensors(), config, card, recipe.weights)
    discard_state(recipe.out)


def prepared_tasks(recipe: FinetuneRecipe, scorings: ScoringReader, labelled: Sequence[str]) -> dict[str, Task]:
    """The tasks of a recipe with what is to be known of the labels of its training nights.

    Raises:
        StoreError: a task has no label in any of them.
    """
    store = scorings.store
    prepared: dict[str, Task] = {}
    for name, task in _asked(recipe).items():
        knowing = [night_id for night_id in labelled if task.knows(store.row(night_id), scorings)]
        if not knowing:
            raise StoreError(
                f"{store.path}: none of its {len(labelled)} training nights has a label for the task {name}; "
                "leave the task out, or ingest the nights with their scorings and tables."
            )
        drawn = random.Random(0).sample(knowing, min(len(knowing), _NIGHTS_TO_PREPARE))
        prepared[name] = task.prepared([scorings.of(night_id) for night_id in drawn])
    return prepared


def _asked(recipe: FinetuneRecipe) -> dict[str, Task]:
    tasks = tasks_of([name for name in recipe.tasks if name != "survival"], recipe.custom)
    if "staging" in tasks:
        tasks["staging"] = Staging(risk=recipe.risk)
    return tasks


def labelled_nights(recipe: FinetuneRecipe, scorings: ScoringReader, split: Split) -> tuple[str, ...]:
    """Training nights with a label of any task; at most as many nights, or people, as the recipe says, by its seed."""
    store, tasks, draw = scorings.store, _asked(recipe), random.Random(recipe.run.seed)
    rows = [store.row(night_id) for night_id in split.train]
    known = [row for row in rows if any(task.knows(row, scorings) for task in tasks.values())]
    if not known:
        raise StoreError(
            f"{store.path}: none of its {len(split.train)} training nights has labels for {', '.join(tasks)}"
            f"{_no_such_column(recipe, rows)}; ingest the nights with their scorings and tables."
        )
    if recipe.labelled_people is not None:
        people = sorted({row.person for row in known})
        chosen = set(draw.sample(people, min(recipe.labelled_people, len(people))))
        known = [row for row in known if row.person in chosen]
    night_ids = [row.night_id for row in known]
    if recipe.labelled_nights is not None:
        night_ids = draw.sample(night_ids, min(recipe.labelled_nights, len(night_ids)))
    return tuple(night_ids)


def _no_such_column(recipe: FinetuneRecipe, rows: Sequence[ManifestRow]) -> str:
    """What to say where a task of the recipe's own asks for a column that no night has."""
    there = sorted({name for row in rows for name in row.measures})
    missing = [config.column for config in recipe.custom if config.column not in there]
    return f" (no column {missing[0]!r}; there are: {', '.join(there) or 'none'})" if missing else ""


def _reader(
    recipe: FinetuneRecipe, module: SleepModel, scorings: ScoringReader, tasks: Mapping[str, Task]
) -> NightReader:
    """Reads batches with labels; what nothing learned computes is kept where the recipe says so."""
    if not recipe.keep_features:
        views, seconds = WindowReader(scorings.store), None
    else:
        views = WindowReader(scorings.store, module.encoder.front_end, recipe.feature_folder)
        seconds = None
        if module.heard_by_seconds:
            seconds = WindowReader(scorings.store, second_features, recipe.feature_folder)
    return NightReader(views, module.modalities, scorings, tasks, seconds, module.heard_by_seconds)


def _unlabelled(reader: NightReader) -> NightReader:
    return replace(reader, labellers={})


def _made_of(recipe: FinetuneRecipe, start: Path | None, tasks: Mapping[str, Task]) -> SleepModelConfig:
    """What the model is made of: as the recipe says, around the encoder as it was pretrained."""
    encoder = _encoder_config(recipe, start)
    if recipe.finetuning.mix_layers:
        encoder = encoder.model_copy(update={"mix_layers": True})
    return SleepModelConfig(
        encoder=encoder,
        heads={name: task.head for name, task in tasks.items()},
        fusion=recipe.finetuning.fusion,
        linear=recipe.finetuning.train == "probe",
        rhythms=recipe.finetuning.rhythms,
        context=recipe.finetuning.context,
        dropout=recipe.finetuning.head_dropout,
    )


def _encoder_config(recipe: FinetuneRecipe, start: Path | None) -> ModelConfig:
    if start is None:
        assert recipe.model is not None  # the recipe checks that
        return recipe.model
    config = load_config(start)
    if "pretraining" not in config.get("training_data", {}):
        raise ModelError(f"{start} was never pretrained; name a folder that `sleep2vec pretrain` wrote.")
    learned = model_config(start, config)
    if recipe.modalities is None:
        return learned
    missing = [name for name in recipe.modalities if name not in learned.modalities]
    if missing:
        raise ModelError(f"{start} does not read {missing[0]}; it reads {', '.join(learned.modalities)}.")
    return learned.model_copy(update={"modalities": recipe.modalities})


def _start(made_of: SleepModelConfig, start: Path | None) -> tuple[SleepModel, dict[str, Any]]:
    """A model, from scratch or around a pretrained encoder, and what its encoder was trained on."""
    module = SleepModel(made_of)
    if start is None:
        return module, {}
    weights = load_weights(start)
    encoder = {name.removeprefix(ENCODER_PREFIX): w for name, w in weights.items() if name.startswith(ENCODER_PREFIX)}
    left_out = tuple(
        f"tokenizers.{name}." for name in load_config(start)["model"]["modalities"] if name not in module.modalities
    )
    encoder = {name: weight for name, weight in encoder.items() if not (left_out and name.startswith(left_out))}
    mixture = {name: w for name, w in module.encoder.state_dict().items() if name.startswith("backbone.mixture.")}
    try:
        module.encoder.load_state_dict({**mixture, **encoder})
    except RuntimeError:
        raise ModelError(f"the weights in {start} do not fit its config; copy the model again.") from None
    return module, dict(load_config(start)["training_data"])


def _carry_on(module: SleepModel, start: Path) -> frozenset[str]:
    """Take from a model that was fine-tuned before what is alike beside the encoder: fusion, rhythms, context, the path
    of seconds, heads.

    Returns the names of what was taken; none where it was never fine-tuned. Heads of new tasks, and what they read,
    begin at random.
    """
    if load_config(start).get("kind") != KIND:
        return frozenset()
    own = module.state_dict()
    weights = {
        name: weight
        for name, weight in load_weights(start).items()
        if name in own and weight.shape == own[name].shape and not name.startswith(ENCODER_PREFIX)
    }
    module.load_state_dict({**own, **weights})
    return frozenset(weights)


def _use(history: Mapping[str, Any]) -> str:
    """What a training was, among those before it."""
    earlier = sum(use.startswith("finetuning") for use in history)
    return f"finetuning {earlier + 1}" if earlier else "finetuning"
