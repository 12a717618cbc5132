"""A result as files: JSON, CSV, EDF+ annotations, Parquet and the HTML page."""

import csv
import io
import json
import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from sleep2vec.formats.edf_writer import write_annotations
from sleep2vec.inference.result import NightResult, lights_of
from sleep2vec.metrics.sleep_statistics import sleep_statistics
from sleep2vec.report.night import NightPage, night_html
from sleep2vec.vocabulary.errors import UsageError
from sleep2vec.vocabulary.modalities import MODALITIES, TOKEN_SECONDS
from sleep2vec.vocabulary.stages import FIVE, SCHEMES, StageSpan

DECIMALS = 4


def save_all(result: NightResult, folder: Path) -> list[Path]:
    """Write ``result.json``, ``stages.csv``, ``stages.edf``, ``embeddings.parquet`` and ``night.html``.

    They are made in a hidden folder inside first and moved together (beside it may be another disk), so that a failure
    leaves nothing half-written, and no folder that was not there.

    Raises:
        UsageError: `folder` is a file or cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; name a folder for the results.")
    made_folders = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        workshop = Path(tempfile.mkdtemp(prefix=".sleep2vec-", dir=folder))
    except OSError as error:
        raise UsageError(f"{folder} cannot be written ({error.strerror}); name another folder.") from None
    try:
        (workshop / "result.json").write_text(json.dumps(as_json(result), indent=1, allow_nan=False), encoding="utf-8")
        (workshop / "stages.csv").write_text(as_csv(result), encoding="utf-8", newline="")
        edf_plus(result, workshop / "stages.edf")
        parquet(result, workshop / "embeddings.parquet")
        (workshop / "night.html").write_text(html(result), encoding="utf-8")
        paths = []
        for made in sorted(workshop.iterdir()):
            os.replace(made, folder / made.name)
            paths.append(folder / made.name)
        return paths
    finally:
        shutil.rmtree(workshop, ignore_errors=True)
        with suppress(OSError):  # not empty: the results are in it
            for path in made_folders:
                path.rmdir()


def as_json(result: NightResult) -> dict[str, Any]:
    """Everything but the embeddings, as plain values; unknown is null."""
    night = result.night
    return {
        "night": night.night_id,
        "source": night.source,
        "start": night.start.isoformat() if night.start else None,
        "grid_start_s": night.grid_start_s,
        "epoch_s": TOKEN_SECONDS,
        "n_epochs": night.n_tokens,
        "model": {
            "name": result.model_name,
            "trained_on_simulated_nights_only": result.simulated_weights,
            "versions": dict(result.versions),
        },
        "warnings": list(result.warnings),
        "modalities": {
            name: {**asdict(night.provenance[name]), "valid_share": _number(night.valid[name].mean())}
            for name in result.modalities
        },
        "absent": _not_given(result),
        "sleep_statistics": asdict(result.statistics),
        "stages": {str(scheme): result.words_of(scheme) for scheme in SCHEMES},
        "probabilities": {name: _numbers(result.probabilities[:, c]) for c, name in enumerate(FIVE)},
        "sensor_weights": {name: _numbers(result.sensor_weights[:, m]) for m, name in enumerate(result.modalities)},
        "abstained_epochs": np.flatnonzero(np.isnan(result.stages)).tolist(),
    }


def as_csv(result: NightResult) -> str:
    """One row an epoch; cells of abstained epochs are empty."""
    night = result.night
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(
        ["epoch", "onset_s", "clock"]
        + [f"stage_{scheme}" for scheme in SCHEMES]
        + [f"p_{name}" for name in FIVE]
        + [f"weight_{name}" for name in result.modalities]
        + [f"valid_{name}" for name in result.modalities]
        + ["model", "simulated_weights"]
    )
    words = [result.words_of(scheme) for scheme in SCHEMES]
    for token in range(night.n_tokens):
        onset_s = night.grid_start_s + token * TOKEN_SECONDS
        clock = (night.start + timedelta(seconds=onset_s)).isoformat() if night.start else ""
        table.writerow(
            [token, f"{onset_s:g}", clock]
            + [column[token] or "" for column in words]
            + ["" if np.isnan(p) else f"{p:.{DECIMALS}f}" for p in result.probabilities[token]]
            + [f"{weight:.{DECIMALS}f}" for weight in result.sensor_weights[token]]
            + [int(valid) for valid in result.valid[token]]
            + [result.model_name, int(result.simulated_weights)]
        )
    return text.getvalue()


def edf_plus(result: NightResult, path: Path) -> None:
    """Stages as EDF+ annotations (``Sleep stage W`` ...; ``Sleep stage ?`` where the model abstains)."""
    night = result.night
    spans = [
        StageSpan(night.grid_start_s + token * TOKEN_SECONDS, TOKEN_SECONDS, None if np.isnan(stage) else int(stage))
        for token, stage in enumerate(result.stages)
    ]
    mark = "_simulated_weights" if result.simulated_weights else ""
    scored_by = f"sleep2vec_{result.versions.get('sleep2vec', '')}{mark}"
    write_annotations(path, stages=spans, events=(), start=night.start, scored_by=scored_by)


def parquet(result: NightResult, path: Path) -> None:
    """Embeddings: one row a token, the night's own in the metadata of the file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    width = result.embeddings.shape[1]
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(result.embeddings.reshape(-1)), width)
    onsets_s = result.night.grid_start_s + np.arange(result.night.n_tokens) * float(TOKEN_SECONDS)
    table = pa.table({"onset_s": onsets_s, "embedding": vectors})
    facts = {
        "night": result.night.night_id,
        "model": result.model_name,
        "trained_on_simulated_nights_only": json.dumps(result.simulated_weights),
        "versions": json.dumps(dict(result.versions)),
        "night_embedding": json.dumps([float(value) for value in result.night_embedding]),
    }
    pq.write_table(table.replace_schema_metadata(facts), path)


def html(result: NightResult) -> str:
    """The self-contained page."""
    night = result.night
    off_s, on_s = lights_of(night)
    reference = None
    if night.stages is not None and np.isfinite(night.stages).any():
        reference = sleep_statistics(
            night.stages, lights_off_s=off_s, lights_on_s=on_s, grid_start_s=night.grid_start_s
        )
    return night_html(
        NightPage(
            title=night.night_id,
            source=night.source or night.night_id,
            model_name=result.model_name,
            simulated_weights=result.simulated_weights,
            modalities=result.modalities,
            stages_L=result.stages,
            probabilities_LC=result.probabilities,
            weights_LM=result.sensor_weights,
            valid_LM=result.valid,
            statistics=result.statistics,
            start=night.start,
            grid_start_s=night.grid_start_s,
            lights_off_s=off_s,
            lights_on_s=on_s,
            reference_L=night.stages if reference is not None else None,
            reference_statistics=reference,
            provenance={name: night.provenance[name] for name in result.modalities},
            absent=_not_given(result),
            warnings=result.warnings,
            versions=result.versions,
        )
    )


def _not_given(result: NightResult) -> dict[str, str]:
    """Why each modality the model was not given is not there."""
    others = (name for name in MODALITIES if name not in result.modalities)
    return {name: result.night.absent.get(name, "not asked for") for name in others}


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), DECIMALS)


def _numbers(values: np.ndarray) -> list[float | None]:
    return [_number(value) for value in values]
