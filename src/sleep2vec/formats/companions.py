"""Files that belong beside a recording: who scored it elsewhere, under which name."""

import re
from pathlib import Path

# Sleep-EDF: the last letter of the night's code is the recorder (PSG) or the scorer (hypnogram).
_SLEEP_EDF = re.compile(r"(?P<night>.+).-PSG", re.IGNORECASE)
_SUFFIXES = (".edf", ".bdf")


def hypnogram_beside(path: Path) -> Path | None:
    """The EDF+ hypnogram that belongs to a recording, or None.

    ``SC4001E0-PSG.edf`` has ``SC4001EC-Hypnogram.edf``; ``night.edf`` has ``night.hypnogram.edf`` or
    ``night-hypnogram.edf``. The case of letters does not matter; of several, the first by name is taken.
    """
    names = [rf"{re.escape(path.stem)}[.-]hypnogram"]
    night = _SLEEP_EDF.fullmatch(path.stem)
    if night is not None:
        names.append(rf"{re.escape(night['night'])}.-hypnogram")
    pattern = re.compile("|".join(names), re.IGNORECASE)
    if not path.parent.is_dir():
        return None
    return next(
        (
            file
            for file in sorted(path.parent.iterdir())
            if file.suffix.lower() in _SUFFIXES and pattern.fullmatch(file.stem) and file.is_file()
        ),
        None,
    )
