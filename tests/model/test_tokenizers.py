"""Tokenizers against the physics of waves."""

import math

import pytest
import torch

from sleep2vec.model.tokenizers import MLPTokenizer, SpectralTokenizer, _BandPowers, _filter_bank
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


@pytest.mark.parametrize("kind", [SpectralTokenizer, MLPTokenizer])
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
