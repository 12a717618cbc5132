"""An evaluation from end to end: a model, a store, and tables and a page of what was found."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from sleep2vec.data.nights import NightReader
from sleep2vec.data.people import FITTED, PEOPLE, hashes_of
from sleep2vec.data.scoring import ScoringReader
from sleep2vec.data.window import WindowReader
from sleep2vec.evaluation.judged_nights import figures_of, judged_nights, plots_of
from sleep2vec.evaluation.subsets import SubsetKappa, kappas, staged_subsets
from sleep2vec.evaluation.tables import csv_text, json_rows
from sleep2vec.metrics.figure import Figure
from sleep2vec.model.seconds import second_features
from sleep2vec.report.evaluation import EvaluationPage, evaluation_html
from sleep2vec.report.evaluation_plots import Plot, SubsetPlot
from sleep2vec.store.atomic import written_together
from sleep2vec.store.manifest import ManifestRow
from sleep2vec.store.reader import Store
from sleep2vec.tasks.finetuned import Finetuned
from sleep2vec.vocabulary.errors import UsageError

Watch = Callable[[str, int, int], None]
"""Is told (what is done, nights done, all nights)."""
_SUBSET_WHAT = "kappa, 5 classes"


@dataclass(frozen=True)
class Evaluation:
    """What was found.

    Attributes:
        figures: All lines.
        plots: By task.
        subsets: Of every subset of sensors; empty where not asked for.
        n_nights, n_people: On whom it rests.
        warnings: What a person should know before believing it.
        given: The sensors it was given, as `Figure.sensors` has them; ``""``: all it reads.
    """

    figures: Sequence[Figure]
    plots: dict[str, list[Plot]]
    subsets: Sequence[SubsetKappa]
    n_nights: int
    n_people: int
    warnings: Sequence[str]
    given: str = ""


def unseen_nights(store: Store, config: dict[str, Any], *, i_know: bool = False) -> tuple[list[str], list[str]]:
    """Nights of people who taught a model nothing, and what a person should know of the choice.

    People on whom only temperatures and thresholds were fitted judge where there is nobody else.

    Raises:
        UsageError: everybody taught it, and nobody said `i_know`.
    """
    taught, fitted = set(config.get(PEOPLE, ())), set(config.get(FITTED, ()))
    if not store.rows:
        raise UsageError(f"{store.path} holds no nights; ingest some into it, or name another store.")
    known = {row.night_id: next(iter(hashes_of([row]))) for row in store.rows}
    free = [night_id for night_id, who in known.items() if who not in taught | fitted]
    if free:
        left_out = len(known) - len(free)
        told = f"{left_out} nights of people who taught the model, or whom it was fitted on, were left out"
        return free, [told] if left_out and not i_know else []
    if i_know:
        return list(known), ["these people taught the model: its figures are flattered"]
    unseen = [night_id for night_id, who in known.items() if who not in taught]
    if not unseen:
        raise UsageError(
            f"everybody in {store.path} taught this model; give a store of other people, or, if you mean it, add "
            "--i-know."
        )
    return unseen, [
        f"{len(known) - len(unseen)} nights of people who taught the model were left out; its temperatures and "
        "thresholds were fitted on the others, which flatters a little"
    ]


def evaluate(
    model: Finetuned,
    store: Store,
    night_ids: Sequence[str],
    *,
    modalities: Sequence[str] | None = None,
    subsets: bool = False,
    keep_features: bool = False,
    n_resamples: int = 1000,
    seed: int = 0,
    warnings: Sequence[str] = (),
    watch: Watch | None = None,
) -> Evaluation:
    """Judge a model by nights of a store.

    Args:
        model: fine-tuned.
        store, night_ids: whom to ask about.
        modalities: which sensors it is given; None: all it reads.
        subsets: whether every subset of the sensors is to stage sleep, too.
        keep_features: keep on disk, in the store, what the tokenizer computes before anything learned.
        n_resamples, seed: of the intervals.
        warnings: what is known beforehand.
        watch: is told how far it is.
    """
    module = model.module
    views = WindowReader(store, module.encoder.front_end if keep_features else None)
    seconds = WindowReader(store, second_features) if keep_features and module.heard_by_seconds else None
    reader = NightReader(views, module.modalities, ScoringReader(store), {}, seconds, module.heard_by_seconds)
    judged = judged_nights(model, reader, night_ids, modalities, _told(watch, "nights"))
    figures = figures_of(model, judged, n_resamples, seed)
    plots = plots_of(model, judged)
    found: list[SubsetKappa] = []
    if subsets and "staging" in model.tasks:
        found = kappas(staged_subsets(model, reader, night_ids, watch=_told(watch, "subsets of sensors")))
        figures += [subset_figure(subset, judged.rows) for subset in _ends(found)]
        values = np.array([np.nan if subset.kappa is None else subset.kappa for subset in found])
        plots.setdefault("staging", []).append(
            SubsetPlot(
                "Every subset of the sensors", _SUBSET_WHAT, tuple(subset.name for subset in found), values, True
            )
        )
    given = "" if modalities is None else "+".join(modalities)
    figures = [replace(line, sensors=line.sensors or given) for line in figures]
    people = {row.person for row in judged.rows}
    refused = {} if model.survival is None else model.survival.refused
    told = [*warnings, *(f"survival, {outcome}, was not fitted: {reason}" for outcome, reason in refused.items())]
    return Evaluation(figures, plots, found, len(judged.rows), len(people), told, given)


def subset_figure(subset: SubsetKappa, rows: Sequence[ManifestRow]) -> Figure:
    """A line without an interval: an interval of the worst of 511 would not be one."""
    n_people = len({row.person for row in rows})
    return Figure(
        _SUBSET_WHAT, subset.kappa, None, None, len(rows), n_people, task="staging", outcome="5 classes",
        sensors=subset.name,
    )  # fmt: skip


def _ends(found: Sequence[SubsetKappa]) -> list[SubsetKappa]:
    """The worst, the median and the best."""
    ranked = sorted((subset for subset in found if subset.kappa is not None), key=lambda subset: subset.kappa or 0.0)
    return [ranked[0], ranked[(len(ranked) - 1) // 2], ranked[-1]] if ranked else []


def save_evaluation(
    evaluation: Evaluation, out: Path, *, model_name: str, store: Path, simulated_weights: bool, facts: dict[str, str]
) -> list[Path]:
    """Write ``evaluation.json``, ``figures.csv``, ``evaluation.html`` and, with subsets, ``subsets.csv`` into `out`.

    All of them or, on an error, none; see `written_together`.
    """
    told = {
        "model": model_name,
        "trained_on_simulated_nights_only": simulated_weights,
        "store": str(store),
        "nights": evaluation.n_nights,
        "people": evaluation.n_people,
        "warnings": list(evaluation.warnings),
        "versions": {"sleep2vec": version("sleep2vec")},
        **facts,
        "figures": json_rows(evaluation.figures),
        "subsets": [
            {"modalities": list(subset.modalities), "kappa": subset.kappa, "epochs": subset.n_epochs}
            for subset in evaluation.subsets
        ],
    }
    page = EvaluationPage(
        title=store.name,
        model_name=model_name,
        simulated_weights=simulated_weights,
        facts=[
            ("store", str(store)),
            ("nights", str(evaluation.n_nights)),
            ("people", str(evaluation.n_people)),
            ("date", date.today().isoformat()),
            *facts.items(),
        ],
        # On the page the sensors that it was given stand once, at its head.
        figures=[
            replace(line, sensors="") if line.sensors == evaluation.given else line for line in evaluation.figures
        ],
        plots=evaluation.plots,
        warnings=evaluation.warnings,
        versions={"sleep2vec": version("sleep2vec")},
    )
    files = {
        "evaluation.json": json.dumps(told, indent=1, allow_nan=False),
        "figures.csv": csv_text(evaluation.figures),
        "evaluation.html": evaluation_html(page),
    }
    if evaluation.subsets:
        files["subsets.csv"] = subsets_text(evaluation.subsets)
    with written_together(out, "the evaluation") as workshop:
        for name, text in files.items():
            (workshop / name).write_text(text, encoding="utf-8", newline="")
    if not evaluation.subsets:
        (out / "subsets.csv").unlink(missing_ok=True)  # of an evaluation before
    return [out / name for name in files]


def subsets_text(subsets: Sequence[SubsetKappa]) -> str:
    """A CSV table of them, the best first."""
    ranked = sorted(subsets, key=lambda subset: -1.0 if subset.kappa is None else subset.kappa, reverse=True)
    lines = [f"{s.name},{len(s.modalities)},{'' if s.kappa is None else s.kappa},{s.n_epochs}" for s in ranked]
    return "\n".join(["modalities,n_modalities,kappa,n_epochs", *lines]) + "\n"


def _told(watch: Watch | None, what: str) -> Callable[[int, int], None] | None:
    return None if watch is None else lambda done, n: watch(what, done, n)
