"""What a night says of the person, as rows of tables."""

import math
from collections.abc import Sequence

from sleep2vec.report.figures import share_text
from sleep2vec.report.numerals import UNKNOWN_TEXT, numeral
from sleep2vec.vocabulary.outcome import Outcome, Prognosis

PROBABILITY = "probability"


def told_rows(told: Sequence[Outcome]) -> list[tuple[str, str, str]]:
    """What it is, what the model says, and what to hold that against."""
    return [(_name(one), *told_texts(one)) for one in told]


def told_texts(one: Outcome) -> tuple[str, str]:
    """What the model says, and what to hold that against."""
    if one.unit == PROBABILITY:
        usual = UNKNOWN_TEXT if one.usual is None else f"{chance_text(one.usual)} of the training nights"
        return chance_text(one.value), usual
    unit = f" {one.unit}" if one.unit else ""
    error = UNKNOWN_TEXT if one.error is None else f"usual error {numeral(one.error, 1)}{unit}"
    return f"{numeral(one.value, 1)}{unit}", error


def outlook_rows(outlooks: Sequence[Prognosis]) -> list[tuple[str, str, str, str]]:
    """Event, time, the chance by the night, and by age and sex alone."""
    return [
        (_words(one.outcome), years_text(one.years), chance_text(one.survival), chance_text(one.baseline))
        for one in outlooks
    ]


def chance_text(chance: float | None) -> str:
    """A probability in percent; a dash where it is not known."""
    return UNKNOWN_TEXT if chance is None or math.isnan(chance) else share_text(chance)


def years_text(years: float) -> str:
    """``1 year``, ``7.4 years``."""
    number = f"{years:.1f}".removesuffix(".0")
    return f"{number} year" if number == "1" else f"{number} years"


def _name(one: Outcome) -> str:
    """The task stands before what it asks, where the title alone does not say it."""
    title = _words(one.title)
    if title.casefold().startswith(_words(one.task).casefold()):
        return title
    return f"{_words(one.task)}: {title[:1].lower()}{title[1:]}"


def _words(name: str) -> str:
    spaced = name.replace("_", " ").strip()
    return spaced[:1].upper() + spaced[1:]
