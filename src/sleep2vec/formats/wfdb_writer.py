"""WFDB records: a header and one file of 16-bit integers, as PhysioNet's challenges hand them out."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sleep2vec.vocabulary.errors import UsageError
from sleep2vec.vocabulary.recording import Recording


def write_wfdb(path: Path, recording: Recording, *, comments: Sequence[str] = ()) -> None:
    """Write ``NAME.hea`` and ``NAME.dat`` by `wfdb`, without start, subject and scoring. NaN is a missing sample.

    Args:
        path: the header, ``.../NAME.hea``.
        recording: its signals have one rate and one length.
        comments: lines at the end of the header.

    Raises:
        UsageError: the record's name, or the signals, are none that such a record can have.
    """
    import wfdb

    rates = {(signal.rate_hz, signal.n_samples) for signal in recording.signals}
    if len(rates) != 1:
        raise UsageError(f"{path}: {len(rates)} rates or lengths; a plain WFDB record has one, write EDF instead.")
    samples_TC = np.stack([signal.samples for signal in recording.signals], axis=1).astype(np.float64)
    try:
        wfdb.wrsamp(
            path.stem,
            fs=recording.signals[0].rate_hz,
            units=[signal.unit.replace(" ", "_") or "NU" for signal in recording.signals],
            sig_name=[signal.label for signal in recording.signals],
            p_signal=samples_TC,
            fmt=["16"] * samples_TC.shape[1],
            comments=list(comments),
            write_dir=str(path.parent),
        )
    except ValueError as error:
        raise UsageError(f"{path} cannot be a WFDB record ({error}); write EDF instead.") from None
