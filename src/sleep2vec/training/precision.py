"""In which numbers a step computes. Weights, their average and the optimizer are float32 always."""

from typing import Literal

import torch

PrecisionName = Literal["auto", "float32", "bfloat16"]


def computes_in_bfloat16(precision: PrecisionName, device: torch.device) -> bool:
    """Whether a step runs under bfloat16 autocast; ``auto``: where the device multiplies bfloat16 matrices itself.

    bfloat16 has the exponents of float32, so no loss scaling is needed.
    """
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # Without the instructions a CPU emulates them, many times slower. ARM's were never measured here.
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
