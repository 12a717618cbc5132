"""`sleep2vec inspect`: what is in it, in words."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from sleep2vec.vocabulary.errors import UsageError

NAME = "inspect"


def command(
    target: Annotated[Path, typer.Argument(help="A recording (EDF, BDF), a store, or a model folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")] = False,
    check: Annotated[bool, typer.Option("--verify", help="A store: compare every night with its checksum.")] = False,
) -> None:
    """Say what became of each channel of a recording, or what a store or a model holds."""
    if (target / "store.json").exists():
        words, facts = _store(target, check)
    elif check:
        raise UsageError(f"--verify is for a store, and {target} is none (it has no store.json).")
    elif target.is_dir() and not any((target / name).exists() for name in ("config.json", "model.safetensors")):
        raise UsageError(
            f"{target} is neither a store (store.json) nor a model (config.json); "
            "name one recording in it, or make a store of it with `sleep2vec ingest`."
        )
    elif target.is_dir():
        words, facts = _model(target)
    else:
        words, facts = _recording(target)
    typer.echo(json.dumps(facts, indent=1, default=str) if as_json else words)


def _recording(path: Path) -> tuple[str, dict[str, Any]]:
    from dataclasses import asdict

    from sleep2vec.formats.reader import read
    from sleep2vec.harmonization.pipeline import harmonize

    night = harmonize(read(path), night_id=path.stem)
    facts = {
        "night": night.night_id,
        "n_tokens": night.n_tokens,
        "subject": asdict(night.subject),
        "modalities": {
            name: {**asdict(story), "valid_share": float(night.valid[name].mean())}
            for name, story in night.provenance.items()
        },
        "absent": night.absent,
        "channels": [asdict(decision) for decision in night.decisions],
        "notes": night.notes,
    }
    return night.explain(), facts


def _model(folder: Path) -> tuple[str, dict[str, Any]]:
    from sleep2vec.model.checkpoint import CARD, load_config, load_weights

    config = load_config(folder)
    n_parameters = sum(tensor.numel() for tensor in load_weights(folder).values())
    card = (folder / CARD).read_text(encoding="utf-8") if (folder / CARD).exists() else f"{folder}: no card.md"
    return f"{card}\n{n_parameters / 1e6:.2f} M parameters", {**config, "n_parameters": n_parameters}


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
