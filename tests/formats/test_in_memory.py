"""An mne.io.Raw and plain arrays give the recording that their samples say."""

from datetime import UTC, datetime

import mne
import numpy as np
import pytest

from sleep2vec.formats.edf import read_edf
from sleep2vec.formats.reader import read
from sleep2vec.harmonization.pipeline import harmonize
from sleep2vec.vocabulary.errors import UsageError
from sleep2vec.vocabulary.stages import hypnogram_of


@pytest.fixture
def raw() -> mne.io.RawArray:
    volts = np.random.default_rng(0).normal(0, 20e-6, (3, 100 * 600))
    info = mne.create_info(["C4-M1", "ECG", "Abdomen"], 100.0, ["eeg", "ecg", "misc"])
    made = mne.io.RawArray(volts, info, verbose="error")
    made.set_meas_date(datetime(2020, 1, 2, 23, 0, tzinfo=UTC))
    made.set_annotations(
        mne.Annotations(
            [0, 30, 60, 100, 200], [30, 30, 30, 15, 20], ["Sleep stage W", "N2", "REM", "Hypopnea", "BAD_x"]
        )
    )
    return made


def test_a_raw_in_the_units_of_the_field(raw: mne.io.RawArray):
    recording = read(raw)
    assert [(s.label, s.unit, s.rate_hz) for s in recording.signals] == [
        ("C4-M1", "uV", 100),
        ("ECG", "uV", 100),
        ("Abdomen", "", 100),
    ]
    expected = 1e6 * raw.get_data(picks=[0])[0]
    expected[20_000:22_000] = np.nan  # BAD_x
    np.testing.assert_allclose(recording.signals[0].samples, expected, rtol=1e-4)
    np.testing.assert_array_equal(hypnogram_of(recording.stages, 0.0, 4), [0, 2, 4, np.nan])
    assert [(e.kind, e.onset_s, e.duration_s) for e in recording.events] == [("hypopnea", 100, 15)]
    assert recording.start == datetime(2020, 1, 2, 23, 0)


def test_a_cropped_raw_counts_from_its_first_sample(raw: mne.io.RawArray):
    recording = read(raw.copy().crop(tmin=30))
    np.testing.assert_array_equal(hypnogram_of(recording.stages, 0.0, 2), [2, 4])


def test_a_real_night_through_mne_and_without_it(shared):
    """MNE brings every channel of this file to one rate; the EEG already has it."""
    path = shared / "real_data/sleep_edf/SC4001E0-PSG_first300s.edf"
    ours = read_edf(path).signals[0]
    theirs = read(mne.io.read_raw_edf(path, verbose="error")).signals[0]
    assert (ours.label.strip(), ours.rate_hz) == (theirs.label, theirs.rate_hz)
    np.testing.assert_allclose(theirs.samples, ours.samples, atol=1e-3)


def test_arrays_are_a_night():
    rng = np.random.default_rng(1)
    walk = np.cumsum(rng.normal(size=200 * 300))
    walk -= np.convolve(walk, np.ones(200) / 200, "same")
    night = harmonize(
        read(
            {
                "C4-M1": (20 * walk / walk.std(), 200.0, "uV"),
                "SpO2": (np.full(300, 96.0) + rng.integers(0, 2, 300), 1, "%"),
            }
        )
    )
    assert {name: p.channels for name, p in night.provenance.items()} == {"eeg": ("C4-M1",), "spo2": ("SpO2",)}


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ({}, "no signals were given"),
        ({"x": np.zeros(4)}, r"signal 'x' is ndarray; expected \(samples, rate_hz, unit\)"),
        ({"x": (np.zeros((2, 3)), 1.0, "")}, r"has the shape \(2, 3\); expected one row"),
        ({"x": (np.zeros(3), 0, "")}, "a rate of 0 Hz; expected a positive number"),
        (7, "a int cannot be read; give a path"),
    ],
)
def test_what_is_no_recording_says_so(source, sentence):
    with pytest.raises(UsageError, match=sentence):
        read(source)
