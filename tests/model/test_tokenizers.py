"""Tokenizers against the physics of waves."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sleep2vec.model.tokenizers import (
    TOKENIZERS,
    ConvTokenizer,
    MLPTokenizer,
    SpectralTokenizer,
    _BandPowers,
    _filter_bank,
)
from sleep2vec.vocabulary.modalities import MODALITIES

FAST, SLOW = MODALITIES["eeg"], MODALITIES["resp"]
BANKS = [(256, 128), (120, 4), (40, 4)]  # samples of a frame, rate: every bank that the tokenizers use


def sine(modality, hz, phase=0.0, amplitude=1.0):
    t = torch.arange(modality.samples_per_token, dtype=torch.float64) / modality.rate_hz
    return amplitude * torch.sin(2 * math.pi * hz * t + phase)


def tokenizer(modality, seed=0):
    torch.manual_seed(seed)
    return SpectralTokenizer(modality, 32, 0.0).eval()


@pytest.mark.parametrize(("frame", "rate_hz"), BANKS)
def test_the_bands_share_out_every_frequency_but_zero(frame, rate_hz):
    """Each bin belongs to one band; each band is an average; bands lie in order without gaps."""
    bank = _filter_bank(frame, rate_hz, 40)
    member = bank > 0
    assert not member[0].any()
    assert (member[1:].sum(dim=1) == 1).all()
    torch.testing.assert_close(bank.sum(dim=0), torch.ones(bank.shape[1], dtype=torch.float64))
    band_of_bin = member[1:].double().argmax(dim=1)
    assert (band_of_bin.diff() >= 0).all()
    assert (band_of_bin.diff() <= 1).all()
    assert bank.shape[1] <= 40


@pytest.mark.parametrize(("hz", "amplitude"), [(1.0, 1.0), (10.25, 3.0), (13.0, 0.5), (40.0, 2.0)])
def test_the_power_of_all_bands_together_is_that_of_the_wave(hz, amplitude):
    """Parseval: over the half spectrum, the unit-energy window holds N/2 times the mean square of the signal."""
    powers = _BandPowers(128, 2.0).double()
    mean_log = powers(sine(FAST, hz, amplitude=amplitude))[: powers.bands_FN.shape[1]]
    widths = (powers.bands_FN > 0).sum(dim=0)
    total = ((10**mean_log - powers.FLOOR) * widths).sum().item()
    assert total == pytest.approx(256 / 2 * amplitude**2 / 2, rel=0.01)


def test_white_noise_has_its_variance_in_every_band():
    """Definition of white noise: the mean power of each bin is the variance. Broad bands average many bins."""
    powers = _BandPowers(128, 2.0).double()
    noise = 1.7 * torch.randn(400, 3840, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    broad = (powers.bands_FN > 0).sum(dim=0) >= 6
    logs = powers(noise)[:, : powers.bands_FN.shape[1]][:, broad]
    assert ((10**logs).mean(dim=0) / 1.7**2 - 1).abs().max() < 0.15
    assert broad.any()


@pytest.mark.parametrize(
    ("modality", "frame_s", "hz"),
    [(FAST, 2.0, 1.5), (FAST, 2.0, 10.25), (FAST, 2.0, 13.0), (FAST, 2.0, 31.7), (SLOW, 30.0, 0.1)]
    + [(SLOW, frame_s, hz) for frame_s in (30.0, 10.0) for hz in (0.25, 0.31)],
)
def test_the_phase_of_a_wave_does_not_matter(modality, frame_s, hz):
    """Physics: a sine is the same oscillation wherever it begins; an 8 % louder one differs more than a shifted one.

    Judged in the bands that hold at least a twentieth of its power: what leaks elsewhere is below any real noise.
    """
    powers = _BandPowers(modality.rate_hz, frame_s).double()
    widths = (powers.bands_FN > 0).sum(dim=0)

    def levels(phase, amplitude=1.0):
        return powers(sine(modality, hz, phase, amplitude))[: len(widths)]

    reference = levels(0.0)
    held = 10**reference * widths
    strong = held > 0.05 * held.sum()
    spread = torch.stack([(levels(phase) - reference)[strong] for phase in (0.4, 1.1, math.pi / 2, 3.0)]).abs().max()
    louder = (levels(0.0, 1.08) - reference)[strong].abs().min()
    assert spread < louder


def test_a_noise_rolled_around_its_token_keeps_its_features():
    """By whole hops of the frames: the same frames but those across the seam, so mean and spread all but stay."""
    front_end = tokenizer(FAST).double().front_end
    noise = torch.randn(2, 3840, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    here, elsewhere = front_end(noise)
    rolled = front_end(noise[0].roll(5 * 128))
    assert (rolled - here).norm() < 0.35 * (elsewhere - here).norm()


def test_a_tone_shows_in_its_own_band():
    """Physics: the strongest band is the one that holds the tone's frequency."""
    powers = _BandPowers(128, 2.0).double()
    n_bands = powers.bands_FN.shape[1]
    for hz in (2.0, 6.5, 13.0, 25.0, 50.0):
        strongest = int(powers(sine(FAST, hz))[:n_bands].argmax())
        assert powers.bands_FN[round(hz * 2), strongest] > 0


@pytest.mark.parametrize("kind", TOKENIZERS.values())
def test_a_token_depends_on_its_own_samples_alone(kind):
    torch.manual_seed(0)
    made = kind(SLOW, 32, 0.0).eval()
    samples = torch.randn(2, 6, 120)
    changed = samples.clone()
    changed[1, 2] = torch.randn(120)
    before, after = (made(made.front_end(x)) for x in (samples, changed))
    moved = (before != after).any(dim=-1)
    assert moved.nonzero().tolist() == [[1, 2]]


def test_chunks_change_nothing(monkeypatch):
    """A token's features do not depend on how many are computed at a time (exactly: rows are independent)."""
    made = tokenizer(FAST).double()
    samples = torch.randn(3, 11, 3840, dtype=torch.float64)
    chunked = made.front_end(samples)
    monkeypatch.setattr("sleep2vec.model.tokenizers.CPU_CHUNK_SAMPLES", 10**9)
    torch.testing.assert_close(made.front_end(samples), chunked, rtol=1e-12, atol=1e-12)


def test_calibration_centres_and_scales_the_features_it_was_shown():
    made = tokenizer(SLOW).double()
    features = made.front_end(torch.randn(500, 120, dtype=torch.float64).cumsum(-1))
    made.calibrate(features)
    scaled = (features - made.centre_F) / made.spread_F
    torch.testing.assert_close(scaled.mean(dim=0), torch.zeros(scaled.shape[1], dtype=torch.float64), atol=1e-9, rtol=0)
    torch.testing.assert_close(scaled.std(dim=0), torch.ones(scaled.shape[1], dtype=torch.float64), atol=1e-9, rtol=0)


def test_the_front_end_is_never_computed_in_half_precision():
    made, samples = tokenizer(FAST), 20 * torch.randn(4, 3840)
    with torch.autocast("cpu", torch.bfloat16):
        under_autocast = made.front_end(samples)
    assert torch.equal(under_autocast, made.front_end(samples))


def wave(modality, seed):
    """Five waves with whole numbers of cycles, a burst, and noise, as no band of a recording is empty."""
    draw, n = torch.Generator().manual_seed(seed), modality.samples_per_token
    time = torch.arange(n, dtype=torch.float64) / n
    cycles = torch.exp(torch.rand(5, 1, generator=draw) * math.log(0.42 * n / 3) + math.log(3)).round()
    phase = 2 * math.pi * torch.rand(5, 1, generator=draw)
    samples = (torch.randn(5, 1, generator=draw) * (2 * math.pi * cycles * time + phase).sin()).sum(dim=0)
    burst = torch.exp(-0.5 * ((time - torch.rand(1, generator=draw)) / 0.03).square())
    return (samples * (1 + 3 * burst) + 0.1 * torch.randn(n, generator=draw)).float()


WAVES = {modality.name: torch.stack([wave(modality, seed) for seed in range(12)]) for modality in (FAST, SLOW)}


@torch.no_grad()
def unlike(kind, modality, shift, sign, learned, seed=0):
    """How far a shifted or turned copy of a wave lands from it, as a share of the distance between two waves.

    The mean over all waves; `learned` displaces every parameter as far as training might.
    """
    torch.manual_seed(seed)
    made, waves = kind(modality, 32, 0.0).eval(), WAVES[modality.name]
    if learned:
        for parameter in made.parameters():
            parameter += (0.3 * parameter.std() + 0.05) * torch.randn_like(parameter)
    made.calibrate(made.front_end(waves))
    here, there = (made(made.front_end(x)[None])[0] for x in (waves, sign * waves.roll(shift, dims=-1)))
    return (there - here).norm(dim=-1).mean() / torch.cdist(here, here)[~torch.eye(len(here), dtype=bool)].mean()


@given(
    modality=st.sampled_from([FAST, SLOW]),
    shift=st.integers(1, 3839),
    sign=st.sampled_from([-1.0, 1.0]),
    learned=st.booleans(),
)
@settings(max_examples=12, deadline=None)
def test_the_conv_tokenizer_does_not_see_where_a_wave_begins_nor_which_way_is_up(modality, shift, sign, learned):
    """Physics: it is the same oscillation. Allowed is a tenth of what sets two different ones apart."""
    assert unlike(ConvTokenizer, modality, shift % modality.samples_per_token, sign, learned) < 0.1


@pytest.mark.parametrize("modality", [FAST, SLOW])
@pytest.mark.parametrize(("shift", "sign"), [(11, 1.0), (60, 1.0), (0, -1.0)])
def test_the_mlp_tokenizer_sees_both(modality, shift, sign):
    """The yardstick of the test above does tell: this one is wrong by more than five times what it allows."""
    assert unlike(MLPTokenizer, modality, shift, sign, learned=False) > 0.5


def test_the_conv_tokenizer_reads_the_level_only_where_it_is_the_message():
    """Scaled by its own night, a signal's level is the amplifier's; of SpO2 and of intervals it is physiology."""
    for name in ("eeg", "resp", "spo2", "ibi"):
        torch.manual_seed(0)
        made = ConvTokenizer(MODALITIES[name], 32, 0.0).double().eval()
        samples = torch.randn(1, 3, MODALITIES[name].samples_per_token, dtype=torch.float64)
        moved = (made(samples + 1.0) - made(samples)).abs().max()
        assert (moved > 1e-3) if name in ("spo2", "ibi") else (moved < 1e-9)


def test_the_conv_tokenizer_learns_filters_for_a_rhythm_between_its_bands():
    """It is not only a bank: gradient descent on two close tones moves the filters towards telling them apart."""
    torch.manual_seed(0)
    made = ConvTokenizer(FAST, 32, 0.0)
    tones = torch.stack([sine(FAST, hz, phase) for hz in (27.0, 27.6) for phase in (0.0, 1.0, 2.0)]).float()
    tones = tones + 0.1 * torch.randn(tones.shape, generator=torch.Generator().manual_seed(0))

    def apart():
        power = made.bank(tones).mean(dim=-1).log10()
        return (power[:3].mean(dim=0) - power[3:].mean(dim=0)).abs().max()

    before = apart().detach()
    optimizer = torch.optim.Adam(made.bank.parameters(), lr=0.02, maximize=True)
    for _ in range(30):
        optimizer.zero_grad()
        apart().backward()
        optimizer.step()
    assert apart() > 2 * before


def test_calibration_of_the_conv_tokenizer_centres_and_scales_what_it_makes_of_the_training_nights():
    made = ConvTokenizer(SLOW, 32, 0.0).double()
    samples = torch.randn(600, 120, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).cumsum(-1)
    made.calibrate(samples)  # in three parts, the last of which is not full
    with torch.no_grad():
        scaled = (made._features(samples) - made.centre_F) / made.spread_F
    torch.testing.assert_close(scaled.mean(dim=0), torch.zeros(scaled.shape[1], dtype=torch.float64), atol=1e-9, rtol=0)
    torch.testing.assert_close(scaled.std(dim=0), torch.ones(scaled.shape[1], dtype=torch.float64), atol=1e-9, rtol=0)


@pytest.mark.parametrize("kind", TOKENIZERS.values())
def test_jitter_displaces_a_window_as_a_whole_and_only_in_training(kind):
    """What an electrode does to a night it does to every token: equal tokens of a window stay equal, windows part."""
    torch.manual_seed(0)
    made = kind(SLOW, 32, 0.0)
    made.jitter = 0.5
    features = made.front_end(WAVES["resp"][:1]).expand(3, 4, -1)
    jittered = made.train()(features)
    torch.testing.assert_close(jittered, jittered[:, :1].expand_as(jittered), rtol=0, atol=1e-5)
    assert (jittered[0, 0] - jittered[1, 0]).abs().max() > 0.05
    plain = made.eval()(features)
    torch.testing.assert_close(plain, plain[:1, :1].expand_as(plain), rtol=0, atol=1e-6)
