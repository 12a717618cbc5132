"""Random draws that cost what they draw, whatever the size of the store."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray


class Dice:
    """Whole numbers from a generator of numpy, several hundred thousand a second faster than asking it for each."""

    def __init__(self, draw: np.random.Generator) -> None:
        self._draw = draw
        self._numbers: Iterator[float] = iter(())

    def below(self, n: int) -> int:
        """A whole number from 0 to ``n - 1``, all alike."""
        number = next(self._numbers, None)
        if number is None:
            self._numbers = iter(self._draw.random(512).tolist())
            number = next(self._numbers)
        return int(number * n)


def shuffled(items: NDArray[np.int64], dice: Dice) -> Iterator[int]:
    """All items in random order, each drawn when it is asked for (Fisher and Yates, keeping only what has moved)."""
    moved: dict[int, int] = {}
    for place in range(len(items)):
        other = place + dice.below(len(items) - place)
        yield int(items[moved.get(other, other)])
        moved[other] = moved.pop(place, place)


def nights_of_different_people(
    groups: Sequence[NDArray[np.int64]], person_of: NDArray[np.int64], n: int, dice: Dice
) -> list[int]:
    """At most `n` nights, no two of one person.

    Each next night comes from any of the groups with equal chance, as long as it has people left, and within the group
    every night is as likely as another.

    Args:
        groups: of nights.
        person_of: the number of the person, by night.
        n: how many, fewer where there are fewer people.
        dice: decide.
    """
    queues = [shuffled(nights, dice) for nights in groups]
    seen: set[int] = set()
    chosen: list[int] = []
    while queues and len(chosen) < n:
        place = dice.below(len(queues)) if len(queues) > 1 else 0
        night = next((night for night in queues[place] if int(person_of[night]) not in seen), None)
        if night is None:
            del queues[place]
            continue
        seen.add(int(person_of[night]))
        chosen.append(night)
    return chosen
