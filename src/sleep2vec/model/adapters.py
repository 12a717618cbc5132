"""Low-rank adapters (LoRA, DoRA) on the backbone, through PEFT; merged into the weights once learned.

References:
    Hu et al. (2021), arXiv:2106.09685. Liu et al. (2024), arXiv:2402.09353.
"""

from typing import cast

from torch import nn

from sleep2vec.vocabulary.errors import UsageError


def add_adapters(backbone: nn.Module, rank: int, alpha: int, *, dora: bool) -> None:
    """Put adapters on the linear layers of a backbone; all else in it is frozen.

    Raises:
        UsageError: PEFT is not installed, or the backbone has nothing to adapt.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise UsageError(
            "adapters need PEFT, which is not installed; install sleep2vec[lora], or set finetuning.train: full."
        ) from None
    adapted = [name for name, part in backbone.named_modules() if isinstance(part, nn.Linear)]
    if not adapted:
        raise UsageError(f"{type(backbone).__name__} has no linear layer to adapt; set finetuning.train: full.")
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=alpha, target_modules=adapted, use_dora=dora), backbone)


def merge_adapters(module: nn.Module) -> None:
    """Write what adapters learned into the weights they stand beside, and take them away."""
    for path, part in list(module.named_modules()):
        if hasattr(part, "get_base_layer") and hasattr(part, "merge"):
            part.merge(safe_merge=True)
            parent_path, _, name = path.rpartition(".")
            setattr(module.get_submodule(parent_path), name, cast(nn.Module, part.get_base_layer()))
