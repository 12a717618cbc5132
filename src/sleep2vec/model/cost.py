"""What a model costs: parameters, and floating-point operations counted without computing anything.

Models are built on torch's meta device, where tensors have shapes and no values. A multiplication and an addition are
two operations. Counted are products of matrices, convolutions, attention, and Fourier transforms at 5/2 n log2 n for n
real samples; what works element by element is not. Objectives are not either: at batch 320 the similarities of DASH
are 0.02 % of a step of `base`.

Dimension letters: B windows, L tokens, S samples of a token.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from sleep2vec.data.window import View
from sleep2vec.model.backbone import BACKBONES
from sleep2vec.model.encoder import Encoder, ModelConfig
from sleep2vec.model.projection import Projection
from sleep2vec.model.rhythms import RhythmPath
from sleep2vec.model.seconds import SecondPath
from sleep2vec.model.sizes import SIZES
from sleep2vec.model.tokenizers import TOKENIZERS
from sleep2vec.vocabulary.modalities import MODALITIES

STEP_WINDOWS, STEP_TOKENS = 8, 120
NIGHT_TOKENS = 960
"""The two tasks of `facts/performance_anchor.md`: a step of 8 windows of an hour, a night of eight hours."""

STEP_WORDS = f"{STEP_WINDOWS} windows of {STEP_TOKENS} tokens, the widest and the narrowest modality, there and back"
NIGHT_WORDS = f"embedding {NIGHT_TOKENS} tokens"
DEFAULT = ModelConfig()
FAMILIAR = "familiarity."
"""Prefix of what a checkpoint knows of usual nights."""
EMBEDDINGS = {"cls_D": "embeddings", "mask_D": "embeddings"}

_COUNTED_TOKENS = (2, 4, 6)


@dataclass(frozen=True)
class Cost:
    """What a model is made of and what it takes.

    Attributes:
        backbone, tokenizers, other: Parameters; `other` are the [CLS] and mask embeddings and the projection.
        step_flops: Of a pretraining step, forward and backward: 8 windows of 120 tokens of the modality with the most
            samples and the one with the fewest. None with a single modality.
        night_flops: Of embedding a night of 960 tokens with all modalities, forward.
        night_backbone_flops: The backbone's part of it; the rest is the tokenizers'.
    """

    backbone: int
    tokenizers: int
    other: int
    step_flops: int | None
    night_flops: int
    night_backbone_flops: int

    @property
    def parameters(self) -> int:
        return self.backbone + self.tokenizers + self.other

    def facts(self) -> dict[str, Any]:
        """As plain values."""
        return {**asdict(self), "parameters": self.parameters}


def cost_of(config: ModelConfig) -> Cost:
    """Count the parameters and operations of the encoder and projection that `config` describes."""
    with torch.device("meta"):
        encoder = Encoder(config)
        projection = Projection(encoder.width, config.projection)
    total = _n_parameters(encoder) + _n_parameters(projection)
    backbone, tokenizers = _n_parameters(encoder.backbone), _n_parameters(encoder.tokenizers)
    by_samples = sorted(config.modalities, key=lambda name: -MODALITIES[name].samples_per_token)
    pair = (by_samples[0], by_samples[-1])

    def step(n_tokens: int) -> tuple[int]:
        return (_step_flops(encoder, projection, pair, n_tokens),)

    depths = _Depths(encoder)
    night, night_backbone = _at(NIGHT_TOKENS, depths.whole(lambda n_tokens: _night_flops(encoder, n_tokens)))
    return Cost(
        backbone=backbone,
        tokenizers=tokenizers,
        other=total - backbone - tokenizers,
        step_flops=_at(STEP_TOKENS, depths.whole(step))[0] if len(by_samples) > 1 else None,
        night_flops=night,
        night_backbone_flops=night_backbone,
    )


def parameters_by_part(config: ModelConfig, weights: Mapping[str, Tensor]) -> dict[str, int]:
    """What of a checkpoint is learned, by part (backbone, tokenizers, fusion, heads ...); constants are left out.

    Those are what was measured of training nights: the usual size of features, and what is familiar. What survival was
    fitted with beside its weights counts with them; it is next to nothing.

    Args:
        config: of its encoder.
        weights: all its tensors, by name.
    """
    with torch.device("meta"):
        constants = {f"encoder.{name}" for name, _ in Encoder(config).named_buffers()}
        constants |= {f"seconds.{name}" for name, _ in SecondPath(config.modalities, 1).named_buffers()}
        constants |= {f"rhythms.{name}" for name, _ in RhythmPath(config.modalities, 1, 0.0).named_buffers()}
    parts: dict[str, int] = {}
    for name, tensor in weights.items():
        if name not in constants and not name.startswith(FAMILIAR):
            part = name.removeprefix("encoder.").split(".")[0]
            part = EMBEDDINGS.get(part, part)
            parts[part] = parts.get(part, 0) + tensor.numel()
    return parts


def costs_of_sizes() -> list[tuple[dict[str, str], Cost]]:
    """Of every size with nine modalities: with each tokenizer, and with each other backbone and the default one."""
    kinds: list[dict[str, str]]
    kinds = [{"backbone": DEFAULT.backbone, "tokenizer": tokenizer} for tokenizer in TOKENIZERS]
    kinds += [{"backbone": name, "tokenizer": DEFAULT.tokenizer} for name in BACKBONES if name != DEFAULT.backbone]
    configs: list[dict[str, str]] = [{"size": size, **kind} for size in SIZES for kind in kinds]
    return [(config, cost_of(ModelConfig.model_validate(config))) for config in configs]


def sizes_words(costs: Sequence[tuple[Mapping[str, str], Cost]]) -> str:
    """A table for people."""
    lines = [
        f"{'size':<7}{'backbone':<13}{'tokenizer':<11}{'M parameters (backbone + tokenizers)':>37}"
        f"{'MB in 16 bits':>15}{'GFLOP a step':>14}{'a night':>9}"
    ]
    for config, cost in costs:
        made_of = f"{cost.parameters / 1e6:.1f} ({cost.backbone / 1e6:.1f} + {cost.tokenizers / 1e6:.1f})"
        step = "-" if cost.step_flops is None else f"{cost.step_flops / 1e9:.0f}"
        lines.append(
            f"{config['size']:<7}{config['backbone']:<13}{config['tokenizer']:<11}{made_of:>37}"
            f"{2 * cost.parameters / 1e6:>15.0f}{step:>14}{cost.night_flops / 1e9:>9.0f}"
        )
    return "\n".join([*lines, "", f"A step: {STEP_WORDS}.", f"A night: {NIGHT_WORDS}, nine modalities."])


def flops_words(cost: Cost) -> str:
    """The operations in a line or two for people."""
    night = (
        f"{cost.night_flops / 1e9:.1f} GFLOP a night ({NIGHT_WORDS}; backbone {cost.night_backbone_flops / 1e9:.1f})"
    )
    if cost.step_flops is None:
        return night
    return f"{night}\n{cost.step_flops / 1e9:.1f} GFLOP a pretraining step ({STEP_WORDS})"


def _n_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


class _Depths:
    """Counts of a backbone from those of its first layer and its first two: all layers take alike.

    The encoder is left with fewer layers than it had.
    """

    def __init__(self, encoder: Encoder) -> None:
        self.backbone = encoder.backbone
        self.layers = cast(nn.ModuleList, encoder.backbone.layers)
        setattr(self.backbone, "mixture", None)  # noqa: B010  (wants all layers, and takes nothing that is counted)

    def whole(self, count: Callable[[int], Sequence[int]]) -> Callable[[int], list[int]]:
        """The same `count`, of all layers."""

        def counted(n_tokens: int) -> list[int]:
            few = []
            for depth in (1, 2):
                self.backbone.layers = self.layers[:depth]
                few.append(count(n_tokens))
            return [one + (len(self.layers) - 1) * (two - one) for one, two in zip(*few, strict=True)]

        return counted


def _at(n_tokens: int, count: Callable[[int], Sequence[int]]) -> list[int]:
    """`count` of so many tokens from its counts of few, which makes a recurrent night a matter of a second.

    Each token costs the same, and each pair of tokens: a polynomial of the second degree, known by three values.
    """
    first, step = _COUNTED_TOKENS[0], _COUNTED_TOKENS[1] - _COUNTED_TOKENS[0]
    steps = (n_tokens - first) // step  # whole for the two tasks
    return [
        a + steps * (b - a) + steps * (steps - 1) // 2 * (c - 2 * b + a)
        for a, b, c in zip(*map(count, _COUNTED_TOKENS), strict=True)
    ]


def _step_flops(encoder: Encoder, projection: Projection, pair: tuple[str, str], n_tokens: int) -> int:
    def step() -> None:
        parts = encoder([(name, _view(name, STEP_WINDOWS, n_tokens)) for name in pair])
        outputs = [projection(part) for encoded in parts for part in (encoded.tokens_BLD, encoded.window_BD)]
        torch.stack([output.sum() for output in outputs]).sum().backward()

    return _flops(step)[0]


def _night_flops(encoder: Encoder, n_tokens: int) -> tuple[int, int]:
    views = [(name, _view(name, 1, n_tokens)) for name in encoder.config.modalities]
    return _flops(torch.no_grad()(lambda: encoder(views)))


def _view(name: str, n_windows: int, n_tokens: int) -> View:
    values_BLS = torch.empty(n_windows, n_tokens, MODALITIES[name].samples_per_token, device="meta")
    return View(values_BLS, torch.ones(n_windows, n_tokens, dtype=torch.bool, device="meta"))


def _flops(work: Callable[[], object]) -> tuple[int, int]:
    """Of the work, and of the backbone within it."""
    with FlopCounterMode(display=False, custom_mapping={torch.ops.aten._fft_r2c: _fft_flops}) as counter:
        work()
    return counter.get_total_flops(), sum(counter.get_flop_counts()["Encoder.backbone"].values())


def _fft_flops(shape: tuple[int, ...], dims: list[int], *rest: object, **named: Tensor) -> int:
    """Of real transforms along one dimension: half of what as many complex numbers take, 5 n log2 n."""
    (dim,) = dims
    n = shape[dim]
    return math.prod(shape) // n * round(2.5 * n * math.log2(n))  # whole numbers, so that many cost many times one
