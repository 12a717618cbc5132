"""From what heads of nights say to words about the person."""

import numpy as np
import torch
from numpy.typing import NDArray

from sleep2vec.tasks.nights import ClassesTask, NightTask, NumberTask, YesNoTask
from sleep2vec.tasks.survival import SurvivalModel, Which
from sleep2vec.vocabulary.outcome import Outcome, Prognosis
from sleep2vec.vocabulary.subject import Subject

YEARS = (1.0, 5.0, 10.0)


def outcomes_of(task: NightTask, output_1K: NDArray[np.float32]) -> tuple[Outcome, ...]:
    """What a task says of one night; nothing where its output is not finite."""
    if not np.isfinite(output_1K).all():
        return ()
    told = task.probabilities(torch.from_numpy(output_1K))[0].tolist()
    if isinstance(task, NumberTask):
        return (Outcome(task.name, task.name, told[0], task.unit, error=task.error),)
    if isinstance(task, YesNoTask):
        return tuple(
            Outcome(task.name, outcome, value, "probability", usual=usual)
            for outcome, value, usual in zip(task.outcomes, told, task.prevalences, strict=True)
        )
    assert isinstance(task, ClassesTask)
    return tuple(
        Outcome(task.name, f"{task.name} {code:g}", value, "probability")
        for code, value in zip(task.classes, told, strict=False)
    )


def prognoses_of(model: SurvivalModel, embedding_1D: NDArray[np.float32], subject: Subject) -> tuple[Prognosis, ...]:
    """Chance of being free of each event, as far as people were followed."""
    if not np.isfinite(embedding_1D).all():
        return ()
    known = subject.age_years is not None and subject.sex is not None
    age_N = [np.nan if subject.age_years is None else subject.age_years]
    found = []
    for outcome, fitted in model.outcomes.items():
        years = [year for year in YEARS if year <= fitted.horizon_years] or [fitted.horizon_years]
        which: Which = "embedding_age_sex" if known else "embedding"
        told = model.survival(outcome, embedding_1D, age_N, [subject.sex], years, which)[0]
        usual = model.survival(outcome, embedding_1D, age_N, [subject.sex], years, "age_sex")[0] if known else None
        found += [
            Prognosis(outcome, year, float(told[t]), None if usual is None else float(usual[t]))
            for t, year in enumerate(years)
        ]
    return tuple(found)
