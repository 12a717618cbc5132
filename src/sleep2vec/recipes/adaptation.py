"""An adaptation recipe, run: a pretrained model learns new sensors."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sleep2vec.data.pairs import PairSource
from sleep2vec.data.splits import Split, split_nights
from sleep2vec.data.window import WindowReader
from sleep2vec.model.checkpoint import load_config, load_weights, model_config, save_checkpoint
from sleep2vec.recipes.card import TrainingData, card_text, training_data
from sleep2vec.recipes.finished import check_place, finished_scores
from sleep2vec.recipes.loading import recipe_text
from sleep2vec.recipes.people import PEOPLE, hashes_of, people_of, refuse_known_people
from sleep2vec.recipes.schema import AdaptRecipe, Stage
from sleep2vec.store.reader import Store
from sleep2vec.tasks.adaptation import PairSchedule, anchored, let_learn, rates_of, scheduled, widened
from sleep2vec.tasks.calibration import calibrate
from sleep2vec.tasks.pretraining import Aligner, alignment_work
from sleep2vec.training.logging import read_log
from sleep2vec.training.resume import discard_state
from sleep2vec.training.runner import Progress, fingerprint_of, pick_device, train
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
    module: Aligner
    reader: WindowReader
    source: PairSource
    validation: PairSource | None
    fingerprint: str

    @property
    def new(self) -> tuple[str, ...]:
        return self.recipe.modalities


def run_adaptation(
    recipe: AdaptRecipe, watch: Callable[[int], Watch | None] | None = None, *, i_know: bool = False
) -> dict[str, float]:
    """Adapt, write the model into ``recipe.out`` and return the last validation numbers.

    The model of the first stage, whose embeddings of the old modalities are those of the model it came from, is left
    in ``recipe.out / STAGE_1``. A stopped run goes on in the stage where it was.

    Args:
        recipe: what to do.
        watch: gives the watcher of a stage, 1 or 2.
        i_know: allow validation and test people whom the pretrained model knows, and leaking splits.

    Raises:
        ModelError: there is no pretrained model, or it is none that can be aligned with.
        UsageError: it reads the new modalities already, or it knows people kept apart.
        StoreError: no two training nights hold a new modality together with an old one.
    """
    check_place(recipe.out)
    for stage in (recipe.stage_1, recipe.stage_2):
        pick_device(stage.run.device)
    origin, old = _pretrained(recipe)
    store = Store(recipe.store)
    split = split_nights(store.rows, recipe.split, i_know=i_know)
    if not i_know:
        judges = [store.row(night_id) for night_id in (*split.validation, *split.test)]
        refuse_known_people(people_of(origin), judges, recipe.pretrained)
    fingerprint = fingerprint_of(
        recipe.model_dump_json(exclude={"out": True, "store": True, "pretrained": True, "batches": {"feature_folder"}}),
        origin.get("fingerprint"),
        split.model_dump_json(),
        *(row.checksum for row in store.rows),
    )
    earlier = finished_scores(recipe.out, fingerprint)
    if earlier is not None:
        return earlier
    adaptation = _prepared(recipe, store, split, origin, old, fingerprint)
    watch = watch or (lambda stage: None)
    first = recipe.out / STAGE_1
    if finished_scores(first, fingerprint) is None:
        let_learn(adaptation.module, adaptation.new)
        pairs = anchored(adaptation.source.pairs, adaptation.new)
        _train(adaptation, recipe.stage_1, pairs, (1.0,), {}, first, watch(1))
    adaptation.module.load_state_dict(load_weights(first))
    let_learn(adaptation.module, None)
    shares, rates = recipe.adaptation.new_pairs, rates_of(adaptation.new, recipe.adaptation)
    return _train(adaptation, recipe.stage_2, adaptation.source.pairs, shares, rates, recipe.out, watch(2))


def _pretrained(recipe: AdaptRecipe) -> tuple[dict[str, Any], Aligner]:
    """The model that is adapted, and its configuration."""
    origin = load_config(recipe.pretrained)
    if origin.get("kind") != "pretrained":
        raise ModelError(
            f"{recipe.pretrained} holds a model of kind {origin.get('kind')!r}, which has lost the space where sensors "
            "meet; name a folder that `sleep2vec pretrain` or `sleep2vec adapt` wrote, and fine-tune the result."
        )
    config = model_config(recipe.pretrained, origin)
    known = [name for name in recipe.modalities if name in config.modalities]
    if known:
        raise UsageError(
            f"{recipe.pretrained} reads {' and '.join(known)} already; name in `modalities` only what is new to it."
        )
    old = Aligner(config)
    try:
        old.load_state_dict(load_weights(recipe.pretrained))
    except RuntimeError:
        raise ModelError(f"the weights in {recipe.pretrained} do not fit its config; copy the model again.") from None
    return origin, old


def _prepared(
    recipe: AdaptRecipe, store: Store, split: Split, origin: dict[str, Any], old: Aligner, fingerprint: str
) -> _Adaptation:
    seed = recipe.stage_1.run.seed
    torch.manual_seed(seed)
    module = widened(old, recipe.modalities)
    names = module.encoder.config.modalities
    keeps = recipe.batches.keep_features
    reader = WindowReader(store, module.encoder.front_end if keeps else None, recipe.batches.feature_folder)
    source = PairSource(reader, split.train, names, recipe.batches, seed)
    met = {name for pair in anchored(source.pairs, recipe.modalities) for name in pair}
    unmet = [name for name in recipe.modalities if name not in met]
    if unmet:
        raise StoreError(
            f"{recipe.store}: no two of its {len(split.train)} training nights hold {' or '.join(unmet)} together with "
            f"a modality that {recipe.pretrained} reads; ingest nights that do, or leave it out of `modalities`."
        )
    reader.prepare((*split.train, *split.validation), names)
    calibrate(module.encoder, reader, split.train, seed, recipe.modalities)
    validation = None
    try:
        judge_seed = seed + _VALIDATION_SEED_OFFSET
        validation = PairSource(reader, split.validation, names, recipe.batches, judge_seed)
    except StoreError:  # too few people kept apart to contrast: then nothing is validated, and the card says so
        pass
    return _Adaptation(recipe, store, split, origin, module, reader, source, validation, fingerprint)


def _train(
    adaptation: _Adaptation,
    stage: Stage,
    pairs: tuple[tuple[str, str], ...],
    new_pairs: tuple[float, ...],
    rates: dict[str, float],
    out: Path,
    watch: Watch | None,
) -> dict[str, float]:
    """One stage, whose model is written into `out`."""
    recipe = adaptation.recipe
    run, derived = stage.run, recipe.batches.derived_pair_weight
    schedule = PairSchedule(pairs, adaptation.new, new_pairs, run.steps, derived, run.seed)
    work = alignment_work(
        adaptation.module, adaptation.source, adaptation.validation, recipe.alignment, run, rates=rates
    )
    averaged = train(
        scheduled(work, schedule, adaptation.source.batch), run, stage.optimizer, out, adaptation.fingerprint, watch
    )
    numbers = _last_numbers(out, adaptation.new)
    _save(adaptation, averaged.state_dict(), numbers, out)
    discard_state(out)
    return numbers


def _save(adaptation: _Adaptation, weights: dict[str, torch.Tensor], numbers: dict[str, float], out: Path) -> None:
    recipe, origin = adaptation.recipe, adaptation.origin
    train_rows = [adaptation.store.row(night_id) for night_id in adaptation.split.train]
    taught = {**origin["training_data"], f"adaptation to {', '.join(adaptation.new)}": training_data(train_rows)}
    history = {use: data.as_dict() if isinstance(data, TrainingData) else data for use, data in taught.items()}
    old = origin["model"]["modalities"]
    config = {
        "fingerprint": adaptation.fingerprint,
        "kind": "pretrained",
        "model": adaptation.module.encoder.config.model_dump(mode="json"),
        "training_data": history,
        "adapted_from": {"fingerprint": origin.get("fingerprint"), "modalities": old, "scores": origin.get("scores")},
        "recipe": recipe.model_dump(mode="json"),
        "scores": numbers,
        PEOPLE: sorted(people_of(origin) | hashes_of(train_rows)),
    }
    frozen = " Only its new tokenizers have learned: what it makes of the others is what that model makes of them."
    card = card_text(
        f"sleep2vec {adaptation.module.encoder.config.size}, pretrained and adapted",
        f"Embeddings of 30 s tokens and of nights from any of its modalities; fine-tune it for a task. Adapted to "
        f"{', '.join(adaptation.new)} from the model {origin.get('fingerprint')}, which read {', '.join(old)}."
        + (frozen if out != recipe.out else ""),
        [(use, TrainingData(**data)) for use, data in history.items()],
        numbers,
        recipe_text(recipe),
    )
    save_checkpoint(out, weights, config, card)


def _last_numbers(out: Path, new: tuple[str, ...]) -> dict[str, float]:
    """The last validation numbers of a stage: over all pairs, and over those with each new modality."""
    last = {name: value for _, name, value in read_log(out)}
    numbers = {name: last[f"validation/{name}"] for name in ("loss", "top1") if f"validation/{name}" in last}
    for modality in new:
        top1 = [
            value
            for name, value in last.items()
            if name.startswith("validation/top1_") and modality in name.removeprefix("validation/top1_").split("_")
        ]
        if top1:
            numbers[f"top1 of {modality}"] = sum(top1) / len(top1)
    return numbers
