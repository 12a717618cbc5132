"""What a model says of the person who slept."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """What a model says of the person.

    Attributes:
        task: Whose answer it is.
        title: For people: ``"age"``, ``"hypertension"``.
        value: The number in `unit`, or the probability.
        unit: Of the number; ``"probability"``.
        error: Usual size of the error (standard deviation on validation people), None where unknown.
        usual: Of probabilities, how common it was among the training nights; None elsewhere.
    """

    task: str
    title: str
    value: float
    unit: str
    error: float | None = None
    usual: float | None = None


@dataclass(frozen=True)
class Prognosis:
    """Chance of being free of an event.

    Attributes:
        outcome: ``"death"``.
        years: From the night.
        survival: Chance of being free of it until then, by embedding, age and sex; where age or sex are not known, by
            the embedding alone.
        baseline: The same by age and sex alone; None where they are not known.
    """

    outcome: str
    years: float
    survival: float
    baseline: float | None
