"""Clocks of channels that run apart: a channel's true rate, told by how long it lasts.

A file states whole rates; the crystal of a device that records apart runs some parts in a million faster or slower, and
after a night its last sample stands seconds away from where its stated rate puts it.
"""

from dataclasses import dataclass, replace

from sleep2vec.vocabulary.recording import Recording, Signal

# One sample of a 1 Hz channel may be missing at the end.
TOLERANCE_S = 1.0
# Crystals are specified to 10-100 ppm and uncompensated oscillators to some hundreds; more is a cut recording or a
# wrong rate. In less than half an hour a drift of 1000 ppm stays below two seconds and is not told from a cut (ours).
MOST_PPM = 1000.0
SHORTEST_S = 1800.0


@dataclass(frozen=True)
class Clocks:
    """A recording whose channels stand on its clock.

    Attributes:
        recording: With the true rates.
        notes: By index of the channel, what was mended or could not be, one sentence.
    """

    recording: Recording
    notes: dict[int, str]


def lasts_s(signal: Signal) -> float:
    """How long a channel lasts by its stated rate; 0 where that is no rate."""
    return signal.n_samples / signal.rate_hz if signal.rate_hz > 0 else 0.0


def on_one_clock(recording: Recording) -> Clocks:
    """Stretch the channels whose length differs from the recording's by what a clock may drift.

    A channel is stretched where it lasts more than a second longer or shorter than the recording, but no more than
    1000 ppm, the recording lasts half an hour, and no more channels differ from the recording's length in the same way
    than agree with it. All are laid from the start.
    """
    whole_s = recording.duration_s
    agreeing = sum(abs(lasts_s(signal) - whole_s) <= TOLERANCE_S for signal in recording.signals)
    signals, notes = list(recording.signals), {}
    for index, signal in enumerate(recording.signals):
        own_s = lasts_s(signal)
        differs_s = own_s - whole_s
        if abs(differs_s) <= TOLERANCE_S:
            continue
        ppm = 1e6 * differs_s / whole_s if whole_s > 0 else float("inf")
        alike = sum(abs(lasts_s(other) - own_s) <= TOLERANCE_S for other in recording.signals)
        told = (
            f"{signal.label.strip()} lasts {own_s:.1f} s at {signal.rate_hz:g} Hz and the recording {whole_s:.1f} s "
            f"({ppm:+.0f} ppm)"
        )
        if own_s > 0 and whole_s >= SHORTEST_S and abs(ppm) <= MOST_PPM and alike <= agreeing:
            signals[index] = replace(signal, rate_hz=signal.n_samples / whole_s)
            notes[index] = f"{told}: taken for the drift of its clock and stretched to the recording's"
        else:
            notes[index] = f"{told}: its clock or rate is off, or it ended apart"
    return Clocks(replace(recording, signals=tuple(signals)), notes)
