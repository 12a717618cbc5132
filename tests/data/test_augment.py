"""Sensors that are missing on purpose: what may go, what may not."""

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sleep2vec.data.augment import DropoutConfig, drop_modalities

SENSORS = ("eeg", "ecg", "belt", "ecg", "belt", "spo2")  # places 3 and 4 are derived
M, L = len(SENSORS), 12


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 10**6), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_nothing_becomes_valid_and_no_window_becomes_empty(seed, subset, fall_off, density):
    valid = torch.rand(3, M, L, generator=generator(seed)) < density
    sensors = [[name if valid[b, m].any() else "" for m, name in enumerate(SENSORS)] for b in range(3)]
    before = valid.clone()
    config = DropoutConfig(subset_probability=subset, fall_off_probability=fall_off)
    kept = drop_modalities(valid, sensors, config, generator(seed + 1))
    assert torch.equal(valid, before)
    assert not (kept & ~valid).any()
    assert torch.equal(kept.flatten(1).any(dim=1), valid.flatten(1).any(dim=1))
    assert torch.equal(kept, drop_modalities(valid, sensors, config, generator(seed + 1)))


def test_without_dropout_nothing_changes():
    valid = torch.rand(5, M, L) < 0.5
    config = DropoutConfig(subset_probability=0, fall_off_probability=0)
    assert torch.equal(drop_modalities(valid, [SENSORS] * 5, config, generator()), valid)


def test_every_size_of_a_subset_and_every_modality_is_equally_frequent():
    """Statistics, 4 sigma: sizes 1 to 6 uniform; each modality kept with probability (1 + 6) / 2 / 6."""
    n = 3000
    config = DropoutConfig(subset_probability=1, fall_off_probability=0)
    kept = drop_modalities(torch.ones(n, M, 1, dtype=torch.bool), [SENSORS] * n, config, generator(1))[..., 0]
    sizes = Counter(kept.sum(dim=1).tolist())
    for size in range(1, M + 1):
        assert abs(sizes[size] - n / M) < 4 * (n / M * (1 - 1 / M)) ** 0.5
    p = 3.5 / M
    assert ((kept.double().mean(dim=0) - p).abs() < 4 * (p * (1 - p) / n) ** 0.5).all()


def test_only_present_modalities_count_for_the_size():
    n = 1500
    valid = torch.zeros(n, M, 2, dtype=torch.bool)
    valid[:, [1, 4, 5]] = True
    config = DropoutConfig(subset_probability=1, fall_off_probability=0)
    sizes = Counter(drop_modalities(valid, [SENSORS] * n, config, generator(2)).any(dim=2).sum(dim=1).tolist())
    assert set(sizes) == {1, 2, 3}
    assert all(abs(sizes[size] - n / 3) < 4 * (n * 2 / 9) ** 0.5 for size in sizes)


def test_what_is_derived_falls_with_its_sensor():
    """One sensor loses one end of the window, in everything that came from it, and nothing else changes."""
    n = 400
    config = DropoutConfig(subset_probability=0, fall_off_probability=1)
    kept = drop_modalities(torch.ones(n, M, L, dtype=torch.bool), [SENSORS] * n, config, generator(3))
    fallen_sensors, ends = Counter(), Counter()
    for window in kept:
        lost = {SENSORS[m] for m in range(M) if not window[m].all()}
        assert len(lost) <= 1
        for sensor in lost:
            fallen_sensors[sensor] += 1
            stretches = {tuple(window[m].tolist()) for m in range(M) if SENSORS[m] == sensor}
            assert len(stretches) == 1
            stretch = list(stretches.pop())
            assert stretch in (sorted(stretch), sorted(stretch, reverse=True))  # one end, no hole
            ends["start" if not stretch[0] and stretch[-1] else "end"] += 1
    assert set(fallen_sensors) == set(SENSORS)
    assert min(ends.values()) > 0.35 * sum(ends.values())


def test_the_only_sensor_never_falls():
    valid = torch.zeros(50, M, L, dtype=torch.bool)
    valid[:, [1, 3]] = True  # the ECG and the intervals made from it
    config = DropoutConfig(subset_probability=0, fall_off_probability=1)
    assert torch.equal(drop_modalities(valid, [SENSORS] * 50, config, generator(4)), valid)


@pytest.mark.parametrize("probability", [0.2, 0.8])
def test_the_probability_is_the_share_of_windows(probability):
    """Statistics: with subsets of one of two, half of the chosen windows lose something (4 sigma)."""
    n = 2000
    config = DropoutConfig(subset_probability=probability, fall_off_probability=0)
    valid = torch.ones(n, 2, 1, dtype=torch.bool)
    lost = (~drop_modalities(valid, [("a", "b")] * n, config, generator(5))).any(dim=1).sum().item()
    p = probability / 2
    assert abs(lost - n * p) < 4 * (n * p * (1 - p)) ** 0.5
