"""Models nobody trained: their answers mean nothing, but they are answers."""

from pathlib import Path

import torch
from made_nights import made_night

from sleep2vec.data.window import view_of_night
from sleep2vec.model.checkpoint import save_checkpoint
from sleep2vec.model.encoder import ModelConfig
from sleep2vec.model.sleep_model import SleepModel, SleepModelConfig
from sleep2vec.tasks.familiarity import Familiarity
from sleep2vec.tasks.finetuned import Finetuned
from sleep2vec.tasks.staging import Staging
from sleep2vec.vocabulary.modalities import MODALITIES

torch.set_num_threads(1)  # on a busy machine two threads that wait for each other are ten times slower (measured)

SEEN = {"n_nights": 3, "n_people": 2, "hours": 20.0, "cohorts": {"simulated": 3}, "simulated_only": True}


def untrained_stager(modalities=tuple(MODALITIES)) -> SleepModel:
    """A tiny stager of fixed random weights, made so loud that its answers differ from token to token."""
    torch.manual_seed(1)
    encoder = ModelConfig(size="tiny", modalities=modalities)
    stager = SleepModel(SleepModelConfig(encoder=encoder, heads={"staging": Staging().head})).eval()
    night = made_night("any", 1, n_tokens=30, modalities=modalities, valid_share=1.0)
    views = {name: view_of_night(night, name, 0, 30) for name in modalities}
    last = stager.heads.staging[-1]
    with torch.no_grad():
        stager.fusion.preference_M += torch.linspace(-0.5, 0.5, len(modalities))
        logits_BLC = stager(views).outputs["staging"]
        gain = 1 / logits_BLC.std(dim=1).mean()
        last.weight *= gain
        last.bias.copy_(gain * (last.bias - logits_BLC.mean(dim=(0, 1))))
    return stager


def of_staging(module) -> Finetuned:
    """A module with a head of stages and nothing fitted."""
    return Finetuned(module, {"staging": Staging()}, Familiarity({}, {}, {}))


def untrained_model(folder: Path, modalities=tuple(MODALITIES), **changes) -> Path:
    """Save it as `recipes.finetuning` does, with other values in its config where `changes` names them."""
    made = of_staging(untrained_stager(modalities))
    config = {
        **made.told(),
        "training_data": {"finetuning": SEEN},
        "recipe": {},
        "scores": {},
    }
    save_checkpoint(folder, made.tensors(), config | changes, "# untrained\n")
    return folder
