"""What a model says of a night.

Dimension letters: L tokens, C stages, M modalities, D features.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sleep2vec.inference.breathing import Breathing
from sleep2vec.metrics.sleep_statistics import SleepStatistics, sleep_statistics
from sleep2vec.vocabulary.events import Event
from sleep2vec.vocabulary.modalities import TOKEN_SECONDS
from sleep2vec.vocabulary.night import Night
from sleep2vec.vocabulary.outcome import Outcome, Prognosis
from sleep2vec.vocabulary.stages import STAGE_NAMES, Hypnogram, Scheme, regroup_probabilities


def lights_of(night: Night) -> tuple[float | None, float | None]:
    """When the lights went off and on, from the start of the recording; None where nobody marked it.

    Marks that cannot be (on before off, off after the end) are those of another night or of a test: neither is used.
    """
    end_s = night.grid_start_s + night.n_tokens * TOKEN_SECONDS
    off_s = next((event.onset_s for event in night.events if event.kind == "lights_off"), None)
    on_s = next((event.onset_s for event in night.events if event.kind == "lights_on"), None)
    begins_s = night.grid_start_s if off_s is None else off_s
    if begins_s >= end_s or (on_s is not None and on_s <= max(begins_s, night.grid_start_s)):
        return None, None
    return off_s, on_s


@dataclass(frozen=True)
class NightResult:
    """Stages of a night, how sure they are, and which sensors decided; and what else the model was taught to say.

    Attributes:
        night: What was read, with its provenance; `night.stages` is the reference scoring, if there is one.
        model_name: Which model answered.
        simulated_weights: Whether it was trained on simulated nights only.
        modalities: M names, the sensors the model was given.
        probabilities: (L, 5); rows of NaN where no sensor was valid: there the model abstains.
        sensor_weights: (L, M); each row adds up to 1, or to 0 where the model abstains.
        valid: (L, M) bool.
        embeddings: (L, D) float32, one for each token; NaN where the model abstains.
        night_embedding: (D,).
        tasks: What the model was asked.
        events: Respiratory events, arousals and desaturations that it found; times from the start of the recording.
        seconds: By task, the probability of an event in each second, (S,), NaN where the model abstains.
        breathing: None where it was taught no events.
        outcomes: What it says of the person.
        prognoses: Of survival.
        least_confidence: Below this probability of the likeliest stage an epoch is doubtful; None where the model has
            no such limit.
        warnings: What a person should know before believing it, one sentence each.
        versions: Of the software, by name.
    """

    night: Night
    model_name: str
    simulated_weights: bool
    modalities: tuple[str, ...]
    probabilities: NDArray[np.float32]
    sensor_weights: NDArray[np.float32]
    valid: NDArray[np.bool_]
    embeddings: NDArray[np.float32]
    night_embedding: NDArray[np.float32]
    tasks: tuple[str, ...] = ("staging",)
    events: tuple[Event, ...] = ()
    seconds: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    breathing: Breathing | None = None
    outcomes: tuple[Outcome, ...] = ()
    prognoses: tuple[Prognosis, ...] = ()
    least_confidence: float | None = None
    warnings: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def stages(self) -> Hypnogram:
        """(L,) codes of `vocabulary.stages.FIVE`, NaN where the model abstains."""
        return self.stages_of(5)

    def stages_of(self, scheme: Scheme) -> Hypnogram:
        """(L,) codes in five, four or three classes; the likeliest class after adding up probabilities."""
        answered_L = np.isfinite(self.probabilities[:, 0])
        stages_L = np.full(len(self.probabilities), np.nan, dtype=np.float32)
        stages_L[answered_L] = regroup_probabilities(self.probabilities[answered_L], scheme).argmax(axis=1)
        return stages_L

    def words_of(self, scheme: Scheme) -> list[str | None]:
        """The same as words (``"N2"``, ``"Light"`` ...), None where the model abstains."""
        names = STAGE_NAMES[scheme]
        return [None if np.isnan(stage) else names[int(stage)] for stage in self.stages_of(scheme)]

    @cached_property
    def doubtful(self) -> NDArray[np.bool_]:
        """(L,) epochs whose likeliest stage is less likely than the model's own limit."""
        if self.least_confidence is None:
            return np.zeros(len(self.probabilities), dtype=np.bool_)
        surest_L = np.nan_to_num(self.probabilities, nan=1.0).max(axis=1)
        return np.asarray(surest_L < self.least_confidence)

    @cached_property
    def statistics(self) -> SleepStatistics:
        """Sleep statistics of `stages`, counted from lights off where it was annotated."""
        off_s, on_s = lights_of(self.night)
        return sleep_statistics(self.stages, lights_off_s=off_s, lights_on_s=on_s, grid_start_s=self.night.grid_start_s)

    def save(self, folder: str | Path) -> list[Path]:
        """Write every export into `folder` and return the paths; all of them or, on an error, none."""
        from sleep2vec.inference.export import save_all

        return save_all(self, Path(folder))

    def report(self, path: str | Path) -> None:
        """Write the self-contained HTML page."""
        from sleep2vec.inference.export import html

        Path(path).write_text(html(self), encoding="utf-8")

    def to_edf_plus(self, path: str | Path) -> None:
        """Write the stages as an EDF+ annotation file."""
        from sleep2vec.inference.export import edf_plus

        edf_plus(self, Path(path))

    def to_yasa(self) -> Any:
        """The stages as a `yasa.Hypnogram` (``WAKE``, ``N1`` ...; ``UNS`` where the model abstains), epochs of 30 s.

        Raises:
            UsageError: YASA is not installed.
        """
        from sleep2vec.inference.export import yasa_hypnogram

        return yasa_hypnogram(self)
