"""A picture of an evaluation with what is written around it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from sleep2vec.vocabulary.errors import UsageError


@dataclass(frozen=True)
class Column:
    """Heading of a column; numbers stand on the right."""

    name: str
    numeric: bool = True


@dataclass(frozen=True)
class Legend:
    """A small table below a picture; `colours` (empty: none) stand before the first cells."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    colours: tuple[str, ...] = ()


@dataclass(frozen=True)
class Picture:
    """One picture.

    Attributes:
        title: Heading.
        words: How to read it and what it holds, in sentences.
        figure: None where there is nothing to draw; the words then say so.
        legend: What does not fit into the figure.
        wide: Whether it takes the whole width of the page.
        shows_stages: Whether the colours of the stages need a key.
    """

    title: str
    words: str
    figure: Markup | None
    legend: Legend | None = None
    wide: bool = False
    shows_stages: bool = False


def check_lengths(title: str, **arrays: Sequence[object] | np.ndarray) -> None:
    """Raises UsageError where arrays of one picture are not of one length."""
    lengths = {name: len(values) for name, values in arrays.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise UsageError(f"the picture {title!r} needs as many of each, got {found}.")
