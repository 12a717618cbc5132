"""What each channel of a file is, by its label, unit and rate."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sleep2vec.cohorts.labels import ChannelRules, LabelReading, duplicates_in
from sleep2vec.harmonization.clocks import MOST_PPM
from sleep2vec.vocabulary.recording import Recording, Signal
from sleep2vec.vocabulary.units import g_per_unit


@dataclass(frozen=True)
class SlowLimit:
    """The slowest rate at which a kind of channel is still that kind, and what is lost below."""

    rate_hz: float
    reason: str


_BREATHING = "breathing reaches 0.7 Hz, and {rate:g} Hz holds nothing above {nyquist:g} Hz"
_FAST = "{rate:g} Hz holds nothing above {nyquist:g} Hz"
SLOWEST: Mapping[str, SlowLimit] = MappingProxyType(
    {
        "eeg": SlowLimit(60.0, f"sleep spindles and the EEG's bands reach 30 Hz, and {_FAST}"),
        "eog": SlowLimit(20.0, f"eye movements reach 10 Hz, and {_FAST}"),
        "chin": SlowLimit(
            60.0, f"an EMG begins at 10 Hz, and {_FAST}: this is an envelope (rms) or a trend, not an EMG"
        ),
        "ecg": SlowLimit(64.0, f"QRS complexes reach 30 Hz, and {_FAST}"),
        "ppg": SlowLimit(16.0, f"a pulse wave reaches 8 Hz, and {_FAST}"),
        "reference": SlowLimit(20.0, _FAST),
        "actigraphy": SlowLimit(10.5, f"movements of a wrist reach 4 Hz and more, and {_FAST}"),
        **dict.fromkeys(
            ("nasal_pressure", "airflow", "thermistor", "abdomen", "thorax", "rip_sum"), SlowLimit(4.0, _BREATHING)
        ),
        **dict.fromkeys(("spo2", "heart_rate"), SlowLimit(0.1, "one value in {period:g} s is too few")),
    }
)


@dataclass(frozen=True)
class Channel:
    """One channel of the file and what it is taken for.

    Attributes:
        index: Place in the file; labels may repeat.
        signal: The channel.
        reading: What its label and unit say.
        refused: Why no modality may be made from it though its kind is wanted, or None.
    """

    index: int
    signal: Signal
    reading: LabelReading
    refused: str | None = None

    @property
    def usable(self) -> bool:
        return self.reading.taken and self.refused is None

    @property
    def label(self) -> str:
        return self.signal.label.strip()


def match_channels(recording: Recording, rules: ChannelRules) -> tuple[Channel, ...]:
    """One `Channel` for each signal of `recording`, in the file's order."""
    twins = duplicates_in(signal.label for signal in recording.signals)
    return tuple(
        Channel(index, signal, reading, _refusal(signal, reading))
        for index, signal in enumerate(recording.signals)
        for reading in (rules.read(signal.label, signal.unit, is_duplicate=signal.label in twins),)
    )


def _refusal(signal: Signal, reading: LabelReading) -> str | None:
    if not reading.taken or reading.kind is None:
        return None
    if signal.n_samples == 0:
        return "it holds no samples"
    if not signal.rate_hz > 0:
        return f"its rate of {signal.rate_hz:g} Hz is not a rate"
    if reading.kind == "actigraphy" and signal.unit.strip() and g_per_unit(signal.unit) is None:
        return (
            f"in {signal.unit.strip()}, which is no acceleration: what a device counts means nothing beside another's, "
            "and no factor brings it to g"
        )
    limit = SLOWEST.get(reading.kind)
    # A clock that was mended (`clocks`) may have left a rate a thousandth below the stated one.
    if limit is None or signal.rate_hz >= limit.rate_hz * (1 - MOST_PPM / 1e6):
        return None
    words = limit.reason.format(rate=signal.rate_hz, nyquist=signal.rate_hz / 2, period=1 / signal.rate_hz)
    return f"sampled at {signal.rate_hz:g} Hz, too slow: {words}"
