"""What a night says of found events: which of them are true, and what indices come of both sides.

Only what both sides look for counts: a question that the scorer answered and the model predicts. Events count in sleep
(AASM), and which hypnogram says what sleep is stands beside every number:

- ``scored sleep``: the scored hypnogram, for both sides. What is judged is the events alone.
- ``each its own sleep``: scored events in scored sleep, predicted ones in predicted sleep, of the tokens that a scorer
  looked at. What a user gets who has nothing but the model.
- ``predicted sleep``: the predicted hypnogram, for both; of nights whose stages nobody scored.

Hypopneas count as they were written ("as scored"; the model has learned its scorers' rule), and where a night has an
oximeter by the rules 1A and 1B, which ask the same trace of both sides. Rule 1A asks for arousals where both sides have
them, else of neither. A hypopnea of which the oximeter or the arousals do not say that it counts does not.

Letters: L tokens of 30 s, N samples of the saturation.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sleep2vec.data.event_targets import Question
from sleep2vec.metrics.breathing_indices import Rule, breathing_indices
from sleep2vec.metrics.desaturations import (
    LONGEST_FALL_S,
    Desaturation,
    find_desaturations,
    oxygen_desaturation_index,
    readable_spo2,
)
from sleep2vec.metrics.event_stages import asleep, in_sleep, per_hour
from sleep2vec.metrics.events import EventScore, event_score
from sleep2vec.metrics.hypoxia import hypoxic_burden
from sleep2vec.metrics.severity import Population
from sleep2vec.vocabulary.errors import UsageError
from sleep2vec.vocabulary.events import APNEAS, APNEAS_AND_HYPOPNEAS, Event, EventKind
from sleep2vec.vocabulary.modalities import TOKEN_SECONDS

Floats = NDArray[np.floating]
Sleep = Literal["scored sleep", "each its own sleep", "predicted sleep"]

LEAST_IOUS = (0.0, 0.3)
RULES: tuple[Rule, ...] = ("as scored", "1A", "1B")
KINDS: dict[str, tuple[Question, tuple[EventKind, ...]]] = {
    "apneas and hypopneas": ("respiratory", APNEAS_AND_HYPOPNEAS),
    "apneas": ("respiratory", APNEAS),
    "obstructive apneas": ("respiratory", ("obstructive_apnea",)),
    "central apneas": ("respiratory", ("central_apnea",)),
    "mixed apneas": ("respiratory", ("mixed_apnea",)),
    "hypopneas": ("respiratory", ("hypopnea",)),
    "arousals": ("arousal", ("arousal",)),
    "desaturations": ("desaturation", ("desaturation",)),
}
"""Groups of events that are scored by themselves."""
_TYPED = frozenset(("obstructive apneas", "central apneas", "mixed apneas"))
_LEAST_READABLE = 0.5  # of a token's samples


@dataclass(frozen=True, eq=False)
class Oximetry:
    """The saturation of a night; sample 0 is the first of token 0.

    Attributes:
        samples_N: In %, N = 30 L rate_hz.
        valid_N: (N,) bool.
        rate_hz: Of the samples.
    """

    samples_N: Floats
    valid_N: NDArray[np.bool_]
    rate_hz: int = 4


@dataclass(frozen=True)
class Index:
    """A number that both sides have: ``Index("AHI", "events/h", "1A", "scored sleep")``.

    Attributes:
        rule: Of the hypopneas; empty where none is asked for.
    """

    name: str
    unit: str
    rule: str
    sleep: Sleep

    def __str__(self) -> str:
        return f"{self.name} ({', '.join(part for part in (self.rule, self.sleep) if part)})"


@dataclass(frozen=True, eq=False)
class BreathingNight:
    """A night with scored and with predicted events; times from the start of the recording.

    Attributes:
        person: Who slept; people are what is resampled.
        scored_events, predicted_events: Of any kinds.
        stages_scored_L, stages_predicted_L: (L,) codes, NaN where unscored or abstained; None without a hypnogram. A
            night with neither counts nowhere.
        spo2: None without an oximeter.
        grid_start_s: When token 0 begins.
        answered: Questions that the scorer answered (`data.event_targets.scored_questions`).
        predicts: Questions that the model answers: one that does not look for arousals has not missed any.
        population: Whose cut-offs of severity.

    Raises:
        UsageError: hypnograms or a saturation of another length.
    """

    person: str
    scored_events: Sequence[Event]
    predicted_events: Sequence[Event]
    stages_scored_L: Floats | None
    stages_predicted_L: Floats | None
    answered: Collection[Question]
    predicts: Collection[Question]
    spo2: Oximetry | None = None
    grid_start_s: float = 0.0
    population: Population = "adults"

    def __post_init__(self) -> None:
        lengths = {len(side) for side in (self.stages_scored_L, self.stages_predicted_L) if side is not None}
        n_samples = None if self.spo2 is None else len(self.spo2.samples_N)
        fits = self.spo2 is None or lengths <= {len(self.spo2.samples_N) / (TOKEN_SECONDS * self.spo2.rate_hz)}
        if len(lengths) > 1 or not fits:
            raise UsageError(
                f"the parts of a night do not fit one another: hypnograms of {sorted(lengths)} tokens, "
                f"{n_samples} samples of saturation; give all on one grid of {TOKEN_SECONDS} s tokens."
            )

    @cached_property
    def questions(self) -> frozenset[Question]:
        """What both sides answer."""
        return frozenset(self.answered) & frozenset(self.predicts)

    @cached_property
    def sleeps(self) -> dict[Sleep, tuple[Floats, Floats]]:
        """By name the hypnograms of the scored and of the predicted events."""
        scored_L, predicted_L = self.stages_scored_L, self.stages_predicted_L
        if scored_L is None:
            return {} if predicted_L is None else {"predicted sleep": (predicted_L, predicted_L)}
        sleeps: dict[Sleep, tuple[Floats, Floats]] = {"scored sleep": (scored_L, scored_L)}
        if predicted_L is not None:
            sleeps["each its own sleep"] = scored_L, np.where(np.isnan(scored_L), np.nan, predicted_L)
        return sleeps

    @cached_property
    def event_scores(self) -> dict[tuple[str, Sleep, float], EventScore]:
        """By group of `KINDS`, hypnogram (one for both sides) and least IoU.

        Marks, events without a duration, are of no known length and left out. Types of apneas are not judged in a night
        with apneas of which the scorer wrote no type.
        """
        scores = {}
        for sleep, (stages_L, of_predicted_L) in self.sleeps.items():
            if of_predicted_L is not stages_L:
                continue
            sides = [
                in_sleep([event for event in side if event.end_s > event.onset_s], stages_L, self.grid_start_s)
                for side in (self.scored_events, self.predicted_events)
            ]
            untyped = any(event.kind == "apnea" for event in self.scored_events)
            for name, (question, kinds) in KINDS.items():
                if question in self.questions and not (untyped and name in _TYPED):
                    true, predicted = ([event for event in side if event.kind in kinds] for side in sides)
                    for least_iou in LEAST_IOUS:
                        scores[name, sleep, least_iou] = event_score(true, predicted, least_iou)
        return scores

    @cached_property
    def indices(self) -> dict[Index, tuple[float, float]]:
        """Scored and predicted; NaN where not defined."""
        found: dict[Index, tuple[float, float]] = {}
        for sleep, hypnograms in self.sleeps.items():
            sides = tuple(zip((self.scored_events, self.predicted_events), hypnograms, strict=True))
            if "respiratory" in self.questions:
                for rule in RULES if self.spo2 is not None else RULES[:1]:
                    of_rule = [self._ahi(events, stages_L, rule) for events, stages_L in sides]
                    found[Index("AHI", "events/h", rule, sleep)] = _pair(of_rule)
                if self.spo2 is not None:
                    burdens = [self._burden(events, stages_L) for events, stages_L in sides]
                    found[Index("hypoxic burden", "% min/h", "as scored", sleep)] = _pair(burdens)
            if "arousal" in self.questions:
                rates = [self._per_hour(events, "arousal", stages_L) for events, stages_L in sides]
                found[Index("arousal index", "events/h", "", sleep)] = _pair(rates)
            if "desaturation" in self.questions:
                rates = [self._per_hour(events, "desaturation", stages_L) for events, stages_L in sides]
                found[Index("ODI", "events/h", "as scored", sleep)] = _pair(rates)
            if "desaturation" in self.answered and self.spo2 is not None:
                for percent in (3, 4):
                    falls = zip((self._scored_falls, self._found_falls), hypnograms, strict=True)
                    odis = [self._odi(of_side, stages_L, percent) for of_side, stages_L in falls]
                    found[Index(f"ODI{percent}", "events/h", "found in the saturation", sleep)] = _pair(odis)
        return found

    @cached_property
    def _spo2_N(self) -> NDArray[np.float64]:
        return np.zeros(0) if self.spo2 is None else readable_spo2(self.spo2.samples_N, self.spo2.valid_N)

    @cached_property
    def _readable_L(self) -> NDArray[np.bool_] | None:
        if self.spo2 is None:
            return None
        readable_LS = np.isfinite(self._spo2_N).reshape(-1, TOKEN_SECONDS * self.spo2.rate_hz)
        return np.asarray(readable_LS.mean(axis=1) >= _LEAST_READABLE)

    @cached_property
    def _found_falls(self) -> tuple[Desaturation, ...]:
        """Desaturations by our definition, in the trace."""
        if self.spo2 is None:
            return ()
        return find_desaturations(self._spo2_N, rate_hz=self.spo2.rate_hz, start_s=self.grid_start_s)

    @cached_property
    def _scored_falls(self) -> tuple[Desaturation, ...]:
        """Scored desaturations with the depth that the trace has there."""
        if self.spo2 is None:
            return ()
        events = [event for event in self.scored_events if event.kind == "desaturation"]
        falls, since_s = [], self.grid_start_s
        for event in sorted(events, key=lambda event: event.onset_s):
            fall = _measured_fall(event, since_s, self._spo2_N, self.spo2.rate_hz, self.grid_start_s)
            falls += [] if fall is None else [fall]
            since_s = event.end_s
        return tuple(falls)

    def _ahi(self, events: Sequence[Event], stages_L: Floats, rule: Rule) -> float | None:
        roused = [event for event in events if event.kind == "arousal"] if "arousal" in self.questions else None
        return breathing_indices(
            events,
            stages_L,
            rule=rule,
            hypnogram="scored" if stages_L is self.stages_scored_L else "predicted",
            desaturations=None if self.spo2 is None else self._found_falls,
            arousals=roused,
            grid_start_s=self.grid_start_s,
        ).ahi

    def _burden(self, events: Sequence[Event], stages_L: Floats) -> float | None:
        breathing = [event for event in events if event.kind in APNEAS_AND_HYPOPNEAS]
        rate_hz = 4 if self.spo2 is None else self.spo2.rate_hz
        burden = hypoxic_burden(breathing, self._spo2_N, stages_L, rate_hz=rate_hz, grid_start_s=self.grid_start_s)
        return burden.percent_min_per_hour

    def _per_hour(self, events: Sequence[Event], kind: EventKind, stages_L: Floats) -> float | None:
        counted = in_sleep([event for event in events if event.kind == kind], stages_L, self.grid_start_s)
        return per_hour(len(counted), asleep(stages_L))

    def _odi(self, falls: Sequence[Desaturation], stages_L: Floats, percent: float) -> float | None:
        return oxygen_desaturation_index(
            falls, stages_L, least_drop_percent=percent, valid_L=self._readable_L, grid_start_s=self.grid_start_s
        )


def _measured_fall(
    event: Event, since_s: float, spo2_N: NDArray[np.float64], rate_hz: int, grid_start_s: float
) -> Desaturation | None:
    """How deep the saturation falls in a scored desaturation; None where it cannot be read.

    The baseline is that of `metrics.desaturations`: the highest reading of the 100 s before the nadir, since the
    desaturation before.
    """
    first, stop = (
        int(np.clip(round((time_s - grid_start_s) * rate_hz), 0, len(spo2_N)))
        for time_s in (event.onset_s, event.end_s)
    )
    if not np.isfinite(spo2_N[first:stop]).any():
        return None
    low = first + int(np.nanargmin(spo2_N[first:stop]))
    earliest = min(first, max(round((since_s - grid_start_s) * rate_hz), 0))
    earliest = max(earliest, low - round(LONGEST_FALL_S * rate_hz), 0)
    baseline, nadir = float(np.nanmax(spo2_N[earliest : low + 1])), float(spo2_N[low])
    return Desaturation(event.onset_s, grid_start_s + low / rate_hz, event.end_s, baseline, nadir, recovered=True)


def _pair(values: Sequence[float | None]) -> tuple[float, float]:
    scored, predicted = (float("nan") if value is None else value for value in values)
    return scored, predicted
