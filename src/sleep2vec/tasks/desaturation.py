"""Oxygen desaturations at 1 Hz, from whatever sensors there are.

Where a night has an oximeter its falls are found in the saturation itself (`metrics.desaturations`), by a rule that
needs no model: ODI3, ODI4 and the hypoxic burden are theirs. The model's answer is for nights without one.
"""

from typing import ClassVar

from sleep2vec.data.event_targets import Question
from sleep2vec.tasks.events import BinaryEventTask


class Desaturation(BinaryEventTask):
    """Where the saturation falls by 3 % or more, as it was scored.

    The shortest lasts 10 s: the length is ours, the AASM Manual has none.
    """

    title: ClassVar[str] = "oxygen desaturations"
    question: ClassVar[Question] = "desaturation"

    name: str = "desaturation"
