"""A recording: what a file said, before anything is interpreted."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sleep2vec.vocabulary.events import Event
from sleep2vec.vocabulary.stages import StageSpan
from sleep2vec.vocabulary.subject import Subject


@dataclass(frozen=True)
class Signal:
    """One channel as the device wrote it.

    Samples are read when asked for and not kept, so that a file of 89 channels costs the memory of one.

    Attributes:
        label: As written in the file.
        rate_hz: Samples a second; need not be whole.
        unit: As written in the file; the samples are in it.
        n_samples: Length.
        load: Returns the samples (n_samples,) float32; NaN where the recording has a gap.
        prefilter, transducer: As written in the file.
        physical_range: The smallest and largest value the converter can give, in `unit`, or None where
            the source does not say. A run of samples at either end is clipping.
    """

    label: str
    rate_hz: float
    unit: str
    n_samples: int
    load: Callable[[], NDArray[np.float32]] = field(repr=False, compare=False)
    prefilter: str = ""
    transducer: str = ""
    physical_range: tuple[float, float] | None = None

    @property
    def samples(self) -> NDArray[np.float32]:
        """(n_samples,) float32 in `unit`; read afresh at every call."""
        return self.load()

    @classmethod
    def from_array(
        cls,
        label: str,
        samples: ArrayLike,
        rate_hz: float,
        unit: str,
        physical_range: tuple[float, float] | None = None,
    ) -> "Signal":
        """A signal that is already in memory."""
        held = np.asarray(samples, dtype=np.float32)
        return cls(label, rate_hz, unit, len(held), lambda: held, physical_range=physical_range)


@dataclass(frozen=True)
class Recording:
    """What a file said.

    Attributes:
        signals: In the file's order.
        duration_s: From the first sample to the last, gaps included.
        start: Local time of the first sample without a zone, or None.
        stages: Scored spans, empty when nobody scored. Times count from the start of the recording.
        events: Everything else that was annotated. Times count from the start of the recording.
        subject: The person, as far as the file says.
        repairs: What the reader had to mend, one sentence each.
        source: Name of the file, for messages.
        declared_s: What the header says the recording lasts, where the file holds less; else None.
    """

    signals: tuple[Signal, ...]
    duration_s: float
    start: datetime | None = None
    stages: tuple[StageSpan, ...] = ()
    events: tuple[Event, ...] = ()
    subject: Subject = field(default_factory=Subject)
    repairs: tuple[str, ...] = ()
    source: str = "array"
    declared_s: float | None = None
