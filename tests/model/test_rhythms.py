"""Slow rhythms: restated with scipy, what they may depend on, what they tell apart."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from sleep2vec.data.window import View
from sleep2vec.model import rhythms
from sleep2vec.model.encoder import ModelConfig
from sleep2vec.model.heads import HeadShape
from sleep2vec.model.rhythms import (
    N_FEATURES,
    N_MEASURES,
    STRETCHES,
    RhythmPath,
    RhythmReader,
    bands_of,
    breathing_filter,
    coherence,
    envelope,
    rhythm_features,
    rhythms_of,
    smoothed,
    spectra,
)
from sleep2vec.model.sleep_model import SleepModel, SleepModelConfig

L = 90
PLACES = np.cumsum([0, *(len(edges) for _, _, edges in STRETCHES), 8, 3, 5, 3, 3, 5])
"""Where the parts of the measures begin: spectra, envelope, its coherence and levels, two of slopes, levels."""


def interval_night(seed=0, n_tokens=L, swing_hz=0.0, swing=0.0, breath=0.02):
    """Scaled heart-beat intervals at 4 Hz: 0.9 s, breathing at 0.25 Hz, a slow swing, noise."""
    draw = np.random.default_rng(seed)
    t = np.arange(n_tokens * 120) / 4
    wander = 0.002 * np.cumsum(draw.standard_normal(len(t))) / 20
    rr = 0.9 * np.exp(
        swing * np.sin(2 * np.pi * swing_hz * t)
        + breath * np.sin(2 * np.pi * 0.25 * t)
        + wander
        + 0.01 * draw.standard_normal(len(t))
    )
    return torch.from_numpy(((rr - 0.9) / 0.15).astype(np.float32).reshape(n_tokens, 120))


ALL = torch.ones(L, dtype=torch.bool)


@pytest.mark.parametrize(("n_tokens", "step_s", "edges"), STRETCHES)
def test_spectra_of_whole_windows_are_those_of_scipy(n_tokens, step_s, edges):
    """One-sided periodogram of the logarithm of the intervals in steps: shares of its bands, and their sum."""
    night = interval_night()
    told = rhythm_features("ibi", night, ALL).numpy()
    place = [stretch[0] for stretch in STRETCHES].index(n_tokens)
    rr = np.log(night.numpy().astype(float).ravel() * 0.15 + 0.9)
    steps = rr.reshape(-1, 4 * step_s).mean(axis=1)
    per_token, token = 30 // step_s, 45
    middle = n_tokens // 2
    window = steps[(token - middle) * per_token : (token + middle + 1) * per_token]
    hz, density = signal.periodogram(window, 1 / step_s, window="hann", detrend="constant")
    power = density * (hz[1] - hz[0])
    bands = np.array([power[(hz >= a - 1e-9) & (hz < b - 1e-9)].sum() for a, b in pairwise(edges)])
    expected = np.append(np.log(bands + 1e-7) - np.log(bands.sum() + 1e-7), np.log(bands.sum() + 1e-7))
    found = told[token, PLACES[place] : PLACES[place + 1]]
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.01)


def test_the_filter_is_scipys():
    expected = signal.firwin(97, (0.15, 0.4), pass_zero=False, fs=4, window="hamming", scale=False)
    np.testing.assert_allclose(breathing_filter(4).numpy(), expected, rtol=0, atol=1e-12)


def test_the_envelope_is_the_rms_of_what_scipys_filter_lets_through():
    trace = 0.03 * np.random.default_rng(1).standard_normal(4 * 600)
    told, known = envelope(torch.from_numpy(trace), torch.ones(2400, dtype=torch.bool), 4)
    taps = signal.firwin(97, (0.15, 0.4), pass_zero=False, fs=4, window="hamming", scale=False)
    passed = signal.lfilter(taps, 1, np.pad(trace, (0, 48)))[48:]
    power = np.convolve((passed**2).reshape(-1, 4).mean(axis=1), np.ones(11) / 11, mode="same")
    sound = slice(24, -24)
    assert known[sound].all()
    np.testing.assert_allclose(told[sound].numpy(), 0.5 * np.log(power[sound] + 1e-7), rtol=0, atol=1e-9)


def test_breathing_of_known_amplitude_has_its_rms():
    t = np.arange(4 * 600) / 4
    told, known = envelope(torch.from_numpy(0.05 * np.sin(2 * np.pi * 0.27 * t)), torch.ones(2400, dtype=torch.bool), 4)
    np.testing.assert_allclose(np.exp(told[known].numpy()), 0.05 / np.sqrt(2), rtol=0.04)


@given(seed=st.integers(0, 50), n_tokens=st.sampled_from([5, 11, 21]))
@settings(max_examples=10, deadline=None)
def test_what_is_left_of_a_window_has_the_power_that_is_left(seed, n_tokens):
    """Of any gaps: Parseval. All frequencies together are the tapered variance about the mean of what is valid."""
    draw = np.random.default_rng(seed)
    valid = draw.random(30) < 0.7
    values = np.where(np.repeat(valid, 30), draw.standard_normal(900) + 3.0, 0.0)
    told = spectra(torch.from_numpy(values), torch.from_numpy(np.repeat(valid, 30)), 30, n_tokens)
    taper = signal.get_window("hann", 30 * n_tokens)
    for token in range(n_tokens // 2, 30 - n_tokens // 2):
        place = slice(30 * (token - n_tokens // 2), 30 * (token + n_tokens // 2 + 1))
        kept = np.repeat(valid, 30)[place]
        if (taper**2 * kept).sum() < 0.25 * (taper**2).sum():
            assert torch.isnan(told[token].real).all()
            continue
        away = (values[place] - values[place][kept].mean()) * kept
        total = ((taper * away) ** 2).sum() / (taper**2 * kept).sum()
        power = told[token].abs().square().numpy()
        one_sided = power.sum() - power[0] / 2 - power[-1] / 2  # the first and the last frequency have no twin
        np.testing.assert_allclose(one_sided, total, rtol=1e-9)


def test_bands_have_their_lower_edge():
    power = torch.arange(10.0)[None]
    np.testing.assert_allclose(bands_of(power, 10.0, (0.1, 0.3, 0.4)), [[3.0, 3.0]])


def test_levels_are_weighted_means():
    """Against a loop; a bell of 4 standard deviations."""
    draw = np.random.default_rng(0)
    values, weight = draw.standard_normal(40), draw.integers(0, 3, 40).astype(float)
    told = smoothed(torch.from_numpy(values), torch.from_numpy(weight)).numpy()
    for column, sigma in enumerate(rhythms.SMOOTH_TOKENS):
        for token in (0, 7, 39):
            near = [m for m in range(40) if abs(m - token) <= 4 * sigma]
            bell = [weight[m] * np.exp(-0.5 * ((m - token) / sigma) ** 2) for m in near]
            if sum(bell) > 0:
                np.testing.assert_allclose(told[token, column], np.average(values[near], weights=bell), rtol=1e-9)


def test_coherence_of_a_swing_with_its_own_shifted_copy_is_one_and_has_its_phase():
    t = np.arange(90 * 30.0)
    one, other = np.sin(2 * np.pi * 0.025 * t), 3 * np.sin(2 * np.pi * 0.025 * t - 0.8)
    valid = torch.ones(len(t), dtype=torch.bool)
    told = coherence(*(spectra(torch.from_numpy(x), valid, 30, 11) for x in (one, other)))[45].numpy()
    np.testing.assert_allclose(told, [1.0, np.cos(0.8), np.sin(0.8)], atol=0.01)
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal(len(t)))
    assert coherence(spectra(torch.from_numpy(one), valid, 30, 11), spectra(noise, valid, 30, 11))[45, 0] < 0.8


def test_a_swing_of_forty_seconds_stands_in_its_band_and_nowhere_else():
    quiet, swinging = interval_night(), interval_night(swing_hz=0.0225, swing=0.05)
    told, before = (rhythm_features("ibi", night, ALL)[45] for night in (swinging, quiet))
    edges = np.array(STRETCHES[2][2])
    shares = told[PLACES[2] : PLACES[3] - 1].numpy()
    assert edges[shares.argmax()] <= 0.0225 < edges[shares.argmax() + 1]
    assert told[PLACES[3] - 1] > before[PLACES[3] - 1] + 1


def test_slopes_that_rise_fast_and_fall_slowly_are_told_from_their_mirror_image():
    t = np.arange(L * 120) / 4
    saw = 0.1 * signal.sawtooth(2 * np.pi * 0.02 * t, 0.2)
    nights = [torch.from_numpy(((0.9 * np.exp(x) - 0.9) / 0.15).reshape(L, 120)) for x in (saw, -saw)]
    rising, falling = (rhythm_features("ibi", night, ALL)[45, PLACES[7] : PLACES[9]].numpy() for night in nights)
    np.testing.assert_allclose(rising[[0, 2, 3, 5]], falling[[0, 2, 3, 5]], atol=1e-3)  # size and kurtosis
    np.testing.assert_allclose(rising[[1, 4]], -falling[[1, 4]], atol=1e-3)  # skewness
    assert (rising[[1, 4]] > 0.5).all()


def test_relative_measures_are_those_against_the_median_of_what_can_be_read():
    valid = torch.arange(L) % 9 != 4
    told = rhythm_features("ibi", interval_night(), valid).numpy()
    own = told[:, :N_MEASURES] - np.nanpercentile(told[valid][:, :N_MEASURES], 50, axis=0, method="lower")
    np.testing.assert_allclose(told[valid][:, N_MEASURES : 2 * N_MEASURES], own[valid], atol=1e-5)
    assert np.isnan(told[~valid]).all()


@pytest.mark.parametrize("name", rhythms.WITH_RHYTHMS)
@given(seed=st.integers(0, 50), garbage=st.sampled_from([float("nan"), float("inf"), 1e30, -20.0]))
@settings(max_examples=8, deadline=None)
def test_garbage_in_invalid_tokens_changes_not_one_bit(name, seed, garbage):
    night, valid = interval_night(seed), torch.rand(L, generator=torch.Generator().manual_seed(seed)) < 0.8
    spoiled = torch.where(valid[:, None], night, garbage)
    told, again = (rhythm_features(name, samples, valid) for samples in (night, spoiled))
    assert told.shape == (L, N_FEATURES)
    assert torch.equal(told.nan_to_num(-99.0), again.nan_to_num(-99.0))


@given(seed=st.integers(0, 50), padding=st.integers(1, 70))
@settings(max_examples=8, deadline=None)
def test_longer_padding_changes_nothing(seed, padding):
    night, valid = interval_night(seed), torch.rand(L, generator=torch.Generator().manual_seed(seed)) < 0.9
    longer = torch.cat((night, torch.full((padding, 120), 7.0)))
    told = rhythm_features("ibi", longer, torch.cat((valid, torch.zeros(padding, dtype=torch.bool))))
    assert told[L:].isnan().all()
    torch.testing.assert_close(told[:L], rhythm_features("ibi", night, valid), rtol=0, atol=2e-3, equal_nan=True)


@given(seed=st.integers(0, 50))
@settings(max_examples=8, deadline=None)
def test_a_gap_is_no_number(seed):
    """A night that stands still has no power in any band, wherever its gaps lie: 0 in their place would be an edge."""
    valid = torch.rand(L, generator=torch.Generator().manual_seed(seed)) < 0.6
    told = rhythm_features("ibi", torch.full((L, 120), 1.3), valid)[valid]
    powers = told[:, [place - 1 for place in PLACES[1:6]]]
    assert powers[powers.isfinite()].max() < np.log(2e-7)
    levels = told[:, PLACES[-2] : PLACES[-1]]
    np.testing.assert_allclose(levels[:, :5].numpy(), np.log(1.3 * 0.15 + 0.9), atol=1e-5)


def test_a_night_or_a_window_with_too_little_is_unknown():
    valid = torch.zeros(L, dtype=torch.bool)
    assert rhythm_features("ibi", interval_night(), valid).isnan().all()
    valid[40] = True
    told = rhythm_features("ibi", interval_night(), valid)
    assert told[torch.arange(L) != 40].isnan().all()
    # Of half an hour a single token tells nothing; of its own level it does.
    assert told[40, PLACES[3] : PLACES[4]].isnan().all()
    assert told[40, PLACES[-2]].isfinite()


def views(seed=0, share=0.8, names=("ibi", "resp", "spo2")):
    draw = torch.Generator().manual_seed(seed)
    return {
        name: View(torch.randn(2, 40, 120, generator=draw).double(), torch.rand(2, 40, generator=draw) < share)
        for name in names
    }


def stager(**more):
    torch.manual_seed(0)
    encoder = ModelConfig(modalities=("spo2", "ibi", "resp"), dropout=0.0)
    heads = {"staging": HeadShape(resolution="token", n_outputs=5)}
    made = SleepModel(SleepModelConfig(encoder=encoder, heads=heads, rhythms=True, **more)).double().eval()
    with torch.no_grad():
        for name in made.rhythms.names:
            made.rhythms.reader(name).calibrate(rhythms_of(name, views()[name]).flatten(0, 1))
        made.fusion.modality_MD.normal_()
    return made


@torch.no_grad()
@pytest.mark.parametrize("subset", [("ibi",), ("spo2",), ("resp", "spo2")])
@pytest.mark.parametrize("context", ["attention", "convolutions"])
def test_hidden_intervals_hide_their_rhythms(subset, context):
    """Hidden, not there, and left out afterwards are one; and the rhythms of what is there are heard."""
    made, seen = stager(context=context), views()
    hidden = {n: v if n in subset else v.restricted(torch.zeros_like(v.valid_BL)) for n, v in seen.items()}
    kept = torch.tensor([name in subset for name in made.modalities])[None, :, None]
    answers = [
        made(hidden),
        made({name: seen[name] for name in subset}),
        made.answer(made.features(seen).only(kept)),
    ]
    for answer in answers[1:]:
        readable = answers[0].readable_BL
        expected, found = (a.outputs["staging"][readable] for a in (answers[0], answer))
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


@torch.no_grad()
def test_a_token_that_is_dropped_is_gone_from_the_rhythms_of_its_neighbours():
    """Whatever it holds; and one that is there is heard half an hour wide."""
    made, seen = stager(), views(share=1.1)
    ibi = seen["ibi"]
    dropped = ibi.valid_BL.clone()
    dropped[:, 17] = False
    louder = ibi.values_BLS.clone()
    louder[:, 17] *= 4
    path = made.rhythms
    like = torch.zeros(2, 3, 40, path.width, dtype=torch.float64)
    first, second = (path({"ibi": View(values, dropped)}, like) for values in (ibi.values_BLS, louder))
    assert torch.equal(first, second)
    heard = (path({"ibi": View(louder, ibi.valid_BL)}, like) - path({"ibi": ibi}, like))[:, 1].norm(dim=-1).amin(dim=0)
    assert (heard > 0).all()  # all 40 lie within half an hour or share its median


@torch.no_grad()
def test_rhythms_are_heard_and_those_who_have_none_are_silent():
    made, seen = stager(), views()
    like = torch.zeros(2, 3, 40, made.rhythms.width, dtype=torch.float64)
    told = made.rhythms(seen, like)
    assert made.rhythms.names == ("ibi", "resp")
    assert not told[:, 0].any()
    for place, name in ((1, "ibi"), (2, "resp")):
        assert (told[:, place].norm(dim=-1) > 0).equal(seen[name].valid_BL)
    silent = stager()
    silent.rhythms.reader("ibi").mlp.norm.weight.zero_()
    silent.rhythms.reader("ibi").mlp.norm.bias.zero_()
    assert (made(seen).outputs["staging"] - silent(seen).outputs["staging"]).abs().max() > 1e-3


def test_unknown_measures_read_as_the_mean_of_the_training_nights():
    reader = RhythmReader(8, 0.0, 0.0).eval()
    draw = torch.Generator().manual_seed(0)
    features = torch.randn(200, N_FEATURES, generator=draw) * 3 + 5
    features[::3, 4] = float("nan")
    features[:, 9] = float("nan")
    reader.calibrate(features)
    np.testing.assert_allclose(reader.centre_F[4], np.nanmean(features[:, 4].numpy()), rtol=1e-5)
    np.testing.assert_allclose(reader.spread_F[4], np.nanstd(features[:, 4].numpy()), rtol=1e-5)
    assert reader.centre_F.isfinite().all()
    assert reader.spread_F.isfinite().all()


def test_features_of_tokens_have_no_rhythms():
    path = RhythmPath(("ibi",), 8, 0.0)
    view = View(torch.zeros(1, 4, 44), torch.ones(1, 4, dtype=torch.bool), are_features=True)
    with pytest.raises(ValueError, match=r"read from its samples.*second reader"):
        path({"ibi": view}, torch.zeros(1, 1, 4, 8))
