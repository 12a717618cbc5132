"""One simulated night: a person sleeps at a site, and the truth is kept beside the recording."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import numpy as np
from numpy.typing import NDArray

from sleep2vec.simulation.arousals import arousal_envelope, draw_arousals, movement_envelope
from sleep2vec.simulation.brain import RATE_HZ, eyes_open, think
from sleep2vec.simulation.breathing import breathe
from sleep2vec.simulation.electrodes import Scalp
from sleep2vec.simulation.expression import express
from sleep2vec.simulation.eyes import look
from sleep2vec.simulation.faults import Fault, apply_fault, check_faults, swapped
from sleep2vec.simulation.heart import beat, draw_ecg
from sleep2vec.simulation.hypnogram import USUAL, Occasion, draw_hypnogram
from sleep2vec.simulation.muscle import tense
from sleep2vec.simulation.outcomes import draw_outcomes
from sleep2vec.simulation.oxygen import find_desaturations, saturate
from sleep2vec.simulation.person import Person
from sleep2vec.simulation.respiratory_events import draw_respiratory_events
from sleep2vec.simulation.scored_breathing import ScoredBreathing, ahi_per_hour, score_breathing
from sleep2vec.simulation.scorer import score_stages
from sleep2vec.simulation.sensors import Body, record_channel
from sleep2vec.simulation.sites import Channel, Site, site_named
from sleep2vec.vocabulary.errors import UsageError
from sleep2vec.vocabulary.events import Event, HypopneaRule
from sleep2vec.vocabulary.modalities import TOKEN_SECONDS
from sleep2vec.vocabulary.recording import Recording, Signal
from sleep2vec.vocabulary.stages import Hypnogram, StageSpan

MIN_HOURS, MAX_HOURS = 0.25, 24.0
_OLDEST_YEARS = 125
_HELD_SAMPLES = 1 << 26  # 256 MiB; 26 channels at 400 Hz would take more than a gigabyte


@dataclass(frozen=True)
class Truth:
    """What really happened in a simulated night. L epochs of 30 s, G points at 4 Hz, K beats.

    Attributes:
        stages_L: Codes of `vocabulary.stages.FIVE`, float32: how the person really slept.
        scored_L: What a human scorer wrote, and what the recording holds; NaN where nothing was written. Who scores
            disagrees with the truth, and with another scorer, as `simulation.scorer` tells.
        mixture_G5: The hidden state: how strongly each stage showed.
        events: Respiratory events that a rule counts, arousals and desaturations (of 3 % or more), by onset.
        beat_times_s: (K,) R peaks.
        breath_times_s: When inspirations (or the efforts an apnea hides) began.
        respiratory_phase_G: Breaths since the start; the fraction is the place in the breath.
        ventilation_G: Depth of breathing at the nose, 1 is usual.
        spo2_G: Saturation at the finger in %, before the oximeter rounds it.
        breathing_events: All respiratory events with their desaturation and arousal, counted or not.
    """

    stages_L: Hypnogram
    scored_L: Hypnogram
    mixture_G5: NDArray[np.float64]
    events: tuple[Event, ...]
    beat_times_s: NDArray[np.float64]
    breath_times_s: NDArray[np.float64]
    respiratory_phase_G: NDArray[np.float64]
    ventilation_G: NDArray[np.float64]
    spo2_G: NDArray[np.float64]
    person: Person
    site: Site
    faults: tuple[Fault, ...]
    breathing_events: tuple[ScoredBreathing, ...]

    def ahi_per_hour(self, rule: HypopneaRule) -> float:
        """Apneas and hypopneas by rule ``"1A"`` or ``"1B"`` of the AASM Manual per hour of true sleep."""
        return ahi_per_hour(self.breathing_events, self.stages_L, rule)


@dataclass(frozen=True)
class SimulatedNight:
    """A recording as a clinic would hand it over, and its truth."""

    recording: Recording
    truth: Truth


def simulate_night(
    seed: int,
    *,
    person: Person | None = None,
    site: str | Site = "alpha",
    hours: float = 8.0,
    faults: Sequence[Fault] = (),
    occasion: Occasion = USUAL,
) -> SimulatedNight:
    """Simulate one night. The same arguments give the same samples.

    Args:
        seed: Not negative. Drives everything that is not given, the person included.
        person: Who sleeps; None draws somebody of the site's population.
        site: A name of `sites.SITES`, or a site.
        hours: Length, rounded down to whole epochs of 30 s.
        faults: What goes wrong with the sensors. Faults change the recording, never the body.
        occasion: A first night, a nap, a sleep debt; a nap starts after noon.

    Raises:
        UsageError: a seed below 0, a length out of reach, an unknown site, or a fault of a sensor it lacks.
    """
    place = site_named(site) if isinstance(site, str) else site
    if not isinstance(seed, int | np.integer):
        raise UsageError(f"the seed of a simulated night is {seed!r}; give a whole number.")
    if person is not None and not (isinstance(person, Person) and 0 < person.age_years <= _OLDEST_YEARS):
        raise UsageError(f"{person!r} cannot sleep a simulated night; give a Person of an age that people reach.")
    if seed < 0:
        raise UsageError(f"the seed of a simulated night is {seed}; give 0 or more.")
    if not MIN_HOURS <= hours <= MAX_HOURS:
        raise UsageError(f"a simulated night of {hours:g} h; give {MIN_HOURS:g} to {MAX_HOURS:g} h.")
    check_faults(tuple(faults), place)
    # One stream for each part: a change in one of them leaves the others as they were.
    who, when, sleep, organs, sensors, broken, scoring = np.random.SeedSequence(seed).spawn(7)
    if person is None:
        person = draw_person(np.random.default_rng(who), place, f"{place.name}-{seed}")
    stages_L = draw_hypnogram(np.random.default_rng(sleep), person, int(hours * 3600) // TOKEN_SECONDS, occasion)
    body, truth = _live(organs, scoring, person, place, stages_L, tuple(faults))
    signals = _record(sensors, broken, body, truth)
    recording = Recording(
        signals=signals,
        duration_s=float(body.duration_s),
        start=_bedtime(np.random.default_rng(when), occasion),
        stages=tuple(
            StageSpan(float(i * TOKEN_SECONDS), float(TOKEN_SECONDS), None if np.isnan(stage) else int(stage))
            for i, stage in enumerate(truth.scored_L)
        ),
        events=truth.events,
        subject=person.subject,
        source=f"simulated night {seed} at {place.name}",
    )
    return SimulatedNight(recording, truth)


def draw_person(rng: np.random.Generator, site: Site, subject_id: str, outcome_shift: float = 0.0) -> Person:
    """Somebody of a site's population, with diagnoses and what will happen (see `outcomes`; 0: no shortcut)."""
    person = Person.draw(
        rng,
        age_mean_years=site.age_mean_years,
        age_sd_years=site.age_sd_years,
        female_share=site.female_share,
        apnea_median_per_hour=site.apnea_median_per_hour,
        subject_id=subject_id,
        age_range_years=site.age_range_years,
    )
    return draw_outcomes(rng, person, outcome_shift)


def _live(
    seed: np.random.SeedSequence,
    scorer_seed: np.random.SeedSequence,
    person: Person,
    site: Site,
    stages_L: NDArray[np.int64],
    faults: tuple[Fault, ...],
) -> tuple[Body, Truth]:
    """Let all organs live through the night, from the brain's state outwards."""
    *streams, scalp_seed = seed.spawn(12)
    state, stops, rouse, move, breath, blood, pulse, lids, cortex, gaze, chin = map(np.random.default_rng, streams)
    mixture_G5 = express(state, stages_L)
    n_grid = len(mixture_G5)
    breathing_events = draw_respiratory_events(stops, person, stages_L)
    arousals = draw_arousals(rouse, person, stages_L, breathing_events)
    arousal_G = arousal_envelope(arousals, n_grid)
    movement_G = movement_envelope(move, person, mixture_G5, arousals)
    breathing = breathe(breath, person, mixture_G5, breathing_events, arousal_G, movement_G)
    spo2_G = saturate(blood, person, mixture_G5, breathing.ventilation_G, breathing_events)
    heart = beat(pulse, person, mixture_G5, breathing, arousals, breathing_events, movement_G)
    open_G = eyes_open(lids, mixture_G5)
    brain = think(cortex, person, mixture_G5, open_G, arousal_G, arousals)
    eyes = look(gaze, person, mixture_G5, open_G)
    chin_uv_G, chin_uv_S = tense(chin, person, mixture_G5, arousal_G, movement_G, breathing)
    ecg_mv_S = draw_ecg(person, heart, breathing, RATE_HZ, len(chin_uv_S))
    scalp = Scalp(scalp_seed, person, brain, eyes, chin_uv_G, ecg_mv_S, movement_G, site.noise_gain)
    scored = score_breathing(breathing_events, spo2_G, arousals)
    events = [Event(e.kind, e.onset_s, e.duration_s) for e in scored if e.counts("1A") or e.counts("1B")]
    events += [Event("arousal", a.onset_s, a.duration_s) for a in arousals]
    events += find_desaturations(spo2_G, breathing_events)
    body = Body(person, scalp, chin_uv_S, ecg_mv_S, heart, breathing, spo2_G, mixture_G5, arousal_G, movement_G)
    truth = Truth(
        stages_L=stages_L.astype(np.float32),
        scored_L=score_stages(np.random.default_rng(scorer_seed), person, stages_L, mixture_G5, movement_G),
        mixture_G5=mixture_G5,
        events=tuple(sorted(events, key=lambda event: event.onset_s)),
        beat_times_s=heart.beat_times_s,
        breath_times_s=breathing.onsets_s,
        respiratory_phase_G=breathing.phase_G,
        ventilation_G=breathing.ventilation_G,
        spo2_G=spo2_G,
        person=person,
        site=site,
        faults=faults,
        breathing_events=scored,
    )
    return body, truth


def _record(
    seed: np.random.SeedSequence, broken_seed: np.random.SeedSequence, body: Body, truth: Truth
) -> tuple[Signal, ...]:
    """The channels of the file. Those of a large montage are recorded anew whenever they are asked for."""
    channels = truth.site.channels
    is_small = sum(body.duration_s * channel.rate_hz for channel in channels) <= _HELD_SAMPLES
    signals = []
    for channel, own, own_broken in zip(
        channels, seed.spawn(len(channels)), broken_seed.spawn(len(channels)), strict=True
    ):
        hits = [fault for fault in truth.faults if fault.hits(channel)]
        if not any(fault.kind == "missing" for fault in hits):
            load = partial(_samples, own, own_broken, channel, truth.site, body, hits)
            signals.append(_signal(channel, round(body.duration_s * channel.rate_hz), load, is_held=is_small))
    return tuple(signals)


def _samples(
    own: np.random.SeedSequence,
    own_broken: np.random.SeedSequence,
    channel: Channel,
    site: Site,
    body: Body,
    faults: Sequence[Fault],
) -> NDArray[np.float32]:
    """What the file has of one channel, (N,): what was recorded, and what went wrong with it."""
    samples_N = record_channel(np.random.default_rng(own), channel, site, body)
    rng = np.random.default_rng(own_broken)
    for fault in faults:
        if fault.kind == "swap":
            during = fault.bounds(channel, len(samples_N))
            other_N = record_channel(np.random.default_rng(own), swapped(fault, channel, site), site, body)
            samples_N[during] = other_N[during]
        else:
            samples_N = apply_fault(rng, fault, channel, site, samples_N)
    return samples_N.astype(np.float32, copy=False)


def _signal(channel: Channel, n: int, load: Callable[[], NDArray[np.float32]], *, is_held: bool) -> Signal:
    if is_held:
        held = load()
        load = lambda: held  # noqa: E731
    return Signal(
        channel.label,
        channel.rate_hz,
        channel.unit,
        n,
        load,
        prefilter=channel.prefilter,
        physical_range=channel.range,
    )


def _bedtime(rng: np.random.Generator, occasion: Occasion) -> datetime:
    """Some day of a year long gone: between 21:30 and 23:59, and for a nap between 12:30 and 14:59."""
    day = datetime(2001, 1, 1, 12, 30) if occasion.nap else datetime(2001, 1, 1, 21, 30)
    return day + timedelta(days=int(rng.integers(0, 365)), seconds=int(rng.integers(0, 9000)))
