"""Documents for people: templates whose words may come from anywhere."""

import re
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from sleep2vec.report.figures import share_text

# Control characters have no place in HTML, lone surrogates (mangled labels) cannot be written as UTF-8, and
# direction overrides would let a label rewrite the line it stands in.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def template(name: str) -> Template:
    """A template of `report/templates`: everything in it is escaped, what is undefined is an error."""
    return _environment().get_template(name)


def number_text(value: float | None) -> str:
    """A statistic as it is printed; an en dash where the night does not define it."""
    if value is None:
        return "–"
    return str(value) if isinstance(value, int) else f"{value:.1f}"


def epochs_text(count: int) -> str:
    """``1 epoch``, ``2 epochs``."""
    return f"{count} epoch" if count == 1 else f"{count} epochs"


def hours_text(minutes: float) -> str:
    """Minutes as a person says them: ``7 h 05 min``."""
    whole = round(minutes)
    return f"{whole // 60} h {whole % 60:02d} min" if whole >= 60 else f"{minutes:g} min"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("sleep2vec.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printable,
    )
    environment.filters |= {"share": share_text, "number": number_text, "epochs": epochs_text, "hours": hours_text}
    return environment


def _printable(value: object) -> object:
    """Words from files can hold anything: what cannot be printed becomes the replacement character."""
    if isinstance(value, str):
        cleaned = _UNPRINTABLE.sub("\ufffd", value)
        return Markup(cleaned) if isinstance(value, Markup) else cleaned
    return value
