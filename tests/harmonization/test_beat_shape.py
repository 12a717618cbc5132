"""Judge: the Cramer-Rao bound on the time of a known shape in white noise, and beats drawn between samples."""

import numpy as np
import pytest

from sleep2vec.harmonization.beat_shape import placed, tops

_RATE_HZ = 200.0


def _drawn(times_s, width_s, noise, seed=0):
    rng = np.random.default_rng(seed)
    clock_s = np.arange(int((times_s[-1] + 2) * _RATE_HZ)) / _RATE_HZ
    wave = sum(np.exp(-0.5 * ((clock_s - time) / width_s) ** 2) for time in times_s)
    return wave + rng.normal(0, noise, len(clock_s))


@pytest.mark.parametrize(("width_s", "noise"), [(0.012, 0.05), (0.02, 0.1), (0.05, 0.1)])
def test_beats_are_placed_about_as_well_as_noise_allows(width_s, noise):
    rng = np.random.default_rng(1)
    times_s = 1.0 + np.cumsum(rng.uniform(0.7, 1.1, 400))
    band_T = _drawn(times_s, width_s, noise)
    marks = np.round(times_s * _RATE_HZ).astype(int)

    beats = placed(band_T, tops(band_T, marks, 8), _RATE_HZ, half_s=4 * width_s, reach_s=2 * width_s)

    off_s = beats.times_s - times_s
    # Sum of squared slopes of a Gaussian sampled at the rate: sqrt(pi) / (2 width) * rate.
    bound_s = noise / np.sqrt(np.sqrt(np.pi) / (2 * width_s) * _RATE_HZ)
    print(f"{off_s.std() * 1e3:.2f} ms, bound {bound_s * 1e3:.2f} ms")
    assert 0.85 * bound_s < off_s.std() < 1.35 * bound_s
    assert abs(off_s.mean()) < 0.5 / _RATE_HZ


def test_two_marks_of_one_beat_give_one_and_a_jolt_is_not_sound():
    times_s = np.arange(1, 60) * 0.9
    band_T = _drawn(times_s, 0.015, 0.01)
    jolt = int(30.1 * _RATE_HZ)
    band_T[jolt : jolt + 40] += 3 * np.sin(np.arange(40) / 2.0)
    marks = np.sort(np.concatenate([np.round(times_s * _RATE_HZ).astype(int), [int(1.8 * _RATE_HZ) + 4, jolt + 3]]))

    beats = placed(band_T, tops(band_T, marks, 2), _RATE_HZ, half_s=0.06, reach_s=0.03)

    assert len(beats.times_s) == 60
    odd = np.abs(beats.times_s - 30.1) < 0.2
    assert odd.any()
    assert not beats.sound[odd].any()
    assert beats.sound[np.abs(beats.times_s - 30.1) > 0.25].all()


@pytest.mark.parametrize("marks", [[], [3], [10]])
def test_few_or_no_marks_are_no_trouble(marks):
    band_T = _drawn(np.array([0.05]), 0.01, 0.0)
    beats = placed(band_T, tops(band_T, np.array(marks, dtype=np.int64), 5), _RATE_HZ, 0.08, 0.03)
    assert len(beats.times_s) == len(beats.sound) == len(beats.heights) <= 1
