"""Which people train, which choose, which judge. Never a person, nor a family, on two sides."""

import csv
import hashlib
import io
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sleep2vec.store.manifest import ManifestRow, plain_id
from sleep2vec.vocabulary.errors import UsageError

Side = Literal["train", "validation", "test"]
Unit = Literal["family", "person", "site"]
SIDES: tuple[Side, ...] = ("train", "validation", "test")
_SIDE_OF_WORD: Mapping[str, Side] = {
    **dict.fromkeys(("train", "training", "pretrain"), "train"),
    **dict.fromkeys(("validation", "val", "valid", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval"), "test"),
}
_LOGGER = logging.getLogger(__name__)
_ID_COLUMNS = ("night_id", "subject_id", "nsrrid", "subject", "participant_id", "id")
_MOST_TOLD = 3


class SplitConfig(BaseModel):
    """Shares kept from training, drawn by a hash, so that a split survives new nights; or a published split.

    Attributes:
        validation, test: Shares of all units, 0 to 1.
        seed: Another seed draws others.
        by: What stays together. A family is people with one `family_id` (and a person without one); a site takes all
            its people, and all sites of one person or family, along.
        test_sites: Sites (``cohort/site``, or ``site`` alone) whose people all go to test.
        file: A published split: CSV or TSV with a column ``split`` and one of night_id or subject_id, or JSON with
            lists of ids under train, validation and test. What it does not name is not used.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    validation: Annotated[float, Field(ge=0, lt=1)] = 0.1
    test: Annotated[float, Field(ge=0, lt=1)] = 0.1
    seed: int = 0
    by: Unit = "family"
    test_sites: tuple[str, ...] = ()
    file: Path | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.file is not None and self.test_sites:
            raise ValueError("a split comes from `file` or is drawn (`test_sites`), not both")
        return self


class Split(BaseModel):
    """Night ids of each side."""

    model_config = ConfigDict(frozen=True)

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]


def split_nights(rows: Sequence[ManifestRow], config: SplitConfig, *, i_know: bool = False) -> Split:
    """Divide nights as `config` says.

    Units are ordered by a hash of (seed, unit); the first share goes to test, the next to validation. Shares are of all
    units, rounded, at least one unit where the share is above 0 and there are units enough; at least one is left to
    train.

    Args:
        rows: nights of a store.
        config: how.
        i_know: let a person or a family stand on two sides (``--i-know`` on the command line).

    Raises:
        UsageError: people or families would leak from one side to another, or the split's file cannot be read or names
            no night of the store.
    """
    side_of = _published(rows, config.file) if config.file else _drawn(rows, config)
    nights: dict[Side, list[str]] = {side: [] for side in SIDES}
    for row in rows:
        if row.night_id in side_of:
            nights[side_of[row.night_id]].append(row.night_id)
    if not i_know:
        _refuse_leaks(rows, side_of, config)
        _refuse_strangers(rows, side_of)
    return Split(**{side: tuple(ids) for side, ids in nights.items()})


def _drawn(rows: Sequence[ManifestRow], config: SplitConfig) -> dict[str, Side]:
    unit_of = _units(rows, config.by)
    held_out = {unit_of[row.night_id] for row in rows if {row.site, _site(row)} & set(config.test_sites)}
    known = {name for row in rows for name in (row.site, _site(row))}
    missing = [site for site in config.test_sites if site not in known]
    if missing:
        sites = sorted({_site(row) for row in rows})
        raise UsageError(f"the store has no site {', '.join(missing)}; it has {', '.join(sites)}.")
    units = sorted(set(unit_of.values()) - held_out, key=lambda unit: _rank(unit, config.seed))
    n_test = 0 if held_out else _n_units(config.test, len(units), len(units))
    n_validation = _n_units(config.validation, len(units), len(units) - n_test)
    side_of_unit: dict[str, Side] = dict.fromkeys(held_out, "test")
    for rank, unit in enumerate(units):
        side_of_unit[unit] = "test" if rank < n_test else "validation" if rank < n_test + n_validation else "train"
    return {row.night_id: side_of_unit[unit_of[row.night_id]] for row in rows}


def _units(rows: Sequence[ManifestRow], by: Unit) -> dict[str, str]:
    """What each night must stay together with."""
    if by == "person":
        return {row.night_id: row.person for row in rows}
    if by == "family":
        return {row.night_id: row.family for row in rows}
    # Whoever slept at two sites ties them together: unite until nothing changes.
    first_of: dict[str, str] = {}

    def root(name: str) -> str:
        while first_of.setdefault(name, name) != name:
            name = first_of[name]
        return name

    for row in rows:
        one, other = sorted((root(f"site {_site(row)}"), root(f"family {row.family}")), reverse=True)
        first_of[other] = one
    return {row.night_id: root(f"site {_site(row)}") for row in rows}


def _published(rows: Sequence[ManifestRow], path: Path) -> dict[str, Side]:
    side_of_id = _split_file(path)
    side_of: dict[str, Side] = {}
    used: dict[str, set[str]] = {}
    for row in rows:
        for name in (row.night_id, row.person, row.subject_id):
            if name is not None and plain_id(name) in side_of_id:
                side_of[row.night_id] = side_of_id[plain_id(name)]
                used.setdefault(plain_id(name), set()).add(row.person)
                break
    if not side_of:
        raise UsageError(f"{path} names {len(side_of_id)} ids, and none of them is a night or a person of the store.")
    shared = sorted(name for name, people in used.items() if len(people) > 1)
    if shared:
        people = sorted(used[shared[0]])
        raise UsageError(
            f"{path} names {shared[0]}, which is a person of several cohorts ({', '.join(people[:_MOST_TOLD])}); write "
            "cohort/subject_id or night ids."
        )
    _tell_unmatched(path, sorted(set(side_of_id) - set(used)), len(rows) - len(side_of))
    return side_of


def _tell_unmatched(path: Path, unused: Sequence[str], n_left_out: int) -> None:
    """A published split may name more people than a store holds, or fewer: both are said, neither is wrong."""
    if unused:
        told = ", ".join(unused[:_MOST_TOLD]) + (" ..." if len(unused) > _MOST_TOLD else "")
        _LOGGER.warning("%s names %d id(s) that the store does not hold (%s).", path, len(unused), told)
    if n_left_out:
        _LOGGER.warning("%s does not name %d night(s) of the store: they are not used.", path, n_left_out)


def _split_file(path: Path) -> dict[str, Side]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the split file {path} cannot be read ({error}); name a CSV, TSV or JSON file.") from None
    pairs = _json_pairs(text, path) if path.suffix.lower() == ".json" else _table_pairs(text, path)
    side_of_id: dict[str, Side] = {}
    for name, word in pairs:
        side = _SIDE_OF_WORD.get(word.strip().lower())
        if side is None:
            raise UsageError(f"{path} puts {name} into {word!r}; expected one of {', '.join(SIDES)}.")
        if side_of_id.setdefault(plain_id(name), side) != side:
            raise UsageError(f"{path} puts {name} into {side_of_id[plain_id(name)]} and into {side}; keep one.")
    return side_of_id


def _table_pairs(text: str, path: Path) -> list[tuple[str, str]]:
    first = text.partition("\n")[0]
    rows = list(csv.DictReader(io.StringIO(text), delimiter="\t" if "\t" in first else ";" if ";" in first else ","))
    names = rows[0].keys() if rows else ()
    column = next((name for name in _ID_COLUMNS if name in names), None)
    if column is None or "split" not in names:
        raise UsageError(
            f"{path} needs a column 'split' and one of {', '.join(_ID_COLUMNS)}; it begins with {first!r}."
        )
    return [(row[column] or "", row["split"] or "") for row in rows if row[column]]


def _json_pairs(text: str, path: Path) -> list[tuple[str, str]]:
    try:
        sides = json.loads(text)
    except ValueError as error:
        raise UsageError(f"the split file {path} is no JSON ({error}).") from None
    if not isinstance(sides, dict) or not all(isinstance(ids, list) for ids in sides.values()):
        raise UsageError(f"{path} must be an object with lists of ids under {', '.join(SIDES)}.")
    return [(str(name), str(word)) for word, ids in sides.items() for name in ids]


def _refuse_leaks(rows: Sequence[ManifestRow], side_of: Mapping[str, Side], config: SplitConfig) -> None:
    for what in ("person", "family"):
        sides: dict[str, set[Side]] = {}
        for row in rows:
            if row.night_id in side_of:
                sides.setdefault(getattr(row, what), set()).add(side_of[row.night_id])
        torn = sorted(name for name, found in sides.items() if len(found) > 1)
        if torn:
            told = ", ".join(torn[:_MOST_TOLD]) + (
                f" and {len(torn) - _MOST_TOLD} more" if len(torn) > _MOST_TOLD else ""
            )
            how = f"the split file {config.file}" if config.file else f"splitting by {config.by}"
            many = {"person": "people", "family": "families"}[what]
            raise UsageError(
                f"{how} puts {len(torn)} {many} on two sides ({told}), so that scores would be too good; "
                f"{_way_out(what, config)}, or, if you mean it, add --i-know."
            )


def _way_out(what: str, config: SplitConfig) -> str:
    if config.file:
        return "mend the file"
    if what == "family" and config.by == "family":
        return "give every night of a person the same family_id"
    return "split by family (split.by=family)"


def _refuse_strangers(rows: Sequence[ManifestRow], side_of: Mapping[str, Side]) -> None:
    """Nights of unknown people: nobody can say that two of them are not one person's."""
    strangers = [row.night_id for row in rows if row.subject_id is None and row.night_id in side_of]
    if len({side_of[night_id] for night_id in strangers}) > 1:
        told = ", ".join(strangers[:_MOST_TOLD]) + (" ..." if len(strangers) > _MOST_TOLD else "")
        raise UsageError(
            f"{len(strangers)} nights have no subject_id ({told}) and stand on several sides, so one person may stand "
            "on two; give ids (column subject_id of participants.csv, or a cohort file's identity) and ingest again, "
            "or, if each night is of another person, add --i-know."
        )


def _site(row: ManifestRow) -> str:
    return f"{row.cohort or 'unknown'}/{row.site or 'unknown'}"


def _n_units(share: float, total: int, available: int) -> int:
    return 0 if share == 0 or available < 2 else min(available - 1, max(1, round(share * total)))


def _rank(unit: str, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed}|{unit}".encode(), digest_size=8).digest()
