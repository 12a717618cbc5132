"""The path of seconds: its features restated with scipy, what it may depend on, how far it looks, how sharp it is."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from sleep2vec.data.window import View
from sleep2vec.model.seconds import SecondPath, n_features, second_features, seconds_of
from sleep2vec.vocabulary.modalities import MODALITIES

NAMES = ("eeg", "airflow", "spo2")
B, L, D = 2, 4, 6
REACH = 3 + 2 * (1 + 3 + 9 + 27)
"""Seconds to either side: half of seven, then half of five taps, 1, 3, 9 and 27 apart."""


@pytest.mark.parametrize("scale", [1e-3, 1.0, 20.0])
def test_fast_signals_are_told_as_the_power_of_each_second(scale):
    """scipy's periodogram, one second at a time; half of its one-sided density, in Hz of 128, is the power of a bin."""
    samples = scale * np.random.default_rng(0).standard_normal((2, 30 * 128)).astype(np.float32) + 3.0
    told = second_features("eeg", torch.from_numpy(samples)).numpy().reshape(2, 30, 8)
    seconds = samples.reshape(2, 30, 128).astype(float)
    hz, density = signal.periodogram(seconds, 128, window="hann", detrend="constant", axis=-1)
    power = density * 128 / 2
    bands = [power[..., (hz >= low) & (hz < high)].mean(-1) for low, high in
             ((1, 4), (4, 8), (8, 12), (12, 16), (16, 24), (24, 32), (32, 48))]  # fmt: skip
    expected = np.log10(np.stack([*bands, seconds.var(axis=-1)], axis=-1) + 1e-4)
    np.testing.assert_allclose(told, expected, rtol=0, atol=2e-4)


def test_a_wave_stands_in_its_band_and_its_second():
    """40 Hz in second 7 alone; 10 Hz in second 20."""
    t = np.arange(128) / 128
    samples = np.zeros((30, 128), dtype=np.float32)
    samples[7], samples[20] = np.sin(2 * np.pi * 40 * t), np.sin(2 * np.pi * 10 * t)
    told = second_features("eog", torch.from_numpy(samples.reshape(1, -1))).numpy().reshape(30, 8)
    assert told[7].argmax() == 6 or told[7, :7].argmax() == 6
    assert told[20, :7].argmax() == 2
    quiet = np.delete(told, [7, 20], axis=0)
    np.testing.assert_allclose(quiet, np.log10(1e-4), atol=1e-6)


@pytest.mark.parametrize("name", [name for name in MODALITIES if MODALITIES[name].rate_hz == 4])
def test_slow_signals_stay_as_they_are(name):
    samples = torch.randn(2, 120)
    assert torch.equal(second_features(name, samples), samples)
    assert n_features(name) == 4


def path(names=NAMES):
    torch.manual_seed(0)
    made = SecondPath(names, D).double().eval()
    with torch.no_grad():
        made.fusion.modality_MD.normal_()
        made.fusion.preference_M.normal_()
    return made


def given_views(seed=0, n_tokens=L, share=0.7):
    draw = torch.Generator().manual_seed(seed)
    views = {
        name: View(
            torch.randn(B, n_tokens, MODALITIES[name].samples_per_token, generator=draw, dtype=torch.float64),
            torch.rand(B, n_tokens, generator=draw) < share,
        )
        for name in NAMES
    }
    return views, torch.randn(B, n_tokens, D, generator=draw, dtype=torch.float64)


def answer(made, views, tokens, kept=None):
    valid = torch.stack([views[name].valid_BL for name in made.modalities], dim=1)
    told = made.tell(made.read(views, B, tokens.shape[1]))
    return made(told, valid if kept is None else valid & kept, tokens), valid.any(dim=1).repeat_interleave(30, dim=1)


@torch.no_grad()
@given(seed=st.integers(0, 100), garbage=st.sampled_from([float("nan"), 1e30]))
@settings(max_examples=10, deadline=None)
def test_garbage_in_invalid_tokens_changes_not_one_bit_of_what_can_be_read(seed, garbage):
    made, (views, tokens) = path(), given_views(seed)
    spoiled = {
        name: View(torch.where(view.valid_BL[..., None], view.values_BLS, garbage), view.valid_BL)
        for name, view in views.items()
    }
    (clean, readable), anything = answer(made, views, tokens), torch.stack([v.valid_BL for v in views.values()]).any(0)
    dirty, _ = answer(made, spoiled, torch.where(anything[..., None], tokens, garbage))
    assert torch.equal(dirty[readable], clean[readable])


@torch.no_grad()
@given(seed=st.integers(0, 100), padding=st.integers(1, 3))
@settings(max_examples=10, deadline=None)
def test_longer_padding_changes_nothing(seed, padding):
    made, (views, tokens) = path(), given_views(seed)
    short, readable = answer(made, views, tokens)
    pad = torch.nn.functional.pad
    longer = {
        name: View(pad(view.values_BLS, (0, 0, 0, padding), value=7.0), pad(view.valid_BL, (0, padding)))
        for name, view in views.items()
    }
    long, _ = answer(made, longer, pad(tokens, (0, 0, 0, padding), value=5.0))
    torch.testing.assert_close(long[:, : 30 * L][readable], short[readable], rtol=0, atol=1e-9)


@torch.no_grad()
@pytest.mark.parametrize("subset", [("eeg",), ("airflow", "spo2")])
def test_a_subset_is_told_alike_whether_the_rest_is_hidden_or_not_there(subset):
    made, (views, tokens) = path(), given_views(3)
    kept = torch.tensor([name in subset for name in NAMES])[None, :, None]
    hidden, _ = answer(made, views, tokens, kept)
    valid = torch.stack([views[name].valid_BL for name in NAMES], dim=1) & kept
    alone = made(made.tell(made.read({name: views[name] for name in subset}, B, L)), valid, tokens)
    readable = valid.any(dim=1).repeat_interleave(30, dim=1)
    torch.testing.assert_close(hidden[readable], alone[readable], rtol=0, atol=1e-12)
    everything, _ = answer(made, views, tokens)
    assert (everything - hidden)[readable].abs().max() > 1e-3


@torch.no_grad()
@pytest.mark.parametrize("second", [0, 100, 194, 359])
def test_a_second_is_heard_83_seconds_away_and_no_farther_and_most_where_it_is(second):
    """The tokens' own embeddings, which know the whole night, are held still."""
    made, (views, tokens) = path(("airflow",)), given_views(1, n_tokens=12, share=2.0)
    views = {"airflow": views["airflow"]}
    before, _ = answer(made, views, tokens)
    samples = views["airflow"].values_BLS.clone()
    samples.view(B, -1)[:, 4 * second : 4 * second + 4] += torch.tensor([4.0, 1.0, -3.0, 2.0], dtype=torch.float64)
    after, _ = answer(made, {"airflow": View(samples, views["airflow"].valid_BL)}, tokens)
    moved = (after - before).norm(dim=-1).amin(dim=0)
    away = (torch.arange(360) - second).abs()
    assert not moved[away > REACH].any()
    assert (moved[away <= REACH] > 0).any()
    assert float(away[moved > 0].max()) == min(REACH, max(second, 359 - second))
    assert away[moved.argmax()] <= 3
    assert moved[away <= 3].min() > 3 * moved[away > 30].max()


@torch.no_grad()
def test_a_token_is_heard_in_its_own_thirty_seconds_and_around():
    made, (views, tokens) = path(), given_views(2, n_tokens=12, share=2.0)
    changed = tokens.clone()
    changed[:, 5] += 3.0
    moved = (answer(made, views, changed)[0] - answer(made, views, tokens)[0]).norm(dim=-1).amin(dim=0)
    outside = torch.cat([moved[: 150 - REACH + 3], moved[180 + REACH - 3 :]])
    assert not outside.any()
    assert moved[150:180].min() > 3 * moved[torch.tensor([110, 220])].max()


@torch.no_grad()
def test_features_that_were_kept_are_read_as_those_computed():
    made, (views, tokens) = path(), given_views(4)
    kept = {name: View(second_features(name, view.values_BLS), view.valid_BL, True) for name, view in views.items()}
    assert torch.equal(answer(made, kept, tokens)[0], answer(made, views, tokens)[0])
    assert seconds_of("eeg", views["eeg"]).shape == (B, 30 * L, 8)


@torch.no_grad()
def test_calibrated_seconds_have_mean_0_and_spread_1_as_numpy_sees_them():
    made, features = path(), torch.randn(500, 8, dtype=torch.float64) * 5 + 2
    reader = made.reader("eeg")
    reader.calibrate(features)
    scaled = ((features - reader.centre_F) / reader.spread_F).numpy()
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(scaled.std(axis=0, ddof=1), 1, atol=1e-9)


def test_checkpointing_keeps_a_fraction_for_the_way_back_and_changes_no_gradient():
    views, tokens = given_views()
    slopes, kept = {}, {}
    made = path()
    for made.checkpointing in (False, True):
        saved = {}

        def note(tensor, saved=saved):
            saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        made.zero_grad()
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            told, _ = answer(made, views, tokens)
        told.square().sum().backward()
        slopes[made.checkpointing] = [parameter.grad.clone() for parameter in made.parameters()]
        kept[made.checkpointing] = sum(saved.values())
    for plain, again in zip(slopes[False], slopes[True], strict=True):
        torch.testing.assert_close(again, plain, rtol=1e-9, atol=1e-12)
    assert kept[True] < kept[False] / 2
