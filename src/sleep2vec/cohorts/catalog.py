"""The cohorts that the package knows, and those that a user describes in a YAML of his own."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property, lru_cache
from importlib import resources
from pathlib import Path, PurePath

import yaml
from pydantic import ValidationError

from sleep2vec.cohorts.labels import ChannelRules, compile_rules
from sleep2vec.cohorts.schema import CohortFile
from sleep2vec.vocabulary.errors import RecipeError
from sleep2vec.vocabulary.scoring import ScoringWords
from sleep2vec.vocabulary.stages import FIVE

GENERIC = "generic"
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

    A name that has no file is a cohort read by the generic rules; `closest_name` tells what may have been meant.

    Raises:
        RecipeError: the YAML is not there, does not fit the schema, or holds a pattern that cannot be compiled.
    """
    if name is None:
        return Cohort(GENERIC, None)
    if name.endswith(_YAML_SUFFIXES):
        file = _checked(Path(name))
        return Cohort(file.name, file)
    known = name.lower() in known_cohorts() - {GENERIC}
    return Cohort(name.lower() if known else name, _packaged(name.lower()) if known else None)


def closest_cohort(name: str) -> str | None:
    """The cohort whose name is most like `name`, if one is."""
    found = get_close_matches(name.lower(), known_cohorts() - {GENERIC}, n=1)
    return found[0] if found else None


@lru_cache
def known_cohorts() -> frozenset[str]:
    """Names of the cohorts that have a file here."""
    files = resources.files(__package__).iterdir()
    return frozenset(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml"))


@lru_cache
def _packaged(name: str) -> CohortFile:
    return _parsed(resources.files(__package__).joinpath(f"{name}.yaml").read_text(encoding="utf-8"), f"{name}.yaml")


def _checked(path: Path) -> CohortFile:
    try:
        text = path.expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"the cohort file {path} cannot be read ({error}); name a YAML file in UTF-8.") from None
    return _parsed(text, str(path))


def _parsed(text: str, where: str) -> CohortFile:
    try:
        file = CohortFile.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise RecipeError(f"the cohort file {where} is no YAML: {error}") from None
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors())
        raise RecipeError(f"the cohort file {where} does not fit: {wrong}.") from None
    _check_patterns(file, where)
    return file


def _check_patterns(file: CohortFile, where: str) -> None:
    for pattern in file.identity:
        try:
            groups = set(re.compile(pattern).groupindex)
        except re.error as error:
            raise RecipeError(f"the cohort file {where}: identity {pattern!r} cannot be compiled: {error}.") from None
        if not groups <= set(Identity.__dataclass_fields__):
            unknown = ", ".join(sorted(groups - set(Identity.__dataclass_fields__)))
            expected = ", ".join(Identity.__dataclass_fields__)
            raise RecipeError(f"the cohort file {where}: identity {pattern!r} names {unknown}; known: {expected}.")
