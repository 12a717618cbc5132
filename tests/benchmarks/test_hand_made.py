"""The baseline made by hand: its measures are those of the textbook, and it is judged as our own arms are."""

from types import SimpleNamespace

import numpy as np
import pytest

from hand_made import counts, folds_of, nights_told_apart, told_by_boosting
from hand_made_features import (
    APNEA_EDGES_HZ,
    Excerpt,
    beat_excerpts,
    grids_of_beats,
    spectrum,
    variability,
    watch_excerpts,
)
from real_people import real_folder
from real_usefulness import folds_by_person

MEAN_S, SWING_S, SECONDS = 0.9, 0.04, 3600


def swinging_beats(hz: float) -> np.ndarray:
    """Times in s of beats whose intervals are a cosine about `MEAN_S`."""
    times = [0.0]
    while times[-1] < SECONDS + 5:
        times.append(times[-1] + MEAN_S + SWING_S * np.cos(2 * np.pi * hz * times[-1]))
    return np.array(times)


@pytest.mark.parametrize(("hz", "band"), [(0.005, "VLF"), (0.02, "cyclic"), (0.09, "LF"), (0.25, "HF")])
def test_measures_of_intervals_that_swing_are_those_of_a_cosine(hz, band):
    """Judge: closed forms. A cosine of amplitude a has the variance a^2/2, all of it in its own band; taken every
    interval R its steps have the mean square 2 a^2 sin^2(pi f R); straight lines between beats R apart have
    sinc(f R)^4 of a wave's power."""
    rr_T, steps_T = grids_of_beats(swinging_beats(hz), SECONDS)
    made = variability(rr_T, steps_T, (600,), 30, ("VLF", "cyclic", "LF", "HF"))
    middle = slice(30, -30)
    variance = (1e3 * SWING_S) ** 2 / 2
    steps = 4 * variance * np.sin(np.pi * hz * MEAN_S) ** 2
    drawn = np.log(variance * np.sinc(hz * MEAN_S) ** 4)
    assert made["mean 600"][middle] == pytest.approx(1e3 * MEAN_S, abs=3)
    assert made["SDNN 600"][middle] == pytest.approx(drawn / 2, abs=0.03)
    assert made[f"{band} 600"][middle] == pytest.approx(drawn, abs=0.06)
    assert made["RMSSD 600"][middle] == pytest.approx(np.log(steps + 1) / 2, abs=0.05)
    others = [np.exp(made[f"{name} 600"][middle]).max() for name in ("VLF", "cyclic", "LF", "HF") if name != band]
    assert max(others) < 0.05 * variance


def test_lf_to_hf_is_the_ratio_of_two_waves():
    """Judge: closed form, amplitudes of 30 and 10 ms at 0.1 and 0.2 Hz have powers of 9 to 1."""
    at_s = np.arange(4 * SECONDS) / 4
    rr_T = 900 + 30 * np.sin(2 * np.pi * 0.1 * at_s) + 10 * np.sin(2 * np.pi * 0.2 * at_s)
    made = variability(rr_T, np.zeros_like(rr_T), (300,), 60, ("LF", "HF"))
    assert np.exp(made["LF/HF 300"][5:-5]) == pytest.approx(9.0, rel=0.1)


def test_shares_of_a_spectrum_add_up_and_do_not_know_how_strong_it_is():
    draw = np.random.default_rng(0)
    at_s = np.arange(4 * 1800) / 4
    values_T = np.sin(2 * np.pi * 0.022 * at_s) + 0.01 * draw.standard_normal(len(at_s))
    shares_NF, total_N = spectrum(values_T, 30, 60, 300, APNEA_EDGES_HZ)
    assert np.exp(shares_NF).sum(axis=1) == pytest.approx(1.0)
    assert (shares_NF[3:-3].argmax(axis=1) == 3).all()  # 0.019-0.025 Hz
    louder_NF, louder_N = spectrum(10 * values_T, 30, 60, 300, APNEA_EDGES_HZ)
    assert np.exp(louder_NF) == pytest.approx(np.exp(shares_NF), abs=1e-4)
    assert louder_N - total_N == pytest.approx(2 * np.log(10), abs=1e-3)


def test_folds_are_those_that_our_arms_are_judged_in():
    """Judge: the other program's own folds."""
    people = ["a", "b", "b", "c", "d", "e", "f", "g", "h"]
    rows = [SimpleNamespace(person=person, night_id=str(place)) for place, person in enumerate(people)]
    for seed in range(3):
        folds = folds_of(people, 4, seed)
        told = [[str(place) for place in np.flatnonzero(folds == fold)] for fold in range(4)]
        assert told == folds_by_person(SimpleNamespace(rows=rows), 4, seed)


def test_no_night_is_judged_by_trees_that_saw_its_person():
    """Judge: a property. What tells a person's classes in one way and everybody else's in the other cannot be known."""
    draw = np.random.default_rng(1)
    nights = []
    for person in range(6):
        y_N = draw.integers(0, 2, 300)
        own_NF = np.eye(6)[[person] * 300] * (y_N[:, None] + 0.5)
        nights.append(Excerpt(f"n{person}", f"p{person}", own_NF, y_N))
    told = told_by_boosting(nights, 3, 0, np.arange(2))
    right = np.trace(sum(counts(night) for night in told.values())) / 1800
    assert 0.4 < right < 0.6


def test_merged_classes_and_unknown_truth_are_counted_by_hand():
    night = [
        [0.0, 2.0, np.nan, 4.0],
        [0.4, 0.3, 1, 0.1],
        [0.3, 0.2, 0, 0.1],
        [0.3, 0.5, 0, 0.1],
        [0, 0, 0, 0],
        [0, 0, 0, 0.7],
    ]
    # W is the most probable of five, but N1 and N2 together are more probable than W.
    assert counts(night, np.array([0, 1, 1, 1, 2])).tolist() == [[0, 1, 0], [0, 1, 0], [0, 0, 1]]
    assert counts(night).sum() == 3


def test_nights_are_told_apart_by_their_share_of_apnea():
    def night(minutes: int) -> list[list[float]]:
        told = (np.arange(100) < minutes).astype(float)
        return [told.tolist(), (1 - told).tolist(), told.tolist()]

    told = {"a01": night(40), "a02": night(5), "b01": night(5), "c01": night(0), "c02": night(50), "c03": night(9)}
    assert nights_told_apart(told) == (3, 5)


@pytest.mark.slow
@pytest.mark.skipif(
    real_folder() is None, reason="real excerpts are not here: set S2V_SHARED to the folder of real_data"
)
def test_the_real_excerpts_are_all_there_and_have_features():
    """Judge: what the excerpts' own description says of them."""
    folder = real_folder()
    assert folder is not None
    beats = beat_excerpts(folder)
    assert len(beats) == 35
    assert len({night.person for night in beats}) == 34
    assert sum(night.name[0] == "a" for night in beats) == 20
    assert len(watch_excerpts(folder)) == 21
    assert all(np.isfinite(night.features_NF).all() and len(night.features_NF) == len(night.truth_N) for night in beats)
