"""Devices of a site: clocks that drift, oximeters that average, plugs in the wrong holes, and what else files hold.

The judge is the truth of the night: beats, breaths and saturation are known, and so is when each was recorded.
"""

from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import find_peaks

from sleep2vec.simulation.faults import Fault
from sleep2vec.simulation.missing import FRAILTIES, LACKS, draw_failures, draw_lacks, lacks_of
from sleep2vec.simulation.montages import catalog_site
from sleep2vec.simulation.simulated_night import SimulatedNight, simulate_night
from sleep2vec.simulation.sites import SITES, Channel, Site
from sleep2vec.vocabulary.errors import UsageError

SEED = 12


def of(night: SimulatedNight, label: str) -> np.ndarray:
    return next(s for s in night.recording.signals if s.label == label).samples.astype(float)


def with_channels(site: Site, *channels: Channel, **more) -> Site:
    return replace(site, channels=channels, **more)


def drift_ppm_of(night: SimulatedNight, label: str, rate_hz: float) -> float:
    """How much faster than the beats a pulse wave runs: the slope of its peaks over the beats they belong to."""
    peaks_s = find_peaks(of(night, label), distance=int(0.35 * rate_hz), prominence=0.3)[0] / rate_hz
    beats_s = night.truth.beat_times_s
    late_s = np.median(peaks_s[:50] - beats_s[np.searchsorted(beats_s, peaks_s[:50]) - 1])
    nearest = np.abs((peaks_s - late_s)[:, None] - beats_s[None, :]).argmin(axis=1)
    off_s = peaks_s - late_s - beats_s[nearest]
    near = np.abs(off_s - np.median(off_s)) < 0.15
    return float(np.polyfit(beats_s[nearest][near], off_s[near], 1)[0] * 1e6)


@pytest.mark.parametrize("ppm", [0.0, 60.0, -120.0])
def test_the_oximeters_clock_drifts_by_its_parts_per_million(ppm: float):
    """At 60 ppm an hour is 0.216 s longer in the file than it was."""
    pleth = Channel("Pleth", "ppg", "ppg", 128, "", 10, box="oximeter")
    ecg = Channel("ECG", "ecg", "ecg", 128, "mV", 5)
    site = with_channels(SITES["alpha"], pleth, ecg, clock_ppm={"oximeter": ppm})
    night = simulate_night(SEED, site=site, hours=1)
    assert drift_ppm_of(night, "Pleth", 128) == pytest.approx(ppm, abs=12)
    # The amplifier's own channels keep the time of the truth.
    still = simulate_night(SEED, site=replace(site, clock_ppm={}), hours=1)
    np.testing.assert_array_equal(of(night, "ECG"), of(still, "ECG"))


def test_a_display_with_a_fast_clock_shows_each_number_sooner():
    """Closed form: sample k of a clock that runs p ppm fast was taken k / (1 + p / 1e6) seconds in."""
    spo2 = Channel("SpO2", "spo2", "spo2", 4, "%", 100, box="oximeter")
    site = with_channels(SITES["alpha"], spo2, clock_ppm={"oximeter": 50_000.0}, spo2_step=0.1)
    still = simulate_night(SEED, site=replace(site, clock_ppm={}), hours=0.25)
    fast = simulate_night(SEED, site=site, hours=0.25)
    k = np.arange(900 * 4)
    np.testing.assert_array_equal(of(fast, "SpO2"), of(still, "SpO2")[(k / 4 / 1.05).astype(int) * 4])


def test_catalog_sites_have_clocks_of_their_own_and_the_same_from_the_same_generator():
    drawn = [catalog_site("mesa", rng=np.random.default_rng(seed)).clock_ppm for seed in range(200)]
    ppm = np.array([clocks["oximeter"] for clocks in drawn])
    assert ppm.std() == pytest.approx(30, rel=0.2)
    assert abs(ppm.mean()) < 8
    assert catalog_site("mesa", rng=np.random.default_rng(3)).clock_ppm == drawn[3]
    assert catalog_site("mesa").clock_ppm == {}


def test_an_oximeter_averages_and_lags_as_its_site_says():
    """A plain running mean over the truth, by its definition."""
    spo2 = Channel("SpO2", "spo2", "spo2", 1, "%", 100)
    site = with_channels(SITES["alpha"], spo2, spo2_averaging_s=8.0, spo2_delay_s=5.0, spo2_step=0.01)
    night = simulate_night(SEED, site=replace(site, apnea_median_per_hour=40.0), hours=0.5)
    true_G = night.truth.spo2_G
    for second in (60, 500, 1234, 1799):
        last = 4 * (second - 5)
        assert of(night, "SpO2")[second] == pytest.approx(true_G[last - 31 : last + 1].mean(), abs=0.0051)


def test_swapped_plugs_record_the_other_place_through_their_own_amplifier():
    whole = simulate_night(SEED, hours=0.25)
    wrong = simulate_night(SEED, hours=0.25, faults=[Fault("C4-M1", "swap", 300.0, partner="O2-M1")])
    rate = 128
    before, after = slice(0, 300 * rate), slice(300 * rate, None)
    for mine, theirs in (("C4-M1", "O2-M1"), ("O2-M1", "C4-M1")):
        np.testing.assert_array_equal(of(wrong, mine)[before], of(whole, mine)[before])
        # Gain and hum of the amplifier differ by a few percent; the brain below does not.
        assert np.corrcoef(of(wrong, mine)[after], of(whole, theirs)[after])[0, 1] > 0.99
        assert np.corrcoef(of(wrong, mine)[after], of(whole, mine)[after])[0, 1] < 0.97
    for label in ("E1-M2", "Chin1-Chin2", "SpO2"):
        np.testing.assert_array_equal(of(wrong, label), of(whole, label))


def test_a_lost_mastoid_takes_every_derivation_with_it_and_no_other():
    whole = simulate_night(SEED, hours=0.25)
    lost = simulate_night(SEED, hours=0.25, faults=[Fault("M1", "off", 0.0)])
    for signal in whole.recording.signals:
        kept = np.array_equal(signal.samples, of(lost, signal.label).astype(np.float32))
        assert kept is (signal.label not in ("C4-M1", "O2-M1"))


def test_a_missing_channel_is_not_in_the_file():
    night = simulate_night(SEED, hours=0.25, faults=[Fault("eeg", "missing", 0.0), Fault("Pulse", "missing", 0.0)])
    labels = [signal.label for signal in night.recording.signals]
    expected = [c.label for c in SITES["alpha"].channels if c.kind != "eeg" and c.label != "Pulse"]
    assert labels == expected


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (lambda: Fault("C4-M1", "swap", 0.0), "a swap has the label of another channel as its partner"),
        (lambda: Fault("C4-M1", "off", 0.0, partner="O2-M1"), "nothing else has one"),
    ],
)
def test_a_swap_names_its_partner(fault, sentence: str):
    with pytest.raises(UsageError, match=sentence):
        fault()


@pytest.mark.parametrize(
    ("one", "other", "sentence"),
    [("C4-M1", "C9", "give the labels of two"), ("C4-M1", "Thorax", "do not fit into each other")],
)
def test_plugs_that_do_not_fit_are_refused(one: str, other: str, sentence: str):
    with pytest.raises(UsageError, match=sentence):
        simulate_night(SEED, hours=0.25, faults=[Fault(one, "swap", 0.0, partner=other)])


def test_single_electrodes_give_the_derivation_by_subtraction():
    """CFS stores chin and ECG electrode by electrode: only their differences are muscle and heart."""
    night = simulate_night(SEED, site=catalog_site("cfs"), hours=0.25)
    beats = (night.truth.beat_times_s * 256).astype(int)[5:-5]
    lead = of(night, "ECG1") - of(night, "ECG2")
    around = np.array([np.abs(lead[beat - 8 : beat + 9]).max() for beat in beats])
    assert np.median(around) > 0.5 * night.truth.person.ecg_gain  # mV; R waves are about 1 mV times the gain
    chin = of(night, "EMG1") - of(night, "EMG2")
    assert np.corrcoef(of(night, "EMG1"), of(night, "EMG2"))[0, 1] > -0.9  # what they share is not muscle
    assert 1e3 * chin.std() > 1.0


def test_recordings_lack_what_their_cohorts_lack_as_often():
    """Binomial counts: within four standard deviations of the stated share."""
    n = 3000
    for name in ("apples", "boas", "mros1", "mesa"):
        site = catalog_site(name)
        labels = [frozenset(f.sensor for f in draw_lacks(np.random.default_rng(i), name, site)) for i in range(n)]
        for lack in lacks_of(name):
            here = [s for s in lack.sensors if any(s in (c.kind, c.label) for c in site.channels)]
            if here:
                seen = np.mean([set(here) <= found for found in labels])
                assert abs(seen - lack.share) <= 4 * np.sqrt(lack.share * (1 - lack.share) / n) + 1 / n, lack
    assert all(lack.source for lacks in LACKS.values() for lack in lacks)


def test_sensors_fail_as_often_as_stated_and_more_often_at_home():
    n = 3000
    for name, factor in (("apples", 1.0), ("shhs1", 1.5)):
        site = catalog_site(name)
        drawn = [draw_failures(np.random.default_rng(i), name, site, 28800.0) for i in range(n)]
        for kind, frailty in FRAILTIES.items():
            labels = {channel.label for channel in site.channels if channel.kind == kind}
            share = frailty.per_night * factor if labels else 0.0
            seen = np.mean([any(f.sensor in labels and f.kind != "swap" for f in faults) for faults in drawn])
            assert abs(seen - share) <= 4 * np.sqrt(share * (1 - share) / n) + 1 / n, kind
        until_the_end = [f.until_s is None for faults in drawn for f in faults if f.kind != "swap"]
        assert np.mean(until_the_end) == pytest.approx(0.5, abs=0.06)
        assert any(f.kind == "swap" for faults in drawn for f in faults)


def test_a_finger_clip_that_falls_off_takes_the_pulse_with_it():
    site = catalog_site("mesa")
    for seed in range(400):
        faults = draw_failures(np.random.default_rng(seed), "mesa", site, 28800.0)
        fallen = {f.sensor: (f.from_s, f.until_s) for f in faults}
        if "SpO2" in fallen:
            assert fallen["pulse"] == fallen["ppg"] == fallen["SpO2"]
            return
    raise AssertionError("no oximeter fell off in 400 nights")
