"""A fine-tuning recipe, run."""

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sleep2vec.data.nights import NightBatch, NightSource
from sleep2vec.data.splits import Split, split_nights
from sleep2vec.data.window import Window, WindowReader
from sleep2vec.model.checkpoint import (
    load_config,
    load_weights,
    model_config,
    save_checkpoint,
    structure_of,
    weights_digest,
)
from sleep2vec.model.encoder import MAX_TOKENS, ModelConfig
from sleep2vec.model.shipped import model_folder
from sleep2vec.recipes.card import TrainingData, card_text, training_data
from sleep2vec.recipes.finished import check_place, finished_scores
from sleep2vec.recipes.loading import recipe_text
from sleep2vec.recipes.people import PEOPLE, hashes_of, people_of, refuse_known_people
from sleep2vec.recipes.schema import FinetuneRecipe
from sleep2vec.recipes.start import note_start
from sleep2vec.store.reader import Store
from sleep2vec.tasks.calibration import calibrate, calibrate_fusion
from sleep2vec.tasks.staging import Stager, staging_scores, staging_work
from sleep2vec.training.resume import discard_state, newest_state
from sleep2vec.training.runner import Progress, fingerprint_of, train
from sleep2vec.training.work import HOW_NOT_WHAT
from sleep2vec.training.world import World, joined_world
from sleep2vec.vocabulary.errors import ModelError, StoreError

ENCODER_PREFIX = "encoder."


def run_finetuning(
    recipe: FinetuneRecipe, watch: Callable[[Progress], None] | None = None, *, i_know: bool = False
) -> dict[str, float]:
    """Fine-tune staging, write the model into ``recipe.out`` and return its scores on the validation people.

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
    origin = None if start is None else weights_digest(start)
    split = split_nights(store.rows, recipe.split, i_know=i_know)
    known = frozenset() if start is None else people_of(load_config(start))
    if not i_know and start is not None:
        judges = [store.row(night_id) for night_id in (*split.validation, *split.test)]
        refuse_known_people(known, judges, start)
    model = _model(recipe, start)
    fingerprint = fingerprint_of(
        recipe.model_dump_json(
            exclude={"out": True, "store": True, "pretrained": True, "feature_folder": True, "run": set(HOW_NOT_WHAT)}
        ),
        origin,
        structure_of(lambda: Stager(model)),
        split.model_dump_json(),
        *(row.taught for row in store.rows),
    )
    earlier = finished_scores(recipe.out, fingerprint)
    if earlier is not None:
        return earlier
    labelled = labelled_nights(store, split, recipe.labelled_nights, recipe.run.seed)
    torch.manual_seed(recipe.run.seed)
    module, history = _start(model, start)
    modalities = module.config.modalities
    reader = WindowReader(store, module.encoder.front_end if recipe.keep_features else None, recipe.feature_folder)
    reader.prepare((*labelled, *split.validation), modalities)
    if newest_state(recipe.out) is None:  # else the run goes on with what it had begun with
        if recipe.pretrained is None:
            calibrate(module.encoder, reader, split.train, recipe.run.seed)
        calibrate_fusion(module.fusion, module.encoder, reader, split.train, recipe.run.seed)
    source = NightSource(reader, labelled, modalities, recipe.batch_windows, recipe.window_tokens, recipe.run.seed)
    validation = validation_batches(reader, split.validation, modalities)
    work = staging_work(module, source, validation, recipe.staging)
    if world.main:
        sides = {"training": labelled, "validation": split.validation}
        note_start(recipe.out, recipe, {side: [store.row(night_id) for night_id in ids] for side, ids in sides.items()})
    averaged = train(work, recipe.run, recipe.optimizer, recipe.out, fingerprint, watch, world)
    if not world.main:
        return {}
    scores = {name.removeprefix("validation/"): value for name, value in staging_scores(averaged, validation).items()}
    taught = [store.row(night_id) for night_id in labelled]
    config = {
        "fingerprint": fingerprint,
        "training_data": {**history, "staging": training_data(taught).as_dict()},
        "scores": scores,
        PEOPLE: sorted(known | hashes_of(taught)),
    }
    _save(recipe, averaged, module.config, config)
    return scores


def _save(recipe: FinetuneRecipe, averaged: nn.Module, model: ModelConfig, told: Mapping[str, Any]) -> None:
    """Write the model and drop the state of the run."""
    config = {
        "kind": "staging",
        "model": model.model_dump(mode="json"),
        "recipe": recipe.model_dump(mode="json"),
        **told,
    }
    card = card_text(
        f"sleep2vec {model.size}, staging",
        "Sleep stages (5, 4 or 3 classes) from any subset of its modalities.",
        [(use, TrainingData(**facts)) for use, facts in told["training_data"].items()],
        told["scores"],
        recipe_text(recipe),
    )
    save_checkpoint(recipe.out, averaged.state_dict(), config, card, recipe.weights)
    discard_state(recipe.out)


def labelled_nights(store: Store, split: Split, limit: int | None, seed: int) -> tuple[str, ...]:
    """Training nights that somebody scored, at most `limit` of them, drawn by `seed`."""
    scored = [night_id for night_id in split.train if store.row(night_id).n_scored_tokens > 0]
    if not scored:
        raise StoreError(f"{store.path}: none of its {len(split.train)} training nights has sleep stages.")
    return tuple(scored if limit is None else random.Random(seed).sample(scored, min(limit, len(scored))))


def validation_batches(reader: WindowReader, night_ids: Sequence[str], modalities: Sequence[str]) -> list[NightBatch]:
    """Scored nights whole, one a batch; of nights longer than the model sees at once, their beginning."""
    source = NightSource(reader, night_ids, modalities, 1, MAX_TOKENS, 0)
    rows = [reader.store.row(night_id) for night_id in night_ids]
    return [
        source.batch_of([Window(row.night_id, 0, min(row.n_tokens, MAX_TOKENS))]) for row in rows if row.n_scored_tokens
    ]


def _model(recipe: FinetuneRecipe, start: Path | None) -> ModelConfig:
    """What the encoder is made of: as the recipe says, or as it was pretrained."""
    if start is None:
        assert recipe.model is not None  # the recipe checks that
        return recipe.model
    config = load_config(start)
    if "pretraining" not in config.get("training_data", {}):
        raise ModelError(f"{start} was never pretrained; name a folder that `sleep2vec pretrain` wrote.")
    return model_config(start, config)


def _start(model: ModelConfig, start: Path | None) -> tuple[Stager, dict[str, Any]]:
    """A stager, from scratch or around a pretrained encoder, and what its encoder was trained on."""
    stager = Stager(model)
    if start is None:
        return stager, {}
    weights = load_weights(start)
    encoder = {name.removeprefix(ENCODER_PREFIX): w for name, w in weights.items() if name.startswith(ENCODER_PREFIX)}
    try:
        stager.encoder.load_state_dict(encoder)
    except RuntimeError:
        raise ModelError(f"the weights in {start} do not fit its config; copy the model again.") from None
    return stager, dict(load_config(start)["training_data"])
