"""From fused tokens to answers.

Dimension letters: B windows, L tokens, D features of tokens, S seconds, K answers.
"""

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from sleep2vec.model.dropout import Dropout
from sleep2vec.vocabulary.modalities import TOKEN_SECONDS

Resolution = Literal["token", "second", "night"]
"""What an answer is about."""


class HeadShape(BaseModel):
    """What a head answers about, and how many numbers it gives."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    resolution: Resolution
    n_outputs: int = Field(ge=1)


def answering(width: int, n_outputs: int, dropout: float, linear: bool) -> nn.Module:
    """The last layers of a head: a small perceptron, or a linear map where the encoder is only probed."""
    if linear:
        return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, n_outputs))
    return nn.Sequential(
        nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), Dropout(dropout), nn.Linear(width, n_outputs)
    )


class Clock(nn.Module):
    """What the time since the start of the night says of a token: deep sleep comes early, REM late.

    Attention knows how far tokens lie apart and not where in the night they lie.

    Shape:
        hours_BL -> (B, L, D); 0 before anything was learned.
    """

    _PERIODS_H = (4.0, 8.0, 16.0)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(1 + 2 * len(self._PERIODS_H), 32), nn.GELU(), nn.Linear(32, width))
        nn.init.zeros_(self.body[-1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.body[-1].bias)  # type: ignore[arg-type]

    def forward(self, hours_BL: Tensor) -> Tensor:
        angles = [2 * torch.pi * hours_BL / period for period in self._PERIODS_H]
        waves = [wave for angle in angles for wave in (angle.sin(), angle.cos())]
        told_BLD: Tensor = self.body(torch.stack([hours_BL / 8.0, *waves], dim=-1))
        return told_BLD


class NightPool(nn.Module):
    """One embedding of a night from its readable tokens: their mean, and a mean that attends.

    Beside the tokens stands what happened in their seconds, where that was looked at, and the [CLS] of the sensors.

    Shape:
        tokens_BLD, readable_BL, cls_BD, seconds_BSE or None -> (B, D)
    """

    def __init__(self, width: int, cls_width: int, second_width: int | None) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attend = nn.Linear(width, 4)
        self.seconds = None if second_width is None else nn.Linear(2 * second_width, width)
        self.mix = nn.Linear(5 * width + cls_width, width)
        self.out = nn.LayerNorm(width)

    def forward(self, tokens_BLD: Tensor, readable_BL: Tensor, cls_BD: Tensor, seconds_BSE: Tensor | None) -> Tensor:
        told_BLD = self.norm(tokens_BLD)
        if self.seconds is not None and seconds_BSE is not None:
            within_BLTE = seconds_BSE.unflatten(1, (-1, TOKEN_SECONDS))
            both_BLE = torch.cat((within_BLTE.mean(dim=2), within_BLTE.amax(dim=2)), dim=-1)
            told_BLD = told_BLD + self.seconds(both_BLE)
        told_BLD = torch.where(readable_BL[..., None], told_BLD, 0.0)
        mean_BD = told_BLD.sum(dim=1) / readable_BL.sum(dim=1, keepdim=True).clamp(min=1)
        score_BLA = self.attend(told_BLD).float().masked_fill(~readable_BL[..., None], torch.finfo(torch.float32).min)
        share_BLA = torch.where(readable_BL[..., None], score_BLA.softmax(dim=1), 0.0).to(told_BLD)
        attended_BX = torch.einsum("bla,bld->bad", share_BLA, told_BLD).flatten(1)
        night_BD: Tensor = self.out(self.mix(torch.cat((mean_BD, attended_BX, cls_BD), dim=-1)))
        return night_BD
