"""Breath, blood, heart, pulse wave and wrist against physiology and against the rules of the AASM Manual."""

import itertools
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.signal import butter, find_peaks, sosfiltfilt, welch

from sleep2vec.simulation.expression import express
from sleep2vec.simulation.heart import beat
from sleep2vec.simulation.person import Person
from sleep2vec.simulation.respiratory_events import RespiratoryEvent, draw_respiratory_events
from sleep2vec.simulation.simulated_night import SimulatedNight, simulate_night
from sleep2vec.simulation.sites import SITES

N2, N3 = 2, 3
RESPIRATORY = ("obstructive_apnea", "central_apnea", "mixed_apnea", "hypopnea")


def samples(night: SimulatedNight, label: str) -> tuple[np.ndarray, float]:
    signal = next(s for s in night.recording.signals if s.label == label)
    return signal.samples.astype(float), signal.rate_hz


def around(x: np.ndarray, rate_hz: float, times_s: list[float], before_s: float, after_s: float) -> np.ndarray:
    """Stretches (K, S) about each time; those that hang over an end are left out."""
    reach = round(before_s * rate_hz), round(after_s * rate_hz)
    middles = [round(t * rate_hz) for t in times_s]
    return np.stack([x[m - reach[0] : m + reach[1]] for m in middles if m >= reach[0] and m + reach[1] <= len(x)])


def heart_rate(night: SimulatedNight, rate_hz: float = 4.0) -> np.ndarray:
    beats = night.truth.beat_times_s
    return np.interp(np.arange(int(len(night.truth.spo2_G) / 4 * rate_hz)) / rate_hz, beats[1:], 60 / np.diff(beats))


@cache
def lone_apneas() -> SimulatedNight:
    """Three hours of somebody with obstructive events, whose heart beats regularly; only the channels in need."""
    person = replace(
        Person.draw(np.random.default_rng(2)),
        apnea_per_hour=18.0,
        central_share=0.0,
        ectopic_per_hour=0.0,
        apnea_heart_gain=1.2,
        circulation_delay_s=18.0,
        age_years=45.0,
    )
    wanted = ("C4-M1", "Chin1-Chin2", "Nasal Pressure", "SpO2", "Pleth", "Actigraphy")
    site = replace(SITES["alpha"], channels=tuple(c for c in SITES["alpha"].channels if c.label in wanted))
    return simulate_night(21, person=person, site=site, hours=3)


def roused_ends(night: SimulatedNight) -> list[float]:
    """Ends of obstructive events that an arousal followed, with no other event for 30 s before and after."""
    events = night.truth.breathing_events
    before = [-1e9, *[e.onset_s + e.duration_s for e in events[:-1]]]
    after = [*[e.onset_s for e in events[1:]], 1e9]
    return [
        e.onset_s + e.duration_s
        for e, last, following in zip(events, before, after, strict=True)
        if e.arousal and e.onset_s - last > 12 and following - e.onset_s - e.duration_s > 12
    ]


def test_everything_answers_an_obstructive_event_in_order():
    """Flow stops, the heart slows, brain and chin wake at its end, the heart runs, vessels narrow, oxygen is lowest."""
    night = lone_apneas()
    ends_s = roused_ends(night)
    assert len(ends_s) >= 15
    usual = {}

    def course(x: np.ndarray, rate_hz: float) -> np.ndarray:
        """Mean over the events from 15 s before to 45 s after the end, in steps of 1 s."""
        return around(x, rate_hz, ends_s, 15, 45).mean(axis=0).reshape(60, -1).mean(axis=1)

    def size(label: str, low_hz: float, high_hz: float) -> np.ndarray:
        x, rate_hz = samples(night, label)
        sos = butter(2, [low_hz, high_hz], "bandpass", fs=rate_hz, output="sos")
        size_T = np.abs(sosfiltfilt(sos, x))
        usual[label] = np.median(size_T.reshape(-1, round(rate_hz)).mean(axis=1))
        return course(np.minimum(size_T, 50 * usual[label]), rate_hz) / usual[label]

    flow, chin, fast = size("Nasal Pressure", 0.1, 1.0), size("Chin1-Chin2", 20, 60), size("C4-M1", 16, 30)
    rate, spo2, pulse = course(heart_rate(night), 4), course(*samples(night, "SpO2")), size("Pleth", 0.5, 5)
    during, roused = slice(8, 14), slice(15, 21)  # seconds -7 to -1 and 0 to 6
    assert flow[during].max() < 0.7 < 1.1 < flow[roused].max()
    assert chin[roused].max() > 1.3 * chin[during].mean()
    assert fast[roused].max() > 1.3 * fast[during].mean()
    # The heart: slowest at the end of the event, fastest some seconds after it.
    assert -6 <= int(rate[5:20].argmin()) + 5 - 15 <= 2
    assert 3 <= int(rate.argmax()) - 15 <= 12
    assert rate.max() > rate[during].mean() + 6
    # Vessels answer later than the heart, and the pulse wave stays small while the rate is back.
    assert int(rate.argmax()) < int(pulse[10:].argmin()) + 10 <= 15 + 20
    assert pulse[15:30].min() < 0.75 * pulse[during].mean()
    assert 10 <= int(spo2.argmin()) - 15 <= 40


def test_each_fall_of_oxygen_comes_ten_to_forty_seconds_after_its_event(apnea_night: SimulatedNight):
    """From the channel: where the mean saturation about the ends of apneas is lowest; and event by event."""
    events = [e for e in apnea_night.truth.breathing_events if e.kind != "hypopnea" and e.desaturation_percent >= 3]
    delays_s = np.array([e.nadir_s - e.onset_s - e.duration_s for e in events])
    assert len(events) > 20
    assert 10 <= np.median(delays_s) <= 40
    assert ((delays_s > 5) & (delays_s < 40)).mean() > 0.95
    quick, slow = (np.median([e.nadir_s - e.onset_s - e.duration_s for e in _night_of_delay(s)]) for s in (11.0, 25.0))
    assert slow - quick == pytest.approx(14.0, abs=3.0)


def _night_of_delay(circulation_delay_s: float):
    person = replace(
        Person.draw(np.random.default_rng(2)),
        apnea_per_hour=25.0,
        central_share=0.0,
        circulation_delay_s=circulation_delay_s,
    )
    site = replace(SITES["alpha"], channels=SITES["alpha"].channels[9:10])
    night = simulate_night(8, person=person, site=site, hours=2)
    return [e for e in night.truth.breathing_events if e.desaturation_percent >= 3]


def test_longer_apneas_take_more_oxygen(apnea_night: SimulatedNight):
    apneas = [e for e in apnea_night.truth.breathing_events if e.kind == "obstructive_apnea"]
    assert np.corrcoef([e.duration_s for e in apneas], [e.desaturation_percent for e in apneas])[0, 1] > 0.5


def test_both_hypopnea_rules_count_what_the_manual_says(apnea_night: SimulatedNight):
    """AASM Manual, VIII.D: 1A a fall of 3 % or an arousal, 1B a fall of 4 %; recounted here from the other truths."""
    truth = apnea_night.truth
    arousals = [e.onset_s for e in truth.events if e.kind == "arousal"]
    by_rule = {"1A": 0, "1B": 0}
    for i, event in enumerate(truth.breathing_events):
        end_s = event.onset_s + event.duration_s
        following = truth.breathing_events[i + 1 : i + 2]
        stop_s = min([end_s + 45] + [f.onset_s + 15 for f in following])
        seen = truth.spo2_G[int(event.onset_s * 4) : int(stop_s * 4)]
        fall = max(seen[k] - seen[k:].min() for k in range(len(seen)))
        roused = any(event.onset_s <= a <= end_s + 5 for a in arousals)
        assert event.desaturation_percent == pytest.approx(fall)
        assert event.arousal == roused
        by_rule["1A"] += event.kind != "hypopnea" or fall >= 3 or roused
        by_rule["1B"] += event.kind != "hypopnea" or fall >= 4
    hours = np.count_nonzero(truth.stages_L) / 120
    assert truth.ahi_per_hour("1A") == pytest.approx(by_rule["1A"] / hours)
    assert truth.ahi_per_hour("1B") == pytest.approx(by_rule["1B"] / hours)
    # The same night, stricter rule: fewer. And some of what happened no rule counts, so no annotation tells it.
    assert by_rule["1B"] < by_rule["1A"] < len(truth.breathing_events)
    assert len([e for e in truth.events if e.kind in RESPIRATORY]) == by_rule["1A"]


def test_effort_persists_in_obstructive_hypopneas_and_falls_in_central_ones(apnea_night: SimulatedNight):
    x, rate_hz = samples(apnea_night, "Abdomen")
    left: dict[bool, list[float]] = {True: [], False: []}
    for event in apnea_night.truth.breathing_events:
        if event.kind == "hypopnea" and event.onset_s > 60:
            inside = x[int((event.onset_s + 2) * rate_hz) : int((event.onset_s + event.duration_s - 2) * rate_hz)]
            before = x[int((event.onset_s - 60) * rate_hz) : int(event.onset_s * rate_hz)]
            left[event.obstructive].append(inside.std() / np.median([s.std() for s in np.array_split(before, 7)]))
    assert min(len(values) for values in left.values()) >= 5
    assert np.median(left[False]) < 0.65 < 0.75 < np.median(left[True])


def test_a_narrow_airway_flattens_the_inspiration():
    """Mean of an inspiration over its peak: of a half sine 2 / pi = 0.64, of a plateau more (Hosselet et al. 1998)."""
    night = lone_apneas()
    pressure, rate_hz = samples(night, "Nasal Pressure")
    flow = np.sign(pressure) * np.abs(pressure) ** (1 / 1.35)
    flow = sosfiltfilt(butter(2, 3, fs=rate_hz, output="sos"), flow)
    onsets = night.truth.breath_times_s

    def fullness(begin_s: float, end_s: float) -> list[float]:
        inspirations = [
            flow[int((a + 0.1) * rate_hz) : int((a + 0.1 + 0.42 * (b - a)) * rate_hz)]
            for a, b in itertools.pairwise(onsets)
            if a > begin_s and b < end_s
        ]
        return [x.mean() / x.max() for x in inspirations]

    hypopneas = [e for e in night.truth.breathing_events if e.kind == "hypopnea" and e.obstructive]
    limited = [x for e in hypopneas for x in fullness(e.onset_s + 2, e.onset_s + e.duration_s - 1)]
    awake = [x for i in np.flatnonzero(night.truth.stages_L == 0) for x in fullness(30.0 * i, 30.0 * i + 30)]
    assert np.median(awake) == pytest.approx(2 / np.pi, abs=0.06)
    assert np.median(limited) > np.median(awake) + 0.08


def test_central_apneas_of_a_slow_circulation_return_more_slowly():
    """Cheyne-Stokes: regular, in non-REM, and the cycle grows with the circulation time (Hall et al. 1996)."""
    stages_L = np.full(480, N2)
    cycle_s, spread = [], []
    for delay_s in (12.0, 26.0):
        person = replace(
            Person.draw(np.random.default_rng(1)), central_share=0.8, apnea_per_hour=40.0, circulation_delay_s=delay_s
        )
        events = draw_respiratory_events(np.random.default_rng(3), person, stages_L)
        steps = [b.onset_s - a.onset_s for a, b in itertools.pairwise(events) if a.periodic and b.periodic]
        cycle_s.append(np.median(steps))
        near = [s for s in steps if s < 1.5 * cycle_s[-1]]
        spread.append(np.std(near) / np.mean(near))
    assert 40 < cycle_s[0] + 12 < cycle_s[1] < 95
    assert max(spread) < 0.2


def test_the_spectrum_of_the_intervals_peaks_at_the_breathing_rate():
    """Respiratory sinus arrhythmia, in steady non-REM, five minutes at a time (HRV Task Force 1996: 0.15-0.4 Hz)."""
    night = lone_apneas()
    beats = night.truth.beat_times_s
    rr = np.interp(np.arange(3 * 3600 * 4) / 4, beats[1:], np.diff(beats))
    found = []
    for begin in range(0, 3 * 120 - 10, 5):
        if np.isin(night.truth.stages_L[begin : begin + 10], (N2, N3)).all():
            hz, power = welch(rr[begin * 120 : (begin + 10) * 120], 4, nperseg=480, nfft=1920)
            inside = (hz > 0.14) & (hz < 0.45)
            breaths = np.sum(
                (night.truth.breath_times_s >= begin * 30) & (night.truth.breath_times_s < begin * 30 + 300)
            )
            found.append((hz[inside][power[inside].argmax()], breaths / 300))
    assert len(found) >= 8
    assert np.median([abs(peak - rate) for peak, rate in found]) < 0.02


def beats_of(person: Person, hours: float = 1.0):
    """Beats of quiet sleep; the breath and the rest are of no matter here."""
    from sleep2vec.simulation.breathing import breathe

    rng = np.random.default_rng(5)
    mixture_G5 = express(rng, np.full(int(hours * 120), N2))
    still_G = np.zeros(len(mixture_G5))
    breathing = breathe(rng, person, mixture_G5, (), still_G, still_G)
    return beat(rng, person, mixture_G5, breathing, (), (), still_G), breathing


def test_fibrillation_is_irregular_and_knows_nothing_of_the_breath():
    """Dash et al. 2009: RMSSD above a tenth of the mean interval; successive waits are independent."""
    sinus = replace(Person.draw(np.random.default_rng(3)), ectopic_per_hour=0.0, rsa_gain=3.0, slow_heart_gain=1.0)
    relative, locked, serial = {}, {}, {}
    for name, person in (("sinus", sinus), ("fibrillation", replace(sinus, atrial_fibrillation=True))):
        heart, breathing = beats_of(person)
        waits = np.diff(heart.beat_times_s)
        relative[name] = np.sqrt(np.mean(np.diff(waits) ** 2)) / waits.mean()
        phase = np.interp(heart.beat_times_s[1:], np.arange(len(breathing.phase_G)) / 4, breathing.phase_G)
        own = (waits - waits.mean()) / waits.std()
        locked[name] = abs(np.mean(own * np.exp(2j * np.pi * phase)))
        serial[name] = np.corrcoef(waits[:-1], waits[1:])[0, 1]
        assert 60 / waits.mean() == pytest.approx(person.heart_rate_bpm, rel=0.03)
    assert relative["sinus"] < 0.1 < 0.15 < relative["fibrillation"]
    assert abs(serial["fibrillation"]) < 0.2 < serial["sinus"]
    assert locked["fibrillation"] < 0.06 < locked["sinus"]


def test_ventricular_beats_leave_a_full_pause_and_atrial_ones_a_shorter():
    """The sinus node goes on beneath a ventricular beat: the two intervals about it are two usual ones."""
    person = replace(Person.draw(np.random.default_rng(3)), ectopic_per_hour=60.0, rsa_gain=0.3, slow_heart_gain=0.3)
    heart, _ = beats_of(person, hours=2)
    waits = np.diff(heart.beat_times_s)
    usual = np.array([np.median(waits[max(k - 6, 0) : k + 6]) for k in range(len(waits))])

    def both(marks: np.ndarray) -> np.ndarray:
        places = np.flatnonzero(marks[2:-2]) + 2
        return (waits[places - 1] + waits[places]) / usual[places]

    assert min(heart.ventricular_K.sum(), heart.atrial_K.sum()) > 15
    assert np.median(both(heart.ventricular_K)) == pytest.approx(2.0, abs=0.05)
    assert 1.5 < np.median(both(heart.atrial_K)) < 1.9


def test_the_heart_slows_in_an_apnea_and_runs_after_it():
    """Guilleminault et al. 1984, and not in somebody whose apneas leave the heart alone."""

    def swing(gain: float) -> float:
        person = replace(
            Person.draw(np.random.default_rng(3)), ectopic_per_hour=0.0, apnea_heart_gain=gain, heart_rate_bpm=60.0
        )
        rng = np.random.default_rng(6)
        events = tuple(RespiratoryEvent("obstructive_apnea", 60.0 * k + 30, 25.0, 0.02, 1.0) for k in range(50))
        from sleep2vec.simulation.breathing import breathe

        mixture_G5 = express(rng, np.full(120, N2))
        still_G = np.zeros(len(mixture_G5))
        breathing = breathe(rng, person, mixture_G5, events, still_G, still_G)
        times_s = beat(rng, person, mixture_G5, breathing, (), events, still_G).beat_times_s
        rate = np.interp(np.arange(14400) / 4, times_s[1:], 60 / np.diff(times_s))
        ends = around(rate, 4, [e.end_s for e in events], 6, 12).mean(axis=0)
        return float(ends[28:60].max() - ends[:24].min())

    assert swing(1.0) > swing(0.0) + 5


def test_the_pulse_wave_comes_a_fifth_of_a_second_after_the_beat_and_once_for_each():
    """Transit to the finger with the pre-ejection period: 0.15 to 0.30 s to the foot (Allen 2007)."""
    night = lone_apneas()
    pulse, rate_hz = samples(night, "Pleth")
    beats = night.truth.beat_times_s
    mean = around(pulse, rate_hz, list(beats[200:4000]), 0.1, 0.8).mean(axis=0)
    slope = np.diff(mean)
    steepest = int(slope.argmax())
    low = mean[:steepest].min()
    foot_s = (steepest - (mean[steepest] - low) / slope[steepest]) / rate_hz - 0.1
    assert 0.15 < foot_s < 0.30
    # A notch or at least a shoulder on the way down: the fall is not one smooth slope.
    after = mean[int(mean.argmax()) : int(mean.argmax()) + int(0.35 * rate_hz)]
    assert len(find_peaks(np.diff(after))[0]) >= 1
    sos = butter(2, [0.5, 4], "bandpass", fs=rate_hz, output="sos")
    smooth = sosfiltfilt(sos, pulse)
    peaks = find_peaks(smooth, distance=0.45 * rate_hz, prominence=0.3 * np.median(np.abs(smooth)))[0] / rate_hz
    nearest = np.abs(peaks[np.clip(np.searchsorted(peaks, beats + 0.1), 0, len(peaks) - 1)] - beats)
    assert (nearest < 0.6).mean() > 0.97


def test_the_wrist_shows_one_g_at_rest_and_moves_when_awake():
    night = lone_apneas()
    moved, rate_hz = samples(night, "Actigraphy")
    assert rate_hz == 32
    assert np.median(moved) == pytest.approx(1.0, abs=0.05)
    activity = np.abs(moved - 1).reshape(len(night.truth.stages_L), -1).std(axis=1)
    awake, asleep = activity[night.truth.stages_L == 0], activity[np.isin(night.truth.stages_L, (N2, N3))]
    assert np.median(awake) > 2 * np.median(asleep)
    # A threshold on movement finds sleep and misses quiet wakefulness (Sadeh 2011: sensitive, not specific).
    threshold = np.percentile(awake, 50)
    assert (asleep < threshold).mean() > 0.8
