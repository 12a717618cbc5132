"""A night as a whole: the same seed, the sites' dialects, faults at their time, and a round trip through EDF."""

import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from sleep2vec.formats.edf_writer import write_edf
from sleep2vec.formats.reader import read
from sleep2vec.simulation.faults import Fault
from sleep2vec.simulation.hypnogram import Occasion
from sleep2vec.simulation.simulated_night import SimulatedNight, simulate_night
from sleep2vec.simulation.sites import SITES
from sleep2vec.vocabulary.errors import UsageError
from sleep2vec.vocabulary.modalities import CORE, MODALITIES
from sleep2vec.vocabulary.stages import hypnogram_of
from sleep2vec.vocabulary.units import factor_between


def same(first: SimulatedNight, second: SimulatedNight) -> bool:
    return all(
        a.label == b.label and np.array_equal(a.samples, b.samples)
        for a, b in zip(first.recording.signals, second.recording.signals, strict=True)
    )


def test_the_same_seed_gives_the_same_night_and_another_seed_another():
    first, again, other = (simulate_night(seed, hours=0.25) for seed in (7, 7, 8))
    assert same(first, again)
    assert first.recording.start == again.recording.start
    assert first.truth.events == again.truth.events
    assert not same(first, other)
    assert first.truth.person != other.truth.person


@pytest.mark.parametrize("site", SITES)
def test_a_written_night_reads_back_within_one_step_of_the_converter(
    site: str, half_hours: dict[str, SimulatedNight], tmp_path: Path
):
    """EDF specification: 16 bits between the physical minimum and maximum."""
    night = half_hours[site]
    write_edf(tmp_path / "night.edf", night.recording)
    back = read(tmp_path / "night.edf")
    assert back.repairs == ()
    assert back.start == night.recording.start
    assert (back.subject.subject_id, back.subject.sex) == (night.truth.person.subject_id, night.truth.person.sex)
    for written, found in zip(night.recording.signals, back.signals, strict=True):
        assert (found.label, found.rate_hz, found.unit) == (written.label, written.rate_hz, written.unit)
        low, high = written.physical_range
        assert np.abs(found.samples - written.samples).max() <= 0.51 * (high - low) / 65535
    np.testing.assert_array_equal(hypnogram_of(list(back.stages), 0.0, 60), night.truth.scored_L)
    assert [(e.kind, e.onset_s) for e in back.events] == [(e.kind, e.onset_s) for e in night.truth.events]


@pytest.mark.parametrize("site", SITES)
def test_every_site_gives_every_modality_and_alpha_a_watch(site: str, half_hours: dict[str, SimulatedNight]):
    """Harmonisation knows nothing of the simulation: its rules must understand the dialect."""
    from sleep2vec.harmonization.pipeline import harmonize

    night = half_hours[site]
    harmonised = harmonize(night.recording, night_id="n", site=site)
    wanted = tuple(MODALITIES) if site == "alpha" else CORE
    assert set(harmonised.absent) == set(MODALITIES) - set(wanted)
    assert set(harmonised.samples) == set(wanted)
    assert min(harmonised.valid[name].mean() for name in wanted) > 0.7
    np.testing.assert_array_equal(harmonised.stages, night.truth.scored_L)
    # The interval between beats is known: half of the tokens have their mean within 5 ms of the truth.
    beats = night.truth.beat_times_s
    true_L = np.interp(np.arange(60 * 120) / 4, beats[1:], np.diff(beats)).reshape(60, 120).mean(axis=1)
    found_L = harmonised.samples["ibi"].reshape(60, 120).mean(axis=1)
    assert np.median(np.abs(found_L - true_L)[harmonised.valid["ibi"]]) < 0.005


def test_sites_speak_different_dialects_of_the_same_microvolts(half_hours: dict[str, SimulatedNight]):
    nights = {name: night.recording for name, night in half_hours.items()}
    labels = {name: frozenset(s.label for s in recording.signals) for name, recording in nights.items()}
    assert len(set(labels.values())) == len(SITES)
    units, sizes_uv = set(), []
    for name, recording in nights.items():
        kinds = {c.label: c.kind for c in SITES[name].channels}
        chin = next(s for s in recording.signals if kinds[s.label] == "emg")
        units.add(chin.unit)
        sizes_uv.append(np.median(np.abs(chin.samples)) * factor_between(chin.unit, "uV"))
    assert units == {"uV", "mV", "V"}
    # The same person's chin, through four amplifiers: of one order of magnitude once in the same unit.
    assert max(sizes_uv) < 4 * min(sizes_uv)
    rates = {
        next(s.rate_hz for s in r.signals if "EEG" in s.label or s.label.startswith("C4")) for r in nights.values()
    }
    assert len(rates) >= 3


def test_electrodes_written_one_by_one_share_their_reference(half_hours: dict[str, SimulatedNight]):
    """Montage algebra: what only the mastoid feels cancels in C4-M1 and nowhere else; the heart is seen at M1."""
    night = half_hours["gamma"]
    held = {s.label: s.samples.astype(float) for s in night.recording.signals}
    ecg = held["ECG"] - held["ECG"].mean()
    mastoid, centre = (abs(np.corrcoef(ecg, held[name])[0, 1]) for name in ("M1", "C4"))
    assert mastoid > 2 * centre


@cache
def whole_night() -> SimulatedNight:
    return simulate_night(9, hours=0.25)


@pytest.mark.parametrize("kind", ["off", "flat", "saturation", "gap"])
@pytest.mark.parametrize("sensor", ["eeg", "ecg", "belt", "spo2"])
def test_a_fault_changes_its_sensor_from_its_time_on_and_nothing_else(kind: str, sensor: str):
    whole = whole_night()
    broken = simulate_night(9, hours=0.25, faults=[Fault(sensor, kind, 300.0, 600.0)])
    assert np.array_equal(whole.truth.beat_times_s, broken.truth.beat_times_s)
    kinds = {c.label: c.kind for c in SITES["alpha"].channels}
    for a, b in zip(whole.recording.signals, broken.recording.signals, strict=True):
        changed = np.flatnonzero(~((a.samples == b.samples) | (np.isnan(a.samples) & np.isnan(b.samples))))
        if kinds[a.label] != sensor:
            assert len(changed) == 0
            continue
        assert changed[0] >= 300 * a.rate_hz
        assert changed[-1] < 600 * a.rate_hz
        bad = b.samples[int(300 * a.rate_hz) : int(600 * a.rate_hz)]
        if kind == "gap":
            assert np.isnan(bad).all()
        elif kind == "flat":
            assert np.ptp(bad) == 0
        elif kind == "saturation":
            # By definition of clipping: samples at the converter's end, which the whole signal never reached.
            assert (bad == a.physical_range[1]).mean() > 0.15
        elif sensor in ("eeg", "ecg"):
            assert abs(np.corrcoef(bad, a.samples[int(300 * a.rate_hz) : int(600 * a.rate_hz)])[0, 1]) < 0.05
            assert bad.std() > 3 * a.samples.std()
        else:
            assert bad.std() < 0.1 * a.samples.std() + 1e-6


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda: simulate_night(1, site="omega"), "unknown site 'omega'; choose from alpha, beta, gamma, delta."),
        (lambda: simulate_night(-1), "the seed of a simulated night is -1; give 0 or more."),
        (lambda: simulate_night(1, hours=99), "a simulated night of 99 h; give 0.25 to 24 h."),
        (
            lambda: simulate_night(1, faults=[Fault("nose", "off", 0)]),
            "site alpha has no sensor 'nose'; choose from eeg",
        ),
        (
            lambda: Fault("eeg", "bang", 0),
            "unknown kind of fault 'bang'; choose from off, flat, saturation, gap, swap, missing.",
        ),
        (lambda: Fault("eeg", "off", 9, 3), "a fault of 'eeg' from 9 s until 3 s lasts no time"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(wrong, sentence: str):
    with pytest.raises(UsageError, match=re.escape(sentence)):
        wrong()


def test_a_nap_begins_after_noon_and_is_a_recording_like_any_other():
    nap = simulate_night(2, hours=0.75, occasion=Occasion(nap=True))
    assert 12 <= nap.recording.start.hour < 15
    assert nap.recording.duration_s == 45 * 60
    assert 4 < np.count_nonzero(nap.truth.stages_L) < 90
    assert not (nap.truth.stages_L == 4).any()
    assert len(nap.truth.beat_times_s) > 45 * 40


def test_nights_begin_in_the_evening():
    starts = [simulate_night(seed, hours=0.25).recording.start for seed in range(4)]
    assert len(set(starts)) == 4
    assert all(start.hour in (21, 22, 23) or (start.hour, start.minute) == (0, 0) for start in starts)
