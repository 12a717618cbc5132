"""Sites made from the catalog: the channels that a public cohort's files hold, as the simulator's devices record them.

Labels, rates, units and what each channel is come from the cohort's YAML; what they are plugged into from the same
rules that read labels (`cohorts.labels`). What no file tells (ranges, filters, noise) is a plausible value of ours.
"""

from collections.abc import Mapping
from types import MappingProxyType

from sleep2vec.cohorts.catalog import Cohort, cohort_of
from sleep2vec.cohorts.schema import ChannelOfCohort, Montage
from sleep2vec.simulation.electrodes import ELECTRODES
from sleep2vec.simulation.noise import Rng
from sleep2vec.simulation.populations import population_of
from sleep2vec.simulation.sites import Channel, Site
from sleep2vec.vocabulary.errors import UsageError
from sleep2vec.vocabulary.units import factor_between

_FAR = "Fpz"  # what electrodes that are stored alone are measured against (NSRR's pages on the montages)
_CLOCK_SD_PPM = 30.0  # ours: usual crystals of cheap devices, a tenth of a second an hour
# Where the simulated head has no such electrode, the first of these that it has.
_NEIGHBOURS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "F3": ("F4",), "Fz": ("F4",), "Fpz": ("Fp1", "F4"), "Fp1": ("E1",), "Fp2": ("E2",), "AF7": ("Fp1", "E1"),
        "AF8": ("Fp2", "E2"), "PG1": ("Fpz", "F4"), "Cz": ("C4",), "Pz": ("C3",), "O1": ("O2",), "Oz": ("O2",),
        "T7": ("T3", "M1"), "T8": ("T4", "M2"),
    }
)  # fmt: skip
# Kind in the catalog: kind of a simulated channel, sensor, box, filters in Hz.
_Recorded = tuple[str, str, str, tuple[float | None, float | None]]
_SENSORS: Mapping[str, _Recorded] = MappingProxyType(
    {
        "eeg": ("eeg", "", "amplifier", (0.16, None)),
        "eog": ("eog", "", "amplifier", (0.16, None)),
        "reference": ("reference", "", "amplifier", (0.16, None)),
        "mastoid_pair": ("mastoid_pair", "M1-M2", "amplifier", (0.16, None)),
        "chin": ("emg", "chin", "amplifier", (5, None)),
        "ecg": ("ecg", "ecg", "amplifier", (0.16, None)),
        "emg_leg": ("emg_leg", "leg", "amplifier", (5, None)),
        "emg_other": ("emg_other", "breathing_muscle", "amplifier", (5, None)),
        "airflow": ("airflow", "flow", "amplifier", (0.03, None)),
        "nasal_pressure": ("airflow", "flow", "amplifier", (None, None)),
        "thermistor": ("airflow", "thermistor", "amplifier", (0.03, 1.5)),
        "thorax": ("thorax", "thorax", "amplifier", (0.05, None)),
        "abdomen": ("belt", "abdomen", "amplifier", (0.05, None)),
        "rip_sum": ("rip_sum", "sum", "amplifier", (0.05, None)),
        "spo2": ("spo2", "spo2", "oximeter", (None, None)),
        "heart_rate": ("pulse", "pulse", "oximeter", (None, None)),
        "ppg": ("ppg", "ppg", "oximeter", (None, None)),
        "oximeter_status": ("oximeter_status", "zero", "oximeter", (None, None)),
        "actigraphy": ("actigraphy", "accelerometer", "amplifier", (None, None)),
        "position": ("position", "position", "amplifier", (None, None)),
        "snore": ("snore", "snore", "amplifier", (None, None)),
        "light": ("light", "light", "amplifier", (None, None)),
        "co2": ("co2", "co2", "capnometer", (None, None)),
        "pap": ("pap", "pap", "machine", (None, None)),
        "volume": ("volume", "volume", "machine", (None, None)),
        "resp_rate": ("resp_rate", "resp_rate", "amplifier", (None, None)),
        "temperature": ("temperature", "temperature", "amplifier", (None, None)),
        "electrode_off": ("electrode_off", "zero", "amplifier", (None, None)),
        "marker": ("marker", "zero", "amplifier", (None, None)),
        "device": ("device", "open_input", "amplifier", (None, None)),
    }
)
_REACH_UV: Mapping[str, float] = MappingProxyType({"ecg": 5000.0, "emg": 1000.0, "emg_leg": 1000.0})
_REACH: Mapping[str, float] = MappingProxyType(
    {"spo2": 100.0, "pulse": 250.0, "position": 10.0, "co2": 100.0, "temperature": 50.0, "volume": 3000.0}
    | {"resp_rate": 100.0, "actigraphy": 2.0, "emg_leg": 1000.0}
)
_UNKNOWN_REACH = 10.0


def catalog_site(cohort: str, montage: int = 0, rng: Rng | None = None) -> Site:
    """A laboratory that records as a cohort of the catalog does, with that cohort's people.

    Args:
        cohort: a name of the catalog, but not ``generic``.
        montage: which of the cohort's montages, as its YAML counts them.
        rng: draws how far the clocks of the boxes beside the amplifier are off; None: they are right.

    Raises:
        UsageError: there is no such cohort, or no such montage in it.
    """
    rules = cohort_of(cohort)
    if not rules.has_file or not rules.file.montages:
        raise UsageError(f"the catalog has no cohort {cohort!r} with a montage; see `sleep2vec ingest --help`.")
    if not 0 <= montage < len(rules.file.montages):
        raise UsageError(f"cohort {cohort} has {len(rules.file.montages)} montages, counted from 0; not {montage}.")
    chosen = rules.file.montages[montage]
    channels = tuple(_channel(channel, rules, chosen) for channel in chosen.channels)
    boxes = sorted({channel.box for channel in channels} - {"amplifier"})
    people = population_of(cohort)
    return Site(
        name=cohort,
        channels=channels,
        age_mean_years=people.age_mean_years,
        age_sd_years=people.age_sd_years,
        female_share=people.female_share,
        apnea_median_per_hour=people.apnea_median_per_hour,
        mains_hz=float(chosen.mains_hz or rules.file.mains_hz or 60),
        mains_uv=1.0,
        noise_gain=1.0,
        gain_error=0.05,
        loose_gain=0.5,
        flow_delay_s=0.1,
        spo2_step=1.0,
        spo2_averaging_s=3.0,
        spo2_delay_s=1.0,
        clock_ppm={} if rng is None else {box: round(_CLOCK_SD_PPM * rng.standard_normal(), 1) for box in boxes},
    )


def _channel(channel: ChannelOfCohort, rules: Cohort, montage: Montage) -> Channel:
    kind, source, box, band_hz = _SENSORS[channel.kind]
    rate_hz = int(channel.rate_hz) if channel.rate_hz.is_integer() else channel.rate_hz
    if channel.kind in ("eeg", "eog", "reference"):
        source = _plugs(channel, rules, montage)
    elif channel.kind in ("chin", "ecg"):
        source = _pads(channel, montage)
        if channel.kind == "chin" and rate_hz < 10:
            source = "chin_envelope"
        band_hz = (0.5, None) if "-" in source else band_hz
    return Channel(channel.label, kind, source, rate_hz, channel.unit, _reach(kind, channel.unit), band_hz, box)


def _plugs(channel: ChannelOfCohort, rules: Cohort, montage: Montage) -> str:
    """The electrodes of a channel of the head, as its label and the cohort's rules tell."""
    reading = rules.channels.read(channel.label, channel.unit)
    active = reading.active or {"eog": "E1", "reference": "M1"}.get(channel.kind, "C4")
    reference = reading.reference
    if reference is None:
        is_alone = channel.kind == "reference" or len(montage.gives.get(channel.kind, ())) > 1
        # What stands alone is against the far electrode; else the label hides the mastoid across.
        reference = _FAR if is_alone else ("M1" if active in ("E2", "C4", "F4", "O2") else "M2")
    plus, minus = _nearest(active), _nearest(reference)
    return f"{plus}-{minus}" if plus != minus else plus


def _nearest(electrode: str) -> str:
    return next(name for name in (electrode, *_NEIGHBOURS.get(electrode, ("C4",))) if name in ELECTRODES)


def _pads(channel: ChannelOfCohort, montage: Montage) -> str:
    """Whether a chin or ECG channel is a whole derivation or one electrode of it; `gives` names the pair."""
    modality = "emg" if channel.kind == "chin" else "ecg"
    pair = montage.gives.get(modality, ())
    if len(pair) < 2:
        return channel.kind
    number = pair.index(channel.label) + 1 if channel.label in pair else 3
    return f"{channel.kind}{number}-{_nearest(_FAR)}"


def _reach(kind: str, unit: str) -> float:
    """The converter's end in the channel's unit."""
    per_uv = factor_between("uV", unit)
    if per_uv is not None and kind not in ("snore", "position", "spo2"):
        return float(f"{_REACH_UV.get(kind, 1000.0) * per_uv:.6g}")
    return _REACH.get(kind, _UNKNOWN_REACH)
