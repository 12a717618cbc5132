"""Hum that does not fit the country: a recording of elsewhere, or something that only looks like the mains."""

import re

from sleep2vec.cohorts.catalog import Cohort
from sleep2vec.vocabulary.night import Night

_REMOVED = re.compile(r"mains of (\d+) Hz removed")  # as `harmonization.waveform` writes it


def doubts_of_hum(night: Night, cohort: Cohort) -> tuple[str, ...]:
    """What a person should know: modalities from which another mains frequency was removed than the cohort has."""
    expected_hz = cohort.file.mains_hz
    found: dict[int, list[str]] = {}
    for name, story in night.provenance.items():
        for step in story.steps:
            match = _REMOVED.fullmatch(step)
            if match and expected_hz is not None and int(match[1]) != expected_hz:
                found.setdefault(int(match[1]), []).append(name)
    return tuple(
        f"{', '.join(names)}: hum of {hz} Hz was removed, and the mains of {cohort.name} have {expected_hz} Hz: the "
        "night is of elsewhere, or the hum is something else"
        for hz, names in found.items()
    )
