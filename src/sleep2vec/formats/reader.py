"""One door for every format: a file name in, a Recording out."""

from dataclasses import replace
from pathlib import Path

from sleep2vec.formats.companions import hypnogram_beside
from sleep2vec.formats.edf_annotations import read_hypnogram
from sleep2vec.formats.recordings import read_recording
from sleep2vec.vocabulary.errors import UnreadableFileError
from sleep2vec.vocabulary.recording import Recording


def read(source: str | Path) -> Recording:
    """Read a recording, with the stages and events of the hypnogram beside it where it has no stages itself.

    Raises:
        UnreadableFileError: the format is not known, or the file is not what its name says.
    """
    path = Path(source).expanduser()
    recording = read_recording(path)
    companion = hypnogram_beside(path)
    if recording.stages or companion is None:
        return recording
    return _with_hypnogram(recording, companion)


def _with_hypnogram(recording: Recording, companion: Path) -> Recording:
    try:
        stages, events, start = read_hypnogram(companion)
    except UnreadableFileError as error:
        return replace(recording, repairs=(*recording.repairs, f"The hypnogram beside it was not used: {error}"))
    shift_s = (start - recording.start).total_seconds() if start and recording.start else 0.0
    spans = [replace(span, onset_s=span.onset_s + shift_s) for span in stages]
    if not any(span.onset_s < recording.duration_s and span.onset_s + span.duration_s > 0 for span in spans):
        note = f"{companion.name} beside it was not used: its stages (from {start}) lie outside the recording."
        return replace(recording, repairs=(*recording.repairs, note))
    known = {(event.kind, event.onset_s, event.text) for event in recording.events}
    shifted = [replace(event, onset_s=event.onset_s + shift_s) for event in events]
    merged = [*recording.events, *(e for e in shifted if (e.kind, e.onset_s, e.text) not in known)]
    how = f"shifted by {shift_s:g} s" if start and recording.start else "without a shift, a start time is missing"
    return replace(
        recording,
        stages=tuple(spans),
        events=tuple(sorted(merged, key=lambda event: event.onset_s)),
        repairs=(*recording.repairs, f"Stages and events were taken from {companion.name}, {how}."),
    )
