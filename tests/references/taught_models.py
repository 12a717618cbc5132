"""A small model of several tasks beside a store with their labels, made up; nobody trained it."""

from pathlib import Path

import numpy as np
import torch
from made_nights import SLOW, made_night, store_of

from sleep2vec.data.scoring import ScoringReader
from sleep2vec.model.encoder import ModelConfig
from sleep2vec.model.sleep_model import SleepModel, SleepModelConfig
from sleep2vec.store.reader import Store
from sleep2vec.tasks.familiarity import Familiarity
from sleep2vec.tasks.finetuned import Finetuned
from sleep2vec.tasks.registry import TaskName, tasks_of
from sleep2vec.vocabulary.events import Event
from sleep2vec.vocabulary.subject import Subject

TASKS: tuple[TaskName, ...] = ("staging", "respiratory", "arousal", "age", "sex", "diagnosis")


def labelled_store(folder: Path, n_nights: int = 6, n_tokens: int = 30) -> Store:
    """Nights of as many people with stages, events, ages, sexes and a diagnosis; every other night lacks a belt."""
    nights = []
    for i in range(n_nights):
        draw = np.random.default_rng(i)
        stages = np.repeat(draw.integers(0, 5, n_tokens // 3), 3).astype(np.float32)
        events = tuple(
            Event(kind, float(onset), duration)
            for kind, duration in (("obstructive_apnea", 14.0), ("hypopnea", 20.0), ("arousal", 5.0))
            for onset in draw.choice(n_tokens * 30 - 40, 4, replace=False)
        )
        subject = Subject(
            f"p{i}", 30.0 + 5 * i, "male" if i % 2 else "female", measures={"diagnosis.asthma": float(i % 3 == 0)}
        )
        modalities = SLOW if i % 2 else tuple(name for name in SLOW if name != "belt")
        night = made_night(f"n{i}", i, n_tokens, modalities, subject=subject, stages=stages)
        nights.append(type(night)(**{**night.__dict__, "events": events}))
    return store_of(folder, nights)


def taught_model(store: Store, seed: int = 0, loud: float = 8.0) -> Finetuned:
    """A tiny model with all heads, as random as torch makes it; of stages it is louder, so that its answers differ."""
    scorings = ScoringReader(store)
    known = [scorings.of(row.night_id) for row in store.rows]
    tasks = {name: task.prepared(known) for name, task in tasks_of(TASKS).items()}
    torch.manual_seed(seed)
    encoder = ModelConfig(size="tiny", modalities=SLOW, dropout=0.0)
    heads = {name: task.head for name, task in tasks.items()}
    module = SleepModel(SleepModelConfig(encoder=encoder, heads=heads)).eval()
    with torch.no_grad():
        module.heads["staging"][-1].weight.mul_(loud)
        module.fusion.preference_M.normal_()
    return Finetuned(module, tasks, Familiarity({}, {}, {}))
