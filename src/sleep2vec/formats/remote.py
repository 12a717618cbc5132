"""Recordings in object stores (``s3://``, ``gs://``, ``https://`` ...), through `fsspec`.

EDF has to be mapped and WFDB is several files, so a recording is copied to this machine while it is read.
"""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from sleep2vec.vocabulary.errors import UnreadableFileError, UsageError

_CHUNK_BYTES = 1 << 22


def is_remote(source: object) -> bool:
    """Whether `source` is a URL of a file system (``s3://bucket/night.edf``) rather than a path."""
    return isinstance(source, str) and "://" in source


def list_files(url: str) -> list[str]:
    """URLs of all files below `url`, sorted.

    Raises:
        UsageError: nothing in the environment can open this kind of URL.
        UnreadableFileError: the place does not answer, or is not there.
    """
    files, root = _opened(url)
    try:
        found = files.find(root)
    except Exception as error:  # each driver has errors of its own
        raise _unanswered(url, error) from None
    if not found:
        raise UnreadableFileError(
            f"{url} holds no files, or is not there; check the spelling of the bucket and folder."
        )
    return sorted(files.unstrip_protocol(path) for path in found)


@contextmanager
def local_copy(url: str, beside: Sequence[str] = ()) -> Iterator[Path]:
    """A copy of the file on this machine, removed at the end of the block, whatever happens in it.

    Args:
        url: of the file.
        beside: URLs of files that it needs next to it (annotations, the signal files of a WFDB header).

    Raises:
        UsageError: nothing in the environment can open this kind of URL.
        UnreadableFileError: the file cannot be fetched.
    """
    with tempfile.TemporaryDirectory(prefix="sleep2vec-") as folder:
        copies = [_fetched(each, Path(folder)) for each in (url, *beside)]
        yield copies[0]


def path_below(url: str, root: str) -> str:
    """The path of a file below `root`; one place can be spelled ``memory://a`` and ``memory:///a``."""
    return _opened(url)[1].removeprefix(_opened(root)[1].rstrip("/")).lstrip("/")


def stamp_of(url: str) -> str:
    """What changes when the file does: its size and whatever the store keeps of its version or time.

    Raises:
        UsageError, UnreadableFileError: as `list_files`.
    """
    files, path = _opened(url)
    try:
        facts = files.info(path)
    except Exception as error:  # each driver has errors of its own
        raise _unanswered(url, error) from None
    known = [facts.get(name) for name in ("size", "ETag", "etag", "LastModified", "updated", "mtime", "created")]
    return "|".join(str(fact) for fact in known if fact is not None)


def _fetched(url: str, folder: Path) -> Path:
    files, path = _opened(url)
    copy = folder / PurePosixPath(path).name
    try:
        with files.open(path, "rb") as there, copy.open("wb") as here:
            shutil.copyfileobj(there, here, _CHUNK_BYTES)
    except Exception as error:  # each driver has errors of its own
        raise _unanswered(url, error) from None
    return copy


def _opened(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path in it."""
    import fsspec

    scheme = url.partition("://")[0]
    try:
        files, path = fsspec.core.url_to_fs(url)
    except ImportError as error:  # its sentence names the package
        told = " ".join(str(error).split())
        raise UsageError(f"{url} needs a driver for {scheme}:// that is not installed: {told}.") from None
    except ValueError:
        raise UsageError(
            f"{url} begins with {scheme}://, which fsspec does not know; give s3://, gs://, https:// or a path."
        ) from None
    except Exception as error:
        raise _unanswered(url, error) from None
    return files, path


def _unanswered(url: str, error: Exception) -> UnreadableFileError:
    told = " ".join(str(error).split())[:200]
    return UnreadableFileError(
        f"{url} cannot be fetched ({type(error).__name__}: {told}); check the address and the rights."
    )
