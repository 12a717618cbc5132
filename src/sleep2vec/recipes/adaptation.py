"""An adaptation recipe, run: a pretrained model learns new sensors."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sleep2vec.data.pairs import PairConfig, PairSource
from sleep2vec.data.people import PEOPLE, hashes_of, people_of, refuse_known_people
from sleep2vec.data.splits import Split, split_nights
from sleep2vec.data.window import WindowReader
from sleep2vec.model.checkpoint import (
    Precision,
    load_config,
    load_weights,
    model_config,
    save_checkpoint,
    weights_digest,
)
from sleep2vec.model.shipped import model_folder
from sleep2vec.recipes.card import TrainingData, card_text, training_data
from sleep2vec.recipes.finished import check_place, finished_scores
from sleep2vec.recipes.loading import recipe_text
from sleep2vec.recipes.schema import AdaptRecipe, Stage
from sleep2vec.recipes.start import note_start
from sleep2vec.report.run_history import RunHistory
from sleep2vec.report.run_warnings import warnings_of
from sleep2vec.store.manifest import ManifestRow
from sleep2vec.store.reader import Store
from sleep2vec.tasks.adaptation import let_learn, new_pairs_first, rates_of, widened
from sleep2vec.tasks.alignment import Aligner
from sleep2vec.tasks.calibration import calibrate
from sleep2vec.tasks.pretraining import alignment_work
from sleep2vec.training.logging import read_log
from sleep2vec.training.resume import discard_state
from sleep2vec.training.runner import Progress, fingerprint_of, train
from sleep2vec.training.work import HOW_NOT_WHAT
from sleep2vec.training.world import World, joined_world
from sleep2vec.vocabulary.errors import ModelError, StoreError, UsageError

STAGE_1 = "stage-1"
"""Folder below the run's own: the model in which only the new tokenizers have learned."""
_VALIDATION_SEED_OFFSET = 1_000_003
Watch = Callable[[Progress], None]


@dataclass(frozen=True)
class _Adaptation:
    """What both stages work with."""

    recipe: AdaptRecipe
    store: Store
    split: Split
    origin: dict[str, Any]
    old: Aligner
    world: World
    fingerprint: str

    @property
    def new(self) -> tuple[str, ...]:
        return self.recipe.modalities

    def rows(self, night_ids: Sequence[str]) -> list[ManifestRow]:
        return [self.store.row(night_id) for night_id in night_ids]

    def begun(self) -> Aligner:
        """The pretrained model with new tokenizers that have learned nothing, the same at every call."""
        torch.manual_seed(self.recipe.stage_1.run.seed)
        return widened(self.old, self.new, self.recipe.alignment)

    def source(
        self, reader: WindowReader, night_ids: Sequence[str], batches: PairConfig, seed: int, n_steps: int | None = None
    ) -> PairSource:
        names = (*self.old.encoder.config.modalities, *self.new)
        return PairSource(reader, night_ids, names, batches, seed, n_steps=n_steps)


def run_adaptation(
    recipe: AdaptRecipe, watch: Callable[[int], Watch | None] | None = None, *, i_know: bool = False
) -> dict[str, float]:
    """Adapt, write the model into ``recipe.out`` and return the last validation numbers.

    The model of the first stage, whose embeddings of the old modalities are those of the model it came from, is left
    in ``recipe.out / STAGE_1``. A stopped run goes on in the stage where it was. Several processes that `torchrun`
    started share the work; the main one writes, the others return nothing.

    Args:
        recipe: what to do.
        watch: gives the watcher of a stage, 1 or 2.
        i_know: allow validation and test people whom the pretrained model knows, and leaking splits.

    Raises:
        ModelError: there is no pretrained model, or it is none that can be aligned with.
        UsageError: it reads the new modalities already, or it knows people kept apart.
        StoreError: no two training nights hold a new modality together with an old one.
    """
    with joined_world(recipe.stage_1.run.device) as world:
        return _run(recipe, world, watch or (lambda stage: None), i_know)


def _run(recipe: AdaptRecipe, world: World, watch: Callable[[int], Watch | None], i_know: bool) -> dict[str, float]:
    check_place(recipe.out)
    start = model_folder(recipe.pretrained)
    origin, old = _pretrained(recipe, start)
    store = Store(recipe.store)
    split = split_nights(store.rows, recipe.split, i_know=i_know)
    if not i_know:
        judges = [store.row(night_id) for night_id in (*split.validation, *split.test)]
        refuse_known_people(people_of(origin), judges, start)
    how = {"run": set(HOW_NOT_WHAT)}
    told = recipe.model_dump_json(
        exclude={
            **dict.fromkeys(("out", "store", "pretrained"), True),
            "batches": {"feature_folder"},
            "stage_1": how,
            "stage_2": how,
        }
    )
    nights = (row.taught for row in store.rows)
    fingerprint = fingerprint_of(told, weights_digest(start), split.model_dump_json(), *nights)
    earlier = finished_scores(recipe.out, fingerprint)
    if earlier is not None:
        return earlier
    adaptation = _Adaptation(recipe, store, split, origin, old, world, fingerprint)
    module = adaptation.begun()
    reader = _reader(adaptation, module)
    first = recipe.out / STAGE_1
    if finished_scores(first, fingerprint) is None:
        let_learn(module, adaptation.new)
        _train(adaptation, module, reader, recipe.stage_1, (1.0,), {}, first, "float32", watch(1))
    world.gathered(0)  # nobody goes on before the main process has written
    module = adaptation.begun()
    module.load_state_dict(load_weights(first))
    rates = rates_of(adaptation.new, recipe.adaptation)
    shares = recipe.adaptation.new_pairs
    return _train(adaptation, module, reader, recipe.stage_2, shares, rates, recipe.out, recipe.weights, watch(2))


def _pretrained(recipe: AdaptRecipe, start: Path) -> tuple[dict[str, Any], Aligner]:
    """The model that is adapted, and its configuration."""
    origin = load_config(start)
    if origin.get("kind") != "pretrained":
        raise ModelError(
            f"{start} holds a model of kind {origin.get('kind')!r}, which has lost the space where sensors meet; "
            "name a folder that `sleep2vec pretrain` or `sleep2vec adapt` wrote, and fine-tune the result."
        )
    config = model_config(start, origin)
    known = [name for name in recipe.modalities if name in config.modalities]
    if known:
        raise UsageError(f"{start} reads {' and '.join(known)} already; name in `modalities` only what is new to it.")
    objective = recipe.alignment
    old = Aligner(config, objective)
    try:
        old.load_state_dict(load_weights(start))
    except RuntimeError:
        asked = f"{objective.objective} with reconstruction_weight {objective.reconstruction_weight:g}"
        raise ModelError(
            f"the weights in {start} do not fit its config, or it learned by another kind of objective than {asked}"
            f"{_learned_by(origin)}; name in `alignment` what it was pretrained with, or copy the model again."
        ) from None
    return origin, old


def _learned_by(origin: Mapping[str, Any]) -> str:
    told = origin.get("recipe", {}).get("alignment", {})
    if "objective" not in told:
        return ""
    return f" (its recipe says {told['objective']} with {told.get('reconstruction_weight', 0.0):g})"


def _reader(adaptation: _Adaptation, module: Aligner) -> WindowReader:
    """Of the store; the new tokenizers of `module` know the usual size of their features then."""
    recipe, split, seed = adaptation.recipe, adaptation.split, adaptation.recipe.stage_1.run.seed
    front_end = module.encoder.front_end if recipe.batches.keep_features else None
    reader = WindowReader(adaptation.store, front_end, recipe.batches.feature_folder)
    old = adaptation.old.encoder.config.modalities
    pairs = adaptation.source(reader, split.train, recipe.batches, seed).pairs
    unmet = [name for name in adaptation.new if not any(name in pair and set(pair) & set(old) for pair in pairs)]
    if unmet:
        raise StoreError(
            f"{recipe.store}: no two of its {len(split.train)} training nights hold {' or '.join(unmet)} together with "
            f"a modality that {recipe.pretrained} reads; ingest nights that do, or leave it out of `modalities`."
        )
    reader.prepare((*split.train, *split.validation), module.encoder.config.modalities)
    calibrate(module.encoder, reader, split.train, seed, adaptation.new, also=module.calibrate)
    return reader


def _train(
    adaptation: _Adaptation,
    module: Aligner,
    reader: WindowReader,
    stage: Stage,
    new_pairs: Sequence[float],
    rates: dict[str, float],
    out: Path,
    precision: Precision,
    watch: Watch | None,
) -> dict[str, float]:
    """One stage, whose model is written into `out`."""
    recipe, split, run = adaptation.recipe, adaptation.split, stage.run
    batches = new_pairs_first(recipe.batches, adaptation.new, new_pairs)
    source = adaptation.source(reader, split.train, batches, run.seed, n_steps=run.steps * run.accumulate)
    try:
        seed = run.seed + _VALIDATION_SEED_OFFSET
        validation = adaptation.source(reader, split.validation, recipe.batches, seed)
    except StoreError:  # too few people kept apart to contrast: then nothing is validated, and the card says so
        validation = None
    work = alignment_work(module, source, validation, recipe.alignment, run, rates)
    if adaptation.world.main:
        sides = {"training": split.train, "validation": split.validation}
        note_start(out, recipe, {side: adaptation.rows(night_ids) for side, night_ids in sides.items()})
    averaged = train(work, run, stage.optimizer, out, adaptation.fingerprint, watch, adaptation.world)
    if not adaptation.world.main:
        return {}
    numbers = _last_numbers(out, adaptation.new)
    _save(adaptation, averaged, numbers, out, precision)
    discard_state(out)
    return numbers


def _save(
    adaptation: _Adaptation, averaged: torch.nn.Module, numbers: dict[str, float], out: Path, precision: Precision
) -> None:
    recipe, origin = adaptation.recipe, adaptation.origin
    taught = adaptation.rows(adaptation.split.train)
    history = {**origin["training_data"], f"adaptation to {', '.join(adaptation.new)}": training_data(taught).as_dict()}
    model = adaptation.begun().encoder.config
    old = adaptation.old.encoder.config.modalities
    config = {
        "fingerprint": adaptation.fingerprint,
        "kind": "pretrained",
        "model": model.model_dump(mode="json"),
        "training_data": history,
        "adapted_from": {"fingerprint": origin.get("fingerprint"), "modalities": old, "scores": origin.get("scores")},
        "recipe": recipe.model_dump(mode="json"),
        "scores": numbers,
        PEOPLE: sorted(people_of(origin) | hashes_of(taught)),
    }
    frozen = " Only its new tokenizers have learned: what it makes of the others is what that model makes of them."
    card = card_text(
        f"sleep2vec {model.size}, pretrained and adapted",
        "Embeddings of 30 s tokens and of nights from any of its modalities; fine-tune it for a task. Adapted to "
        f"{', '.join(adaptation.new)} from the model {origin.get('fingerprint')}, which read {', '.join(old)}."
        + (frozen if out != recipe.out else ""),
        [(use, TrainingData(**data)) for use, data in history.items()],
        numbers,
        recipe_text(recipe),
        warnings_of(RunHistory(read_log(out))),
    )
    save_checkpoint(out, averaged.state_dict(), config, card, precision)


def _last_numbers(out: Path, new: Sequence[str]) -> dict[str, float]:
    """The last validation numbers of a stage: over all pairs, and over those with each new modality."""
    last = {name: value for _, name, value in read_log(out)}
    wanted = {"loss": "validation/loss", "top1": "validation/top1", "top1_by_chance": "validation/chance"}
    numbers = {name: last[logged] for name, logged in wanted.items() if logged in last}
    for modality in new:
        prefix = "validation/top1_"
        pairs = [name for name in last if name.startswith(prefix) and modality in name.removeprefix(prefix).split("_")]
        if pairs:
            numbers[f"top1_{modality}"] = sum(last[name] for name in pairs) / len(pairs)
    return numbers
