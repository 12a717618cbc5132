"""What recordings of a cohort lack, and what fails in the night: two literal tables, with where the numbers come from.

Two things: a channel that a file does not have (the technician did not use it, the export lost it), and a sensor that
fails for a part of the night. The first was counted in the headers of some cohorts. The second nobody publishes by
channel and hour; those numbers are ours, and say so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sleep2vec.simulation.faults import Fault, FaultKind
from sleep2vec.simulation.noise import Rng
from sleep2vec.simulation.sites import Site

_COUNTED = "counted in the cohort's headers (channel_aliases.json)"
_OURS = "ours"


@dataclass(frozen=True)
class Lack:
    """Sensors (kinds or labels) that are absent together from a share of the recordings."""

    share: float
    sensors: tuple[str, ...]
    source: str


# Ours: where nobody counted, a clinic's habits.
_USUAL = (
    Lack(0.03, ("airflow",), _OURS),
    Lack(0.02, ("spo2", "pulse", "ppg"), _OURS),
    Lack(0.015, ("emg",), _OURS),
    Lack(0.015, ("belt",), _OURS),
    Lack(0.015, ("thorax",), _OURS),
    Lack(0.01, ("ecg",), _OURS),
    Lack(0.01, ("eog",), _OURS),
    Lack(0.10, ("emg_leg",), _OURS),
    Lack(0.10, ("snore",), _OURS),
)
_APPLES_HEAD = ("C3_M2", "C4_M1", "O1_M2", "O2_M1", "ROC", "thermistor", "nasal_pres", "abdomen", "thorax")

LACKS: Mapping[str, tuple[Lack, ...]] = MappingProxyType(
    {
        "shhs1": (Lack(369 / 5793, ("OX stat",), _COUNTED), Lack(2 / 5793, ("LIGHT",), _COUNTED)),
        "shhs2": (),
        "mros1": (
            Lack(47 / 2907, ("Cannula Flow",), _COUNTED),
            Lack(10 / 2907, ("DHR",), _COUNTED),
            Lack(3 / 2907, ("HR", "Position", "STAT"), _COUNTED),
        ),
        "mros2": (Lack(31 / 1026, ("CannulaFlow",), _COUNTED),),
        "apples": (
            Lack(7 / 1104, _APPLES_HEAD, _COUNTED),
            Lack(1 / 1104, ("ECG",), _COUNTED),
            Lack(223 / 1104, ("LEG",), _COUNTED),
            Lack(330 / 1104, ("pulse",), _COUNTED),
        ),
        "cfs": (Lack(1 / 730, ("NASAL PRES",), _COUNTED),),
        "boas": (Lack(24 / 128, ("PSG_SPO2", "PSG_BEAT", "PSG_PULSE"), "24 of 128 have no oximeter (boas.yaml)"),),
    }
)


@dataclass(frozen=True)
class Frailty:
    """How often a kind of sensor fails in a night, and how (with weights). All ours.

    `together` fail with it: one finger clip feeds three channels.
    """

    per_night: float
    ways: Mapping[FaultKind, float]
    together: tuple[str, ...] = ()


_ELECTRODE: Mapping[FaultKind, float] = {"off": 0.5, "flat": 0.2, "saturation": 0.2, "gap": 0.1}
_BELT: Mapping[FaultKind, float] = {"off": 0.6, "flat": 0.2, "saturation": 0.2}
FRAILTIES: Mapping[str, Frailty] = MappingProxyType(
    {
        "eeg": Frailty(0.06, _ELECTRODE),
        "eog": Frailty(0.06, _ELECTRODE),
        "reference": Frailty(0.04, _ELECTRODE),
        "emg": Frailty(0.08, _ELECTRODE),
        "ecg": Frailty(0.03, _ELECTRODE),
        "airflow": Frailty(0.15, _BELT),
        "thorax": Frailty(0.07, _BELT),
        "belt": Frailty(0.07, _BELT),
        "spo2": Frailty(0.12, {"off": 0.9, "gap": 0.1}, ("pulse", "ppg")),
    }
)
# Nobody watches a recording at home.
_AT_HOME = ("shhs1", "shhs2", "mros1", "mros2", "mesa", "sof", "sleep_edf", "boas")
_HOME_FACTOR = 1.5
_UNTIL_THE_END = 0.5  # of the failures; the others are mended or end by themselves
_SWAP_PER_NIGHT = 0.01
_SWAPPED = ("eeg", "eog")


def lacks_of(cohort: str) -> tuple[Lack, ...]:
    """What recordings of a cohort lack; without a table of its own, what is usual."""
    return LACKS.get(cohort, _USUAL)


def draw_lacks(rng: Rng, cohort: str, site: Site) -> tuple[Fault, ...]:
    """Channels that one recording of the cohort does not have."""
    faults: list[Fault] = []
    for lack in lacks_of(cohort):
        if rng.random() < lack.share:
            faults += [Fault(sensor, "missing", 0.0) for sensor in lack.sensors if _has(site, sensor)]
    return tuple(faults)


def draw_failures(rng: Rng, cohort: str, site: Site, duration_s: float) -> tuple[Fault, ...]:
    """What fails in one night: each frail kind by its rate, one channel of it, for a while or from some hour on."""
    faults: list[Fault] = []
    factor = _HOME_FACTOR if cohort in _AT_HOME else 1.0
    for kind, frailty in FRAILTIES.items():
        # Drawn whether it fails or not: a site without the sensor has the same luck with the others.
        fails, way_at, when, lasts, how_long, which = rng.random(6)
        labels = [channel.label for channel in site.channels if channel.kind == kind]
        if fails >= frailty.per_night * factor or not labels:
            continue
        way = _way(frailty.ways, way_at)
        if lasts < _UNTIL_THE_END:
            from_s, until_s = round((0.3 + 0.65 * when) * duration_s, 1), None
        else:
            from_s = round(0.9 * when * duration_s, 1)
            until_s = round(min(from_s + 300 + 3300 * how_long, duration_s), 1)
        sensors = [labels[int(which * len(labels))], *(other for other in frailty.together if _has(site, other))]
        faults += [Fault(sensor, way, from_s, until_s) for sensor in sensors]
    if rng.random() < _SWAP_PER_NIGHT:
        plugs = [channel.label for channel in site.channels if channel.kind in _SWAPPED]
        if len(plugs) > 1:
            one, other = rng.choice(len(plugs), 2, replace=False)
            faults.append(Fault(plugs[one], "swap", 0.0, partner=plugs[other]))
    return tuple(faults)


def _way(ways: Mapping[FaultKind, float], at: float) -> FaultKind:
    for way, share in ways.items():
        if at < share:
            return way
        at -= share
    return next(iter(ways))


def _has(site: Site, sensor: str) -> bool:
    return any(sensor in (channel.kind, channel.label) for channel in site.channels)
