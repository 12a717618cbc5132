"""From the samples of a token to its features, one tokenizer a modality.

A token depends on its own 30 s only; context is the backbone's work. Each tokenizer has a `front_end`, in which
nothing is learned, so that it may be computed once and kept, and a `forward` of what that gives.

Dimension letters: B windows, L tokens, S samples of a token, W frames of a token, F frequencies, N bands, D features.
"""

import math
from collections.abc import Callable
from itertools import pairwise
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor, nn

from sleep2vec.model.filter_bank import FilterBank, Register, full_precision
from sleep2vec.vocabulary.modalities import Modality

TokenizerName = Literal["spectral", "conv", "mlp"]


CPU_CHUNK_SAMPLES = 16_000
"""On a CPU the front end reads so many samples at a time: what it makes of them stays in the cache, and is too little
for torch to split among threads, which costs more than it gains in operations this small: 600 tokens took 0.13 s four
at a time and 0.22 s at once; on busy cores, where threads wait for one another, 16 at a time took 3.9 s."""


class ResidualMLP(nn.Module):
    """Linear n -> 2D, SiLU, linear 2D -> D, beside a linear skip; then LayerNorm."""

    def __init__(self, n_in: int, width: int, dropout: float) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(n_in, 2 * width), nn.SiLU(), nn.Dropout(dropout), nn.Linear(2 * width, width)
        )
        self.skip = nn.Linear(n_in, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, values: Tensor) -> Tensor:
        return self.norm(self.body(values) + self.skip(values))


class Tokenizer(nn.Module):
    """What every tokenizer can do; this one has no front end."""

    jitter: float = 0.0
    """In training, how far the sensor's character is displaced at random, window by window: see `ModelConfig`."""

    def front_end(self, samples: Tensor) -> Tensor:
        """What is computed before anything learned: (..., S) scaled samples -> (..., F)."""
        return samples

    def calibrate(self, features_NF: Tensor) -> None:
        """Take what has to be known of the features before learning from valid tokens of the training nights."""


class MLPTokenizer(Tokenizer):
    """The paper's tokenizer: a residual MLP on the raw samples. It has to learn every phase of every wave.

    Shape:
        (B, L, S) scaled samples -> (B, L, D)
    """

    def __init__(self, modality: Modality, width: int, dropout: float) -> None:
        super().__init__()
        self.mlp = ResidualMLP(modality.samples_per_token, width, dropout)

    def forward(self, samples_BLS: Tensor) -> Tensor:
        if self.training and self.jitter > 0:
            samples_BLS = samples_BLS * (self.jitter * torch.randn_like(samples_BLS[:, :1, :1])).exp()
        return self.mlp(samples_BLS)


class SpectralTokenizer(Tokenizer):
    """Log power in bands, its variation within the token, and the level; then a residual MLP.

    Sleep is scored by what oscillates and how strongly, not by the phase at the start of an epoch: a wave and its
    shifted copy get the same features, so a few dozen nights teach what the paper's tokenizer needs thousands for.
    Signals above 30 Hz are read in frames of 2 s (a spindle lasts 0.5-2 s); the slow ones in frames of 30 s, which
    tell the bands of heart-rate variability apart, and of 10 s, in which an apnea stands out.

    Shape:
        (B, L, S) scaled samples -> (B, L, D)
    """

    centre_F: Tensor
    spread_F: Tensor

    def __init__(self, modality: Modality, width: int, dropout: float) -> None:
        super().__init__()
        frames_s = (2.0,) if modality.rate_hz > 30 else (30.0, 10.0)
        spectra = [_BandPowers(modality.rate_hz, seconds) for seconds in frames_s]
        n_features = sum(spectrum.n_features(modality.samples_per_token) for spectrum in spectra)
        self.spectra = nn.ModuleList(spectra)
        n_features += _Level.N_FEATURES
        self.level = _Level()
        # Log powers differ far more between bands than between tokens: without these constants every token looks alike.
        self.register_buffer("centre_F", torch.zeros(n_features))
        self.register_buffer("spread_F", torch.ones(n_features))
        self.mlp = ResidualMLP(n_features, width, dropout)

    @torch.no_grad()
    def front_end(self, samples: Tensor) -> Tensor:
        """Log powers and level: (..., S) -> (..., F)."""
        tokens_NS = samples.reshape(-1, samples.shape[-1])
        chunk = CPU_CHUNK_SAMPLES // samples.shape[-1] if samples.device.type == "cpu" else len(tokens_NS)
        # Power of 16-bit floats over- and underflows, and no FFT takes them.
        with full_precision(samples):
            parts = [self._features(part_NS) for part_NS in tokens_NS.split(max(1, chunk))]
        return torch.cat(parts).reshape(*samples.shape[:-1], -1)

    def _features(self, samples_NS: Tensor) -> Tensor:
        return torch.cat([*(spectrum(samples_NS) for spectrum in self.spectra), self.level(samples_NS)], dim=-1)

    def calibrate(self, features_NF: Tensor) -> None:
        """Take centre and spread of each feature from valid tokens of the training nights."""
        self.centre_F.copy_(features_NF.mean(dim=0))
        self.spread_F.copy_(features_NF.std(dim=0).clamp(min=1e-3))

    def forward(self, features_BLF: Tensor) -> Tensor:
        features_BLF = (features_BLF - self.centre_F) / self.spread_F
        if self.training and self.jitter > 0:
            features_BLF = features_BLF + self.jitter * torch.randn_like(features_BLF[:, :1])
        return self.mlp(features_BLF)


FAST_REGISTERS = (
    Register(2.0, 1 / 4, 0.5, 4.0, 8),
    Register(1.0, 1 / 8, 4.5, 20.0, 12),
    Register(0.25, 1 / 16, 23.0, 53.0, 8),
)
SLOW_REGISTERS = (Register(30.0, 1.0, 0.04, 0.25, 8), Register(8.0, 0.5, 0.3, 1.65, 8))
"""From the slow waves of deep sleep to muscle; and from heart-rate variability to snoring breaths."""


class ConvTokenizer(Tokenizer):
    """Learned filters, the power behind them, what that does within the token; then a residual MLP.

    The filters begin as a bank of Gabor's, so that the tokenizer is a spectral one before it has learned anything, and
    may then become what the labels or the other sensors ask for. A second layer of filters reads the log powers of all
    bands over some frames (a spindle on a slow wave), and everything is averaged over the token. A waveform that is
    moved around its token, or turned upside down, as electrodes may be, has the same features: see `FilterBank`. Only
    where the level is the message (SpO2, heart-beat intervals) is it read too, and there up is up.

    Shape:
        (B, L, S) scaled samples -> (B, L, D)
    """

    centre_K: Tensor
    spread_K: Tensor
    centre_F: Tensor
    spread_F: Tensor

    N_PATTERNS = 32
    PATTERN_FRAMES = 5
    CALIBRATION_CHUNK = 256

    def __init__(self, modality: Modality, width: int, dropout: float) -> None:
        super().__init__()
        frame_s, registers = (0.5, FAST_REGISTERS) if modality.rate_hz > 30 else (1.0, SLOW_REGISTERS)
        self.bank = FilterBank(modality.rate_hz, frame_s, registers)
        self.patterns = nn.Conv1d(
            self.bank.n_filters,
            self.N_PATTERNS,
            self.PATTERN_FRAMES,
            padding=self.PATTERN_FRAMES // 2,
            padding_mode="circular",
        )
        self.level = None if modality.night_scaled else _Level()
        n_features = 2 * self.bank.n_filters + self.N_PATTERNS + (_Level.N_FEATURES if self.level else 0)
        for letter, n in (("K", self.bank.n_filters), ("F", n_features)):
            self.register_buffer(f"centre_{letter}", torch.zeros(n))
            self.register_buffer(f"spread_{letter}", torch.ones(n))
        self.mlp = ResidualMLP(n_features, width, dropout)

    @torch.no_grad()
    def calibrate(self, features_NF: Tensor) -> None:
        """Take centre and spread, of the log powers and of what is made of them, from valid tokens (N, S)."""
        parts = features_NF.split(self.CALIBRATION_CHUNK)
        logs_KW = torch.cat([self._logs(self.bank(part_NS)) for part_NS in parts]).transpose(0, 1).flatten(1)
        self.centre_K.copy_(logs_KW.mean(dim=1))
        self.spread_K.copy_(logs_KW.std(dim=1).clamp(min=1e-3))
        made_NF = torch.cat([self._features(part_NS) for part_NS in parts])
        self.centre_F.copy_(made_NF.mean(dim=0))
        self.spread_F.copy_(made_NF.std(dim=0).clamp(min=1e-3))

    def forward(self, samples_BLS: Tensor) -> Tensor:
        features_BLF = self._features(samples_BLS.flatten(0, 1)).unflatten(0, samples_BLS.shape[:2])
        features_BLF = (features_BLF - self.centre_F) / self.spread_F
        if self.training and self.jitter > 0:
            features_BLF = features_BLF + self.jitter * torch.randn_like(features_BLF[:, :1])
        return self.mlp(features_BLF)

    def _features(self, samples_NS: Tensor) -> Tensor:
        """(N, F): of each band its power and how much that varies, how much of each pattern, perhaps the level."""
        power_NKW = self.bank(samples_NS)
        logs_NKW = self._logs(power_NKW)
        steady_NK = logs_NKW.mean(dim=-1)
        # 0 where the amplitude is always the same. Unlike the spread of logarithms, which a moment without the wave
        # throws far down, it all but ignores where the frames lie.
        amplitude_NK = (power_NKW + _BandPowers.FLOOR).sqrt().mean(dim=-1)
        bursts_NK = self._logs(power_NKW.mean(dim=-1)) - 2 * amplitude_NK.log10()
        patterns_NKW = nn.functional.gelu(self.patterns((logs_NKW - self.centre_K[:, None]) / self.spread_K[:, None]))
        features = [steady_NK, bursts_NK, patterns_NKW.mean(dim=-1)]
        return torch.cat(features if self.level is None else [*features, self.level(samples_NS)], dim=-1)

    @staticmethod
    def _logs(power: Tensor) -> Tensor:
        return (power + _BandPowers.FLOOR).log10()


class _BandPowers(nn.Module):
    """Mean and standard deviation over half-overlapping Hann frames of the log power in bands."""

    window_S: Tensor
    bands_FN: Tensor

    FLOOR = 1e-4  # in squared scaled units: below the noise of any amplifier
    MAX_BANDS = 40

    def __init__(self, rate_hz: int, frame_s: float) -> None:
        super().__init__()
        self.frame = round(rate_hz * frame_s)
        window_S = torch.hann_window(self.frame, periodic=True, dtype=torch.float64)
        self.register_buffer("window_S", window_S / window_S.square().sum().sqrt(), persistent=False)
        self.register_buffer("bands_FN", _filter_bank(self.frame, rate_hz, self.MAX_BANDS), persistent=False)

    def n_features(self, samples_per_token: int) -> int:
        n_frames = 1 + (samples_per_token - self.frame) // (self.frame // 2)
        return self.bands_FN.shape[1] * (2 if n_frames > 1 else 1)

    def forward(self, samples: Tensor) -> Tensor:
        frames_WS = samples.unfold(-1, self.frame, self.frame // 2)
        frames_WS = frames_WS - frames_WS.mean(dim=-1, keepdim=True)
        power_WF = torch.fft.rfft(frames_WS * self.window_S.to(samples)).abs().square()
        log_WN = (power_WF @ self.bands_FN.to(samples) + self.FLOOR).log10()
        mean_N = log_WN.mean(dim=-2)
        if log_WN.shape[-2] == 1:
            return mean_N
        return torch.cat((mean_N, log_WN.std(dim=-2, correction=0)), dim=-1)


class _Level(nn.Module):
    """What is left of a token without its oscillations: mean, range, spread, steepness."""

    N_FEATURES = 5

    def forward(self, samples: Tensor) -> Tensor:
        steps = samples.diff(dim=-1)
        return torch.stack(
            (
                samples.mean(dim=-1),
                samples.amin(dim=-1),
                samples.amax(dim=-1),
                (samples.var(dim=-1, correction=0) + _BandPowers.FLOOR).log10(),
                (steps.square().mean(dim=-1) + _BandPowers.FLOOR).log10(),
            ),
            dim=-1,
        )


def _filter_bank(frame: int, rate_hz: int, max_bands: int) -> Tensor:
    """(F, N) weights that average power into at most `max_bands` bands, each one bin wide or a constant ratio wide."""
    n_bins = frame // 2 + 1
    edges = [1]  # bin 0 is the mean, which `_Level` tells
    ratio = 1.0
    while len(edges) == 1 or len(edges) - 1 > max_bands:
        ratio += 0.01
        edges = [1]
        while edges[-1] < n_bins:
            edges.append(min(n_bins, max(edges[-1] + 1, math.floor(edges[-1] * ratio))))
    bank_FN = torch.zeros(n_bins, len(edges) - 1, dtype=torch.float64)
    for band, (low, high) in enumerate(pairwise(edges)):
        bank_FN[low:high, band] = 1.0 / (high - low)
    return bank_FN


TOKENIZERS: MappingProxyType[TokenizerName, Callable[[Modality, int, float], Tokenizer]] = MappingProxyType(
    {"spectral": SpectralTokenizer, "conv": ConvTokenizer, "mlp": MLPTokenizer}
)
