"""A fine-tuned model before nights whose truth is known, one night after the other.

Letters: N nights, L tokens, K answers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from sleep2vec.data.event_targets import Question
from sleep2vec.data.nights import NightBatch, NightReader
from sleep2vec.evaluation.breathing_figures import breathing_figures, breathing_plots
from sleep2vec.evaluation.breathing_nights import BreathingNight, Oximetry
from sleep2vec.evaluation.outcome_figures import (
    ClassifiedNight,
    LabelledNight,
    MeasuredNight,
    class_figures,
    class_plots,
    label_figures,
    label_plots,
    number_figures,
    number_plots,
)
from sleep2vec.evaluation.resampling import N_RESAMPLES
from sleep2vec.evaluation.staging_figures import StagedNight, staging_figures, staging_plots
from sleep2vec.evaluation.subgroups import by_group, subgroups
from sleep2vec.evaluation.survival_plots import survival_plots
from sleep2vec.metrics.breathing_indices import breathing_indices
from sleep2vec.metrics.figure import Figure
from sleep2vec.metrics.severity import population_of
from sleep2vec.report.evaluation_plots import Plot
from sleep2vec.store.manifest import ManifestRow
from sleep2vec.tasks.events import EventTask
from sleep2vec.tasks.finetuned import Finetuned
from sleep2vec.tasks.finetuning import NightSequence, answers_of, night_embedding
from sleep2vec.tasks.nights import ClassesTask, NightTask, NumberTask, YesNoTask
from sleep2vec.tasks.staging import Staging
from sleep2vec.tasks.survival_figures import survival_figures
from sleep2vec.tasks.task import Answered, Task
from sleep2vec.vocabulary.events import Event
from sleep2vec.vocabulary.modalities import MODALITIES, TOKEN_SECONDS

Watch = Callable[[int, int], None]


@dataclass
class JudgedNights:
    """What a model said of nights, beside what is known; in the order of `rows`.

    Attributes:
        staged, breathing: By night, None where the model or the scorer is silent.
        nights: By task of nights, what each answer is beside.
        embeddings: Of the nights, for survival.
    """

    rows: list[ManifestRow] = field(default_factory=list)
    staged: list[StagedNight] = field(default_factory=list)
    breathing: list[BreathingNight] = field(default_factory=list)
    nights: dict[str, list[LabelledNight | MeasuredNight | ClassifiedNight]] = field(default_factory=dict)
    embeddings: list[np.ndarray] = field(default_factory=list)


def judged_nights(
    model: Finetuned,
    reader: NightReader,
    night_ids: Sequence[str],
    modalities: Sequence[str] | None = None,
    watch: Watch | None = None,
) -> JudgedNights:
    """Ask a model about nights of a store.

    Args:
        model: fine-tuned.
        reader: without labels.
        night_ids: whom to ask about.
        modalities: which sensors it is given; None: all it reads.
        watch: is told (done, all).
    """
    judged = JudgedNights(nights={name: [] for name, task in model.tasks.items() if isinstance(task, NightTask)})
    batches = NightSequence(reader, night_ids)
    asked = (batch if modalities is None else without(batch, modalities) for batch in batches)
    for done, (answers, answered) in enumerate(answers_of(model.module, model.tasks, asked, reader.scorings), 1):
        row = reader.views.store.row(night_ids[done - 1])
        judged.rows.append(row)
        judged.embeddings.append(night_embedding(answers))
        staged_LC = _probabilities(model.tasks, answered, "staging")
        scoring = reader.scorings.of(row.night_id)
        if staged_LC is not None:
            judged.staged.append(
                StagedNight(row.person, scoring.stages_L, staged_LC, name=row.night_id, grid_start_s=row.grid_start_s)
            )
        with_oximeter = "spo2" in model.module.modalities and (modalities is None or "spo2" in modalities)
        judged.breathing.append(_breathing(model.tasks, answered, row, reader, staged_LC, with_oximeter))
        for name, task in model.tasks.items():
            if isinstance(task, NightTask):
                judged.nights[name].append(_judged(task, answered[name], row))
        if watch is not None:
            watch(done, len(night_ids))
    return judged


def without(batch: NightBatch, modalities: Sequence[str]) -> NightBatch:
    """The batch with only some modalities readable."""
    kept_M = torch.tensor([name in modalities for name in batch.views])
    L = next(iter(batch.views.values())).valid_BL.shape[1]
    valid_BML = torch.stack([view.valid_BL for view in batch.views.values()], dim=1)
    return batch.restricted(valid_BML & kept_M[None, :, None].expand(1, -1, L))


def figures_of(
    model: Finetuned, judged: JudgedNights, n_resamples: int = N_RESAMPLES, seed: int = 0, *, groups: bool = True
) -> list[Figure]:
    """All figures of all tasks, then those of subgroups of people."""
    lines: list[Figure] = []
    masks = subgroups(judged.rows, _scored_ahi(judged)) if groups else {}

    def add(function: Callable[[list[object]], list[Figure]], nights: Sequence[object], in_groups: bool = True) -> None:
        lines.extend(function(list(nights)))
        if in_groups and masks and len(nights) == len(judged.rows):
            lines.extend(by_group(function, nights, masks))

    if judged.staged:
        add(lambda nights: staging_figures(nights, n_resamples, seed), judged.staged)  # type: ignore[arg-type]
    if any(isinstance(task, EventTask) for task in model.tasks.values()):
        add(lambda nights: breathing_figures(nights, n_resamples, seed), judged.breathing)  # type: ignore[arg-type]
    for name, nights in judged.nights.items():
        add(_figures(model.tasks[name], n_resamples, seed), nights)
    if model.survival is not None:
        embeddings_ND = np.stack(judged.embeddings)
        lines.extend(survival_figures(model.survival, embeddings_ND, judged.rows, n_resamples, seed))
    return lines


def plots_of(model: Finetuned, judged: JudgedNights) -> dict[str, list[Plot]]:
    """Pictures by task."""
    plots: dict[str, list[Plot]] = {}
    staging = model.tasks.get("staging")
    if isinstance(staging, Staging):
        plots["staging"] = staging_plots(judged.staged, staging.least_confidence)
    if "respiratory" in model.tasks:
        plots["respiratory"] = breathing_plots(judged.breathing)
    for name, nights in judged.nights.items():
        task = model.tasks[name]
        if isinstance(task, YesNoTask):
            plots[name] = label_plots(nights, task.outcomes)  # type: ignore[arg-type]
        elif isinstance(task, NumberTask):
            plots[name] = number_plots(nights, name.capitalize(), task.unit)  # type: ignore[arg-type]
        elif isinstance(task, ClassesTask):
            plots[name] = class_plots(nights, [f"{code:g}" for code in task.classes], name)  # type: ignore[arg-type]
    if model.survival is not None:
        plots["survival"] = list(survival_plots(model.survival, np.stack(judged.embeddings), judged.rows))
    return plots


def _figures(task: Task, n_resamples: int, seed: int) -> Callable[[list[object]], list[Figure]]:
    common = {"task": task.name, "n_resamples": n_resamples, "seed": seed}
    if isinstance(task, YesNoTask):
        return lambda nights: label_figures(nights, task.outcomes, task.prevalences, **common)  # type: ignore[arg-type]
    if isinstance(task, NumberTask):
        return lambda nights: number_figures(nights, unit=task.unit, **common)  # type: ignore[arg-type]
    assert isinstance(task, ClassesTask)
    names = [f"{code:g}" for code in task.classes]
    return lambda nights: class_figures(nights, names, **common)  # type: ignore[arg-type]


def _judged(task: NightTask, answered: Answered, row: ManifestRow) -> LabelledNight | MeasuredNight | ClassifiedNight:
    told = task.probabilities(torch.from_numpy(answered.output)).numpy().astype(float)
    known = task.values(row).astype(float)
    if isinstance(task, YesNoTask):
        return LabelledNight(row.person, known, told)
    if isinstance(task, NumberTask):
        return MeasuredNight(row.person, float(known[0]), float(told[0]))
    return ClassifiedNight(row.person, float(known[0]), told)


def _probabilities(tasks: Mapping[str, Task], answered: Mapping[str, Answered], name: str) -> np.ndarray | None:
    if name not in tasks:
        return None
    return np.asarray(tasks[name].probabilities(torch.from_numpy(answered[name].output)).numpy())


def _breathing(
    tasks: Mapping[str, Task],
    answered: Mapping[str, Answered],
    row: ManifestRow,
    reader: NightReader,
    staged_LC: np.ndarray | None,
    with_oximeter: bool,
) -> BreathingNight:
    """The events of a night, scored and found."""
    scoring = reader.scorings.of(row.night_id)
    found: list[Event] = []
    predicts: set[Question] = set()
    for name, task in tasks.items():
        if isinstance(task, EventTask):
            predicts.add(task.question)
            found += task.decode(task.told(answered[name].output), row.grid_start_s)
    predicted_L = None
    if staged_LC is not None:
        predicted_L = np.where(np.isnan(staged_LC[:, 0]), np.nan, np.nan_to_num(staged_LC).argmax(axis=1))
    oximetry = None
    if with_oximeter and "spo2" in row.signals:
        store = reader.views.store
        valid_N = np.repeat(store.valid(row.night_id, "spo2"), MODALITIES["spo2"].rate_hz * TOKEN_SECONDS)
        oximetry = Oximetry(store.samples(row.night_id, "spo2").ravel(), valid_N, MODALITIES["spo2"].rate_hz)
    scored = bool(np.isfinite(scoring.stages_L).any())
    return BreathingNight(
        row.person,
        scoring.events,
        found,
        scoring.stages_L if scored else None,
        predicted_L,
        scoring.answered,
        predicts,
        oximetry,
        row.grid_start_s,
        population_of(row.age_years),
    )


def _scored_ahi(judged: JudgedNights) -> list[float | None]:
    """Of each night, with all events that its scorer wrote and his hypnogram; None where he wrote none."""
    found: list[float | None] = []
    for night in judged.breathing:
        if "respiratory" not in night.answered or night.stages_scored_L is None:
            found.append(None)
            continue
        index = breathing_indices(
            night.scored_events,
            night.stages_scored_L,
            rule="as scored",
            hypnogram="scored",
            grid_start_s=night.grid_start_s,
        )
        found.append(index.ahi)
    return found
