"""What happens within a token, second by second: an apnea of 12 s is no matter of 30 s.

Beside the embeddings of tokens the heads of events read this path: of slow signals (4 Hz) the samples themselves, of
fast ones the power in a few bands of each second; the modalities are fused as tokens are, and dilated convolutions
look at the minute and a half around.

Dimension letters: B windows, M modalities, L tokens, S = 30 L seconds, F features of a second, E width of the path.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import TypeVar, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sleep2vec.data.window import View
from sleep2vec.model.dilated_block import DilatedBlock
from sleep2vec.model.filter_bank import full_precision
from sleep2vec.model.fusion import GatedFusion, Told
from sleep2vec.vocabulary.modalities import MODALITIES, TOKEN_SECONDS

WIDTH = 48
_KERNEL, _DILATIONS = 5, (1, 3, 9, 27)
_FIRST_KERNEL = 7
_BANDS_HZ = (1, 4, 8, 12, 16, 24, 32, 48)
_FLOOR = 1e-4
_TOLD_AT_ONCE = 4096  # seconds
_Result = TypeVar("_Result")


def n_features(modality: str) -> int:
    """F of a modality."""
    rate_hz = MODALITIES[modality].rate_hz
    return rate_hz if rate_hz <= 8 else len(_BANDS_HZ)


@torch.no_grad()
def second_features(modality: str, samples: Tensor) -> Tensor:
    """(..., samples of a token) -> (..., 30 F); slow signals stay as they are.

    Of fast ones: log power of each second (Hann window) in seven bands from 1 to 48 Hz, and of all of it.
    """
    if MODALITIES[modality].rate_hz <= 8:
        return samples
    with full_precision(samples):
        seconds = samples.float().unflatten(-1, (TOKEN_SECONDS, -1))
        away = seconds - seconds.mean(dim=-1, keepdim=True)
        window = torch.hann_window(away.shape[-1], periodic=True, device=away.device)
        power = torch.fft.rfft(away * (window / window.square().sum().sqrt())).abs().square()
        bands = [power[..., low:high].mean(dim=-1) for low, high in pairwise(_BANDS_HZ)]
        told = torch.stack([*bands, away.square().mean(dim=-1)], dim=-1)
        return (told + _FLOOR).log10().flatten(-2)


class SecondPath(nn.Module):
    """Features of seconds, from the modalities' own and from what the tokens around them said.

    Attributes:
        checkpointing: As the transformer's: compute readers and blocks again on the way back. Half a gigabyte a night.
    """

    checkpointing: bool = False

    def __init__(self, modalities: Sequence[str], token_width: int) -> None:
        super().__init__()
        self.modalities = tuple(modalities)
        self.readers = nn.ModuleDict({name: SecondReader(n_features(name)) for name in self.modalities})
        self.fusion = GatedFusion(len(self.modalities), WIDTH)
        self.from_tokens = nn.Linear(token_width, WIDTH)
        self.blocks = nn.ModuleList(DilatedBlock(WIDTH, _KERNEL, dilation) for dilation in _DILATIONS)
        self.norm = nn.LayerNorm(WIDTH)

    def reader(self, name: str) -> "SecondReader":
        """The reader of a modality."""
        return cast(SecondReader, self.readers[name])

    def read(self, views: Mapping[str, View], n_windows: int, n_tokens: int) -> Tensor:
        """(B, M, S, E) of every modality alone; 0 where it is not valid."""
        like = self.from_tokens.weight
        told_BMSE = like.new_zeros(n_windows, len(self.modalities), n_tokens * TOKEN_SECONDS, WIDTH)
        for m, name in enumerate(self.modalities):
            if name in views and bool(views[name].valid_BL.any()):
                told_BMSE[:, m] = self._run(self.reader(name), name, views[name]).to(told_BMSE.dtype)
        return told_BMSE

    def tell(self, told_BMSE: Tensor) -> Told:
        """What each modality says, for `forward`."""
        # On the way to what a second says its features are written down five times over.
        parts = [self._run(self.fusion.tell, part) for part in told_BMSE.split(_TOLD_AT_ONCE, dim=2)]
        values, scores = ([part.value_BMLH for part in parts], [part.score_BML for part in parts])
        return Told(torch.cat(values, dim=2), torch.cat(scores, dim=2))

    def forward(self, told: Told, valid_BML: Tensor, tokens_BLD: Tensor) -> Tensor:
        """(B, S, E) of the modalities that are valid."""
        valid_BMS = valid_BML.repeat_interleave(TOKEN_SECONDS, dim=-1)
        fused_BSE, _ = self.fusion.combine(told, valid_BMS)
        tokens_BLE = self.from_tokens(tokens_BLD)
        told_BSE = fused_BSE + tokens_BLE.repeat_interleave(TOKEN_SECONDS, dim=1)
        readable_BS1 = valid_BMS.any(dim=1)[..., None]
        for block in self.blocks:
            told_BSE = self._run(block, told_BSE, readable_BS1)
        normed: Tensor = self.norm(told_BSE)
        return normed

    def _run(self, part: Callable[..., _Result], *given: object) -> _Result:
        again = self.checkpointing and torch.is_grad_enabled()
        return cast(_Result, checkpoint(part, *given, use_reentrant=False)) if again else part(*given)


class SecondReader(nn.Module):
    """One modality's seconds: (B, L, 30 F) -> (B, S, E), seven seconds at a time."""

    centre_F: Tensor
    spread_F: Tensor

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.register_buffer("centre_F", torch.zeros(n_features))
        self.register_buffer("spread_F", torch.ones(n_features))
        self.convolution = nn.Conv1d(n_features, WIDTH, _FIRST_KERNEL, padding=_FIRST_KERNEL // 2)
        self.mix = nn.Linear(WIDTH, WIDTH)

    @torch.no_grad()
    def calibrate(self, features_NF: Tensor) -> None:
        """Take centre and spread from valid seconds of the training nights."""
        self.centre_F.copy_(features_NF.mean(dim=0))
        self.spread_F.copy_(features_NF.std(dim=0).clamp(min=1e-3))

    def forward(self, name: str, view: View) -> Tensor:
        values_BSF = seconds_of(name, view)
        valid_BS1 = view.valid_BL.repeat_interleave(TOKEN_SECONDS, dim=1)[..., None]
        standard_BSF = ((values_BSF - self.centre_F) / self.spread_F).clamp(-10, 10)
        standard_BSF = torch.where(valid_BS1, standard_BSF, 0.0)
        told_BSE = nn.functional.gelu(self.convolution(standard_BSF.transpose(1, 2)).transpose(1, 2))
        mixed: Tensor = self.mix(told_BSE)
        return torch.where(valid_BS1, mixed, 0.0)


def seconds_of(name: str, view: View) -> Tensor:
    """(B, S, F) features of the seconds of a view; 0 where it is not valid."""
    values = torch.where(view.valid_BL[..., None], view.values_BLS, 0.0)
    features = values if view.are_features else second_features(name, values)
    return features.unflatten(-1, (TOKEN_SECONDS, -1)).flatten(1, 2)
