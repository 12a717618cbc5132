"""Gaps of EDF+D files on the token grid, and the status channel of BDF: from bytes to a night."""

from pathlib import Path

import numpy as np
import pytest
from edf_bytes import Channel, EdfFile, time_stamps

from sleep2vec.formats.recordings import read_recording
from sleep2vec.harmonization.pipeline import harmonize
from sleep2vec.vocabulary.night import Night

RATE_HZ = 100


def eeg(n_records: int) -> Channel:
    """One EEG channel of 1 s records with a spectrum that falls off, in 0.1 uV."""
    steps = np.random.default_rng(3).standard_normal(n_records * RATE_HZ)
    samples = np.zeros_like(steps)
    for i in range(1, len(steps)):
        samples[i] = 0.93 * samples[i - 1] + steps[i]
    digits = np.round(200 * samples / samples.std()).astype(int).clip(-2000, 2000)
    return Channel(digits.reshape(n_records, RATE_HZ), "C4-M1", physical=("-204.8", "204.7"), digital=("-2048", "2047"))


def night_of(folder: Path, file: EdfFile, name: str = "night.edf") -> Night:
    (folder / name).write_bytes(file.to_bytes())
    return harmonize(read_recording(folder / name), modalities=["eeg"])


@pytest.mark.parametrize("reserved", ["EDF+D", "EDF+C"])
def test_a_gap_makes_invalid_tokens_where_it_was_and_nowhere_else(tmp_path: Path, reserved: str):
    """Time stamps (EDF+ 2.2.4): 150 s of signal, 90 s of nothing, 150 s of signal; stages are annotated throughout."""
    onsets = [*range(150), *range(240, 390)]
    words = ["W", "1", "2", "3", "R"] * 3
    stages = b"".join(
        f"+{30 * i}\x1530\x14Sleep stage {word}\x14\0".encode() for i, word in enumerate(words) if 30 * i < 390
    )
    file = EdfFile([eeg(300), time_stamps([f"+{at}" for at in onsets], {0: stages})], reserved)
    night = night_of(tmp_path, file)

    assert night.n_tokens == 13
    held = np.array([30 * token + 30 <= 150 or 30 * token >= 240 for token in range(13)])
    np.testing.assert_array_equal(night.valid["eeg"], held)
    assert not night.samples["eeg"].reshape(13, -1)[~held].any()
    codes = {"W": 0, "1": 1, "2": 2, "3": 3, "R": 4}
    np.testing.assert_array_equal(night.stages, [codes[word] for word in words[:13]])


def test_the_status_channel_of_bdf_is_no_sensor(tmp_path: Path):
    status = Channel(
        np.full((60, RATE_HZ), 0x10000), "Status", "Boolean", ("-8388608", "8388607"), ("-8388608", "8388607")
    )
    night = night_of(tmp_path, EdfFile([eeg(60), status], "24BIT", version=b"\xffBIOSEMI"), "night.bdf")
    assert {decision.label: decision.used_for for decision in night.decisions} == {"C4-M1": ("eeg",), "Status": ()}
