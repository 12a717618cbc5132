"""Every format of recordings, and which one a file is."""

from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

from sleep2vec.formats.edf import read_edf
from sleep2vec.formats.edf_header import open_bytes
from sleep2vec.vocabulary.errors import UnreadableFileError
from sleep2vec.vocabulary.recording import Recording

# A new format is one new line here.
RECORDING_READERS: MappingProxyType[str, Callable[[Path], Recording]] = MappingProxyType(
    {".edf": read_edf, ".bdf": read_edf, ".rec": read_edf}
)
_EDF_BEGINNINGS = (b"0       ", b"\xffBIOSEMI")


def read_recording(path: Path) -> Recording:
    """Read a recording and what its own file says of stages and events; companions are left to `reader.read`.

    Raises:
        UnreadableFileError: the format is not known, or the file is not what its name says.
    """
    return _reader_of(path)(path)


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
        "EDF, EDF+ and BDF (.edf, .bdf, .rec)."
    )


def is_recording(path: Path) -> bool:
    """Whether a file below a cohort's folder is a recording by its name; hypnograms in EDF+ are not."""
    return path.suffix.lower() in RECORDING_READERS and "hypnogram" not in path.stem.lower()
