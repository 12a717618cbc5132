"""The page of a simulated night: what was recorded, what was true, and how far real nights agree with it.

Letters: L epochs of 30 s, N samples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from sleep2vec.report import figures
from sleep2vec.report.documents import hours_text, template
from sleep2vec.report.palette import STAGE_COLOURS, STAGE_ROWS, modality_colour
from sleep2vec.report.time_axis import TimeAxis
from sleep2vec.report.traces import Mark, Trace, fitted, moment_svg, night_traces_svg
from sleep2vec.simulation.simulated_night import SimulatedNight
from sleep2vec.vocabulary.events import Event
from sleep2vec.vocabulary.modalities import TOKEN_SECONDS
from sleep2vec.vocabulary.recording import Signal
from sleep2vec.vocabulary.stages import FIVE

# Half of the row of a scoring epoch, in uV at the electrode; an ECG takes its own extremes.
_EPOCH_SCALE_UV = {"eeg": 100.0, "eog": 150.0, "emg": 50.0}
_MICROVOLTS = {"uV": 1.0, "mV": 1e3, "V": 1e6}
_EPOCH_KINDS = ("eeg", "eog", "emg", "ecg")
_EVENT_KINDS = ("airflow", "thorax", "belt", "spo2", "ecg", "ppg", "eeg", "emg")
_BEFORE_S, _AFTER_S = 45.0, 90.0
_COLOUR_OF_ROW = {"apnea": "#2b6e5c", "hypopnea": "#a3d0b7", "arousal": "#c03a63", "desaturation": "#c9b458"}
_STAGE_TITLES = {"W": "Wake", "R": "Stage R", "N1": "Stage N1", "N2": "Stage N2", "N3": "Stage N3"}


@dataclass(frozen=True)
class Moment:
    """A close-up: its heading, a sentence, and the figure."""

    title: str
    words: str
    figure: Markup


def simulated_night_html(night: SimulatedNight, title: str, calibration: Sequence[Mapping[str, Any]] = ()) -> str:
    """The page as one HTML document without scripts.

    Args:
        night: what to draw.
        title: heading.
        calibration: measured comparisons with real nights, each with ``title``, ``words``, ``command``, ``columns``
            and ``rows`` of plain numbers and words.
    """
    recording, truth = night.recording, night.truth
    axis = TimeAxis(len(truth.stages_L), 0.0, recording.start)
    kinds = {channel.label: channel.kind for channel in truth.site.channels}
    return template("simulated_night.html").render(
        title=title,
        facts=_facts(night),
        axis_title=axis.title,
        patterns=figures.pattern_definitions(),
        hypnogram=figures.hypnogram_svg(truth.stages_L, axis, truth.scored_L, scorers=("truth", "scorer")),
        stage_colours=[(name, STAGE_COLOURS[name]) for name in STAGE_ROWS],
        overview=night_traces_svg(
            [_night_trace(signal, kinds.get(signal.label, "")) for signal in recording.signals],
            axis,
            _marks(truth.events, 0.0),
            "All signals of the night",
        ),
        n_events=len(truth.events),
        epochs=[moment for stage in STAGE_ROWS if (moment := _epoch_of(night, stage, kinds, axis)) is not None],
        event=_event(night, kinds, axis),
        calibration=calibration,
    )


def _facts(night: SimulatedNight) -> list[tuple[str, str]]:
    person, truth = night.truth.person, night.truth
    asleep_h = np.count_nonzero(truth.stages_L) * TOKEN_SECONDS / 3600
    by_rule = ", ".join(f"{rule}: {truth.ahi_per_hour(rule):.1f}" for rule in ("1A", "1B")) if asleep_h else "–"
    return [
        ("Person", f"{person.sex}, {person.age_years:.0f} years, BMI {person.bmi:.0f} kg/m²"),
        ("Site", truth.site.name),
        ("Duration", hours_text(len(truth.stages_L) * TOKEN_SECONDS / 60)),
        ("Total sleep time (truth)", hours_text(asleep_h * 60)),
        ("AHI by hypopnea rule, per hour of true sleep", by_rule),
        ("Faults", ", ".join(f"{fault.sensor} {fault.kind}" for fault in truth.faults) or "none"),
    ]


def _night_trace(signal: Signal, kind: str) -> Trace:
    samples_N = np.asarray(signal.samples, dtype=float)
    low, high = fitted(samples_N)
    return Trace(signal.label, signal.unit, samples_N, low, high, 30.0, modality_colour(_modality_of(kind)))


def _modality_of(kind: str) -> str:
    return {"thorax": "belt", "abdomen": "belt", "pulse": "ibi", "chin": "emg"}.get(kind, kind)


def _row_of(kind: str | None) -> str | None:
    if kind is None:
        return None
    return "apnea" if kind.endswith("apnea") and kind != "hypopnea" else kind if kind in _COLOUR_OF_ROW else None


def _marks(events: Sequence[Event], from_s: float, until_s: float = np.inf) -> list[Mark]:
    """Events that touch a stretch, cut to it, in the order of `_COLOUR_OF_ROW`."""
    found = []
    for row, colour in _COLOUR_OF_ROW.items():
        for event in events:
            start, end = max(event.onset_s, from_s), min(event.onset_s + event.duration_s, until_s)
            if _row_of(event.kind) == row and end > start:
                found.append(Mark(row, start - from_s, end - start, colour))
    return found


def _epoch_of(night: SimulatedNight, stage: str, kinds: Mapping[str, str], axis: TimeAxis) -> Moment | None:
    """The middle of the longest stretch of a stage."""
    longest = max(
        (run for run in figures.runs(night.truth.stages_L) if run.value == FIVE.index(stage)),
        key=lambda run: run.stop - run.start,
        default=None,
    )
    if longest is None:
        return None
    token = (longest.start + longest.stop) // 2
    traces = [
        _epoch_trace(signal, kinds[signal.label], token * TOKEN_SECONDS)
        for signal in night.recording.signals
        if kinds.get(signal.label) in _EPOCH_KINDS
    ]
    words = f"Epoch {token + 1}, {axis.when(token)}; the middle of {longest.stop - longest.start} epochs of {stage}."
    label = f"30 s of {_STAGE_TITLES[stage]}"
    return Moment(
        _STAGE_TITLES[stage], words, moment_svg(traces, TOKEN_SECONDS, [], label, line_every_s=1, label_every=5)
    )


def _epoch_trace(signal: Signal, kind: str, from_s: float) -> Trace:
    samples_N = _part(signal, from_s, from_s + TOKEN_SECONDS)
    colour = modality_colour(_modality_of(kind))
    if kind not in _EPOCH_SCALE_UV:
        return Trace(signal.label, signal.unit, samples_N, *fitted(samples_N, 0.0), 40.0, colour)
    reach = _EPOCH_SCALE_UV[kind]
    in_uv_N = samples_N * _MICROVOLTS.get(signal.unit, 1.0)
    return Trace(signal.label, "µV", in_uv_N - np.nanmean(in_uv_N), -reach, reach, 40.0, colour)


def _event(night: SimulatedNight, kinds: Mapping[str, str], axis: TimeAxis) -> Moment | None:
    """The minutes around the longest obstruction, else around the longest event of breathing."""
    breathing = [event for event in night.truth.events if _row_of(event.kind) in ("apnea", "hypopnea")]
    if not breathing:
        return None
    chosen = max(breathing, key=lambda event: (event.kind == "obstructive_apnea", event.duration_s))
    from_s = max(0.0, chosen.onset_s - _BEFORE_S)
    until_s = min(night.recording.duration_s, chosen.onset_s + chosen.duration_s + _AFTER_S)
    first_of_kind: dict[str, Signal] = {}
    for signal in night.recording.signals:
        if kinds.get(signal.label) in _EVENT_KINDS:
            first_of_kind.setdefault(kinds[signal.label], signal)
    traces = []
    for kind in _EVENT_KINDS:
        if kind in first_of_kind:
            samples_N = _part(first_of_kind[kind], from_s, until_s)
            low, high = fitted(samples_N, 0.0 if kind == "spo2" else 0.002)
            signal = first_of_kind[kind]
            traces.append(
                Trace(signal.label, signal.unit, samples_N, low, high, 40.0, modality_colour(_modality_of(kind)))
            )
    traces.append(_heart_rate(night, from_s, until_s))
    words = (
        f"{str(chosen.kind).replace('_', ' ').capitalize()} of {chosen.duration_s:.0f} s at "
        f"{axis.when(chosen.onset_s / TOKEN_SECONDS)}. What follows it: breaths, arousal, the heart, and the "
        "saturation with its delay."
    )
    marks = _marks(night.truth.events, from_s, until_s)
    label = "Signals around an event of breathing"
    figure = moment_svg(traces, until_s - from_s, marks, label, line_every_s=10, label_every=2)
    return Moment("Around an event of breathing", words, figure)


def _heart_rate(night: SimulatedNight, from_s: float, until_s: float) -> Trace:
    """Of the true beats, at 4 Hz."""
    beats_s = night.truth.beat_times_s
    rate_N = np.interp(np.arange(from_s, until_s, 0.25), beats_s[1:], 60 / np.diff(beats_s))
    return Trace("heart rate (truth)", "bpm", rate_N, *fitted(rate_N, 0.0), 40.0, modality_colour("ibi"))


def _part(signal: Signal, from_s: float, until_s: float) -> NDArray[np.floating]:
    first, last = round(from_s * signal.rate_hz), round(until_s * signal.rate_hz)
    return np.asarray(signal.samples[first:last], dtype=float)
