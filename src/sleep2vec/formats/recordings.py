"""Every format of recordings, and which one a file is."""

import bz2
import gzip
import lzma
import shutil
import tempfile
import weakref
import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sleep2vec.formats.edf import read_edf
from sleep2vec.formats.edf_header import open_bytes
from sleep2vec.formats.wfdb_record import is_wfdb_record, read_wfdb
from sleep2vec.vocabulary.errors import UnreadableFileError
from sleep2vec.vocabulary.recording import Recording, Signal

# A new format is one new line here.
RECORDING_READERS: MappingProxyType[str, Callable[[Path], Recording]] = MappingProxyType(
    {".edf": read_edf, ".bdf": read_edf, ".rec": read_edf, ".hea": read_wfdb}
)
COMPRESSIONS: MappingProxyType[str, Callable[..., Any]] = MappingProxyType(
    {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
)
_EDF_BEGINNINGS = (b"0       ", b"\xffBIOSEMI")
_ANNOTATIONS = ("hypnogram", "_annotations")


def read_recording(path: Path) -> Recording:
    """Read a recording and what its own file says of stages and events; companions are left to `reader.read`.

    Raises:
        UnreadableFileError: the format is not known, or the file is not what its name says.
    """
    try:
        return _read_compressed(path) if path.suffix.lower() in COMPRESSIONS else _reader_of(path)(path)
    except OSError as error:  # locked by another program, a share that went away, a bad sector
        raise UnreadableFileError(
            f"{path} cannot be read ({error.strerror or error}); check that no other program holds it and that "
            "its disk answers."
        ) from None


def is_recording(path: Path) -> bool:
    """Whether a file below a cohort's folder is a recording by its name; hypnograms in EDF+ are not."""
    packed = path.suffix.lower() in COMPRESSIONS
    bare = path.with_suffix("") if packed else path
    ending, stem = bare.suffix.lower(), bare.stem.lower()
    if ending not in RECORDING_READERS or any(word in stem for word in _ANNOTATIONS):
        return False
    return ending != ".hea" or (not packed and is_wfdb_record(path))


def _reader_of(path: Path) -> Callable[[Path], Recording]:
    if path.suffix.lower() in RECORDING_READERS:
        return RECORDING_READERS[path.suffix.lower()]
    if path.is_dir():
        raise UnreadableFileError(f"{path} is a folder, but one recording was expected; name a file in it.")
    with open_bytes(path) as file:
        if file.read(8) in _EDF_BEGINNINGS:  # an EDF file under another name
            return read_edf
    raise UnreadableFileError(
        f"{path} has the suffix {path.suffix!r} and does not begin like EDF; formats that are read: "
        "EDF, EDF+ and BDF (.edf, .bdf, .rec; also as .gz, .xz, .bz2) and WFDB (.hea)."
    )


def _read_compressed(path: Path) -> Recording:
    """EDF needs a file that can be mapped: one is unpacked, and removed with the last of the recording's signals."""
    open_bytes(path).close()  # a missing, closed or wrong file is told as everywhere
    if Path(path.stem).suffix.lower() == ".hea":
        raise UnreadableFileError(f"{path} is a packed WFDB header, and its signals are elsewhere; unpack the record.")
    folder = _Folder()
    plain = folder.path / path.stem
    try:
        with COMPRESSIONS[path.suffix.lower()](path, "rb") as packed, plain.open("wb") as file:
            shutil.copyfileobj(packed, file, 1 << 20)
        recording = _reader_of(plain)(plain)
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise UnreadableFileError(f"{path} cannot be unpacked ({error}); copy or pack it again.") from None
    except UnreadableFileError as error:
        raise UnreadableFileError(str(error).replace(str(plain), str(path))) from None
    signals = tuple(replace(signal, load=partial(_load, signal, folder)) for signal in recording.signals)
    return replace(recording, signals=signals, source=path.name)


class _Folder:
    """A temporary folder that is removed when nobody holds it any more."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="sleep2vec-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


def _load(signal: Signal, folder: _Folder) -> NDArray[np.float32]:
    """Samples of `signal`; holding `folder` keeps the file they are read from."""
    return signal.load()
