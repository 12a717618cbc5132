"""sleep2vec: a foundation model for nocturnal biosignals."""

__version__ = "0.1.0"
