"""Organs against physiology: each organ's known answer to stage, breath, apnea and arousal, read from the channels."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import median_filter
from scipy.signal import butter, sosfiltfilt, welch

from sleep2vec.simulation.person import Person
from sleep2vec.simulation.simulated_night import SimulatedNight
from sleep2vec.simulation.sites import SITES

W, N1, N2, N3, REM = range(5)


def samples(night: SimulatedNight, label: str) -> tuple[np.ndarray, float]:
    signal = next(s for s in night.recording.signals if s.label == label)
    return signal.samples.astype(float), signal.rate_hz


def epochs_of(night: SimulatedNight, label: str) -> tuple[np.ndarray, float]:
    x, rate_hz = samples(night, label)
    return x.reshape(-1, round(30 * rate_hz)), rate_hz


def band_power(night: SimulatedNight, label: str, low_hz: float, high_hz: float) -> np.ndarray:
    x_LS, rate_hz = epochs_of(night, label)
    hz, power_LF = welch(x_LS, rate_hz, nperseg=int(4 * rate_hz), axis=1)
    return power_LF[:, (hz >= low_hz) & (hz < high_hz)].sum(axis=1)


def by_stage(night: SimulatedNight, values_L: np.ndarray) -> np.ndarray:
    return np.array([np.median(values_L[night.truth.stages_L == stage]) for stage in range(5)])


def during(night: SimulatedNight, kind: str, label: str) -> np.ndarray:
    """Rms of a channel in each event of a kind (edges of 2 s left out), against the minute before it."""
    x, rate_hz = samples(night, label)
    ratios = []
    for event in night.truth.events:
        if event.kind == kind and event.onset_s > 60:
            inside = x[int((event.onset_s + 2) * rate_hz) : int((event.onset_s + event.duration_s - 2) * rate_hz)]
            before = x[int((event.onset_s - 60) * rate_hz) : int(event.onset_s * rate_hz)]
            # The median of 8 s stretches: the minute before may hold an event or a movement.
            usual = np.median([s.std() for s in np.array_split(before, 7)])
            ratios.append(inside.std() / usual)
    assert len(ratios) >= 5, f"too few of {kind} to judge"
    return np.array(ratios)


def test_eeg_of_each_stage_has_its_rhythm_within_a_person(apnea_night: SimulatedNight):
    """AASM Manual: slow waves make N3, spindles N2, occipital alpha quiet wakefulness."""
    slow = by_stage(apnea_night, band_power(apnea_night, "C4-M1", 0.5, 2))
    assert slow[N3] > 1.8 * slow[N2] > 1.8 * slow[REM]
    sigma = by_stage(apnea_night, band_power(apnea_night, "C4-M1", 12, 15))
    assert sigma[N2] > 1.5 * sigma[REM]
    hz = apnea_night.truth.person.alpha_hz
    alpha = by_stage(apnea_night, band_power(apnea_night, "O2-M1", hz - 1, hz + 1))
    assert alpha[W] > 2 * alpha[N2]


def test_eyes_move_against_each_other_in_rem_and_the_brain_reaches_both_alike(apnea_night: SimulatedNight):
    """Conjugate movements of a dipole: out of phase in E1 and E2; slow waves of the EEG: in phase."""
    left, _ = epochs_of(apnea_night, "E1-M2")
    right, _ = epochs_of(apnea_night, "E2-M2")
    together = by_stage(apnea_night, np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(left, right, strict=True)]))
    assert together[REM] < -0.2 < 0.3 < together[N3]


def test_eyes_dart_in_rem_and_roll_at_sleep_onset(apnea_night: SimulatedNight):
    """Between the two eyes the EEG mostly cancels: what is left above 1 Hz are rapid movements."""
    left, rate_hz = epochs_of(apnea_night, "E1-M2")
    between = left - epochs_of(apnea_night, "E2-M2")[0]
    hz, power_LF = welch(between, rate_hz, nperseg=int(8 * rate_hz), axis=1)
    rapid = by_stage(apnea_night, power_LF[:, (hz > 1) & (hz < 4)].mean(axis=1))
    rolling = by_stage(apnea_night, power_LF[:, (hz > 0.1) & (hz < 0.5)].mean(axis=1))
    assert rapid[REM] > 3 * max(rapid[N2], rapid[N3])
    assert rolling[N1] > 2 * max(rolling[N2], rolling[N3])


def test_chin_is_slackest_in_rem_and_differs_less_by_stage_than_by_person(apnea_night: SimulatedNight):
    tone = by_stage(apnea_night, np.sqrt(band_power(apnea_night, "Chin1-Chin2", 15, 60)))
    assert tone[W] > tone[N2] > tone[REM]
    people = [Person.draw(np.random.default_rng(seed)).chin_tone_uv for seed in range(60)]
    assert np.percentile(people, 90) / np.percentile(people, 10) > tone[W] / tone[N2]


def test_beats_in_the_ecg_are_where_an_independent_detector_finds_them(apnea_night: SimulatedNight):
    """sleepecg's detector (Brunner and Hofer 2023) on the channel; 99 % within 50 ms, intervals exact to 10 ms."""
    from sleepecg import detect_heartbeats

    ecg, rate_hz = samples(apnea_night, "ECG II")
    found_s = detect_heartbeats(ecg, rate_hz) / rate_hz
    true_s = apnea_night.truth.beat_times_s
    nearest = np.abs(found_s[np.clip(np.searchsorted(found_s, true_s), 1, len(found_s) - 1)] - true_s)
    nearest = np.minimum(nearest, np.abs(found_s[np.clip(np.searchsorted(found_s, true_s) - 1, 0, None)] - true_s))
    assert (nearest < 0.05).mean() > 0.99
    assert abs(len(found_s) - len(true_s)) < 0.01 * len(true_s)
    assert np.median(nearest) < 0.015


def test_intervals_swing_with_the_breath_and_the_mean_rate_is_the_persons(apnea_night: SimulatedNight):
    truth = apnea_night.truth
    assert 60 / np.diff(truth.beat_times_s).mean() == pytest.approx(truth.person.heart_rate_bpm, rel=0.02)
    steady = truth.stages_L[np.clip((truth.beat_times_s[1:] / 30).astype(int), 0, None)] == N3
    intervals = np.diff(truth.beat_times_s)
    phase = np.interp(truth.beat_times_s[1:], np.arange(len(truth.respiratory_phase_G)) / 4, truth.respiratory_phase_G)
    trend = np.convolve(intervals, np.ones(25) / 25, mode="same")
    locked = np.abs(np.mean(((intervals - trend) * np.exp(2j * np.pi * phase))[steady]))
    strange = np.abs(np.mean(((intervals - trend) * np.exp(2j * np.pi * 1.37 * phase))[steady]))
    assert locked > 5 * strange


def test_breaths_of_the_belt_are_the_breaths_of_the_truth(apnea_night: SimulatedNight):
    """Physics: the strongest frequency of a steady belt is the rate of the inspirations."""
    belt_LS, rate_hz = epochs_of(apnea_night, "Abdomen")
    per_epoch = np.histogram(apnea_night.truth.breath_times_s, np.arange(len(belt_LS) + 1) * 30.0)[0] / 30
    steady = (apnea_night.truth.stages_L == N3) | (apnea_night.truth.stages_L == N2)
    hz, power = welch(belt_LS[steady], rate_hz, nperseg=int(30 * rate_hz), nfft=int(120 * rate_hz), axis=1)
    breathing = (hz > 0.1) & (hz < 0.6)
    peak_hz = hz[breathing][np.argmax(power[:, breathing], axis=1)]
    assert np.median(np.abs(peak_hz - per_epoch[steady])) < 0.03


def test_apneas_stop_the_flow_and_only_central_ones_the_effort(apnea_night: SimulatedNight):
    """AASM Manual: apnea, flow falls by 90 % or more; obstructive, effort goes on; hypopnea, by 30 % or more."""
    assert np.median(during(apnea_night, "obstructive_apnea", "Nasal Pressure")) < 0.1
    assert np.median(during(apnea_night, "central_apnea", "Nasal Pressure")) < 0.1
    assert 0.1 < np.median(during(apnea_night, "hypopnea", "Nasal Pressure")) < 0.7
    assert np.median(during(apnea_night, "obstructive_apnea", "Abdomen")) > 0.5
    assert np.median(during(apnea_night, "central_apnea", "Abdomen")) < 0.3


def test_chest_and_belly_move_against_each_other_in_obstructive_apneas(apnea_night: SimulatedNight):
    sos = butter(2, [0.1, 0.6], "bandpass", fs=16, output="sos")
    thorax, abdomen = (sosfiltfilt(sos, samples(apnea_night, label)[0]) for label in ("Thorax", "Abdomen"))
    together = [
        np.corrcoef(thorax[a:b], abdomen[a:b])[0, 1]
        for event in apnea_night.truth.events
        if event.kind == "obstructive_apnea"
        for a, b in [(int((event.onset_s + 2) * 16), int((event.onset_s + event.duration_s - 2) * 16))]
    ]
    assert np.median(together) < -0.5 < 0.5 < np.corrcoef(thorax, abdomen)[0, 1]


def test_oxygen_falls_ten_to_forty_seconds_after_the_flow(apnea_night: SimulatedNight):
    """Circulation time: the lag at which lost flow and the fall of SpO2 agree best, from the channels themselves."""
    spo2 = samples(apnea_night, "SpO2")[0]
    flow = np.sqrt((samples(apnea_night, "Nasal Pressure")[0].reshape(-1, 32) ** 2).mean(axis=1))
    lost = -np.convolve(np.minimum(flow, np.percentile(flow, 80)), np.ones(5) / 5, mode="same")
    fall = np.convolve(spo2, np.ones(121) / 121, mode="same") - spo2
    agreement = [np.corrcoef(lost[60:-60], np.roll(fall, -lag)[60:-60])[0, 1] for lag in range(-60, 61)]
    assert 10 <= int(np.argmax(agreement)) - 60 <= 40
    assert max(agreement) > 0.4


def test_the_heart_runs_after_an_arousal(apnea_night: SimulatedNight):
    """Sforza et al. 2000: heart rate rises by about 10 beats a minute within ten seconds of an arousal."""
    beats = apnea_night.truth.beat_times_s
    rate = np.interp(np.arange(0, 5 * 3600, 0.5), beats[1:], 60 / np.diff(beats))
    starts = [int(e.onset_s * 2) for e in apnea_night.truth.events if e.kind == "arousal" and e.onset_s > 30]
    rise = np.mean([rate[i + 4 : i + 20].max() - rate[i - 20 : i].mean() for i in starts if i + 20 < len(rate)])
    anywhere = np.random.default_rng(0).integers(30, len(rate) - 30, 400)
    assert rise > 6 + np.mean([rate[i + 4 : i + 20].max() - rate[i - 20 : i].mean() for i in anywhere])


def test_severity_is_what_was_asked_for():
    """Events per hour of sleep, over people and nights, follow `apnea_per_hour`."""
    from sleep2vec.simulation.hypnogram import draw_hypnogram
    from sleep2vec.simulation.respiratory_events import draw_respiratory_events

    for wanted in (5.0, 20.0, 45.0):
        found = []
        for seed in range(12):
            rng = np.random.default_rng(seed)
            person = replace(Person.draw(rng), apnea_per_hour=wanted)
            stages_L = draw_hypnogram(rng, person, 960)
            found.append(len(draw_respiratory_events(rng, person, stages_L)) / (np.count_nonzero(stages_L) / 120))
        assert np.mean(found) == pytest.approx(wanted, rel=0.25)


def test_age_and_sex_leave_their_marks_on_people():
    people = [Person.draw(np.random.default_rng(seed), age_sd_years=20) for seed in range(300)]
    age = np.array([p.age_years for p in people])
    assert np.corrcoef(age, [np.log(p.rsa_gain) for p in people])[0, 1] < -0.3
    assert np.corrcoef(age, [np.log(p.slow_gain) for p in people])[0, 1] < -0.3
    apnea = {sex: np.median([p.apnea_per_hour for p in people if p.sex == sex]) for sex in ("female", "male")}
    assert apnea["male"] > 1.3 * apnea["female"]


@pytest.mark.parametrize("site", SITES)
def test_mains_hum_is_at_the_sites_frequency(site: str, half_hours: dict[str, SimulatedNight]):
    """The narrowest peak above 40 Hz, over all electrical channels that reach so far."""
    excess = []
    for channel in SITES[site].channels:
        if channel.kind in ("eeg", "eog", "emg", "ecg") and channel.rate_hz > 120:
            x, rate_hz = samples(half_hours[site], channel.label)
            hz, power = welch(x, rate_hz, nperseg=int(16 * rate_hz))
            excess.append(np.log(power / median_filter(power, 31))[(hz > 40) & (hz < 62)])
    peak_hz = hz[(hz > 40) & (hz < 62)][np.argmax(np.mean(excess, axis=0))]
    assert peak_hz == pytest.approx(SITES[site].mains_hz, abs=0.2)
