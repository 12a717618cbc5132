"""Recording -> Night."""

from collections.abc import Iterable
from pathlib import PurePath

from sleep2vec.cohorts.catalog import Cohort, cohort_of
from sleep2vec.harmonization.align import grid_of
from sleep2vec.harmonization.channel_match import Channel, match_channels
from sleep2vec.harmonization.clocks import Clocks, on_one_clock
from sleep2vec.harmonization.sensors import KINDS_OF, Sensors
from sleep2vec.harmonization.waveform import Outcome
from sleep2vec.vocabulary.errors import NoUsableChannelError
from sleep2vec.vocabulary.modalities import MODALITIES, parse_modalities
from sleep2vec.vocabulary.night import ChannelDecision, Night, derivation
from sleep2vec.vocabulary.recording import Recording
from sleep2vec.vocabulary.stages import hypnogram_of
from sleep2vec.vocabulary.subject import Subject

_MOST_LABELS = 15
_MAINS_TOLERANCE_HZ = 5.0  # half the way between the two that there are
_CERTAINTY = {"likely": "likely", "guess": "a guess"}


def harmonize(
    recording: Recording,
    *,
    night_id: str | None = None,
    cohort: str | None = None,
    site: str | None = None,
    subject: Subject | None = None,
    modalities: Iterable[str] | None = None,
) -> Night:
    """Choose, derive, judge, resample and filter the channels of a recording, and lay them on the token grid.

    Args:
        recording: What a file said.
        night_id: Name of the night; default is the file's name without its ending.
        cohort: Where it comes from; its own label rules are used where `cohorts` has them.
        site: Where it was recorded.
        subject: The person; default is what the file says.
        modalities: What is wanted; default all.

    Returns:
        The night. A modality without one good token is in `absent`, with the reason.

    Raises:
        RecordingTooShortError: the recording holds no whole token.
        NoUsableChannelError: no modality could be made.
        UnknownModalityError: `modalities` names one that does not exist.
    """
    wanted = tuple(MODALITIES) if modalities is None else parse_modalities(modalities)
    clocks = on_one_clock(recording)
    recording = clocks.recording
    grid = grid_of(recording)
    known = cohort_of(cohort)
    rules = known.channels
    sensors = Sensors(match_channels(recording, rules), grid, rules)
    made = {name: sensors.outcome(name) for name in wanted}
    present = {name: outcome for name, outcome in made.items() if isinstance(outcome, Outcome)}
    absent = {name: outcome for name, outcome in made.items() if isinstance(outcome, str)}
    absent |= dict.fromkeys((name for name in MODALITIES if name not in wanted), "not asked for")
    if not present:
        raise NoUsableChannelError(_nothing_usable(recording, wanted, absent))
    doubts = dict.fromkeys(doubt for outcome in present.values() for doubt in outcome.doubts)
    spans = list(recording.stages)
    return Night(
        night_id=night_id or PurePath(recording.source).stem,
        subject=subject or recording.subject,
        n_tokens=grid.n_tokens,
        grid_start_s=grid.start_s,
        samples={name: outcome.samples_N for name, outcome in present.items()},
        valid={name: outcome.valid_L for name, outcome in present.items()},
        provenance={name: outcome.provenance for name, outcome in present.items()},
        absent=absent,
        decisions=tuple(_decide(channel, sensors, present, absent) for channel in sensors.channels),
        stages=hypnogram_of(spans, grid.start_s, grid.n_tokens) if spans else None,
        events=recording.events,
        start=recording.start,
        cohort=cohort,
        site=site,
        source=recording.source,
        repairs=recording.repairs,
        notes=(*doubts, *_uncertain(sensors, present), *_unlike_clocks(clocks, present), *_foreign_hum(known, present)),
    )


def _uncertain(sensors: Sensors, present: dict[str, Outcome]) -> list[str]:
    """What was made from channels whose labels are not sure to mean it."""
    used = {index for outcome in present.values() for index in outcome.channels}
    return [
        f"{channel.label}: {channel.reading.reason} by its label, which is {_CERTAINTY[channel.reading.certainty]}"
        for channel in sensors.channels
        if channel.index in used and channel.reading.certainty in _CERTAINTY
    ]


def _unlike_clocks(clocks: Clocks, present: dict[str, Outcome]) -> list[str]:
    """Clocks that disagree, of the channels that were used."""
    used = {index for outcome in present.values() for index in outcome.channels}
    return [note for index, note in clocks.notes.items() if index in used]


def _foreign_hum(cohort: Cohort, present: dict[str, Outcome]) -> list[str]:
    """Hum that does not fit the country: a recording of elsewhere, or something that only looks like the mains."""
    expected_hz = cohort.file.mains_hz
    found: dict[float, list[str]] = {}
    for name, outcome in present.items():
        for hz in outcome.hum_hz:
            if expected_hz is not None and abs(hz - expected_hz) > _MAINS_TOLERANCE_HZ:
                found.setdefault(hz, []).append(name)
    return [
        f"{', '.join(names)}: hum of {hz:g} Hz was removed, and the mains of {cohort.name} have {expected_hz} Hz: the "
        "night is of elsewhere, or the hum is something else"
        for hz, names in found.items()
    ]


def _decide(channel: Channel, sensors: Sensors, present: dict[str, Outcome], absent: dict[str, str]) -> ChannelDecision:
    reading = channel.reading
    used_for = tuple(name for name, outcome in present.items() if channel.index in outcome.channels)
    if used_for:
        reason = present[used_for[0]].provenance.reason
    elif not reading.taken:
        reason = reading.reason
    elif channel.refused:
        reason = f"{reading.reason}, {channel.refused}"
    elif channel.index in sensors.tried:
        reason = f"{reading.reason}, {sensors.tried[channel.index]}"
    elif channel.index in sensors.tried_in:
        reason = f"{reading.reason}, {sensors.tried_in[channel.index]}"
    else:
        reason = f"{reading.reason}; {_taken_instead(channel, present, absent)}"
    return ChannelDecision(channel.label, reading.kind, used_for, reason)


def _taken_instead(channel: Channel, present: dict[str, Outcome], absent: dict[str, str]) -> str:
    serves = [name for name, kinds in KINDS_OF.items() if channel.reading.kind in kinds]
    for name in serves:
        if name in present:
            return f"{name} is taken from {derivation(present[name].provenance.channels)}"
    for name in serves:
        if name in absent:
            return f"{name} is absent: {absent[name]}"
    return "no derivation needs it"


def _nothing_usable(recording: Recording, wanted: tuple[str, ...], absent: dict[str, str]) -> str:
    labels = [signal.label.strip() for signal in recording.signals]
    if not labels and recording.stages:
        return (
            f"{recording.source} holds {len(recording.stages)} scored stretches and no signals: it is a hypnogram; "
            "name the recording beside it, which takes it along."
        )
    seen = ", ".join(repr(label) for label in labels[:_MOST_LABELS]) or "none"
    more = f" and {len(labels) - _MOST_LABELS} more" if len(labels) > _MOST_LABELS else ""
    why = {reason for name, reason in absent.items() if name in wanted and not reason.startswith("the file has no")}
    told = f" ({'; '.join(sorted(why)[:3])})" if why else ""
    return (
        f"{recording.source} has no channel that can serve as {', '.join(wanted)}{told}. Channels seen: {seen}{more}. "
        "Rename them to the usual names (C4-M1, E1-M2, Chin, ECG, Nasal Pressure, Abdomen, SpO2 ...), "
        "or add their labels to a cohort file of sleep2vec/cohorts."
    )
