"""The filter bank against the theory of linear filters and the physics of waves."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sleep2vec.model.filter_bank import FilterBank, _hilbert
from sleep2vec.model.tokenizers import FAST_REGISTERS, SLOW_REGISTERS

KINDS = {"fast": (128, 0.5, FAST_REGISTERS), "slow": (4, 1.0, SLOW_REGISTERS)}


def bank(kind, spoilt=False):
    """In float64; `spoilt`: with filters as they may be after training."""
    torch.manual_seed(0)
    made = FilterBank(*KINDS[kind]).double()
    if spoilt:
        for parameter in made.parameters():
            parameter.data += 0.5 * torch.randn_like(parameter)
    return made


def filters(made):
    return [register() for register in made.registers]


def noise(n, kind, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(n, KINDS[kind][0] * 30, generator=draw, dtype=torch.float64)


def response(pair_2J, hz, rate):
    """H(f) of the complex filter a + ib: its definition as a sum."""
    time_J = np.arange(pair_2J.shape[1])
    a_J, b_J = pair_2J.detach().numpy()
    return ((a_J + 1j * b_J) * np.exp(-2j * np.pi * hz / rate * time_J)).sum()


@pytest.mark.parametrize("n", [32, 120, 256])
def test_the_hilbert_matrix_turns_every_cosine_into_its_sine(n):
    cycles_place = torch.arange(1, n // 2, dtype=torch.float64)[:, None] * torch.arange(n)
    angle = 2 * math.pi * cycles_place / n + 0.7
    torch.testing.assert_close(angle.cos() @ _hilbert(n), angle.sin(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_the_bank_is_what_loops_over_samples_give(kind):
    """Restated: around the ring, one filter and one moment at a time; then means over two steps of frames."""
    rate, frame_s, registers = KINDS[kind]
    made, (x,) = bank(kind, spoilt=True), noise(1, kind).numpy()
    x, n = x - x.mean(), len(x)
    result, row = made(noise(1, kind))[0].detach().numpy(), 0
    for register, pair_2KJ in zip(registers, filters(made), strict=True):
        step, J = round(register.step_s * rate), pair_2KJ.shape[2]
        for k in range(register.n_filters):
            a, b = pair_2KJ[:, k].detach().numpy()
            assert (a @ a) + (b @ b) == pytest.approx(1, rel=1e-12)
            ring = [x[(start + np.arange(J)) % n] for start in range(0, n, step)]
            powers = np.array([(part @ a) ** 2 + (part @ b) ** 2 for part in ring])
            frames = powers.reshape(-1, round(frame_s * rate) // step).mean(axis=1)
            np.testing.assert_allclose(result[row], (frames + np.roll(frames, 1)) / 2, rtol=1e-9)
            row += 1
    assert row == len(result)


@pytest.mark.parametrize("kind", KINDS)
def test_white_noise_of_variance_one_has_power_one_in_every_band(kind):
    """A filter of energy 1 lets the variance of white noise through, wherever its band lies, but for the mean of the
    token, which is taken away: of S samples it holds |H(0)|^2 / S."""
    rate, n = KINDS[kind][0], {"fast": 200, "slow": 3000}[kind]
    made = FilterBank(*KINDS[kind])
    kept = [
        1 - abs(response(pair_2J, 0, rate)) ** 2 / (30 * rate) for pair in filters(made) for pair_2J in pair.unbind(1)
    ]
    with torch.no_grad():
        power = made(noise(n, kind).float()).mean(dim=(0, 2)).numpy()
    np.testing.assert_allclose(power, kept, rtol=0.06)


@pytest.mark.parametrize("kind", KINDS)
def test_the_filters_begin_in_order_and_leave_no_gap_between_them(kind):
    """Between the lowest and the highest centre every frequency passes one filter with at least 0.45 of its best."""
    rate, _, registers = KINDS[kind]
    for register, pair_2KJ in zip(registers, filters(bank(kind)), strict=True):
        hz = np.geomspace(register.low_hz, register.high_hz, 16 * (register.n_filters - 1) + 1)
        passed = np.array([[abs(response(pair_2J, f, rate)) ** 2 for f in hz] for pair_2J in pair_2KJ.unbind(1)])
        best = hz[passed.argmax(axis=1)]
        # The first filter lies so low that what it would let through below zero is cut away, which moves its top.
        np.testing.assert_allclose(best, register.low_hz * register.ratio ** np.arange(register.n_filters), rtol=0.13)
        assert ((passed / passed.max(axis=1, keepdims=True)).max(axis=0) >= 0.45).all()
    for lower, upper in pairwise(registers):
        assert 1.0 < upper.low_hz / lower.high_hz < 1.3


@given(
    kind=st.sampled_from(sorted(KINDS)),
    filter_place=st.floats(0, 1),
    detune=st.floats(0.95, 1.05),
    phase=st.floats(0, 2 * math.pi),
    amplitude=st.floats(0.1, 10),
)
@settings(max_examples=25, deadline=None)
def test_the_power_of_a_wave_is_steady_and_that_of_theory(kind, filter_place, detune, phase, amplitude):
    """A cosine A cos through a + ib has power A^2/4 |H(f)|^2 at every moment, whatever its phase. 3 % are left to
    what a filter of finite length lets through below zero frequency; the two slowest filters of a register, whose
    bells reach below zero, are left out."""
    rate, _, registers = KINDS[kind]
    made, row = bank(kind), 0
    time_s = torch.arange(30 * rate, dtype=torch.float64) / rate
    for register, pair_2KJ in zip(registers, filters(made), strict=True):
        k = 2 + round(filter_place * (register.n_filters - 3))
        # A whole number of cycles in the token, so that the ring has no seam.
        hz = max(1, round(30 * register.low_hz * register.ratio**k * detune)) / 30
        power = made(amplitude * (2 * math.pi * hz * time_s + phase).cos()[None])[0, row + k].detach().numpy()
        theory = amplitude**2 / 4 * abs(response(pair_2KJ[:, k], hz, rate)) ** 2
        np.testing.assert_allclose(power, theory, rtol=0.03)
        row += register.n_filters


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("spoilt", [False, True])
def test_moving_noise_around_the_ring_by_frames_moves_the_frames(kind, spoilt):
    """Exactly, whatever the filters have become; and upside down it has the same power."""
    rate, frame_s, _ = KINDS[kind]
    made, x = bank(kind, spoilt), noise(2, kind)
    moved = made(-x.roll(7 * round(frame_s * rate), dims=-1))
    torch.testing.assert_close(moved, made(x).roll(7, dims=-1), rtol=1e-10, atol=1e-12)


def test_learning_keeps_a_filter_and_its_quadrature_a_quarter_turn_apart():
    """The law has to hold for what is learned, not only for what the bank begins with."""
    made = bank("fast", spoilt=True)
    for pair_2KJ in filters(made):
        a, b = np.fft.rfft(pair_2KJ.detach().numpy(), axis=-1)
        inner = slice(1, a.shape[-1] - 1)  # at 0 and Nyquist a quarter turn means nothing
        np.testing.assert_allclose(b[:, inner], -1j * a[:, inner], atol=1e-12)


def test_the_power_of_a_slow_large_wave_does_not_leak_into_fast_bands_under_autocast():
    made = FilterBank(*KINDS["fast"])
    time_s = torch.arange(3840) / 128
    slow = 20 * torch.sin(2 * math.pi * time_s)[None]
    exact = made(slow)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(made(slow), exact)
