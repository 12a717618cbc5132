"""A result as files: JSON, CSV tables, EDF+ annotations, Parquet and the HTML page."""

import csv
import io
import json
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from sleep2vec.data.event_targets import KINDS_OF_QUESTION
from sleep2vec.formats.edf_writer import write_annotations
from sleep2vec.inference.result import NightResult, lights_of
from sleep2vec.metrics.sleep_statistics import sleep_statistics
from sleep2vec.report.night import NightPage, night_html
from sleep2vec.report.night_breathing import NightBreathing
from sleep2vec.report.night_events import questions_of
from sleep2vec.store.atomic import written_together
from sleep2vec.vocabulary.errors import UsageError
from sleep2vec.vocabulary.events import Event
from sleep2vec.vocabulary.modalities import MODALITIES, TOKEN_SECONDS
from sleep2vec.vocabulary.stages import FIVE, SCHEMES, StageSpan

DECIMALS = 4
_SAME_S = 1e-6  # sums of decimals: 7.1 s and 100 s less 7.1 s are 100 s


def save_all(result: NightResult, folder: Path) -> list[Path]:
    """Write ``result.json``, ``stages.csv``, ``stages.edf``, ``embeddings.parquet`` and ``night.html``; and
    ``events.csv`` where the model looks for events.

    All of them or, on an error, none; see `written_together`.

    Raises:
        UsageError: `folder` is a file or cannot be written.
    """
    with written_together(folder, "the results") as workshop:
        (workshop / "result.json").write_text(json.dumps(as_json(result), indent=1, allow_nan=False), encoding="utf-8")
        (workshop / "stages.csv").write_text(as_csv(result), encoding="utf-8", newline="")
        if result.seconds:
            (workshop / "events.csv").write_text(events_csv(result), encoding="utf-8", newline="")
        edf_plus(result, workshop / "stages.edf")
        parquet(result, workshop / "embeddings.parquet")
        (workshop / "night.html").write_text(html(result), encoding="utf-8")
        names = sorted(path.name for path in workshop.iterdir())
    return [folder / name for name in names]


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
        "least_confidence": result.least_confidence,
        "doubtful_epochs": np.flatnonzero(result.doubtful).tolist(),
        "tasks": list(result.tasks),
        "events": [
            {"kind": event.kind, "onset_s": round(event.onset_s, 3), "duration_s": round(event.duration_s, 3)}
            for event in result.events
        ],
        "breathing": None if result.breathing is None else asdict(result.breathing),
        "person": [asdict(outcome) for outcome in result.outcomes],
        "prognoses": [asdict(prognosis) for prognosis in result.prognoses],
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
            [token, _seconds(onset_s), clock]
            + [column[token] or "" for column in words]
            + ["" if np.isnan(p) else f"{p:.{DECIMALS}f}" for p in result.probabilities[token]]
            + [f"{weight:.{DECIMALS}f}" for weight in result.sensor_weights[token]]
            + [int(valid) for valid in result.valid[token]]
            + [result.model_name, int(result.simulated_weights)]
        )
    return text.getvalue()


def events_csv(result: NightResult) -> str:
    """One row an event, times from the start of the recording; with the stage it begins in and how likely it is."""
    night = result.night
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(
        ["kind", "onset_s", "duration_s", "clock", "stage", "mean_probability", "model", "simulated_weights"]
    )
    words = result.words_of(5)
    task_of = {kind: question for question, kinds in KINDS_OF_QUESTION.items() for kind in kinds}
    for event in result.events:
        clock = (night.start + timedelta(seconds=event.onset_s)).isoformat() if night.start else ""
        first = int(event.onset_s - night.grid_start_s + _SAME_S)
        probability_S = result.seconds[task_of[event.kind]] if event.kind else np.empty(0)
        within = probability_S[max(first, 0) : max(first, 0) + max(1, int(event.duration_s))]
        token = first // TOKEN_SECONDS
        stage = words[token] if 0 <= token < len(words) else None
        mean = "" if not len(within) or np.isnan(within).all() else f"{np.nanmean(within):.{DECIMALS}f}"
        table.writerow(
            [
                event.kind,
                _seconds(event.onset_s),
                _seconds(event.duration_s),
                clock,
                stage or "",
                mean,
                result.model_name,
                int(result.simulated_weights),
            ]
        )
    return text.getvalue()


def edf_plus(result: NightResult, path: Path) -> None:
    """Stages and events as EDF+ annotations (``Sleep stage W`` ...; ``Sleep stage ?`` where the model abstains)."""
    night = result.night
    spans = [
        StageSpan(night.grid_start_s + token * TOKEN_SECONDS, TOKEN_SECONDS, None if np.isnan(stage) else int(stage))
        for token, stage in enumerate(result.stages)
    ]
    mark = "_simulated_weights" if result.simulated_weights else ""
    scored_by = f"sleep2vec_{result.versions.get('sleep2vec', '')}{mark}"
    write_annotations(path, stages=spans, events=result.events, start=night.start, scored_by=scored_by)


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


def yasa_hypnogram(result: NightResult) -> Any:
    """See `NightResult.to_yasa`."""
    try:
        from yasa import Hypnogram  # type: ignore[import-untyped]
    except ImportError:
        raise UsageError("a YASA hypnogram needs YASA, which is not installed; `pip install yasa`.") from None
    names = ("WAKE", "N1", "N2", "N3", "REM")
    values = ["UNS" if np.isnan(stage) else names[int(stage)] for stage in result.stages]
    start = None
    if result.night.start is not None:
        start = (result.night.start + timedelta(seconds=result.night.grid_start_s)).isoformat(sep=" ")
    return Hypnogram(values, n_stages=5, freq="30s", start=start, scorer=f"sleep2vec {result.model_name}")


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
            events=result.events,
            scored_events=_scored_events(result),
            seconds=result.seconds,
            breathing=_breathing(result),
            told=result.outcomes,
            outlooks=result.prognoses,
            doubtful_L=None if result.least_confidence is None else result.doubtful,
            least_confidence=result.least_confidence,
        )
    )


def _scored_events(result: NightResult) -> tuple[Event, ...]:
    """What a person scored of that for which the model looked."""
    kinds = {kind for question in questions_of(result.events, result.seconds) for kind in KINDS_OF_QUESTION[question]}
    return tuple(event for event in result.night.events if event.kind in kinds)


def _breathing(result: NightResult) -> NightBreathing | None:
    told = result.breathing
    if told is None:
        return None
    oxygen = {} if told.oxygen is None else asdict(told.oxygen)
    return NightBreathing(told.indices, told.arousal_index, oximeter=told.oxygen is not None, **oxygen)


def _not_given(result: NightResult) -> dict[str, str]:
    """Why each modality the model was not given is not there."""
    others = (name for name in MODALITIES if name not in result.modalities)
    return {name: result.night.absent.get(name, "not asked for") for name in others}


def _seconds(value_s: float) -> str:
    """To the millisecond, as `as_json` has it, and without an exponent however long the recording is."""
    return f"{value_s:.3f}".rstrip("0").rstrip(".")


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), DECIMALS)


def _numbers(values: np.ndarray) -> list[float | None]:
    return [_number(value) for value in values]
