"""The cohorts that the package knows, and those that a user describes in a YAML of his own."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property, lru_cache
from importlib import resources
from pathlib import Path, PurePath
from typing import Any

import yaml
from pydantic import ValidationError

from sleep2vec.cohorts.labels import ChannelRules, compile_rules
from sleep2vec.cohorts.mistakes import mistakes_of_meaning, mistakes_of_shape
from sleep2vec.cohorts.schema import CohortFile
from sleep2vec.vocabulary.errors import RecipeError
from sleep2vec.vocabulary.scoring import ScoringWords
from sleep2vec.vocabulary.stages import FIVE

GENERIC = "generic"
# Parts that the checks of others rest on.
_OTHERS_NEED = frozenset({"identity", "macros", "electrodes"})
_YAML_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class Identity:
    """What a recording's path says of it; None where it does not."""

    subject: str | None = None
    visit: str | None = None
    night: str | None = None
    site: str | None = None
    family: str | None = None

    @property
    def fields(self) -> dict[str, str]:
        """What is known, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}


class Cohort:
    """A cohort: its file, and what is compiled from it.

    Attributes:
        name: As the manifest keeps it.
        file: The YAML; for a cohort without one, the generic file.
        has_file: Whether the cohort has rules of its own.
    """

    def __init__(self, name: str, file: CohortFile | None) -> None:
        self.name = name
        self.has_file = file is not None
        self.file = file or _packaged(GENERIC)

    @cached_property
    def channels(self) -> ChannelRules:
        """What labels mean: the cohort's rules, then the generic ones."""
        return compile_rules(self.file if self.has_file else None, _packaged(GENERIC))

    @cached_property
    def words(self) -> ScoringWords:
        """How the cohort's scorers write."""
        rules = self.file.scoring
        code = {**{name: i for i, name in enumerate(FIVE)}, "unscored": None}
        return ScoringWords(
            stages={_word(word): code[stage] for word, stage in rules.stages.items()},
            events={_word(word): None if kind == "ignore" else kind for word, kind in rules.events.items()},
            epoch_s=rules.epoch_s,
        )

    @property
    def people(self) -> str | None:
        """One name for all cohorts whose subject ids mean the same people; None where no other cohort has them."""
        return min((self.name, *self.file.same_people_as)) if self.file.same_people_as else None

    def identity_of(self, relative: PurePath) -> Identity:
        """Who slept, as the recording's path relative to the cohort's folder says."""
        return Identity(**self.matched(self.file.identity, relative))

    @staticmethod
    def matched(patterns: Sequence[str], relative: PurePath) -> dict[str, str]:
        """Named groups of the first of `patterns` that is found in a path; empty where none is."""
        for pattern in patterns:
            found = re.search(pattern, relative.as_posix(), re.IGNORECASE)
            if found:
                return {name: text for name, text in found.groupdict().items() if text}
        return {}


def _word(text: str) -> str:
    return text.strip().lower()


@lru_cache
def cohort_of(name: str | None = None) -> Cohort:
    """The cohort called `name`, or described by the YAML at that path.

    A name that has no file is a cohort read by the generic rules; `closest_cohorts` tells what may have been meant.

    Raises:
        RecipeError: the YAML is not there or holds mistakes; all of them are told, each with its place.
    """
    if name is None:
        return Cohort(GENERIC, None)
    if name.endswith(_YAML_SUFFIXES):
        file = _checked(Path(name))
        return Cohort(file.name, file)
    known = name.lower() in known_cohorts() - {GENERIC}
    return Cohort(name.lower() if known else name, _packaged(name.lower()) if known else None)


def closest_cohorts(name: str) -> tuple[str, ...]:
    """Cohorts that `name` may have meant: those that begin like it, else the one most like it."""
    names = sorted(known_cohorts() - {GENERIC})
    begin = tuple(known for known in names if known.startswith(name.lower())) if name else ()
    return begin or tuple(get_close_matches(name.lower(), names, n=1))


@lru_cache
def known_cohorts() -> frozenset[str]:
    """Names of the cohorts that have a file here."""
    files = resources.files(__package__).iterdir()
    return frozenset(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml"))


@lru_cache
def _packaged(name: str) -> CohortFile:
    where = f"{name}.yaml"
    text = resources.files(__package__).joinpath(where).read_text(encoding="utf-8")
    return _parsed(text, where, names_of_others=())


def _checked(path: Path) -> CohortFile:
    try:
        text = path.expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"the cohort file {path} cannot be read ({error}); name a YAML file in UTF-8.") from None
    return _parsed(text, str(path), names_of_others=known_cohorts())


def _parsed(text: str, where: str, *, names_of_others: Collection[str]) -> CohortFile:
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"the cohort file {where} is no YAML: {error}") from None
    file, mistakes = _shaped(raw)
    if file is not None:
        generic = file if file.name == GENERIC else _packaged(GENERIC)
        mistakes += mistakes_of_meaning(file, generic, names_of_others)
    if mistakes or file is None:
        raise RecipeError(_told(where, mistakes))
    return file


def _shaped(raw: Any) -> tuple[CohortFile | None, list[str]]:
    """The file and what does not fit the schema; then the file is that without the parts that do not."""
    try:
        return CohortFile.model_validate(raw), []
    except ValidationError as error:
        mistakes = mistakes_of_shape(error)
        wrong = {str(part) for details in error.errors() for part in details["loc"][:1]}
    if not isinstance(raw, dict) or wrong & _OTHERS_NEED:
        return None, mistakes
    rest = {name: value for name, value in raw.items() if name not in wrong} | (
        {"name": "x"} if "name" in wrong else {}
    )
    return CohortFile.model_validate(rest), mistakes


def _told(where: str, mistakes: Sequence[str]) -> str:
    count = "a mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
    return "\n".join([f"the cohort file {where} has {count}:", *(f"  {mistake}" for mistake in mistakes)])
