"""What a scorer left behind: the content of one annotation file, before it is laid on a recording."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from sleep2vec.vocabulary.events import Event, EventKind
from sleep2vec.vocabulary.stages import StageSpan


@dataclass(frozen=True)
class ScoringWords:
    """How one cohort writes stages and events, where that is not what everybody's words mean.

    Keys are the words as written, without case and outer spaces. A word that is here is never guessed at.

    Attributes:
        stages: Word or code to an index of `stages.FIVE`; None for "looked at and not scored".
        events: Word to a kind; None for an annotation that must not count as any.
        epoch_s: Seconds an epoch lasts where the file does not say.
    """

    stages: Mapping[str, int | None] = field(default_factory=dict)
    events: Mapping[str, EventKind | None] = field(default_factory=dict)
    epoch_s: float | None = None


SLEEP_WAKE_ONLY = "sleep_wake_only"
"""The measure that is 1 for a night whose scorers told sleep from wake only: what they wrote for sleep is no stage."""
EVERYBODYS_WORDS = ScoringWords()
NO_DATE = date(1, 1, 2)
"""The day of a `Scoring.start` whose file tells the time of day and no date."""


@dataclass(frozen=True)
class Scoring:
    """Stages and events of one annotation file.

    Attributes:
        stages: Scored spans in order of time; empty where the file holds only events. The duration of the last is
            infinite where the file marks only changes of stage: it lasts until the recording ends.
        events: Everything else that was annotated, in order of time.
        start: Local time from which onsets count, or None: they then count from the recording's first sample. On
            `NO_DATE` it is a time of day.
        dialect: What the file is, for a person (``"NSRR XML"``).
        epoch_s: Length of the scorer's epochs, or None where the file does not tell.
        repairs: What the reader had to mend or leave out, one sentence each.
    """

    stages: tuple[StageSpan, ...]
    events: tuple[Event, ...] = ()
    start: datetime | None = None
    dialect: str = ""
    epoch_s: float | None = None
    repairs: tuple[str, ...] = ()
