"""What nothing learns of nights that were read before, kept in memory: a study reads the same whole nights hundreds of
times.

Rhythms are a pure function of samples and validity, and what a frozen encoder without dropout and jitter says is one of
its weights, too, so that nothing changes but the time.

Dimension letters: B windows, L tokens, S samples or features of a token, D features of the encoder.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from sleep2vec.data.window import View
from sleep2vec.model import rhythms
from sleep2vec.model.encoder import Encoded, Encoder

_plain_rhythms, _plain_forward = rhythms.rhythm_features, Encoder.forward


def _digest(*tensors: Tensor) -> bytes:
    told = hashlib.blake2b(digest_size=16)
    for tensor in tensors:
        told.update(tensor.detach().contiguous().numpy().tobytes())
    return told.digest()


def _read(values_LS: Tensor, valid_L: Tensor) -> tuple[Tensor, Tensor]:
    """Without the padding, which differs from batch to batch, is all invalid and comes last."""
    n = int(valid_L.nonzero().max()) + 1 if bool(valid_L.any()) else 0
    return torch.where(valid_L[:n, None], values_LS[:n], 0.0).float(), valid_L[:n]


def remember_rhythms() -> None:
    """From now on compute the rhythms of a window once."""
    known: dict[tuple[str, bytes], Tensor] = {}

    def features(name: str, samples_LS: Tensor, valid_L: Tensor) -> Tensor:
        values_LS, readable_L = _read(samples_LS, valid_L)
        key = name, _digest(values_LS, readable_L)
        if key not in known:
            known[key] = _plain_rhythms(name, values_LS, readable_L)
        return pad(known[key], (0, 0, 0, len(valid_L) - len(readable_L)), value=float("nan"))

    rhythms.rhythm_features = features


def remember_frozen() -> None:
    """From now on ask an encoder that learns nothing about a window once."""
    known: dict[tuple[str, bytes, bytes], tuple[Tensor, Tensor]] = {}

    def forward(encoder: Encoder, views: Sequence[tuple[str, View]], hidden: Any = None) -> list[Encoded]:
        learns = any(weight.requires_grad for weight in encoder.parameters())
        if learns or hidden or (encoder.training and (encoder.config.dropout or encoder.config.jitter)):
            return _plain_forward(encoder, views, hidden)
        weights = _digest(*encoder.state_dict().values())
        told = []
        for name, view in views:
            rows = []
            for values_LS, valid_L in zip(view.values_BLS, view.valid_BL, strict=True):
                read_LS, readable_L = _read(values_LS, valid_L)
                key = name, weights, _digest(read_LS, readable_L)
                if key not in known:
                    alone = View(read_LS[None], readable_L[None], view.are_features)
                    (said,) = _plain_forward(encoder, [(name, alone)])
                    known[key] = said.tokens_BLD[0].detach(), said.window_BD[0].detach()
                tokens_LD, window_D = known[key]
                rows.append((pad(tokens_LD, (0, 0, 0, len(valid_L) - len(tokens_LD))), window_D))
            tokens, windows = zip(*rows, strict=True)
            told.append(Encoded(torch.stack(tokens), torch.stack(windows)))
        return told

    Encoder.forward = forward  # type: ignore[method-assign]
