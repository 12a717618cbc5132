"""Learned filters of which only the power of what they let through is read, so that no phase is.

Dimension letters: N tokens, S samples of a token, K filters, J taps of a filter, W frames of a token.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Register:
    """Filters of one length, which is long enough for the slowest of them.

    Attributes:
        length_s: of a filter.
        step_s: between the moments at which power is read. The power of a filter varies no faster than the filter is
            wide; read too rarely it would tell where in its token a wave lies.
        low_hz, high_hz: where the centres of the filters begin and end; between them they are a constant ratio apart.
        n_filters: how many.
    """

    length_s: float
    step_s: float
    low_hz: float
    high_hz: float
    n_filters: int

    @property
    def ratio(self) -> float:
        """Of neighbouring centres."""
        return (self.high_hz / self.low_hz) ** (1 / (self.n_filters - 1))


def full_precision(samples: Tensor) -> torch.autocast:
    """No autocast to 16 bits, wherever `samples` lie; the meta device, which has none, takes the CPU's."""
    return torch.autocast("cpu" if samples.is_meta else samples.device.type, enabled=False)


class _Filters(nn.Module):
    """The filters of a register: a bell in time that carries three waves, an inverse length apart in frequency.

    They begin as Gabor's, whose middle wave is alone. Learned are its frequency, within a quarter of an octave, and the
    parts of all three, so that a filter may move, widen, narrow or gain a second top, but never becomes so wide that
    its power would vary faster than it is read.
    """

    hz_KV: Tensor
    bells_KJ: Tensor
    time_s_J: Tensor
    quarter_turn_JJ: Tensor

    WAVES = 3
    MOST_OCTAVES = 0.25

    def __init__(self, register: Register, rate_hz: int) -> None:
        super().__init__()
        self.step = round(register.step_s * rate_hz)
        n_taps = round(register.length_s * rate_hz)
        centre_hz_K = register.low_hz * register.ratio ** torch.arange(register.n_filters, dtype=torch.float64)
        # Neighbours meet at half their power: exp(-(f / w)^2) is a half at 0.83 w. But a bell whose ends are cut off
        # before 2.5 sigma would ring.
        widths_hz_K = (centre_hz_K * (register.ratio - 1) / 2 / 0.83).clamp(min=5 / (2 * math.pi * register.length_s))
        time_s_J = (torch.arange(n_taps, dtype=torch.float64) - (n_taps - 1) / 2) / rate_hz
        bells_KJ = (-0.5 * (2 * math.pi * widths_hz_K[:, None] * time_s_J).square()).exp()
        apart_hz_V = (torch.arange(self.WAVES) - self.WAVES // 2) / register.length_s
        for name, fixed in (
            ("bells_KJ", bells_KJ),
            ("time_s_J", time_s_J),
            ("hz_KV", centre_hz_K[:, None] + apart_hz_V),
            ("quarter_turn_JJ", _hilbert(n_taps)),
        ):
            self.register_buffer(name, fixed.float(), persistent=False)
        self.octaves_K = nn.Parameter(torch.zeros(register.n_filters))
        # Cosine and sine of each wave.
        parts_2KV = torch.zeros(2, register.n_filters, self.WAVES)
        parts_2KV[0, :, self.WAVES // 2] = 1.0
        self.parts_2KV = nn.Parameter(parts_2KV)

    def forward(self) -> Tensor:
        """The filters and their quadratures, (2, K, J), each pair of energy 1."""
        octaves_K = self.MOST_OCTAVES * (self.octaves_K / self.MOST_OCTAVES).tanh()
        angle_KVJ = 2 * math.pi * (self.hz_KV * 2 ** octaves_K[:, None])[..., None] * self.time_s_J
        cosines_KJ = torch.einsum("kv,kvj->kj", self.parts_2KV[0], angle_KVJ.cos())
        sines_KJ = torch.einsum("kv,kvj->kj", self.parts_2KV[1], angle_KVJ.sin())
        taps_KJ = self.bells_KJ * (cosines_KJ + sines_KJ)
        pair_2KJ = torch.stack((taps_KJ, taps_KJ @ self.quarter_turn_JJ))
        return pair_2KJ / pair_2KJ.square().sum(dim=(0, 2), keepdim=True).sqrt()


class FilterBank(nn.Module):
    """Power of a token behind learned filters, over time.

    Each filter is paired with its Hilbert transform, which turns every wave by a quarter of its cycle: the squares of
    both add up to the power of the wave at that moment, whatever its phase (Gabor 1946, Theory of communication). The
    token is taken as a ring, so a waveform that is moved around it meets the same filters everywhere. On the seam a
    slow wave may jump; that is two frames of the 60 of a fast signal.

    Shape:
        (N, S) scaled samples -> (N, K, W), filters in the order of the registers; white noise of variance 1 has
        power 1. A frame is two `frame_s` long, they follow each other by one.
    """

    def __init__(self, rate_hz: int, frame_s: float, registers: Sequence[Register]) -> None:
        super().__init__()
        self.frame = round(frame_s * rate_hz)
        self.registers = nn.ModuleList(_Filters(register, rate_hz) for register in registers)
        self.n_filters = sum(register.n_filters for register in registers)

    def forward(self, samples_NS: Tensor) -> Tensor:
        # 16-bit floats would put the rounding of a slow wave into every fast band.
        with full_precision(samples_NS):
            samples_NS = samples_NS - samples_NS.mean(dim=-1, keepdim=True)
            registers = [cast(_Filters, register) for register in self.registers]
            power_NKW = torch.cat(
                [_power(samples_NS, made(), made.step, self.frame // made.step) for made in registers], 1
            )
            # Frames overlap by half: where one ends within a burst, the next is in its middle.
            return (power_NKW + power_NKW.roll(1, dims=-1)) / 2


def _power(samples_NS: Tensor, pair_2KJ: Tensor, step: int, pooled: int) -> Tensor:
    """(N, K, W) power behind each pair of filters every `step` samples, averaged over `pooled` of those."""
    n_taps = pair_2KJ.shape[-1]
    ring_NS = F.pad(samples_NS[:, None], (0, n_taps - step), mode="circular")
    passed_NKW = F.conv1d(ring_NS, pair_2KJ.flatten(0, 1)[:, None], stride=step)
    power_NKW = passed_NKW.square().unflatten(1, (2, -1)).sum(dim=1)
    return F.avg_pool1d(power_NKW, pooled) if pooled > 1 else power_NKW


def _hilbert(n: int) -> Tensor:
    """(n, n) matrix whose product with n samples turns each of their frequencies by a quarter; n is even.

    References:
        Oppenheim & Schafer, Discrete-time signal processing, the periodic Hilbert transform: 2/n cot(pi k/n), k odd.
    """
    apart_JJ = torch.arange(n)[None, :] - torch.arange(n)[:, None]
    angle_JJ = math.pi * torch.where(apart_JJ % 2 == 1, apart_JJ, 1).double() / n
    return torch.where(apart_JJ % 2 == 1, 2 / n / angle_JJ.tan(), 0.0)
