"""Recipes from files: every mistake at once, each with its place and a guess at what was meant."""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from sleep2vec.vocabulary.errors import RecipeError

Recipe = TypeVar("Recipe", bound=BaseModel)

# PyYAML lets through what int() and date() say of `2024-13-45`, and Python of a thousand open brackets.
_NOT_YAML = (yaml.YAMLError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError)
_WORDS = {type(None): "nothing", list: "a list", str: "only words"}


def shipped_recipes() -> tuple[str, ...]:
    """Names of the recipes that come with the package."""
    return tuple(sorted(Path(entry.name).stem for entry in _shipped().iterdir() if entry.name.endswith(".yaml")))


def load_recipe(name: str | Path, schema: type[Recipe], overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and check it whole.

    Args:
        name: a YAML file, or the name of a shipped recipe. With ``extends: NAME`` it only says what it changes of
            another one.
        schema: what it has to be.
        overrides: ``key.key=value`` each, values in YAML; they win over the file.

    Raises:
        RecipeError: listing every mistake.
    """
    content = _complete(name)
    for override in overrides:
        _apply(content, override)
    try:
        return schema.model_validate(content)
    except ValidationError as error:
        # A wrong alternative of a union reports once for each of its members; one line is enough.
        mistakes = list(dict.fromkeys(_sentence(details, schema) for details in error.errors()))
        count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        raise RecipeError(f"recipe {name} has {count}:\n" + "\n".join(f"  {m}" for m in mistakes)) from None


def recipe_text(recipe: BaseModel) -> str:
    """The recipe as YAML, complete with every default."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)


def _shipped() -> Any:
    return files("sleep2vec.recipes") / "shipped"


def _complete(name: str | Path, extended_by: tuple[str, ...] = ()) -> dict[str, Any]:
    """What a file says, on top of what the recipe says that it extends."""
    content = _parsed(_text_of(name), str(name))
    base = content.pop("extends", None)
    if base is None:
        return content
    chain = (*extended_by, str(name))
    if not isinstance(base, str) or base in chain:
        wrong = "itself" if base in chain else repr(base)
        raise RecipeError(f"{name} extends {wrong}; give the name of another recipe, or a file, after `extends:`.")
    return _merged(_complete(base, chain), content)


def _merged(base: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Sections are changed setting by setting, everything else is replaced."""
    result = dict(base)
    for key, value in changes.items():
        below = result.get(key)
        result[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result


def _text_of(name: str | Path) -> str:
    path = Path(name)
    if path.is_file():
        try:
            return path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise RecipeError(f"{path} is not a text file; a recipe is a YAML file in UTF-8.") from None
    if str(name) in shipped_recipes():
        return str((_shipped() / f"{name}.yaml").read_text(encoding="utf-8"))
    raise RecipeError(
        f"there is no recipe {str(name)!r}: it is neither a file nor one of the shipped recipes "
        f"({', '.join(shipped_recipes())})."
    )


def _parsed(text: str, name: str) -> dict[str, Any]:
    try:
        content = yaml.safe_load(text)
    except _NOT_YAML as error:
        where = getattr(error, "problem_mark", None)
        line = f" at line {where.line + 1}" if where else ""
        raise RecipeError(f"{name} is not YAML{line}: {getattr(error, 'problem', error)}.") from None
    if not isinstance(content, dict):
        raise RecipeError(f"{name} holds {_WORDS.get(type(content), 'a value')}, expected `key: value` lines.")
    return content


def _apply(content: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise RecipeError(f"--set {override!r}: expected key=value, for example run.steps=100.")
    *parents, last = key.split(".")
    place = content
    for parent in parents:
        if place.get(parent) is None:  # also a section that the file leaves empty
            place[parent] = {}
        place = place[parent]
        if not isinstance(place, dict):
            raise RecipeError(f"--set {override!r}: {parent} is a value, it has no parts.")
    try:
        place[last] = yaml.safe_load(text)
    except _NOT_YAML:
        raise RecipeError(f"--set {override!r}: {text!r} is not a YAML value.") from None


def _sentence(details: ErrorDetails, schema: type[BaseModel]) -> str:
    location = details["loc"]
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")
    place = place or "(whole recipe)"
    if details["type"] == "extra_forbidden":
        return f"{place}: there is no such setting{_guess(str(location[-1]), _fields(schema, location[:-1]))}"
    if details["type"] == "missing":
        return f"{place}: is missing; give it in the file or with --set {place}=..."
    if details["type"] == "value_error":  # one of our own sentences
        return f"{place}: {details['msg'].removeprefix('Value error, ')}"
    guess = ""
    if details["type"] == "literal_error" and isinstance(details["input"], str):
        guess = _guess(details["input"], details["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", "))
    return f"{place}: {details['msg']}, got {details['input']!r}{guess}"


def _guess(word: str, known: Iterable[str]) -> str:
    choices = list(known)
    close = get_close_matches(word, choices, n=1)
    if close:
        return f" (did you mean {close[0]!r}?)"
    return f" (known here: {', '.join(choices)})" if choices else ""


def _fields(schema: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    current: Any = schema
    for part in location:
        fields: Mapping[str, Any] = getattr(current, "model_fields", {})
        if part not in fields:
            return []
        current = fields[str(part)].annotation
        current = next((kind for kind in get_args(current) if hasattr(kind, "model_fields")), current)
    return list(getattr(current, "model_fields", {}))
