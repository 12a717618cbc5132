"""sleep2vec: a foundation model for nocturnal biosignals.

    import sleep2vec as s2v
    night = s2v.harmonize(s2v.read("night.edf"))
    result = s2v.load("model/").predict(night, modalities=["ibi", "resp"])

Names are loaded when they are first used: reading an EDF does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sleep2vec.formats.reader import read as read
    from sleep2vec.harmonization.pipeline import harmonize as harmonize
    from sleep2vec.inference.predictor import Model as Model
    from sleep2vec.inference.predictor import load as load
    from sleep2vec.inference.result import NightResult as NightResult
    from sleep2vec.store.ingest import ingest as ingest
    from sleep2vec.store.reader import Store as Store
    from sleep2vec.vocabulary.errors import Sleep2vecError as Sleep2vecError
    from sleep2vec.vocabulary.night import Night as Night
    from sleep2vec.vocabulary.recording import Recording as Recording
    from sleep2vec.vocabulary.recording import Signal as Signal

__version__ = "0.1.0"

_HOME = {
    "read": "sleep2vec.formats.reader",
    "harmonize": "sleep2vec.harmonization.pipeline",
    "load": "sleep2vec.inference.predictor",
    "Model": "sleep2vec.inference.predictor",
    "NightResult": "sleep2vec.inference.result",
    "ingest": "sleep2vec.store.ingest",
    "Store": "sleep2vec.store.reader",
    "Recording": "sleep2vec.vocabulary.recording",
    "Signal": "sleep2vec.vocabulary.recording",
    "Night": "sleep2vec.vocabulary.night",
    "Sleep2vecError": "sleep2vec.vocabulary.errors",
}
__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'sleep2vec' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
