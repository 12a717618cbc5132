"""The modalities of one recording, each made once, from the best candidate that works."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from sleep2vec.cohorts.labels import ChannelRules
from sleep2vec.harmonization.align import Grid
from sleep2vec.harmonization.beat_shape import Beats
from sleep2vec.harmonization.breathing import breathing_band, breathing_of_beats
from sleep2vec.harmonization.channel_match import Channel
from sleep2vec.harmonization.filters import BANDS, describe
from sleep2vec.harmonization.heartbeats import beats_of_ecg, beats_of_ppg
from sleep2vec.harmonization.intervals import LONGEST_S, SHORTEST_S, intervals_of, intervals_on_grid
from sleep2vec.harmonization.montage import Candidate, electrode_candidates, sensor_candidates, trace_of
from sleep2vec.harmonization.resample import hold
from sleep2vec.harmonization.waveform import Outcome, Prepared, finish, from_values, prepare, saturation
from sleep2vec.vocabulary.modalities import MODALITIES
from sleep2vec.vocabulary.night import Provenance

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
        "ibi": ("ecg", "ppg", "heart_rate"),
        "resp": ("abdomen", "thorax", "rip_sum", "nasal_pressure", "airflow", "thermistor", "ecg", "ppg"),
    }
)
_ELECTRODES = ("eeg", "eog", "chin", "ecg")
# A candidate this good is taken without looking at the next one.
_GOOD_ENOUGH = 0.5
_MOST_TRIED = 4


class Sensors:
    """Makes modalities of one recording on demand and remembers what was tried.

    Attributes:
        tried: By channel index, why a channel that was tried was not taken.
    """

    def __init__(self, channels: tuple[Channel, ...], grid: Grid, rules: ChannelRules) -> None:
        self.channels = channels
        self.grid = grid
        self.rules = rules
        self.tried: dict[int, str] = {}
        self._made: dict[str, Outcome | str] = {}
        self._beats: tuple[Beats, Outcome] | None = None
        self._pulse_of: dict[tuple[str, ...], Beats] = {}

    def outcome(self, modality: str) -> Outcome | str:
        """The modality, or why there is none (one sentence)."""
        if modality not in self._made:
            make: Callable[[], Outcome | str] = {
                "spo2": lambda: self._best(modality, lambda candidate: saturation(candidate, self.grid)),
                "ecg": self._ecg,
                "ibi": self._ibi,
                "resp": self._resp,
            }.get(modality, lambda: self._best(modality, lambda candidate: self._waveform(candidate, modality)))
            self._made[modality] = make()
        return self._made[modality]

    def candidates(self, modality: str) -> list[Candidate]:
        """Best first, by label alone."""
        kinds = KINDS_OF[modality]
        if kinds[0] in _ELECTRODES and len(kinds) == 1:
            return electrode_candidates(kinds[0], self.channels, self.rules.preferences[kinds[0]])
        return sensor_candidates(self.rules.preferences.get(modality, kinds), self.channels)

    def _waveform(self, candidate: Candidate, modality: str) -> Outcome:
        return finish(prepare(candidate, self.grid, modality), self.grid, modality, modality)

    def _best(self, modality: str, make: Callable[[Candidate], Outcome]) -> Outcome | str:
        """The first candidate half of whose tokens are good, else the one with the most."""
        candidates = self.candidates(modality)
        made: list[Outcome] = []
        for candidate in candidates[:_MOST_TRIED]:
            made.append(make(candidate))
            if made[-1].valid_share >= _GOOD_ENOUGH:
                break
        if not made:
            return self._nothing_for(modality)
        best = max(made, key=lambda outcome: outcome.valid_share)
        if best.valid_share == 0.0:
            stories = "; ".join(f"{' and '.join(o.provenance.channels)}: {_verdict_of(o)}" for o in made)
            self._remember(made, best=None)
            return f"no token is good ({stories})"
        self._remember(made, best)
        return _with_rank(best, made.index(best), len(candidates))

    def _remember(self, made: list[Outcome], best: Outcome | None) -> None:
        for outcome in made:
            if outcome is not best:
                for index in outcome.channels:
                    self.tried[index] = f"tried and not taken, {_verdict_of(outcome)}"

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
            self._beats = beats_of_ecg(chosen.samples_T, chosen.hole_T, chosen.rate_hz), outcome
            outcome = _stood_up(outcome, self._beats[0].upright)
        return outcome

    def _ibi(self) -> Outcome | str:
        made: list[Outcome] = []
        for attempt in (self._ibi_of_ecg, self._ibi_of_ppg, self._ibi_of_pulse):
            made += attempt()
            if made and made[-1].valid_share >= _GOOD_ENOUGH:
                break
        best = max(made, key=lambda outcome: outcome.valid_share, default=None)
        if best is None:
            return self._no_source_for("ibi", ("ecg",), "ECG, PPG or pulse")
        return best if best.valid_share > 0 else f"no token is good ({_verdict_of(best)})"

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
            if candidate.labels not in self._pulse_of:
                ready = prepare(candidate, self.grid, "ppg")
                self._pulse_of[candidate.labels] = beats_of_ppg(ready.samples_T, ready.hole_T, ready.rate_hz)
            yield self._pulse_of[candidate.labels], candidate

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
        for candidate in sensor_candidates(("heart_rate",), self.channels)[:1]:
            trace = trace_of(candidate)
            rates_N = hold(trace.samples_T, trace.rate_hz, self.grid.times_of(MODALITIES["ibi"].rate_hz))
            with np.errstate(divide="ignore", invalid="ignore"):
                seconds_N = np.float32(60.0) / rates_N
            possible_N = (seconds_N >= SHORTEST_S) & (seconds_N <= LONGEST_S)
            seconds_N = np.where(possible_N, seconds_N, np.float32(np.nan))
            steps = (*trace.steps, "60 / rate", f"held from {trace.rate_hz:g} to 4 Hz")
            reason = f"{candidate.labels[0]} is {candidate.channels[0].reading.reason}"
            story = Provenance(candidate.labels, reason, "pulse", steps, 0.0, 1.0)
            made.append(from_values(seconds_N, "ibi", self.grid.n_tokens, story, _indices(candidate)))
        return made

    def _resp(self) -> Outcome | str:
        made: list[Outcome] = []
        for modality in ("belt", "airflow"):
            sensor = self.outcome(modality)
            if isinstance(sensor, Outcome):
                made.append(self._resp_of(sensor, modality))
                if made[-1].valid_share >= _GOOD_ENOUGH:
                    return made[-1]
        self.outcome("ecg")
        if self._beats is not None:
            beats, ecg = self._beats
            made.append(self._resp_of_beats(beats, ecg.provenance.channels, ecg.channels, "ecg", "ECG"))
        if not made or made[-1].valid_share < _GOOD_ENOUGH:
            for beats, pulse in self._pulses():
                made.append(self._resp_of_beats(beats, pulse.labels, _indices(pulse), "ppg", "pulse wave"))
        best = max(made, key=lambda outcome: outcome.valid_share, default=None)
        if best is None:
            return self._no_source_for("resp", ("belt", "airflow", "ecg"), "effort belt, airflow, ECG or PPG")
        return best if best.valid_share > 0 else f"no token is good ({_verdict_of(best)})"

    def _resp_of(self, sensor: Outcome, modality: str) -> Outcome:
        rate_hz = MODALITIES["resp"].rate_hz
        # Invalid tokens hold 0, which is the centre: they add nothing.
        band_N = breathing_band(sensor.samples_N, rate_hz)
        band_N = np.where(np.repeat(sensor.valid_L, rate_hz * 30), band_N, np.nan)
        story = Provenance(
            sensor.provenance.channels,
            f"the {MODALITIES[modality].title} is the best breathing sensor",
            modality,
            (f"the {modality} modality", describe(BANDS["resp"], rate_hz)),
            0.0,
            1.0,
        )
        return from_values(band_N, "resp", self.grid.n_tokens, story, sensor.channels)

    def _resp_of_beats(
        self, beats: Beats, labels: tuple[str, ...], channels: tuple[int, ...], source: str, title: str
    ) -> Outcome:
        rate_hz = MODALITIES["resp"].rate_hz
        times_N = self.grid.times_of(rate_hz) - self.grid.start_s
        derived_N, what = breathing_of_beats(beats, times_N, of_pulse=source == "ppg")
        story = Provenance(
            labels,
            f"no effort belt or airflow that is good for half of the night: breathing derived from the {title}",
            source,
            (what, describe(BANDS["resp"], rate_hz)),
            0.0,
            1.0,
        )
        return from_values(derived_N, "resp", self.grid.n_tokens, story, channels)


def _with_rank(outcome: Outcome, tried_before: int, n_candidates: int) -> Outcome:
    """Say in the reason how the candidate stood among the others."""
    if n_candidates == 1:
        return outcome
    place = (
        f"first choice of {n_candidates}" if tried_before == 0 else f"better than {tried_before} preferred before it"
    )
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
