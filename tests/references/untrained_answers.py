"""A model nobody trained that answers everything: stages, events, the person, survival. What it says means nothing."""

from pathlib import Path

import torch
from made_nights import made_night
from torch import nn

from sleep2vec.data.window import view_of_night
from sleep2vec.inference.predictor import Model
from sleep2vec.model.checkpoint import save_checkpoint
from sleep2vec.model.encoder import ModelConfig
from sleep2vec.model.sleep_model import SleepModel, SleepModelConfig
from sleep2vec.objectives import Baseline
from sleep2vec.tasks.age import Age
from sleep2vec.tasks.arousal import Arousal
from sleep2vec.tasks.desaturation import Desaturation
from sleep2vec.tasks.diagnosis import Diagnosis
from sleep2vec.tasks.familiarity import Familiarity
from sleep2vec.tasks.finetuned import Finetuned
from sleep2vec.tasks.respiratory import Respiratory
from sleep2vec.tasks.sex import Sex
from sleep2vec.tasks.staging import Staging
from sleep2vec.tasks.survival import SurvivalConfig, SurvivalModel
from sleep2vec.tasks.survival_model import Hazard, OutcomeModel

torch.set_num_threads(1)

SENSORS = ("spo2", "ibi", "resp")
SEEN = {"n_nights": 3, "n_people": 2, "hours": 20.0, "cohorts": {"simulated": 3}, "simulated_only": True}
HAZARD = {"age_sex": 0.02, "embedding": 0.05, "embedding_age_sex": 0.03}
"""Events a year at log hazard 0, of each model; see `all_survival`."""


def all_tasks() -> dict:
    """One of each, with fitted values that a page has to say."""
    tasks = (
        Staging(least_confidence=0.45),
        Respiratory(threshold=0.85, merge_gap_s=2.0, shortest_s=3.0),
        Arousal(threshold=0.7, merge_gap_s=2.0),
        Desaturation(threshold=0.7, merge_gap_s=2.0, shortest_s=3.0),
        Age(centre=52.0, spread=14.0, error=7.25),
        Sex(prevalences=(0.48,)),
        Diagnosis(outcomes=("hypertension", "heart_failure"), prevalences=(0.31, 0.004)),
    )
    return {task.name: task for task in tasks}


def all_survival(width: int) -> SurvivalModel:
    """Survival that can be told on paper: hazards per year as `HAZARD`, times 1.1 a year of age above 60 and 2 for men.

    The embedding weighs nothing. Hazards are constant: their sum is a step of a tenth of a year.
    """
    years_K = torch.arange(1, 151, dtype=torch.float64) / 10
    hazards = {}
    for which, per_year in HAZARD.items():
        reads_age = which != "embedding"
        weights_D = torch.zeros(0 if which == "age_sex" else width, dtype=torch.float64)
        weights_2 = torch.tensor([1.1, 2.0], dtype=torch.float64).log() * reads_age
        baseline = Baseline(years_K.clone(), (per_year * years_K).log(), 15.0)
        hazards[which] = Hazard(weights_D, weights_2, baseline, torch.zeros(2), None, ())
    centre_2 = torch.tensor([60.0, 0.0], dtype=torch.float64)
    death = OutcomeModel(torch.zeros(width, dtype=torch.float64), centre_2, hazards, 100, 20, 10.0)
    return SurvivalModel(SurvivalConfig(), width, {"death": death}, {})


def untrained_answers(modalities=SENSORS, without=(), seed: int = 1) -> Model:
    """A tiny model with every head, each made so loud that its answers differ from token to token and second to second.

    Args:
        modalities: which it reads.
        without: tasks that it was not taught, ``survival`` too.
        seed: of its weights.
    """
    torch.manual_seed(seed)
    tasks = {name: task for name, task in all_tasks().items() if name not in without}
    encoder = ModelConfig(size="tiny", modalities=modalities)
    heads = {name: task.head for name, task in tasks.items()}
    module = SleepModel(SleepModelConfig(encoder=encoder, heads=heads)).eval()
    night = made_night("any", 1, n_tokens=30, modalities=modalities, valid_share=1.0)
    views = {name: view_of_night(night, name, 0, 30) for name in modalities}
    with torch.no_grad():
        answers = module(views)
        for name, output in answers.outputs.items():
            if tasks[name].resolution != "night":
                _be_loud(module.heads[name][-1], output)
    survival = None
    if "survival" not in without:
        width = (answers.windows_BD if answers.nights_BH is None else answers.nights_BH).shape[1]
        survival = all_survival(width)
    finetuned = Finetuned(module, tasks, Familiarity({}, {}, {}), survival)
    return Model("untrained", {"training_data": {"finetuning": SEEN}}, finetuned)


def _be_loud(last: nn.Linear, output: torch.Tensor) -> None:
    """Answers of mean 0 and a spread of 2."""
    gain = 2 / output.std(dim=1).mean()
    last.weight *= gain
    last.bias.copy_(gain * (last.bias - output.mean(dim=(0, 1))))


def saved_answers(folder: Path, **changes) -> Path:
    """The same as a folder, for commands."""
    made = untrained_answers(**changes).finetuned
    config = {**made.told(), "training_data": {"finetuning": SEEN}, "recipe": {}, "scores": {}}
    save_checkpoint(folder, made.tensors(), config, "# untrained\n")
    return folder
