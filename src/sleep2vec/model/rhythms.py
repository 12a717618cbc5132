"""Slow rhythms around a token, which its own 30 s cannot show.

Breathing that stops and starts again makes the heart slow down and hurry every 20-80 s (Guilleminault et al. 1984); the
swings of minutes differ between NREM and REM sleep. So every token of heart-beat intervals, and of respiration, is told
what the signal does in windows of two and a half minutes to half an hour around it:

- spectra of the trace: how its power is shared among bands, and how much there is;
- the envelope of breathing in it (0.15-0.4 Hz): its level, the spectrum of its own slow swings, and how coherent those
  are with the swings of the trace;
- levels, smoothed over half a minute to half an hour; how steep, how lopsided and how peaked its slopes are.

Each stands there as it is and against its median over the readable tokens of what is seen at once: of a whole night,
where the model is given one. Nothing here is learned, so it may be judged by scipy.

A token that cannot be read is left out of every window, never read as a number: means, tapers and powers count valid
seconds only. What is hidden from the model is hidden from its rhythms too, because they are computed of what it is
shown: the windows of the tokens around a hidden one are shorter, and where less than `LEAST_SHARE` of a window is left,
the measure is unknown (NaN), which reads as the mean of the training nights. Beyond both ends nothing is valid.

References:
    Task Force of the ESC and NASPE (1996), Heart rate variability: standards of measurement. Circulation 93:1043.
    Guilleminault et al. (1984), Cyclical variation of the heart rate in sleep apnoea syndrome. Lancet 323:126.

Dimension letters: B windows that the model sees, L tokens, S samples of a token, T seconds, W samples of a stretch, K
frequencies, N bands, F features, D features of the encoder.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from sleep2vec.data.window import View
from sleep2vec.model.dropout import Dropout
from sleep2vec.model.filter_bank import full_precision
from sleep2vec.model.tokenizers import ResidualMLP
from sleep2vec.vocabulary.modalities import MODALITIES, TOKEN_SECONDS

WITH_RHYTHMS = ("ibi", "resp")
"""The modalities that have them."""
STRETCHES: tuple[tuple[int, int, tuple[float, ...]], ...] = (
    (5, 1, (0.014, 0.025, 0.04, 0.052, 0.07, 0.1, 0.15, 0.2, 0.27, 0.4)),
    (11, 1, (0.006, 0.0105, 0.015, 0.019, 0.025, 0.032, 0.04, 0.052, 0.07, 0.1, 0.15, 0.2, 0.27, 0.4)),
    (21, 1, (0.004, 0.007, 0.01, 0.014, 0.019, 0.025, 0.032, 0.04, 0.052, 0.07, 0.1, 0.15, 0.25, 0.4)),
    (61, 5, (0.001, 0.002, 0.004, 0.007, 0.01, 0.014, 0.019, 0.026, 0.036, 0.05, 0.07)),
)
"""Windows of the spectra: tokens (odd, so that one is in the middle), seconds of a step, edges of the bands in Hz."""
BREATHING_HZ, BREATHING_TAPS = (0.15, 0.4), 97
ENVELOPE_S = 11
"""The power of breathing is averaged over so many seconds."""
ENVELOPE_TOKENS = 11
ENVELOPE_EDGES_HZ = (0.008, 0.013, 0.018, 0.023, 0.029, 0.037, 0.05, 0.07)
CYCLIC_HZ = (0.012, 0.045)
"""Where apneas follow each other: between these the envelope is held against the trace."""
SMOOTH_TOKENS = (1, 2, 6, 20, 60)
"""Standard deviations of the bells that levels are smoothed with."""
SLOPE_STEP_S, SLOPE_TOKENS, STEEPEST = 5, (5, 11), 0.1
LEAST_SHARE = 0.25
"""Of a window's weight, that has to be valid."""
_FLOOR = 1e-7
_SHORTEST_S = 0.3
_LEAST_RANGE = 0.03
_LIMIT = 6.0

N_MEASURES = sum(len(edges_hz) for _, _, edges_hz in STRETCHES) + len(ENVELOPE_EDGES_HZ) + 3
N_MEASURES += 2 * len(SMOOTH_TOKENS) + 3 * len(SLOPE_TOKENS)
N_FEATURES = 2 * N_MEASURES + len(SMOOTH_TOKENS)


@torch.no_grad()
def rhythm_features(name: str, samples_LS: Tensor, valid_L: Tensor) -> Tensor:
    """What the slow rhythms around each token of one window are like: (L, F), NaN where that is unknown.

    Args:
        name: of `WITH_RHYTHMS`.
        samples_LS: scaled samples; those of invalid tokens are not read.
        valid_L: which tokens can be read.
    """
    if not bool(valid_L.any()):
        return samples_LS.new_full((len(valid_L), N_FEATURES), float("nan"), dtype=torch.float32)
    with full_precision(samples_LS):
        trace_LS = _trace(name, samples_LS.float())
        # Single precision has room for swings of a ten-thousandth of their size, not of the level they stand on.
        level = trace_LS[valid_L].mean()
        trace_LS = torch.where(valid_L[:, None], trace_LS - level, 0.0)
        measures_LF = torch.cat(
            [
                *(_shape(trace_LS, valid_L, *stretch) for stretch in STRETCHES),
                *_breathing(name, trace_LS, valid_L),
                *(_slopes(trace_LS, valid_L, n_tokens) for n_tokens in SLOPE_TOKENS),
            ],
            dim=1,
        )
        levels_LF = smoothed(trace_LS.mean(dim=1), valid_L.float())
        all_LF = torch.cat((measures_LF, levels_LF + level), dim=1).masked_fill(~valid_L[:, None], float("nan"))
        own_LF = all_LF - all_LF.nanmedian(dim=0).values
        steady_LF = own_LF[:, -len(SMOOTH_TOKENS) :] / _range_of(trace_LS.mean(dim=1)[valid_L])
        return torch.cat((all_LF, own_LF, steady_LF), dim=1)


def spectra(values_T: Tensor, valid_T: Tensor, per_token: int, n_tokens: int) -> Tensor:
    """Of the window around each token, the Fourier transform of the valid part: (L, K), complex, NaN where too little.

    Tapered by Hann's window, its mean removed; scaled so that the squares of all frequencies add up to the variance of
    what is valid: a periodogram (scipy's, one-sided) is its square over the width of a bin.

    Args:
        values_T: a signal in equal steps; 0 where it is not valid.
        valid_T: where it is.
        per_token: steps of a token.
        n_tokens: of a window, odd.
    """
    width, beyond = n_tokens * per_token, n_tokens // 2 * per_token
    taper_W = torch.hann_window(width, periodic=True, dtype=values_T.dtype, device=values_T.device)
    padded_2T = functional.pad(torch.stack((values_T, valid_T.to(values_T))), (beyond, beyond))
    values_LW, valid_LW = padded_2T.unfold(-1, width, per_token)
    sum_2L = windowed_sums(padded_2T, torch.ones_like(taper_W), per_token)
    energy_L = windowed_sums(padded_2T[1:], taper_W.square(), per_token)[0]
    away_LW = (values_LW - valid_LW * (sum_2L[0] / sum_2L[1].clamp(min=1))[:, None]) * taper_W
    told_LK = torch.fft.rfft(away_LW) * (2 / (width * energy_L.clamp(min=1e-9))).sqrt()[:, None]
    enough_L = energy_L >= LEAST_SHARE * taper_W.square().sum()
    return told_LK.masked_fill(~enough_L[:, None], complex(float("nan"), 0.0))


def windowed_sums(padded_CT: Tensor, weights_W: Tensor, step: int) -> Tensor:
    """(C, L) weighted sums of what already reaches half a window beyond both ends, one every `step`."""
    return functional.conv1d(padded_CT[:, None], weights_W[None, None], stride=step)[:, 0]


def bands_of(power_LK: Tensor, width_s: float, edges_hz: Sequence[float]) -> Tensor:
    """(L, N) power of each band, lower edges included."""
    hz_K = torch.arange(power_LK.shape[1], device=power_LK.device, dtype=torch.float64) / width_s
    return power_LK @ torch.stack([(hz_K >= low) & (hz_K < high) for low, high in pairwise(edges_hz)], 1).to(power_LK)


def shares_of(power_LN: Tensor) -> Tensor:
    """(L, N + 1): natural logarithms of each band's share of the power, and of all of it."""
    total_L1 = (power_LN.sum(dim=1, keepdim=True) + _FLOOR).log()
    return torch.cat(((power_LN + _FLOOR).log() - total_L1, total_L1), dim=1)


def envelope(trace_T: Tensor, valid_T: Tensor, rate_hz: int) -> tuple[Tensor, Tensor]:
    """Natural logarithm of the amplitude (rms) of breathing in a trace, second by second, and which seconds are known.

    Samples from which the filter reaches into what is not valid are left out of the mean of `ENVELOPE_S`, of which half
    must remain. Unknown seconds are 0.

    Args:
        trace_T: at `rate_hz`; 0 where it is not valid.
        valid_T: where it is.
    """
    half = BREATHING_TAPS // 2
    around_T = functional.pad(torch.stack((trace_T, (~valid_T).to(trace_T))), (half, half))
    passed_T = functional.conv1d(around_T[:1, None], breathing_filter(rate_hz).to(trace_T)[None, None])[0, 0]
    # Beyond the ends nothing is valid either.
    outside_T = functional.pad((~valid_T).to(trace_T), (half, half), value=1.0)
    sound_T = functional.max_pool1d(outside_T[None], BREATHING_TAPS, stride=1)[0] == 0
    power_and_sound_2T = torch.stack((torch.where(sound_T, passed_T.square(), 0.0), sound_T.to(trace_T)))
    each_2T = power_and_sound_2T.unflatten(1, (-1, rate_hz)).sum(dim=2)
    sums_2T = functional.conv1d(each_2T[:, None], trace_T.new_ones(1, 1, ENVELOPE_S), padding=ENVELOPE_S // 2)[:, 0]
    known_T = sums_2T[1] >= ENVELOPE_S * rate_hz / 2
    power_T = sums_2T[0] / sums_2T[1].clamp(min=1)
    return torch.where(known_T, 0.5 * (power_T + _FLOOR).log(), 0.0), known_T


def breathing_filter(rate_hz: int) -> Tensor:
    """(J,) taps of a finite band-pass: the ideal one's, under Hamming's window."""
    n_J = torch.arange(BREATHING_TAPS, dtype=torch.float64) - BREATHING_TAPS // 2
    low, high = (2 * hz / rate_hz for hz in BREATHING_HZ)
    ideal_J = high * torch.sinc(high * n_J) - low * torch.sinc(low * n_J)
    return ideal_J * torch.hamming_window(BREATHING_TAPS, periodic=False, dtype=torch.float64)


def smoothed(values_L: Tensor, weight_L: Tensor) -> Tensor:
    """(L, n) means of tokens under bells of `SMOOTH_TOKENS`, each token as heavy as it is valid; NaN where all are not.

    A bell is cut off at four standard deviations.
    """
    weighted_2L = torch.stack((values_L * weight_L, weight_L))[:, None]
    told = []
    for sigma in SMOOTH_TOKENS:
        place_J = torch.arange(-4 * sigma, 4 * sigma + 1, device=values_L.device).to(values_L)
        bell_J = (-0.5 * (place_J / sigma).square()).exp()
        sum_L, weight = functional.conv1d(weighted_2L, bell_J[None, None], padding=4 * sigma)[:, 0]
        told.append(torch.where(weight > 0, sum_L / weight, float("nan")))
    return torch.stack(told, dim=1)


def _trace(name: str, samples_LS: Tensor) -> Tensor:
    """What swings: of intervals their natural logarithm, so that a swing is a share of the interval."""
    if name != "ibi":
        return samples_LS
    table = MODALITIES[name]
    return (samples_LS * table.spread + table.centre).clamp(min=_SHORTEST_S).log()


def _stepped(trace_LS: Tensor, valid_L: Tensor, step_s: int) -> tuple[Tensor, Tensor]:
    """Means of steps of so many seconds, and which are valid, as one line each."""
    per_token = TOKEN_SECONDS // step_s
    values_T = trace_LS.unflatten(1, (per_token, -1)).mean(dim=2).flatten()
    return values_T, valid_L.repeat_interleave(per_token)


def _shape(trace_LS: Tensor, valid_L: Tensor, n_tokens: int, step_s: int, edges_hz: Sequence[float]) -> Tensor:
    """(L, N + 1) of the spectrum of the trace in windows of so many tokens."""
    told_LK = spectra(*_stepped(trace_LS, valid_L, step_s), TOKEN_SECONDS // step_s, n_tokens)
    return shares_of(bands_of(told_LK.abs().square(), n_tokens * TOKEN_SECONDS, edges_hz))


def _breathing(name: str, trace_LS: Tensor, valid_L: Tensor) -> list[Tensor]:
    """Of the envelope of breathing: its spectrum, its coherence with the trace, its levels."""
    rate_hz = MODALITIES[name].rate_hz
    envelope_T, known_T = envelope(trace_LS.flatten(), valid_L.repeat_interleave(trace_LS.shape[1]), rate_hz)
    trace_T, valid_T = _stepped(trace_LS, valid_L, 1)
    both_T = known_T & valid_T
    own_LK = spectra(torch.where(both_T, envelope_T, 0.0), both_T, TOKEN_SECONDS, ENVELOPE_TOKENS)
    trace_LK = spectra(torch.where(both_T, trace_T, 0.0), both_T, TOKEN_SECONDS, ENVELOPE_TOKENS)
    shape_LF = shares_of(bands_of(own_LK.abs().square(), ENVELOPE_TOKENS * TOKEN_SECONDS, ENVELOPE_EDGES_HZ))
    each_LS = both_T.unflatten(0, (-1, TOKEN_SECONDS))
    weight_L = each_LS.sum(dim=1).to(trace_T)
    mean_L = torch.where(each_LS, envelope_T.unflatten(0, (-1, TOKEN_SECONDS)), 0.0).sum(dim=1) / weight_L.clamp(min=1)
    return [shape_LF, coherence(trace_LK, own_LK), smoothed(mean_L, weight_L)]


def coherence(one_LK: Tensor, other_LK: Tensor) -> Tensor:
    """(L, 3): how large the coherence of two spectra of `ENVELOPE_TOKENS` is within `CYCLIC_HZ`, and its two parts.

    1 where all frequencies between keep the same phase to each other, 0 where either is silent.
    """
    hz_K = torch.arange(one_LK.shape[1], device=one_LK.device) / (ENVELOPE_TOKENS * TOKEN_SECONDS)
    inside_K = (hz_K >= CYCLIC_HZ[0]) & (hz_K < CYCLIC_HZ[1])
    one_LK, other_LK = one_LK[:, inside_K], other_LK[:, inside_K]
    crossed_L = (one_LK * other_LK.conj()).sum(dim=1)
    size_L = (one_LK.abs().square().sum(dim=1) * other_LK.abs().square().sum(dim=1)).sqrt()
    told_L = crossed_L / (size_L + _FLOOR)
    return torch.stack((told_L.abs(), told_L.real, told_L.imag), dim=1)


def _slopes(trace_LS: Tensor, valid_L: Tensor, n_tokens: int) -> Tensor:
    """(L, 3) of steps from one mean of 5 s to the next: logarithm of their size, skewness, logarithm of kurtosis."""
    values_T, valid_T = _stepped(trace_LS, valid_L, SLOPE_STEP_S)
    per_token = TOKEN_SECONDS // SLOPE_STEP_S
    steps_T = functional.pad(values_T.diff().clamp(-STEEPEST, STEEPEST), (1, 0))
    valid_T = valid_T & functional.pad(valid_T[:-1], (1, 0))
    powers_5T = torch.stack([valid_T.to(values_T), *(torch.where(valid_T, steps_T**n, 0.0) for n in (2, 3, 4))])
    beyond = n_tokens // 2 * per_token
    width = n_tokens * per_token
    count_L, *sums = windowed_sums(functional.pad(powers_5T, (beyond, beyond)), values_T.new_ones(width), per_token)
    square_L, cube_L, fourth_L = (sum_L / count_L.clamp(min=1) for sum_L in sums)
    square_L = square_L + _FLOOR
    told_L3 = torch.stack(
        (0.5 * square_L.log(), cube_L / square_L**1.5, (fourth_L / square_L.square() + 0.1).log()), dim=1
    )
    return told_L3.masked_fill((count_L < LEAST_SHARE * width)[:, None], float("nan"))


def _range_of(values_N: Tensor) -> Tensor:
    low, high = torch.quantile(values_N, values_N.new_tensor([0.15, 0.85]))
    return (high - low).clamp(min=_LEAST_RANGE)


class RhythmPath(nn.Module):
    """What the rhythms of each modality say beside its tokens; before fusion, so that a hidden one is silent."""

    def __init__(self, modalities: Sequence[str], width: int, dropout: float, jitter: float = 0.0) -> None:
        super().__init__()
        self.modalities, self.width = tuple(modalities), width
        names = [name for name in self.modalities if name in WITH_RHYTHMS]
        self.readers = nn.ModuleDict({name: RhythmReader(width, dropout, jitter) for name in names})

    @property
    def names(self) -> tuple[str, ...]:
        """The modalities of which it reads the samples."""
        return tuple(self.readers)

    def reader(self, name: str) -> "RhythmReader":
        """The reader of a modality."""
        return cast(RhythmReader, self.readers[name])

    def forward(self, views: Mapping[str, View], like_BMLD: Tensor) -> Tensor:
        """What is said of samples, (B, M, L, D) like another; 0 where a modality is not valid or has no rhythms."""
        told_BMLD = torch.zeros_like(like_BMLD)
        for name in self.names:
            if name in views and bool(views[name].valid_BL.any()):
                told_BMLD[:, self.modalities.index(name)] = self.reader(name)(name, views[name]).to(told_BMLD.dtype)
        return told_BMLD


class RhythmReader(nn.Module):
    """One modality's rhythms: a view of samples -> (B, L, D)."""

    centre_F: Tensor
    spread_F: Tensor

    def __init__(self, width: int, dropout: float, jitter: float) -> None:
        super().__init__()
        self.jitter = jitter
        self.register_buffer("centre_F", torch.zeros(N_FEATURES))
        self.register_buffer("spread_F", torch.ones(N_FEATURES))
        self.dropout = Dropout(dropout / 2)
        self.mlp = ResidualMLP(N_FEATURES, width, dropout)

    @torch.no_grad()
    def calibrate(self, features_NF: Tensor) -> None:
        """Take centre and spread from tokens of the training nights; NaN where unknown."""
        known_NF = features_NF.isfinite()
        n_F = known_NF.sum(dim=0).clamp(min=1)
        centre_F = torch.where(known_NF, features_NF, 0.0).sum(dim=0) / n_F
        variance_F = torch.where(known_NF, (features_NF - centre_F).square(), 0.0).sum(dim=0) / n_F
        self.centre_F.copy_(centre_F)
        self.spread_F.copy_(variance_F.sqrt().clamp(min=1e-3))

    def forward(self, name: str, view: View) -> Tensor:
        features_BLF = rhythms_of(name, view)
        standard_BLF = ((features_BLF - self.centre_F) / self.spread_F).clamp(-_LIMIT, _LIMIT)
        if self.training and self.jitter > 0:
            standard_BLF = standard_BLF + self.jitter * torch.randn_like(standard_BLF[:, :1])
        standard_BLF = torch.where(features_BLF.isfinite(), standard_BLF, 0.0)
        told_BLD: Tensor = self.mlp(self.dropout(standard_BLF))
        return torch.where(view.valid_BL[..., None], told_BLD, 0.0)


def rhythms_of(name: str, view: View) -> Tensor:
    """(B, L, F) of a view of samples; NaN where unknown.

    Raises:
        ValueError: the view holds features of a tokenizer, of which no rhythm can be read.
    """
    if view.are_features:
        raise ValueError(
            f"the rhythms of {name} are read from its samples, and these are features of tokens; give the model the "
            "views of a second reader as `seconds` (see NightReader)."
        )
    # One window at a time: a frame of half an hour around every token of a batch would fill no cache.
    return torch.stack([rhythm_features(name, *night) for night in zip(view.values_BLS, view.valid_BL, strict=True)])
