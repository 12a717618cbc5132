"""The sites: who sleeps there, and with which amplifiers, labels, units and habits their nights are written.

Four sleep laboratories as one literal table. Labels are dialects that real clinics use.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from sleep2vec.vocabulary.errors import UsageError


@dataclass(frozen=True)
class Channel:
    """One channel of a site's montage.

    Attributes:
        label: As the site's files write it.
        kind: What it serves: a modality name, ``"thorax"``, ``"reference"``, ``"pulse"``, or what else a file holds
            (``"snore"``, ``"position"`` ...: the kinds of the catalog).
        source: Two electrodes (``"C4-M1"``), one (``"C4"``, against the amplifier's own reference), or a sensor:
            ``chin``, ``ecg``, ``flow``, ``thermistor``, ``thorax``, ``abdomen``, ``sum``, ``spo2``, ``pulse``, ``ppg``,
            ``wrist`` (magnitude of acceleration), or one of `accessories.ACCESSORIES`. ``chin1`` to ``chin3`` and
            ``ecg1`` to ``ecg3`` are single electrodes.
        rate_hz, unit: In the file.
        reach: Largest value that the converter can give, in `unit`; the smallest is `-reach`, or 0 for saturation and
            heart rates.
        band_hz: Amplifier's high pass and low pass; None where there is none.
        box: Which device digitises it: each has a clock of its own (`Site.clock_ppm`).
    """

    label: str
    kind: str
    source: str
    rate_hz: float
    unit: str
    reach: float
    band_hz: tuple[float | None, float | None] = (None, None)
    box: str = "amplifier"

    @property
    def range(self) -> tuple[float, float]:
        is_positive = self.unit in ("%", "bpm") or self.kind in ("spo2", "pulse")
        return (0.0 if is_positive else -self.reach, self.reach)

    @property
    def electrodes(self) -> tuple[str, ...]:
        """What it is plugged into: one or two places, or the sensor itself."""
        return tuple(self.source.split("-"))

    @property
    def prefilter(self) -> str:
        low, high = self.band_hz
        written = [f"{name}:{edge:g}Hz" for name, edge in (("HP", low), ("LP", high)) if edge is not None]
        return " ".join(written)


@dataclass(frozen=True)
class Site:
    """One sleep laboratory.

    Attributes:
        mains_hz, mains_uv: Hum and its usual size in an electrode's signal.
        noise_gain: Electrode noise against the person's own.
        gain_error: Spread (of the logarithm) of its electrical calibration; belts and cannulas have `loose_gain`.
        flow_delay_s: Of airflow against the belts (length of the tubing).
        spo2_step: Resolution of its oximeter in %.
        spo2_averaging_s, spo2_delay_s: Length of the oximeter's running mean, and its delay on top of it.
        clock_ppm: How much faster than the amplifier's the clock of another box runs, in parts per million; a box
            that is not here keeps the amplifier's time. Its samples are written as if they kept it.
        age_range_years: Whom it takes; a sleep laboratory for children says so here.
    """

    name: str
    channels: tuple[Channel, ...]
    age_mean_years: float
    age_sd_years: float
    female_share: float
    apnea_median_per_hour: float
    mains_hz: float
    mains_uv: float
    noise_gain: float
    gain_error: float
    loose_gain: float
    flow_delay_s: float
    spo2_step: float
    spo2_averaging_s: float = 0.0
    spo2_delay_s: float = 0.0
    clock_ppm: Mapping[str, float] = field(default_factory=dict, hash=False)
    age_range_years: tuple[float, float] = (18.0, 90.0)


_ALPHA = Site(
    name="alpha",
    age_mean_years=46, age_sd_years=14, female_share=0.50, apnea_median_per_hour=6.0,
    mains_hz=50, mains_uv=1.0, noise_gain=1.0, gain_error=0.05, loose_gain=0.5, flow_delay_s=0.1, spo2_step=1.0,
    channels=(
        Channel("C4-M1", "eeg", "C4-M1", 128, "uV", 500, (0.3, 35)),
        Channel("O2-M1", "eeg", "O2-M1", 128, "uV", 500, (0.3, 35)),
        Channel("E1-M2", "eog", "E1-M2", 128, "uV", 500, (0.3, 35)),
        Channel("E2-M2", "eog", "E2-M2", 128, "uV", 500, (0.3, 35)),
        Channel("Chin1-Chin2", "emg", "chin", 128, "uV", 500, (10, None)),
        Channel("ECG II", "ecg", "ecg", 256, "uV", 5000, (0.3, 70)),
        Channel("Nasal Pressure", "airflow", "flow", 32, "cmH2O", 4),
        Channel("Thorax", "thorax", "thorax", 16, "uV", 1000, (0.05, None)),
        Channel("Abdomen", "belt", "abdomen", 16, "uV", 1000, (0.05, None)),
        Channel("SpO2", "spo2", "spo2", 1, "%", 100),
        Channel("Pulse", "pulse", "pulse", 1, "bpm", 250),
        Channel("Pleth", "ppg", "ppg", 64, "", 10, (0.05, None)),
        Channel("Actigraphy", "actigraphy", "wrist", 32, "g", 8),
    ),
)  # fmt: skip

_BETA = Site(
    name="beta",
    age_mean_years=55, age_sd_years=12, female_share=0.35, apnea_median_per_hour=14.0,
    mains_hz=50, mains_uv=2.5, noise_gain=1.4, gain_error=0.10, loose_gain=0.7, flow_delay_s=0.3, spo2_step=0.5,
    channels=(
        Channel("EEG C4-A1", "eeg", "C4-M1", 200, "mV", 0.8, (0.5, 70)),
        Channel("EEG C3-A2", "eeg", "C3-M2", 200, "mV", 0.8, (0.5, 70)),
        Channel("EOG LOC-A2", "eog", "E1-M2", 200, "mV", 0.8, (0.5, 30)),
        Channel("EOG ROC-A2", "eog", "E2-M2", 200, "mV", 0.8, (0.5, 30)),
        Channel("EMG Chin", "emg", "chin", 200, "mV", 0.8, (10, None)),
        Channel("EKG", "ecg", "ecg", 200, "mV", 8, (0.5, 70)),
        Channel("Flow", "airflow", "flow", 20, "", 10, (0.05, None)),
        Channel("Effort THO", "thorax", "thorax", 20, "", 10, (0.1, None)),
        Channel("Effort ABD", "belt", "abdomen", 20, "", 10, (0.1, None)),
        Channel("SpO2", "spo2", "spo2", 2, "%", 100),
    ),
)  # fmt: skip

_GAMMA = Site(
    name="gamma",
    age_mean_years=40, age_sd_years=13, female_share=0.55, apnea_median_per_hour=5.0,
    mains_hz=60, mains_uv=3.0, noise_gain=0.8, gain_error=0.05, loose_gain=0.5, flow_delay_s=0.0, spo2_step=0.1,
    channels=(
        Channel("C4", "eeg", "C4", 128, "V", 0.002, (0.1, 50)),
        Channel("F4", "eeg", "F4", 128, "V", 0.002, (0.1, 50)),
        Channel("M1", "reference", "M1", 128, "V", 0.002, (0.1, 50)),
        Channel("M2", "reference", "M2", 128, "V", 0.002, (0.1, 50)),
        Channel("E1", "eog", "E1", 128, "V", 0.002, (0.1, 50)),
        Channel("E2", "eog", "E2", 128, "V", 0.002, (0.1, 50)),
        Channel("Chin", "emg", "chin", 128, "V", 0.002, (5, None)),
        Channel("ECG", "ecg", "ecg", 128, "V", 0.008, (0.1, None)),
        Channel("Airflow", "airflow", "flow", 25, "V", 0.5),
        Channel("Chest", "thorax", "thorax", 25, "V", 0.5),
        Channel("Abdominal", "belt", "abdomen", 25, "V", 0.5),
        Channel("SaO2", "spo2", "spo2", 1, "%", 100),
    ),
)  # fmt: skip

_DELTA = Site(
    name="delta",
    age_mean_years=64, age_sd_years=10, female_share=0.52, apnea_median_per_hour=10.0,
    mains_hz=60, mains_uv=0.8, noise_gain=1.2, gain_error=0.05, loose_gain=0.4, flow_delay_s=0.2, spo2_step=1.0,
    channels=(
        Channel("SaO2", "spo2", "spo2", 1, "%", 100),
        Channel("H.R.", "pulse", "pulse", 1, "bpm", 250),
        Channel("EEG(sec)", "eeg", "C3-M2", 125, "uV", 125, (0.15, 60)),
        Channel("ECG", "ecg", "ecg", 125, "mV", 1.25, (0.15, 60)),
        Channel("EMG", "emg", "chin", 125, "uV", 125, (0.15, 60)),
        Channel("EOG(L)", "eog", "E1-M2", 50, "uV", 125, (0.15, 20)),
        Channel("EOG(R)", "eog", "E2-M2", 50, "uV", 125, (0.15, 20)),
        Channel("EEG", "eeg", "C4-M1", 125, "uV", 125, (0.15, 60)),
        Channel("THOR RES", "thorax", "thorax", 10, "", 1, (0.05, None)),
        Channel("ABDO RES", "belt", "abdomen", 10, "", 1, (0.05, None)),
        Channel("NEW AIR", "airflow", "flow", 10, "", 1, (0.05, None)),
    ),
)  # fmt: skip

SITES: Mapping[str, Site] = MappingProxyType({site.name: site for site in (_ALPHA, _BETA, _GAMMA, _DELTA)})


def with_watch(site: Site) -> Site:
    """The site with a pulse wave and the acceleration of a wrist behind its own channels, where it has none.

    Whatever else it records stays the same to the bit.
    """
    watch = (channel for channel in _ALPHA.channels if channel.source in ("ppg", "wrist"))
    own = {channel.source for channel in site.channels}
    return replace(site, channels=(*site.channels, *(channel for channel in watch if channel.source not in own)))


def site_named(name: str) -> Site:
    """The site of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in SITES:
        raise UsageError(f"unknown site {name!r}; choose from {', '.join(SITES)}.")
    return SITES[name]
