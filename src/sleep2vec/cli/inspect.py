"""`sleep2vec inspect`: what is in it, in words."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from sleep2vec.cli.cohort_hint import hint_at_cohort
from sleep2vec.model.shipped import model_folder, shipped_models
from sleep2vec.vocabulary.errors import UsageError

NAME = "inspect"


def command(
    target: Annotated[
        Path | None,
        typer.Argument(
            help="A recording, a store, a model (its folder, or the name of one that comes with sleep2vec), or (with "
            "--cohort) a folder of recordings."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")] = False,
    cohort: Annotated[
        str | None,
        typer.Option(help="A folder of recordings: what its labels would become by the rules of this cohort or YAML."),
    ] = None,
    check: Annotated[bool, typer.Option("--verify", help="A store: compare every night with its checksum.")] = False,
    sizes: Annotated[bool, typer.Option("--sizes", help="What a model of each size and tokenizer would cost.")] = False,
) -> None:
    """Say what became of each channel of a recording, what labels would become, or what a store or a model holds."""
    hint_at_cohort(cohort)
    if target is None or sizes:
        if target is not None or not sizes:
            raise UsageError(
                "inspect takes either one recording, store, model or folder to look into, or --sizes alone."
            )
        words, facts = _sizes()
    elif not target.exists() and str(target) in shipped_models():
        words, facts = _model(model_folder(target))
    elif cohort is not None and target.is_dir() and not (target / "store.json").exists():
        words, facts = _folder(target, cohort)
    elif (target / "store.json").exists():
        words, facts = _store(target, check)
    elif check:
        raise UsageError(f"--verify is for a store, and {target} is none (it has no store.json).")
    elif target.is_dir() and not any((target / name).exists() for name in ("config.json", "model.safetensors")):
        raise UsageError(
            f"{target} is neither a store (store.json) nor a model (config.json); "
            "name one recording in it, see its labels with --cohort generic, or make a store of it with `ingest`."
        )
    elif target.is_dir():
        words, facts = _model(target)
    else:
        words, facts = _recording(target, cohort)
    typer.echo(json.dumps(facts, indent=1, default=str) if as_json else words)


def _folder(folder: Path, cohort: str) -> tuple[str, dict[str, Any]]:
    from sleep2vec.cohorts.catalog import cohort_of
    from sleep2vec.formats.recordings import read_recording
    from sleep2vec.harmonization.coverage import coverage_of
    from sleep2vec.store.cohort_folder import jobs_of
    from sleep2vec.store.remote_folder import opened_place
    from sleep2vec.vocabulary.errors import Sleep2vecError
    from sleep2vec.vocabulary.recording import Recording

    with opened_place(folder) as place:
        jobs, notes = jobs_of(place, cohort=cohort)

    def recordings() -> Iterator[tuple[str, Recording | str]]:
        """One at a time: a packed one lies unpacked on the disk as long as it is held."""
        for job in jobs:
            try:
                yield job.relative, read_recording(job.path)
            except (Sleep2vecError, OSError) as error:
                yield job.relative, " ".join(str(error).split())

    rules = cohort_of(cohort)
    coverage = coverage_of(recordings(), rules)
    traps = rules.file.traps if rules.has_file else ()
    n_scored = sum(any(companion.certain for companion in job.companions) for job in jobs)
    n_known = sum(job.participant.subject_id is not None for job in jobs)
    told = [f"scoring found beside {n_scored} of {len(jobs)} recordings, a person known by name or table for {n_known}"]
    known = ["", f"what to know of {rules.file.title or rules.name}", *(f"  {trap}" for trap in traps)] if traps else []
    words = "\n".join([coverage.words(), "", *told, *notes, *known])
    counts = {"n_with_scoring": n_scored, "n_with_person": n_known, "tables": notes, "traps": list(traps)}
    return words, {**coverage.facts(), **counts}


def _recording(path: Path, cohort: str | None) -> tuple[str, dict[str, Any]]:
    from collections import Counter
    from dataclasses import asdict, replace

    import numpy as np

    from sleep2vec.cohorts.catalog import cohort_of
    from sleep2vec.formats.reader import read
    from sleep2vec.harmonization.pipeline import harmonize
    from sleep2vec.harmonization.sleep_wake import without_unknown_stages

    shorthand = cohort_of(cohort).file.scoring.sleep_shorthand
    recording, told = without_unknown_stages(read(path, cohort=cohort), is_flagged=False, shorthand=shorthand)
    night = harmonize(recording, night_id=path.stem, cohort=cohort)
    night = replace(night, notes=(*night.notes, *told))
    facts = {
        "night": night.night_id,
        "n_tokens": night.n_tokens,
        "subject": asdict(night.subject),
        "modalities": {
            name: {**asdict(story), "valid_share": float(night.valid[name].mean())}
            for name, story in night.provenance.items()
        },
        "absent": night.absent,
        "n_scored_tokens": 0 if night.stages is None else int(np.isfinite(night.stages).sum()),
        "events": dict(Counter(event.kind or "not understood" for event in night.events)),
        "channels": [asdict(decision) for decision in night.decisions],
        "repairs": night.repairs,
        "notes": night.notes,
    }
    return night.explain(), facts


def _model(folder: Path) -> tuple[str, dict[str, Any]]:
    from sleep2vec.data.people import PEOPLE
    from sleep2vec.model.checkpoint import CARD, load_config, load_weights, model_config
    from sleep2vec.model.cost import cost_of, flops_words, parameters_by_part

    config = load_config(folder)
    model = model_config(folder, config)
    parts = parameters_by_part(model, load_weights(folder))
    cost = cost_of(model)
    card = (folder / CARD).read_text(encoding="utf-8") if (folder / CARD).exists() else f"{folder}: no card.md"
    facts = {name: value for name, value in config.items() if name != PEOPLE}
    counted = {"n_parameters": sum(parts.values()), "parameters": parts, "cost": cost.facts()}
    listed = "\n".join(f"  {part:<12}{n / 1e6:9.3f} M" for part, n in parts.items())
    words = f"{card}\n{sum(parts.values()) / 1e6:.2f} M parameters\n{listed}\n\n{flops_words(cost)}"
    return words, {**facts, **counted}


def _sizes() -> tuple[str, dict[str, Any]]:
    from sleep2vec.model.cost import costs_of_sizes, sizes_words

    costs = costs_of_sizes()
    return sizes_words(costs), {"sizes": [{**config, "cost": cost.facts()} for config, cost in costs]}


def _store(folder: Path, check: bool) -> tuple[str, dict[str, Any]]:
    from sleep2vec.store.manifest import read_manifest
    from sleep2vec.store.summary import store_summary, summary_words
    from sleep2vec.store.verify import damaged_nights
    from sleep2vec.vocabulary.errors import StoreError

    if check:
        damaged = list(damaged_nights(folder))
        if damaged:
            listed = "\n".join(f"  {night_id}: {reason}" for night_id, reason in damaged)
            raise StoreError(f"{folder} has {len(damaged)} damaged night(s); ingest them again:\n{listed}")
    facts = store_summary(read_manifest(folder))
    words = summary_words(facts)
    return f"{words}\nevery night agrees with its checksum" if check else words, facts
