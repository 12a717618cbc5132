"""The page of one night: what the model says, how sure it is, which sensor decided, and where to distrust it.

Letters: L tokens (30 s epochs), C classes (`vocabulary.stages.FIVE`), M modalities.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from sleep2vec.metrics.agreement import Agreement, agreement
from sleep2vec.metrics.sleep_statistics import SleepStatistics
from sleep2vec.report import figures
from sleep2vec.report.documents import epochs_text, hours_text, number_text, template
from sleep2vec.report.night_breathing import (
    RULE_TITLES,
    RULES,
    NightBreathing,
    breathing_notes,
    breathing_tiles,
    rule_rows,
    single_rows,
)
from sleep2vec.report.night_events import events_svg, questions_of
from sleep2vec.report.night_person import outlook_rows, told_rows
from sleep2vec.report.palette import STAGE_COLOURS, STAGE_ROWS, modality_colour
from sleep2vec.report.time_axis import TimeAxis
from sleep2vec.vocabulary.errors import UsageError
from sleep2vec.vocabulary.events import Event
from sleep2vec.vocabulary.modalities import MODALITIES, TOKEN_SECONDS
from sleep2vec.vocabulary.night import Provenance
from sleep2vec.vocabulary.outcome import Outcome, Prognosis
from sleep2vec.vocabulary.stages import FIVE

_MOST_GAPS = 6

# Attribute of SleepStatistics, its name and abbreviation in the AASM Manual, unit, how it is counted.
STATISTIC_ROWS = (
    ("time_in_bed_min", "Total recording time", "TRT", "min", "lights off to lights on"),
    ("total_sleep_min", "Total sleep time", "TST", "min", "N1 + N2 + N3 + R"),
    ("sleep_efficiency_percent", "Sleep efficiency", "SE", "%", "TST of TRT"),
    ("sleep_latency_min", "Sleep latency", "SL", "min", "lights off to the first epoch of any sleep"),
    ("rem_latency_min", "Stage R latency", "REM-L", "min", "sleep onset to the first epoch of R"),
    ("waso_min", "Wake after sleep onset", "WASO", "min", "sleep onset to lights on"),
    ("sleep_period_min", "Sleep period", "SPT", "min", "first to last epoch of sleep"),
    ("n_awakenings", "Awakenings", "", "", "stretches of wake within the sleep period"),
    ("n_stage_shifts", "Stage shifts", "", "", "changes of stage within the sleep period"),
    ("unscored_min", "Not scored", "", "min", "time in bed without a stage"),
)
_STAGE_FIELDS = MappingProxyType({"W": "wake", "R": "rem", "N1": "n1", "N2": "n2", "N3": "n3"})


@dataclass(frozen=True)
class NightPage:
    """Everything the page of a night shows; plain arrays and words.

    Attributes:
        title: Heading, usually the night's id.
        source: The file, as a person knows it.
        model_name: Which model answered.
        simulated_weights: Whether its weights were trained on simulated nights only; the page then says so.
        modalities: M names in the columns of `weights_LM` and `valid_LM`: the sensors the model was given.
        stages_L: (L,) codes of `FIVE`, NaN where the model abstained.
        probabilities_LC: (L, 5), NaN rows where it abstained.
        weights_LM: (L, M) share of each modality in the answer, each row adding up to 1; 0 or NaN where abstained.
        valid_LM: (L, M) bool, signal present and good.
        statistics: Of `stages_L`.
        start: Local time of the recording's first sample, or None.
        grid_start_s: When token 0 begins, from the start of the recording.
        lights_off_s, lights_on_s: From the start of the recording, None where unknown.
        reference_L: (L,) stages a person scored, NaN where unscored; None when nobody did.
        reference_statistics: Of `reference_L`, or None.
        provenance: By modality: the channel taken, why, and what was done (as in `Night`).
        absent: By modality that the model was not given: why, one sentence.
        warnings: What a person should know before believing the page, one sentence each.
        versions: Of the software, by name.
        events: That the model found; times from the start of the recording.
        scored_events: That a person scored.
        seconds: By question (``respiratory`` ...), the probability of such an event in each second, (30 L,), NaN where
            the model abstained; a question that is here was looked for.
        breathing: In numbers, None where the model says nothing of it.
        told: Of the person.
        outlooks: Chances of being free of an event.
        doubtful_L: (L,) bool, epochs below the least probability that the model asks of a sure answer; None where it
            has no such limit.
        least_confidence: That limit.

    Raises:
        UsageError: the arrays are not of one night.
    """

    title: str
    source: str
    model_name: str
    simulated_weights: bool
    modalities: tuple[str, ...]
    stages_L: NDArray[np.floating]
    probabilities_LC: NDArray[np.floating]
    weights_LM: NDArray[np.floating]
    valid_LM: NDArray[np.bool_]
    statistics: SleepStatistics
    start: datetime | None = None
    grid_start_s: float = 0.0
    lights_off_s: float | None = None
    lights_on_s: float | None = None
    reference_L: NDArray[np.floating] | None = None
    reference_statistics: SleepStatistics | None = None
    provenance: Mapping[str, Provenance] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    events: tuple[Event, ...] = ()
    scored_events: tuple[Event, ...] = ()
    seconds: Mapping[str, NDArray[np.floating]] = field(default_factory=dict)
    breathing: NightBreathing | None = None
    told: tuple[Outcome, ...] = ()
    outlooks: tuple[Prognosis, ...] = ()
    doubtful_L: NDArray[np.bool_] | None = None
    least_confidence: float | None = None

    @property
    def abstained_L(self) -> NDArray[np.bool_]:
        """(L,) epochs of which the model says nothing."""
        return np.asarray(np.isnan(self.stages_L) if self.staged else ~self.valid_LM.any(axis=1))

    @property
    def staged(self) -> bool:
        """Whether the model tells stages: one that was taught other things alone has none where sensors are good."""
        return bool(np.isfinite(self.stages_L).any() or not self.valid_LM.any())

    def __post_init__(self) -> None:
        L, M = len(self.stages_L), len(self.modalities)
        expected = {"stages_L": (L,), "probabilities_LC": (L, len(FIVE)), "weights_LM": (L, M), "valid_LM": (L, M)}
        if self.reference_L is not None:
            expected["reference_L"] = (L,)
        if self.doubtful_L is not None:
            expected["doubtful_L"] = (L,)
        given = {name: getattr(self, name).shape for name in expected}
        for question, probability_S in self.seconds.items():
            name = f"seconds[{question!r}]"
            expected[name], given[name] = (L * TOKEN_SECONDS,), probability_S.shape
        wrong = [f"{name} is {given[name]}, not {shape}" for name, shape in expected.items() if given[name] != shape]
        if L == 0 or wrong:
            raise UsageError(
                f"the page of a night needs arrays of the same {L} tokens (at least one) and {M} modalities: "
                f"{'; '.join(wrong) or 'there is no token'}."
            )
        for name in ("stages_L", "reference_L"):
            stages_L = getattr(self, name)
            if stages_L is not None and not (np.isnan(stages_L) | np.isin(stages_L, np.arange(len(FIVE)))).all():
                raise UsageError(
                    f"{name} holds a number that is no sleep stage; codes are 0 to {len(FIVE) - 1} and NaN."
                )
        if not np.isfinite(self.probabilities_LC[~np.isnan(self.stages_L)]).all():
            raise UsageError("an epoch has a stage but no probabilities; give both or neither (NaN).")


@dataclass(frozen=True)
class Confidence:
    """How sure the model was.

    Attributes:
        n_answered, n_abstained: Epochs with and without an answer.
        mean: Mean probability of the stage that was chosen, None without any.
        doubtful: Share of answered epochs in which no stage reached one half, None without any.
        gaps: The longest stretches without a stage, as (from, to, minutes), in their order.
        n_more_gaps: Stretches that are not listed.
        unsure: Share of answered epochs below the model's own limit, None where it has none.
    """

    n_answered: int
    n_abstained: int
    mean: float | None
    doubtful: float | None
    gaps: tuple[tuple[str, str, float], ...]
    n_more_gaps: int
    unsure: float | None = None


def night_html(page: NightPage) -> str:
    """The page as one HTML document: inline SVG and styles, no script, nothing fetched from anywhere."""
    axis = TimeAxis(len(page.stages_L), page.grid_start_s, page.start)
    reference = None if page.reference_L is None else agreement(page.reference_L, page.stages_L, len(FIVE))
    return template("night.html").render(
        page=page,
        axis_title=axis.title,
        header=_header(page),
        tiles=_tiles(page.statistics) if page.staged else [],
        breathing_tiles=[] if page.breathing is None else breathing_tiles(page.breathing),
        patterns=figures.pattern_definitions(),
        hypnogram=figures.hypnogram_svg(
            page.stages_L,
            axis,
            page.reference_L,
            (page.lights_off_s, page.lights_on_s),
            doubtful_L=page.doubtful_L,
        ),
        events=events_svg(page.events, page.scored_events, page.seconds, axis)
        if questions_of(page.events, page.seconds)
        else None,
        hypnodensity=figures.hypnodensity_svg(page.probabilities_LC, axis),
        weights=figures.weights_svg(page.weights_LM, page.modalities, axis, page.abstained_L),
        validity=figures.validity_svg(page.valid_LM, page.modalities, axis, _title_of),
        stage_colours=[(name, STAGE_COLOURS[name]) for name in STAGE_ROWS],
        statistic_rows=_statistic_rows(page),
        stage_rows=_stage_rows(page),
        confidence=confidence_of(page, axis),
        agreement=reference if reference is not None and reference.n_epochs > 0 else None,
        confusion_rows=_confusion_rows(reference) if reference is not None else [],
        sensors=_sensors(page),
        absent=[(_title_of(name), reason) for name, reason in page.absent.items()],
        rule_titles=[RULE_TITLES[rule] for rule in RULES],
        rule_rows=[] if page.breathing is None else rule_rows(page.breathing),
        single_rows=[] if page.breathing is None else single_rows(page.breathing),
        breathing_notes=[] if page.breathing is None else breathing_notes(page.breathing),
        sleep_min=float(np.count_nonzero(page.stages_L > 0)) * TOKEN_SECONDS / 60,
        told_rows=told_rows(page.told),
        outlook_rows=outlook_rows(page.outlooks),
        outlook_known=any(outlook.baseline is not None for outlook in page.outlooks),
    )


def confidence_of(page: NightPage, axis: TimeAxis) -> Confidence:
    """How sure the model was, and where it had nothing to go by."""
    answered_L = ~page.abstained_L
    highest = page.probabilities_LC[answered_L].max(axis=1) if page.staged and answered_L.any() else None
    gaps = [run for run in figures.runs(answered_L) if run.value == 0.0]
    longest = sorted(sorted(gaps, key=lambda run: run.start - run.stop)[:_MOST_GAPS], key=lambda run: run.start)
    return Confidence(
        n_answered=int(answered_L.sum()),
        n_abstained=int((~answered_L).sum()),
        mean=None if highest is None else float(highest.mean()),
        doubtful=None if highest is None else float((highest < 0.5).mean()),
        gaps=tuple(
            (axis.when(run.start), axis.when(run.stop), (run.stop - run.start) * TOKEN_SECONDS / 60) for run in longest
        ),
        n_more_gaps=len(gaps) - len(longest),
        unsure=None if page.doubtful_L is None or highest is None else float(page.doubtful_L[answered_L].mean()),
    )


def _header(page: NightPage) -> list[tuple[str, str]]:
    seconds = len(page.stages_L) * TOKEN_SECONDS
    begins = None if page.start is None else page.start + timedelta(seconds=page.grid_start_s)
    rows = [
        ("Recording", page.source),
        ("Date", "not stated in the file" if begins is None else f"{begins.day} {begins:%B %Y}"),
    ]
    if begins is not None:
        rows.append(("Scored", f"{begins:%H:%M:%S} to {begins + timedelta(seconds=seconds):%H:%M:%S}"))
    rows += [
        ("Duration", f"{hours_text(seconds / 60)} ({epochs_text(len(page.stages_L))} of {TOKEN_SECONDS} s)"),
        ("Sensors", ", ".join(map(_title_of, page.modalities)) or "none"),
        ("Model", page.model_name),
    ]
    return rows


def _tiles(statistics: SleepStatistics) -> list[tuple[str, str, str]]:
    """The five numbers a person looks for first: name, value, unit."""
    nothing_scored = statistics.total_sleep_min + statistics.wake_min == 0
    return [
        ("Total sleep", "–" if nothing_scored else hours_text(statistics.total_sleep_min), ""),
        ("Sleep efficiency", number_text(statistics.sleep_efficiency_percent), "%"),
        ("Sleep latency", number_text(statistics.sleep_latency_min), "min"),
        ("REM latency", number_text(statistics.rem_latency_min), "min"),
        ("Wake after sleep onset", number_text(statistics.waso_min), "min"),
    ]


def _statistic_rows(page: NightPage) -> list[tuple[str, str, str, str, str, str]]:
    """Name, abbreviation, unit, how it is counted, the model's value, the reference's value."""
    return [
        (name, short, unit, how, number_text(getattr(page.statistics, key)), _reference_number(page, key))
        for key, name, short, unit, how in STATISTIC_ROWS
    ]


def _stage_rows(page: NightPage) -> list[tuple[str, str, str, str, str, str]]:
    """Stage, colour, minutes and percent of sleep of the model, then of the reference."""
    rows = []
    for stage in STAGE_ROWS:
        minutes, percent = f"{_STAGE_FIELDS[stage]}_min", f"{_STAGE_FIELDS[stage]}_percent"
        rows.append(
            (
                stage,
                STAGE_COLOURS[stage],
                number_text(getattr(page.statistics, minutes)),
                number_text(getattr(page.statistics, percent)) if stage != "W" else "",
                _reference_number(page, minutes),
                _reference_number(page, percent) if stage != "W" else "",
            )
        )
    return rows


def _reference_number(page: NightPage, key: str) -> str:
    return "" if page.reference_statistics is None else number_text(getattr(page.reference_statistics, key))


def _confusion_rows(reference: Agreement) -> list[tuple[str, list[tuple[int, float]], float | None]]:
    """Stage of the reference, (count, share of the row) of each stage of the model, F1; in the order of the figures."""
    order = [FIVE.index(name) for name in STAGE_ROWS]
    rows = []
    for code in order:
        counts = reference.confusion_CC[code, order]
        total = max(int(counts.sum()), 1)
        cells = [(int(count), int(count) / total) for count in counts]
        rows.append((FIVE[code], cells, reference.f1_per_class[code]))
    return rows


def _sensors(page: NightPage) -> list[dict[str, object]]:
    answered_L = ~page.abstained_L
    weights = np.nan_to_num(page.weights_LM[answered_L])
    return [
        {
            "title": _title_of(name),
            "colour": modality_colour(name),
            "story": page.provenance.get(name),
            "valid": float(page.valid_LM[:, m].mean()),
            "weight": float(weights[:, m].mean()) if len(weights) else None,
        }
        for m, name in enumerate(page.modalities)
    ]


def _title_of(name: str) -> str:
    return MODALITIES[name].title if name in MODALITIES else name
