"""The models that come with the package, by name.

They lie beside this file, one folder each, as any other checkpoint. All were trained on simulated nights, and say so.
"""

from pathlib import Path

from sleep2vec.vocabulary.errors import ModelError

_HOME = Path(__file__).parent / "weights"

STAGING = "tiny-tasks"
"""What answers when nobody names a model."""


def shipped_models() -> tuple[str, ...]:
    """Their names."""
    return tuple(sorted(config.parent.name for config in _HOME.glob("*/config.json")))


def model_folder(name: str | Path) -> Path:
    """The folder of a model: the one that is named, else the one that came with the package under this name.

    Raises:
        ModelError: it is neither.
    """
    folder = Path(name)
    if folder.exists() or str(name) not in shipped_models():
        if not folder.is_dir() and folder.name == str(name):
            known = ", ".join(shipped_models()) or "none"
            raise ModelError(
                f"{name} is neither the folder of a model nor one that comes with sleep2vec ({known}); "
                "name the folder that `sleep2vec pretrain` or `sleep2vec finetune` wrote."
            )
        return folder
    return _HOME / str(name)
