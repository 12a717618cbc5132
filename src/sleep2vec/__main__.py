"""``python -m sleep2vec``, which is also how torchrun starts it."""

from sleep2vec.cli.main import run

run()
