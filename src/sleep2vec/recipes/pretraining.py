"""A pretraining recipe, run."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import nn

from sleep2vec.data.pairs import PairSource
from sleep2vec.data.people import PEOPLE, hashes_of
from sleep2vec.data.splits import Split, split_nights
from sleep2vec.data.window import WindowReader
from sleep2vec.model.checkpoint import save_checkpoint
from sleep2vec.recipes.card import card_text, training_data
from sleep2vec.recipes.finished import check_place, finished_scores
from sleep2vec.recipes.loading import recipe_text
from sleep2vec.recipes.schema import PretrainRecipe
from sleep2vec.recipes.start import note_start
from sleep2vec.report.run_history import RunHistory
from sleep2vec.report.run_warnings import warnings_of
from sleep2vec.store.manifest import ManifestRow
from sleep2vec.store.reader import Store
from sleep2vec.tasks.alignment import Aligner
from sleep2vec.tasks.calibration import calibrate
from sleep2vec.tasks.pretraining import alignment_work
from sleep2vec.tasks.probing import Probing
from sleep2vec.training.logging import RunLog, read_log
from sleep2vec.training.resume import discard_state
from sleep2vec.training.runner import Progress, fingerprint_of, train
from sleep2vec.training.work import HOW_NOT_WHAT
from sleep2vec.training.world import World, joined_world
from sleep2vec.vocabulary.errors import StoreError

VALIDATION_SEED_OFFSET = 1_000_003
Validate = Callable[[nn.Module], dict[str, float]]


def run_pretraining(
    recipe: PretrainRecipe, watch: Callable[[Progress], None] | None = None, *, i_know: bool = False
) -> dict[str, float]:
    """Pretrain, write the model into ``recipe.out`` and return the last validation numbers.

    Several processes that `torchrun` started share the work; the main one writes, the others return nothing.
    """
    with joined_world(recipe.run.device) as world:
        return _run(recipe, world, watch, i_know)


def _run(
    recipe: PretrainRecipe, world: World, watch: Callable[[Progress], None] | None, i_know: bool
) -> dict[str, float]:
    check_place(recipe.out)
    store = Store(recipe.store)
    split = split_nights(store.rows, recipe.split, i_know=i_know)
    fingerprint = _fingerprint(recipe, split, store)
    earlier = finished_scores(recipe.out, fingerprint)
    if earlier is not None:
        return earlier
    people = {store.row(night_id).person for night_id in split.train}
    if len(people) < 2:
        raise StoreError(f"{recipe.store} leaves {len(people)} people for training; contrast needs at least 2.")
    modalities = recipe.model.modalities
    torch.manual_seed(recipe.run.seed)
    module = Aligner(recipe.model, recipe.alignment)
    keeps = recipe.batches.keep_features
    reader = WindowReader(
        store,
        module.encoder.front_end if keeps else None,
        recipe.batches.feature_folder,
        as_integers=world.device.type == "cuda",
    )
    reader.prepare((*split.train, *split.validation)[world.rank :: world.size], modalities)
    n_steps = recipe.run.steps * recipe.run.accumulate
    source = PairSource(
        reader, split.train, modalities, recipe.batches, recipe.run.seed, n_steps=n_steps, share=world.share
    )
    calibrate(module.encoder, reader, split.train, recipe.run.seed, also=module.calibrate)
    work = alignment_work(
        module, source, _validation(reader, split.validation, recipe), recipe.alignment, recipe.run, rates={}
    )
    probing = None
    if recipe.probes.when != "never":
        probing = Probing(reader, split.validation, module.encoder, recipe.probes)
        if recipe.probes.when == "validation":
            work = replace(work, validate=_both(work.validate, probing))
    if world.main:
        sides = {"training": split.train, "validation": split.validation}
        note_start(recipe.out, recipe, {side: [store.row(night_id) for night_id in ids] for side, ids in sides.items()})
    averaged = train(work, recipe.run, recipe.optimizer, recipe.out, fingerprint, watch, world)
    if not world.main:
        return {}
    if probing is not None and recipe.probes.when == "end":
        with RunLog(recipe.out, recipe.run.steps) as log:
            log.write(recipe.run.steps, probing(averaged))
    return _saved(recipe, averaged, [store.row(night_id) for night_id in split.train], fingerprint)


def _fingerprint(recipe: PretrainRecipe, split: Split, store: Store) -> str:
    """Of all that decides what is learned; where things lie, and how it is computed or watched, may change."""
    told = recipe.model_dump_json(
        exclude={"out": True, "store": True, "probes": True, "batches": {"feature_folder"}, "run": set(HOW_NOT_WHAT)}
    )
    return fingerprint_of(told, split.model_dump_json(), *(row.taught for row in store.rows))


def _saved(
    recipe: PretrainRecipe, averaged: nn.Module, taught: Sequence[ManifestRow], fingerprint: str
) -> dict[str, float]:
    """Write the model and drop the state of the run; returns the last validation numbers."""
    numbers = last_numbers(recipe)
    data = training_data(taught)
    config = {
        "fingerprint": fingerprint,
        "kind": "pretrained",
        "model": recipe.model.model_dump(mode="json"),
        "training_data": {"pretraining": data.as_dict()},
        "recipe": recipe.model_dump(mode="json"),
        "scores": numbers,
        PEOPLE: sorted(hashes_of(taught)),
    }
    card = card_text(
        f"sleep2vec {recipe.model.size}, pretrained",
        "Embeddings of 30 s tokens and of nights from any of its modalities; fine-tune it for a task.",
        [("pretraining", data)],
        numbers,
        recipe_text(recipe),
        warnings_of(RunHistory(read_log(recipe.out))),
    )
    save_checkpoint(recipe.out, averaged.state_dict(), config, card, recipe.weights)
    discard_state(recipe.out)
    return numbers


def _both(validate: Validate, probing: Probing) -> Validate:
    return lambda averaged: {**validate(averaged), **probing(averaged)}


def _validation(reader: WindowReader, night_ids: tuple[str, ...], recipe: PretrainRecipe) -> PairSource | None:
    try:
        seed = recipe.run.seed + VALIDATION_SEED_OFFSET
        # Every pair is judged, one after the other, whatever training draws.
        batches = recipe.batches.model_copy(update={"views": 2, "pair_schedule": ()})
        return PairSource(reader, night_ids, recipe.model.modalities, batches, seed)
    except StoreError:  # too few people kept apart to contrast: then nothing is validated, and the card says so
        return None


def last_numbers(recipe: PretrainRecipe) -> dict[str, float]:
    """The overall validation numbers of a finished run."""
    last = {name: value for _, name, value in read_log(recipe.out)}
    wanted = {"loss": "validation/loss", "top1": "validation/top1", "top1_by_chance": "validation/chance"}
    wanted |= {name: f"probes/{name}" for name in ("site_mean", "person_within_mean", "stage_token")}
    return {name: last[logged] for name, logged in wanted.items() if logged in last}
