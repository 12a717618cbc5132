"""The modalities of one recording, each made once, from the best candidate that works."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from sleep2vec.cohorts.labels import ChannelRules
from sleep2vec.harmonization.align import Grid
from sleep2vec.harmonization.beat_shape import Beats
from sleep2vec.harmonization.breathing import breathing_band, breathing_of_beats, jolts
from sleep2vec.harmonization.channel_match import Channel
from sleep2vec.harmonization.filters import BANDS, describe
from sleep2vec.harmonization.heartbeats import beats_of_ecg, beats_of_ppg
from sleep2vec.harmonization.intervals import LONGEST_S, SHORTEST_S, intervals_of, intervals_on_grid, on_grid
from sleep2vec.harmonization.montage import Candidate, electrode_candidates, sensor_candidates, trace_of
from sleep2vec.harmonization.movement import movement, movement_candidates
from sleep2vec.harmonization.oximetry import stands_still
from sleep2vec.harmonization.quality import judge_coverage, judge_pulse, threshold
from sleep2vec.harmonization.resample import hold
from sleep2vec.harmonization.respiratory_rhythm import rhythm_of
from sleep2vec.harmonization.waveform import Outcome, Prepared, finish, from_values, prepare, saturation
from sleep2vec.vocabulary.modalities import MODALITIES
from sleep2vec.vocabulary.night import Provenance, derivation

# Kinds of channels (cohorts/*.yaml) a modality can be made from directly.
KINDS_OF: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "eeg": ("eeg",),
        "eog": ("eog",),
        "emg": ("chin",),
        "ecg": ("ecg",),
        "airflow": ("nasal_pressure", "airflow", "thermistor"),
        "belt": ("abdomen", "thorax", "rip_sum"),
        "spo2": ("spo2",),
        "ppg": ("ppg",),
        "actigraphy": ("actigraphy",),
        "ibi": ("ecg", "ppg", "heart_rate"),
        "resp": ("abdomen", "thorax", "rip_sum", "nasal_pressure", "airflow", "thermistor", "ecg", "ppg"),
    }
)
_ELECTRODES = ("eeg", "eog", "chin", "ecg")
# A candidate this good is taken without looking at the next one; else the first that has this share of the good
# tokens of the best.
_GOOD_ENOUGH = 0.8
_MOST_TRIED = 4
# What is derived, or averaged by a device, serves only where less than this share of the night has the real thing.
_LAST_RESORT = 0.5
# The belt serves as breathing unless the airflow has clearly more of it.
_BELT_FIRST = 0.9


class Sensors:
    """Makes modalities of one recording on demand and remembers what was tried.

    Attributes:
        tried: By channel index, why a channel that was tried was not taken.
        tried_in: By channel index, the same of differences it was tried in.
    """

    def __init__(self, channels: tuple[Channel, ...], grid: Grid, rules: ChannelRules) -> None:
        self.channels = channels
        self.grid = grid
        self.rules = rules
        self.tried: dict[int, str] = {}
        self.tried_in: dict[int, str] = {}
        self._made: dict[str, Outcome | str] = {}
        self._beats: tuple[Beats, Outcome] | None = None
        self._pulse_of: dict[tuple[int, ...], Beats] = {}

    def outcome(self, modality: str) -> Outcome | str:
        """The modality, or why there is none (one sentence)."""
        if modality not in self._made:
            make: Callable[[], Outcome | str] = {
                "spo2": lambda: self._best(
                    modality, lambda candidate: saturation(candidate, self.grid, self._pulse_rates)
                ),
                "ecg": self._ecg,
                "ppg": lambda: self._best(modality, self._pulse_wave),
                "actigraphy": self._actigraphy,
                "ibi": self._ibi,
                "resp": self._resp,
            }.get(modality, lambda: self._best(modality, lambda candidate: self._waveform(candidate, modality)))
            self._made[modality] = make()
        return self._made[modality]

    def candidates(self, modality: str) -> list[Candidate]:
        """Best first, by label alone."""
        kinds = KINDS_OF[modality]
        if modality == "actigraphy":
            return movement_candidates(self.channels)
        if kinds[0] in _ELECTRODES and len(kinds) == 1:
            return electrode_candidates(kinds[0], self.channels, self.rules.preferences[kinds[0]])
        return sensor_candidates(self.rules.preferences.get(modality, kinds), self.channels)

    def _waveform(self, candidate: Candidate, modality: str) -> Outcome:
        return finish(prepare(candidate, self.grid, modality), self.grid, modality, modality)

    def _best(self, modality: str, make: Callable[[Candidate], Outcome]) -> Outcome | str:
        """The first candidate of whose tokens 80 % are good, else the first that comes near the best."""
        candidates = self.candidates(modality)
        made: list[Outcome] = []
        for candidate in candidates[:_MOST_TRIED]:
            made.append(make(candidate))
            if made[-1].valid_share >= _GOOD_ENOUGH:
                break
        if not made:
            return self._nothing_for(modality)
        best = _first_near_the_best(made)
        if best.valid_share == 0.0:
            self._remember(made, best=None)
            return f"no token is good ({_stories_of(made)})"
        self._remember(made, best)
        return _with_rank(best, made, len(candidates))

    def _remember(self, made: list[Outcome], best: Outcome | None) -> None:
        for outcome in made:
            if outcome is best:
                continue
            title = derivation(outcome.provenance.channels)
            for index in outcome.channels:
                if len(outcome.channels) == 1:
                    self.tried[index] = f"tried and not taken, {_verdict_of(outcome)}"
                else:
                    self.tried_in[index] = f"tried in {title}, which was not taken, {_verdict_of(outcome)}"

    def _nothing_for(self, modality: str) -> str:
        refused = [c for c in self.channels if c.reading.kind in KINDS_OF[modality] and c.refused]
        if refused:
            return "; ".join(f"{channel.label} is {channel.refused}" for channel in refused[:3])
        return f"the file has no channel known to be {MODALITIES[modality].title}"

    def _no_source_for(self, modality: str, sources: tuple[str, ...], looked_for: str) -> str:
        """Why a derived modality has nothing to be derived from: what became of the sensors that could serve."""
        there = [name for name in sources if self.candidates(name)]
        if there:
            return "; ".join(f"{MODALITIES[name].title}: {self.outcome(name)}" for name in there)
        if any(c.reading.kind in KINDS_OF[modality] and c.refused for c in self.channels):
            return self._nothing_for(modality)
        return f"the file has no channel known to be {looked_for}"

    def _ecg(self) -> Outcome | str:
        prepared: dict[tuple[int, ...], Prepared] = {}

        def make(candidate: Candidate) -> Outcome:
            ready = prepare(candidate, self.grid, "ecg")
            outcome = finish(ready, self.grid, "ecg", "ecg")
            # Only the last one can be kept: memory holds one channel at its own rate.
            prepared.clear()
            prepared[outcome.channels] = ready
            return outcome

        outcome = self._best("ecg", make)
        if isinstance(outcome, Outcome):
            chosen = prepared.get(outcome.channels)
            if chosen is None:
                candidate = next(c for c in self.candidates("ecg") if _indices(c) == outcome.channels)
                chosen = prepare(candidate, self.grid, "ecg")
            lengths_L = np.diff(self.grid.edges_of(chosen.rate_hz))
            hole_T = chosen.hole_T | np.repeat(~outcome.valid_L, lengths_L)
            beats = beats_of_ecg(chosen.samples_T, hole_T, chosen.rate_hz)
            self._beats = replace(beats, times_s=beats.times_s + chosen.begins_s), outcome
            outcome = _stood_up(outcome, beats.upright)
        return outcome

    def _ibi(self) -> Outcome | str:
        made = self._ibi_of_ecg()
        if not _any_good(made):
            made += self._ibi_of_ppg()
        # A device averages its rate over seconds: only where hardly any beats were found.
        if max((outcome.valid_share for outcome in made), default=0.0) < _LAST_RESORT:
            made += self._ibi_of_pulse()
        if not made:
            return self._no_source_for("ibi", ("ecg",), "ECG, PPG or pulse")
        best = _first_near_the_best(made)
        if best.valid_share > 0:
            return _with_rank(best, made, len(made))
        return f"no token is good ({_stories_of(made)})"

    def _ibi_of_ecg(self) -> list[Outcome]:
        self.outcome("ecg")
        if self._beats is None:
            return []
        beats, ecg = self._beats
        down = "" if beats.upright else "; the ECG is upside down in the file: its larger swings point down"
        step = f"{len(beats.times_s)} R peaks found (sleepecg), placed between samples{down}"
        return [self._intervals(beats, ecg.provenance.channels, ecg.channels, "ecg", "beats of the ECG", step)]

    def _ibi_of_ppg(self) -> list[Outcome]:
        made = []
        for beats, candidate in self._pulses():
            step = f"{len(beats.times_s)} pulse peaks found, placed between samples"
            made.append(
                self._intervals(beats, candidate.labels, _indices(candidate), "ppg", "beats of the pulse wave", step)
            )
            if made[-1].valid_share >= _GOOD_ENOUGH:
                break
        return made

    def _pulses(self) -> Iterator[tuple[Beats, Candidate]]:
        """Beats of each pulse wave, best first; found once."""
        for candidate in sensor_candidates(("ppg",), self.channels)[:_MOST_TRIED]:
            yield self._pulse_beats(candidate), candidate

    def _pulse_beats(self, candidate: Candidate, ready: Prepared | None = None) -> Beats:
        place = _indices(candidate)
        if place not in self._pulse_of:
            ready = ready or prepare(candidate, self.grid, "ppg")
            beats = beats_of_ppg(ready.samples_T, ready.hole_T, ready.rate_hz)
            self._pulse_of[place] = replace(beats, times_s=beats.times_s + ready.begins_s)
        return self._pulse_of[place]

    def _pulse_wave(self, candidate: Candidate) -> Outcome:
        ready = prepare(candidate, self.grid, "ppg")
        content = judge_pulse(self._pulse_beats(candidate, ready), self.grid.n_tokens)
        judged = replace(ready, verdict=ready.verdict.joined(content))
        return finish(judged, self.grid, "ppg", "ppg")

    def _actigraphy(self) -> Outcome | str:
        refused = []
        for candidate in self.candidates("actigraphy")[:_MOST_TRIED]:
            made = movement(candidate, self.grid)
            if isinstance(made, Outcome) and made.valid_share > 0:
                return made
            refused.append(made if isinstance(made, str) else f"no token is good ({_stories_of([made])})")
        return "; ".join(refused) or self._nothing_for("actigraphy")

    def _intervals(
        self, beats: Beats, labels: tuple[str, ...], channels: tuple[int, ...], source: str, reason: str, step: str
    ) -> Outcome:
        _, intervals_s = intervals_of(beats)
        grid_times_N = self.grid.times_of(MODALITIES["ibi"].rate_hz) - self.grid.start_s
        left_out = max(0, len(beats.times_s) - 1 - len(intervals_s))
        steps = (step, f"{left_out} implausible or ectopic intervals left out", "at the middle of each interval, 4 Hz")
        story = Provenance(labels, reason, source, steps, 0.0, 1.0)
        return from_values(intervals_on_grid(beats, grid_times_N), "ibi", self.grid.n_tokens, story, channels)

    def _ibi_of_pulse(self) -> list[Outcome]:
        made = []
        for candidate in sensor_candidates(("heart_rate",), self.channels)[:_MOST_TRIED]:
            made.append(self._ibi_of_rate(candidate))
            if _any_good(made):
                break
        self._remember(made, _first_near_the_best(made) if made else None)
        return made

    def _ibi_of_rate(self, candidate: Candidate) -> Outcome:
        rate_hz = MODALITIES["ibi"].rate_hz
        rates_N, steps = self._rates(candidate)
        still_N = stands_still(rates_N, round(threshold("frozen_s", "ibi") * rate_hz))
        with np.errstate(divide="ignore", invalid="ignore"):
            seconds_N = np.float32(60.0) / rates_N
        possible_N = (seconds_N >= SHORTEST_S) & (seconds_N <= LONGEST_S)
        seconds_N = np.where(possible_N & ~still_N, seconds_N, np.float32(np.nan))
        still_L = (still_N & possible_N).reshape(self.grid.n_tokens, -1).mean(axis=1)
        reason = f"{candidate.labels[0]} is {candidate.channels[0].reading.reason}"
        story = Provenance(candidate.labels, reason, "pulse", (*steps, "60 / rate"), 0.0, 1.0)
        faults = {"frozen": still_L > threshold("frozen_share", "ibi")}
        return from_values(seconds_N, "ibi", self.grid.n_tokens, story, _indices(candidate), "no possible rate", faults)

    def _rates(self, candidate: Candidate) -> tuple[NDArray[np.float32], tuple[str, ...]]:
        """A device's heart rate on the grid, and what was done."""
        trace = trace_of(candidate)
        held_N = hold(trace.samples_T, trace.rate_hz, self.grid.times_of(MODALITIES["ibi"].rate_hz))
        return held_N, (*trace.steps, f"held from {trace.rate_hz:g} to {MODALITIES['ibi'].rate_hz} Hz")

    def _pulse_rates(self) -> list[NDArray[np.float32]]:
        """Possible heart rates (N,) of all devices, at the rate of the saturation; NaN elsewhere."""
        rates = [self._rates(c)[0] for c in sensor_candidates(("heart_rate",), self.channels)[:_MOST_TRIED]]
        return [np.where((r >= 60 / LONGEST_S) & (r <= 60 / SHORTEST_S), r, np.float32(np.nan)) for r in rates]

    def _resp(self) -> Outcome | str:
        sensors = {m: sensor for m in ("belt", "airflow") if isinstance(sensor := self.outcome(m), Outcome)}
        made = self._resp_of_sensors(sensors)
        if made and made[0].valid_share >= _LAST_RESORT:
            return made[0]
        self.outcome("ecg")
        if self._beats is not None:
            beats, ecg = self._beats
            made.append(self._resp_of_beats(beats, ecg.provenance.channels, ecg.channels, "ecg", "ECG"))
        if not made or made[-1].valid_share < _LAST_RESORT:
            for beats, pulse in self._pulses():
                made.append(self._resp_of_beats(beats, pulse.labels, _indices(pulse), "ppg", "pulse wave"))
        if not made:
            return self._no_source_for("resp", ("belt", "airflow", "ecg"), "effort belt, airflow, ECG or PPG")
        best = max(made, key=lambda outcome: outcome.valid_share)
        return best if best.valid_share > 0 else f"no token is good ({_stories_of(made)})"

    def _resp_of_sensors(self, sensors: dict[str, Outcome]) -> list[Outcome]:
        """Breathing from the belt and the airflow that are there, the one with more evidence of it first."""
        rate_hz = MODALITIES["resp"].rate_hz
        strength = {m: rhythm_of(sensor.samples_N, ~sensor.valid_L, rate_hz).strength for m, sensor in sensors.items()}
        shown = {m: sensor.valid_share * strength[m] for m, sensor in sensors.items()}
        order = sorted(shown, key=lambda m: -shown[m])
        if "belt" in shown and shown["belt"] >= _BELT_FIRST * shown[order[0]]:
            order = ["belt", *(m for m in order if m != "belt")]
        told = [
            f"the {MODALITIES[m].title} ({sensors[m].valid_share:.0%} of tokens good, {strength[m]:.2f} of its power "
            "at the rate of breathing)"
            for m in order
        ]
        reason = f"{told[0]} is the only breathing sensor" if len(told) == 1 else " is preferred to ".join(told)
        return [self._resp_of(sensors[m], m, reason) for m in order]

    def _resp_of(self, sensor: Outcome, modality: str, reason: str) -> Outcome:
        rate_hz = MODALITIES["resp"].rate_hz
        # Invalid tokens hold 0, which is the centre: they add nothing.
        band_N = breathing_band(sensor.samples_N, rate_hz)
        jolted_N = jolts(band_N, sensor.valid_L, rate_hz)
        band_N = np.where(np.repeat(sensor.valid_L, rate_hz * 30) & ~jolted_N, band_N, np.nan)
        steps = (f"the {modality} modality", describe(BANDS["resp"], rate_hz), f"{jolted_N.mean():.1%} jolts left out")
        story = Provenance(sensor.provenance.channels, reason, modality, steps, 0.0, 1.0)
        missing = f"no {MODALITIES[modality].title} without jolts"
        return from_values(band_N, "resp", self.grid.n_tokens, story, sensor.channels, missing, sensor.faults)

    def _resp_of_beats(
        self, beats: Beats, labels: tuple[str, ...], channels: tuple[int, ...], source: str, title: str
    ) -> Outcome:
        rate_hz = MODALITIES["resp"].rate_hz
        times_N = self.grid.times_of(rate_hz) - self.grid.start_s
        derived_N, what = breathing_of_beats(beats, times_N, of_pulse=source == "ppg")
        covered_N = np.isfinite(on_grid(beats.times_s, beats.heights, times_N))
        faults = judge_coverage(covered_N, self.grid.n_tokens, "too few beats")
        story = Provenance(
            labels,
            f"no effort belt or airflow is good for half of the night: breathing derived from the {title}",
            source,
            (what, describe(BANDS["resp"], rate_hz)),
            0.0,
            1.0,
        )
        missing = "no breathing in the beats"
        return from_values(derived_N, "resp", self.grid.n_tokens, story, channels, missing, faults)


def _any_good(made: list[Outcome]) -> bool:
    return any(outcome.valid_share >= _GOOD_ENOUGH for outcome in made)


def _first_near_the_best(made: list[Outcome]) -> Outcome:
    """The most preferred (first) outcome that has at least 80 % of the good tokens of the best."""
    most = max(outcome.valid_share for outcome in made)
    return next(outcome for outcome in made if outcome.valid_share >= _GOOD_ENOUGH * most)


def _with_rank(outcome: Outcome, made: list[Outcome], n_candidates: int) -> Outcome:
    """Say in the reason how the candidate stood among the others."""
    if n_candidates == 1:
        return outcome
    before = made[: made.index(outcome)]
    place = f"first choice of {n_candidates}"
    if before:
        others = ", ".join(f"{derivation(o.provenance.channels)} {o.valid_share:.0%}" for o in before)
        place = f"{outcome.valid_share:.0%} of its tokens are good, of those preferred before it {others}"
    story = outcome.provenance
    return replace(outcome, provenance=replace(story, reason=f"{story.reason}; {place}"))


def _stood_up(ecg: Outcome, upright: bool) -> Outcome:
    """The ECG with its R peaks up, as AASM's lead II shows them; that it was turned over is told in its steps.

    Electrodes of a single lead are easily exchanged, and a model should not have to learn both. Where up and down
    swings are about equal the ECG stays as it was recorded.
    """
    story = ecg.provenance
    if upright:
        return replace(ecg, provenance=replace(story, steps=(*story.steps, "R peaks point up, as recorded")))
    steps = (*story.steps, "upside down in the file (its larger swings point down): turned over, R peaks up")
    # Zero minus, so that invalid tokens stay at +0.
    return replace(
        ecg,
        samples_N=np.float32(0.0) - ecg.samples_N,
        provenance=replace(story, steps=steps, centre=-story.centre),
    )


def _indices(candidate: Candidate) -> tuple[int, ...]:
    return tuple(channel.index for channel in candidate.channels)


def _verdict_of(outcome: Outcome) -> str:
    said = [step for step in outcome.provenance.steps if step.startswith(("bad tokens", "every token good"))]
    return said[-1] if said else f"{outcome.valid_share:.0%} of tokens good"


def _stories_of(made: list[Outcome]) -> str:
    """What became of each that was tried."""
    return "; ".join(f"{' and '.join(o.provenance.channels)}: {_verdict_of(o)}" for o in made)
