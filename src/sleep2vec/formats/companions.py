"""Files that belong beside a recording: who scored it elsewhere, under which name."""

import bisect
import fnmatch
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from sleep2vec.cohorts.catalog import Cohort, Identity

# Sleep-EDF: the last letter of the night's code is the recorder (PSG) or the scorer (hypnogram).
_SLEEP_EDF = re.compile(r"(?P<night>.+).-psg", re.IGNORECASE)
# Names that belong to "{stem}.edf" in whatever cohort, best first.
_USUAL_NAMES = (
    "{stem}-nsrr.xml",
    "{stem}-profusion.xml",
    "{name}.xml",
    "{stem}.xml",
    "{stem}.hypnogram.edf",
    "{stem}-hypnogram.edf",
    "{stem}.hypnogram.bdf",
    "{stem}-hypnogram.bdf",
    "{stem}_expert_annotations.edf",
    "{stem}_caisr_annotations.edf",
    "{stem}.st",
    "{stem}.arousal",
    "{stem}.apn",
    "{stem}.annot",
    "{stem}_stage.txt",
    "{stem}.hypnogram.txt",
    "{stem}.hypnogram.sta",
    "{stem}.allscore.txt",
    "{stem}.stg.txt",
)
# A plain table or text may be anything: it is taken only if it can be read as a scoring.
_MAYBE_NAMES = ("{stem}.csv", "{stem}.tsv", "{stem}.txt", "{stem}.json")
_MOST_OTHERS = 5
_BIDS = re.compile(r"(?P<entities>.+)_(?:eeg|psg|nirs|ieeg)", re.IGNORECASE)
_RECORDING_SUFFIX = re.compile(r"\.(edf|bdf|rec|hea)(\.(gz|xz|bz2))?", re.IGNORECASE)


@dataclass(frozen=True)
class Companion:
    """An annotation file that belongs to a recording.

    Attributes:
        path: The file; it exists.
        dialect: A key of `formats.annotations.ANNOTATION_READERS`, or None: by its ending and first lines.
        how: Why it belongs, for a person.
        certain: False where only the name is alike and the content may be something else.
    """

    path: Path
    dialect: str | None
    how: str
    certain: bool = True


class FileIndex:
    """The names of all files below a folder, from one walk: 42,000 nights do not cost 42,000 listings."""

    def __init__(self, paths: Iterator[Path]) -> None:
        self.unreadable: list[tuple[Path, str]] = []
        """Folders that could not be looked into, and why."""
        self._paths_of: dict[str, list[Path]] = {}
        for path in paths:
            self._paths_of.setdefault(path.name.lower(), []).append(path)

    @classmethod
    def of(cls, root: Path) -> "FileIndex":
        """Every file below `root`, through links to folders; hidden folders are left out."""
        unreadable: list[tuple[Path, str]] = []
        index = cls(_below(root, unreadable))
        index.unreadable = unreadable
        return index

    @classmethod
    def of_folder(cls, folder: Path) -> "FileIndex":
        """The files of one folder, for a recording that is read alone."""
        if not folder.is_dir():
            return cls(iter(()))
        return cls(path for path in sorted(folder.iterdir()) if path.is_file())

    @property
    def paths(self) -> Iterator[Path]:
        """Every file."""
        return (path for paths in self._paths_of.values() for path in paths)

    def named(self, pattern: str, near: Path) -> list[Path]:
        """Files whose name fits `pattern` (``*`` and ``?`` as in a shell, any case), those nearest to `near` first."""
        pattern = pattern.lower()
        if re.search(r"[*?]", pattern):
            found = [path for name in self._like(pattern) for path in self._paths_of[name]]
        else:
            found = list(self._paths_of.get(pattern, ()))
        return sorted(found, key=lambda path: (-_shared_parts(path.parent, near.parent), len(path.parts), str(path)))

    def _like(self, pattern: str) -> list[str]:
        prefix = re.split(r"[*?\[]", pattern)[0]
        first = bisect.bisect_left(self._names, prefix)
        last = bisect.bisect_right(self._names, prefix + "\U0010ffff")
        rule = re.compile(fnmatch.translate(pattern.replace("[", "[[]")))
        return [name for name in self._names[first:last] if rule.match(name)]

    @cached_property
    def _names(self) -> list[str]:
        return sorted(self._paths_of)


def companions_of(
    recording: Path,
    *,
    cohort: Cohort | None = None,
    index: FileIndex | None = None,
    identity: Identity | None = None,
) -> tuple[Companion, ...]:
    """The annotation files of a recording, best first.

    The names of the cohort come before the usual ones; of several files with one name the nearest in the tree is taken.

    Args:
        recording: path of the recording.
        cohort: whose `scoring.files` are looked for.
        index: where to look; None is the recording's own folder.
        identity: what the recording's path says of the person, for the cohort's names.
    """
    index = index or FileIndex.of_folder(recording.parent)
    stem = _stem(recording)
    found: dict[Path, Companion] = {}
    if cohort is not None:
        fields = {"stem": stem, **(identity.fields if identity else {})}
        named = [
            (file, path)
            for file in cohort.file.scoring.files
            if (name := _filled(file.name, fields))
            for path in index.named(name, recording)
        ]
        for file in cohort.file.scoring.files:
            path = next((path for other, path in named if other is file), None)
            if path is not None:
                others = [p for other, p in named if p != path and (other is file or other.scorer != file.scorer)]
                how = f"as {cohort.name} names it ({file.name}){_others(others)}"
                found.setdefault(path, Companion(path, file.dialect, how))
    for name, certain in _usual(recording, stem):
        for path in index.named(name, recording)[:1]:
            if path != recording:
                found.setdefault(path, Companion(path, None, "by its name", certain))
    return tuple(found.values())


def _others(paths: Sequence[Path]) -> str:
    """That other scorers' files lie there, which are not used beside this one."""
    if not paths:
        return ""
    places = [f"{path.parent.name}/{path.name}" for path in dict.fromkeys(paths)]
    more = f" and {len(places) - _MOST_OTHERS} more" if len(places) > _MOST_OTHERS else ""
    return f"; others lie there and were not used: {', '.join(places[:_MOST_OTHERS])}{more}"


def _usual(recording: Path, stem: str) -> Iterator[tuple[str, bool]]:
    fields = {"stem": stem, "name": recording.name}
    yield from ((_filled(name, fields), True) for name in _USUAL_NAMES)
    sleep_edf, bids = _SLEEP_EDF.fullmatch(stem), _BIDS.fullmatch(stem)
    if sleep_edf:
        yield f"{sleep_edf['night']}?-hypnogram.edf", True
        yield f"{sleep_edf['night']}?-hypnogram.bdf", True
    if bids:
        yield f"{bids['entities']}_events.tsv", True
    yield from ((_filled(name, fields), False) for name in _MAYBE_NAMES)


def _filled(name: str, fields: Mapping[str, str]) -> str:
    """Fields filled in; empty where the recording's name lacks one."""
    missing = [field for field in re.findall(r"{(\w+)}", name) if field not in fields]
    return "" if missing else re.sub(r"{(\w+)}", lambda match: fields[match[1]], name)


def _stem(path: Path) -> str:
    """Name without the ending, ``night.edf.gz`` included."""
    return _RECORDING_SUFFIX.sub("", path.name) if _RECORDING_SUFFIX.search(path.name) else path.stem


def _below(root: Path, unreadable: list[tuple[Path, str]]) -> Iterator[Path]:
    def tell(error: OSError) -> None:
        unreadable.append((Path(error.filename), error.strerror or str(error)))

    seen: set[str] = set()
    for folder, folders, names in os.walk(root, onerror=tell, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # a link that leads back, or to where another one led
            folders[:] = []
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(folder) / name for name in sorted(names))


def _shared_parts(one: Path, other: Path) -> int:
    same = 0
    for left, right in zip(one.parts, other.parts, strict=False):
        if left != right:
            break
        same += 1
    return same
