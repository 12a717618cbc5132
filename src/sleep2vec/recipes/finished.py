"""Runs that have already ended."""

import os
from pathlib import Path

from sleep2vec.model.checkpoint import CONFIG, WEIGHTS, load_config
from sleep2vec.vocabulary.errors import ModelError, UsageError


def check_place(out: Path) -> None:
    """Raise `UsageError` when a run could not write into `out`, before it has spent an hour; nothing is left behind."""
    if (out / "store.json").exists():
        raise UsageError(f"a run cannot be written to {out}: it is a store; name another folder with --set out=...")
    above = out
    while not above.exists() and above != above.parent:
        above = above.parent
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise UsageError(f"a run cannot be written to {out}: {above} is no folder one may write to; name another.")


def finished_scores(out: Path, fingerprint: str) -> dict[str, float] | None:
    """Scores of the model in `out` when this very run has made it, None where there is no model yet.

    Raises:
        ModelError: another run has made it: its model is not overwritten.
    """
    if not ((out / WEIGHTS).exists() and (out / CONFIG).exists()):
        return None
    config = load_config(out)
    if config.get("fingerprint") != fingerprint:
        raise ModelError(
            f"{out} holds a finished model made by another recipe or from another store, or by another sleep2vec; "
            "name another folder with --set out=..., or delete it."
        )
    return dict(config["scores"])
