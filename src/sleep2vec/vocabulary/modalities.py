"""The modalities: the one table that knows their names, rates, units and derivations.

A token is 30 s of one modality, the scoring epoch of the AASM Manual.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType

from sleep2vec.vocabulary.errors import UnknownModalityError

TOKEN_SECONDS = 30


@dataclass(frozen=True)
class Modality:
    """One kind of signal as stores hold it and models read it.

    Attributes:
        name: Short lower-case name, the key everywhere.
        title: How a report names it.
        rate_hz: Rate in the store.
        unit: Unit in the store; ``"robust units"`` where a device's gain is arbitrary.
        night_scaled: Whether a night's own median and spread are removed at the model's door. False
            where the level itself is the message (SpO2, IBI, actigraphy): then `centre` and `spread` are fixed. For
            actigraphy, the night's own spread would be the sensor's noise, of which every movement is a hundredfold:
            all would be clipped alike. 0.02 g is a small movement, and what is clipped lies above 0.4 g.
        centre, spread: The fixed constants, in `unit`, of a modality that is not `night_scaled`.
        may_derive_from: Modalities that may have been computed from the same sensor; pairs of them
            share artefacts, so pretraining draws them rarely.
    """

    name: str
    title: str
    rate_hz: int
    unit: str
    night_scaled: bool = True
    centre: float = 0.0
    spread: float = 1.0
    may_derive_from: tuple[str, ...] = ()

    @property
    def samples_per_token(self) -> int:
        return self.rate_hz * TOKEN_SECONDS


MODALITIES: MappingProxyType[str, Modality] = MappingProxyType(
    {
        modality.name: modality
        for modality in (
            Modality("eeg", "EEG", 128, "uV"),
            Modality("eog", "EOG", 128, "uV"),
            Modality("emg", "chin EMG", 128, "uV"),
            Modality("ecg", "ECG", 128, "mV"),
            Modality("airflow", "airflow", 4, "robust units"),
            Modality("belt", "effort belt", 4, "robust units"),
            Modality("spo2", "SpO2", 4, "%", night_scaled=False, centre=95.0, spread=3.0),
            Modality("ibi", "heart-beat intervals", 4, "s", False, 0.9, 0.15, ("ecg", "ppg")),
            Modality("resp", "respiration", 4, "robust units", True, 0.0, 1.0, ("belt", "airflow", "ecg", "ppg")),
            Modality("ppg", "pulse wave (PPG)", 128, "robust units"),
            Modality("actigraphy", "actigraphy", 4, "g", night_scaled=False, centre=0.0, spread=0.02),
        )
    }
)
"""All that a store may hold, in the order in which its files do: new ones come at the end."""
WEARABLES = ("ppg", "actigraphy")
"""Modalities of a watch: models read them after adaptation, or where their recipe names them."""
CORE = tuple(name for name in MODALITIES if name not in WEARABLES)
"""The nine of the published model, and what a model reads unless its recipe says otherwise."""


def derived_together(first: str, second: str) -> bool:
    """Whether one of the two modalities may have been computed from the other's sensor."""
    return second in MODALITIES[first].may_derive_from or first in MODALITIES[second].may_derive_from


def parse_modalities(names: Iterable[str]) -> tuple[str, ...]:
    """Check names of modalities and return them in the table's order, each once.

    Raises:
        UnknownModalityError: a name is not in `MODALITIES`, or there is none at all.
    """
    wanted = [name.strip().lower() for name in names if name.strip()]
    if not wanted:
        raise UnknownModalityError(f"no modality was named; choose from {', '.join(MODALITIES)}.")
    unknown = [name for name in wanted if name not in MODALITIES]
    if unknown:
        guesses = {name: get_close_matches(name, MODALITIES, n=1) for name in unknown}
        named = ", ".join(f"{n!r} (did you mean {g[0]!r}?)" if g else repr(n) for n, g in guesses.items())
        raise UnknownModalityError(f"unknown modality {named}; choose from {', '.join(MODALITIES)}.")
    return tuple(name for name in MODALITIES if name in wanted)
