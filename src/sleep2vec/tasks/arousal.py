"""Arousals at 1 Hz (AASM Manual: 3 s or longer)."""

from typing import ClassVar

from sleep2vec.data.event_targets import Question
from sleep2vec.tasks.events import BinaryEventTask


class Arousal(BinaryEventTask):
    """Where sleep is broken for seconds."""

    title: ClassVar[str] = "arousals"
    question: ClassVar[Question] = "arousal"

    name: str = "arousal"
    shortest_s: float = 3.0
